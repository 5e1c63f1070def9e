//! Which keys of a stream weigh most, in bounded memory and with a bound of the error.
//!
//! The algorithm is Space-Saving (A. Metwally, D. Agrawal, A. El Abbadi: "Efficient Computation of Frequent and Top-k
//! Elements in Data Streams", ICDT 2005). There is a fixed number of counters. A key without one takes over the
//! smallest, and what that had counted becomes the most that the newcomer's count can be too high by. So a count less
//! its error was really seen, and what has no counter weighs no more than the smallest one.
//!
//! Two things are otherwise. The counters are cut into sets, and a key has its place in one of them, by its hash: an
//! update looks at eight counters and needs neither heap nor index; the bounds hold for each set. And counts decay
//! ([`HeavyHitters::scale`]), so that what weighs most is what does so now. All counts, errors and the total shrink
//! alike, which leaves every bound true.

/// Counters in a set: one look at each hash is two cache lines at most.
const WAYS: usize = 8;
/// Sets, a power of two.
const SETS: usize = 32;
const _: () = assert!(SETS.is_power_of_two());
/// Longest key that is kept whole.
const KEY_BYTES_MAX: usize = 250;
/// Bytes of a key as it is kept, behind its length.
const NAME_BYTES: usize = 1 + KEY_BYTES_MAX;
/// A count below this, of what is counted in ones, has decayed to nothing.
const COUNT_MIN: f64 = 1e-3;

/// Eight counters. A count of 0 belongs to no key.
#[derive(Clone, Default)]
struct Set {
    hashes: [u64; WAYS],
    counts: [f64; WAYS],
    /// The part of a count that may not be the key's.
    errors: [f64; WAYS],
    /// The variance of a count that comes from sampling.
    variances: [f64; WAYS],
}

impl Set {
    fn smallest(&self) -> usize {
        let mut smallest = 0;
        for way in 1..WAYS {
            if self.counts[way] < self.counts[smallest] {
                smallest = way;
            }
        }
        smallest
    }

    fn way_of(&self, hash: u64) -> Option<usize> {
        self.hashes.iter().zip(&self.counts).position(|(&other, &count)| other == hash && count > 0.0)
    }
}

/// What is known of the weight of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// What was seen of it for certain.
    pub seen: f64,
    /// At most so much more came before it had its counter.
    pub unseen: f64,
    /// Variance of what was seen, if the stream is a sample.
    pub variance: f64,
}

/// The heaviest keys of a stream. Keys are told apart by their hashes, which must be 64 well mixed bits that nobody
/// outside can foresee.
#[derive(Clone)]
pub struct HeavyHitters {
    sets: Box<[Set]>,
    /// In one piece, so that memory which no key was written to yet takes none.
    names: Box<[u8]>,
    total: f64,
}

impl Default for HeavyHitters {
    fn default() -> Self {
        Self::new()
    }
}

impl HeavyHitters {
    /// Nothing counted. Takes all the memory that it will ever have, some 70 KiB.
    pub fn new() -> HeavyHitters {
        HeavyHitters {
            sets: vec![Set::default(); SETS].into_boxed_slice(),
            names: vec![0; SETS * WAYS * NAME_BYTES].into_boxed_slice(),
            total: 0.0,
        }
    }

    /// Adds `amount`, above 0, to the weight of a key; of a sample, `variance` is what it adds to that of the weight.
    pub fn add(&mut self, hash: u64, key: &[u8], amount: f64, variance: f64) {
        self.total += amount;
        let number = set_of(hash);
        let set = &mut self.sets[number];
        if let Some(way) = set.way_of(hash) {
            set.counts[way] += amount;
            set.variances[way] += variance;
            return;
        }
        let way = set.smallest();
        set.hashes[way] = hash;
        set.errors[way] = set.counts[way];
        set.counts[way] += amount;
        set.variances[way] = variance;
        let kept = &key[..key.len().min(KEY_BYTES_MAX)];
        let at = (number * WAYS + way) * NAME_BYTES;
        self.names[at] = kept.len() as u8;
        self.names[at + 1..][..kept.len()].copy_from_slice(kept);
    }

