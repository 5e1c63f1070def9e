//! `stats hotkeys`: which keys are asked for and stored most, by requests and by bytes, at present.
//!
//! A sample is enough to know, and costs next to nothing. What is drawn are turns: of the turns of each worker the
//! first [`EXACT_TURNS`] of a second, and then one in [`INTERVAL`] by chance, which counts for so many. All requests of
//! such a turn have the bit [`SAMPLED`] in the word that the path of a request looks at anyway, so that others pay
//! nothing. Every request has the same chance to be counted for its weight, whether it comes alone or among others,
//! and a server that has little to do counts exactly.
//!
//! A worker has tables of its own (see `base::heavy_hitters`), and nobody waits for their lock: what is sampled while
//! somebody reads them is left out. Once a second all counts decay, by half in [`HALF_LIFE`] seconds.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

use crate::base::clock::{Now, Seconds};
use crate::base::hash::KeyHasher;
use crate::base::heavy_hitters::{Estimate, HeavyHitters};

use super::encoding;
use super::meta;
use super::number;
use super::reply;
use super::request::{MetaCommand, Request};
use super::session::Turn;
use super::stats::Lines;

/// Among the bits of [`Turn::observed`]: requests of this turn are counted.
pub(super) const SAMPLED: u32 = 1 << 28;
/// Turns of a worker that are counted in each second: enough to tell who is hot where there is little to do.
const EXACT_TURNS: u32 = 64;
/// Of those that come later in the same second one in so many is.
const INTERVAL: u32 = 128;
/// Seconds in which counts lose half of their weight.
pub(super) const HALF_LIFE: u32 = 10;
/// Keys of each kind that are listed if nobody says how many, and at most.
const LISTED: usize = 10;
const LISTED_MAX: usize = 100;

/// What is counted of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys asked for by get, gets, gat, gats and mg.
    ReadRequests,
    /// Bytes of the answers to these.
    ReadBytes,
    /// Keys stored, changed, touched or deleted.
    WriteRequests,
    /// Bytes of values that clients sent.
    WriteBytes,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::ReadRequests, Kind::ReadBytes, Kind::WriteRequests, Kind::WriteBytes];

    /// As `stats hotkeys` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ReadRequests => "read_requests",
            Kind::ReadBytes => "read_bytes",
            Kind::WriteRequests => "write_requests",
            Kind::WriteBytes => "write_bytes",
        }
    }
}

/// The tables of all workers.
pub(super) struct HotKeys {
    /// Empty if nothing is to be counted.
    workers: Box<[CachePadded<WorkerHotKeys>]>,
    hasher: KeyHasher,
}

/// What one worker counts.
pub(super) struct WorkerHotKeys {
    /// The second of the last turn that was counted, and how many more of this second are, whatever comes.
    second: AtomicU32,
    exact_turns_left: AtomicU32,
    /// Turns that are passed over before the next that counts. Like those above written by the worker alone.
    turns_left: AtomicU32,
    random: AtomicU32,
    tables: Mutex<Tables>,
}

/// What was counted up to a second.
#[derive(Clone)]
struct Tables {
    second: Seconds,
    /// When counting began.
    since: Seconds,
    /// By kind, and how much of the total is of seconds that are over.
    kinds: [(HeavyHitters, f64); 4],
}

/// What a turn that is sampled counts with.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    of: &'a WorkerHotKeys,
    hasher: &'a KeyHasher,
    /// How many turns it stands for.
    weight: u32,
}

impl WorkerHotKeys {
    fn new(worker: usize) -> WorkerHotKeys {
        WorkerHotKeys {
            second: AtomicU32::new(0),
            exact_turns_left: AtomicU32::new(0),
            turns_left: AtomicU32::new(0),
            // Anything but 0, and not the same for all.
            random: AtomicU32::new((worker as u32).wrapping_mul(0x9e37_79b9) | 1),
            tables: Mutex::new(Tables::new()),
        }
    }

