//! How the requests of each trace are drawn: which key, and what is asked of it.
//!
//! Ids are ranks of popularity where nothing else is said: lengths are drawn by id and at random, so rank
//! and length have nothing to do with each other.

use std::ops::Range;

use rand::RngExt;
use rand::distr::Distribution;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Exp, Zipf};

use crate::trace::Action;

/// Share of the requests of `etc` that overwrite: the ETC pool has 30 gets to a set.
const ETC_OVERWRITES: f64 = 1.0 / 31.0;
/// Foreground requests from the start of a scan to the start of the next, those beside the scan included.
const FOREGROUND_PER_SCAN: u32 = 120_000;
/// Cold keys of a scan.
const KEYS_PER_SCAN: u32 = 60_000;
/// How many short-lived objects ago the one was written that is read now, on average.
const RECENCY_MEAN: f64 = 5_000.0;

/// Keys of unequal popularity.
#[derive(Clone)]
pub struct Skew {
    /// Number of keys.
    pub keys: u32,
    zipf: Zipf<f64>,
}

impl Skew {
    /// A Zipf distribution over `keys` keys.
    pub fn new(keys: u32, exponent: f64) -> Skew {
        Skew { keys, zipf: Zipf::new(f64::from(keys), exponent).expect("a valid Zipf distribution") }
    }

    /// A rank, the most popular being 0.
    #[inline]
    fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        (self.zipf.sample(rng) as u32 - 1).min(self.keys - 1)
    }
}

/// The rule by which a trace draws its requests, with what it remembers between them.
#[derive(Clone)]
pub enum Pattern {
    /// Skewed gets with some overwrites.
    Etc(Skew),
    /// Skewed gets with scans between them.
    Scan {
        /// Of the foreground.
        skew: Skew,
        /// Foreground requests until the next scan begins.
        foreground_left: u32,
        /// Keys until this scan ends.
        scan_left: u32,
        /// The cold key that comes next. None comes twice.
        next_cold: u32,
        /// Whether it is the scan's turn while one is under way.
        is_scans_turn: bool,
    },
    /// Skewed gets; all keys change at request `at`.
    Shift {
        /// Of the keys before and behind `at`.
        skew: Skew,
        /// When they change.
        at: u64,
    },
    /// See [`Twitter`].
    Twitter(Twitter),
    /// See [`Varied`].
    Varied(Varied),
}

impl Pattern {
    /// Scans beside a foreground of this skew.
    pub fn scan(skew: Skew, requests: u64) -> Pattern {
        let next_cold = skew.keys;
        // A short run is to see a scan as well.
        let foreground_left = FOREGROUND_PER_SCAN.min(requests as u32 / 4);
        Pattern::Scan { skew, foreground_left, scan_left: 0, next_cold, is_scans_turn: false }
    }

    /// Request number `at`: what is asked, of which item, and whether it belongs to the foreground.
    #[inline]
    pub fn draw(&mut self, at: u64, rng: &mut Xoshiro256PlusPlus) -> (Action, u32, bool) {
        match self {
            Pattern::Etc(skew) => {
                let id = skew.draw(rng);
                let is_overwrite = rng.random_bool(ETC_OVERWRITES);
                (if is_overwrite { Action::Set } else { Action::Get }, id, true)
            }
            Pattern::Scan { skew, foreground_left, scan_left, next_cold, is_scans_turn } => {
                if *scan_left > 0 && *is_scans_turn {
                    (*is_scans_turn, *scan_left, *next_cold) = (false, *scan_left - 1, *next_cold + 1);
                    return (Action::Get, *next_cold - 1, false);
                }
                *is_scans_turn = true;
                *foreground_left -= 1;
                if *foreground_left == 0 {
                    (*foreground_left, *scan_left) = (FOREGROUND_PER_SCAN, KEYS_PER_SCAN);
                }
                (Action::Get, skew.draw(rng), true)
            }
            Pattern::Shift { skew, at: shift } => {
                let first = if at < *shift { 0 } else { skew.keys };
                (Action::Get, first + skew.draw(rng), true)
            }
            Pattern::Twitter(twitter) => twitter.draw(at, rng),
            Pattern::Varied(varied) => varied.draw(at, rng),
        }
    }
}

/// Content that lasts beside objects that do not.
#[derive(Clone)]
pub struct Twitter {
    content: Skew,
    /// Only content is asked for before this request.
    content_until: u64,
    /// Ids of short-lived objects; those before `next_short` have been written.
    short_lived: Range<u32>,
    next_short: u32,
    /// Ids that are still to be asked for once.
    one_hits: Range<u32>,
    recency: Exp<f64>,
}

impl Twitter {
    /// `short_lived` and `one_hits` are the ids of such objects, each used once in turn.
    pub fn new(content: Skew, content_until: u64, short_lived: Range<u32>, one_hits: Range<u32>) -> Twitter {
        let recency = Exp::new(1.0 / RECENCY_MEAN).expect("a valid exponential distribution");
        let next_short = short_lived.start;
        Twitter { content, content_until, short_lived, next_short, one_hits, recency }
    }

    fn draw(&mut self, at: u64, rng: &mut Xoshiro256PlusPlus) -> (Action, u32, bool) {
        let percent = if at < self.content_until { 0 } else { rng.random_range(0..100) };
        let written = self.next_short - self.short_lived.start;
        match percent {
            50..54 => (Action::Set, self.content.draw(rng), true),
            54..76 if self.next_short < self.short_lived.end => {
                self.next_short += 1;
                (Action::Set, self.next_short - 1, false)
            }
            76..90 if written > 0 => {
                let back = (self.recency.sample(rng) as u32).min(written - 1);
                (Action::GetOnly, self.next_short - 1 - back, false)
            }
            90.. => match self.one_hits.next() {
                Some(id) => (Action::Get, id, false),
                None => (Action::Get, self.content.draw(rng), true),
            },
            _ => (Action::Get, self.content.draw(rng), true),
        }
    }
}

/// Skewed gets, overwrites and deletes, with a hot set that moves along the ids.
#[derive(Clone)]
pub struct Varied {
    skew: Skew,
    overwrites: f64,
    deletes: f64,
    /// Requests from one step of the drift to the next.
    drift_every: u64,
    /// By how many ids it moves in a step.
    drift_step: u32,
    /// The most popular id now.
    hottest: u32,
}

impl Varied {
    /// Parameters drawn from the generator.
    pub fn new(keys: u32, rng: &mut Xoshiro256PlusPlus) -> Varied {
        Varied {
            skew: Skew::new(keys, rng.random_range(0.70..1.02)),
            overwrites: rng.random_range(0.02..0.08),
            deletes: rng.random_range(0.0..0.03),
            drift_every: rng.random_range(20_000..80_000),
            drift_step: rng.random_range(20..420),
            hottest: 0,
        }
    }

    fn draw(&mut self, at: u64, rng: &mut Xoshiro256PlusPlus) -> (Action, u32, bool) {
        if at.is_multiple_of(self.drift_every) {
            self.hottest = (self.hottest + self.drift_step) % self.skew.keys;
        }
        let share: f64 = rng.random();
        let (action, rank) = if share < self.overwrites {
            (Action::Set, self.skew.draw(rng))
        } else if share < self.overwrites + self.deletes {
            // Deletes by popularity would only empty the head of the distribution.
            (Action::Delete, rng.random_range(0..self.skew.keys / 10))
        } else {
            (Action::Get, self.skew.draw(rng))
        };
        (action, (self.hottest + rank) % self.skew.keys, true)
    }
}
