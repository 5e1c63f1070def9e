//! The rules of the LRU and of page moves, on stores made for them.

use super::*;

fn put_until(store: &Arc<Store>, key: &str, value: &[u8], deadline: Deadline, now: Seconds) {
    let key = store.key(key.as_bytes());
    let request = StoreRequest { key, mode: StoreMode::Set, client_flags: 0, deadline, value };
    assert_eq!(store.store(&request, now), StoreOutcome::Stored);
}

/// Items of the class of `key` by segment: HOT, WARM, COLD, TEMP.
fn segments(store: &Store, now: Seconds) -> [u64; 4] {
    let mut sum = [0; 4];
    for class in store.stats(now).classes {
        class.segment_items.iter().zip(&mut sum).for_each(|(items, sum)| *sum += items);
    }
    sum
}

#[test]
fn unread_items_drift_to_an_empty_cold_by_memcacheds_rules() {
    let classic = |options: &mut StoreOptions| options.tuning.lru_policy = LruPolicy::Classic;
    let store = store(16 << 20, 2, classic);
    for n in 0..5000 {
        set(&store, format!("k{n}").as_bytes(), b"v");
    }
    for _ in 0..2 {
        (0..10).for_each(|n| drop(value_of(&store, format!("k{}", 4990 + n).as_bytes())));
    }
    settle(&store, START.after(1));
    check(&store);
    // What is active goes to WARM without its mark and from there, unread in the next second, to COLD.
    let [hot, warm, cold, temp] = segments(&store, START);
    assert_eq!((hot, temp, warm + cold), (0, 0, 5000));
    let stats = store.stats(START);
    assert_eq!(stats.sum(|class| class.moves_to_warm), 10);
    for _ in 0..2 {
        assert!(get(&store, b"k0", START.after(1)).is_some());
    }
    assert_eq!(store.stats(START).sum(|class| class.moves_to_warm), 11, "active in COLD: to WARM at once");
}

#[test]
fn a_flat_list_evicts_by_age_and_spares_what_was_hit_a_minute_later() {
    let store = store(1 << 20, 1, |options| options.tuning.lru_mode = LruMode::Flat);
    let later = START.after(61);
    for n in 0..500 {
        set(&store, format!("old{n}").as_bytes(), &[b'v'; 300]);
    }
    for n in 0..10 {
        assert!(get(&store, format!("old{n}").as_bytes(), later).is_some());
    }
    let mut n = 0;
    while store.stats(later).sum(|class| class.evicted) < 490 {
        put(&store, StoreMode::Set, format!("new{n}").as_bytes(), &[b'v'; 300], later);
        n += 1;
    }
    check(&store);
    let left: Vec<u32> =
        (0..500).filter(|n| get(&store, format!("old{n}").as_bytes(), later).is_some()).collect();
    assert_eq!(left, (0..10).collect::<Vec<u32>>());
    assert_eq!(segments(&store, later)[..2], [0, 0]);
}

#[test]
fn temporary_items_have_their_own_segment_and_are_evicted_last() {
    for policy in [LruPolicy::Probation, LruPolicy::Classic] {
        let store = store(1 << 20, 1, |options| {
            options.tuning =
                Tuning { lru_policy: policy, temp_lru: true, temporary_ttl: 5, ..options.tuning };
        });
        let (soon, late) = (Deadline::at(START.after(5)), Deadline::at(START.after(6)));
        for n in 0..50 {
            put_until(&store, &format!("short{n}"), &[b'v'; 300], soon, START);
        }
        put_until(&store, "long", &[b'v'; 300], late, START);
        // Shares are of what is not in TEMP: a single item is more than HOT may have.
        assert_eq!(segments(&store, START), [0, 0, 1, 50]);
        // Overwriting and touching move an item where its new deadline belongs.
        put_until(&store, "short0", &[b'v'; 300], late, START);
        put_until(&store, "long", &[b'v'; 300], soon, START);
        store.touch(&store.key(b"short1"), late, START, |_| ()).unwrap();
        assert_eq!(segments(&store, START), [2, 0, 0, 49]);
        for _ in 0..3 {
            assert!(value_of(&store, b"short2").is_some());
        }
        for n in 0..20_000 {
            set(&store, format!("k{n}").as_bytes(), &[b'v'; 300]);
        }
        check(&store);
        assert_eq!(segments(&store, START)[3], 49);
        assert_eq!(store.stats(START).sum(|class| class.hits_to_temp), 3);
        settle(&store, START.after(30));
        assert_eq!(segments(&store, START.after(30))[3], 0);
        for n in 0..20_000 {
            put_until(&store, &format!("short{n}"), &[b'v'; 300], soon, START);
        }
        check(&store);
    }
}

/// The class with most pages.
fn fullest_class(store: &Store) -> usize {
    let classes = store.stats(START).classes;
    (0..classes.len()).max_by_key(|&class| classes[class].pages).unwrap()
}

