//! How long commands take.
//!
//! A worker times one command in some [`SAMPLED_ONE_IN`], at distances that are drawn anew each time: so each has the
//! same chance, the first of a pipeline and the eighth, and no rhythm of the clients' is in step with it. Timed is what
//! the worker spends on the command: from where its whole line is there to where its reply stands in the output.
//! Neither the network is in it nor the worker's other work; how long the command waited for that, since the worker
//! woke up, is a figure of its own. Of what arrives or is answered in several turns the parts are added up.
//!
//! Commands that may be long and are rare are timed each, and so are the next ones after something was slow: for the
//! slow log, see [`super::slow_log`]. Only samples are in the histograms.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;
use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::parse::next_token;
use super::session::{Expecting, Session, Step, Turn};
use super::slow_log::{LINE_BYTES_KEPT, SlowBatch};
use super::stats::Lines;

/// Of so many commands one is timed, in the mean. Each costs two looks at the clock and a record, which so comes to
/// less than a hundredth of what a request takes in a pipeline.
pub(super) const SAMPLED_ONE_IN: u32 = 64;
/// Commands that are timed one by one after something was slow.
const NAMED_AFTER_SLOW: u32 = 1000;
/// A value of so many bytes takes so long that two looks at the clock do not matter.
const LONG_VALUE_BYTES: usize = 64 << 10;
/// Longest time that histograms tell from longer ones.
const LONGEST: Duration = Duration::from_secs(60);
/// Significant digits of the percentiles: they are at most 1/16 too high. One more takes eight times the memory.
const DIGITS: u8 = 1;
/// Upper ends of the buckets for Prometheus, in nanoseconds.
pub(super) const BOUNDS: [u64; 20] = [
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// What is timed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Timed {
    /// get, gets, gat, gats; a list of keys is one command.
    Get,
    /// set, add, replace, append, prepend, cas.
    Set,
    Delete,
    /// incr and decr.
    Incr,
    Touch,
    Mg,
    Ms,
    Md,
    Ma,
    /// All else, errors too.
    Other,
    /// No command: how long one waited since its worker woke up.
    Wait,
}

impl Timed {
    pub const ALL: [(Timed, &'static str); 11] = [
        (Timed::Get, "get"),
        (Timed::Set, "set"),
        (Timed::Delete, "delete"),
        (Timed::Incr, "incr"),
        (Timed::Touch, "touch"),
        (Timed::Mg, "mg"),
        (Timed::Ms, "ms"),
        (Timed::Md, "md"),
        (Timed::Ma, "ma"),
        (Timed::Other, "other"),
        (Timed::Wait, "wait"),
    ];

    /// By the name of a command.
    fn of(name: &[u8]) -> Timed {
        match name {
            b"get" | b"gets" | b"gat" | b"gats" => Timed::Get,
            b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => Timed::Set,
            b"delete" => Timed::Delete,
            b"incr" | b"decr" => Timed::Incr,
            b"touch" => Timed::Touch,
            b"mg" => Timed::Mg,
            b"ms" => Timed::Ms,
            b"md" => Timed::Md,
            b"ma" => Timed::Ma,
            _ => Timed::Other,
        }
    }
}

/// What was recorded of one of [`Timed`].
#[derive(Clone, Debug)]
pub(super) struct Times {
    histogram: Histogram<u32>,
    /// How many were up to each of [`BOUNDS`], and not up to the one before.
    buckets: [u64; BOUNDS.len()],
    sum: Duration,
}

impl Times {
    fn new() -> Times {
        let longest = LONGEST.as_nanos() as u64;
        // These bounds and digits are right for it.
        let histogram = Histogram::new_with_bounds(1, longest, DIGITS).or_else(|_| Histogram::new(DIGITS));
        let histogram = histogram.unwrap_or_else(|error| panic!("histogram: {error}"));
        Times { histogram, buckets: [0; BOUNDS.len()], sum: Duration::ZERO }
    }

    fn record(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(nanoseconds.max(1));
        self.sum += time;
        let place = BOUNDS.partition_point(|&bound| bound < nanoseconds);
        if let Some(count) = self.buckets.get_mut(place) {
            *count += 1;
        }
    }

