//! The traces: which requests come in which order, and the items that they are about.
//!
//! A trace is the same for the same seed. It knows no server and no clock: a request says what is asked,
//! [`Trace::elapsed_ms`] says when, for those who pace or simulate. How requests are drawn is in
//! `pattern`, how long keys and values are in `sizes`.

use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::pattern::{Pattern, Skew, Twitter, Varied};
use crate::sizes::{EtcSizes, LogNormalSizes, VALUE_BYTES_MAX};

/// What the traces are, for `--help`.
pub const DESCRIPTION: &str = "\
Traces (cache-aside: a get, and on a miss a set; popularity is a Zipf distribution):
  etc      2 M keys, exponent 1.0, key and value lengths of Facebook's ETC pool (nearly half of the values
           under 15 bytes, the others up to 8 KiB), 1 request in 31 an overwrite. 2.4 M requests, of which
           the second half counts.
  scan     1 M keys, exponent 0.9, the longer values of etc. After every 120 k foreground requests a scan of
           60 k keys that are never seen again, interleaved one to one. 2.4 M requests; of the second half
           the foreground counts.
  shift    1.5 M keys, exponent 0.95, values of 40 to 160 bytes; at half time all keys change, and their
           values have 300 to 1500 bytes. 3.2 M requests, of which the last 30 % count.
  twitter  Real time, 60 k requests/s after 500 k unpaced ones: 50 % gets and 4 % overwrites of content
           (1 M keys, exponent 1.0, values around 150 bytes, TTL 600 s), 22 % sets of new short-lived
           objects (TTL 2, 4 or 8 s), 14 % gets of recent ones, 10 % gets and fills of keys that are asked
           for only once (TTL 300 s). 1 M paced requests; of the last 60 % the content counts.
  varied   Drawn from the seed: 1.5 to 3 M keys, exponent 0.70 to 1.02, two modes of value lengths, the
           more popular third smaller, a hot set that drifts, 2 to 8 % overwrites, 0 to 3 % deletes. 2.4 M
           requests, of which the second half counts.";

/// Which trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceName {
    /// Skewed, with the sizes of Facebook's ETC pool.
    Etc,
    /// Scans of cold keys between the requests that count.
    Scan,
    /// Keys and sizes change at half time.
    Shift,
    /// Short-lived objects and one-hit wonders beside the content, in real time.
    Twitter,
    /// Parameters drawn from the seed.
    Varied,
}

impl TraceName {
    /// In the order in which they run.
    pub const ALL: [TraceName; 5] =
        [TraceName::Etc, TraceName::Scan, TraceName::Shift, TraceName::Twitter, TraceName::Varied];

    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            TraceName::Etc => "etc",
            TraceName::Scan => "scan",
            TraceName::Shift => "shift",
            TraceName::Twitter => "twitter",
            TraceName::Varied => "varied",
        }
    }

    /// Requests at scale 1, those before pacing starts included.
    fn requests(self) -> f64 {
        match self {
            TraceName::Etc | TraceName::Scan | TraceName::Varied => 2.4e6,
            TraceName::Shift => 3.2e6,
            TraceName::Twitter => 1.5e6,
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A get; on a miss the client fills.
    Get,
    /// A get without a fill.
    GetOnly,
    /// A set of a new version.
    Set,
    /// A delete.
    Delete,
}

/// One request of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What it asks for.
    pub action: Action,
    /// Which item it is about.
    pub id: u32,
    /// Whether its hit or miss counts.
    pub is_scored: bool,
}

/// What stays the same about an item, whatever its version.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Length of its value.
    pub value_bytes: u16,
    /// Its exptime in seconds; 0 for none.
    pub ttl_secs: u16,
    /// Length of its key.
    pub key_bytes: u8,
}

/// How large a trace is, as factors on its own size.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// On the number of keys.
    pub keys: f64,
    /// On the number of requests.
    pub requests: f64,
}

/// A trace, and where in it we are. Clones go on from the same place.
#[derive(Clone)]
pub struct Trace {
    /// By id.
    pub items: Arc<[Item]>,
    /// Requests in all.
    pub requests: u64,
    /// Requests per second, if it is meant to be run in real time.
    pub rate: Option<f64>,
    pattern: Pattern,
    rng: Xoshiro256PlusPlus,
    next: u64,
    /// The first request that may count.
    scored_from: u64,
    /// The first request that is paced.
    paced_from: u64,
}

