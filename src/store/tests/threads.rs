//! Several threads at the same keys, while workers tend the store and an operator changes it.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use super::*;

const KEYS: u32 = 300;
const ROUNDS: u32 = 12_000;
const WRITERS: u32 = 3;

/// A value that tells whether it is whole: who stored it, when, and bytes that follow from both.
fn signed(writer: u32, round: u32) -> Vec<u8> {
    // Mostly small, some larger than a page.
    let len = if round.is_multiple_of(40) { 5000 + round % 20_000 } else { round * 7 % 700 };
    let mut value = [writer.to_le_bytes(), round.to_le_bytes()].concat();
    value.extend(pattern(writer ^ round, len as usize));
    value
}

fn assert_signed(value: &[u8]) {
    let number = |at: usize| u32::from_le_bytes(value[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(value, signed(number(0), number(4)));
}

/// What one thread has seen of each key: the greatest CAS unique, and what was under it.
#[derive(Default)]
struct Seen(HashMap<u32, (u64, Vec<u8>)>);

impl Seen {
    /// A newer value has a greater unique, and the same unique means the same value.
    fn check(&mut self, key: u32, value: Vec<u8>, cas: u64) {
        assert_signed(&value);
        if let Some((last, old)) = self.0.get(&key) {
            assert!(cas >= *last, "key {key}: CAS unique {cas} after {last}");
            assert!(cas > *last || value == *old, "key {key}: two values under CAS unique {cas}");
        }
        self.0.insert(key, (cas, value));
    }
}

fn hammer(store: &Arc<Store>, writer: u32) {
    let mut seen = Seen::default();
    let mut dice = writer.wrapping_mul(2_654_435_761) | 1;
    for round in 0..ROUNDS {
        dice ^= dice << 13;
        dice ^= dice >> 17;
        dice ^= dice << 5;
        let number = dice % KEYS;
        let key = format!("shared {number}");
        match dice >> 16 & 7 {
            0 => {
                put(store, StoreMode::Set, key.as_bytes(), &signed(writer, round), START);
            }
            1 => {
                put(store, StoreMode::Add, key.as_bytes(), &signed(writer, round), START);
            }
            2 => {
                store.delete(&store.key(key.as_bytes()), START);
            }
            3 => {
                let value = signed(writer, round);
                let reserved = store.reserve(
                    store.key(key.as_bytes()),
                    StoreMode::Set,
                    0,
                    Deadline::NEVER,
                    value.len(),
                    START,
                );
                let mut reservation = reserved.expect("there is room");
                let (first, second) = value.split_at(value.len() / 2);
                reservation.write(first, START).expect("there is room");
                // Others come in between.
                thread::yield_now();
                reservation.write(second, START).expect("there is room");
                reservation.commit(START);
            }
            4 => {
                if let Some((value, cas)) = get(store, key.as_bytes(), START) {
                    seen.check(number, value, cas);
                    let mine = signed(writer, round);
                    put(store, StoreMode::Cas(cas), key.as_bytes(), &mine, START);
                }
            }
            _ => {
                if let Some((value, cas)) = get(store, key.as_bytes(), START) {
                    seen.check(number, value, cas);
                }
            }
        }
    }
}

#[test]
fn threads_at_the_same_keys_see_whole_values_in_order() {
    let store = store(2 << 20, 2, |options| options.page_bytes = Some(4096));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn({
                    let store = &store;
                    move || hammer(store, writer)
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                for worker in 0..2 {
                    store.upkeep(worker, START);
                }
                thread::yield_now();
            }
        });
        scope.spawn(|| {
            for turn in (0..).take_while(|_| !is_over.load(Relaxed)) {
                store.set_memory_limit(if turn % 2 == 0 { 1 << 20 } else { 2 << 20 });
                let class = PageOwner::Class(turn % 20);
                let _ = store.reassign(PageOwner::AnyClass, class, START);
                let mode = if turn % 8 < 4 { LruMode::Segmented } else { LruMode::Flat };
                store.tune(|tuning| tuning.lru_mode = mode);
                thread::yield_now();
            }
        });
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        is_over.store(true, Relaxed);
        ended.into_iter().for_each(|ended| ended.expect("a writer found something wrong"));
    });
    settle(&store, START);
    check(&store);
}
