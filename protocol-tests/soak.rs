//! A load that is checked to the last byte for as long as one likes: values, CAS order, counts, deadlines, slow
//! clients, clients that come and go. A few seconds as a test; `protocol-tests/soak` runs it for hours.
//!
//! Two daemons are under load at once. In the *roomy* one nothing is evicted, so that every miss must be
//! explained and every count is known. The *tight* one evicts all the time: what it has must be right.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::server::{Launch, Server, wait_until};

/// How long it takes unless `LARDER_TEST_SOAK_SECS` says otherwise.
const DEFAULT_SECONDS: u64 = 3;
/// Threads of each kind of client.
const THREADS: u64 = 2;
/// Keys of one thread that checks values.
const OWN_KEYS: u64 = 400;
/// Keys at which threads compete.
const SHARED_KEYS: u64 = 8;
/// Seconds that a clock may be off, theirs or ours, on a machine that has much else to do.
const SLACK: Duration = Duration::from_secs(5);
/// Bytes of the value that slow clients read.
const LARGE_BYTES: usize = 300_000;

/// What clients did, to be compared with what the daemon counted.
#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    sets: AtomicU64,
    incr_hits: AtomicU64,
    cas_hits: AtomicU64,
    cas_badval: AtomicU64,
    reconnects: AtomicU64,
    slow_bytes: AtomicU64,
}

/// What all threads share.
struct Soak {
    roomy: SocketAddr,
    tight: SocketAddr,
    started: Instant,
    duration: Duration,
    is_over: AtomicBool,
    counts: Counts,
    /// Microseconds per request in the first fifth of the time, and in the last.
    latencies: [Mutex<Histogram<u64>>; 2],
}

/// One connection.
struct Wire(BufReader<TcpStream>);

/// Numbers that repeat.
struct Random(u64);

/// What a key was last set to.
#[derive(Clone, Copy)]
struct Known {
    version: u64,
    length: usize,
    lives: Option<Duration>,
    sent: Instant,
}

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

impl Wire {
    fn to(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        Wire(BufReader::with_capacity(64 << 10, stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the daemon reads");
    }

    /// A line without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the daemon answers");
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("cut off: {line:?}")).to_owned()
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.line()
    }