#[test]
fn a_page_that_goes_leaves_its_items_where_chunks_are_free() {
    let store = store(8 << 20, 2, |_| {});
    let value = |n: u32| pattern(n, 400);
    for n in 0..2000 {
        set(&store, format!("k{n}").as_bytes(), &value(n));
    }
    // Every third chunk is free, in every page.
    (0..2000).step_by(3).for_each(|n| assert!(store.delete(&store.key(format!("k{n}").as_bytes()), START)));
    let left: Vec<u32> = (0..2000).filter(|n| n % 3 != 0).collect();
    let uniques: Vec<u64> =
        left.iter().map(|n| get(&store, format!("k{n}").as_bytes(), START).unwrap().1).collect();
    let from = fullest_class(&store);
    for to in [PageOwner::Pool, PageOwner::Class(3), PageOwner::Class(from + 1)] {
        assert_eq!(store.reassign(PageOwner::Class(from), to, START), Ok(()));
        check(&store);
    }
    let stats = store.stats(START);
    assert_eq!((stats.figures.slabs_moved, stats.classes[3].pages), (3, 1));
    assert!(stats.figures.slab_rescues > 0);
    assert_eq!(stats.sum(|class| class.evicted), 0);
    for (n, unique) in left.iter().zip(uniques) {
        assert_eq!(get(&store, format!("k{n}").as_bytes(), START), Some((value(*n), unique)));
    }
}

#[test]
fn a_page_that_goes_evicts_what_finds_no_chunk() {
    let store = store(8 << 20, 1, |_| {});
    for n in 0..2000 {
        set(&store, format!("k{n}").as_bytes(), &pattern(n, 400));
    }
    let from = fullest_class(&store);
    while store.reassign(PageOwner::Class(from), PageOwner::Pool, START).is_ok() {
        check(&store);
    }
    let stats = store.stats(START);
    assert_eq!(stats.classes[from].pages, 1);
    assert_eq!(stats.sum(|class| class.evicted) + stats.items, 2000);
    assert_eq!(store.reassign(PageOwner::Class(from), PageOwner::Pool, START), Err(ReassignError::NoSpare));
}

#[test]
fn what_went_with_its_page_is_remembered_like_any_victim() {
    let store = store(8 << 20, 1, |_| {});
    for n in 0..2000 {
        set(&store, format!("k{n}").as_bytes(), &pattern(n, 400));
    }
    let class = fullest_class(&store);
    store.reassign(PageOwner::Class(class), PageOwner::Pool, START).unwrap();
    let in_warm = || segments(&store, START)[1];
    assert_eq!(in_warm(), 0);
    let is_gone = |n: &u32| value_of(&store, format!("k{n}").as_bytes()).is_none();
    let gone: Vec<u32> = (0..2000).filter(is_gone).take(10).collect();
    assert_eq!(gone.len(), 10);
    for n in gone {
        set(&store, format!("k{n}").as_bytes(), &pattern(n, 400));
    }
    // Not each: one ghost may have taken the place of another.
    assert!(in_warm() >= 8, "{} of 10", in_warm());
}

#[test]
fn without_eviction_a_page_goes_only_if_its_items_find_chunks() {
    let store = store(8 << 20, 1, |options| options.evict = false);
    for n in 0..2000 {
        set(&store, format!("k{n}").as_bytes(), &pattern(n, 400));
    }
    let from = fullest_class(&store);
    let reassign = || store.reassign(PageOwner::Class(from), PageOwner::Pool, START);
    assert_eq!(reassign(), Err(ReassignError::NoSpare));
    (0..2000).step_by(2).for_each(|n| assert!(store.delete(&store.key(format!("k{n}").as_bytes()), START)));
    let moved = std::iter::repeat_with(reassign).take_while(Result::is_ok).count();
    assert!(moved > 10, "{moved} pages");
    check(&store);
    assert_eq!(store.stats(START).items, 1000);
    assert!((1..2000).step_by(2).all(|n| value_of(&store, format!("k{n}").as_bytes()).is_some()));
}

#[test]
fn without_eviction_deadlines_given_later_keep_to_the_limit() {
    let store = store(8 << 20, 2, |options| options.evict = false);
    let key = |n: u32| format!("k{n}").into_bytes();
    let stored = (0..).take_while(|&n| set(&store, &key(n), b"") == StoreOutcome::Stored).count() as u32;
    let is_kept = || store.shared.budget.used() <= store.shared.budget.limit();
    assert!(stored > 50_000 && is_kept(), "{stored} items");
    for n in 0..stored {
        assert!(store.touch(&store.key(&key(n)), Deadline(1000 + n), START, |_| ()).is_some());
    }
    assert!(is_kept(), "{} of {} pages", store.shared.budget.used(), store.shared.budget.limit());
    check(&store);
}

