//! What may change while the store runs: the rules of the LRU and of page moves.
//!
//! Owns the values, as atomics that every operation may read at no cost; what they mean is in
//! `housekeeping`. A change takes effect with the next operation on each partition.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::Store;
use super::housekeeping::{LruRules, SegmentShares};

/// Whether a class has one list or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LruMode {
    /// One list, least recently used first out.
    Flat,
    /// HOT, WARM, COLD and TEMP.
    Segmented,
}

/// By which rules items move between the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LruPolicy {
    /// larder's: new items are on probation in HOT.
    Probation,
    /// memcached's: shares and ages.
    Classic,
}

/// When pages move between classes by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Automove {
    /// Never.
    Off,
    /// For a clear difference in demand.
    Gentle,
    /// Whenever a class has to evict.
    Eager,
}

/// The values in force, or those wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// One list or several.
    pub lru_mode: LruMode,
    /// The rules of the segmented mode.
    pub lru_policy: LruPolicy,
    /// Shares of the LRU's segments.
    pub segment_shares: SegmentShares,
    /// Greatest age of HOT in ages of COLD's tail; for [`LruPolicy::Classic`] alone.
    pub hot_max_factor: f64,
    /// The same for WARM.
    pub warm_max_factor: f64,
    /// Whether items with a short life have a segment of their own.
    pub temp_lru: bool,
    /// Longest life in seconds, when an item is stored, for that segment.
    pub temporary_ttl: u32,
    /// When pages move by themselves.
    pub automove: Automove,
    /// Above 0, at most 1: the less, the greater a difference in demand must be for a page to move.
    pub automove_ratio: f64,
    /// Seconds for which a class does not take a page after it gave one, nor the other way around.
    pub automove_window: u32,
}

impl Default for Tuning {
    /// memcached's defaults, with larder's policy.
    fn default() -> Self {
        Tuning {
            lru_mode: LruMode::Segmented,
            lru_policy: LruPolicy::Probation,
            segment_shares: SegmentShares::default(),
            hot_max_factor: 0.2,
            warm_max_factor: 2.0,
            temp_lru: false,
            temporary_ttl: 61,
            automove: Automove::Gentle,
            automove_ratio: 0.8,
            automove_window: 10,
        }
    }
}

/// A number with a fraction, kept by its bits.
struct AtomicF64(AtomicU64);

impl AtomicF64 {
    fn new(value: f64) -> AtomicF64 {
        AtomicF64(AtomicU64::new(value.to_bits()))
    }

