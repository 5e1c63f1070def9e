//! One thread of the load: its connections, and the loop that sends, receives and measures.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::connection::{Address, Connection, Stream};
use crate::failure::Failure;
use crate::reply::Judge;
use crate::requests::{Encoder, Source};
use crate::schedule::Schedule;
use crate::workload::Arrivals;

/// Bytes that a read asks for.
const BUFFER_BYTES: usize = 256 << 10;
/// Events taken from the system at once.
const EVENTS: usize = 1024;
/// How long a server may answer nothing at all while it has requests.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a waiting loop looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);
/// The token of the timer; connections have their index.
const TIMER: Token = Token(usize::MAX - 1);
/// Longest latency that is told from longer ones, in nanoseconds.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Digits of a latency that are kept.
const LATENCY_DIGITS: u8 = 3;

/// What a thread has done so far, for others to read while it goes on.
#[derive(Default)]
#[repr(align(128))]
pub struct Progress {
    /// Requests answered.
    pub requests: AtomicU64,
    /// Keys read or written by them.
    pub keys: AtomicU64,
}

/// What a thread measured.
pub struct Tally {
    /// Nanoseconds from when a request was to be sent until its reply was there.
    pub latency: Histogram<u64>,
    /// Open loop: nanoseconds from when a request was to be sent until it was. What the load itself is late
    /// by is part of the latency.
    pub lateness: Histogram<u64>,
    /// Keys of gets that were not there.
    pub misses: u64,
    /// Keys of all requests, whether they were measured or not.
    pub all_keys: u64,
}

impl Tally {
    fn new() -> Tally {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS).expect("valid bounds");
        Tally { latency: histogram(), lateness: histogram(), misses: 0, all_keys: 0 }
    }
}

/// What a run of a thread goes by.
pub struct Run<'a> {
    /// Which requests.
    pub source: Source,
    /// Their latencies count if they are to be sent in this time; it ends with it. Without, the run ends with
    /// the source.
    pub window: Option<Range<Instant>>,
    /// When requests are sent.
    pub arrivals: Arrivals,
    /// Requests sent at once.
    pub pipeline: usize,
    /// Of an open loop's times.
    pub seed: u64,
    /// Told all the time.
    pub progress: &'a Progress,
    /// Set by the first thread that fails; the others end.
    pub has_failed: &'a AtomicBool,
}

/// A thread's connections.
pub struct Driver<'a> {
    poll: Poll,
    timer: TimerFd,
    connections: Vec<Connection>,
    encoder: Encoder<'a>,
    judge: Judge<'a>,
    buffer: Vec<u8>,
}

/// What changes while a run goes on.
struct State<'a, 'b> {
    run: &'a mut Run<'b>,
    tally: Tally,
    /// Requests without a reply, over all connections.
    pending: usize,
    requests: u64,
    keys: u64,
    is_ending: bool,
}

impl State<'_, '_> {
    fn is_in_window(&self, start: Instant) -> bool {
        self.run.window.as_ref().is_some_and(|window| window.contains(&start))
    }

    /// When nothing more is sent; of a run that ends with its source, later than now.
    fn end(&self) -> Instant {
        self.run.window.as_ref().map_or_else(|| Instant::now() + PATIENCE, |window| window.end)
    }
}

