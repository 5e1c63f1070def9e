//! Log lines: where they go, how they look, how many there are.
//!
//! One line per event: RFC 3339 time in UTC, level, message; or a JSON object of these, with what the event is and
//! whose it is. In systemd's journal, which has time and level of its own, a line begins with its priority. Whoever
//! logs uses the `log` macros and knows nothing of this file; only start-up and the `verbosity` command call it.

use std::fmt::{self, Write as _};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target, WriteStyle};
use log::kv::{Error as KeyError, Key, Value, VisitSource};
use log::{Level, LevelFilter, Record};
use nix::sys::stat::fstat;
use parking_lot::Mutex;

use crate::config::LogFormat;

/// Environment variable that replaces `-v`, in env_logger's filter syntax.
const FILTER_VARIABLE: &str = "LARDER_LOG";
/// Environment variable by which systemd tells which file its journal reads, as `device:inode`.
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

/// Set once `LARDER_LOG` decided what is logged: `-v` and the `verbosity` command then change nothing.
static FILTERED_BY_ENVIRONMENT: OnceLock<()> = OnceLock::new();

/// Why nothing can be logged. The process should end with `exit_code`.
#[derive(Debug)]
pub enum LoggingError {
    /// The log file cannot be opened for appending.
    File(PathBuf, io::Error),
    /// Part of the environment's filter is neither a level nor about larder.
    Filter(String),
    /// A logger is already in place.
    AlreadyStarted,
}

impl LoggingError {
    /// The process's exit code: a system error, as memcached has it.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Filter(_) => super::process::EXIT_USAGE,
            _ => super::process::EXIT_OSERR,
        }
    }
}

impl fmt::Display for LoggingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, e) => write!(f, "cannot append to the log file {path:?}: {e}"),
            Self::Filter(part) => {
                write!(f, "{FILTER_VARIABLE} {part:?}: expected off, error, warn, info, debug or trace")
            }
            Self::AlreadyStarted => f.write_str("logging was started twice"),
        }
    }
}

impl std::error::Error for LoggingError {}

/// Starts logging, to stderr or to the end of `log_file`. To be called once, as early as the
/// settings are known. `verbosity` is the number of `-v`.
///
/// # Errors
/// When the file cannot be opened, or on a second call.
pub fn init(verbosity: u8, format: LogFormat, log_file: Option<&Path>) -> Result<(), LoggingError> {
    let for_journal = log_file.is_none() && stderr_is_journal();
    let line = match (format, for_journal) {
        (LogFormat::Text, false) => text_line,
        (LogFormat::Text, true) => journal_line,
        (LogFormat::Json, false) => json_line,
        (LogFormat::Json, true) => json_line_for_journal,
    };
    // The filter lets everything pass; `log::max_level`, which can change later, decides.
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Trace).filter_module("mio", LevelFilter::Off).format(line);
    let filter = std::env::var(FILTER_VARIABLE).ok().filter(|filter| !filter.trim().is_empty());
    if let Some(filter) = &filter {
        if let Some(part) = unknown_part(filter) {
            return Err(LoggingError::Filter(part.to_owned()));
        }
        builder = Builder::new();
        builder.parse_filters(filter).format(line);
    }
    match log_file {
        Some(path) => {
            let file = LogFile::open(path).map_err(|e| LoggingError::File(path.to_owned(), e))?;
            LOG_FILE.set(file).map_err(|_| LoggingError::AlreadyStarted)?;
            let file = LOG_FILE.get().ok_or(LoggingError::AlreadyStarted)?;
            builder.write_style(WriteStyle::Never).target(Target::Pipe(Box::new(file)));
        }
        None => {
            builder.write_style(WriteStyle::Auto).target(Target::Stderr);
        }
    }
    builder.try_init().map_err(|_| LoggingError::AlreadyStarted)?;
    match filter {
        Some(_) => drop(FILTERED_BY_ENVIRONMENT.set(())),
        None => set_verbosity(verbosity),
    }
    Ok(())
}

/// The log file, once there is one.
static LOG_FILE: OnceLock<LogFile> = OnceLock::new();

/// A log file, in place of which another may have to be opened: whoever rotates logs has moved it away.
struct LogFile {
    /// Whatever directory the process is in.
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<LogFile> {
        let path = std::path::absolute(path)?;
        let file = append_to(&path)?;
        Ok(LogFile { path, file: Mutex::new(file) })
    }

