//! `larder get`, `set` and `delete`: single items, by hand or from a script.

use std::io::{IsTerminal, Read, Write};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::access::Access;
use super::connection::{Connection, VALUE_BYTES_MAX};
use super::failure::Failure;
use super::options::{DeleteOptions, GetOptions, SetOptions};
use super::stats::{self, Answer};
use super::text;

/// Bytes of a key at most, as in memcached.
const KEY_BYTES_MAX: usize = 250;

/// A key as a command can carry it.
#[derive(Clone, Debug)]
pub(super) struct Key(pub String);

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Key, String> {
        let is_plain = text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        match is_plain && !text.is_empty() && text.len() <= KEY_BYTES_MAX {
            true => Ok(Key(text.to_owned())),
            false => Err("expected 1 to 250 bytes without blanks".to_owned()),
        }
    }
}

/// The last date that memcached reads as one, in 2038. It takes later ones for the past.
pub(super) const DATE_MAX: u64 = i32::MAX as u64;
/// Bytes of a value from standard input that are read before the server is asked how long one may be. By default no
/// server takes more.
const UNASKED_BYTES: usize = 1 << 20;

/// So many seconds from now, as the protocol has it: more than 30 days would be taken for a date.
pub(super) fn exptime(seconds: u32) -> u64 {
    const RELATIVE_MAX: u32 = 30 * 24 * 60 * 60;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match seconds {
        0..=RELATIVE_MAX => seconds.into(),
        _ => (now() + u64::from(seconds)).min(DATE_MAX),
    }
}

/// `larder get`. Prints the bytes of the value, but not such as a terminal obeys to a terminal.
///
/// # Errors
/// As [`Failure`] has them; that there is no such item is one.
pub(super) fn get(options: &GetOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let mut connection = Connection::open(&options.server, &Access::new(&options.connect)?)?;
    let key = &options.key.0;
    let Some((flags, length)) = ask(&mut connection, key)? else { return Err(not_found(&connection, key)) };
    if options.json {
        let item = text::json_item(key.as_bytes(), flags, connection.value(length)?);
        writeln!(out, "{}", text::json(&item))?;
    } else if std::io::stdout().is_terminal() {
        for line in connection.value(length)?.split(|&byte| byte == b'\n') {
            writeln!(out, "{}", text::printable(line))?;
        }
    } else {
        connection.value_to(length, b"", out)?;
    }
    match connection.line()? {
        b"END" => Ok(()),
        line => {
            let line = text::printable(line);
            Err(connection.refusal(&line))
        }
    }
}

/// The flags and the length of the item with this key, if there is one. Its value comes next.
fn ask(connection: &mut Connection, key: &str) -> Result<Option<(u32, usize)>, Failure> {
    connection.send(format!("get {key}\r\n").as_bytes())?;
    let line = connection.line()?;
    if line == b"END" {
        return Ok(None);
    }
    let Some(found) = head(line, key.as_bytes()) else {
        let line = text::printable(line);
        return Err(connection.refusal(&line));
    };
    Ok(Some(found))
}

/// The flags and the length in a line `VALUE key flags length`. `None` if it is no such line, or one of another key.
pub(super) fn head(line: &[u8], key: &[u8]) -> Option<(u32, usize)> {
    let rest = line.strip_prefix(b"VALUE ")?.strip_prefix(key)?.strip_prefix(b" ")?;
    let mut numbers = std::str::from_utf8(rest).ok()?.split(' ');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// `larder set`. What is not given as a word is read from standard input, to its end.
///
/// # Errors
/// As [`Failure`] has them.
pub(super) fn set(options: &SetOptions, _out: &mut dyn Write) -> Result<(), Failure> {
    let mut connection = Connection::open(&options.server, &Access::new(&options.connect)?)?;
    let mut value = match &options.value {
        Some(word) => word.as_encoded_bytes().to_vec(),
        None => from_stdin(&mut connection)?,
    };
    let (key, flags, ttl) = (&options.key.0, options.flags, exptime(options.ttl));
    let head = format!("set {key} {flags} {ttl} {}\r\n", value.len());
    value.extend_from_slice(b"\r\n");
    connection.send(head.as_bytes())?;
    connection.send(&value)?;
    match connection.line()? {
        b"STORED" => Ok(()),
        line => {
            let line = text::printable(line);
            Err(connection.refusal(&line))
        }
    }
}

/// All of standard input, as long as the server takes it.
fn from_stdin(connection: &mut Connection) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = |value: &mut Vec<u8>, most: usize| {
        // One byte more, to see that there is more.
        let left = (most + 1).saturating_sub(value.len()) as u64;
        let read = std::io::stdin().lock().take(left).read_to_end(value);
        read.map_err(|error| Failure::Failed(format!("cannot read standard input: {error}")))
    };
    read(&mut value, UNASKED_BYTES)?;
    if value.len() <= UNASKED_BYTES {
        return Ok(value);
    }
    let told = match stats::ask(connection, "settings")? {
        Answer::Group(found) => found.pairs.into_iter().find(|(name, _)| name == "item_size_max"),
        // Who may not see it may still store what fits.
        Answer::Refused(_) => None,
    };
    let most = told.and_then(|(_, value)| value.parse().ok()).unwrap_or(VALUE_BYTES_MAX);
    let most = most.min(VALUE_BYTES_MAX);
    read(&mut value, most)?;
    if value.len() > most {
        let text =
            format!("{} takes {most} bytes of a value at most, and there are more", connection.server());
        return Err(Failure::Failed(text));
    }
    Ok(value)
}

/// `larder delete`.
///
/// # Errors
/// As [`Failure`] has them; that there is no such item is one.
pub(super) fn delete(options: &DeleteOptions, _out: &mut dyn Write) -> Result<(), Failure> {
    let mut connection = Connection::open(&options.server, &Access::new(&options.connect)?)?;
    let key = &options.key.0;
    connection.send(format!("delete {key}\r\n").as_bytes())?;
    match connection.line()? {
        b"DELETED" => Ok(()),
        b"NOT_FOUND" => Err(not_found(&connection, key)),
        line => {
            let line = text::printable(line);
            Err(connection.refusal(&line))
        }
    }
}

fn not_found(connection: &Connection, key: &str) -> Failure {
    Failure::Failed(format!("{} has no item '{}'", connection.server(), text::printable(key.as_bytes())))
}