impl<'a> Driver<'a> {
    /// Opens the connections.
    pub fn connect(
        address: &Address,
        connections: usize,
        encoder: Encoder<'a>,
        judge: Judge<'a>,
    ) -> io::Result<Driver<'a>> {
        let poll = Poll::new()?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        let descriptor = timer.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&descriptor), TIMER, Interest::READABLE)?;
        let open = |index: usize| {
            let mut stream = Stream::connect(address)?;
            stream.register(poll.registry(), Token(index))?;
            Ok(Connection::new(stream))
        };
        let connections = (0..connections).map(open).collect::<io::Result<Vec<Connection>>>()?;
        Ok(Driver { poll, timer, connections, encoder, judge, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Sends, receives and judges until the run's end, and then until every request is answered.
    pub fn run(&mut self, mut run: Run<'_>) -> Result<Tally, Failure> {
        let has_failed = run.has_failed;
        let result = self.run_to_the_end(&mut run);
        if result.is_err() {
            has_failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn run_to_the_end(&mut self, run: &mut Run<'_>) -> Result<Tally, Failure> {
        let mut schedule = match run.arrivals {
            Arrivals::Open { per_sec } => {
                Some(Schedule::new(per_sec / run.pipeline as f64, run.seed, Instant::now()))
            }
            Arrivals::Closed => None,
        };
        let mut state =
            State { run, tally: Tally::new(), pending: 0, requests: 0, keys: 0, is_ending: false };
        let mut events = Events::with_capacity(EVENTS);
        let mut last_reply = (0, Instant::now());
        if schedule.is_none() {
            (0..self.connections.len()).try_for_each(|index| self.send(index, Instant::now(), &mut state))?;
        }
        loop {
            let now = Instant::now();
            if let Some(schedule) = schedule.as_mut().filter(|_| !state.is_ending) {
                self.send_what_is_due(schedule, &mut state)?;
            }
            state.is_ending |= now >= state.end();
            state.run.progress.requests.store(state.requests, Ordering::Relaxed);
            state.run.progress.keys.store(state.keys, Ordering::Relaxed);
            if state.pending == 0 && (state.is_ending || schedule.is_none()) {
                return Ok(Tally { all_keys: state.keys, ..state.tally });
            }
            if state.run.has_failed.load(Ordering::Relaxed) {
                return Err(Failure::Other);
            }
            if state.requests != last_reply.0 || state.pending == 0 {
                last_reply = (state.requests, now);
            } else if now - last_reply.1 > PATIENCE {
                let secs = PATIENCE.as_secs();
                return Err(Failure::Wrong(format!("no reply for {secs} s, {} are missing", state.pending)));
            }
            self.poll_events(&mut events)?;
            for event in events.iter().filter(|event| event.token() != TIMER) {
                self.turn(event, schedule.is_none(), &mut state)?;
            }
        }
    }

    fn poll_events(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, Some(TICK)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends on a connection what its client sends at once.
    fn send(&mut self, index: usize, start: Instant, state: &mut State<'_, '_>) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        for _ in 0..state.run.pipeline {
            let Some(kind) = state.run.source.kind() else {
                state.is_ending = true;
                break;
            };
            connection.push(kind, &mut state.run.source, &self.encoder, start);
            state.pending += 1;
        }
        connection.flush()
    }

    /// Sends what is due, and sets the timer to when the next is. Unlike the timeout of a poll, which counts
    /// milliseconds, it is exact.
    fn send_what_is_due(
        &mut self,
        schedule: &mut Schedule,
        state: &mut State<'_, '_>,
    ) -> Result<(), Failure> {
        // Also what fell due while the loop was busy at the end: to leave that out would be to choose.
        let end = state.end();
        loop {
            while let Some(start) = schedule.due(Instant::now().min(end)) {
                let index = state.run.source.pick(self.connections.len());
                self.send(index, start, state)?;
                if state.is_in_window(start) {
                    let late = Instant::now().duration_since(start);
                    state.tally.lateness.saturating_record(late.as_nanos() as u64);
                }
            }
            let left = schedule.next().saturating_duration_since(Instant::now());
            if schedule.next() >= end {
                return Ok(());
            }
            if !left.is_zero() {
                let left = TimeSpec::nanoseconds(left.as_nanos() as i64);
                let set = self.timer.set(Expiration::OneShot(left), TimerSetTimeFlags::empty());
                return Ok(set.map_err(io::Error::from)?);
            }
        }
    }

    /// A connection can be written to or read from.
    fn turn(
        &mut self,
        event: &Event,
        is_closed_loop: bool,
        state: &mut State<'_, '_>,
    ) -> Result<(), Failure> {
        let index = event.token().0;
        let connection = &mut self.connections[index];
        connection.flush()?;
        let mut last = None;
        connection.receive(event.is_read_closed(), &mut self.buffer, &mut self.judge, |answered, now| {
            state.requests += 1;
            state.keys += answered.keys as u64;
            state.pending -= 1;
            last = Some(now);
            if state.is_in_window(answered.start) {
                let took = now.duration_since(answered.start);
                state.tally.latency.saturating_record(took.as_nanos() as u64);
                state.tally.misses += answered.misses as u64;
            }
        })?;
        let is_idle = connection.pending() == 0;
        match last.filter(|_| is_closed_loop && is_idle) {
            Some(now) => {
                state.is_ending |= now >= state.end();
                if state.is_ending { Ok(()) } else { self.send(index, now, state) }
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(unused, reason = "a benchmark without a harness has no tests")]
#[path = "driver_tests.rs"]
mod tests;