#[test]
fn without_eviction_the_index_keeps_to_the_limit_and_loses_nothing() {
    for kb in (4096..12_000).step_by(700) {
        let store = store(kb << 10, 2, |options| {
            options.evict = false;
            options.page_bytes = Some(16 << 10);
        });
        let key = |n: u32| format!("{n:x}").into_bytes();
        let (mut stored, mut refused) = (Vec::new(), 0);
        for n in 0.. {
            match set(&store, &key(n), b"") {
                StoreOutcome::Stored => stored.push(n),
                _ => refused += 1,
            }
            assert!(store.shared.budget.used() <= store.shared.budget.limit());
            if refused == 200 {
                break;
            }
        }
        settle(&store, START);
        check(&store);
        assert!(store.shared.budget.used() <= store.shared.budget.limit());
        // Chunks that are free are taken by other items, as far as the index has places.
        for n in stored.iter().take(1000) {
            assert!(store.delete(&store.key(&key(*n)), START));
        }
        let again =
            (0..1000).filter(|n| set(&store, format!("x{n:x}").as_bytes(), b"") == StoreOutcome::Stored);
        assert!(again.count() > 500, "{kb} KB");
        assert!(stored.iter().skip(1000).all(|n| value_of(&store, &key(*n)).is_some()));
        assert_eq!(store.stats(START).figures.index_drops, 0);
        check(&store);
    }
}

#[test]
fn a_partition_whose_ids_are_used_up_evicts() {
    let store = store(8 << 20, 1, |_| {});
    store.partitions[0].lock().slab.set_pages_max(20);
    for n in 0..20_000 {
        let len = [30, 300, 3000][n as usize % 3];
        assert_eq!(set(&store, format!("k{n}").as_bytes(), &pattern(n, len)), StoreOutcome::Stored);
        assert_eq!(value_of(&store, format!("k{n}").as_bytes()), Some(pattern(n, len)));
    }
    check(&store);
    assert_eq!(store.partitions[0].lock().slab.page_count(), 20);
    assert!(store.stats(START).sum(|class| class.evicted) > 10_000);
}

#[test]
fn the_head_of_a_large_value_moves_with_its_blocks() {
    let store = store(16 << 20, 1, |options| options.page_bytes = Some(16 << 10));
    let large = |n: u32| pattern(n, 2 * store.shared.budget.page_bytes() + 500);
    for n in 0..150 {
        set(&store, format!("large{n}").as_bytes(), &large(n));
    }
    (0..150)
        .step_by(2)
        .for_each(|n| assert!(store.delete(&store.key(format!("large{n}").as_bytes()), START)));
    let from = fullest_class(&store);
    let pages = store.stats(START).classes[from].pages;
    assert!(pages >= 2, "{pages} pages of heads");
    for _ in 0..pages / 2 {
        assert_eq!(store.reassign(PageOwner::Class(from), PageOwner::Pool, START), Ok(()));
        check(&store);
    }
    assert!(store.stats(START).figures.slab_rescues > 0);
    for n in (1..150).step_by(2) {
        assert_eq!(value_of(&store, format!("large{n}").as_bytes()), Some(large(n)), "large{n}");
    }
}

#[test]
fn pages_are_reassigned_only_between_classes_that_have_any() {
    let store = store(8 << 20, 2, |_| {});
    set(&store, b"k", b"v");
    let large = store.stats(START).classes.len() - 1;
    use PageOwner::{AnyClass, Class, Pool};
    for (from, to, expected) in [
        (Class(0), Class(large), ReassignError::BadClass),
        (Class(large), Class(0), ReassignError::BadClass),
        (Class(0), Class(1000), ReassignError::BadClass),
        (Class(0), AnyClass, ReassignError::BadClass),
        (AnyClass, Class(1), ReassignError::BadClass),
        (Class(0), Class(1), ReassignError::NoSpare),
        (Pool, Class(0), ReassignError::NoSpare),
    ] {
        assert_eq!(store.reassign(from, to, START), Err(expected), "{from:?} to {to:?}");
    }
    (0..3000).for_each(|n| {
        assert_eq!(set(&store, format!("k{n}").as_bytes(), &[b'v'; 200]), StoreOutcome::Stored)
    });
    let most = fullest_class(&store);
    let pages = store.stats(START).classes[most].pages;
    assert_eq!(store.reassign(AnyClass, Pool, START), Ok(()));
    assert_eq!(store.reassign(AnyClass, Pool, START), Ok(()));
    assert_eq!(store.stats(START).classes[most].pages, pages - 2);
    assert_eq!(store.reassign(Pool, Class(large - 1), START), Ok(()));
    assert_eq!(store.stats(START).classes[large - 1].pages, 1);
    check(&store);
}

#[test]
fn eager_automove_feeds_the_class_that_evicts() {
    let pages_of_others = |automove| {
        let store = store(4 << 20, 1, |options| options.tuning.automove = automove);
        (0..20_000).for_each(|n| {
            assert_eq!(set(&store, format!("a{n}").as_bytes(), &[b'v'; 300]), StoreOutcome::Stored)
        });
        let first = fullest_class(&store);
        (0..20_000).for_each(|n| {
            assert_eq!(set(&store, format!("b{n}").as_bytes(), &[b'v'; 900]), StoreOutcome::Stored)
        });
        check(&store);
        (store.stats(START).classes[first].pages, fullest_class(&store) != first)
    };
    let (kept, _) = pages_of_others(Automove::Off);
    let (left, has_changed) = pages_of_others(Automove::Eager);
    assert!(has_changed && left < kept / 4, "{left} of {kept} pages are left");
}
