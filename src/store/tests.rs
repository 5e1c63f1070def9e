//! The store against a plain model, with its books checked after every step.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::*;

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
    let mut pages = 0;
    for partition in &store.partitions {
        let partition = partition.lock();
        partition.check();
        pages += partition.slab.pages(None).count() + partition.index.segments();
        pages += partition.ghosts.charged_pages(&store.shared.budget);
        pages += partition.slab.deadline_bytes().div_ceil(store.shared.budget.page_bytes());
        pages += partition.large.iter().map(|(_, value)| value.pages()).sum::<usize>();
    }
    assert_eq!(pages, store.shared.budget.used(), "pages that are charged and pages that are held");
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

#[test]
fn partitions_and_pages_follow_memory_and_workers() {
    let shape = |mb: usize, workers| {
        let options = StoreOptions { memory_limit_bytes: mb << 20, workers, ..StoreOptions::default() };
        let store = Store::new(&options);
        (store.partitions(), store.shared.budget.page_bytes() >> 10)
    };
    assert_eq!(shape(1, 4), (1, 16));
    assert_eq!(shape(64, 4), (16, 16));
    assert_eq!(shape(64, 1), (16, 16));
    assert_eq!(shape(1024, 1), (16, 64));
    assert_eq!(shape(1024, 4), (64, 64));
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
        for _ in 0..20 {
            store.upkeep(0, Seconds(second));
        }
        let expired =
            store.stats(Seconds(second)).items.saturating_sub((62 - u64::from(second)) * 200_000 / 60);
        most_overdue = expired.max(most_overdue);
    }
    assert!(most_overdue < 70_000, "{most_overdue} items lay expired");
    assert_eq!(store.stats(Seconds(63)).items / 20_000, 0);
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

/// What a client may do, in small numbers so that keys and sizes meet often.
#[derive(Clone, Debug)]
enum Step {
    Put { mode: u8, key: u8, len: usize, flags: u32, ttl: u8 },
    PutInPieces { mode: u8, key: u8, len: usize, piece: usize, give_up: bool },
    Get(u8),
    Touch(u8, u8),
    Delete(u8),
    Count { key: u8, incr: bool, delta: u64 },
    PutNumber(u8, u64),
    Flush,
    Wait(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![8 => 0usize..200, 3 => 200usize..3000, 1 => 3000usize..60_000];
    let step = prop_oneof![
        6 => (0u8..7, any::<u8>(), len.clone(), prop_oneof![Just(0), any::<u32>()], 0u8..4)
            .prop_map(|(mode, key, len, flags, ttl)| Step::Put { mode, key, len, flags, ttl }),
        2 => (0u8..7, any::<u8>(), len, 1usize..9000, any::<bool>())
            .prop_map(|(mode, key, len, piece, give_up)| Step::PutInPieces { mode, key, len, piece, give_up }),
        5 => any::<u8>().prop_map(Step::Get),
        1 => (any::<u8>(), 0u8..4).prop_map(|(key, ttl)| Step::Touch(key, ttl)),
        2 => any::<u8>().prop_map(Step::Delete),
        2 => (any::<u8>(), any::<bool>(), prop_oneof![0u64..1000, any::<u64>()])
            .prop_map(|(key, incr, delta)| Step::Count { key, incr, delta }),
        2 => (any::<u8>(), prop_oneof![0u64..1000, any::<u64>()]).prop_map(|(key, n)| Step::PutNumber(key, n)),
        1 => Just(Step::Flush),
        1 => (0u8..3).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..250)
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    value: Vec<u8>,
    flags: u32,
    deadline: Deadline,
}

/// The plain model: a map and memcached's rules.
#[derive(Default)]
struct Model(HashMap<Vec<u8>, Known>);

impl Model {
    fn live(&mut self, key: &[u8], now: Seconds) -> Option<Known> {
        if self.0.get(key).is_some_and(|known| known.deadline.has_passed(now)) {
            self.0.remove(key);
        }
        self.0.get(key).cloned()
    }

