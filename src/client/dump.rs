//! `larder dump`: the keys of a server, or its items as commands that put them into a server again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Lines, Seek, Write};

use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::access::Access;
use super::connection::{Connection, UNAUTHENTICATED};
use super::failure::Failure;
use super::items::{self, DATE_MAX};
use super::options::DumpOptions;
use super::stats::{self, Answer};
use super::text;

/// Items whose values are asked for at a time.
const BATCH: usize = 64;
/// Items whose refusal is told one by one; there may be millions.
const NOTES_MAX: u64 = 20;

/// A line of `lru_crawler metadump`.
struct Listed {
    /// As the line has it: encoded, harmless.
    encoded: String,
    key: Vec<u8>,
    /// Unix time; negative for never.
    exptime: i64,
    size: Option<u64>,
}

/// A list of items.
enum List {
    /// As the server sends it.
    Coming(Connection),
    Kept(Lines<BufReader<File>>),
}

/// Whom values are asked of.
struct Reader {
    connection: Connection,
    /// Items that the server would not give.
    refused: u64,
}

impl Listed {
    /// `null` for one that does not end.
    fn json_exptime(&self) -> Value {
        Some(self.exptime).filter(|exptime| *exptime >= 0).into()
    }
}

/// `larder dump`.
///
/// # Errors
/// As [`Failure`] has them.
pub(super) fn run(options: &DumpOptions, out: &mut dyn Write) -> Result<(), Failure> {
    if options.values && !options.json && std::io::stdout().is_terminal() {
        let text =
            "--values writes values as they are, which is nothing for a terminal: expected a file, or --json";
        return Err(Failure::Usage(text.to_owned()));
    }
    let access = Access::new(&options.connect)?;
    let mut lister = Connection::open(&options.server, &access)?;
    let is_larder = is_larder(&mut lister, options)?;
    // Values are asked for on a connection of their own: nothing may come between the lines of a list.
    let mut reader = match options.values {
        true => Some(Reader { connection: Connection::open(&options.server, &access)?, refused: 0 }),
        false => None,
    };
    let prefix = options.prefix.as_deref().unwrap_or_default();
    let within = match is_larder && is_plain(prefix.as_bytes()) {
        true => format!(" {prefix}"),
        false => String::new(),
    };
    lister.send(format!("lru_crawler metadump all{within}\r\n").as_bytes())?;
    let mut list = List::Coming(lister);
    // memcached's crawler passes over every item that somebody asks for just then: those of a batch would hide others.
    if options.values && !is_larder {
        list = list.kept(prefix)?;
    }
    let mut batch = Vec::new();
    loop {
        let listed = list.next(prefix)?;
        let is_end = listed.is_none();
        batch.extend(listed.map(|(_, listed)| listed));
        if is_end || batch.len() == BATCH {
            match &mut reader {
                Some(reader) => reader.write_items(&batch, options.json, out)?,
                None => write_keys(&batch, options.json, out)?,
            }
            batch.clear();
        }
        if is_end {
            return reader.as_ref().map_or(Ok(()), Reader::end);
        }
    }
}

/// Whether the server is larder, where that matters: it lists what begins with a prefix alone, and all that it has while
/// values are asked for.
fn is_larder(connection: &mut Connection, options: &DumpOptions) -> Result<bool, Failure> {
    let has_prefix = options.prefix.as_deref().is_some_and(|prefix| is_plain(prefix.as_bytes()));
    if !(has_prefix || options.values) {
        return Ok(false);
    }
    Ok(match stats::ask(connection, "")? {
        Answer::Group(found) => found.pairs.iter().any(|(name, _)| name == "larder_version"),
        Answer::Refused(_) => false,
    })
}