    fn load(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn store(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// A [`Tuning`] that all workers read and any may change.
pub(super) struct Tunables {
    is_flat: AtomicBool,
    is_classic: AtomicBool,
    hot_percent: AtomicU32,
    warm_percent: AtomicU32,
    hot_max_factor: AtomicF64,
    warm_max_factor: AtomicF64,
    temp_lru: AtomicBool,
    temporary_ttl: AtomicU32,
    /// [`Automove`] as a number.
    automove: AtomicU8,
    automove_ratio: AtomicF64,
    automove_window: AtomicU32,
    /// Held by who changes something, so that no change is lost. Readers need it not.
    change: Mutex<()>,
}

impl Tunables {
    pub fn new(tuning: &Tuning) -> Tunables {
        let tunables = Tunables {
            is_flat: AtomicBool::default(),
            is_classic: AtomicBool::default(),
            hot_percent: AtomicU32::default(),
            warm_percent: AtomicU32::default(),
            hot_max_factor: AtomicF64::new(0.0),
            warm_max_factor: AtomicF64::new(0.0),
            temp_lru: AtomicBool::default(),
            temporary_ttl: AtomicU32::default(),
            automove: AtomicU8::default(),
            automove_ratio: AtomicF64::new(0.0),
            automove_window: AtomicU32::default(),
            change: Mutex::default(),
        };
        tunables.write(tuning);
        tunables
    }

    fn write(&self, tuning: &Tuning) {
        self.is_flat.store(tuning.lru_mode == LruMode::Flat, Relaxed);
        self.is_classic.store(tuning.lru_policy == LruPolicy::Classic, Relaxed);
        self.hot_percent.store(tuning.segment_shares.hot_percent, Relaxed);
        self.warm_percent.store(tuning.segment_shares.warm_percent, Relaxed);
        self.hot_max_factor.store(tuning.hot_max_factor);
        self.warm_max_factor.store(tuning.warm_max_factor);
        self.temp_lru.store(tuning.temp_lru, Relaxed);
        self.temporary_ttl.store(tuning.temporary_ttl, Relaxed);
        self.automove.store(tuning.automove as u8, Relaxed);
        self.automove_ratio.store(tuning.automove_ratio);
        self.automove_window.store(tuning.automove_window, Relaxed);
    }

    fn read(&self) -> Tuning {
        Tuning {
            lru_mode: if self.is_flat.load(Relaxed) { LruMode::Flat } else { LruMode::Segmented },
            lru_policy: match self.is_classic.load(Relaxed) {
                true => LruPolicy::Classic,
                false => LruPolicy::Probation,
            },
            segment_shares: self.shares(),
            hot_max_factor: self.hot_max_factor.load(),
            warm_max_factor: self.warm_max_factor.load(),
            temp_lru: self.temp_lru.load(Relaxed),
            temporary_ttl: self.temporary_ttl.load(Relaxed),
            automove: self.automove(),
            automove_ratio: self.automove_ratio(),
            automove_window: self.automove_window(),
        }
    }

    /// By which rules items move now.
    #[inline]
    pub fn rules(&self) -> LruRules {
        match (self.is_flat.load(Relaxed), self.is_classic.load(Relaxed)) {
            (true, _) => LruRules::Flat,
            (false, true) => LruRules::Classic,
            (false, false) => LruRules::Probation,
        }
    }

    /// Shares of the segments.
    pub fn shares(&self) -> SegmentShares {
        SegmentShares {
            hot_percent: self.hot_percent.load(Relaxed),
            warm_percent: self.warm_percent.load(Relaxed),
        }
    }

    /// Greatest ages of HOT and of WARM, in ages of COLD's tail.
    pub fn age_factors(&self) -> [f64; 2] {
        [self.hot_max_factor.load(), self.warm_max_factor.load()]
    }

    /// Longest life in seconds of an item for TEMP; `None` if there is no such segment.
    pub fn temporary_ttl(&self) -> Option<u32> {
        self.temp_lru.load(Relaxed).then(|| self.temporary_ttl.load(Relaxed))
    }

    /// When pages move by themselves.
    pub fn automove(&self) -> Automove {
        match self.automove.load(Relaxed) {
            0 => Automove::Off,
            1 => Automove::Gentle,
            _ => Automove::Eager,
        }
    }

    pub fn automove_ratio(&self) -> f64 {
        self.automove_ratio.load()
    }

    pub fn automove_window(&self) -> u32 {
        self.automove_window.load(Relaxed)
    }
}

impl Store {
    /// The values in force.
    pub fn tuning(&self) -> Tuning {
        self.shared.tunables.read()
    }

    /// Changes some of the values in force. Items and pages follow bit by bit.
    pub fn tune(&self, change: impl FnOnce(&mut Tuning)) {
        let tunables = &self.shared.tunables;
        let _guard = tunables.change.lock();
        let mut tuning = tunables.read();
        change(&mut tuning);
        tunables.write(&tuning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back() {
        let tuning = Tuning {
            lru_mode: LruMode::Flat,
            lru_policy: LruPolicy::Classic,
            segment_shares: SegmentShares { hot_percent: 11, warm_percent: 22 },
            hot_max_factor: 0.3,
            warm_max_factor: 4.5,
            temp_lru: true,
            temporary_ttl: 6,
            automove: Automove::Eager,
            automove_ratio: 0.7,
            automove_window: 89,
        };
        assert_eq!(Tunables::new(&tuning).read(), tuning);
        assert_eq!(Tunables::new(&Tuning::default()).read(), Tuning::default());
    }
}
