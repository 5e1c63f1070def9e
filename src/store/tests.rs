//! The store as a whole, with its books checked. `model` has it beside a plain map, `failures` also where memory is
//! refused, values arrive slowly and readers hold on; `leases` is about what goes beyond plain commands, `rules`
//! about the LRU and page moves, `joins` about append and prepend to large values, `arrivals` about values that are read to their place, `fairness` about who has to give, and `threads` has several of them at the same keys.

use std::sync::Arc;
use std::thread;

use super::*;

#[cfg(test)]
mod arrivals;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod joins;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod model;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod threads;

const START: Seconds = Seconds::START;

fn store(memory: usize, partitions: usize, change: impl FnOnce(&mut StoreOptions)) -> Arc<Store> {
    let mut options = StoreOptions {
        memory_limit_bytes: memory,
        workers: 2,
        partitions: Some(partitions),
        hash_seed: Some(7),
        ..StoreOptions::default()
    };
    change(&mut options);
    Store::new(&options)
}

fn check(store: &Store) {
    check_with(store, 0);
}

/// Checks the books; for `apart` see [`Store::check_books`].
fn check_with(store: &Store, apart: usize) {
    store.check_books(apart);
}

fn settle(store: &Store, now: Seconds) {
    (0..2).for_each(|worker| while store.upkeep(worker, now) {});
}

fn set(store: &Arc<Store>, key: &[u8], value: &[u8]) -> StoreOutcome {
    put(store, StoreMode::Set, key, value, START)
}

fn put(store: &Arc<Store>, mode: StoreMode, key: &[u8], value: &[u8], now: Seconds) -> StoreOutcome {
    let request =
        StoreRequest { key: store.key(key), mode, client_flags: 0, deadline: Deadline::NEVER, value };
    store.store(&request, now)
}

fn whole(item: &ItemView) -> Vec<u8> {
    let mut value = Vec::new();
    if let Some(large) = item.large {
        large.pieces().for_each(|piece| value.extend_from_slice(piece));
    }
    value.extend_from_slice(item.tail);
    assert_eq!(value.len(), item.value_bytes);
    value
}

fn get(store: &Store, key: &[u8], now: Seconds) -> Option<(Vec<u8>, u64)> {
    store.get(&store.key(key), now, |item| (whole(item), item.cas))
}

fn value_of(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    get(store, key, START).map(|(value, _)| value)
}

/// A value that depends on `n`, can be checked at any place, and holds neither digits nor blanks.
fn pattern(n: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(31).wrapping_add(n * 7) % 101 + 100) as u8).collect()
}

/// The number that counting finds in a value of digits, or of digits, blanks and a [`pattern`]. As in memcached
/// there is none in a large value.
fn number_in(store: &Store, key: &[u8], client_flags: u32, value: &[u8]) -> Option<u64> {
    let shape = item::Shape { key_bytes: key.len(), client_flags, value_bytes: value.len() };
    let page_bytes = store.shared.budget.page_bytes();
    let is_large = shape.placement(page_bytes, page_bytes).block_bytes > 0;
    let text = String::from_utf8_lossy(value);
    text.split(' ').next().and_then(|number| number.parse().ok()).filter(|_| !is_large)
}

#[test]
fn partitions_and_pages_follow_memory_and_workers() {
    let shape = |mb: usize, workers| {
        let options = StoreOptions { memory_limit_bytes: mb << 20, workers, ..StoreOptions::default() };
        let store = Store::new(&options);
        (store.partitions(), store.shared.budget.page_bytes() >> 10)
    };
    assert_eq!(shape(1, 4), (1, 16));
    assert_eq!(shape(64, 4), (4, 16));
    assert_eq!(shape(64, 1), (4, 16));
    assert_eq!(shape(64, 12), (16, 16));
    assert_eq!(shape(16, 12), (4, 16));
    assert_eq!(shape(1024, 1), (16, 64));
    assert_eq!(shape(1024, 4), (64, 16));
    assert_eq!(shape(4096, 4), (64, 64));
}

#[test]
fn a_full_store_evicts_and_never_refuses() {
    for partitions in [1, 4] {
        let store = store(4 << 20, partitions, |_| {});
        for n in 0..60_000u32 {
            let key = format!("key:{n}");
            assert_eq!(set(&store, key.as_bytes(), &pattern(n, (n % 300) as usize)), StoreOutcome::Stored);
            assert_eq!(value_of(&store, key.as_bytes()), Some(pattern(n, (n % 300) as usize)));
        }
        check(&store);
        let stats = store.stats(START);
        assert!(stats.sum(|class| class.evicted) > 10_000);
        assert!(stats.used_bytes <= stats.limit_bytes);
    }
}