    fn store(&mut self, command: &str, value: &[u8]) -> String {
        self.send(&[command.as_bytes(), format!(" {}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat());
        self.line()
    }

    /// A value and its CAS unique, from the reply to a gets.
    fn value(&mut self, key: &str) -> Option<(Vec<u8>, u64)> {
        let line = self.line();
        if line == "END" {
            return None;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let ["VALUE", named, "0", length, unique] = words[..] else { panic!("{key}: {line}") };
        assert_eq!(named, key);
        let mut value = vec![0; length.parse::<usize>().expect("a length") + 2];
        self.0.read_exact(&mut value).expect("a value");
        assert!(value.ends_with(b"\r\n") && self.line() == "END", "{key}");
        value.truncate(value.len() - 2);
        Some((value, unique.parse().expect("a unique")))
    }

    fn gets(&mut self, key: &str) -> Option<(Vec<u8>, u64)> {
        self.send(format!("gets {key}\r\n").as_bytes());
        self.value(key)
    }

    fn stat(&mut self, name: &str) -> u64 {
        self.send(b"stats\r\n");
        let mut found = None;
        loop {
            let line = self.line();
            if line == "END" {
                return found.unwrap_or_else(|| panic!("no {name}"));
            }
            if let ["STAT", this, number] = line.split(' ').collect::<Vec<_>>()[..]
                && this == name
            {
                found = Some(number.parse().expect("a number"));
            }
        }
    }
}

/// Bytes that belong to this key and version alone, wherever one looks.
fn pattern(key: &str, version: u64, length: usize) -> Vec<u8> {
    let seed = key.bytes().fold(version + 1, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.below(u64::MAX).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

impl Soak {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Relaxed)
    }

    /// Part of the time that has gone, from 0 to 1.
    fn part(&self) -> f64 {
        self.started.elapsed().as_secs_f64() / self.duration.as_secs_f64()
    }

    fn note_latency(&self, since: Instant) {
        let window = match self.part() {
            ..0.2 => 0,
            0.8.. => 1,
            _ => return,
        };
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latencies[window].lock().unwrap().saturating_record(micros);
    }

    /// Sizes go up and down by the minute: the pages of one size must serve another.
    fn length(&self, random: &mut Random) -> usize {
        let top = match self.started.elapsed().as_secs() / 20 % 4 {
            0 => 200,
            1 => 2000,
            2 => 20_000,
            _ => 700,
        };
        random.below(top) as usize
    }

    fn count_get(&self, is_hit: bool) {
        if is_hit { &self.counts.hits } else { &self.counts.misses }.fetch_add(1, Relaxed);
    }

    /// Keys of one thread: every value is known, and whether it must be there.
    fn check_values(&self, thread: u64) {
        let mut wire = Wire::to(self.roomy);
        let mut random = Random(thread + 77);
        let mut known: Vec<Option<Known>> = vec![None; OWN_KEYS as usize];
        let mut version = 0;
        while self.goes_on() {
            let number = random.below(OWN_KEYS);
            let key = format!("own:{thread}:{number}");
            let place = &mut known[number as usize];
            match random.below(10) {
                0..3 => {
                    version += 1;
                    let length = self.length(&mut random);
                    let exptime = if random.below(4) == 0 { 6 + random.below(5) } else { 0 };
                    let sent = Instant::now();
                    let reply =
                        wire.store(&format!("set {key} 0 {exptime}"), &pattern(&key, version, length));
                    assert_eq!(reply, "STORED", "{key}");
                    self.counts.sets.fetch_add(1, Relaxed);
                    let lives = (exptime > 0).then(|| Duration::from_secs(exptime));
                    *place = Some(Known { version, length, lives, sent });
                }
                3 => {
                    let reply = wire.ask(&format!("delete {key}"));
                    assert!(reply == "DELETED" || reply == "NOT_FOUND", "{reply}");
                    let must_be = matches!(place, Some(Known { lives: None, .. }));
                    assert!(!must_be || reply == "DELETED", "{key} was lost");
                    *place = None;
                }
                _ => {
                    let before = Instant::now();
                    let found = wire.gets(&key);
                    self.note_latency(before);
                    self.count_get(found.is_some());
                    match (*place, found) {
                        (None, found) => assert!(found.is_none(), "{key} was deleted"),
                        (Some(Known { version, length, lives, sent }), Some((value, _))) => {
                            assert!(value == pattern(&key, version, length), "{key}: another value");
                            let is_due = lives.is_some_and(|lives| before > sent + lives + SLACK + SLACK);
                            assert!(!is_due, "{key} is over");
                        }
                        (Some(Known { lives, sent, .. }), None) => {
                            let lives = lives.unwrap_or_else(|| panic!("{key} was lost"));
                            assert!(sent.elapsed() + SLACK >= lives, "{key} ended early");
                            *place = None;
                        }
                    }
                }
            }
        }
    }

    /// Several threads at the same keys: whoever wins goes on from what was there, and uniques only rise.
    fn compete_by_cas(&self, thread: u64) {
        let mut wire = Wire::to(self.roomy);
        let mut random = Random(thread + 177);
        let mut seen = vec![0; SHARED_KEYS as usize];
        while self.goes_on() {
            let number = random.below(SHARED_KEYS);
            let key = format!("shared:{number}");
            let (value, unique) = wire.gets(&key).expect("a key that nobody deletes");
            self.count_get(true);
            assert!(unique >= seen[number as usize], "{key}: the unique fell");
            seen[number as usize] = unique;
            let wins: u64 = String::from_utf8(value).expect("digits").parse().expect("a number");
            let next = (wins + 1).to_string();
            let line = format!("cas {key} 0 0 {} {unique}\r\n{next}", next.len());
            self.counts.sets.fetch_add(1, Relaxed);
            match wire.ask(&line).as_str() {
                "STORED" => self.counts.cas_hits.fetch_add(1, Relaxed),
                "EXISTS" => self.counts.cas_badval.fetch_add(1, Relaxed),
                other => panic!("{key}: {other}"),
            };
        }
    }

    fn count_up(&self, thread: u64) {
        let mut wire = Wire::to(self.roomy);
        let mut random = Random(thread + 277);
        while self.goes_on() {
            let reply = wire.ask(&format!("incr sum:{} 1", random.below(SHARED_KEYS)));
            reply.parse::<u64>().unwrap_or_else(|_| panic!("{reply}"));
            self.counts.incr_hits.fetch_add(1, Relaxed);
        }
    }

    /// Reads much less quickly than it asks, and sends values in pieces.
    fn be_slow(&self, thread: u64) {
        let large = pattern("large", 0, LARGE_BYTES);
        let key = format!("piecewise:{thread}");
        let mut wire = Wire::to(self.roomy);
        for version in 1.. {
            if !self.goes_on() {
                return;
            }
            wire.send(&b"gets large\r\n".repeat(8));
            for _ in 0..8 {
                thread::sleep(Duration::from_millis(5));
                let (value, _) = wire.value("large").expect("a key that nobody deletes");
                assert!(value == large, "large: another value");
                self.count_get(true);
                self.counts.slow_bytes.fetch_add(value.len() as u64, Relaxed);
            }
            let value = pattern(&key, version, 50_000);
            wire.send(format!("set {key} 0 0 {}\r\n", value.len()).as_bytes());
            for piece in value.chunks(17_000) {
                wire.send(piece);
                thread::sleep(Duration::from_millis(1));
            }
            wire.send(b"\r\n");
            assert_eq!(wire.line(), "STORED");
            self.counts.sets.fetch_add(1, Relaxed);
            assert!(wire.gets(&key).is_some_and(|(found, _)| found == value), "{key}: another value");
            self.count_get(true);
        }
    }

    /// Fills the tight daemon over and over. A miss is fine there, a wrong value is not.
    fn churn(&self, thread: u64) {
        let mut wire = Wire::to(self.tight);
        let mut random = Random(thread + 377);
        while self.goes_on() {
            let key = format!("churn:{thread}:{}", random.below(60_000));
            if random.below(2) == 0 {
                let version = random.below(1000);
                let length = 8 + self.length(&mut random);
                let value = [version.to_le_bytes().as_slice(), &pattern(&key, version, length)].concat();
                let exptime = random.below(3) * 5;
                assert_eq!(wire.store(&format!("set {key} 0 {exptime}"), &value), "STORED");
            } else if let Some((value, _)) = wire.gets(&key) {
                let (version, rest) = value.split_first_chunk().expect("a version");
                let version = u64::from_le_bytes(*version);
                assert!(rest == pattern(&key, version, rest.len()), "{key}: torn");
            }
        }
    }

    /// Comes, asks for a little or leaves in the middle of something, and goes.
    fn come_and_go(&self, thread: u64) {
        let mut random = Random(thread + 477);
        while self.goes_on() {
            let mut wire = Wire::to(self.tight);
            match random.below(4) {
                0 => wire.send(b"set left 0 0 5000\r\nonly the beginning"),
                1 => wire.send(b"gets no line end"),
                2 => wire.send(&b"gets churn:0:1 churn:0:2 churn:0:3\r\n".repeat(50)),
                _ => assert_eq!(wire.ask("mn"), "MN"),
            }
            self.counts.reconnects.fetch_add(1, Relaxed);
            // A port stays taken for a minute once it was closed by this side.
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a process").count()
}

fn quantiles(latencies: &Mutex<Histogram<u64>>) -> String {
    let latencies = latencies.lock().unwrap();
    let of = |quantile| latencies.value_at_quantile(quantile);
    format!("p50 {} p99 {} p99.9 {} max {} us", of(0.5), of(0.99), of(0.999), latencies.max())
}

/// What the daemon counted is what clients did.
fn compare_counts(counts: &Counts, wire: &mut Wire) {
    let load = |count: &AtomicU64| count.load(Relaxed);
    for (name, count) in [
        ("get_hits", load(&counts.hits)),
        ("get_misses", load(&counts.misses)),
        ("cmd_get", load(&counts.hits) + load(&counts.misses)),
        ("cmd_set", load(&counts.sets)),
        ("incr_hits", load(&counts.incr_hits)),
        ("cas_hits", load(&counts.cas_hits)),
        ("cas_badval", load(&counts.cas_badval)),
        ("evictions", 0),
    ] {
        assert_eq!(wire.stat(name), count, "{name}");
    }
    // No update was lost.
    let mut sums = [0; 2];
    for number in 0..SHARED_KEYS {
        for (sum, key) in sums.iter_mut().zip([format!("sum:{number}"), format!("shared:{number}")]) {
            let (value, _) = wire.gets(&key).expect("a key that nobody deletes");
            *sum += String::from_utf8(value).expect("digits").trim_end().parse::<u64>().expect("a number");
        }
    }
    assert_eq!(sums, [load(&counts.incr_hits), load(&counts.cas_hits)], "updates of counters, and by cas");
}

#[test]
fn a_mixed_load_leaves_nothing_wrong_and_nothing_behind() {
    let seconds = env::var("LARDER_TEST_SOAK_SECS").ok().and_then(|seconds| seconds.parse().ok());
    let daemon = |memory: &str| Launch::new().options(["-m", memory, "-t", "4", "-c", "1024"]).start();
    let mut servers = [daemon("1024"), daemon("64")];
    let [roomy, tight] = servers.each_ref().map(|server| server.addresses[0]);
    let mut watchers = servers.each_ref().map(|server| {
        // The one that proved that the daemon accepts would stay open.
        drop(server.client());
        Wire::to(server.addresses[0])
    });
    for watcher in &mut watchers {
        wait_until("the first connection is gone", || watcher.stat("curr_connections") <= 2);
    }
    let connections = watchers.each_mut().map(|watcher| watcher.stat("curr_connections"));
    let open = servers.each_ref().map(descriptors);
    for number in 0..SHARED_KEYS {
        assert_eq!(watchers[0].store(&format!("set sum:{number} 0 0"), b"0"), "STORED");
        assert_eq!(watchers[0].store(&format!("set shared:{number} 0 0"), b"0"), "STORED");
    }
    assert_eq!(watchers[0].store("set large 0 0", &pattern("large", 0, LARGE_BYTES)), "STORED");
    let histogram = || Mutex::new(Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds"));
    let soak = Soak {
        roomy,
        tight,
        started: Instant::now(),
        duration: Duration::from_secs(seconds.unwrap_or(DEFAULT_SECONDS)),
        is_over: AtomicBool::new(false),
        counts: Counts::default(),
        latencies: [histogram(), histogram()],
    };
    soak.counts.sets.store(2 * SHARED_KEYS + 1, Relaxed);
    let mut memory = Vec::new();
    thread::scope(|scope| {
        let soak = &soak;
        let work: [fn(&Soak, u64); 6] = [
            Soak::check_values,
            Soak::compete_by_cas,
            Soak::count_up,
            Soak::be_slow,
            Soak::churn,
            Soak::come_and_go,
        ];
        let threads: Vec<_> = work
            .into_iter()
            .flat_map(|run| (0..THREADS).map(move |thread| scope.spawn(move || run(soak, thread))))
            .collect();
        // A thread that found something wrong ends the run at once.
        while soak.part() < 1.0 && !threads.iter().any(|thread| thread.is_finished()) {
            memory.push(servers.each_ref().map(Server::resident_bytes));
            thread::sleep(Duration::from_millis(200));
        }
        soak.is_over.store(true, Relaxed);
    });
    compare_counts(&soak.counts, &mut watchers[0]);
    for (number, watcher) in watchers.iter_mut().enumerate() {
        wait_until("all connections are gone", || watcher.stat("curr_connections") <= connections[number]);
        wait_until("descriptors are given back", || descriptors(&servers[number]) <= open[number]);
    }
    report(&soak, &memory, watchers[1].stat("evictions"));
    drop(watchers);
    for server in &mut servers {
        // Not killed: tools that watch the daemon then tell what they saw.
        server.signal("TERM");
        let status = server.wait_for_end();
        assert!(status.success(), "{status}; {}", server.stderr());
    }
    // In a long run, memory was found early and does not creep.
    let (half, last) = (memory[memory.len() / 2], memory[memory.len() - 1]);
    for (half, last) in half.into_iter().zip(last) {
        let is_short = soak.duration < Duration::from_secs(240);
        assert!(
            is_short || last <= half + half / 8 + (16 << 20),
            "{half} bytes at half time, {last} at the end"
        );
    }
}

fn report(soak: &Soak, memory: &[[usize; 2]], evictions: u64) {
    let counts = &soak.counts;
    let load = |count: &AtomicU64| count.load(Relaxed);
    let mib = |bytes: [usize; 2]| bytes.map(|bytes| bytes >> 20);
    println!("soak of {} s: no wrong value, no error", soak.duration.as_secs());
    println!(
        "gets checked         {} ({} found)",
        load(&counts.hits) + load(&counts.misses),
        load(&counts.hits)
    );
    println!("storage commands     {}", load(&counts.sets));
    println!("counted up           {}", load(&counts.incr_hits));
    println!("cas won and lost     {} and {}", load(&counts.cas_hits), load(&counts.cas_badval));
    println!("bytes read slowly    {}", load(&counts.slow_bytes));
    println!("clients come, gone   {}", load(&counts.reconnects));
    println!("evictions            {evictions}");
    println!("latency, first fifth {}", quantiles(&soak.latencies[0]));
    println!("latency, last fifth  {}", quantiles(&soak.latencies[1]));
    let [first, half, last] = [0, memory.len() / 2, memory.len() - 1].map(|at| mib(memory[at]));
    println!("resident MiB, roomy and tight: start {first:?}, half {half:?}, end {last:?}");
    println!("descriptors and connections: as before");
}
