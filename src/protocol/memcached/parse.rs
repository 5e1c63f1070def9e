//! From a command line to a [`Request`].
//!
//! Rules: memcached's protocol.txt and the behaviour of 1.6.45. Only blanks separate tokens; every other
//! byte belongs to one. A line comes without its LF and without one CR before that.

use super::crawler;
use super::debug;
use super::number;
use super::reply;
use super::request::{DebugOrder, MetaCommand, Request, Retrieval};
use super::tuning;
use super::watch;
use crate::store::{Direction, KEY_BYTES_MAX, StoreMode};

/// Most tokens of a line that count; what follows is not looked at. Lists of keys are read apart.
pub(super) const TOKENS_MAX: usize = 23;
/// Blanks before a long list of keys that memcached looks behind.
const LEADING_BLANKS_MAX: usize = 100;
/// Shortest line in bytes, its line end included.
const LINE_BYTES_MIN: usize = 4;

/// The tokens of one line.
pub(super) struct Tokens<'a> {
    list: [&'a [u8]; TOKENS_MAX],
    len: usize,
}

impl<'a> Tokens<'a> {
    fn of(line: &'a [u8]) -> Tokens<'a> {
        let mut tokens = Tokens { list: [b""; TOKENS_MAX], len: 0 };
        let mut rest = line;
        while tokens.len < TOKENS_MAX {
            let Some((token, behind)) = next_token(rest) else { break };
            tokens.list[tokens.len] = token;
            tokens.len += 1;
            rest = behind;
        }
        tokens
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.list[..self.len].get(index).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The token at `index`, unless it is the one that asks for silence; empty if there is none.
    pub(super) fn argument(&self, index: usize, noreply: bool) -> &'a [u8] {
        self.get(index).filter(|_| !noreply || index + 1 < self.len).unwrap_or_default()
    }

    fn last(&self) -> &'a [u8] {
        self.get(self.len.wrapping_sub(1)).unwrap_or_default()
    }

    fn ends_in_noreply(&self) -> bool {
        self.last() == b"noreply"
    }
}

/// The first token of `text` and what is behind it; `None` if there are only blanks.
#[inline]
pub fn next_token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = text.iter().position(|&byte| byte != b' ')?;
    let text = &text[start..];
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    Some(text.split_at(end))
}

/// An answer for a command that cannot be carried out; none if it asked for silence.
pub(super) fn refuse(reply: &'static [u8], noreply: bool) -> Request<'static> {
    Request::Refused { reply: (!noreply).then_some(reply), skip: 0 }
}

fn is_key(text: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&text.len())
}

/// Reads a command line. `line_bytes` is its length with the line end, which has a minimum of its own.
#[inline]
pub fn line(line: &[u8], line_bytes: usize) -> Request<'_> {
    if line_bytes < LINE_BYTES_MIN {
        return refuse(reply::BAD_FORMAT, false);
    }
    // Most lines are such, and need no search for the blank.
    if line.starts_with(b"get ") {
        return retrieve(false, line, &line[b"get".len()..]);
    }
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    match name {
        b"get" => retrieve(false, line, rest),
        b"set" => store(StoreMode::Set, line),
        b"gets" => retrieve(true, line, rest),
        b"gat" => touch_and_retrieve(false, line, rest),
        b"gats" => touch_and_retrieve(true, line, rest),
        b"add" => store(StoreMode::Add, line),
        b"replace" => store(StoreMode::Replace, line),
        b"append" => store(StoreMode::Append, line),
        b"prepend" => store(StoreMode::Prepend, line),
        b"cas" => store(StoreMode::Cas(0), line),
        b"incr" => arithmetic(Direction::Incr, line),
        b"decr" => arithmetic(Direction::Decr, line),
        b"delete" => delete(line),
        b"touch" => touch(line),
        b"mg" => Request::Meta { command: MetaCommand::Get, arguments: rest },
        b"ms" => Request::Meta { command: MetaCommand::Set, arguments: rest },
        b"md" => Request::Meta { command: MetaCommand::Delete, arguments: rest },
        b"ma" => Request::Meta { command: MetaCommand::Arithmetic, arguments: rest },
        b"me" => Request::Meta { command: MetaCommand::Debug, arguments: rest },
        b"mn" => Request::MetaNoop,
        _ => administrative(line),
    }
}

/// What a line turns out to be whose end has not come although it is longer than a command may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongLine {
    /// A list of keys, which begins so many bytes into the line.
    Keys(Retrieval, usize),
    /// A list of keys behind blanks: not a command, but its end may still come.
    Unknown,
    /// Nothing that may be so long.
    Hopeless,
}

