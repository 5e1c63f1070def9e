//! A load on a server: threads with their connections, all keys stored first, then requests for a time that
//! is measured.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::connection::Address;
use crate::cores::Cores;
use crate::driver::{Driver, Progress, Run, Tally};
use crate::failure::Failure;
use crate::progress::Display;
use crate::reply::{Content, Judge};
use crate::requests::{Encoder, Source};
use crate::value::Values;
use crate::workload::{Arrivals, Workload};

/// Requests that a connection has on the way while keys are stored: few enough that large values do not
/// take much memory.
const FILL_PIPELINE: usize = 32;
/// Bytes of values that a connection has on the way while keys are stored.
const FILL_BYTES: usize = 1 << 20;
/// Connections that store keys; more would not make it quicker.
const FILL_CONNECTIONS_MAX: usize = 50;
/// Descriptors that a process needs beside its connections.
const OTHER_DESCRIPTORS: u64 = 100;
/// How often what is shown is renewed, and it is looked whether a thread has failed.
const TICK: Duration = Duration::from_millis(100);

/// Lets this process have so many connections at a time.
///
/// # Errors
/// If the system's limit is lower.
pub fn allow_connections(connections: usize) -> io::Result<()> {
    let wanted = connections as u64 + OTHER_DESCRIPTORS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < wanted {
        return Err(io::Error::other(format!(
            "{connections} connections need {wanted} descriptors, and the limit is {hard}: raise it \
             (ulimit -Hn), or ask for fewer --connections"
        )));
    }
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// How long, and how.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Before anything counts.
    pub warm_up: Duration,
    /// What counts.
    pub measured: Duration,
}

/// What a load came to. The counts are those between the two samples.
pub struct Outcome<S> {
    /// Between the samples.
    pub secs: f64,
    /// Requests answered.
    pub requests: u64,
    /// Keys read or written by them.
    pub keys: u64,
    /// What the threads measured, together.
    pub tally: Tally,
    /// Taken when the warm-up was over, and at the end.
    pub samples: [S; 2],
}

/// Connections to a server, by thread.
pub struct Load<'a> {
    drivers: Vec<Driver<'a>>,
    workload: &'a Workload,
    cores: &'a Cores,
    seed: u64,
}

