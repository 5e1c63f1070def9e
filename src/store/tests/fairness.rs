//! Who gives and who stays: partitions at another limit, large items beside small ones, counters that nobody reads.

use super::*;

fn items_by_partition(store: &Store) -> Vec<usize> {
    store.partitions.iter().map(|partition| partition.lock().index.len()).collect()
}

fn fill(store: &Arc<Store>, items: u32, len: usize, now: Seconds) {
    for n in 0..items {
        put(store, StoreMode::Set, format!("fill{n}").as_bytes(), &pattern(n, len), now);
    }
}

#[test]
fn a_smaller_limit_takes_from_all_partitions_alike() {
    let store = store(32 << 20, 4, |options| options.workers = 1);
    fill(&store, 300_000, 100, START);
    store.set_memory_limit(16 << 20);
    while store.upkeep(0, START) {}
    check(&store);
    assert!(!store.shared.budget.is_overdrawn());
    let items = items_by_partition(&store);
    let (least, most) = (items.iter().min().unwrap(), items.iter().max().unwrap());
    assert!(least * 10 >= most * 9, "{items:?}");
}

#[test]
fn a_partition_with_far_too_little_is_given_pages_of_others() {
    let store = store(16 << 20, 4, |options| options.workers = 1);
    fill(&store, 200_000, 100, START);
    let mut gone = Vec::new();
    while store.partitions[0].lock().slab.page_count() > 1 {
        match store.partitions[0].lock().release_page(START) {
            Release::Page(page) => gone.push(page),
            _ => break,
        }
    }
    // Others take what it had.
    gone.into_iter().for_each(|page| store.shared.budget.give_back(page));
    for partition in &store.partitions[1..] {
        let mut partition = partition.lock();
        while let Some(page) = store.shared.budget.take() {
            assert!(partition.add_page(slab::ClassId(20), page));
            if partition.slab.page_count() * 3 > store.shared.budget.limit() {
                break;
            }
        }
    }
    fill(&store, 200_000, 100, START);
    check(&store);
    let items = items_by_partition(&store);
    assert!(items[0] * 3 > items[1], "{items:?}");
}

#[test]
fn a_limit_that_index_and_ghosts_use_up_still_lets_values_in() {
    for mb in [8, 12, 16] {
        let store = store(4 << 30, 64, |options| options.workers = 4);
        assert!(store.set_memory_limit(mb << 20));
        (0..4).for_each(|worker| while store.upkeep(worker, START) {});
        for n in 0..200 {
            let (key, len) = (format!("k{n}"), [100, 1000, 20_000][n as usize % 3]);
            assert_eq!(set(&store, key.as_bytes(), &pattern(n, len)), StoreOutcome::Stored, "{mb} MB, {len}");
        }
        check(&store);
    }
}

#[test]
fn ghosts_take_no_more_than_their_part_of_a_smaller_limit() {
    let store = store(1 << 30, 16, |options| options.workers = 1);
    store.set_memory_limit(16 << 20);
    while store.upkeep(0, START) {}
    fill(&store, 50_000, 20, START);
    while store.upkeep(0, START) {}
    check(&store);
    let items = store.stats(START).items;
    assert!(items > 40_000, "{items} of 50000 items are left");
}

#[test]
fn the_first_eviction_among_large_items_takes_few() {
    for reads in [0, 1] {
        let store = store(32 << 20, 1, |options| options.page_bytes = Some(16 << 10));
        let mut count = 0;
        while store.shared.budget.used() + 20 <= store.shared.budget.limit() {
            set(&store, format!("large{count}").as_bytes(), &pattern(count, 30_000));
            count += 1;
        }
        for n in 0..reads * count {
            assert!(value_of(&store, format!("large{n}").as_bytes()).is_some());
        }
        let evicted = || store.stats(START).sum(|class| class.evicted);
        while evicted() == 0 {
            set(&store, format!("large{count}").as_bytes(), &pattern(count, 30_000));
            count += 1;
        }
        assert!(evicted() <= 4, "{} items went for one, read {reads} times", evicted());
        check(&store);
    }
}

#[test]
fn large_items_stay_where_small_ones_beside_their_heads_can_go() {
    large_items_stay(false);
    large_items_stay(true);
}

fn large_items_stay(small_ones_are_read: bool) {
    let store = store(32 << 20, 1, |options| options.page_bytes = Some(16 << 10));
    // In chunks of one class lie whole small items and the ends of large values.
    let key = |kind: &str, n: u32| format!("{kind}{n:06}").into_bytes();
    for n in 0..200 {
        set(&store, &key("large", n), &pattern(n, (16 << 10) + 300));
        for k in 0..20 {
            set(&store, &key("small", 20 * n + k), &pattern(n, 304));
            if small_ones_are_read {
                assert!(value_of(&store, &key("small", 20 * n + k)).is_some());
            }
        }
    }
    let stats = store.stats(START);
    let classes = stats.classes.iter().filter(|class| class.pages > 0).count();
    assert_eq!((classes, stats.items), (1, 200 * 21));
    let class = stats.classes.iter().position(|class| class.pages > 0).unwrap();
    for _ in 0..20 {
        store.reassign(PageOwner::Class(class), PageOwner::Pool, START).unwrap();
    }
    check(&store);
    assert!(store.stats(START).sum(|class| class.evicted) > 500);
    assert!((0..200).all(|n| value_of(&store, &key("large", n)).is_some()));
}