impl List {
    /// The next line, and what it says, of an item whose key begins with `prefix`. `None` at the end.
    fn next(&mut self, prefix: &str) -> Result<Option<(String, Listed)>, Failure> {
        loop {
            let line = match self {
                List::Kept(lines) => match lines.next().transpose().map_err(unkept)? {
                    Some(line) => line,
                    None => return Ok(None),
                },
                List::Coming(lister) => {
                    lister.go_on_waiting();
                    let line = text::printable(lister.line()?);
                    // The other is said where there is nothing to list.
                    if line == "END" || stats::is_word(&line, "NOTSTARTED") {
                        return Ok(None);
                    }
                    line
                }
            };
            // Later releases begin with it.
            if line == "OK" {
                continue;
            }
            match (read_line(&line), &self) {
                (Some(listed), _) if listed.key.starts_with(prefix.as_bytes()) => {
                    return Ok(Some((line, listed)));
                }
                (None, List::Coming(lister)) => return Err(lister.refusal(&line)),
                _ => {}
            }
        }
    }

    /// All of it, in a file that has no name and ends with us: in memory it might find no place.
    fn kept(mut self, prefix: &str) -> Result<List, Failure> {
        let mut file = BufWriter::new(tempfile::tempfile().map_err(unkept)?);
        while let Some((line, _)) = self.next(prefix)? {
            writeln!(file, "{line}").map_err(unkept)?;
        }
        let mut file = file.into_inner().map_err(|error| unkept(error.into_error()))?;
        file.rewind().map_err(unkept)?;
        Ok(List::Kept(BufReader::new(file).lines()))
    }
}

fn unkept(error: io::Error) -> Failure {
    Failure::Failed(format!("the list of keys cannot be kept in a temporary file: {error}"))
}

/// From `key=a%20b exp=-1 la=1795904081 cas=1 fetch=no cls=1 size=61`. `None` if it is no such line.
fn read_line(line: &str) -> Option<Listed> {
    let fields: HashMap<&str, &str> = line.split(' ').filter_map(|field| field.split_once('=')).collect();
    let encoded = (*fields.get("key")?).to_owned();
    let key: Vec<u8> = percent_decode_str(&encoded).collect();
    let exptime = fields.get("exp")?.parse().ok()?;
    Some(Listed { encoded, key, exptime, size: fields.get("size").and_then(|size| size.parse().ok()) })
}

fn write_keys(batch: &[Listed], in_json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    for listed in batch {
        if in_json {
            let mut object = json!({ "exptime": listed.json_exptime(), "size": listed.size });
            text::json_bytes(&mut object, "key", &listed.key);
            writeln!(out, "{}", text::json(&object))?;
        } else {
            writeln!(out, "{}", listed.encoded)?;
        }
    }
    Ok(())
}

impl Reader {
    /// Asks for the values, and writes those that are still there.
    fn write_items(&mut self, batch: &[Listed], in_json: bool, out: &mut dyn Write) -> Result<(), Failure> {
        let mut request = Vec::new();
        for listed in batch {
            // `mg` would take the one invitation to renew a stale item, from an application that could.
            match is_plain(&listed.key) {
                true => request.extend([b"get ", listed.key.as_slice(), b"\r\n"].concat()),
                false => {
                    request.extend(format!("mg {} b u f v\r\n", BASE64.encode(&listed.key)).into_bytes());
                }
            }
        }
        self.connection.send(&request)?;
        for listed in batch {
            let Some((flags, length)) = self.head(listed)? else { continue };
            if in_json {
                let mut object = text::json_item(&listed.key, flags, self.connection.value(length)?);
                object["exptime"] = listed.json_exptime();
                writeln!(out, "{}", text::json(&object))?;
            } else {
                self.connection.value_to(length, &command(listed, flags, length), out)?;
                out.write_all(b"\r\n")?;
            }
            if is_plain(&listed.key) && self.connection.line()? != b"END" {
                let server = self.connection.server();
                return Err(Failure::Failed(format!("{server} sends more than the value asked for")));
            }
        }
        Ok(())
    }

