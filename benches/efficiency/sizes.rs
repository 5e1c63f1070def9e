//! How long keys and values are: the distributions that the traces draw from.
//!
//! Knows no trace. Everything is drawn from the generator that is passed in.

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Frechet, LogNormal, Pareto};

/// Longest value of any trace, in bytes: still an item with one chunk in a page of 16 KiB.
pub const VALUE_BYTES_MAX: f64 = 8192.0;

/// Weights of values of 0 to 14 bytes in the ETC pool, in units of 1/100 000. The rest of the 100 000 are
/// longer. (Atikoglu et al., "Workload Analysis of a Large-Scale Key-Value Store", SIGMETRICS 2012.)
const ETC_TINY_WEIGHTS: [u32; 15] =
    [536, 47, 17_820, 9_239, 18, 2_740, 65, 606, 23, 837, 837, 8_989, 92, 326, 1_980];
/// Generalized Pareto distribution of the longer values: shape, scale, and where it begins.
const ETC_VALUE: (f64, f64, f64) = (0.348_238, 214.476, 15.0);
/// Generalized extreme value distribution of key lengths: shape, scale, location.
const ETC_KEY: (f64, f64, f64) = (0.078_688, 8.204_49, 30.798_4);
/// Bounds of key lengths. The paper's keys go further in both directions, but hardly any do.
const ETC_KEY_BYTES: (f64, f64) = (16.0, 40.0);

/// Keys and values like those of Facebook's ETC pool.
pub struct EtcSizes {
    tiny: WeightedIndex<u32>,
    value: Pareto<f64>,
    key: Frechet<f64>,
}

impl EtcSizes {
    /// The published distributions.
    pub fn new() -> EtcSizes {
        let rest = 100_000 - ETC_TINY_WEIGHTS.iter().sum::<u32>();
        let (shape, scale, _) = ETC_VALUE;
        let value = Pareto::new(scale / shape, 1.0 / shape);
        let (shape, scale, location) = ETC_KEY;
        // With a positive shape, an extreme value distribution is a Fréchet distribution moved aside.
        let key = Frechet::new(location - scale / shape, scale / shape, 1.0 / shape);
        EtcSizes {
            tiny: WeightedIndex::new(ETC_TINY_WEIGHTS.into_iter().chain([rest])).expect("weights"),
            value: value.expect("a valid Pareto distribution"),
            key: key.expect("a valid Fréchet distribution"),
        }
    }

    /// Length of a key.
    pub fn key(&self, rng: &mut Xoshiro256PlusPlus) -> u8 {
        let (shortest, longest) = ETC_KEY_BYTES;
        self.key.sample(rng).clamp(shortest, longest) as u8
    }

    /// Length of a value: nearly half of them are tiny. An empty one could not be verified and gets a byte.
    pub fn value(&self, rng: &mut Xoshiro256PlusPlus) -> u16 {
        match self.tiny.sample(rng) {
            longer if longer == ETC_TINY_WEIGHTS.len() => self.longer_value(rng),
            tiny => tiny.max(1) as u16,
        }
    }

    /// Length of a value that is not tiny.
    pub fn longer_value(&self, rng: &mut Xoshiro256PlusPlus) -> u16 {
        let (shape, scale, start) = ETC_VALUE;
        (start + self.value.sample(rng) - scale / shape).min(VALUE_BYTES_MAX) as u16
    }
}

/// A log-normal distribution of value lengths, cut at both ends.
pub struct LogNormalSizes {
    distribution: LogNormal<f64>,
    bounds: (f64, f64),
}

impl LogNormalSizes {
    /// `sigma` is that of the logarithm; `bounds` in bytes.
    pub fn new(median_bytes: f64, sigma: f64, bounds: (f64, f64)) -> LogNormalSizes {
        let distribution = LogNormal::new(median_bytes.ln(), sigma);
        LogNormalSizes { distribution: distribution.expect("a valid log-normal distribution"), bounds }
    }

    /// Length of a value.
    pub fn value(&self, rng: &mut Xoshiro256PlusPlus) -> u16 {
        self.distribution.sample(rng).clamp(self.bounds.0, self.bounds.1) as u16
    }
}
