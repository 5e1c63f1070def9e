//! The judge of replies: takes them from what arrived, in the order of the requests, and accepts nothing but
//! what a right server answers.
//!
//! Knows bytes; the socket they came from is another's.

use std::collections::VecDeque;
use std::time::Instant;

use crate::requests::{Kind, VERSIONS};
use crate::value::Values;
use crate::workload::{Protocol, Workload};

/// Longest line that a right reply can have, with room for the longest key and a server's error message.
const LINE_BYTES_MAX: usize = 2048;
/// Bytes of a wrong reply that are shown.
const SHOWN_BYTES: usize = 80;

/// What values are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Each key has values of its own.
    OfItems,
    /// Every value is the beginning of the prepared one, as the floor server has no others.
    Prepared,
}

/// What a connection's next replies have to be.
#[derive(Default)]
pub struct Expected {
    requests: VecDeque<Pending>,
    /// Of the requests' keys, the first not yet answered in front.
    ids: VecDeque<u32>,
    /// Opaque of the first of `ids`; the others follow.
    opaque: u32,
}

/// A request without its complete reply.
struct Pending {
    kind: Kind,
    /// From when its latency counts.
    start: Instant,
    /// Of a get: keys that no value or end of a miss has come for.
    keys_left: usize,
    misses: usize,
}

impl Expected {
    /// Notes a request; returns the opaque that its first key is to have.
    pub fn push(&mut self, kind: Kind, ids: &[u32], start: Instant) -> u32 {
        let opaque = self.opaque.wrapping_add(self.ids.len() as u32);
        self.ids.extend(ids);
        self.requests.push_back(Pending { kind, start, keys_left: ids.len(), misses: 0 });
        opaque
    }

    /// Requests without their complete reply.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    fn answered(&mut self, keys: usize) {
        self.ids.drain(..keys);
        self.opaque = self.opaque.wrapping_add(keys as u32);
        if let Some(pending) = self.requests.front_mut() {
            pending.keys_left -= keys;
        }
    }
}

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// From when its latency counts.
    pub start: Instant,
    /// Keys it asked for.
    pub keys: usize,
    /// Of them, those that were not there.
    pub misses: usize,
}

/// What was wrong with a reply, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(pub String);

/// What a look at the next line came to.
enum Step {
    /// So many bytes are a part of the reply; more of it must follow.
    Part(usize),
    /// So many bytes end the reply.
    Last(usize),
    /// Its end has not arrived.
    Incomplete,
}

/// Judge of the replies of one thread's connections.
pub struct Judge<'a> {
    workload: &'a Workload,
    values: &'a Values,
    content: Content,
    key: Vec<u8>,
}

/// The line of a value, in either protocol.
struct ValueLine<'a> {
    key: &'a [u8],
    flags: &'a [u8],
    bytes: usize,
    /// Of the meta commands.
    opaque: Option<&'a [u8]>,
}