#[test]
fn a_full_store_makes_room_for_another_size_and_for_large_values() {
    let store = store(8 << 20, 2, |options| options.item_bytes_max = 4 << 20);
    for n in 0..80_000u32 {
        set(&store, format!("small:{n}").as_bytes(), &pattern(n, 40));
    }
    for n in 0..2_000u32 {
        assert_eq!(set(&store, format!("other:{n}").as_bytes(), &pattern(n, 1500)), StoreOutcome::Stored);
    }
    for n in 0..40u32 {
        let len = 100_000 * (n as usize % 30 + 1);
        let key = format!("large:{n}");
        assert_eq!(set(&store, key.as_bytes(), &pattern(n, len)), StoreOutcome::Stored, "{len} bytes");
        assert_eq!(value_of(&store, key.as_bytes()), Some(pattern(n, len)));
    }
    check(&store);
}

#[test]
fn without_eviction_a_full_store_refuses_and_keeps_what_it_has() {
    let store = store(2 << 20, 2, |options| options.evict = false);
    let stored = (0..30_000u32)
        .filter(|n| set(&store, format!("k{n}").as_bytes(), &[b'v'; 100]) == StoreOutcome::Stored);
    let stored: Vec<u32> = stored.collect();
    assert!(stored.len() > 5_000 && stored.len() < 30_000, "{} stored", stored.len());
    assert!(stored.iter().all(|n| value_of(&store, format!("k{n}").as_bytes()).is_some()));
    let stats = store.stats(START);
    assert_eq!(stats.sum(|class| class.evicted), 0);
    assert_eq!(stats.figures.store_no_memory, 30_000 - stored.len() as u64);
    check(&store);
}

#[test]
fn a_reader_keeps_the_large_value_that_it_has() {
    let store = store(8 << 20, 1, |_| {});
    let value = pattern(1, 500_000);
    set(&store, b"k", &value);
    let held = store.get(&store.key(b"k"), START, |item| (item.large.cloned(), item.tail.to_vec())).unwrap();
    let used = store.shared.budget.used();
    set(&store, b"k", &pattern(2, 500_000));
    assert!(store.delete(&store.key(b"k"), START));
    let (blocks, tail) = held;
    let blocks = blocks.unwrap();
    let seen: Vec<u8> = blocks.pieces().flatten().chain(&tail).copied().collect();
    assert_eq!(seen, value);
    drop(blocks);
    assert!(store.shared.budget.used() < used);
    check(&store);
}

#[test]
fn a_reservation_that_is_dropped_gives_everything_back() {
    for value_bytes in [10, 20_000, 700_000] {
        let store = store(4 << 20, 1, |_| {});
        set(&store, b"k", b"old");
        let used = store.shared.budget.used();
        let key = store.key(b"k");
        let mut reservation =
            store.reserve(key, StoreMode::Set, 0, Deadline::NEVER, value_bytes, START).unwrap();
        reservation.write(&pattern(1, value_bytes / 2), START).unwrap();
        check_with_reservation(&store);
        drop(reservation);
        assert_eq!(store.shared.budget.used(), used);
        assert_eq!(value_of(&store, b"k"), Some(b"old".to_vec()));
        check(&store);
    }
}

fn check_with_reservation(store: &Store) {
    for partition in &store.partitions {
        partition.lock().check();
    }
}

#[test]
fn a_flush_forgets_all_but_what_is_arriving() {
    let store = store(4 << 20, 2, |_| {});
    for n in 0..1000u32 {
        set(&store, format!("k{n}").as_bytes(), &pattern(n, 700));
    }
    set(&store, b"large", &pattern(0, 300_000));
    let mut arriving =
        store.reserve(store.key(b"new"), StoreMode::Set, 0, Deadline::NEVER, 6, START).unwrap();
    arriving.write(b"val", START).unwrap();
    store.flush(START);
    assert_eq!(store.stats(START).items, 0);
    arriving.write(b"ue!", START).unwrap();
    assert_eq!(arriving.commit(START), StoreOutcome::Stored);
    assert_eq!(value_of(&store, b"new"), Some(b"value!".to_vec()));
    assert_eq!(value_of(&store, b"large"), None);
    check(&store);
}

