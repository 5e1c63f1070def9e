//! Append and prepend to large values: copied while nobody waits, and never lost.

use super::*;
use crate::store::joining::Join;

fn join(store: &Arc<Store>, provision: &mut Provision, addition: &[u8]) -> Result<StoreOutcome, Shortage> {
    let (key, mode) = (store.key(b"large"), StoreMode::Append);
    let request = JoinRequest { key, mode, client_flags: 0, addition: Addition::Bytes(addition) };
    store.partition(key.hash).lock().join(&request, START, provision)
}

/// What [`Store::try_join`] does between two attempts.
fn prepare(store: &Store, provision: &mut Provision, shortage: Shortage, addition: &[u8]) {
    assert!(store.provide(provision, shortage.pages, START));
    provision.carry_out(StoreMode::Append, Addition::Bytes(addition), &store.shared.budget);
    assert!(matches!(provision.join, Join::Done(_)));
}

#[test]
fn a_large_value_is_copied_between_two_attempts() {
    let store = store(16 << 20, 1, |_| {});
    let large = pattern(1, 300_000);
    set(&store, b"large", &large);
    let mut provision = Provision::default();
    let shortage = join(&store, &mut provision, b"END").unwrap_err();
    assert!(matches!(provision.join, Join::Planned(_)));
    prepare(&store, &mut provision, shortage, b"END");
    assert!(value_of(&store, b"large").as_ref() == Some(&large), "nothing changes before the second attempt");
    assert_eq!(join(&store, &mut provision, b"END"), Ok(StoreOutcome::Stored));
    store.take_back(provision);
    assert!(value_of(&store, b"large") == Some([&large[..], b"END"].concat()));
    check(&store);
}

#[test]
fn a_value_that_changed_meanwhile_is_joined_anew_and_in_the_end_under_the_lock() {
    let store = store(16 << 20, 1, |_| {});
    set(&store, b"large", &pattern(0, 300_000));
    let mut provision = Provision::default();
    for n in 1..=3 {
        let shortage = join(&store, &mut provision, b"END").unwrap_err();
        prepare(&store, &mut provision, shortage, b"END");
        // Of the same length, or just small enough for a chunk.
        set(&store, b"large", &pattern(n, if n == 2 { 16_354 } else { 300_000 }));
    }
    let outcome = match join(&store, &mut provision, b"END") {
        Ok(outcome) => outcome,
        Err(shortage) => {
            assert!(store.provide(&mut provision, shortage.pages, START));
            join(&store, &mut provision, b"END").unwrap()
        }
    };
    assert_eq!(outcome, StoreOutcome::Stored);
    store.take_back(provision);
    assert!(value_of(&store, b"large") == Some([&pattern(3, 300_000)[..], b"END"].concat()));
    check(&store);
}

#[test]
fn with_other_flags_the_same_value_is_another() {
    let store = store(16 << 20, 1, |_| {});
    let short = pattern(1, 1000);
    set(&store, b"large", &short);
    let addition = pattern(2, 100_000);
    let mut provision = Provision::default();
    let shortage = join(&store, &mut provision, &addition).unwrap_err();
    prepare(&store, &mut provision, shortage, &addition);
    let key = store.key(b"large");
    let deadline = Deadline::NEVER;
    let request = StoreRequest { key, mode: StoreMode::Set, client_flags: 7, deadline, value: &short };
    assert_eq!(store.store(&request, START), StoreOutcome::Stored);
    assert!(join(&store, &mut provision, &addition).is_err(), "planned anew");
    store.take_back(provision);
    check(&store);
}

#[test]
fn a_join_makes_room_without_taking_its_own_value() {
    for mode in [LruMode::Segmented, LruMode::Flat] {
        let change = |options: &mut StoreOptions| {
            options.tuning.lru_mode = mode;
            options.item_bytes_max = 16 << 20;
        };
        let store = store(64 << 20, 4, change);
        let key = |n: u32| format!("large{n}").into_bytes();
        for n in 0..4 {
            assert_eq!(set(&store, &key(n), &vec![n as u8; 15_000_000]), StoreOutcome::Stored);
        }
        assert_eq!(put(&store, StoreMode::Append, &key(0), b"END", START), StoreOutcome::Stored);
        assert_eq!(store.stats(START).items, 3);
        assert!(value_of(&store, &key(0)).is_some_and(|value| value.len() == 15_000_003));
        check(&store);
    }
}

#[test]
fn a_join_that_can_only_fail_takes_nothing_from_others() {
    let store = store(64 << 20, 4, |options| options.item_bytes_max = 32 << 20);
    assert_eq!(set(&store, b"large", &vec![1; (32 << 20) - 5000]), StoreOutcome::Stored);
    for n in 0..100_000 {
        set(&store, format!("small{n}").as_bytes(), &pattern(n, 100));
    }
    let before = store.stats(START);
    assert!(before.items > 100_000);
    assert_eq!(put(&store, StoreMode::Append, b"large", b"END", START), StoreOutcome::NotStored);
    let after = store.stats(START);
    assert_eq!((after.items, after.figures.store_no_memory), (before.items, 1));
    check(&store);
}

#[test]
fn an_addition_that_arrives_in_pieces_is_joined_or_stored() {
    let store = store(64 << 20, 4, |options| options.item_bytes_max = 16 << 20);
    let terms = Terms { create: Some(Deadline(100)), ..Terms::default() };
    let value = pattern(1, 1_000_003);
    let arrive = |mode| {
        let mut arriving =
            store.reserve(store.key(b"k"), mode, 7, Deadline::NEVER, value.len(), START).unwrap();
        value.chunks(9999).for_each(|piece| arriving.write(piece, START).unwrap());
        arriving
    };
    assert_eq!(arrive(StoreMode::Append).commit(START), StoreOutcome::NotStored);
    let created = arrive(StoreMode::Append).commit_on_terms(&terms, START);
    assert_eq!((created.outcome, created.value_bytes), (StoreOutcome::Stored, value.len()));
    let joined = arrive(StoreMode::Prepend).commit_on_terms(&terms, START);
    assert_eq!((joined.outcome, joined.value_bytes), (StoreOutcome::Stored, 2 * value.len()));
    assert!(value_of(&store, b"k").unwrap() == [&value[..], &value[..]].concat());
    assert!(get(&store, b"k", Seconds(101)).is_none(), "created with the deadline of the terms");
    check(&store);
}

#[test]
fn threads_that_append_to_one_large_value_lose_nothing() {
    const EACH: u32 = 200;
    let store = store(64 << 20, 1, |_| {});
    let large = pattern(0, 100_000);
    set(&store, b"large", &large);
    thread::scope(|scope| {
        for name in [b'a', b'b', b'c'] {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..EACH {
                    let outcome = put(store, StoreMode::Append, b"large", &[name], START);
                    assert_eq!(outcome, StoreOutcome::Stored);
                }
            });
        }
    });
    let value = value_of(&store, b"large").unwrap();
    let (before, added) = value.split_at(large.len());
    assert!(before == large);
    for name in [b'a', b'b', b'c'] {
        assert_eq!(added.iter().filter(|&&byte| byte == name).count(), EACH as usize);
    }
    assert_eq!(added.len(), 3 * EACH as usize);
    check(&store);
}