#[test]
fn large_items_that_are_being_read_are_passed_over() {
    let store = store(32 << 20, 1, |options| options.item_bytes_max = 2 << 20);
    let key = |n: u32| format!("large{n}").into_bytes();
    let mut count = 0;
    while store.stats(START).sum(|class| class.evicted) == 0 {
        assert_eq!(set(&store, &key(count), &pattern(count, 1_000_000)), StoreOutcome::Stored);
        count += 1;
    }
    let hold = |n| store.get(&store.key(&key(n)), START, |item| item.large.cloned()).flatten();
    let mut held: Vec<_> = (0..count).filter_map(hold).collect();
    let items = store.stats(START).items;
    assert_eq!(held.len() as u64, items);
    // Nothing gives memory: whoever comes is refused, and nothing goes for it.
    assert_eq!(set(&store, b"new", &pattern(0, 1_000_000)), StoreOutcome::OutOfMemory);
    assert_eq!(store.stats(START).items, items);
    // Readers that are done make room again.
    held.truncate(held.len() - 3);
    assert_eq!(set(&store, b"new", &pattern(0, 1_000_000)), StoreOutcome::Stored);
    assert!(store.stats(START).items >= items - 2, "{} of {items}", store.stats(START).items);
    check_with(&store, 0);
}

#[test]
fn large_items_that_are_read_outlast_those_that_are_not() {
    let store = store(32 << 20, 1, |options| options.page_bytes = Some(16 << 10));
    let len = 30_000;
    let hot = 600;
    for n in 0..hot {
        set(&store, format!("hot{n}").as_bytes(), &pattern(n, len));
    }
    let (mut misses, mut noise) = (0, 0);
    for round in 0..40 {
        let now = Seconds(10 + round);
        for n in 0..hot {
            let key = format!("hot{n}");
            if get(&store, key.as_bytes(), now).is_none() {
                misses += 1;
                put(&store, StoreMode::Set, key.as_bytes(), &pattern(n, len), now);
            }
        }
        for _ in 0..100 {
            let key = format!("once{noise}");
            put(&store, StoreMode::Set, key.as_bytes(), &pattern(1, len), now);
            // Read once, so that it gets beyond HOT as well.
            get(&store, key.as_bytes(), now);
            noise += 1;
        }
    }
    assert!(misses < hot / 2, "{misses} misses in {} reads", hot * 40);
    check(&store);
}

#[test]
fn a_counter_that_is_only_counted_with_is_kept() {
    // By memcached's rules it is not: there only reading makes an item active.
    for mode in [LruMode::Segmented, LruMode::Flat] {
        let store = store(4 << 20, 1, |options| options.tuning.lru_mode = mode);
        // Of the same slab class as what is written beside it.
        set(&store, b"counter", b"1000");
        let mut noise = 0;
        for second in 0..600 {
            let now = Seconds(10 + second);
            let counted = store.arithmetic(&store.key(b"counter"), Direction::Incr, 1, now);
            assert_eq!(counted, Arithmetic::Value(1001 + u64::from(second)), "{mode:?}");
            for _ in 0..500 {
                // Read once in segmented mode, so that it does not go before anything that was counted with.
                let key = format!("once{noise}");
                put(&store, StoreMode::Set, key.as_bytes(), b"same", now);
                if mode == LruMode::Segmented {
                    get(&store, key.as_bytes(), now);
                }
                noise += 1;
            }
        }
        assert!(store.stats(START).sum(|class| class.evicted) > 100_000);
    }
}

#[test]
fn an_add_that_finds_a_hot_item_does_not_cool_it() {
    let store = store(4 << 20, 1, |_| {});
    set(&store, b"k", b"v");
    (0..3).for_each(|_| drop(value_of(&store, b"k")));
    put(&store, StoreMode::Add, b"k", b"w", START);
    let partition = store.partitions[0].lock();
    let id = partition.find(&store.key(b"k")).unwrap();
    assert_eq!(partition.slab.item(id).heat(), item::HEAT_MAX);
}

#[test]
fn a_worker_whose_clock_is_behind_sees_no_age_of_half_a_year() {
    let store = store(4 << 20, 1, |_| {});
    put(&store, StoreMode::Set, b"k", b"v", Seconds(11));
    let ages = store.stats(Seconds(10)).classes.into_iter().flat_map(|class| class.ages);
    assert_eq!(ages.max(), Some(0));
}