#[test]
fn a_delayed_flush_spares_what_is_stored_after_it() {
    let store = store(4 << 20, 4, |_| {});
    set(&store, b"before", b"1");
    store.flush_at(Seconds(10));
    assert!(get(&store, b"before", Seconds(9)).is_some());
    put(&store, StoreMode::Set, b"just before", b"1", Seconds(9));
    assert!(get(&store, b"before", Seconds(10)).is_none());
    put(&store, StoreMode::Set, b"after", b"1", Seconds(10));
    store.upkeep(0, Seconds(11));
    store.upkeep(1, Seconds(11));
    assert!(get(&store, b"just before", Seconds(11)).is_none());
    assert!(get(&store, b"after", Seconds(11)).is_some());
}

#[test]
fn expired_items_give_their_memory_back_without_being_asked_for() {
    let store = store(8 << 20, 4, |_| {});
    for n in 0..4000u32 {
        let key = format!("k{n}");
        let deadline = if n % 4 == 0 { Deadline::NEVER } else { Deadline::at(Seconds(5 + n % 4)) };
        let value = pattern(n, 500);
        let request = StoreRequest {
            key: store.key(key.as_bytes()),
            mode: StoreMode::Set,
            client_flags: 0,
            deadline,
            value: &value,
        };
        store.store(&request, START);
    }
    let settle = |now| (0..2).for_each(|worker| while store.upkeep(worker, now) {});
    for (now, left) in [(5, 4000), (6, 3000), (7, 2000), (8, 1000), (100, 1000)] {
        settle(Seconds(now));
        check(&store);
        assert_eq!(store.stats(Seconds(now)).items, left, "at {now}");
    }
    assert_eq!(store.stats(START).sum(|class| class.crawler_reclaimed), 3000);
}

#[test]
fn who_only_announces_a_large_value_takes_no_memory() {
    let store = store(4 << 20, 1, |_| {});
    set(&store, b"k", b"v");
    let used = store.shared.budget.used();
    let announce = |n: u32| {
        let key = format!("large{n}");
        let key = store.key(key.as_bytes());
        store.reserve(key, StoreMode::Set, 0, Deadline::NEVER, 1_000_000, START).unwrap()
    };
    let announced: Vec<Reservation> = (0..100).map(announce).collect();
    // The end of such a value lies in a chunk: a few pages for all of them.
    assert!(store.shared.budget.used() <= used + 8);
    drop(announced);
    assert_eq!(value_of(&store, b"k"), Some(b"v".to_vec()));
}

#[test]
fn what_is_arriving_for_an_append_is_charged() {
    let store = store(8 << 20, 1, |_| {});
    set(&store, b"k", b"v");
    let used = store.shared.budget.used();
    let key = store.key(b"k");
    let mut append = store.reserve(key, StoreMode::Append, 0, Deadline::NEVER, 900_000, START).unwrap();
    append.write(&pattern(1, 500_000), START).unwrap();
    assert!(store.shared.budget.used() >= used + 500_000 / store.shared.budget.page_bytes());
    append.write(&pattern(2, 400_000), START).unwrap();
    assert_eq!(append.commit(START), StoreOutcome::Stored);
    let whole = [b"v".to_vec(), pattern(1, 500_000), pattern(2, 400_000)].concat();
    assert_eq!(value_of(&store, b"k"), Some(whole));
    check(&store);
}

#[test]
fn a_smaller_limit_is_reached_in_slices_and_stores_go_on() {
    let store = store(64 << 20, 4, |_| {});
    for n in 0..400_000u32 {
        set(&store, format!("k{n}").as_bytes(), b"tiny");
    }
    assert!(store.set_memory_limit(1 << 20));
    for n in 0..2000u32 {
        let key = format!("new{n}");
        assert_eq!(set(&store, key.as_bytes(), &pattern(n, (n % 3000) as usize)), StoreOutcome::Stored);
        let request = StoreRequest {
            key: store.key(key.as_bytes()),
            mode: StoreMode::Cas(get(&store, key.as_bytes(), START).map_or(1, |(_, cas)| cas)),
            client_flags: 0,
            deadline: Deadline::NEVER,
            value: &pattern(n, (n % 700) as usize),
        };
        assert_ne!(store.store(&request, START), StoreOutcome::OutOfMemory);
    }
    while (0..2).any(|worker| store.upkeep(worker, START)) {}
    check(&store);
    // Each partition may have a page and an index segment more than its share of a tiny limit.
    assert!(store.shared.budget.used() <= store.shared.budget.limit() + 8);
}