    /// How many turns the one that begins stands for; 0 if it is not counted.
    #[inline]
    fn weight(&self, now: Seconds) -> u32 {
        let left = self.turns_left.load(Relaxed);
        if left != 0 && self.second.load(Relaxed) == now.0 {
            self.turns_left.store(left - 1, Relaxed);
            return 0;
        }
        self.draw(now)
    }

    #[cold]
    fn draw(&self, now: Seconds) -> u32 {
        if self.second.swap(now.0, Relaxed) != now.0 {
            self.exact_turns_left.store(EXACT_TURNS, Relaxed);
            self.turns_left.store(0, Relaxed);
        }
        let exact = self.exact_turns_left.load(Relaxed);
        if exact > 1 {
            self.exact_turns_left.store(exact - 1, Relaxed);
            return 1;
        }
        // Xorshift (G. Marsaglia, 2003). Intervals that are all the same might agree with those of a client.
        let mut random = self.random.load(Relaxed);
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        self.random.store(random, Relaxed);
        self.turns_left.store(random % (2 * INTERVAL - 1), Relaxed);
        self.exact_turns_left.store(0, Relaxed);
        if exact == 1 { 1 } else { INTERVAL }
    }
}

impl Tables {
    fn new() -> Tables {
        let kinds = std::array::from_fn(|_| (HeavyHitters::new(), 0.0));
        Tables { second: Seconds::START, since: Seconds::START, kinds }
    }

    /// Lets the counts decay up to `now`.
    fn advance(&mut self, now: Seconds) {
        if now == self.second {
            return;
        }
        let passed = now.0.saturating_sub(self.second.0);
        self.second = now;
        if passed > 0 {
            let factor = decay(passed);
            for (hitters, of_past) in &mut self.kinds {
                hitters.scale(factor);
                *of_past = hitters.total();
            }
        }
    }

    fn add(&mut self, kind: Kind, hash: u64, key: &[u8], amount: usize, weight: u32) {
        let (amount, weight) = (amount as f64, f64::from(weight));
        let variance = weight * (weight - 1.0) * amount * amount;
        self.kinds[kind as usize].0.add(hash, key, amount * weight, variance);
    }
}

/// What is left of a count after so many seconds.
fn decay(seconds: u32) -> f64 {
    (-f64::from(seconds) / f64::from(HALF_LIFE)).exp2()
}

impl Sample<'_> {
    /// Counts a request for a key, and the bytes that it took.
    fn count(self, key: &[u8], bytes: usize, [requests_kind, bytes_kind]: [Kind; 2], now: Seconds) {
        let Some(mut tables) = self.of.tables.try_lock() else { return };
        tables.advance(now);
        let hash = self.hasher.hash(key);
        tables.add(requests_kind, hash, key, 1, self.weight);
        if bytes > 0 {
            tables.add(bytes_kind, hash, key, bytes, self.weight);
        }
    }
}

impl Turn<'_> {
    /// Tells whose turn this is: it may be in the sample of that worker.
    #[inline]
    pub fn of_worker(&mut self, worker: u16) {
        let hot_keys = &self.daemon.hot_keys;
        let Some(of) = hot_keys.workers.get(usize::from(worker)) else { return };
        let weight = of.weight(self.now.seconds);
        if weight > 0 {
            self.sample = Some(Sample { of, hasher: &hot_keys.hasher, weight });
            self.observed |= SAMPLED;
        }
    }
}

/// Counts a key that was asked for and the bytes of the answer, if the turn is sampled.
#[cold]
pub(super) fn count_read(key: &[u8], answer_bytes: usize, turn: &Turn) {
    if let Some(sample) = turn.sample {
        sample.count(key, answer_bytes, [Kind::ReadRequests, Kind::ReadBytes], turn.now.seconds);
    }
}