/// Judges the beginning of a line that is too long for any command but get and gets.
pub fn long_line(line: &[u8]) -> LongLine {
    let blanks = line.iter().take_while(|&&byte| byte == b' ').count();
    let with_cas = match &line[blanks..] {
        [b'g', b'e', b't', b' ', ..] => false,
        [b'g', b'e', b't', b's', b' ', ..] => true,
        _ => return LongLine::Hopeless,
    };
    match blanks {
        0 => LongLine::Keys(Retrieval { with_cas, exptime: None }, if with_cas { 4 } else { 3 }),
        1..=LEADING_BLANKS_MAX => LongLine::Unknown,
        _ => LongLine::Hopeless,
    }
}

fn retrieve<'a>(with_cas: bool, line: &'a [u8], keys: &'a [u8]) -> Request<'a> {
    if keys.iter().all(|&byte| byte == b' ') {
        return refuse(reply::BAD_FORMAT, false);
    }
    Request::Retrieve { retrieval: Retrieval { with_cas, exptime: None }, keys_at: line.len() - keys.len() }
}

fn touch_and_retrieve<'a>(with_cas: bool, line: &'a [u8], rest: &'a [u8]) -> Request<'a> {
    let Some((exptime, keys)) = next_token(rest) else { return refuse(reply::BAD_FORMAT, false) };
    if next_token(keys).is_none() {
        return refuse(reply::BAD_FORMAT, false);
    }
    match number::strict_i32(exptime) {
        Some(exptime) => Request::Retrieve {
            retrieval: Retrieval { with_cas, exptime: Some(exptime) },
            keys_at: line.len() - keys.len(),
        },
        None => refuse(reply::BAD_EXPTIME, false),
    }
}

/// `<verb> <key> <flags> <exptime> <bytes> [<unique>] [noreply]`
///
/// As long as the length cannot be read, nobody knows what follows, so nothing is skipped and the error
/// is sent even under noreply. Any later error skips the announced value.
fn store(mode: StoreMode, line: &[u8]) -> Request<'_> {
    let tokens = Tokens::of(line);
    let value_bytes = tokens.get(4).and_then(number::value_bytes);
    let (Some(key), Some(value_bytes)) = (tokens.get(1), value_bytes) else {
        return refuse(reply::BAD_FORMAT, false);
    };
    let noreply = tokens.ends_in_noreply();
    let mode = match mode {
        StoreMode::Cas(_) => tokens.get(5).and_then(number::strict_u64).map(StoreMode::Cas),
        mode => Some(mode),
    };
    let client_flags = tokens.get(2).and_then(number::client_flags);
    let exptime = tokens.get(3).and_then(number::exptime);
    match (client_flags, exptime, mode) {
        (Some(client_flags), Some(exptime), Some(mode)) if is_key(key) => {
            Request::Store { mode, key, client_flags, exptime, value_bytes, noreply }
        }
        _ => Request::Refused { reply: (!noreply).then_some(reply::BAD_FORMAT), skip: value_bytes + 2 },
    }
}

fn arithmetic(direction: Direction, line: &[u8]) -> Request<'_> {
    let tokens = Tokens::of(line);
    let noreply = tokens.ends_in_noreply();
    match (tokens.get(1), tokens.get(2)) {
        (Some(key), Some(delta)) if is_key(key) => match number::strict_u64(delta) {
            Some(delta) => Request::Arithmetic { direction, key, delta, noreply },
            None => refuse(reply::BAD_DELTA, noreply),
        },
        _ => refuse(reply::BAD_FORMAT, noreply),
    }
}

fn delete(line: &[u8]) -> Request<'_> {
    let tokens = Tokens::of(line);
    let noreply = tokens.ends_in_noreply();
    match tokens.get(1) {
        Some(key) if is_key(key) => Request::Delete { key, noreply },
        _ => refuse(reply::BAD_FORMAT, noreply),
    }
}

fn touch(line: &[u8]) -> Request<'_> {
    let tokens = Tokens::of(line);
    let noreply = tokens.ends_in_noreply();
    match (tokens.get(1), tokens.get(2)) {
        (Some(key), Some(exptime)) if is_key(key) => match number::strict_i32(exptime) {
            Some(exptime) => Request::Touch { key, exptime, noreply },
            None => refuse(reply::BAD_EXPTIME, noreply),
        },
        _ => refuse(reply::BAD_FORMAT, noreply),
    }
}

