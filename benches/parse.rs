//! How long it takes to read a command line, without executing it.
//!
//! `cargo bench --bench parse`; only some of it: `cargo bench --bench parse -- set`. Compare two
//! versions with `-- --save-baseline before`, then `-- --baseline before`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::protocol::memcached::parses;

/// Name, line, and whether it is a valid command.
const LINES: [(&str, &str, bool); 5] = [
    ("get", "get key:000000000042", true),
    ("set", "set key:000000000042 0 3600 100", true),
    ("incr", "incr key:000000000042 1", true),
    ("unknown command", "frobnicate key:000000000042", false),
    ("set without a length", "set key:000000000042 0 3600 many", false),
];

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    for (name, line, is_valid) in LINES {
        assert_eq!(parses(line.as_bytes()), is_valid, "{line}");
        group.bench_function(name, |bencher| bencher.iter(|| parses(black_box(line.as_bytes()))));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = parse
}
criterion_main!(benches);
