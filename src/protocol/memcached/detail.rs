//! `stats detail`: how often keys of each prefix were asked for, stored and deleted.
//!
//! Off unless somebody asks for it, and then one lock for all workers: it is for a look, not for good.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::Mutex;

use crate::protocol::output::Output;

use super::encoding;
use super::reply;
use super::session::Turn;
use super::watch::{DETAIL, WatchHub};

/// Most prefixes that are told apart, as in memcached; further ones are not counted. With the longest keys
/// they take some 25 MB.
const PREFIXES_MAX: usize = 65_536;
/// Prefixes listed under one lock.
const PREFIXES_PER_TURN: usize = 256;

/// What was counted for one prefix.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// One thing to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Hit,
    Miss,
    Set,
    Delete,
}

/// What was counted, by prefix.
#[derive(Debug)]
pub(super) struct Prefixes {
    delimiter: u8,
    figures: Mutex<BTreeMap<Box<[u8]>, Figures>>,
}

impl Prefixes {
    /// Nothing counted yet. A prefix ends before the first `delimiter`.
    pub fn new(delimiter: u8) -> Prefixes {
        Prefixes { delimiter, figures: Mutex::default() }
    }

    /// Counts an event of a key, if that has a prefix.
    pub fn count(&self, key: &[u8], event: Event) {
        let Some(end) = memchr::memchr(self.delimiter, key) else { return };
        let mut figures = self.figures.lock();
        if !figures.contains_key(&key[..end]) {
            if figures.len() >= PREFIXES_MAX {
                return;
            }
            figures.insert(key[..end].into(), Figures::default());
        }
        let Some(figures) = figures.get_mut(&key[..end]) else { return };
        match event {
            Event::Hit => (figures.gets, figures.hits) = (figures.gets + 1, figures.hits + 1),
            Event::Miss => figures.gets += 1,
            Event::Set => figures.sets += 1,
            Event::Delete => figures.deletes += 1,
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.figures.lock().clear();
    }
}

/// Answers `stats detail on|off|dump`; a dump is a list that is still to be given.
pub(super) fn answer(what: &[u8], turn: &Turn) -> Result<PrefixList, &'static [u8]> {
    let hub: &WatchHub = &turn.daemon.watch;
    if !turn.daemon.settings.dump_enabled {
        return Err(reply::DETAIL_NOT_ALLOWED);
    }
    match what {
        b"on" => hub.observe(DETAIL, true),
        b"off" => hub.observe(DETAIL, false),
        b"dump" => return Ok(PrefixList::default()),
        _ => return Err(reply::DETAIL_USAGE),
    }
    Err(reply::OK)
}

/// A list of all prefixes that is under way.
#[derive(Debug, Default)]
pub(super) struct PrefixList {
    /// The last one listed.
    last: Option<Box<[u8]>>,
}

impl PrefixList {
    /// Lists some more, `PREFIX <prefix> get N hit N set N del N`. `false` once all are.
    pub fn go_on(&mut self, turn: &mut Turn) -> bool {
        let output = &mut *turn.output;
        let figures = turn.daemon.prefixes.figures.lock();
        let from: Bound<&[u8]> = match &self.last {
            Some(last) => Bound::Excluded(last),
            None => Bound::Unbounded,
        };
        let mut listed = 0;
        let mut last = None;
        for (prefix, counts) in figures.range::<[u8], _>((from, Bound::Unbounded)).take(PREFIXES_PER_TURN) {
            output.push(b"PREFIX ");
            push_prefix(output, prefix);
            for (name, count) in [
                (&b" get "[..], counts.gets),
                (b" hit ", counts.hits),
                (b" set ", counts.sets),
                (b" del ", counts.deletes),
            ] {
                output.push(name);
                output.push_number(count);
            }
            output.push(reply::LINE_END);
            listed += 1;
            last = Some(prefix);
        }
        self.last = last.cloned();
        if listed < PREFIXES_PER_TURN {
            output.push(reply::END);
        }
        listed == PREFIXES_PER_TURN
    }
}

/// Binary keys may hold what ends a token or a line: such a prefix is written as dumps write keys, or it could pass
/// for lines of ours.
fn push_prefix(output: &mut Output, prefix: &[u8]) {
    if prefix.iter().any(|byte| matches!(byte, b' ' | b'\r' | b'\n')) {
        encoding::uri(prefix).for_each(|piece| output.push(piece.as_bytes()));
    } else {
        output.push(prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_one_word() {
        for (prefix, expected) in [
            (&b"a-b%\xff"[..], &b"a-b%\xff"[..]),
            (b"", b""),
            (b"x\r\nEND\r\n", b"x%0D%0AEND%0D%0A"),
            (b"a b%", b"a%20b%25"),
        ] {
            let mut output = Output::default();
            push_prefix(&mut output, prefix);
            let mut bytes = vec![0; output.pending()];
            output.take(&mut bytes);
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn there_is_a_limit_to_prefixes() {
        let prefixes = Prefixes::new(b'/');
        for n in 0..PREFIXES_MAX + 100 {
            prefixes.count(format!("{n}/x").as_bytes(), Event::Set);
        }
        prefixes.count(b"0/y", Event::Hit);
        prefixes.count(b"none:x", Event::Hit);
        let figures = prefixes.figures.lock();
        assert_eq!(figures.len(), PREFIXES_MAX);
        let first = figures[&b"0"[..]];
        assert_eq!((first.gets, first.hits, first.sets, first.deletes), (1, 1, 1, 0));
    }
}