    fn add(&mut self, other: &Times) {
        // It fails where a value is too large for this one, and all have the same bounds.
        let _ = self.histogram.add(&other.histogram);
        self.sum += other.sum;
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, count)| *sum += count);
    }

    fn clear(&mut self) {
        self.histogram.reset();
        (self.buckets, self.sum) = ([0; BOUNDS.len()], Duration::ZERO);
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// In nanoseconds; `quantile` is from 0 to 1.
    pub fn quantile(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// In nanoseconds.
    pub fn longest(&self) -> u64 {
        self.histogram.max()
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// For each of [`BOUNDS`] how many took no longer.
    pub fn up_to(&self) -> [u64; BOUNDS.len()] {
        let mut sum = 0;
        self.buckets.map(|count| {
            sum += count;
            sum
        })
    }
}

/// What one worker times. Only the worker itself counts and records here.
#[derive(Debug)]
pub struct Timing {
    /// Commands before the next that is timed.
    before_next: AtomicU32,
    /// Commands before the next sample, beyond those; 0 unless commands are timed one by one.
    before_sample: AtomicU32,
    /// Commands that are still timed one by one.
    one_by_one: AtomicU32,
    /// What the distances between samples are drawn from.
    seed: AtomicU64,
    /// Time of commands that the slow log already has, in nanoseconds, until it is asked for.
    named: AtomicU64,
    times: Mutex<Box<[Times]>>,
}

impl Timing {
    pub(super) fn new(worker: usize) -> Timing {
        Timing {
            before_next: AtomicU32::new(0),
            before_sample: AtomicU32::new(0),
            one_by_one: AtomicU32::new(0),
            seed: AtomicU64::new(worker as u64 + 1),
            named: AtomicU64::new(0),
            times: Mutex::new(Timed::ALL.iter().map(|_| Times::new()).collect()),
        }
    }

    /// Counts a command. Whether it is to be timed.
    #[inline]
    pub(super) fn is_next(&self) -> bool {
        let before = self.before_next.load(Relaxed);
        self.before_next.store(before.wrapping_sub(1), Relaxed);
        before == 0
    }

    /// To be asked once a command is to be timed: whether it is a sample.
    fn draw(&self) -> bool {
        let left = self.one_by_one.load(Relaxed);
        let before_sample = self.before_sample.load(Relaxed);
        let is_sample = left == 0 || before_sample == 0;
        let before_sample = if is_sample { self.distance() } else { before_sample - 1 };
        if left > 0 {
            self.one_by_one.store(left - 1, Relaxed);
            self.before_sample.store(before_sample, Relaxed);
        }
        self.before_next.store(if left > 1 { 0 } else { before_sample }, Relaxed);
        is_sample
    }

    /// Commands between a sample and the next: 0 to twice the mean, by xorshift.
    fn distance(&self) -> u32 {
        let mut seed = self.seed.load(Relaxed);
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        self.seed.store(seed, Relaxed);
        (seed >> 32) as u32 % (2 * SAMPLED_ONE_IN - 1)
    }

    /// From now on commands are timed one by one for a while: something was slow, and may be again.
    pub fn look_closely(&self) {
        if self.one_by_one.swap(NAMED_AFTER_SLOW, Relaxed) == 0 {
            self.before_sample.store(self.before_next.swap(0, Relaxed), Relaxed);
        }
    }

    /// The slow log has a command that took so long.
    pub(super) fn note_named(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.named.store(self.named.load(Relaxed).saturating_add(nanoseconds), Relaxed);
    }

    /// How long those commands took that the slow log has got since this was last asked for.
    pub fn take_named(&self) -> Duration {
        Duration::from_nanos(self.named.swap(0, Relaxed))
    }

    fn record(&self, what: Timed, time: Duration, waited: Option<Duration>) {
        let mut times = self.times.lock();
        for (what, time) in [(what, Some(time)), (Timed::Wait, waited)] {
            if let (Some(times), Some(time)) = (times.get_mut(what as usize), time) {
                times.record(time);
            }
        }
    }

    pub(super) fn clear(&self) {
        self.times.lock().iter_mut().for_each(Times::clear);
    }
}

/// What all workers have recorded, in the order of [`Timed::ALL`].
pub(super) fn sums(timings: &[CachePadded<Timing>]) -> Vec<Times> {
    let mut sums: Vec<Times> = Timed::ALL.iter().map(|_| Times::new()).collect();
    for timing in timings {
        sums.iter_mut().zip(timing.times.lock().iter()).for_each(|(sum, times)| sum.add(times));
    }
    sums
}

/// A command that is being timed.
#[derive(Debug)]
pub(super) struct Watch {
    is_sample: bool,
    waited: Option<Duration>,
    /// When the present part of it began.
    began: Instant,
    /// What earlier parts took.
    spent: Duration,
    /// Bytes of the request that were read in those.
    bytes_in: u64,
    bytes_out: u64,
    /// Unsent bytes when the present part began.
    unsent: usize,
}

/// A command that is being timed and goes on later.
#[derive(Debug)]
pub(super) struct GoingOn {
    watch: Watch,
    /// The beginning of its line.
    line: Box<[u8]>,
}

impl GoingOn {
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Bytes of a value were read straight to their place.
    pub fn note_read(&mut self, bytes: usize) {
        self.watch.bytes_in += bytes as u64;
    }
}

impl Turn<'_> {
    /// Times the command that stores a value of so many bytes, if that is long.
    #[inline]
    pub(super) fn time_long_value(&mut self, bytes: usize) {
        if bytes >= LONG_VALUE_BYTES {
            self.begin_timing(false);
        }
    }

    /// Times the command that begins, since it is its turn or because it may be long.
    #[cold]
    pub(super) fn begin_timing(&mut self, is_next: bool) {
        if self.timed.is_some() {
            return;
        }
        let (is_sample, began) = (is_next && self.timing.draw(), Instant::now());
        let waited = self.woken.map(|woken| began.saturating_duration_since(woken));
        let (spent, bytes_in, bytes_out, unsent) = (Duration::ZERO, 0, 0, self.output.pending());
        self.timed = Some(Watch { is_sample, waited, began, spent, bytes_in, bytes_out, unsent });
    }
}

impl Session {
    /// Carries out a later part of a command, which may be one that is timed.
    #[inline]
    pub(super) fn part(
        &mut self,
        turn: &mut Turn,
        run: impl FnOnce(&mut Session, &mut Turn) -> Step,
    ) -> Step {
        if self.going_on.is_some() {
            self.resume_timing(turn);
        }
        let step = run(self, turn);
        if turn.timed.is_some() {
            let line = turn.timed_line.take().unwrap_or_default();
            self.end_timing(&line, &step, turn);
        }
        step
    }

    #[cold]
    fn resume_timing(&mut self, turn: &mut Turn) {
        let Some(going_on) = self.going_on.take() else { return };
        let GoingOn { watch, line } = *going_on;
        turn.timed = Some(Watch { began: Instant::now(), unsent: turn.output.pending(), ..watch });
        turn.timed_line = Some(line);
    }

    /// A command that is timed, or a part of it, is done.
    #[cold]
    pub(super) fn end_timing(&mut self, line: &[u8], step: &Step, turn: &mut Turn) {
        let Some(mut watch) = turn.timed.take() else { return };
        let part = watch.began.elapsed();
        watch.spent += part;
        let (Step::Taken(bytes) | Step::Stop(bytes, _)) = *step;
        watch.bytes_in += bytes as u64;
        watch.bytes_out += turn.output.pending().saturating_sub(watch.unsent) as u64;
        match self.expecting {
            Expecting::Value { .. } | Expecting::Keys(_) => {
                let line = line[..line.len().min(LINE_BYTES_KEPT)].into();
                self.going_on = Some(Box::new(GoingOn { watch, line }));
            }
            // These go on for as long as there is something to list, or to watch.
            Expecting::Job(_) | Expecting::Watch(_) => {}
            _ => self.finish_timing(&watch, part, line, turn),
        }
    }

    /// All parts of a command are done, and the last took so long.
    fn finish_timing(&self, watch: &Watch, last_part: Duration, line: &[u8], turn: &Turn) {
        if watch.is_sample {
            let name = next_token(line).map_or(&b""[..], |(name, _)| name);
            turn.timing.record(Timed::of(name), watch.spent, watch.waited);
        }
        let slow_log = &turn.daemon.slow_log;
        if slow_log.wants(watch.spent) {
            // Earlier parts were not in the turns that are looked at next.
            turn.timing.note_named(last_part);
            turn.timing.look_closely();
            let info = turn.daemon.registry.get(turn.fd);
            slow_log.enter(SlowBatch {
                time: watch.spent,
                commands: 1,
                clients: 1,
                line,
                is_line_cut: false,
                address: info.as_ref().map(|info| &info.address),
                user: self.user_name(),
                bytes_in: watch.bytes_in,
                bytes_out: watch.bytes_out,
            });
        }
    }
}

/// `stats latency`: of each command that was timed, times in microseconds.
pub(super) fn stats(turn: &mut Turn) {
    let sums = sums(&turn.daemon.timings);
    let mut lines = Lines(turn.output);
    lines.add("sampled_one_in", SAMPLED_ONE_IN);
    for ((_, name), times) in Timed::ALL.iter().zip(&sums).filter(|(_, times)| times.count() > 0) {
        lines.add(format_args!("{name}_count"), times.count());
        for (quantile, shown) in [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p999")] {
            // No more than the longest that there was.
            let nanoseconds = times.quantile(quantile).min(times.longest());
            lines.add(format_args!("{name}_{shown}_us"), Microseconds(nanoseconds));
        }
        lines.add(format_args!("{name}_max_us"), Microseconds(times.longest()));
    }
}

/// Nanoseconds, shown as microseconds.
struct Microseconds(u64);

impl fmt::Display for Microseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(timing: &Timing, commands: u32) -> Vec<u32> {
        (0..commands).filter(|_| timing.is_next() && timing.draw()).collect()
    }

    #[test]
    fn each_command_of_a_pipeline_has_the_same_chance() {
        const PIPELINE: u32 = 32;
        let (timing, commands) = (Timing::new(3), 64 * PIPELINE * 1000);
        let samples = samples(&timing, commands);
        let expected = f64::from(commands / SAMPLED_ONE_IN);
        assert!((samples.len() as f64 - expected).abs() < expected / 20.0, "{}", samples.len());
        let mut by_place = [0_u32; PIPELINE as usize];
        samples.iter().for_each(|sample| by_place[(sample % PIPELINE) as usize] += 1);
        let expected = expected / f64::from(PIPELINE);
        assert!(
            by_place.iter().all(|&count| (f64::from(count) - expected).abs() < expected / 5.0),
            "{by_place:?}"
        );
    }

    #[test]
    fn after_something_slow_each_command_is_timed_and_samples_are_as_many_as_ever() {
        let timing = Timing::new(0);
        samples(&timing, 10_000);
        let mut count = 0;
        for _ in 0..100 {
            timing.look_closely();
            for _ in 0..NAMED_AFTER_SLOW {
                assert!(timing.is_next());
                count += u32::from(timing.draw());
            }
        }
        let expected = 100 * NAMED_AFTER_SLOW / SAMPLED_ONE_IN;
        assert!(count.abs_diff(expected) < expected / 5, "{count}");
        let later = samples(&timing, 64_000).len() as u32;
        assert!(later.abs_diff(1000) < 200, "{later}");
    }

    #[test]
    fn times_are_found_again_in_buckets_and_quantiles() {
        let mut times = Times::new();
        for microseconds in 1..=1000 {
            times.record(Duration::from_micros(microseconds));
        }
        times.record(Duration::ZERO);
        times.record(Duration::from_secs(1 << 40));
        assert_eq!(times.count(), 1002);
        let up_to = times.up_to();
        let at = |nanoseconds| up_to[BOUNDS.iter().position(|&bound| bound == nanoseconds).unwrap()];
        assert_eq!((at(200), at(1_000), at(2_000), at(100_000), at(1_000_000)), (1, 2, 3, 101, 1001));
        assert_eq!(up_to[BOUNDS.len() - 1], 1001, "what is beyond is in none");
        let median = times.quantile(0.5);
        assert!((500_000..540_000).contains(&median), "{median}");
        assert!(times.longest() >= LONGEST.as_nanos() as u64);
        let mut sum = Times::new();
        sum.add(&times);
        sum.add(&times);
        assert_eq!((sum.count(), sum.up_to()[4]), (2004, 2 * up_to[4]));
        sum.clear();
        assert_eq!((sum.count(), sum.up_to(), sum.sum()), (0, [0; BOUNDS.len()], Duration::ZERO));
    }
}
