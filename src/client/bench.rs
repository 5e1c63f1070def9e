//! `larder bench`: a load of gets and sets in a closed loop, every reply checked. Enough to see whether a server and the
//! way to it are well; comparing servers takes more care, see `benches/versus`.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::sync::WaitGroup;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::access::Access;
use super::connection::Connection;
use super::failure::Failure;
use super::options::BenchOptions;
use super::ping::{histogram, shown};
use super::text;

/// Requests that are sent together when all keys are stored, and deleted at the end.
const BATCH: u32 = 100;
/// Bytes of values that are sent together then.
const FILL_BYTES: u32 = 1 << 20;
/// Bytes of values in a pipeline at most: so much is kept of requests and replies, for each connection.
const PIPELINE_BYTES_MAX: u64 = 16 << 20;
/// Seconds that items live beyond the run: if nobody can delete them, they do not stay for good.
const TTL_SECONDS: u64 = 600;
/// The quantiles that are told, by their names.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// What one thread has done.
struct Outcome {
    gets: u64,
    misses: u64,
    sets: u64,
    /// Values that the server would not take.
    refused: u64,
    /// How long each pipeline took, in nanoseconds, once for each of its requests.
    times: Histogram<u64>,
    took: Duration,
}

/// What all threads know.
struct Run<'a> {
    options: &'a BenchOptions,
    access: Access,
    /// A number that no other run has; a part of all keys.
    number: u64,
    /// Whether a signal or the failure of a thread ends it before its time.
    is_over: Arc<AtomicBool>,
}

/// One thread: its connection, and what it sends.
struct Client<'a> {
    connection: Connection,
    run: &'a Run<'a>,
    /// Its own keys, and how many of them may be stored.
    keys: Range<u32>,
    stored: u32,
    random: u64,
    request: Vec<u8>,
    expected: Vec<u8>,
}

/// A request that was sent and is not answered yet.
enum Sent {
    Get(u32),
    Set,
}

/// `larder bench`.
///
/// # Errors
/// As [`Failure`] has them; a reply that is wrong is one.
pub(super) fn run(options: &BenchOptions, out: &mut dyn Write) -> Result<(), Failure> {
    if u64::from(options.pipeline) * u64::from(options.value_bytes) > PIPELINE_BYTES_MAX {
        let text = "--pipeline times --value-bytes: expected 16 MiB at most, for each connection";
        return Err(Failure::Usage(text.to_owned()));
    }
    let access = Access::new(&options.connect)?;
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // Whoever cannot wait for the keys to be deleted sends a second one.
        let registered = flag::register_conditional_default(signal, Arc::clone(&is_over))
            .and_then(|_| flag::register(signal, Arc::clone(&is_over)));
        registered.map_err(|error| Failure::Failed(format!("no signals: {error}")))?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let number =
        u64::try_from(now.as_nanos() & 0xffff_ffff_ffff).unwrap_or(0) ^ u64::from(std::process::id());
    let run = Run { options, access, number, is_over };
    let outcomes = run.outcomes()?.into_iter().collect::<Option<Vec<Outcome>>>();
    let Some(outcomes) = outcomes else { return Err(Failure::Failed("cut short by a signal".to_owned())) };
    tell(options, &outcomes, out)
}

impl Run<'_> {
    /// What all threads have done; `None` of one that was cut short.
    fn outcomes(&self) -> Result<Vec<Option<Outcome>>, Failure> {
        let (all, threads) = (u64::from(self.options.keys), u64::from(self.options.connections));
        let border = |number: u32| (all * u64::from(number) / threads) as u32;
        let mut clients = Vec::new();
        for number in 0..self.options.connections {
            clients.push(Client {
                connection: Connection::open(&self.options.server, &self.access)?,
                run: self,
                keys: border(number)..border(number + 1),
                stored: 0,
                random: (self.number ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1,
                request: Vec::new(),
                expected: Vec::new(),
            });
        }
        // Whoever has filled, or loaded, waits for the others. One that never starts keeps nobody waiting.
        let (filled, loaded) = (WaitGroup::new(), WaitGroup::new());
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for mut client in clients {
                let (filled, loaded) = (filled.clone(), loaded.clone());
                let work = move || client.work(filled, loaded);
                match thread::Builder::new().spawn_scoped(scope, work) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        self.is_over.store(true, Relaxed);
                        let text = format!(
                            "no thread for each of {} connections: {error}",
                            self.options.connections
                        );
                        return Err(Failure::Failed(text));
                    }
                }
            }
            drop((filled, loaded));
            let panicked = |_| Err(Failure::Failed("a thread panicked".to_owned()));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        })
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }
}

