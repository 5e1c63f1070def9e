//! The slow log (`--slow-log-ms`): the last commands that took long, and `stats slowlog`, which shows them.
//!
//! Two ways lead into it. A command that is timed by itself is named exactly. Not all are timed, so a worker also looks
//! at the clock once in a few turns and at the end of each round: where the time since the last look is long, but for
//! commands that are named already, it is entered with the number of commands and clients that it was for, and of one
//! of them what is known. What is slow is in one of the two, always.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock;

use super::conns::Address;
use super::encoding;
use super::parse::next_token;
use super::reply;
use super::session::Turn;
use super::stats::Lines;

/// Entries that are kept; a new one takes the place of the oldest.
const ENTRIES_MAX: usize = 128;
/// Bytes of a command line that are kept of it: a name, a key of full length, and some more.
pub(super) const LINE_BYTES_KEPT: usize = 300;

/// What took long: a command, or several that were not timed one by one.
#[derive(Clone, Copy, Debug)]
pub struct SlowBatch<'a> {
    /// How long all of it took.
    pub time: Duration,
    /// How many commands it was; with 1 all else is about that.
    pub commands: u64,
    /// From how many clients they came.
    pub clients: u64,
    /// The beginning of the line of one of them, the first of the client that moved most bytes.
    pub line: &'a [u8],
    /// Whether that may end anywhere, within a key, too.
    pub is_line_cut: bool,
    /// Whose that was.
    pub address: Option<&'a Address>,
    /// As whom that client has logged in.
    pub user: Option<&'a str>,
    /// Bytes that this client sent.
    pub bytes_in: u64,
    /// Bytes that it was answered.
    pub bytes_out: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    unix_micros: u64,
    time: Duration,
    commands: u64,
    clients: u64,
    command: String,
    /// What of it is known: `key`, or `key_prefix`.
    key: Option<(&'static str, String)>,
    address: Option<String>,
    user: Option<String>,
    bytes_in: u64,
    bytes_out: u64,
}

/// See the module.
#[derive(Debug)]
pub struct SlowLog {
    /// `None` if there is no log.
    limit: Option<Duration>,
    /// Entries there have been.
    count: AtomicU64,
    entries: Mutex<VecDeque<Entry>>,
}

impl SlowLog {
    /// One of what takes `limit_ms` milliseconds or more; 0 for none.
    pub(super) fn new(limit_ms: u32) -> SlowLog {
        let limit = (limit_ms > 0).then(|| Duration::from_millis(limit_ms.into()));
        SlowLog { limit, count: AtomicU64::new(0), entries: Mutex::default() }
    }

    /// Whether anything is entered.
    pub fn is_on(&self) -> bool {
        self.limit.is_some()
    }

    /// Whether what took so long is.
    pub fn wants(&self, time: Duration) -> bool {
        self.limit.is_some_and(|limit| time >= limit)
    }

    /// Entries there have been.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Enters something.
    pub fn enter(&self, batch: SlowBatch) {
        let (command, key) = command_and_key(batch.line);
        let is_at_end = |key: &[u8]| batch.line.as_ptr_range().end == key.as_ptr_range().end;
        let named_key = |key: &[u8]| {
            let name = if batch.is_line_cut && is_at_end(key) { "key_prefix" } else { "key" };
            (name, encoding::uri(key).to_string())
        };
        let mut entries = self.entries.lock();
        let id = self.count.fetch_add(1, Relaxed);
        if entries.len() == ENTRIES_MAX {
            entries.pop_back();
        }
        entries.push_front(Entry {
            id,
            unix_micros: clock::unix_micros(),
            time: batch.time,
            commands: batch.commands,
            clients: batch.clients,
            command: encoding::uri(command).to_string(),
            key: key.map(named_key),
            address: batch.address.map(|address| encoding::printable(&address.to_string())),
            user: batch.user.map(|user| encoding::uri(user.as_bytes()).to_string()),
            bytes_in: batch.bytes_in,
            bytes_out: batch.bytes_out,
        });
    }
}

/// The name in a command line, or in the beginning of one, and its first key, where it has any.
fn command_and_key(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some((name, rest)) = next_token(line) else { return (b"", None) };
    let key = match name {
        b"gat" | b"gats" => next_token(rest).and_then(|(_, rest)| next_token(rest)),
        b"get" | b"gets" | b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" | b"delete"
        | b"incr" | b"decr" | b"touch" | b"mg" | b"ms" | b"md" | b"ma" | b"me" => next_token(rest),
        _ => None,
    };
    (name, key.map(|(key, _)| key))
}