impl<'a> Load<'a> {
    /// Opens the connections of a load, for so many threads.
    pub fn connect(
        address: &Address,
        workload: &'a Workload,
        values: &'a Values,
        content: Content,
        threads: usize,
        seed: u64,
        cores: &'a Cores,
    ) -> Result<Load<'a>, Failure> {
        allow_connections(workload.connections)?;
        let threads = threads.clamp(1, workload.connections);
        let connect = |thread: usize| {
            let connections = (workload.connections + threads - 1 - thread) / threads;
            let encoder = Encoder { workload, values };
            let judge = Judge::new(workload, values, content);
            Driver::connect(address, connections, encoder, judge)
        };
        let drivers = (0..threads).map(connect).collect::<io::Result<Vec<Driver<'a>>>>();
        let drivers = drivers.map_err(|error| Failure::from(error).in_the_course_of("connecting"))?;
        Ok(Load { drivers, workload, cores, seed })
    }

    /// Connections of another load of their own that store all keys.
    pub fn fill(
        address: &Address,
        workload: &Workload,
        values: &Values,
        threads: usize,
        cores: &Cores,
        display: &Display,
    ) -> Result<(), Failure> {
        let connections = workload.connections.min(FILL_CONNECTIONS_MAX);
        let storing = Workload { connections, ..workload.clone() };
        let pipeline = (FILL_BYTES / workload.value_bytes.max).clamp(1, FILL_PIPELINE);
        let mut load = Load::connect(address, &storing, values, Content::OfItems, threads, 0, cores)?;
        let threads = load.drivers.len();
        let keys = u64::from(workload.keys);
        load.start(
            |thread, progress, has_failed| Run {
                source: Source::fill(workload, thread, threads),
                window: None,
                arrivals: Arrivals::Closed,
                pipeline,
                seed: 0,
                progress,
                has_failed,
            },
            |counts, is_done| {
                while !is_done() {
                    thread::sleep(TICK.min(Duration::from_millis(10)));
                    display.show(&format!("stores keys: {} of {keys}", counts().0));
                }
                Ok(())
            },
        )
        .map(drop)
        .map_err(|failure| failure.in_the_course_of("storing the keys"))
    }

    /// Runs the load. `sample` is called when the warm-up is over and at the end, between which the counts
    /// are taken.
    pub fn run<S>(
        &mut self,
        timing: Timing,
        display: &Display,
        mut sample: impl FnMut() -> io::Result<S>,
    ) -> Result<Outcome<S>, Failure> {
        let start = Instant::now() + timing.warm_up;
        let window = start..start + timing.measured;
        let (workload, seed, threads) = (self.workload, self.seed, self.drivers.len());
        let ends = [window.start, window.end];
        let (tally, [first, last]) = self.start(
            |thread, progress, has_failed| {
                let seed = seed.wrapping_mul(1000).wrapping_add(thread as u64);
                Run {
                    source: Source::new(workload, seed),
                    window: Some(window.clone()),
                    arrivals: share(workload.arrivals, threads),
                    pipeline: workload.pipeline,
                    seed: !seed,
                    progress,
                    has_failed,
                }
            },
            |counts, is_done| {
                let mut taken = Vec::with_capacity(2);
                for end in ends {
                    wait_until(end, display, &counts, &is_done);
                    taken.push((Instant::now(), counts(), sample()?));
                }
                <[_; 2]>::try_from(taken).map_err(|_| io::Error::other("a sample is missing"))
            },
        )?;
        let ((first_at, (first_requests, first_keys), first), (last_at, (requests, keys), last)) =
            (first, last);
        Ok(Outcome {
            secs: (last_at - first_at).as_secs_f64(),
            requests: requests - first_requests,
            keys: keys - first_keys,
            tally,
            samples: [first, last],
        })
    }

    /// Runs all threads, and `watch` beside them, which is given what counts their requests and keys, and
    /// what tells whether none is left.
    fn start<W>(
        &mut self,
        run: impl for<'r> Fn(usize, &'r Progress, &'r AtomicBool) -> Run<'r>,
        watch: impl FnOnce(&dyn Fn() -> (u64, u64), &dyn Fn() -> bool) -> io::Result<W>,
    ) -> Result<(Tally, W), Failure> {
        let cores = self.cores;
        let progress: Vec<Progress> = self.drivers.iter().map(|_| Progress::default()).collect();
        let has_failed = AtomicBool::new(false);
        let counts = || {
            let sum = |count: fn(&Progress) -> u64| progress.iter().map(count).sum();
            let requests = sum(|of| of.requests.load(Ordering::Relaxed));
            (requests, sum(|of| of.keys.load(Ordering::Relaxed)))
        };
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for (index, driver) in self.drivers.iter_mut().enumerate() {
                let run = run(index, &progress[index], &has_failed);
                threads.push(scope.spawn(move || {
                    cores.pin_load()?;
                    driver.run(run)
                }));
            }
            let watched = watch(&counts, &|| threads.iter().all(|thread| thread.is_finished()));
            let tallies: Vec<_> =
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
            Ok((merged(tallies)?, watched?))
        })
    }
}

fn share(arrivals: Arrivals, threads: usize) -> Arrivals {
    match arrivals {
        Arrivals::Closed => Arrivals::Closed,
        Arrivals::Open { per_sec } => Arrivals::Open { per_sec: per_sec / threads as f64 },
    }
}

/// Waits, unless the threads have failed.
fn wait_until(end: Instant, display: &Display, counts: &dyn Fn() -> (u64, u64), is_done: &dyn Fn() -> bool) {
    let mut last = (Instant::now(), counts().0);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || is_done() {
            return;
        }
        thread::sleep(left.min(TICK));
        let now = (Instant::now(), counts().0);
        let per_sec = (now.1 - last.1) as f64 / (now.0 - last.0).as_secs_f64();
        display.show(&format!("{per_sec:.0} requests/s, {:.1} s left", left.as_secs_f64()));
        last = now;
    }
}

/// All as one, or what the first to fail failed of.
fn merged(tallies: Vec<Result<Tally, Failure>>) -> Result<Tally, Failure> {
    let mut all: Option<Tally> = None;
    let mut failure = None;
    for tally in tallies {
        match (tally, &mut all) {
            (Ok(tally), None) => all = Some(tally),
            (Ok(tally), Some(all)) => {
                add(&mut all.latency, &tally.latency);
                add(&mut all.lateness, &tally.lateness);
                all.misses += tally.misses;
                all.all_keys += tally.all_keys;
            }
            (Err(Failure::Other), _) => {}
            (Err(error), _) => failure = Some(error),
        }
    }
    match (failure, all) {
        (Some(failure), _) => Err(failure),
        (None, Some(all)) => Ok(all),
        (None, None) => Err(Failure::Other),
    }
}

fn add(into: &mut Histogram<u64>, other: &Histogram<u64>) {
    into.add(other).expect("the same bounds");
}
