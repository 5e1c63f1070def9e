//! The forms that replies have: whether bytes are replies at all, and whether they can answer a command.

use crate::protocol::memcached::reply;
use crate::store::KEY_BYTES_MAX;

/// Every reply that is always the same, but for errors.
const FIXED: [&[u8]; 13] = [
    reply::STORED,
    reply::NOT_STORED,
    reply::EXISTS,
    reply::NOT_FOUND,
    reply::DELETED,
    reply::TOUCHED,
    reply::OK,
    reply::END,
    reply::RESET,
    reply::META_MISS,
    reply::MISS,
    reply::META_NOOP,
    reply::VERSION,
];

/// Every line that says what is wrong.
const ERRORS: [&[u8]; 55] = [
    reply::ERROR,
    reply::BAD_FORMAT,
    reply::BAD_DATA_CHUNK,
    reply::BAD_DELTA,
    reply::NON_NUMERIC,
    reply::BAD_EXPTIME,
    reply::FLUSH_NOT_ALLOWED,
    reply::BAD_COMMAND_LINE,
    reply::BAD_CLASS,
    reply::CACHEDUMP_NOT_ALLOWED,
    reply::PERCENTS_TOO_HIGH,
    reply::FACTORS_TOO_LOW,
    reply::REASSIGN_DISABLED,
    reply::REASSIGN_BAD_CLASS,
    reply::REASSIGN_NO_SPARE,
    reply::REASSIGN_SAME,
    reply::BAD_WINDOW,
    reply::CRAWLER_DISABLED,
    reply::CRAWLER_RUNS,
    reply::BAD_CRAWLER_SLEEP,
    reply::CRAWL_BAD_CLASS,
    reply::UNKNOWN_ERROR,
    reply::METADUMP_NOT_ALLOWED,
    reply::METADUMP_NOT_FIRST,
    reply::MGDUMP_NOT_ALLOWED,
    reply::MGDUMP_NOT_FIRST,
    reply::FLUSH_PREFIX_NOT_ALLOWED,
    reply::DETAIL_NOT_ALLOWED,
    reply::DETAIL_USAGE,
    reply::WATCH_NOT_ALLOWED,
    reply::WATCH_NOT_FIRST,
    reply::TOO_MANY_WATCHERS,
    reply::BAD_SHUTDOWN_MODE,
    reply::NO_TLS,
    reply::MEMLIMIT_TOO_SMALL,
    reply::MEMLIMIT_NOT_MEGABYTES,
    reply::SHUTDOWN_NOT_ENABLED,
    reply::MEMLIMIT_OUT_OF_BOUNDS,
    reply::TOO_LARGE,
    reply::NO_MEMORY_TO_STORE,
    reply::NO_MEMORY_TO_READ,
    reply::NO_MEMORY,
    reply::NO_MEMORY_TO_CREATE,
    reply::INVALID_FLAG,
    reply::DUPLICATE_FLAG,
    reply::TOO_MANY_FLAGS,
    reply::BAD_TOKEN,
    reply::BAD_BASE64,
    reply::OPAQUE_TOO_LONG,
    reply::BAD_SET_MODE,
    reply::BAD_ARITHMETIC_MODE,
    reply::BAD_ARITHMETIC_FLAGS,
    reply::NOT_OVER_UDP,
    reply::TOO_LONG_FOR_UDP,
    reply::TOO_MANY_CONNECTIONS,
];

/// One reply.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Its line, with the line's end.
    pub line: &'a [u8],
    pub is_error: bool,
}

impl<'a> Reply<'a> {
    /// The first word.
    fn name(&self) -> &'a [u8] {
        let line = self.line.trim_ascii_end();
        &line[..line.iter().position(|&byte| byte == b' ').unwrap_or(line.len())]
    }
}

fn is_number(text: &[u8]) -> bool {
    (1..=20).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok().filter(|text| is_number(text.as_bytes()))?.parse().ok()
}

fn is_key(text: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&text.len())
}

/// What is behind `bytes` of a value and its line end.
fn behind_value(rest: &[u8], bytes: usize) -> Option<&[u8]> {
    rest.get(bytes..).and_then(|rest| rest.strip_prefix(reply::LINE_END))
}

/// Flags that come back: a letter, and perhaps an argument.
fn are_flags(tokens: &[&[u8]]) -> bool {
    tokens.iter().all(|token| token.first().is_some_and(u8::is_ascii_alphabetic))
}