/// `stats slowlog`, the last first, and `stats slowlog reset`. `Err` has the line in place of a list.
pub(super) fn stats(argument: &[u8], turn: &mut Turn) -> Result<(), &'static [u8]> {
    let log = &turn.daemon.slow_log;
    match argument {
        b"" => {}
        b"reset" => {
            log.entries.lock().clear();
            return Err(reply::RESET);
        }
        _ => return Err(reply::ERROR),
    }
    let shows_keys = turn.daemon.settings.dump_enabled;
    let mut lines = Lines(turn.output);
    lines.add("slow_log_ms", log.limit.map_or(0, |limit| limit.as_millis()));
    lines.add("slow_log_count", log.count());
    for entry in log.entries.lock().iter() {
        let id = entry.id;
        let micros = entry.unix_micros;
        lines
            .add(format_args!("{id}:time"), format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
        lines.add(format_args!("{id}:duration_us"), entry.time.as_micros());
        lines.add(format_args!("{id}:commands"), entry.commands);
        lines.add(format_args!("{id}:clients"), entry.clients);
        let command = Some(&entry.command).filter(|command| !command.is_empty());
        let (key_name, key) = entry.key.as_ref().map_or(("key", None), |(name, key)| (*name, Some(key)));
        for (name, value) in [
            ("command", command),
            (key_name, key.filter(|_| shows_keys)),
            ("addr", entry.address.as_ref()),
            ("user", entry.user.as_ref()),
        ] {
            if let Some(value) = value {
                lines.add(format_args!("{id}:{name}"), value);
            }
        }
        lines.add(format_args!("{id}:bytes_read"), entry.bytes_in);
        lines.add(format_args!("{id}:bytes_written"), entry.bytes_out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(line: &[u8], milliseconds: u64) -> SlowBatch<'_> {
        let time = Duration::from_millis(milliseconds);
        let (address, user) = (None, Some("a b\"\r\n"));
        let (commands, clients, bytes_in, bytes_out) = (1, 1, 2, 3);
        SlowBatch { time, commands, clients, line, is_line_cut: true, address, user, bytes_in, bytes_out }
    }

    #[test]
    fn names_and_keys_are_found_in_lines_and_pieces_of_them() {
        for (line, command, key) in [
            (&b"get k v\r\n"[..], &b"get"[..], Some(&b"k"[..])),
            (b"gat 30 k\r\n", b"gat", Some(b"k")),
            (b"gat 30", b"gat", None),
            (b"  set  k 0 0", b"set", Some(b"k")),
            (b"flush_all 5\r\nget k\r\n", b"flush_all", None),
            (b"get\nx", b"get", None),
            (b"\r\n", b"", None),
            (b"", b"", None),
            (b"md \xff\"\x00\r\n", b"md", Some(b"\xff\"\x00")),
        ] {
            assert_eq!(command_and_key(line), (command, key), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn the_last_entries_are_kept_and_harmless() {
        let log = SlowLog::new(10);
        assert!(log.wants(Duration::from_millis(10)) && !log.wants(Duration::from_micros(9_999)));
        for number in 0..ENTRIES_MAX as u64 + 5 {
            log.enter(batch(b"set <k>\"\xc3(\x1b\t 0 0 1\r\n", number));
        }
        let entries = log.entries.lock();
        assert_eq!((entries.len(), log.count()), (ENTRIES_MAX, ENTRIES_MAX as u64 + 5));
        assert_eq!((entries[0].id, entries[ENTRIES_MAX - 1].id), (ENTRIES_MAX as u64 + 4, 5));
        assert_eq!(entries[0].key, Some(("key", "%3Ck%3E%22%C3%28%1B%09".to_owned())));
        assert_eq!(entries[0].user.as_deref(), Some("a%20b%22%0D%0A"));
    }

    #[test]
    fn a_key_of_which_only_a_part_is_known_is_called_so() {
        let log = SlowLog::new(10);
        let name = |line: &[u8], is_line_cut| {
            log.enter(SlowBatch { is_line_cut, ..batch(line, 10) });
            log.entries.lock()[0].key.clone().map(|(name, _)| name)
        };
        assert_eq!(name(b"get abc", true), Some("key_prefix"));
        assert_eq!(name(b"get abc ", true), Some("key"));
        assert_eq!(name(b"get abc\r", true), Some("key"));
        assert_eq!(name(b"get abc", false), Some("key"));
        assert_eq!(name(b"get", true), None);
    }

    #[test]
    fn without_a_limit_there_is_no_log() {
        let log = SlowLog::new(0);
        assert!(!log.is_on() && !log.wants(Duration::MAX));
    }
}
