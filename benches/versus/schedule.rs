//! When the requests of an open loop are due: a Poisson process, as of many clients that know nothing of
//! each other.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Exp};

/// Times of arrival, one after the other.
pub struct Schedule {
    next: Instant,
    gap_secs: Exp<f64>,
    rng: Xoshiro256PlusPlus,
}

impl Schedule {
    /// Arrivals at `per_sec` on average, the first a gap after `start`.
    ///
    /// # Panics
    /// If the rate is not above 0.
    pub fn new(per_sec: f64, seed: u64, start: Instant) -> Schedule {
        let gap_secs = Exp::new(per_sec).expect("a rate above 0");
        let mut schedule = Schedule { next: start, gap_secs, rng: Xoshiro256PlusPlus::seed_from_u64(seed) };
        schedule.advance();
        schedule
    }

    /// The next arrival, if it is due by `now`. Those that were missed come with the time that they were due,
    /// however late it is: a client that waits for a slow server would hide how slow it is.
    #[inline]
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        let arrival = self.next;
        (arrival <= now).then(|| {
            self.advance();
            arrival
        })
    }

    /// When the next one is.
    pub fn next(&self) -> Instant {
        self.next
    }

    fn advance(&mut self) {
        self.next += Duration::from_secs_f64(self.gap_secs.sample(&mut self.rng));
    }
}

#[cfg(test)]
#[allow(unused, reason = "a benchmark without a harness has no tests")]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_exponential_with_the_mean_of_the_rate() {
        let start = Instant::now();
        let mut schedule = Schedule::new(1000.0, 7, start);
        let mut last = start;
        let mut gaps: Vec<f64> = Vec::new();
        while let Some(arrival) = schedule.due(start + Duration::from_secs(100)) {
            gaps.push((arrival - last).as_secs_f64() * 1000.0);
            last = arrival;
        }
        let count = gaps.len() as f64;
        // 100 000 expected; its standard deviation is the root of that.
        assert!((count - 100e3).abs() < 5.0 * 100e3f64.sqrt(), "{count}");
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        for (longer_than, share) in [(0.5, 0.606_5), (1.0, 0.367_9), (3.0, 0.049_8)] {
            let found = gaps.iter().filter(|&&gap| gap > longer_than).count() as f64 / count;
            assert!((found - share).abs() < 0.01, "{found} of the gaps are over {longer_than}");
        }
    }

    #[test]
    fn what_was_missed_is_due_at_its_own_time() {
        let start = Instant::now();
        let mut prompt = Schedule::new(1000.0, 1, start);
        let mut late = Schedule::new(1000.0, 1, start);
        assert_eq!(prompt.due(start), None);
        let after = start + Duration::from_secs(1);
        let arrivals: Vec<Instant> = std::iter::from_fn(|| late.due(after)).collect();
        assert!(arrivals.len() > 800 && late.next() > after);
        for arrival in arrivals {
            assert_eq!(prompt.due(prompt.next()), Some(arrival));
        }
    }
}