impl<'a> Judge<'a> {
    /// A judge of replies to the requests of `workload`.
    pub fn new(workload: &'a Workload, values: &'a Values, content: Content) -> Judge<'a> {
        Judge { workload, values, content, key: Vec::new() }
    }

    /// Takes the complete replies off the beginning of `input`; returns how many bytes they have. A value
    /// counts as such a part of its own, so that an incomplete one is all that is ever left over.
    #[inline]
    pub fn take(
        &mut self,
        expected: &mut Expected,
        input: &[u8],
        mut done: impl FnMut(Answered),
    ) -> Result<usize, Wrong> {
        let mut taken = 0;
        while taken < input.len() {
            let rest = &input[taken..];
            match self.step(expected, rest)? {
                Step::Incomplete => break,
                Step::Part(bytes) => taken += bytes,
                Step::Last(bytes) => {
                    taken += bytes;
                    let Some(pending) = expected.requests.pop_front() else { break };
                    let keys = if let Kind::Get(keys) = pending.kind { keys } else { 1 };
                    done(Answered { start: pending.start, keys, misses: pending.misses });
                }
            }
        }
        Ok(taken)
    }

    fn step(&mut self, expected: &mut Expected, rest: &[u8]) -> Result<Step, Wrong> {
        let Some(pending) = expected.requests.front() else {
            return Err(wrong("nothing: all requests are answered", rest));
        };
        let kind = pending.kind;
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return match rest.len() > LINE_BYTES_MAX {
                true => Err(wrong("a line that ends", rest)),
                false => Ok(Step::Incomplete),
            };
        };
        let Some(line) = rest[..end].strip_suffix(b"\r") else {
            return Err(wrong("a line that ends in CR LF", rest));
        };
        match kind {
            Kind::Set => self.stored(expected, line).map(|()| Step::Last(end + 1)),
            Kind::Get(keys) if is_value_line(line) => self.value(expected, keys, line, rest),
            Kind::Get(keys) => {
                self.end_of_get(expected, keys, line)?;
                Ok(Step::Last(end + 1))
            }
        }
    }

    fn stored(&self, expected: &mut Expected, line: &[u8]) -> Result<(), Wrong> {
        let is_right = match self.workload.protocol {
            Protocol::Classic => line == b"STORED",
            Protocol::Meta => line.strip_prefix(b"HD O").and_then(number) == Some(expected.opaque as usize),
        };
        if !is_right {
            let opaque = expected.opaque;
            let right = match self.workload.protocol {
                Protocol::Classic => "STORED".to_owned(),
                Protocol::Meta => format!("HD O{opaque}"),
            };
            return Err(wrong(&right, line));
        }
        expected.answered(1);
        Ok(())
    }

    /// The line that ends a get, and what was not there before it.
    fn end_of_get(&self, expected: &mut Expected, keys: usize, line: &[u8]) -> Result<(), Wrong> {
        let right: &[u8] = match (self.workload.protocol, keys) {
            (Protocol::Classic, _) => b"END",
            (Protocol::Meta, 1) => b"EN",
            (Protocol::Meta, _) => b"MN",
        };
        if line != right {
            let right = String::from_utf8_lossy(right);
            return Err(wrong(&format!("a value asked for, or {right}"), line));
        }
        if let Some(pending) = expected.requests.front_mut() {
            let missing = pending.keys_left;
            pending.misses += missing;
            expected.answered(missing);
        }
        Ok(())
    }

    /// `rest` begins with `line`, which is that of a value.
    fn value(
        &mut self,
        expected: &mut Expected,
        keys: usize,
        line: &[u8],
        rest: &[u8],
    ) -> Result<Step, Wrong> {
        let protocol = self.workload.protocol;
        let found = match protocol {
            Protocol::Classic => classic_line(line),
            Protocol::Meta => meta_line(line),
        };
        let found = found.ok_or_else(|| wrong("the line of a value", line))?;
        let skipped = self.misses_before(expected, &found, line)?;
        let id = expected.ids[skipped];
        self.check_line(id, expected.opaque.wrapping_add(skipped as u32), &found, line)?;

        let start = line.len() + 2;
        let Some(value) = rest.get(start..start + found.bytes + 2) else { return Ok(Step::Incomplete) };
        let (value, end) = value.split_at(found.bytes);
        let is_right = match self.content {
            Content::Prepared => self.values.is_value(value, 0, 0, value.len()),
            Content::OfItems => {
                (0..VERSIONS).any(|version| self.values.is_value(value, id, version, value.len()))
            }
        };
        if !is_right {
            let right = format!("a value stored under {}", self.key.escape_ascii());
            return Err(wrong(&right, value));
        }
        if end != b"\r\n" {
            return Err(wrong("CR LF behind a value", end));
        }
        if let Some(pending) = expected.requests.front_mut() {
            pending.misses += skipped;
        }
        expected.answered(skipped + 1);
        let bytes = start + found.bytes + 2;
        // A single meta get has no line behind its value.
        Ok(if protocol == Protocol::Meta && keys == 1 { Step::Last(bytes) } else { Step::Part(bytes) })
    }

    /// How many keys were asked for before that of `found` and are not there. Leaves the key of `found` in
    /// `self.key`.
    fn misses_before(
        &mut self,
        expected: &Expected,
        found: &ValueLine<'_>,
        line: &[u8],
    ) -> Result<usize, Wrong> {
        let left = expected.requests.front().map_or(0, |pending| pending.keys_left);
        for (skipped, &id) in expected.ids.iter().take(left).enumerate() {
            self.set_key(id);
            if self.key == found.key {
                return Ok(skipped);
            }
        }
        let Some(&first) = expected.ids.front().filter(|_| left > 0) else {
            return Err(wrong("the end of a get: all its keys are answered", line));
        };
        self.set_key(first);
        Err(wrong(&format!("the value of {}", self.key.escape_ascii()), line))
    }

    fn set_key(&mut self, id: u32) {
        self.key.clear();
        self.values.push_key(id, self.workload.key_bytes, &mut self.key);
    }

    fn check_line(&self, id: u32, opaque: u32, found: &ValueLine<'_>, line: &[u8]) -> Result<(), Wrong> {
        let lengths = &self.workload.value_bytes;
        let (flags, is_length_right) = match self.content {
            Content::Prepared => (0, (lengths.min..=lengths.max).contains(&found.bytes)),
            Content::OfItems => (self.values.flags(id), found.bytes == lengths.of(id)),
        };
        if !is_length_right {
            return Err(wrong(&format!("a value of {} bytes", lengths.of(id)), line));
        }
        if number(found.flags) != Some(flags as usize) {
            return Err(wrong(&format!("client flags {flags}"), line));
        }
        match found.opaque {
            Some(text) if number(text) != Some(opaque as usize) => {
                Err(wrong(&format!("opaque {opaque}"), line))
            }
            _ => Ok(()),
        }
    }
}

