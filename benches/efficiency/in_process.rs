//! The traces straight against the store, in this process: no socket, a clock that requests move, a fixed
//! hash seed. So a run repeats to the last digit, and variants of the store are compared within seconds.

use std::sync::Arc;
use std::time::Instant;

use larder::base::clock::{Deadline, Seconds};
use larder::store::{Store, StoreMode, StoreOptions, StoreOutcome, StoreRequest, StoreStats};
use serde_json::json;

use crate::ledger::{self, Answer, Faults, Ledger};
use crate::options::Options;
use crate::report::Report;
use crate::table::{Table, thousands};
use crate::trace::{Action, Request, Scale, Trace, TraceName};
use crate::value::{KEY_BYTES_MAX, Values};

/// Seed of the store's hash.
const HASH_SEED: u64 = 7;
/// Calls of upkeep for one worker in one simulated second, at most.
const UPKEEP_CALLS_MAX: usize = 1_000;

/// A variant of the store.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Bytes for items and index.
    pub memory_bytes: usize,
    /// Workers that share it.
    pub workers: usize,
    /// Partitions; `None` as the daemon derives them.
    pub partitions: Option<usize>,
    /// Bytes of a page; `None` as the daemon derives them.
    pub page_bytes: Option<usize>,
}

impl Variant {
    fn store(&self) -> Arc<Store> {
        Store::new(&StoreOptions {
            memory_limit_bytes: self.memory_bytes,
            workers: self.workers,
            partitions: self.partitions,
            page_bytes: self.page_bytes,
            hash_seed: Some(HASH_SEED),
            ..StoreOptions::default()
        })
    }
}

/// What one run came to.
pub struct Outcome {
    /// Gets that count.
    pub scored_gets: u64,
    /// Of those: answered with the right value.
    pub scored_hits: u64,
    /// Answers that were not right, and stores refused.
    pub faults: Faults,
    /// The store at the end.
    pub stats: StoreStats,
    /// Requests per second of this process, fills apart.
    pub requests_per_sec: f64,
}

impl Outcome {
    /// Share of the gets that count which hit.
    pub fn hit_ratio(&self) -> f64 {
        self.scored_hits as f64 / self.scored_gets.max(1) as f64
    }
}

/// One run of a trace.
struct Run<'a> {
    store: Arc<Store>,
    trace: Trace,
    ledger: Ledger,
    values: &'a Values,
    faults: Faults,
    scored_gets: u64,
    scored_hits: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Runs a trace against a variant of the store; requests that are not paced come at `rate` a second.
pub fn run(trace: Trace, variant: &Variant, rate: f64, values: &Values) -> Outcome {
    let ledger = Ledger::new(trace.items.len(), 0);
    let mut run = Run {
        store: variant.store(),
        ledger,
        trace,
        values,
        faults: Faults::default(),
        scored_gets: 0,
        scored_hits: 0,
        key: Vec::with_capacity(KEY_BYTES_MAX),
        value: Vec::with_capacity(ledger::VALUE_BYTES_MAX),
    };
    let started = Instant::now();
    let mut now = Seconds::START;
    loop {
        let second = Seconds::START.after(run.trace.elapsed_ms(rate) / 1000);
        if second != now {
            now = second;
            (0..variant.workers).for_each(|worker| tend(&run.store, worker, now));
        }
        let Some(request) = run.trace.next() else { break };
        run.serve(&request, now);
    }
    let elapsed_secs = started.elapsed().as_secs_f64();
    Outcome {
        scored_gets: run.scored_gets,
        scored_hits: run.scored_hits,
        faults: run.faults,
        stats: run.store.stats(now),
        requests_per_sec: run.trace.requests as f64 / elapsed_secs,
    }
}

/// One worker's upkeep of a second.
fn tend(store: &Store, worker: usize, now: Seconds) {
    for _ in 0..UPKEEP_CALLS_MAX {
        if !store.upkeep(worker, now) {
            return;
        }
    }
}

