//! Groups of statistics: how they are asked for and read, and `larder stats`, which shows them.

use std::collections::HashMap;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::access::Access;
use super::connection::{Connection, KEPT_BYTES_MAX};
use super::failure::Failure;
use super::options::StatsOptions;
use super::text;

/// Groups that one might write where the server belongs.
const GROUPS: [&str; 13] = [
    "items",
    "slabs",
    "sizes",
    "settings",
    "conns",
    "detail",
    "cachedump",
    "reset",
    "tags",
    "latency",
    "slowlog",
    "hotkeys",
    "threads",
];
/// Names that are longer stand out, and move no other's value.
const NAME_WIDTH_MAX: usize = 64;

/// What a server says of one group. All text is harmless to terminals.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The lines `STAT name value`, in order.
    pub pairs: Vec<(String, String)>,
    /// Other lines, such as those of `stats detail dump`.
    pub lines: Vec<String>,
}

/// An answer to `stats`.
#[derive(Debug)]
pub(super) enum Answer {
    Group(Group),
    /// The server does not have such a group, or does not give it to us.
    Refused(String),
}

/// Asks for `group`; the empty one is that of general statistics.
///
/// # Errors
/// When there is no answer, or none of a server like memcached.
pub(super) fn ask(connection: &mut Connection, group: &str) -> Result<Answer, Failure> {
    let blank = if group.is_empty() { "" } else { " " };
    connection.send(format!("stats{blank}{group}\r\n").as_bytes())?;
    let mut found = Group::default();
    let mut kept = 0;
    while kept <= KEPT_BYTES_MAX {
        let line = text::printable(connection.line()?);
        // An empty line takes memory as well.
        kept += line.len() + size_of::<(String, String)>();
        match line.as_str() {
            "END" => return Ok(Answer::Group(found)),
            "RESET" | "OK" => {
                found.lines.push(line);
                return Ok(Answer::Group(found));
            }
            _ if ["ERROR", "CLIENT_ERROR", "SERVER_ERROR"].iter().any(|error| is_word(&line, error)) => {
                return Ok(Answer::Refused(line));
            }
            _ => {}
        }
        match line.strip_prefix("STAT ") {
            Some(pair) => {
                let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
                found.pairs.push((name.to_owned(), value.to_owned()));
            }
            None => found.lines.push(line),
        }
    }
    Err(Failure::Failed(format!("{} sends statistics without an end", connection.server())))
}

/// Whether the first word of `line` is `word`.
pub(super) fn is_word(line: &str, word: &str) -> bool {
    line.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// `larder stats`.
///
/// # Errors
/// As [`Failure`] has them.
pub(super) fn run(options: &StatsOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let server = options.server.to_string();
    if let Some(group) = GROUPS.iter().find(|group| server.strip_suffix(":11211") == Some(**group)) {
        return Err(Failure::Usage(format!("expected SERVER before '{group}', such as 127.0.0.1:11211")));
    }
    let group = options.group.join(" ");
    if group.contains(|c: char| c.is_control()) {
        return Err(Failure::Usage("expected a group without line ends".to_owned()));
    }
    let mut connection = Connection::open(&options.server, &Access::new(&options.connect)?)?;
    let mut before: Option<(Instant, HashMap<String, String>)> = None;
    loop {
        let found = match ask(&mut connection, &group)? {
            Answer::Group(found) => found,
            Answer::Refused(line) => return Err(connection.refusal(&line)),
        };
        let now = Instant::now();
        match &before {
            _ if options.json => writeln!(out, "{}", text::json(&as_json(&found)))?,
            None => show(&found, out)?,
            Some((then, before)) => show_changes(&found, before, now - *then, out)?,
        }
        out.flush()?;
        let Some(pause) = options.watch else { return Ok(()) };
        before = Some((now, found.pairs.into_iter().collect()));
        thread::sleep(pause);
    }
}

fn show(found: &Group, out: &mut dyn Write) -> Result<(), Failure> {
    let width = found.pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let width = width.min(NAME_WIDTH_MAX);
    for (name, value) in &found.pairs {
        writeln!(out, "{name:width$}  {value}")?;
    }
    for line in &found.lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// What has changed in the time that has passed, and by how much per second.
fn show_changes(
    found: &Group,
    before: &HashMap<String, String>,
    passed: Duration,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    writeln!(out)?;
    for (name, value) in &found.pairs {
        let old = before.get(name);
        if old == Some(value) {
            continue;
        }
        let numbers = (value.parse::<f64>(), old.map_or("", String::as_str).parse::<f64>());
        match numbers {
            (Ok(new), Ok(old)) => {
                let rate = (new - old) / passed.as_secs_f64();
                writeln!(out, "{name:32}  {value:>20}  {rate:+.1}/s")?;
            }
            _ => writeln!(out, "{name:32}  {value:>20}")?,
        }
    }
    Ok(())
}

fn as_json(found: &Group) -> Value {
    let pairs = found.pairs.iter().map(|(name, value)| (name.clone(), text::json_value(value)));
    let mut object: Map<String, Value> = pairs.collect();
    if !found.lines.is_empty() {
        object.insert("lines".to_owned(), found.lines.clone().into());
    }
    object.into()
}