    fn put(&mut self, mode: StoreMode, key: &[u8], new: Known, now: Seconds) -> StoreOutcome {
        let old = self.live(key, now);
        let next = match (mode, old) {
            (StoreMode::Set, _) | (StoreMode::Add, None) | (StoreMode::Replace, Some(_)) => new,
            (StoreMode::Append, Some(old)) => Known { value: [&old.value[..], &new.value].concat(), ..old },
            (StoreMode::Prepend, Some(old)) => Known { value: [&new.value[..], &old.value].concat(), ..old },
            (StoreMode::Cas(_), None) => return StoreOutcome::NotFound,
            (StoreMode::Cas(_), Some(_)) => return StoreOutcome::Exists,
            _ => return StoreOutcome::NotStored,
        };
        if memcached_item_bytes(key.len(), next.flags, next.value.len(), true) > 1 << 20 {
            return StoreOutcome::NotStored;
        }
        self.0.insert(key.to_vec(), next);
        StoreOutcome::Stored
    }
}

fn mode_of(mode: u8) -> StoreMode {
    use StoreMode::*;
    // No item has the CAS unique 0.
    [Set, Set, Add, Replace, Append, Prepend, Cas(0)][usize::from(mode)]
}

fn deadline_of(ttl: u8, now: Seconds) -> Deadline {
    if ttl == 0 { Deadline::NEVER } else { Deadline::at(now.after(u32::from(ttl))) }
}

/// Runs the steps against store and model. With `evicts`, an item may be gone from the store at any
/// time, and what is there must still be right.
fn run(steps: Vec<Step>, memory: usize, partitions: usize, keys: u8, evicts: bool) {
    let store = store(memory, partitions, |options| options.page_bytes = Some(4096));
    let mut model = Model::default();
    let mut now = START;
    for step in steps {
        let name = |key: u8| format!("key {}", key % keys).into_bytes();
        match step {
            Step::Put { mode, key, len, flags, ttl } => {
                let (key, mode) = (name(key), mode_of(mode));
                let known = Known { value: pattern(len as u32, len), flags, deadline: deadline_of(ttl, now) };
                sync(&store, &mut model, &key, now, evicts);
                let request = StoreRequest {
                    key: store.key(&key),
                    mode,
                    client_flags: flags,
                    deadline: known.deadline,
                    value: &known.value,
                };
                assert_eq!(store.store(&request, now), model.put(mode, &key, known.clone(), now));
            }
            Step::PutInPieces { mode, key, len, piece, give_up } => {
                let (key, mode) = (name(key), mode_of(mode));
                let value = pattern(len as u32 + 1, len);
                let known = Known { value: value.clone(), flags: 0, deadline: Deadline::NEVER };
                let reserved = store.reserve(store.key(&key), mode, 0, Deadline::NEVER, len, now);
                let mut reservation = reserved.expect("there is room for every legal item");
                let pieces = value.chunks(piece).take(if give_up { 1 } else { usize::MAX });
                pieces.for_each(|piece| {
                    reservation.write(piece, now).expect("there is room for every legal item")
                });
                if reservation.missing() > 0 || give_up {
                    continue;
                }
                sync(&store, &mut model, &key, now, evicts);
                assert_eq!(reservation.commit(now), model.put(mode, &key, known, now));
            }
            Step::Get(key) => sync(&store, &mut model, &name(key), now, evicts),
            Step::Touch(key, ttl) => {
                let key = name(key);
                sync(&store, &mut model, &key, now, evicts);
                let deadline = deadline_of(ttl, now);
                let touched = store.touch(&store.key(&key), deadline, now, |_| ()).is_some();
                assert_eq!(touched, model.live(&key, now).is_some());
                if let Some(known) = model.0.get_mut(&key) {
                    known.deadline = deadline;
                }
            }
            Step::Delete(key) => {
                let key = name(key);
                sync(&store, &mut model, &key, now, evicts);
                assert_eq!(store.delete(&store.key(&key), now), model.live(&key, now).is_some());
                model.0.remove(&key);
            }
            Step::PutNumber(key, number) => {
                let key = name(key);
                let value = number.to_string().into_bytes();
                put(&store, StoreMode::Set, &key, &value, now);
                model.0.insert(key, Known { value, flags: 0, deadline: Deadline::NEVER });
            }
            Step::Count { key, incr, delta } => {
                let key = name(key);
                sync(&store, &mut model, &key, now, evicts);
                count(&store, &mut model, &key, incr, delta, now);
            }
            Step::Flush => {
                store.flush(now);
                model.0.clear();
            }
            Step::Wait(seconds) => now = now.after(u32::from(seconds)),
        }
        check(&store);
        assert!(store.shared.budget.used() <= store.shared.budget.limit() + partitions);
    }
}

/// Looks a key up in both. Where the store may evict, the model forgets what the store has evicted.
fn sync(store: &Arc<Store>, model: &mut Model, key: &[u8], now: Seconds, evicts: bool) {
    let known = model.live(key, now).map(|known| (known.value, known.flags));
    let found = store.get(&store.key(key), now, |item| (whole(item), item.client_flags));
    if evicts && found.is_none() {
        model.0.remove(key);
        return;
    }
    assert_eq!(found, known);
}

fn count(store: &Arc<Store>, model: &mut Model, key: &[u8], incr: bool, delta: u64, now: Seconds) {
    let direction = if incr { Direction::Incr } else { Direction::Decr };
    let result = store.arithmetic(&store.key(key), direction, delta, now);
    let Some(known) = model.0.get_mut(key) else {
        assert_eq!(result, Arithmetic::NotFound);
        return;
    };
    let text = String::from_utf8_lossy(&known.value).to_string();
    let Some(number) = text.split(' ').next().and_then(|number| number.parse::<u64>().ok()) else {
        assert_eq!(result, Arithmetic::NonNumeric);
        return;
    };
    let number = if incr { number.wrapping_add(delta) } else { number.saturating_sub(delta) };
    assert_eq!(result, Arithmetic::Value(number));
    known.value = format!("{number:<width$}", width = known.value.len()).into_bytes();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn with_room_it_is_a_map_with_memcacheds_rules(steps in steps()) {
        run(steps, 64 << 20, 2, 12, false);
    }

    #[test]
    fn under_pressure_it_loses_items_and_nothing_else(steps in steps()) {
        run(steps, 1 << 20, 2, 200, true);
    }
}