/// Commands that are looked up by their first token, with or without blanks before it.
fn administrative(line: &[u8]) -> Request<'_> {
    let tokens = Tokens::of(line);
    let noreply = tokens.ends_in_noreply();
    match tokens.get(0).unwrap_or_default() {
        b"version" => Request::Version,
        b"quit" => Request::Quit,
        b"stats" => {
            let token = |index| tokens.get(index).unwrap_or_default();
            Request::Stats { what: token(1), arguments: [token(2), token(3)] }
        }
        b"cache_memlimit" if tokens.len >= 2 => match tokens.get(1).and_then(number::strict_u32) {
            Some(megabytes) => Request::CacheMemlimit { megabytes, noreply },
            None => refuse(reply::BAD_FORMAT, noreply),
        },
        b"verbosity" => match tokens.get(1).and_then(number::strict_u32) {
            Some(level) => Request::Verbosity { level, noreply },
            None => refuse(reply::BAD_FORMAT, noreply),
        },
        b"lru" => tuning::parse_lru(&tokens, noreply),
        b"slabs" => tuning::parse_slabs(&tokens, noreply),
        b"lru_crawler" => crawler::parse(&tokens, noreply),
        b"flush_prefix" => crawler::parse_flush_prefix(&tokens, noreply),
        b"watch" => Request::Watch { topics: watch::topics_of(&tokens), noreply },
        b"refresh_certs" => Request::RefreshCerts { noreply },
        b"shutdown" => Request::Shutdown { mode: tokens.argument(1, noreply), noreply },
        b"debugtime" => Request::Debug { order: DebugOrder::Time(tokens.argument(1, noreply)), noreply },
        b"debugitem" => debug::parse_item(&tokens, noreply),
        b"misbehave" => {
            let order = match tokens.argument(1, noreply) {
                b"panic" => DebugOrder::Panic,
                b"hang" => DebugOrder::Hang,
                _ => DebugOrder::Misbehave,
            };
            Request::Debug { order, noreply }
        }
        b"flush_all" => flush_all(&tokens, noreply),
        _ if tokens.len >= 2 && tokens.last().starts_with(b"HTTP/") => Request::Hopeless,
        _ => refuse(reply::ERROR, noreply),
    }
}