    /// Goes on in a new file if there is none at the path any more, or another; `false` if all is as it was.
    fn reopen(&self) -> io::Result<bool> {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let present = self.file.lock().metadata().map(identity)?;
        if fs::metadata(&self.path).is_ok_and(|found| identity(found) == present) {
            return Ok(false);
        }
        let file = append_to(&self.path)?;
        *self.file.lock() = file;
        Ok(true)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Writes where the log file is at present.
impl Write for &'static LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.lock().flush()
    }
}

/// Opens the log file again if it was moved away, and tells of it in the new one; or in the old one, if there can be no
/// new one. Whether there is a log file.
pub fn reopen() -> bool {
    let Some(log) = LOG_FILE.get() else { return false };
    match log.reopen() {
        Ok(true) => {
            log::info!(event = "log_reopened"; "SIGHUP: the log file was moved away, this is the next")
        }
        Ok(false) => {}
        Err(error) => log::warn!(
            event = "log_reopened";
            "SIGHUP: the log file was moved away, but {:?} cannot be opened: {error}; all goes on in the old one: copy \
             and truncate it instead (copytruncate)",
            log.path
        ),
    }
    true
}

/// Lets a panic, which ends the process, leave a line in the log: standard error, where it is told of
/// otherwise, is nobody's when the process is in the background.
pub fn tell_of_panics() {
    let by_default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a thread");
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("{name} panicked at {place}: {message}; the daemon ends");
        if !log::log_enabled!(Level::Error) || std::env::var_os("RUST_BACKTRACE").is_some() {
            by_default(panic);
        }
    }));
}

/// The first part of a filter that would silently match nothing: a word that is neither a level nor the
/// name of one of larder's modules.
fn unknown_part(filter: &str) -> Option<&str> {
    let directives = filter.split('/').next().unwrap_or(filter).split(',').map(str::trim);
    let is_known = |part: &str| {
        part.is_empty()
            || part.contains('=')
            || part.starts_with("larder")
            || part.parse::<LevelFilter>().is_ok()
    };
    directives.into_iter().find(|part| !is_known(part))
}

/// Changes what is logged, as the number of `-v` does. Without effect if `LARDER_LOG` is set.
pub fn set_verbosity(verbosity: u8) {
    if FILTERED_BY_ENVIRONMENT.get().is_none() {
        log::set_max_level(level(verbosity));
    }
}

fn level(verbosity: u8) -> LevelFilter {
    match verbosity {
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    }
}

/// Whether standard error is the journal, which takes the priority of a line from its beginning.
pub fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var(JOURNAL_VARIABLE) else { return false };
    fstat(io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

/// How the journal knows the level: the priorities of syslog.
pub fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

/// Writes one event. What clients send can end up in a message, so that line ends and other
/// control characters are escaped: nobody can forge a line.
fn text_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let level = record.level();
    let style = out.default_level_style(level);
    write!(out, "{} {style}{level:<5}{style:#} ", out.timestamp_millis())?;
    let message = record.args().to_string();
    writeln!(out, "{}", one_line(&message))
}

fn journal_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let message = record.args().to_string();
    writeln!(out, "{}{}", priority(record.level()), one_line(&message))
}

/// The same as an object: time, level and message, and what whoever logs says of the event, such as its peer.
fn json_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut object = format!("{{\"time\":\"{}\",\"level\":\"", out.timestamp_millis());
    object.push_str(&record.level().as_str().to_ascii_lowercase());
    object.push_str("\",\"message\":");
    push_json_string(&mut object, &record.args().to_string());
    // It cannot fail: `Members` never does.
    let _ = record.key_values().visit(&mut Members(&mut object));
    writeln!(out, "{object}}}")
}

fn json_line_for_journal(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    out.write_all(priority(record.level()).as_bytes())?;
    json_line(out, record)
}

/// Further members of an object that is being written: numbers as such, anything else as text.
struct Members<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Members<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), KeyError> {
        self.0.push(',');
        push_json_string(self.0, key.as_str());
        self.0.push(':');
        match value.to_u64() {
            // Writing to a String cannot fail.
            Some(number) => drop(write!(self.0, "{number}")),
            None => push_json_string(self.0, &value.to_string()),
        }
        Ok(())
    }
}

