//! `larder get`, `set` and `delete`: single items, by hand or from a script.

use std::io::{IsTerminal, Read, Write};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::access::Access;
use super::connection::Connection;
use super::failure::Failure;
use super::options::{DeleteOptions, GetOptions, SetOptions};
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

/// So many seconds from now, as the protocol has it: more than 30 days would be taken for a date.
pub(super) fn exptime(seconds: u32) -> u64 {
    const RELATIVE_MAX: u32 = 30 * 24 * 60 * 60;
    match seconds {
        0..=RELATIVE_MAX => seconds.into(),
        _ => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() + u64::from(seconds),
    }
}

/// A value that a server has sent.
pub(super) struct Item {
    pub flags: u32,
    pub value: Vec<u8>,
}

/// `larder get`. Prints the bytes of the value, but not such as a terminal obeys to a terminal.
///
/// # Errors
/// As [`Failure`] has them; that there is no such item is one.
pub(super) fn get(options: &GetOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let mut connection = Connection::open(&options.server, &Access::new(&options.connect)?)?;
    let key = &options.key.0;
    let Some(item) = fetch(&mut connection, key)? else { return Err(not_found(&connection, key)) };
    if options.json {
        writeln!(out, "{}", text::json(&text::json_item(key, item.flags, &item.value)))?;
    } else if std::io::stdout().is_terminal() {
        for line in item.value.split(|&byte| byte == b'\n') {
            writeln!(out, "{}", text::printable(line))?;
        }
    } else {
        out.write_all(&item.value)?;
    }
    Ok(())
}

/// The item with this key, if there is one.
fn fetch(connection: &mut Connection, key: &str) -> Result<Option<Item>, Failure> {
    connection.send(format!("get {key}\r\n").as_bytes())?;
    let line = text::printable(connection.line()?);
    if line == "END" {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let head = (words.next(), words.next(), words.next().map(str::parse), words.next().map(str::parse));
    let (Some("VALUE"), Some(_), Some(Ok(flags)), Some(Ok(length))) = head else {
        return Err(connection.refusal(&line));
    };
    let value = connection.value(length)?.to_vec();
    match connection.line()? {
        b"END" => Ok(Some(Item { flags, value })),
        line => {
            let line = text::printable(line);
            Err(connection.refusal(&line))
        }
    }
}

/// `larder set`. What is not given as a word is read from standard input, to its end.
///
/// # Errors
/// As [`Failure`] has them.
pub(super) fn set(options: &SetOptions, _out: &mut dyn Write) -> Result<(), Failure> {
    let mut value = Vec::new();
    match &options.value {
        Some(word) => value.extend_from_slice(word.as_encoded_bytes()),
        None => {
            let read = std::io::stdin().read_to_end(&mut value);
            read.map_err(|error| Failure::Failed(format!("cannot read standard input: {error}")))?;
        }
    }
    let mut connection = Connection::open(&options.server, &Access::new(&options.connect)?)?;
    let (key, flags, ttl) = (&options.key.0, options.flags, exptime(options.ttl));
    let mut request = format!("set {key} {flags} {ttl} {}\r\n", value.len()).into_bytes();
    request.extend_from_slice(&value);
    request.extend_from_slice(b"\r\n");
    connection.send(&request)?;
    match connection.line()? {
        b"STORED" => Ok(()),
        line => {
            let line = text::printable(line);
            Err(connection.refusal(&line))
        }
    }
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