impl Client<'_> {
    fn work(&mut self, filled: WaitGroup, loaded: WaitGroup) -> Result<Option<Outcome>, Failure> {
        let is_over = &self.run.is_over;
        let end_all = |_: &Failure| is_over.store(true, Relaxed);
        let outcome = self.fill().inspect_err(end_all);
        filled.wait();
        let outcome = outcome.and_then(|()| self.load()).inspect_err(end_all);
        loaded.wait();
        match outcome {
            Ok(outcome) => self.delete().map(|()| outcome),
            Err(failure) => {
                // Where it failed, answers may still be on their way.
                if let Ok(connection) = Connection::open(&self.run.options.server, &self.run.access) {
                    self.connection = connection;
                    let _ = self.delete();
                }
                Err(failure)
            }
        }
    }

    /// Stores all its keys, some at a time, unless it is cut short.
    fn fill(&mut self) -> Result<(), Failure> {
        let batch = (FILL_BYTES / self.run.options.value_bytes).clamp(1, BATCH);
        for first in self.keys.clone().step_by(batch as usize) {
            if self.run.is_over() {
                break;
            }
            let keys = first..self.keys.end.min(first.saturating_add(batch));
            self.stored = keys.end - self.keys.start;
            self.request.clear();
            keys.clone().for_each(|key| self.add_set(key));
            self.send()?;
            keys.into_iter().try_for_each(|_| self.stored().map(drop))?;
        }
        Ok(())
    }

    /// Deletes what it has stored, some at a time.
    fn delete(&mut self) -> Result<(), Failure> {
        let end = self.keys.start + self.stored;
        for first in (self.keys.start..end).step_by(BATCH as usize) {
            let keys = first..end.min(first.saturating_add(BATCH));
            self.request.clear();
            for key in keys.clone() {
                let _ = write!(self.request, "delete larder-bench:{:x}:{key}\r\n", self.run.number);
            }
            self.send()?;
            for _ in keys {
                match self.connection.line()? {
                    b"DELETED" | b"NOT_FOUND" => {}
                    line => {
                        let line = text::printable(line);
                        return Err(self.connection.refusal(&line));
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends and checks until the time is over. `None` if it is cut short.
    fn load(&mut self) -> Result<Option<Outcome>, Failure> {
        let (mut gets, mut misses, mut sets, mut refused) = (0, 0, 0, 0);
        let mut times = histogram()?;
        let begun = Instant::now();
        let mut sent = Vec::new();
        loop {
            // Before the first as well: keys of others, who may not have come so far, would be left behind.
            if self.run.is_over() {
                return Ok(None);
            }
            self.request.clear();
            sent.clear();
            for _ in 0..self.run.options.pipeline {
                let (key, is_set) =
                    (self.draw(self.run.options.keys), self.draw(100) < self.run.options.sets);
                if is_set {
                    self.add_set(key);
                    sent.push(Sent::Set);
                } else {
                    let _ = write!(self.request, "get larder-bench:{:x}:{key}\r\n", self.run.number);
                    sent.push(Sent::Get(key));
                }
            }
            let start = Instant::now();
            self.send()?;
            for one in &sent {
                match *one {
                    Sent::Get(key) => {
                        gets += 1;
                        misses += u64::from(!self.got(key)?);
                    }
                    Sent::Set => {
                        sets += 1;
                        refused += u64::from(!self.stored()?);
                    }
                }
            }
            let time = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let _ = times.record_n(time.min(times.high()), u64::from(self.run.options.pipeline));
            let took = begun.elapsed();
            if took >= self.run.options.seconds {
                return Ok(Some(Outcome { gets, misses, sets, refused, times, took }));
            }
        }
    }

    /// A number below `limit`, by xorshift.
    fn draw(&mut self, limit: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (((self.random >> 32) * u64::from(limit)) >> 32) as u32
    }

    fn add_set(&mut self, key: u32) {
        let version = self.random;
        let length = self.run.options.value_bytes;
        let ttl = TTL_SECONDS + self.run.options.seconds.as_secs();
        let _ = write!(self.request, "set larder-bench:{:x}:{key} 0 {ttl} {length}\r\n", self.run.number);
        value(&mut self.request, key, version, length as usize);
        self.request.extend_from_slice(b"\r\n");
        self.draw(1);
    }

    fn send(&mut self) -> Result<(), Failure> {
        let request = std::mem::take(&mut self.request);
        let sent = self.connection.send(&request);
        self.request = request;
        sent
    }

    /// Takes the answer to a set. `false` if the server had no place.
    fn stored(&mut self) -> Result<bool, Failure> {
        match self.connection.line()? {
            b"STORED" => Ok(true),
            line if line.starts_with(b"SERVER_ERROR out of memory") => Ok(false),
            line => {
                let line = text::printable(line);
                Err(self.connection.refusal(&line))
            }
        }
    }

    /// Takes the answer to a get, which must be a value that was stored under this key. `false` for a miss.
    fn got(&mut self, key: u32) -> Result<bool, Failure> {
        let line = self.connection.line()?;
        if line == b"END" {
            return Ok(false);
        }
        let wanted =
            format!("VALUE larder-bench:{:x}:{key} 0 {}", self.run.number, self.run.options.value_bytes);
        if line != wanted.as_bytes() {
            let line = text::printable(line);
            return Err(self.connection.refusal(&line));
        }
        let length = self.run.options.value_bytes as usize;
        let found = self.connection.value(length)?;
        let version =
            std::str::from_utf8(&found[16..32]).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        self.expected.clear();
        value(&mut self.expected, key, version.unwrap_or(0), length);
        if found != self.expected {
            let server = self.connection.server();
            return Err(Failure::Failed(format!(
                "{server} gives a value that was never stored under its key"
            )));
        }
        match self.connection.line()? {
            b"END" => Ok(true),
            line => {
                let line = text::printable(line);
                Err(self.connection.refusal(&line))
            }
        }
    }
}

/// Appends a value of `length` bytes, 32 at least, that no other key and version has.
fn value(to: &mut Vec<u8>, key: u32, version: u64, length: usize) {
    let end = to.len() + length;
    let _ = write!(to, "{key:016x}{version:016x}");
    let mut state = u64::from(key) ^ version.rotate_left(17);
    while to.len() < end {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let left = (end - to.len()).min(8);
        to.extend_from_slice(&state.to_le_bytes()[..left]);
    }
}

fn tell(options: &BenchOptions, outcomes: &[Outcome], out: &mut dyn Write) -> Result<(), Failure> {
    let sum = |figure: fn(&Outcome) -> u64| outcomes.iter().map(figure).sum::<u64>();
    let (gets, misses, sets, refused) =
        (sum(|one| one.gets), sum(|one| one.misses), sum(|one| one.sets), sum(|one| one.refused));
    let seconds = outcomes.iter().map(|one| one.took).max().unwrap_or_default().as_secs_f64();
    let mut times = histogram()?;
    for one in outcomes {
        let _ = times.add(&one.times);
    }
    let rate = (gets + sets) as f64 / seconds;
    let at = |quantile| Duration::from_nanos(times.value_at_quantile(quantile));
    if options.json {
        let latency = QUANTILES.map(|(name, quantile)| {
            (format!("{name}_us"), Value::from(at(quantile).as_nanos() as f64 / 1000.0))
        });
        let object = json!({
            "server": options.server.to_string(), "seconds": seconds, "connections": options.connections,
            "pipeline": options.pipeline, "keys": options.keys, "value_bytes": options.value_bytes,
            "requests": gets + sets, "requests_per_second": rate, "gets": gets, "misses": misses, "sets": sets,
            "refused": refused, "latency": latency.into_iter().collect::<Map<_, _>>(),
        });
        return Ok(writeln!(out, "{}", text::json(&object))?);
    }
    writeln!(out, "{} requests in {seconds:.2} s, {rate:.0} per second, all replies right", gets + sets)?;
    writeln!(out, "gets {gets}, of them misses {misses}; sets {sets}, of them refused {refused}")?;
    let of = if options.pipeline > 1 { format!(" of {} together", options.pipeline) } else { String::new() };
    let latency = QUANTILES.map(|(name, quantile)| format!("{name} {}", shown(at(quantile))));
    Ok(writeln!(out, "latency{of}: {}", latency.join(", "))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_tell_their_key_and_version() {
        let made = |key, version, length| {
            let mut bytes = Vec::new();
            value(&mut bytes, key, version, length);
            bytes
        };
        assert_eq!(made(1, 2, 32), b"00000000000000010000000000000002");
        assert_eq!(made(1, 2, 101).len(), 101);
        assert_ne!(made(1, 2, 40)[32..], made(1, 3, 40)[32..]);
        assert_ne!(made(1, 2, 40)[32..], made(2, 2, 40)[32..]);
    }
}
