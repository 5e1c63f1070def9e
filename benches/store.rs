//! How long the store takes for one operation, from one thread (but where it says two) and without a protocol
//! before it.
//!
//! Values have 100 bytes, keys 16. "Hot" walks over 64 items, which the processor's caches hold; "cold"
//! over a million, of which nearly every one has to come from memory.
//!
//! `cargo bench --bench store`; only some of it: `cargo bench --bench store -- get`. Compare two
//! versions with `-- --save-baseline before`, then `-- --baseline before`.

mod fixture;

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use fixture::{KeyText, NOW, VALUE, empty_store, fill, keys, set};
use larder::store::{Store, StoreOutcome};

/// Items of a large store.
const ITEMS: usize = 1_000_000;
/// Items that are asked for again and again.
const HOT_ITEMS: usize = 64;
/// Memory for [`ITEMS`] items with room to spare.
const AMPLE_MB: usize = 1024;
/// Memory for less than half of them.
const SCARCE_MB: usize = 64;

/// The keys of a large store, filled in this order, and the same in another.
struct Filled {
    store: Arc<Store>,
    hot: Vec<KeyText>,
    cold: Vec<KeyText>,
}

impl Filled {
    fn new() -> Filled {
        let cold = keys("key", ITEMS);
        let mut in_order = cold.clone();
        in_order.sort_unstable();
        let store = empty_store(AMPLE_MB);
        fill(&store, &in_order);
        Filled { store, hot: cold[..HOT_ITEMS].to_vec(), cold }
    }
}

/// Copies the value, as a reply does. Whether there was an item.
#[inline]
fn get(store: &Store, key: &KeyText, into: &mut Vec<u8>) -> bool {
    let show = |item: &larder::store::ItemView| {
        into.clear();
        into.extend_from_slice(item.tail);
    };
    store.get(&store.key(key), NOW.seconds, show).is_some()
}

fn gets(criterion: &mut Criterion) {
    let Filled { store, hot, cold } = Filled::new();
    let absent = keys("none", ITEMS);
    let mut group = criterion.benchmark_group("store/get");
    group.throughput(Throughput::Elements(1));
    for (name, keys, is_hit) in [("hit hot", &hot, true), ("hit cold", &cold, true), ("miss", &absent, false)]
    {
        let mut value = Vec::with_capacity(VALUE.len());
        assert_eq!(get(&store, &keys[0], &mut value), is_hit);
        let mut keys = keys.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| keys.next().map(|key| get(&store, key, &mut value)));
        });
    }
    group.finish();
}

fn sets_of_present_keys(criterion: &mut Criterion) {
    let Filled { store, hot, cold } = Filled::new();
    let mut group = criterion.benchmark_group("store/set");
    group.throughput(Throughput::Elements(1));
    for (name, keys) in [("overwrite hot", &hot), ("overwrite cold", &cold)] {
        let mut keys = keys.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| keys.next().map(|key| set(&store, key)));
        });
    }
    for (name, keys) in [("delete and set hot", &hot), ("delete and set cold", &cold)] {
        let mut keys = keys.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                keys.next().map(|key| (store.delete(&store.key(key), NOW.seconds), set(&store, key)))
            });
        });
    }
    group.finish();
    assert_eq!(store.stats(NOW.seconds).items, ITEMS as u64, "the store is too small: it evicted");
}

/// One iteration fills an empty store: its index grows on the way, and its pages come from the system.
fn sets_into_free_memory(criterion: &mut Criterion) {
    let keys = keys("key", ITEMS);
    let mut group = criterion.benchmark_group("store/set");
    group.throughput(Throughput::Elements(ITEMS as u64));
    // An iteration takes most of a second: few samples of one each.
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(7));
    group.bench_function("a million new", |bencher| {
        let store_all = |store: Arc<Store>| {
            let stored = keys.iter().filter(|key| set(&store, key) == StoreOutcome::Stored).count();
            assert_eq!(stored, ITEMS);
            store
        };
        bencher.iter_batched(|| empty_store(AMPLE_MB), store_all, BatchSize::PerIteration);
    });
    group.finish();
}

/// Every key is absent: it has been evicted by the time its turn comes again.
fn sets_that_evict(criterion: &mut Criterion) {
    let keys = keys("key", ITEMS);
    let store = empty_store(SCARCE_MB);
    for key in &keys {
        assert_eq!(set(&store, key), StoreOutcome::Stored);
    }
    let before = store.stats(NOW.seconds);
    assert!(before.items < ITEMS as u64 / 2, "{} items fit: not scarce", before.items);
    let mut keys = keys.iter().cycle();
    let mut group = criterion.benchmark_group("store/set");
    group.throughput(Throughput::Elements(1));
    group.bench_function("evicting", |bencher| {
        bencher.iter(|| keys.next().map(|key| set(&store, key)));
    });
    group.finish();
}

/// Two threads at once on one item, and each on items of its own. A time is that of the wall clock for a get of
/// one of them: on one item the lock of its partition goes back and forth, so half of the time is the longest that
/// the lock can be busy with one get, which bounds how often a server can answer for its hottest key.
fn gets_of_two_threads(criterion: &mut Criterion) {
    let Filled { store, hot, cold } = Filled::new();
    let others = &cold[HOT_ITEMS..2 * HOT_ITEMS];
    let mut group = criterion.benchmark_group("store/get, two threads");
    for (name, of_each) in [("one item", [&hot[..1], &hot[..1]]), ("items of their own", [&hot[..], others])]
    {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let begin = Barrier::new(of_each.len() + 1);
                thread::scope(|scope| {
                    let threads = of_each.map(|keys| {
                        let (begin, store) = (&begin, &store);
                        scope.spawn(move || {
                            let mut value = Vec::with_capacity(VALUE.len());
                            begin.wait();
                            let found = keys.iter().cycle().take(times as usize);
                            let found = found.filter(|key| get(store, key, &mut value)).count();
                            assert_eq!(found, times as usize);
                        })
                    });
                    begin.wait();
                    let started = Instant::now();
                    for thread in threads {
                        thread.join().expect("every key is there");
                    }
                    started.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = gets, gets_of_two_threads, sets_of_present_keys, sets_into_free_memory, sets_that_evict
}
criterion_main!(benches);