    /// The flags and the length of the value that comes next. `None` if there is none: the item has ended meanwhile or
    /// was evicted, or the server refuses it, which is noted.
    fn head(&mut self, listed: &Listed) -> Result<Option<(u32, usize)>, Failure> {
        let line = self.connection.line()?;
        if line == b"END" || line == b"EN" {
            return Ok(None);
        }
        let found = match is_plain(&listed.key) {
            true => items::head(line, &listed.key),
            false => meta_head(line),
        };
        if found.is_some() {
            return Ok(found);
        }
        let line = text::printable(line);
        let refusal = self.connection.refusal(&line);
        let is_of_one =
            ["CLIENT_ERROR", "SERVER_ERROR", "ERROR"].iter().any(|word| stats::is_word(&line, word));
        if !is_of_one || line == UNAUTHENTICATED {
            return Err(refusal);
        }
        self.refused += 1;
        if self.refused <= NOTES_MAX {
            let key = text::readable_key(&listed.encoded);
            // Who does not read the notes is to have the items all the same.
            let _ = writeln!(io::stderr(), "larder: dump: '{key}' is left out: {refusal}");
        }
        Ok(None)
    }

    /// A dump that lacks items has failed, whatever else is in it.
    fn end(&self) -> Result<(), Failure> {
        match self.refused {
            0 => Ok(()),
            count => Err(Failure::Failed(format!("items that were refused, and are left out: {count}"))),
        }
    }
}

/// The flags and the length in a line such as `VA 5 f7`.
fn meta_head(line: &[u8]) -> Option<(u32, usize)> {
    let mut words = std::str::from_utf8(line).ok()?.strip_prefix("VA ")?.split(' ');
    let length = words.next()?.parse().ok()?;
    Some((words.find_map(|word| word.strip_prefix('f')?.parse().ok()).unwrap_or(0), length))
}

/// The line in front of the value that adds the item to a server, as memcached-tool writes it; that of a key with blanks
/// in it is `ms`.
fn command(listed: &Listed, flags: u32, length: usize) -> Vec<u8> {
    let exptime = u64::try_from(listed.exptime).unwrap_or(0).min(DATE_MAX);
    if !is_plain(&listed.key) {
        let key = BASE64.encode(&listed.key);
        return format!("ms {key} {length} b ME F{flags} T{exptime}\r\n").into_bytes();
    }
    let end = format!(" {flags} {exptime} {length}\r\n");
    [b"add ", listed.key.as_slice(), end.as_bytes()].concat()
}

/// Whether a classic command can carry the key: blanks and line ends alone end one there, and a NUL in some servers.
/// Base64 makes it longer, perhaps too long.
fn is_plain(key: &[u8]) -> bool {
    !key.is_empty() && !key.iter().any(|byte| b" \n\0".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_list_are_read_whatever_else_is_in_them() {
        let listed =
            read_line("key=a%20b%00 exp=1795904081 la=1 cas=1 fetch=no cls=1 size=61 flags=0").unwrap();
        assert_eq!(
            (&*listed.key, listed.exptime, listed.size),
            (b"a b\0".as_slice(), 1_795_904_081, Some(61))
        );
        assert!(
            read_line("key=k exp=-1").is_some_and(|listed| listed.exptime == -1 && listed.size.is_none())
        );
        for line in ["BUSY currently processing crawler request", "", "key=k", "exp=-1", "key=k exp=soon"] {
            assert!(read_line(line).is_none(), "{line}");
        }
    }

    #[test]
    fn items_are_written_as_commands() {
        let check = |line: &str, wanted: &[u8]| {
            assert_eq!(command(&read_line(line).unwrap(), 7, 2), wanted);
        };
        check("key=k%25 exp=-1", b"add k% 7 0 2\r\n");
        check("key=%09%0D%7F exp=-1", b"add \t\r\x7f 7 0 2\r\n");
        check("key=a%20b exp=1795904081", b"ms YSBi 2 b ME F7 T1795904081\r\n");
        // Later dates are the past for memcached.
        check("key=k exp=4102444800", b"add k 7 2147483647 2\r\n");
    }
}