/// The first reply of `replies` and what is behind it; `None` if these bytes begin with no reply.
fn first(replies: &[u8]) -> Option<(Reply<'_>, &[u8])> {
    let end = memchr::memchr(b'\n', replies)? + 1;
    let (line, rest) = replies.split_at(end);
    // memcached's dumps and watchers write lines that end in LF alone.
    let is_fact = |word: &[u8]| word.is_empty() || word.contains(&b'=');
    if line.starts_with(b"key=") || line.starts_with(b"ts=") || line.starts_with(b"skipped=") {
        let text = &line[..line.len() - 1];
        let is_fine = text.split(|&byte| byte == b' ').all(is_fact) && !text.contains(&b'\r');
        return is_fine.then_some((Reply { line, is_error: false }, rest));
    }
    let text = line.strip_suffix(reply::LINE_END)?;
    let plain = Some((Reply { line, is_error: false }, rest));
    if FIXED.contains(&line) {
        return plain;
    }
    if ERRORS.contains(&line) {
        return Some((Reply { line, is_error: true }, rest));
    }
    let tokens: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
    match *tokens.as_slice() {
        [b"VALUE", key, flags, bytes, ref unique @ ..] => {
            let is_fine = is_key(key) && is_number(flags) && unique.len() <= 1;
            let rest = behind_value(rest, number(bytes)?)?;
            (is_fine && unique.iter().all(|unique| is_number(unique)))
                .then_some((Reply { line, is_error: false }, rest))
        }
        [b"VA", bytes, ref flags @ ..] => {
            let rest = behind_value(rest, number(bytes)?)?;
            are_flags(flags).then_some((Reply { line, is_error: false }, rest))
        }
        [b"HD" | b"NS" | b"EX" | b"NF" | b"EN", ref flags @ ..] => plain.filter(|_| are_flags(flags)),
        [b"ME", key, ref facts @ ..] => {
            plain.filter(|_| is_key(key) && facts.iter().all(|fact| fact.contains(&b'=')))
        }
        [b"STAT", name, _, ..] => plain.filter(|_| !name.is_empty()),
        [b"PREFIX", _, b"get", a, b"hit", b, b"set", c, b"del", d] => {
            plain.filter(|_| [a, b, c, d].iter().all(|text| is_number(text)))
        }
        [b"ITEM", key, bytes, b"b;", seconds, b"s]"] => {
            plain.filter(|_| is_key(key) && is_number(&bytes[1..]) && is_number(seconds))
        }
        [b"mg", key] | [b"mg", key, b"b"] => plain.filter(|_| is_key(key) || key.len() <= 336),
        [b"OK", count] => plain.filter(|_| is_number(count)),
        [single] => plain.filter(|_| is_number(single)),
        _ => None,
    }
}

/// Takes `replies` apart.
///
/// # Panics
/// If they are not whole replies, one behind the other.
pub fn all(replies: &[u8]) -> Vec<Reply<'_>> {
    let mut rest = replies;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let Some((reply, behind)) = first(rest) else {
            panic!("not a reply: {}", rest[..rest.len().min(400)].escape_ascii())
        };
        found.push(reply);
        rest = behind;
    }
    found
}

/// Whether the command with this line, and so many bytes behind it, is one command: a value that is longer than it was
/// announced to be goes on as further ones.
pub fn is_alone(line: &[u8], bytes_behind: usize) -> bool {
    let mut tokens = line.split(|&byte| byte == b' ').filter(|token| !token.is_empty());
    let announced = match tokens.next() {
        Some(b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas") => tokens.nth(3),
        Some(b"ms") => tokens.nth(1),
        _ => None,
    };
    bytes_behind == 0 || announced.and_then(number).is_some_and(|bytes| bytes_behind == bytes + 2)
}

/// Checks that `replies` can be what one command with this line was answered with. What a command's value is
/// does not matter.
///
/// # Panics
/// If it cannot.
pub fn check_answer(line: &[u8], replies: &[Reply<'_>]) {
    let tokens: Vec<&[u8]> = line.split(|&byte| byte == b' ').filter(|token| !token.is_empty()).collect();
    // Only some commands are looked for behind blanks.
    let name = if line.starts_with(b" ") { b"" } else { tokens.first().copied().unwrap_or_default() };
    let is = |names: &[&[u8]]| names.contains(&name);
    let (last, before) = match replies.split_last() {
        Some((last, before)) => (Some(last), before),
        None => (None, replies),
    };
    let is_classic_change = is(&[b"set", b"add", b"replace", b"append", b"prepend", b"cas"])
        || is(&[b"incr", b"decr", b"delete", b"touch"]);
    let is_silent = tokens.len() > 1 && tokens.len() < 20 && tokens.last() == Some(&b"noreply".as_slice());
    let wrong = || {
        let lines: Vec<String> = replies.iter().map(|reply| reply.line.escape_ascii().to_string()).collect();
        panic!("{} is answered by {lines:?}", line.escape_ascii())
    };
    if is(&[b"get", b"gets", b"gat", b"gats"]) {
        let is_ended = last.is_some_and(|last| last.is_error || last.line == reply::END);
        if !is_ended || !before.iter().all(|reply| reply.name() == b"VALUE") {
            wrong();
        }
        return;
    }
    let words: &[&[u8]] = match name {
        b"set" | b"add" | b"replace" | b"append" | b"prepend" => &[b"STORED", b"NOT_STORED"],
        b"cas" => &[b"STORED", b"EXISTS", b"NOT_FOUND"],
        b"delete" => &[b"DELETED", b"NOT_FOUND"],
        b"touch" => &[b"TOUCHED", b"NOT_FOUND"],
        b"incr" | b"decr" => &[b"NOT_FOUND"],
        b"mg" => &[b"VA", b"HD", b"EN"],
        b"ms" => &[b"HD", b"NS", b"EX", b"NF"],
        b"md" => &[b"HD", b"NF", b"EX"],
        b"ma" => &[b"HD", b"VA", b"NF", b"NS", b"EX"],
        b"me" => &[b"ME", b"EN"],
        b"mn" => &[b"MN"],
        b"version" => &[b"VERSION"],
        b"quit" if replies.is_empty() => return,
        _ => return,
    };
    let may_be_quiet = is(&[b"mg", b"ms", b"md", b"ma"]) || (is_classic_change && is_silent);
    let is_of_family = |reply: &Reply| {
        let counts = is(&[b"incr", b"decr"]) && is_number(reply.name());
        reply.is_error || (!(is_classic_change && is_silent) && (counts || words.contains(&reply.name())))
    };
    if !before.is_empty() || !last.map_or(may_be_quiet, is_of_family) {
        wrong();
    }
}
