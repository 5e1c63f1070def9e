//! What a cache may answer: the ledger of what was stored last under each key, and the verdict on each
//! value that is read back.
//!
//! Requests about one key must reach the server in the order in which they are noted here. What an answer
//! is held against is what was noted when its request was sent.

use crate::value::Values;

/// Longest value of a trace, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 14;

/// Keys and values of this seed, for any trace.
pub fn values(seed: u64) -> Values {
    Values::new(seed, VALUE_BYTES_MAX)
}

/// Set in a state while a value may be there: it was stored, and not deleted since.
const PRESENT: u8 = 0x80;
/// The version in a state. A value whose version lies 128 overwrites back would pass as new.
const VERSION: u8 = 0x7f;
/// Time in milliseconds after its deadline at which an item from a server may still be read: its clock has
/// whole seconds, and may be late in an overloaded process.
pub const GRACE_OF_A_SERVER_MS: u32 = 1_500;

/// What a key may hold at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    state: u8,
    /// When the value ends; `u32::MAX` for never.
    until_ms: u32,
}

/// What is to be thought of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The value that was stored last.
    Hit,
    /// A value from before an overwrite or a delete.
    Stale,
    /// The right value, past its deadline.
    Expired,
    /// Anything else.
    Wrong,
}

/// Verdicts and refusals, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Bytes, flags or a key that nobody stored there.
    pub wrong: u64,
    /// Values from before an overwrite or a delete.
    pub stale: u64,
    /// Values past their deadline.
    pub expired: u64,
    /// Values that were not stored for want of memory. No fault of correctness, but to be seen.
    pub refused: u64,
}

impl Faults {
    /// Counts a verdict; `true` if it is a hit.
    #[inline]
    pub fn count(&mut self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Hit => return true,
            Verdict::Stale => self.stale += 1,
            Verdict::Expired => self.expired += 1,
            Verdict::Wrong => self.wrong += 1,
        }
        false
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Faults) {
        self.wrong += other.wrong;
        self.stale += other.stale;
        self.expired += other.expired;
        self.refused += other.refused;
    }

    /// Answers that a cache must not give.
    pub fn bad(&self) -> u64 {
        self.wrong + self.stale + self.expired
    }
}

/// What was stored last under each key.
pub struct Ledger {
    expected: Vec<Expected>,
    grace_ms: u32,
}

impl Ledger {
    /// Nothing is stored under any of `items` keys. Values may be read `grace_ms` past their deadline.
    pub fn new(items: usize, grace_ms: u32) -> Ledger {
        Ledger { expected: vec![Expected { state: 0, until_ms: u32::MAX }; items], grace_ms }
    }

    /// What a request that is sent now may be answered with.
    #[inline]
    pub fn expected(&self, id: u32) -> Expected {
        self.expected[id as usize]
    }

    /// Notes that the present version is stored again, to be over `ttl_secs` from now (0: never). Returns
    /// that version.
    #[inline]
    pub fn fill(&mut self, id: u32, ttl_secs: u16, now_ms: u32) -> u8 {
        let version = self.expected[id as usize].state & VERSION;
        let until_ms = if ttl_secs == 0 { u32::MAX } else { now_ms + u32::from(ttl_secs) * 1000 };
        self.expected[id as usize] = Expected { state: version | PRESENT, until_ms };
        version
    }

    /// Notes that a new version is stored, and returns it.
    #[inline]
    pub fn overwrite(&mut self, id: u32, ttl_secs: u16, now_ms: u32) -> u8 {
        self.delete(id);
        self.fill(id, ttl_secs, now_ms)
    }

    /// Notes that the key is deleted: the next fill is with a new version.
    #[inline]
    pub fn delete(&mut self, id: u32) {
        let expected = &mut self.expected[id as usize];
        expected.state = expected.state.wrapping_add(1) & VERSION;
    }

    /// Judges a value of item `id`, asked for at `now_ms`.
    #[inline]
    pub fn judge(&self, answer: &Answer, expected: Expected, now_ms: u32, values: &Values) -> Verdict {
        let Answer { id, value_bytes, flags, value } = *answer;
        if flags != values.flags(id) {
            return Verdict::Wrong;
        }
        let version = expected.state & VERSION;
        let is_present = expected.state & PRESENT != 0;
        if is_present && values.is_value(value, id, version, value_bytes) {
            let is_over = now_ms >= expected.until_ms.saturating_add(self.grace_ms);
            return if is_over { Verdict::Expired } else { Verdict::Hit };
        }
        let is_older = (0..=VERSION).any(|older| values.is_value(value, id, older, value_bytes));
        if is_older { Verdict::Stale } else { Verdict::Wrong }
    }
}

/// A value that came back.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Of which item.
    pub id: u32,
    /// How long its value has to be.
    pub value_bytes: usize,
    /// The flags that came with it.
    pub flags: u32,
    /// Its bytes.
    pub value: &'a [u8],
}