fn is_value_line(line: &[u8]) -> bool {
    line.starts_with(b"VALUE ") || line.starts_with(b"VA ")
}

/// `VALUE key flags bytes`.
fn classic_line(line: &[u8]) -> Option<ValueLine<'_>> {
    let mut words = line.split(|&byte| byte == b' ').skip(1);
    let found =
        ValueLine { key: words.next()?, flags: words.next()?, bytes: number(words.next()?)?, opaque: None };
    words.next().is_none().then_some(found)
}

/// `VA bytes kKEY fFLAGS OOPAQUE`: the flags come in the order in which they were asked for.
fn meta_line(line: &[u8]) -> Option<ValueLine<'_>> {
    let mut words = line.split(|&byte| byte == b' ').skip(1);
    let bytes = number(words.next()?)?;
    let key = words.next()?.strip_prefix(b"k")?;
    let flags = words.next()?.strip_prefix(b"f")?;
    let opaque = words.next()?.strip_prefix(b"O")?;
    words.next().is_none().then_some(ValueLine { key, flags, bytes, opaque: Some(opaque) })
}

fn number(text: &[u8]) -> Option<usize> {
    let is_number = !text.is_empty() && text.len() < 20 && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| text.iter().fold(0, |number, &digit| number * 10 + usize::from(digit - b'0')))
}

fn wrong(expected: &str, found: &[u8]) -> Wrong {
    let shown = &found[..found.len().min(SHOWN_BYTES)];
    let more = if shown.len() < found.len() { "..." } else { "" };
    Wrong(format!("expected {expected}, got \"{}{more}\"", shown.escape_ascii()))
}

#[cfg(test)]
#[allow(unused, reason = "a benchmark without a harness has no tests")]
#[path = "reply_tests.rs"]
mod tests;