impl Run<'_> {
    #[inline]
    fn serve(&mut self, request: &Request, now: Seconds) {
        let item = self.trace.items[request.id as usize];
        self.key.clear();
        self.values.push_key(request.id, item.key_bytes.into(), &mut self.key);
        match request.action {
            Action::Get | Action::GetOnly => {
                let is_hit = self.get(request.id, item.value_bytes.into(), now);
                self.scored_gets += u64::from(request.is_scored);
                self.scored_hits += u64::from(request.is_scored && is_hit == Some(true));
                if is_hit.is_none() && request.action == Action::Get {
                    let version = self.ledger.fill(request.id, item.ttl_secs, millis(now));
                    self.set(request.id, version, now);
                }
            }
            Action::Set => {
                let version = self.ledger.overwrite(request.id, item.ttl_secs, millis(now));
                self.set(request.id, version, now);
            }
            Action::Delete => {
                self.ledger.delete(request.id);
                self.store.delete(&self.store.key(&self.key), now);
            }
        }
    }

    /// `None` if there is no value, else whether it is the right one.
    #[inline]
    fn get(&mut self, id: u32, value_bytes: usize, now: Seconds) -> Option<bool> {
        let (ledger, values) = (&self.ledger, self.values);
        let expected = ledger.expected(id);
        let verdict = self.store.get(&self.store.key(&self.key), now, |item| {
            let answer = Answer { id, value_bytes, flags: item.client_flags, value: item.tail };
            ledger.judge(&answer, expected, millis(now), values)
        });
        verdict.map(|verdict| self.faults.count(verdict))
    }

    #[inline]
    fn set(&mut self, id: u32, version: u8, now: Seconds) {
        let item = self.trace.items[id as usize];
        self.value.clear();
        self.values.push_value(id, version, item.value_bytes.into(), &mut self.value);
        let request = StoreRequest {
            key: self.store.key(&self.key),
            mode: StoreMode::Set,
            client_flags: self.values.flags(id),
            deadline: match item.ttl_secs {
                0 => Deadline::NEVER,
                ttl_secs => Deadline::at(now.after(ttl_secs.into())),
            },
            value: &self.value,
        };
        if self.store.store(&request, now) != StoreOutcome::Stored {
            self.faults.refused += 1;
        }
    }
}

fn millis(now: Seconds) -> u32 {
    now.0 * 1000
}

/// Runs every trace against every variant and prints a row for each.
pub fn run_all(options: &Options, report: &mut Report) -> Faults {
    let values = ledger::values(options.seed);
    let mut faults = Faults::default();
    let headings = [
        "trace",
        "partitions",
        "page",
        "hit ratio",
        "evictions",
        "items",
        "moves",
        "rescues",
        "index B/item",
        "refused",
        "wrong",
        "Mreq/s",
    ];
    let mut table = Table::new(&headings);
    for &name in options.traces.as_deref().unwrap_or(&TraceName::ALL) {
        let scale = Scale { keys: options.key_scale, requests: options.scale };
        let trace = Trace::new(name, options.seed, scale, options.twitter_rate);
        for &partitions in &options.partitions {
            let variant = Variant {
                memory_bytes: options.memory_mb << 20,
                workers: options.workers,
                partitions,
                page_bytes: options.page_bytes,
            };
            let outcome = run(trace.clone(), &variant, options.rate, &values);
            faults.add(&outcome.faults);
            table.row(row(name, &outcome));
            report.record(json!({
                "part": "in-process", "trace": name.as_str(), "seed": options.seed,
                "memory_mb": options.memory_mb, "workers": options.workers,
                "partitions": outcome.stats.partitions, "page_bytes": outcome.stats.page_bytes,
                "hit_ratio": outcome.hit_ratio(), "scored_gets": outcome.scored_gets,
                "evictions": outcome.stats.sum(|class| class.evicted), "items": outcome.stats.items,
                "pages_moved": outcome.stats.figures.slabs_moved, "bad_answers": outcome.faults.bad(),
                "refused": outcome.faults.refused, "requests_per_sec": outcome.requests_per_sec,
            }));
        }
    }
    println!(
        "\nin process: {} MB, {} worker(s), seed {}, {} requests per simulated second",
        options.memory_mb, options.workers, options.seed, options.rate
    );
    table.print();
    faults
}

fn row(name: TraceName, outcome: &Outcome) -> [String; 12] {
    let stats = &outcome.stats;
    [
        name.as_str().to_owned(),
        stats.partitions.to_string(),
        stats.page_bytes.to_string(),
        format!("{:.4}", outcome.hit_ratio()),
        thousands(stats.sum(|class| class.evicted)),
        thousands(stats.items),
        thousands(stats.figures.slabs_moved),
        thousands(stats.figures.slab_rescues),
        format!("{:.2}", stats.index_bytes as f64 / stats.items.max(1) as f64),
        thousands(outcome.faults.refused),
        thousands(outcome.faults.bad()),
        format!("{:.2}", outcome.requests_per_sec / 1e6),
    ]
}
