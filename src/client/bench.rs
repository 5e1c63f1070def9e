//! `larder bench`: a load of gets and sets in a closed loop, every reply checked. Enough to see whether a server and the
//! way to it are well; comparing servers takes more care, see `benches/versus`.

use std::io::Write;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::access::Access;
use super::connection::Connection;
use super::failure::Failure;
use super::options::BenchOptions;
use super::ping::{histogram, shown};
use super::text;

/// Requests that are sent together when all keys are stored, and deleted at the end.
const BATCH: u32 = 100;
/// Seconds that items live beyond the run: if it is cut short, nothing stays for good.
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

/// One thread: its connection, and what it sends.
struct Client<'a> {
    connection: Connection,
    options: &'a BenchOptions,
    /// A number that no other run has; a part of all keys.
    run: u64,
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
    let access = Access::new(&options.connect)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = u64::try_from(now.as_nanos() & 0xffff_ffff_ffff).unwrap_or(0) ^ u64::from(std::process::id());
    let mut clients = Vec::new();
    for number in 0..options.connections {
        let connection = Connection::open(&options.server, &access)?;
        let random = (run ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        clients.push(Client { connection, options, run, random, request: Vec::new(), expected: Vec::new() });
    }
    let barrier = Barrier::new(clients.len());
    let barrier = &barrier;
    let outcomes = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, mut client) in (0..).zip(clients) {
            threads.push(scope.spawn(move || client.work(number, barrier)));
        }
        let panicked = |_| Err(Failure::Failed("a thread panicked".to_owned()));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(panicked))
            .collect::<Result<Vec<_>, _>>()
    })?;
    tell(options, &outcomes, out)
}

impl Client<'_> {
    fn work(&mut self, number: u32, barrier: &Barrier) -> Result<Outcome, Failure> {
        // Whoever fails must not keep the others waiting.
        let filled = self.for_own_keys(number, Client::fill);
        barrier.wait();
        let outcome = filled.and_then(|()| self.load());
        barrier.wait();
        let outcome = outcome?;
        self.for_own_keys(number, Client::delete)?;
        Ok(outcome)
    }

    /// Does something with the keys of thread `number`, some at a time.
    fn for_own_keys(
        &mut self,
        number: u32,
        act: fn(&mut Self, std::ops::Range<u32>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let all = u64::from(self.options.keys);
        let threads = u64::from(self.options.connections);
        let border = |number: u32| (all * u64::from(number) / threads) as u32;
        let (start, end) = (border(number), border(number + 1));
        for first in (start..end).step_by(BATCH as usize) {
            act(self, first..end.min(first + BATCH))?;
        }
        Ok(())
    }

    fn fill(&mut self, keys: std::ops::Range<u32>) -> Result<(), Failure> {
        self.request.clear();
        for key in keys.clone() {
            self.add_set(key);
        }
        self.send()?;
        keys.into_iter().try_for_each(|_| self.stored().map(drop))
    }

    fn delete(&mut self, keys: std::ops::Range<u32>) -> Result<(), Failure> {
        self.request.clear();
        for key in keys.clone() {
            let _ = write!(self.request, "delete larder-bench:{:x}:{key}\r\n", self.run);
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
        Ok(())
    }

    /// Sends and checks until the time is over.
    fn load(&mut self) -> Result<Outcome, Failure> {
        let (mut gets, mut misses, mut sets, mut refused) = (0, 0, 0, 0);
        let mut times = histogram()?;
        let begun = Instant::now();
        let mut sent = Vec::new();
        loop {
            self.request.clear();
            sent.clear();
            for _ in 0..self.options.pipeline {
                let (key, is_set) = (self.draw(self.options.keys), self.draw(100) < self.options.sets);
                if is_set {
                    self.add_set(key);
                    sent.push(Sent::Set);
                } else {
                    let _ = write!(self.request, "get larder-bench:{:x}:{key}\r\n", self.run);
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
            let _ = times.record_n(time.min(times.high()), u64::from(self.options.pipeline));
            let took = begun.elapsed();
            if took >= self.options.seconds {
                return Ok(Outcome { gets, misses, sets, refused, times, took });
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
        let length = self.options.value_bytes;
        let ttl = TTL_SECONDS + self.options.seconds.as_secs();
        let _ = write!(self.request, "set larder-bench:{:x}:{key} 0 {ttl} {length}\r\n", self.run);
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
        let wanted = format!("VALUE larder-bench:{:x}:{key} 0 {}", self.run, self.options.value_bytes);
        if line != wanted.as_bytes() {
            let line = text::printable(line);
            return Err(self.connection.refusal(&line));
        }
        let length = self.options.value_bytes as usize;
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
