//! `larder dump`: the keys of a server, or its items as commands that put them into a server again.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};

use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::access::Access;
use super::connection::Connection;
use super::failure::Failure;
use super::options::DumpOptions;
use super::stats::{self, Answer};
use super::text;

/// Items whose values are asked for at a time.
const BATCH: usize = 64;

/// A line of `lru_crawler metadump`.
struct Listed {
    /// As the line has it: encoded, harmless.
    encoded: String,
    key: Vec<u8>,
    /// Unix time; negative for never.
    exptime: i64,
    size: Option<u64>,
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
    // Values are asked for on a connection of their own: nothing may come between the lines of a list.
    let mut reader = match options.values {
        true => Some(Connection::open(&options.server, &access)?),
        false => None,
    };
    let command = list_command(&mut lister, options.prefix.as_deref())?;
    lister.send(command.as_bytes())?;
    let mut batch = Vec::new();
    loop {
        lister.go_on_waiting();
        let line = text::printable(lister.line()?);
        if line == "OK" {
            // Later releases begin with it.
            continue;
        }
        // The other is said where there is nothing to list.
        let is_end = line == "END" || stats::is_word(&line, "NOTSTARTED");
        if !is_end {
            let Some(listed) = read_line(&line) else { return Err(lister.refusal(&line)) };
            let prefix = options.prefix.as_deref().unwrap_or_default();
            if listed.key.starts_with(prefix.as_bytes()) {
                batch.push(listed);
            }
        }
        if is_end || batch.len() == BATCH {
            match &mut reader {
                Some(reader) => write_items(&batch, reader, options.json, out)?,
                None => write_keys(&batch, options.json, out)?,
            }
            batch.clear();
        }
        if is_end {
            return Ok(());
        }
    }
}

/// A list of all, or where the server can do it of what is wanted alone.
fn list_command(connection: &mut Connection, prefix: Option<&str>) -> Result<String, Failure> {
    let all = "lru_crawler metadump all";
    let is_plain =
        |prefix: &&str| !prefix.is_empty() && prefix.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    let Some(prefix) = prefix.filter(is_plain) else { return Ok(format!("{all}\r\n")) };
    let is_larder = match stats::ask(connection, "")? {
        Answer::Group(found) => found.pairs.iter().any(|(name, _)| name == "larder_version"),
        Answer::Refused(_) => false,
    };
    Ok(if is_larder { format!("{all} {prefix}\r\n") } else { format!("{all}\r\n") })
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
            let exptime = Some(listed.exptime).filter(|exptime| *exptime >= 0);
            let object = json!({ "key": listed.encoded, "exptime": exptime, "size": listed.size });
            writeln!(out, "{}", text::json(&object))?;
        } else {
            writeln!(out, "{}", listed.encoded)?;
        }
    }
    Ok(())
}

/// Asks for the values, and writes those that are still there.
fn write_items(
    batch: &[Listed],
    reader: &mut Connection,
    in_json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut request = Vec::new();
    for listed in batch {
        request.extend_from_slice(b"mg ");
        match is_plain(&listed.key) {
            true => request.extend_from_slice(&listed.key),
            false => request.extend_from_slice(format!("{} b", BASE64.encode(&listed.key)).as_bytes()),
        }
        // `u`: that we look at an item is no reason to keep it.
        request.extend_from_slice(b" u f v\r\n");
    }
    reader.send(&request)?;
    for listed in batch {
        reader.go_on_waiting();
        let line = text::printable(reader.line()?);
        let mut words = line.split(' ');
        let length = match (words.next(), words.next().map(str::parse::<usize>)) {
            (Some("VA"), Some(Ok(length))) => length,
            // It has ended meanwhile, or was evicted.
            (Some("EN"), _) => continue,
            _ => return Err(reader.refusal(&line)),
        };
        let flags = words.find_map(|word| word.strip_prefix('f')?.parse().ok()).unwrap_or(0);
        let value = reader.value(length)?;
        match in_json {
            true => {
                let mut object = text::json_item(&listed.encoded, flags, value);
                object["exptime"] = Some(listed.exptime).filter(|exptime| *exptime >= 0).into();
                writeln!(out, "{}", text::json(&object))?;
            }
            false => write_command(listed, flags, value, out)?,
        }
    }
    Ok(())
}

/// The command that adds the item to a server, as memcached-tool writes it; that of a key with blanks in it is `ms`.
fn write_command(listed: &Listed, flags: u32, value: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
    let (exptime, length) = (listed.exptime.max(0), value.len());
    if is_plain(&listed.key) {
        out.write_all(b"add ")?;
        out.write_all(&listed.key)?;
        write!(out, " {flags} {exptime} {length}\r\n")?;
    } else {
        write!(out, "ms {} {length} b ME F{flags} T{exptime}\r\n", BASE64.encode(&listed.key))?;
    }
    out.write_all(value)?;
    Ok(out.write_all(b"\r\n")?)
}

/// Whether a classic command can carry the key.
fn is_plain(key: &[u8]) -> bool {
    key.iter().all(|&byte| byte > b' ' && byte != 0x7f)
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
            let mut out = Vec::new();
            let listed = read_line(line).unwrap();
            write_command(&listed, 7, b"\x1b\n", &mut out).unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(out, wanted);
        };
        check("key=k%25 exp=-1", b"add k% 7 0 2\r\n\x1b\n\r\n");
        check("key=a%20b exp=1795904081", b"ms YSBi 2 b ME F7 T1795904081\r\n\x1b\n\r\n");
    }
}