impl Trace {
    /// The trace of this name and seed. `rate` is that of a paced trace, in requests per second.
    pub fn new(name: TraceName, seed: u64, scale: Scale, rate: f64) -> Trace {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ (name as u64) << 32);
        let keys = |count: f64| (count * scale.keys).max(100.0) as u32;
        let requests = (name.requests() * scale.requests) as u64;
        let mut trace = Trace {
            items: Arc::from([]),
            requests,
            rate: None,
            pattern: Pattern::Etc(Skew::new(1, 1.0)),
            rng: rng.clone(),
            next: 0,
            scored_from: requests / 2,
            paced_from: 0,
        };
        match name {
            TraceName::Etc => trace.make_etc(keys(2e6), &mut rng),
            TraceName::Scan => trace.make_scan(keys(1e6), &mut rng),
            TraceName::Shift => trace.make_shift(keys(1.5e6), &mut rng),
            TraceName::Twitter => trace.make_twitter(keys(1e6), rate, &mut rng),
            TraceName::Varied => trace.make_varied(scale.keys, &mut rng),
        }
        trace.rng = rng;
        trace
    }

    fn make_etc(&mut self, keys: u32, rng: &mut Xoshiro256PlusPlus) {
        let sizes = EtcSizes::new();
        self.pattern = Pattern::Etc(Skew::new(keys, 1.0));
        self.items = (0..keys)
            .map(|_| Item { key_bytes: sizes.key(rng), value_bytes: sizes.value(rng), ttl_secs: 0 })
            .collect();
    }

    fn make_scan(&mut self, keys: u32, rng: &mut Xoshiro256PlusPlus) {
        let sizes = EtcSizes::new();
        // A third of all requests are of scans; half is more than enough.
        let cold = self.requests as u32 / 2;
        self.pattern = Pattern::scan(Skew::new(keys, 0.9), self.requests);
        self.items = (0..keys + cold)
            .map(|_| Item { key_bytes: sizes.key(rng), value_bytes: sizes.longer_value(rng), ttl_secs: 0 })
            .collect();
    }

    fn make_shift(&mut self, keys: u32, rng: &mut Xoshiro256PlusPlus) {
        self.scored_from = self.requests * 7 / 10;
        self.pattern = Pattern::Shift { skew: Skew::new(keys, 0.95), at: self.requests / 2 };
        let mut item = |value_bytes| Item {
            key_bytes: rng.random_range(16..=32),
            value_bytes: rng.random_range(value_bytes),
            ttl_secs: 0,
        };
        let small: Vec<Item> = (0..keys).map(|_| item(40..=160)).collect();
        let large = (0..keys).map(|_| item(300..=1500));
        self.items = small.into_iter().chain(large).collect();
    }

    fn make_twitter(&mut self, keys: u32, rate: f64, rng: &mut Xoshiro256PlusPlus) {
        self.paced_from = self.requests / 3;
        let paced = self.requests - self.paced_from;
        self.scored_from = self.requests - paced * 6 / 10;
        self.rate = Some(rate);
        // A little more of each than the shares of the requests make likely.
        let short_lived = (paced as f64 * 0.23) as u32 + 1_000;
        let one_hits = (paced as f64 * 0.11) as u32 + 1_000;
        let content_sizes = LogNormalSizes::new(150.0, 0.8, (10.0, 4096.0));
        let short_lived_sizes = LogNormalSizes::new(200.0, 0.4, (40.0, 2000.0));
        let mut items = Vec::new();
        for id in 0..keys + short_lived + one_hits {
            let (sizes, ttl_secs) = match id {
                id if id < keys => (&content_sizes, 600),
                id if id < keys + short_lived => match rng.random_range(0..10) {
                    0..6 => (&short_lived_sizes, 2),
                    6..9 => (&short_lived_sizes, 4),
                    _ => (&short_lived_sizes, 8),
                },
                _ => (&content_sizes, 300),
            };
            let key_bytes = rng.random_range(24..=40);
            items.push(Item { key_bytes, value_bytes: sizes.value(rng), ttl_secs });
        }
        self.items = items.into();
        self.pattern = Pattern::Twitter(Twitter::new(
            Skew::new(keys, 1.0),
            self.paced_from,
            keys..keys + short_lived,
            keys + short_lived..keys + short_lived + one_hits,
        ));
    }

    fn make_varied(&mut self, scale: f64, rng: &mut Xoshiro256PlusPlus) {
        let keys = (rng.random_range(1.5e6..3e6) * scale).max(100.0) as u32;
        let small =
            LogNormalSizes::new(rng.random_range(40.0..160.0), rng.random_range(0.3..0.8), (4.0, 2000.0));
        let large = LogNormalSizes::new(
            rng.random_range(300.0..1000.0),
            rng.random_range(0.4..0.8),
            (50.0, VALUE_BYTES_MAX),
        );
        let small_share = rng.random_range(0.3..0.7);
        let key_bytes_min = rng.random_range(16..26);
        self.pattern = Pattern::Varied(Varied::new(keys, rng));
        self.items = (0..keys)
            .map(|id| {
                let share = if id < keys / 3 { small_share + 0.15 } else { small_share };
                let sizes = if rng.random_bool(share) { &small } else { &large };
                let key_bytes = key_bytes_min + rng.random_range(0..14);
                Item { key_bytes, value_bytes: sizes.value(rng), ttl_secs: 0 }
            })
            .collect();
    }

    /// Whether there is no request left.
    pub fn is_over(&self) -> bool {
        self.next == self.requests
    }

    /// Whether the request that comes next is to come at its time.
    pub fn is_paced_now(&self) -> bool {
        self.rate.is_some() && self.next >= self.paced_from
    }

    /// When the request that comes next is due, in milliseconds, at `rate` requests per second or at the
    /// trace's own rate.
    pub fn elapsed_ms(&self, rate: f64) -> u32 {
        let paced = self.next.saturating_sub(self.paced_from);
        (paced as f64 * 1000.0 / self.rate.unwrap_or(rate)) as u32
    }
}

impl Iterator for Trace {
    type Item = Request;

    #[inline]
    fn next(&mut self) -> Option<Request> {
        if self.next == self.requests {
            return None;
        }
        let (action, id, is_foreground) = self.pattern.draw(self.next, &mut self.rng);
        let is_scored = is_foreground && self.next >= self.scored_from;
        self.next += 1;
        Some(Request { action, id, is_scored })
    }
}