#[test]
fn a_little_less_memory_costs_few_large_items() {
    let store = store(64 << 20, 1, |_| {});
    let stored = (0..800u32).filter(|n| {
        set(&store, format!("large{n}").as_bytes(), &pattern(*n, 100_000)) == StoreOutcome::Stored
    });
    assert_eq!(stored.count(), 800);
    let before = store.stats(START);
    store.set_memory_limit((before.used_bytes - 12 * before.page_bytes) as usize);
    while (0..2).any(|worker| store.upkeep(worker, START)) {}
    check(&store);
    let lost = before.items - store.stats(START).items;
    assert!((1..=8).contains(&lost), "{lost} of {} items went for 12 pages", before.items);
}

#[test]
fn what_is_read_again_and_again_survives_what_is_written_once() {
    let store = store(16 << 20, 2, |_| {});
    let hot = |n: u32| format!("hot{n}").into_bytes();
    for n in 0..20_000 {
        set(&store, &hot(n), &[b'h'; 100]);
    }
    for second in 0..40 {
        let now = Seconds(10 + second);
        for n in 0..20_000 {
            get(&store, &hot(n), now);
        }
        for n in 0..2000 {
            let key = format!("once {second} {n}");
            assert_eq!(put(&store, StoreMode::Set, key.as_bytes(), &[b'o'; 1000], now), StoreOutcome::Stored);
        }
        while (0..2).any(|worker| store.upkeep(worker, now)) {}
    }
    let left = (0..20_000).filter(|&n| get(&store, &hot(n), Seconds(60)).is_some()).count();
    assert!(left >= 19_800, "{left} of 20000 are left");
    check(&store);
}

#[test]
fn upkeep_reaches_every_partition() {
    let store = store(64 << 20, 16, |options| options.workers = 1);
    for n in 0..200_000u32 {
        let key = format!("k{n}");
        let deadline = Deadline::at(Seconds(3 + n % 60));
        let request = StoreRequest {
            key: store.key(key.as_bytes()),
            mode: StoreMode::Set,
            client_flags: 0,
            deadline,
            value: &[b'v'; 100],
        };
        store.store(&request, START);
    }
    let mut most_overdue = 0;
    for second in 3..63 {
        for _ in 0..12 {
            store.upkeep(0, Seconds(second));
        }
        let expired =
            store.stats(Seconds(second)).items.saturating_sub((62 - u64::from(second)) * 200_000 / 60);
        most_overdue = expired.max(most_overdue);
    }
    assert!(most_overdue < 70_000, "{most_overdue} items lay expired");
    for second in 63..80 {
        (0..12).for_each(|_| {
            store.upkeep(0, Seconds(second));
        });
    }
    assert_eq!(store.stats(Seconds(80)).items, 0);
}

#[test]
fn cas_uniques_are_never_used_twice() {
    let store = store(4 << 20, 4, |_| {});
    let mut seen = std::collections::HashSet::new();
    for n in 0..2000u32 {
        let key = format!("k{}", n % 50);
        set(&store, key.as_bytes(), b"v");
        assert!(seen.insert(get(&store, key.as_bytes(), START).unwrap().1));
    }
}

#[test]
fn threads_never_lose_a_compare_and_swap() {
    let store = store(8 << 20, 4, |_| {});
    set(&store, b"counter", b"0");
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let store = store.clone();
            thread::spawn(move || {
                let mut swaps = 0;
                for round in 0..5_000u32 {
                    let noise = format!("noise:{}", (round * 7919 + thread) % 20_000);
                    set(&store, noise.as_bytes(), &pattern(round, (round % 900) as usize));
                    let Some((value, cas)) = get(&store, b"counter", START) else {
                        panic!("the counter is hot")
                    };
                    let next = String::from_utf8(value).unwrap().parse::<u64>().unwrap() + 1;
                    let outcome =
                        put(&store, StoreMode::Cas(cas), b"counter", next.to_string().as_bytes(), START);
                    swaps += u64::from(outcome == StoreOutcome::Stored);
                }
                swaps
            })
        })
        .collect();
    let swaps: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(value_of(&store, b"counter"), Some(swaps.to_string().into_bytes()));
    check(&store);
}