    /// Lets everything weigh `factor` times as much, at most 1. What comes to nothing is forgotten.
    pub fn scale(&mut self, factor: f64) {
        self.total *= factor;
        for set in &mut self.sets {
            for way in 0..WAYS {
                let count = set.counts[way] * factor;
                let is_nothing = count < COUNT_MIN;
                set.counts[way] = if is_nothing { 0.0 } else { count };
                set.errors[way] = if is_nothing { 0.0 } else { set.errors[way] * factor };
                set.variances[way] *= factor * factor;
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.total = 0.0;
        self.sets.fill(Set::default());
    }

    /// The weight of all keys together.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// What is known of a key, also if it has no counter.
    pub fn estimate(&self, hash: u64) -> Estimate {
        let set = &self.sets[set_of(hash)];
        match set.way_of(hash) {
            Some(way) => Estimate {
                seen: set.counts[way] - set.errors[way],
                unseen: set.errors[way],
                variance: set.variances[way],
            },
            None => Estimate { unseen: set.counts[set.smallest()], ..Estimate::default() },
        }
    }

    /// The keys that have a counter, with their hashes, in no order.
    pub fn keys(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.names.chunks_exact(NAME_BYTES).enumerate().filter_map(|(place, name)| {
            let (set, way) = (&self.sets[place / WAYS], place % WAYS);
            let (length, bytes) = name.split_first()?;
            (set.counts[way] > 0.0).then(|| (set.hashes[way], &bytes[..usize::from(*length)]))
        })
    }
}

/// By other bits than a hash table takes first.
fn set_of(hash: u64) -> usize {
    (hash >> 32) as usize & (SETS - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};
    use rand_distr::Zipf;

    use super::*;
    use crate::base::hash::KeyHasher;

    /// Keys by number, and what really came of each.
    struct Exact {
        hasher: KeyHasher,
        sketch: HeavyHitters,
        weights: HashMap<Vec<u8>, f64>,
    }

    impl Exact {
        fn new(seed: u64) -> Exact {
            let (hasher, sketch) = (KeyHasher::with_seed(seed), HeavyHitters::new());
            Exact { hasher, sketch, weights: HashMap::new() }
        }

        fn add(&mut self, key: &[u8], amount: f64) {
            self.sketch.add(self.hasher.hash(key), key, amount, 0.0);
            *self.weights.entry(key.to_vec()).or_default() += amount;
        }

        fn scale(&mut self, factor: f64) {
            self.sketch.scale(factor);
            self.weights.values_mut().for_each(|weight| *weight *= factor);
        }

        /// Every key weighs what was seen of it, or up to what may have been unseen more.
        fn check(&self) {
            // Of what was forgotten as nothing.
            let slack = COUNT_MIN * 2.0 + self.sketch.total() * 1e-9;
            for (key, weight) in &self.weights {
                let Estimate { seen, unseen, .. } = self.sketch.estimate(self.hasher.hash(key));
                let is_within = seen - slack <= *weight && *weight <= seen + unseen + slack;
                assert!(is_within, "{key:?}: {weight} is not within {seen} and {unseen} more");
            }
            let total: f64 = self.weights.values().sum();
            assert!((total - self.sketch.total()).abs() <= slack);
            for (hash, key) in self.sketch.keys() {
                assert_eq!(self.hasher.hash(key), hash);
            }
        }

        /// The `count` heaviest keys, by what really came and by what was seen.
        fn top(&self, count: usize) -> [Vec<Vec<u8>>; 2] {
            let heaviest = |mut weights: Vec<(Vec<u8>, f64)>| {
                weights.sort_by(|(_, one), (_, other)| other.total_cmp(one));
                weights.truncate(count);
                weights.into_iter().map(|(key, _)| key).collect()
            };
            let seen = |(hash, key): (u64, &[u8])| (key.to_vec(), self.sketch.estimate(hash).seen);
            [
                heaviest(self.weights.clone().into_iter().collect()),
                heaviest(self.sketch.keys().map(seen).collect()),
            ]
        }
    }

    /// How many of the ten heaviest keys of a skewed trace are found, which drifts to other keys if it is to.
    fn found_of_ten(seed: u64, skew: f64, drifts: bool) -> usize {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let ranks = Zipf::new(100_000.0, skew).unwrap();
        let mut exact = Exact::new(seed);
        for request in 0..200_000 {
            let era = if drifts { request / 50_000 } else { 0 };
            let rank: f64 = random.sample(ranks);
            exact.add(format!("{era}:{rank}").as_bytes(), 1.0);
            if request % 10_000 == 9_999 {
                exact.scale(0.7);
            }
        }
        exact.check();
        let [real, seen] = exact.top(10);
        real.iter().filter(|key| seen.contains(key)).count()
    }

    #[test]
    fn the_hottest_keys_of_skewed_traces_are_found() {
        for seed in 0..8 {
            assert_eq!(found_of_ten(seed, 1.1, false), 10, "seed {seed}");
            assert!(found_of_ten(seed, 0.9, false) >= 9, "seed {seed}");
        }
    }

    #[test]
    fn what_was_hot_makes_way_for_what_is() {
        for seed in 0..4 {
            assert!(found_of_ten(seed, 1.1, true) >= 9, "seed {seed}");
        }
    }

    #[test]
    fn a_uniform_stream_has_no_hot_keys() {
        let mut exact = Exact::new(7);
        for n in 0..100_000 {
            exact.add(format!("{}", n % 50_000).as_bytes(), 1.0);
        }
        exact.check();
        let seen = exact.sketch.keys().map(|(hash, _)| exact.sketch.estimate(hash).seen);
        assert!(seen.fold(0.0, f64::max) <= 2.0);
    }

    #[test]
    fn what_decays_to_nothing_is_forgotten() {
        let mut exact = Exact::new(1);
        exact.add(b"a", 1.0);
        exact.add(b"b", 1e9);
        exact.scale(1e-6);
        exact.check();
        assert_eq!(exact.sketch.keys().map(|(_, key)| key).collect::<Vec<_>>(), [b"b"]);
        exact.sketch.clear();
        assert_eq!((exact.sketch.keys().count(), exact.sketch.total()), (0, 0.0));
    }

    #[test]
    fn a_key_has_all_its_bytes() {
        let mut exact = Exact::new(1);
        for length in [1, 2, 249, 250] {
            exact.add(&vec![b'x'; length], 1.0);
        }
        let mut lengths: Vec<usize> = exact.sketch.keys().map(|(_, key)| key.len()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [1, 2, 249, 250]);
    }

    proptest! {
        #[test]
        fn no_stream_breaks_the_bounds(
            seed: u64,
            steps in prop::collection::vec((0..2000_u32, 1..1_000_000_u32, 0..40_u8), 1..3000),
        ) {
            let mut exact = Exact::new(seed);
            for (key, amount, decay) in steps {
                exact.add(&key.to_le_bytes(), f64::from(amount));
                if decay == 0 {
                    exact.scale(0.5);
                }
            }
            exact.check();
        }
    }
}