/// Appends `text` as a string of JSON. What JSON lets stand and a terminal or a reader of lines might act on is
/// escaped as well.
fn push_json_string(object: &mut String, text: &str) {
    for c in serde_json::Value::from(text).to_string().chars() {
        match c {
            // All below U+10000.
            _ if is_risky(c) => drop(write!(object, "\\u{:04x}", u32::from(c))),
            _ => object.push(c),
        }
    }
}

/// Ends a line, or moves a terminal's cursor, or makes its text run the other way.
fn is_risky(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn one_line(message: &str) -> String {
    let mut escaped = String::with_capacity(message.len());
    for c in message.chars() {
        if is_risky(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_match_nothing_is_told() {
        for filter in
            ["info", "DEBUG", "larder=trace", "larder::server,warn", "warn,mio=off", "", "info/text"]
        {
            assert_eq!(unknown_part(filter), None, "{filter}");
        }
        assert_eq!(unknown_part("inof"), Some("inof"));
        assert_eq!(unknown_part("larder=info, verbose"), Some("verbose"));
    }

    #[test]
    fn each_v_raises_the_level_until_everything_is_logged() {
        assert_eq!(level(0), LevelFilter::Info);
        assert_eq!(level(1), LevelFilter::Debug);
        assert_eq!(level(2), LevelFilter::Trace);
        assert_eq!(level(255), LevelFilter::Trace);
    }

    #[test]
    fn a_message_cannot_hold_a_second_line() {
        assert_eq!(one_line("a\r\nb\tc\u{1b}[1mü"), "a\\r\\nb\\tc\\u{1b}[1mü");
        assert_eq!(one_line("a\u{2028}b\u{202e}c\u{9b}1m"), "a\\u{2028}b\\u{202e}c\\u{9b}1m");
    }

    #[test]
    fn a_string_of_json_cannot_end_early() {
        let risky = "a\"}\r\n{\\\u{1b}[1m\u{7f}\u{9b}\u{2028}\u{202e}ü";
        let mut object = String::new();
        push_json_string(&mut object, risky);
        assert_eq!(object, r#""a\"}\r\n{\\\u001b[1m\u007f\u009b\u2028\u202eü""#);
        assert_eq!(serde_json::from_str::<String>(&object).unwrap(), risky);
    }

    /// The only test that installs the logger: there is one per process.
    #[test]
    fn lines_go_to_the_file_with_time_and_level() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("larder.log");
        let missing = folder.path().join("no/such.log");
        let error = init(0, LogFormat::Text, Some(&missing)).unwrap_err();
        assert!(error.to_string().starts_with("cannot append to the log file"), "{error}");
        assert_eq!(error.exit_code(), 71);

        init(0, LogFormat::Text, Some(&path)).unwrap();
        log::info!("logging test: started\nup");
        log::debug!("logging test: hidden");
        set_verbosity(1);
        log::debug!("logging test: shown");
        set_verbosity(0);
        assert!(matches!(init(0, LogFormat::Text, None), Err(LoggingError::AlreadyStarted)));

        assert!(reopen());
        let (moved, text) = (folder.path().join("larder.log.1"), std::fs::read_to_string(&path).unwrap());
        std::fs::rename(&path, &moved).unwrap();
        log::info!("logging test, in the old file");
        assert!(reopen());
        log::info!("logging test, in the new file");
        let old = std::fs::read_to_string(&moved).unwrap();
        let new = std::fs::read_to_string(&path).unwrap();
        assert!(old.starts_with(&text) && old.contains("in the old") && !old.contains("in the new"), "{old}");
        assert!(new.contains("this is the next") && new.contains("in the new"), "{new}");

        let ours: Vec<&str> = text.lines().filter(|line| line.contains("logging test: ")).collect();
        let [first, second] = ours[..] else { panic!("{text:?}") };
        let (time, rest) = first.split_once(' ').unwrap();
        assert_eq!(rest, "INFO  logging test: started\\nup");
        assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T' && time.len() == 24, "{time:?}");
        assert!(second.ends_with(" DEBUG logging test: shown"), "{second:?}");
    }
}
