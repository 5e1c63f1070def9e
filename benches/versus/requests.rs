//! The requests of a load: which, over which keys, and their bytes.

use std::ops::Range;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

use crate::value::Values;
use crate::workload::{Popularity, Protocol, ValueBytes, Workload};

/// Versions of a value: a set writes another one than the last, so that a value that is half of the one and
/// half of the other is seen.
pub const VERSIONS: u8 = 4;

/// Keys and values do not depend on lengths up to this one, so that a load finds what another has stored.
const VALUE_BYTES_ALIKE: usize = 1 << 20;

/// The keys and values of a load.
pub fn values(seed: u64, lengths: ValueBytes) -> Values {
    Values::new(seed, lengths.max.max(VALUE_BYTES_ALIKE))
}

/// What a request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The values of so many keys.
    Get(usize),
    /// To store one.
    Set,
}

/// Which requests come next: endless, or one set for each key.
pub struct Source {
    rng: Xoshiro256PlusPlus,
    plan: Plan,
    version: u8,
}

enum Plan {
    Mix { keys: Keys, multiget: usize, gets: u32, all: u32 },
    Fill { left: Range<u32>, step: u32 },
}

enum Keys {
    Uniform(u32),
    Zipf(Zipf<f64>),
}

impl Source {
    /// The requests of a load, for one of its threads.
    ///
    /// # Panics
    /// If the exponent of the popularity is not a usable number.
    pub fn new(workload: &Workload, seed: u64) -> Source {
        let keys = match workload.popularity {
            Popularity::Uniform => Keys::Uniform(workload.keys),
            Popularity::Zipf(exponent) => {
                Keys::Zipf(Zipf::new(f64::from(workload.keys), exponent).expect("a usable exponent"))
            }
        };
        let all = workload.ratio.gets + workload.ratio.sets;
        let plan = Plan::Mix { keys, multiget: workload.multiget, gets: workload.ratio.gets, all };
        Source { rng: Xoshiro256PlusPlus::seed_from_u64(seed), plan, version: 0 }
    }

    /// A set for each key of the part of the keys that thread `thread` of `threads` has.
    pub fn fill(workload: &Workload, thread: usize, threads: usize) -> Source {
        let plan = Plan::Fill { left: thread as u32..workload.keys, step: threads as u32 };
        Source { rng: Xoshiro256PlusPlus::seed_from_u64(0), plan, version: 0 }
    }

    /// What comes next; `None` when every key had its set. Its keys are to be asked for.
    #[inline]
    pub fn kind(&mut self) -> Option<Kind> {
        match &self.plan {
            Plan::Mix { multiget, gets, all, .. } => {
                let is_get = gets == all || self.rng.random_range(0..*all) < *gets;
                Some(if is_get { Kind::Get(*multiget) } else { Kind::Set })
            }
            Plan::Fill { left, .. } => (!left.is_empty()).then_some(Kind::Set),
        }
    }

    /// The next key. Of a zipf distribution, the most popular is 0.
    #[inline]
    pub fn id(&mut self) -> u32 {
        match &mut self.plan {
            Plan::Mix { keys: Keys::Uniform(count), .. } => self.rng.random_range(0..*count),
            Plan::Mix { keys: Keys::Zipf(ranks), .. } => ranks.sample(&mut self.rng) as u32 - 1,
            Plan::Fill { left, step } => {
                let id = left.start;
                left.start = left.start.saturating_add(*step);
                id
            }
        }
    }

    /// The version of the next value.
    #[inline]
    pub fn version(&mut self) -> u8 {
        self.version = (self.version + 1) % VERSIONS;
        self.version
    }

    /// A number below `count`.
    #[inline]
    pub fn pick(&mut self, count: usize) -> usize {
        self.rng.random_range(0..count)
    }
}

/// Writes requests.
#[derive(Clone, Copy)]
pub struct Encoder<'a> {
    /// What is asked for.
    pub workload: &'a Workload,
    /// What is stored.
    pub values: &'a Values,
}

impl Encoder<'_> {
    /// Appends a request for `ids`, of which a set has one. `opaque` is that of the first key, the others
    /// follow; a set stores `version`.
    #[inline]
    pub fn push(
        &self,
        kind: Kind,
        ids: impl Iterator<Item = u32>,
        opaque: u32,
        version: u8,
        out: &mut Vec<u8>,
    ) {
        match (kind, self.workload.protocol) {
            (Kind::Get(_), Protocol::Classic) => {
                out.extend_from_slice(b"get");
                for id in ids {
                    out.push(b' ');
                    self.push_key(id, out);
                }
                out.extend_from_slice(b"\r\n");
            }
            (Kind::Get(count), Protocol::Meta) => self.push_meta_gets(ids, count, opaque, out),
            (Kind::Set, _) => ids.for_each(|id| self.push_set(id, opaque, version, out)),
        }
    }

    /// Several are quiet about misses and end with a `mn`, as a client does it.
    fn push_meta_gets(&self, ids: impl Iterator<Item = u32>, count: usize, opaque: u32, out: &mut Vec<u8>) {
        for (at, id) in ids.enumerate() {
            out.extend_from_slice(b"mg ");
            self.push_key(id, out);
            out.extend_from_slice(if count > 1 { b" k v f q O" } else { b" k v f O" });
            push_number(opaque.wrapping_add(at as u32), out);
            out.extend_from_slice(b"\r\n");
        }
        if count > 1 {
            out.extend_from_slice(b"mn\r\n");
        }
    }

    fn push_set(&self, id: u32, opaque: u32, version: u8, out: &mut Vec<u8>) {
        let bytes = self.workload.value_bytes.of(id);
        match self.workload.protocol {
            Protocol::Classic => {
                out.extend_from_slice(b"set ");
                self.push_key(id, out);
                out.push(b' ');
                push_number(self.values.flags(id), out);
                out.extend_from_slice(b" 0 ");
                push_number(bytes as u32, out);
            }
            Protocol::Meta => {
                out.extend_from_slice(b"ms ");
                self.push_key(id, out);
                out.push(b' ');
                push_number(bytes as u32, out);
                out.extend_from_slice(b" F");
                push_number(self.values.flags(id), out);
                out.extend_from_slice(b" O");
                push_number(opaque, out);
            }
        }
        out.extend_from_slice(b"\r\n");
        self.values.push_value(id, version, bytes, out);
        out.extend_from_slice(b"\r\n");
    }

    fn push_key(&self, id: u32, out: &mut Vec<u8>) {
        self.values.push_key(id, self.workload.key_bytes, out);
    }
}

