//! What threads say to each other outside locks: that something was handed over, and that a place is free.
//!
//! `protocol-tests/interleavings` runs this file through every order in which its steps can come.

use super::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use super::atomic::{AtomicBool, AtomicU64};

/// Tells a thread that something was handed to it, and wakes it once for many things.
#[derive(Debug, Default)]
pub struct Bell {
    /// It was rung, and nobody has answered since.
    has_rung: AtomicBool,
}

impl Bell {
    /// To be called once something has been handed over. Whether the other thread has to be woken: else somebody has
    /// done so, and it will find this, too.
    pub fn ring(&self) -> bool {
        !self.has_rung.swap(true, AcqRel)
    }

    /// To be called by the other thread when it is woken, before it looks. Whether there may be anything.
    pub fn answer(&self) -> bool {
        self.has_rung.swap(false, AcqRel)
    }
}

/// Counts places that are taken, and remembers whether somebody waits for one.
///
/// Both lie in one atomic: whoever gives a place up learns in the same step whether somebody waits, and whoever begins to
/// wait learns how many are taken. So one of the two always sees the other.
#[derive(Debug, Default)]
pub struct Places(AtomicU64);

/// The bit that says that somebody waits; the rest is twice the count.
const AWAITED: u64 = 1;
const PLACE: u64 = 2;

impl Places {
    /// Places that are taken.
    pub fn taken(&self) -> u64 {
        self.0.load(Acquire) / PLACE
    }

    /// Takes one.
    pub fn take(&self) {
        self.0.fetch_add(PLACE, AcqRel);
    }

    /// Gives one up. Whether somebody is to be woken, who waits for it.
    pub fn give_up(&self) -> bool {
        self.0.fetch_sub(PLACE, AcqRel) & AWAITED != 0
    }

    /// Says that somebody waits from now on. Places that are taken: if there is one left, nobody need wake him.
    pub fn wait(&self) -> u64 {
        self.0.fetch_or(AWAITED, AcqRel) / PLACE
    }

    /// Says that nobody waits any more.
    pub fn wait_no_more(&self) {
        self.0.fetch_and(!AWAITED, AcqRel);
    }

    /// Whether somebody waits.
    pub fn is_awaited(&self) -> bool {
        self.0.load(Relaxed) & AWAITED != 0
    }
}