/// Counts what a request is about to change, if the turn is sampled.
#[cold]
pub(super) fn count_write(request: &Request, turn: &Turn) {
    let Some(sample) = turn.sample else { return };
    let count = |key: &[u8], bytes: usize| {
        sample.count(key, bytes, [Kind::WriteRequests, Kind::WriteBytes], turn.now.seconds);
    };
    // What is announced is on its way, unless it is refused for its length.
    let arriving = |bytes: usize| if bytes > turn.daemon.settings.max_item_size { 0 } else { bytes };
    match *request {
        Request::Store { key, value_bytes, .. } => count(key, arriving(value_bytes)),
        Request::Arithmetic { key, .. } | Request::Delete { key, .. } | Request::Touch { key, .. } => {
            count(key, 0);
        }
        Request::Meta { command: MetaCommand::Get | MetaCommand::Debug, .. } => {}
        Request::Meta { command, arguments } => {
            if let Some(target) = meta::target(command, arguments) {
                let bytes = arriving(target.skip.saturating_sub(reply::LINE_END.len()));
                target.with_key(|key| count(key, bytes));
            }
        }
        _ => {}
    }
}

/// A key and how hot it is.
#[derive(Debug)]
pub(super) struct Hot {
    pub key: Box<[u8]>,
    pub per_second: f64,
    /// It may be so much more or less.
    pub error: f64,
    /// Of all, from 0 to 1.
    pub share: f64,
}

/// The hottest keys of a kind, hottest first.
#[derive(Debug)]
pub(super) struct Ranking {
    /// All keys together.
    pub per_second: f64,
    pub keys: Vec<Hot>,
}

impl HotKeys {
    /// Tables for so many workers; with none nothing is ever counted.
    pub fn new(workers: usize) -> HotKeys {
        let workers = (0..workers).map(|number| CachePadded::new(WorkerHotKeys::new(number))).collect();
        HotKeys { workers, hasher: KeyHasher::new() }
    }

    /// Whether anything is counted.
    pub fn are_counted(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Begins anew.
    pub fn clear(&self, now: Seconds) {
        for worker in &self.workers {
            let mut tables = worker.tables.lock();
            (tables.second, tables.since) = (now, now);
            for (hitters, of_past) in &mut tables.kinds {
                hitters.clear();
                *of_past = 0.0;
            }
        }
    }

    /// The `count` hottest keys of each kind.
    pub fn rankings(&self, count: usize, now: Seconds) -> [Ranking; 4] {
        // Copied, so that a worker misses little.
        let mut tables: Vec<Tables> =
            self.workers.iter().map(|worker| worker.tables.lock().clone()).collect();
        tables.iter_mut().for_each(|tables| tables.advance(now));
        Kind::ALL.map(|kind| ranking(kind, count, &tables, now))
    }
}

fn ranking(kind: Kind, count: usize, tables: &[Tables], now: Seconds) -> Ranking {
    let kinds = || tables.iter().map(|tables| &tables.kinds[kind as usize]);
    let [total, of_past] =
        [kinds().map(|(hitters, _)| hitters.total()).sum::<f64>(), kinds().map(|(_, past)| past).sum()];
    let since = tables.iter().map(|tables| tables.since.0).min().unwrap_or(now.0);
    let per_second = rate(total, of_past, now.0.saturating_sub(since));
    let mut keys: HashMap<u64, &[u8]> = HashMap::new();
    for (hitters, _) in kinds() {
        keys.extend(hitters.keys());
    }
    let estimate = |hash: u64| {
        kinds().map(|(hitters, _)| hitters.estimate(hash)).fold(Estimate::default(), |sum, other| Estimate {
            seen: sum.seen + other.seen,
            unseen: sum.unseen + other.unseen,
            variance: sum.variance + other.variance,
        })
    };
    let mut keys: Vec<(&[u8], Estimate)> =
        keys.into_iter().map(|(hash, key)| (key, estimate(hash))).collect();
    keys.sort_unstable_by(|(one_key, one), (other_key, other)| {
        other.seen.total_cmp(&one.seen).then_with(|| one_key.cmp(other_key))
    });
    keys.truncate(count);
    let hot = |(key, estimate): (&[u8], Estimate)| {
        let share = if total > 0.0 { estimate.seen / total } else { 0.0 };
        // Two standard deviations: 19 times in 20.
        let error = (estimate.unseen + 2.0 * estimate.variance.sqrt()) / total.max(f64::MIN_POSITIVE);
        Hot { key: key.into(), per_second: share * per_second, error: error * per_second, share }
    };
    Ranking { per_second, keys: keys.into_iter().map(hot).collect() }
}

/// What decayed sums make per second: `of_past` is the part that is of the `past_seconds` that are over.
fn rate(total: f64, of_past: f64, past_seconds: u32) -> f64 {
    let factor = decay(1);
    // The sum that one per second would have come to.
    let unit = factor * (1.0 - decay(past_seconds)) / (1.0 - factor);
    // Whatever comes in the present second is not less than it was, and not more once it is over.
    let with_present = total / (unit + 1.0);
    if past_seconds == 0 { with_present } else { with_present.max(of_past / unit) }
}

/// Answers `stats hotkeys [COUNT]`.
pub(super) fn answer(count: &[u8], turn: &mut Turn) -> Result<(), &'static [u8]> {
    let daemon = turn.daemon;
    // What the rules against dumps keep secret is the same here.
    if !daemon.settings.dump_enabled {
        return Err(reply::HOT_KEYS_NOT_ALLOWED);
    }
    let count = match count {
        b"" => LISTED,
        count => match number::strict_u32(count) {
            Some(count) => LISTED_MAX.min(count as usize),
            None => return Err(reply::BAD_FORMAT),
        },
    };
    let mut lines = Lines(turn.output);
    if !daemon.hot_keys.are_counted() {
        lines.add("hotkeys_status", "disabled");
        return Ok(());
    }
    lines.add("half_life_seconds", HALF_LIFE);
    for (kind, ranking) in Kind::ALL.iter().zip(daemon.hot_keys.rankings(count, turn.now.seconds)) {
        let name = kind.name();
        lines.add(format_args!("{name}_per_second"), Figure(ranking.per_second));
        for (at, hot) in ranking.keys.iter().enumerate() {
            let (key, per_second) = (encoding::uri(&hot.key), Figure(hot.per_second));
            let (error, percent) = (Figure(hot.error), Figure(hot.share * 100.0));
            lines.add(
                format_args!("{name}:{}", at + 1),
                format_args!("key={key},per_second={per_second},error={error},percent={percent}"),
            );
        }
    }
    Ok(())
}