fn push_number(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
#[allow(unused, reason = "a benchmark without a harness has no tests")]
mod tests {
    use super::*;
    use crate::cases;
    use crate::workload::Ratio;

    fn sampled(popularity: Popularity, keys: u32, count: usize) -> Vec<f64> {
        let workload = Workload { popularity, keys, ..cases::base() };
        let mut source = Source::new(&workload, 3);
        let mut shares = vec![0.0; keys as usize];
        for _ in 0..count {
            shares[source.id() as usize] += 1.0 / count as f64;
        }
        shares
    }

    #[test]
    fn zipf_gives_each_rank_its_share() {
        let (exponent, keys) = (0.99, 1000);
        let found = sampled(Popularity::Zipf(exponent), keys, 1_000_000);
        let weight = |rank: u32| f64::from(rank).powf(-exponent);
        let total: f64 = (1..=keys).map(weight).sum();
        for rank in [1, 2, 3, 10, 100, 500] {
            let share = weight(rank) / total;
            let deviation = 5.0 * (share / 1e6).sqrt();
            assert!((found[rank as usize - 1] - share).abs() < deviation, "rank {rank}");
        }
        let head: f64 = found[..100].iter().sum();
        let expected: f64 = (1..=100).map(weight).sum::<f64>() / total;
        assert!((head - expected).abs() < 0.005, "{head} {expected}");
    }

    #[test]
    fn uniform_gives_all_keys_the_same() {
        let found = sampled(Popularity::Uniform, 100, 1_000_000);
        assert!(found.iter().all(|share| (share - 0.01).abs() < 0.0006), "{found:?}");
    }

    #[test]
    fn gets_and_sets_come_in_their_ratio() {
        let gets = |ratio: &str| {
            let workload = Workload { ratio: ratio.parse().unwrap(), ..cases::base() };
            let mut source = Source::new(&workload, 1);
            (0..110_000).filter(|_| source.kind() == Some(Kind::Get(1))).count()
        };
        assert_eq!((gets("1:0"), gets("0:1")), (110_000, 0));
        assert!((99_000..101_000).contains(&gets("10:1")));
    }

    #[test]
    fn threads_fill_every_key_once() {
        let workload = Workload { keys: 1000, ratio: Ratio { gets: 1, sets: 0 }, ..cases::base() };
        let mut seen = vec![0; 1000];
        for thread in 0..3 {
            let mut source = Source::fill(&workload, thread, 3);
            while let Some(kind) = source.kind() {
                assert_eq!(kind, Kind::Set);
                seen[source.id() as usize] += 1;
            }
        }
        assert!(seen.iter().all(|&count| count == 1));
    }

    #[test]
    fn requests_are_spelled_as_the_protocols_want_them() {
        let values = values(1, ValueBytes::fixed(100));
        let mut spelled = Vec::new();
        for protocol in [Protocol::Classic, Protocol::Meta] {
            let workload = Workload { protocol, key_bytes: 11, ..cases::base() };
            let encoder = Encoder { workload: &workload, values: &values };
            encoder.push(Kind::Get(1), [7].into_iter(), 41, 0, &mut spelled);
            encoder.push(Kind::Get(2), [7, 8].into_iter(), 41, 0, &mut spelled);
            encoder.push(Kind::Set, [5].into_iter(), 41, 2, &mut spelled);
        }
        let text = |id: u32| {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            values.push_key(id, 11, &mut key);
            values.push_value(id, 2, 100, &mut value);
            (String::from_utf8(key).unwrap(), value)
        };
        let ((five, value), (seven, _), (eight, _)) = (text(5), text(7), text(8));
        let classic = format!("get {seven}\r\nget {seven} {eight}\r\nset {five} 5 0 100\r\n");
        let meta = format!(
            "mg {seven} k v f O41\r\nmg {seven} k v f q O41\r\nmg {eight} k v f q O42\r\nmn\r\n\
             ms {five} 100 F5 O41\r\n"
        );
        let expected = [classic.as_bytes(), &value, b"\r\n", meta.as_bytes(), &value, b"\r\n"].concat();
        assert!(spelled == expected, "{}", String::from_utf8_lossy(&spelled));
    }
}
