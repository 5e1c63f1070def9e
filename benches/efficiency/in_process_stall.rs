//! Part `stall` without sockets: how long a single insertion holds its caller up, and a single call of upkeep,
//! while the store grows. What a client sees beyond that is kernel, network and the machine's other work.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use larder::base::clock::{Deadline, Seconds};
use larder::store::{Store, StoreMode, StoreOptions, StoreOutcome, StoreRequest};
use serde_json::json;

use crate::ledger::{self, Faults};
use crate::options::Options;
use crate::report::Report;
use crate::stall::{KEY_BYTES, VALUE_BYTES, memory_mb};
use crate::table::{Table, thousands};

/// Longest time that is told from longer ones, in nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;
/// Time between two calls of upkeep while there is work, as in the daemon.
const UPKEEP_PAUSE: Duration = Duration::from_millis(1);

/// Times of one kind of call, in nanoseconds.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> Times {
        Times(Histogram::new_with_max(LONGEST_NS, 3).expect("a valid histogram"))
    }

    fn note(&mut self, time: Duration) {
        self.0.saturating_record(time.as_nanos() as u64);
    }

    fn us(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    /// Calls that took longer than a millisecond.
    fn over_1_ms(&self) -> u64 {
        self.0.count_between(1_000_000, LONGEST_NS)
    }
}

/// Loads a store of `options.workers` workers and prints how long each call took.
pub fn run(options: &Options, report: &mut Report) -> Faults {
    let memory_mb = memory_mb(options);
    let values = ledger::values(options.seed);
    let mut faults = Faults::default();
    let store = Store::new(&StoreOptions {
        memory_limit_bytes: memory_mb << 20,
        workers: options.workers,
        partitions: options.partitions[0],
        page_bytes: options.page_bytes,
        ..StoreOptions::default()
    });
    let (mut sets, mut upkeeps) = (Times::new(), Times::new());
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let started = Instant::now();
    let mut upkeep_at = started;
    for id in 1..=options.stall_items as u32 {
        key.clear();
        values.push_key(id, KEY_BYTES, &mut key);
        value.clear();
        values.push_value(id, 0, VALUE_BYTES, &mut value);
        let before = Instant::now();
        let request = StoreRequest {
            key: store.key(&key),
            mode: StoreMode::Set,
            client_flags: 0,
            deadline: Deadline::NEVER,
            value: &value,
        };
        let outcome = store.store(&request, Seconds::START);
        let after = Instant::now();
        sets.note(after - before);
        faults.refused += u64::from(outcome != StoreOutcome::Stored);
        if after >= upkeep_at {
            (0..options.workers).for_each(|worker| {
                let before = Instant::now();
                store.upkeep(worker, Seconds::START);
                upkeeps.note(before.elapsed());
            });
            upkeep_at = after + UPKEEP_PAUSE;
        }
    }
    let items_per_sec = options.stall_items as f64 / started.elapsed().as_secs_f64();
    println!(
        "\nstall, in process: {} items of {KEY_BYTES}+{VALUE_BYTES} B, {memory_mb} MB, {:.0} Kset/s; times in us",
        thousands(options.stall_items),
        items_per_sec / 1e3
    );
    let mut table = Table::new(&["call", "calls", "p50", "p99", "p99.9", "p99.99", "longest", "> 1 ms"]);
    for (call, times) in [("set", &sets), ("upkeep", &upkeeps)] {
        let mut row = vec![call.to_owned(), thousands(times.0.len())];
        row.extend([0.5, 0.99, 0.999, 0.9999, 1.0].map(|share| format!("{:.1}", times.us(share))));
        row.push(thousands(times.over_1_ms()));
        table.row(row);
        report.record(json!({
            "part": "stall-in-process", "call": call, "items": options.stall_items, "memory_mb": memory_mb,
            "calls": times.0.len(), "p50_us": times.us(0.5), "p99_us": times.us(0.99),
            "p999_us": times.us(0.999), "p9999_us": times.us(0.9999), "longest_us": times.us(1.0),
            "over_1_ms": times.over_1_ms(), "items_per_sec": items_per_sec,
        }));
    }
    table.print();
    faults
}