fn flush_all<'a>(tokens: &Tokens<'a>, noreply: bool) -> Request<'a> {
    let delay = match tokens.get(1) {
        None => Some(0),
        Some(_) if noreply && tokens.len == 2 => Some(0),
        Some(delay) => number::strict_i32(delay),
    };
    match delay {
        Some(delay) => Request::FlushAll { delay, noreply },
        None => refuse(reply::BAD_EXPTIME, noreply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Request<'_>) {
        assert_eq!(line(text.as_bytes(), text.len() + 2), expected, "{text:?}");
    }

    fn bad_format(skip: usize) -> Request<'static> {
        Request::Refused { reply: Some(reply::BAD_FORMAT), skip }
    }

    fn silence(skip: usize) -> Request<'static> {
        Request::Refused { reply: None, skip }
    }

    fn set(key: &[u8], value_bytes: usize, noreply: bool) -> Request<'_> {
        Request::Store { mode: StoreMode::Set, key, client_flags: 5, exptime: 9, value_bytes, noreply }
    }

    #[test]
    fn a_storage_line_has_five_tokens_and_a_readable_length() {
        check("set k 5 9 3", set(b"k", 3, false));
        check("set  k   5 9 3  ", set(b"k", 3, false));
        check("set k 5 9 3 noreply", set(b"k", 3, true));
        check("set k 5 9 3 junk", set(b"k", 3, false));
        check("set k 5 9 3 noreply junk", set(b"k", 3, false));
        check("set k 5 9", bad_format(0));
        check("set", bad_format(0));
        check("set k 5 9 abc", bad_format(0));
        check("set k 5 9 -1 noreply", bad_format(0));
        check("set k 5 9 2147483646", bad_format(0));
    }

    #[test]
    fn a_storage_line_that_is_wrong_but_for_its_length_skips_the_value() {
        let long = "k".repeat(251);
        check(&format!("set {long} 5 9 3"), bad_format(5));
        check(&format!("set {long} 5 9 3 noreply"), silence(5));
        check("set k x 9 3", bad_format(5));
        check("set k 5 x 3", bad_format(5));
        check("cas k 0 0 1", bad_format(3));
        check("cas k 0 0 1 x", bad_format(3));
        check("cas k 0 0 1 noreply", silence(3));
    }

    #[test]
    fn cas_reads_its_unique() {
        let cas = Request::Store {
            mode: StoreMode::Cas(77),
            key: b"k",
            client_flags: 0,
            exptime: 0,
            value_bytes: 1,
            noreply: false,
        };
        check("cas k 0 0 1 77", cas);
    }

    #[test]
    fn incr_takes_an_unsigned_delta() {
        let direction = Direction::Incr;
        check("incr k 7", Request::Arithmetic { direction, key: b"k", delta: 7, noreply: false });
        check("incr k 7 noreply", Request::Arithmetic { direction, key: b"k", delta: 7, noreply: true });
        check("incr k -7", Request::Refused { reply: Some(reply::BAD_DELTA), skip: 0 });
        check("incr k", bad_format(0));
        check(&format!("decr {} 1", "k".repeat(251)), bad_format(0));
    }

    #[test]
    fn delete_tolerates_more_arguments() {
        check("delete k", Request::Delete { key: b"k", noreply: false });
        check("delete k 0 noreply", Request::Delete { key: b"k", noreply: true });
        check("delete noreply", Request::Delete { key: b"noreply", noreply: true });
        check("delete", bad_format(0));
    }

    #[test]
    fn touch_and_gat_read_a_strict_exptime() {
        check("touch k -1", Request::Touch { key: b"k", exptime: -1, noreply: false });
        check("touch k 1x", Request::Refused { reply: Some(reply::BAD_EXPTIME), skip: 0 });
        check("touch k", bad_format(0));
        let retrieval = Retrieval { with_cas: true, exptime: Some(5) };
        check("gats 5 a b", Request::Retrieve { retrieval, keys_at: 6 });
        check("gat x a", Request::Refused { reply: Some(reply::BAD_EXPTIME), skip: 0 });
        check("gat 5", bad_format(0));
    }

    #[test]
    fn flush_all_reads_its_delay() {
        for (text, delay, noreply) in [
            ("flush_all", 0, false),
            (" flush_all", 0, false),
            ("flush_all noreply", 0, true),
            ("flush_all 10", 10, false),
            ("flush_all -5 noreply", -5, true),
        ] {
            check(text, Request::FlushAll { delay, noreply });
        }
        check("flush_all x", Request::Refused { reply: Some(reply::BAD_EXPTIME), skip: 0 });
        check("flush_all noreply 0", Request::Refused { reply: Some(reply::BAD_EXPTIME), skip: 0 });
        check("flush_all x noreply", silence(0));
    }

    #[test]
    fn what_is_no_command_is_an_error() {
        let error = Request::Refused { reply: Some(reply::ERROR), skip: 0 };
        for text in ["bogus", "GET k", " get k", "get\tk", "HTTP/1.1", "    ", "getx k", "noreply x"] {
            check(text, error);
        }
        check("bogus noreply", silence(0));
        check("GET / HTTP/1.1", Request::Hopeless);
        check("get", bad_format(0));
        check("get  ", bad_format(0));
    }

    #[test]
    fn a_line_has_at_least_four_bytes() {
        for text in ["", "a", "mn"] {
            assert_eq!(line(text.as_bytes(), text.len() + 1), bad_format(0));
        }
        assert_eq!(line(b"mn", 4), Request::MetaNoop);
    }

    #[test]
    fn tokens_beyond_the_twenty_third_are_not_seen() {
        let junk = "x ".repeat(18);
        check(&format!("set k 5 9 3 {junk}noreply"), set(b"k", 3, false));
        let junk = "x ".repeat(17);
        check(&format!("set k 5 9 3 {junk}noreply"), set(b"k", 3, true));
    }

    #[test]
    fn only_a_list_of_keys_may_be_long() {
        let plain = |with_cas, at| LongLine::Keys(Retrieval { with_cas, exptime: None }, at);
        for (text, expected) in [
            ("get a", plain(false, 3)),
            ("gets a", plain(true, 4)),
            (" get a", LongLine::Unknown),
            ("getx a", LongLine::Hopeless),
            ("gat 0 a", LongLine::Hopeless),
            ("get", LongLine::Hopeless),
        ] {
            assert_eq!(long_line(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(long_line(format!("{}get a", " ".repeat(101)).as_bytes()), LongLine::Hopeless);
    }

    proptest! {
        #[test]
        fn no_line_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), name in 0usize..12) {
            let names = ["get", "set", "cas", "gat", "incr", "delete", "touch", "stats", "flush_all", "verbosity", "mn", ""];
            let text = [names[name].as_bytes(), b" ", &bytes[..]].concat();
            line(&text, text.len() + 2);
            long_line(&text);
        }
    }
}