/// A figure with two digits behind the point.
struct Figure(f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

/// The hottest keys for those who are not clients, as many of each kind as the operator lets them see.
pub(super) fn public(daemon: &super::Daemon, now: Now) -> impl Iterator<Item = (Kind, Ranking)> {
    let count = daemon.settings.metrics_hot_keys;
    let is_wanted = count > 0 && daemon.hot_keys.are_counted();
    let rankings = is_wanted.then(|| daemon.hot_keys.rankings(count, now.seconds));
    Kind::ALL.into_iter().zip(rankings.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};
    use rand_distr::Zipf;

    use super::*;

    /// Workers that take turns of one request each, by chance, and what really came.
    struct Simulation {
        hot_keys: HotKeys,
        random: Xoshiro256PlusPlus,
        exact: HashMap<Vec<u8>, f64>,
        now: Seconds,
    }

    impl Simulation {
        fn new(workers: usize, seed: u64) -> Simulation {
            let hot_keys = HotKeys { hasher: KeyHasher::with_seed(seed), ..HotKeys::new(workers) };
            hot_keys.clear(Seconds(10));
            let random = Xoshiro256PlusPlus::seed_from_u64(seed);
            Simulation { hot_keys, random, exact: HashMap::new(), now: Seconds(10) }
        }

        fn request(&mut self, key: &[u8], bytes: usize) {
            let HotKeys { workers, hasher } = &self.hot_keys;
            let of = &*workers[self.random.random_range(0..workers.len())];
            let weight = of.weight(self.now);
            if weight > 0 {
                let sample = Sample { of, hasher, weight };
                sample.count(key, bytes, [Kind::ReadRequests, Kind::ReadBytes], self.now);
            }
            *self.exact.entry(key.to_vec()).or_default() += 1.0;
        }

        fn ranking(&self, kind: Kind, count: usize) -> Ranking {
            self.hot_keys.rankings(count, self.now).into_iter().nth(kind as usize).unwrap()
        }
    }

    #[test]
    fn errors_are_as_large_as_they_are_said_to_be() {
        let (mut right, mut all, mut found) = (0, 0, 0);
        for seed in 0..20 {
            let mut simulation = Simulation::new(2, seed);
            let ranks = Zipf::new(20_000.0, 1.0).unwrap();
            for _ in 0..100_000 {
                let rank: f64 = simulation.random.sample(ranks);
                simulation.request(format!("{rank}").as_bytes(), 0);
            }
            let mut real: Vec<(&Vec<u8>, &f64)> = simulation.exact.iter().collect();
            real.sort_by(|one, other| other.1.total_cmp(one.1));
            for hot in simulation.ranking(Kind::ReadRequests, 10).keys {
                right += usize::from((hot.per_second - simulation.exact[&*hot.key]).abs() <= hot.error);
                found += usize::from(real[..10].iter().any(|(key, _)| ***key == *hot.key));
                all += 1;
            }
        }
        assert_eq!(all, 200);
        assert!(right >= 180, "{right} of {all} within their errors");
        assert!(found >= 140, "{found} of {all} of the hottest");
    }

    #[test]
    fn a_steady_rate_is_told_at_any_moment_and_fades() {
        let mut simulation = Simulation::new(1, 1);
        for second in 0..60 {
            simulation.now = Seconds(10 + second);
            for number in 0..40 {
                simulation.request(if number % 4 == 0 { b"often" } else { b"oftener" }, 100);
                if second > 0 {
                    let ranking = simulation.ranking(Kind::ReadRequests, 2);
                    assert!((39.0..41.0).contains(&ranking.per_second), "{second}, {number}: {ranking:?}");
                }
            }
        }
        let ranking = simulation.ranking(Kind::ReadBytes, 10);
        let rates: Vec<f64> = ranking.keys.iter().map(|hot| hot.per_second.round()).collect();
        assert_eq!((ranking.per_second.round(), rates), (4000.0, vec![3000.0, 1000.0]));
        assert!(ranking.keys.iter().all(|hot| hot.error == 0.0), "{ranking:?}");
        simulation.now = Seconds(10 + 59 + HALF_LIFE + 1);
        let ranking = simulation.ranking(Kind::ReadRequests, 1);
        assert!((19.0..21.0).contains(&ranking.per_second), "{ranking:?}");
        simulation.now = Seconds(10_000);
        assert!(simulation.ranking(Kind::ReadRequests, 10).keys.is_empty());
    }

    #[test]
    fn one_turn_in_some_is_drawn_and_the_first_of_each_second() {
        let worker = WorkerHotKeys::new(0);
        let mut sum = 0;
        for second in 10..20 {
            let weights: Vec<u32> = (0..100_000).map(|_| worker.weight(Seconds(second))).collect();
            assert!(weights[..EXACT_TURNS as usize].iter().all(|&weight| weight == 1));
            assert!(weights[EXACT_TURNS as usize..].iter().all(|&weight| weight == 0 || weight == INTERVAL));
            sum += weights.iter().sum::<u32>();
        }
        assert!((970_000..1_030_000).contains(&sum), "{sum} for 1000000");
    }

    #[test]
    fn nobody_waits_for_who_reads() {
        let mut simulation = Simulation::new(1, 1);
        let held = simulation.hot_keys.workers[0].tables.lock().clone();
        simulation.request(b"a", 0);
        let HotKeys { workers, hasher } = &simulation.hot_keys;
        let guard = workers[0].tables.lock();
        Sample { of: &workers[0], hasher, weight: 1 }.count(
            b"b",
            0,
            [Kind::ReadRequests, Kind::ReadBytes],
            held.second,
        );
        drop(guard);
        let keys = simulation.ranking(Kind::ReadRequests, 10).keys;
        assert_eq!(keys.iter().map(|hot| &*hot.key).collect::<Vec<_>>(), [b"a"]);
    }
}
