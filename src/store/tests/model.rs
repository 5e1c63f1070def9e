//! The store against a plain model, with its books checked after every step.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Small, so that values often span pages.
const PAGE_BYTES: usize = 4096;

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
    Upkeep,
    Tune(Change),
    Reassign(u8, u8),
    Limit(u8),
}

/// What an operator may change while clients go on.
#[derive(Clone, Copy, Debug)]
enum Change {
    Mode(LruMode),
    Policy(LruPolicy),
    Temp(Option<u8>),
    Shares(u8, u8),
    Automove(Automove),
}

impl Change {
    fn apply(self, tuning: &mut Tuning) {
        match self {
            Change::Mode(mode) => tuning.lru_mode = mode,
            Change::Policy(policy) => tuning.lru_policy = policy,
            Change::Temp(ttl) => {
                tuning.temp_lru = ttl.is_some();
                tuning.temporary_ttl = ttl.unwrap_or(0).into();
            }
            Change::Shares(hot, warm) => {
                tuning.segment_shares = SegmentShares { hot_percent: hot.into(), warm_percent: warm.into() };
                tuning.hot_max_factor = f64::from(hot) / 20.0;
            }
            Change::Automove(level) => tuning.automove = level,
        }
    }
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        prop_oneof![Just(LruMode::Flat), Just(LruMode::Segmented)].prop_map(Change::Mode),
        prop_oneof![Just(LruPolicy::Classic), Just(LruPolicy::Probation)].prop_map(Change::Policy),
        prop::option::of(0u8..4).prop_map(Change::Temp),
        (0u8..40, 0u8..40).prop_map(|(hot, warm)| Change::Shares(hot, warm)),
        prop_oneof![Just(Automove::Off), Just(Automove::Gentle), Just(Automove::Eager)]
            .prop_map(Change::Automove),
    ]
}

/// [`steps`] with what an operator does in between.
fn steps_with_changes() -> impl Strategy<Value = Vec<Step>> {
    // A class number that is now and then the pool, any class or none at all.
    let class = || prop_oneof![1 => 0u8..3, 6 => 3u8..12, 1 => any::<u8>()];
    let own = prop_oneof![
        2 => Just(Step::Upkeep),
        2 => changes().prop_map(Step::Tune),
        2 => (class(), class()).prop_map(|(from, to)| Step::Reassign(from, to)),
        1 => (5u8..10).prop_map(Step::Limit),
    ];
    let own = prop::collection::vec((any::<prop::sample::Index>(), own), 0..60);
    (steps(), own).prop_map(|(mut steps, own)| {
        own.into_iter().for_each(|(at, step)| steps.insert(at.index(steps.len() + 1), step));
        steps
    })
}

fn owner_of(class: u8) -> PageOwner {
    match class {
        0 => PageOwner::Pool,
        1 => PageOwner::AnyClass,
        class => PageOwner::Class(usize::from(class) - 2),
    }
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
fn run(steps: Vec<Step>, memory: usize, partitions: usize, keys: u8, evicts: bool, tuning: Tuning) {
    let store = store(memory, partitions, |options| {
        options.page_bytes = Some(PAGE_BYTES);
        options.tuning = tuning;
    });
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
            Step::Upkeep => settle(&store, now),
            Step::Tune(change) => store.tune(|tuning| change.apply(tuning)),
            Step::Reassign(from, to) => {
                let _ = store.reassign(owner_of(from), owner_of(to), now);
            }
            Step::Limit(tenths) => {
                store.set_memory_limit(memory / 10 * usize::from(tenths));
                settle(&store, now);
            }
        }
        check(&store);
        assert!(store.shared.budget.used() <= store.shared.budget.limit() + partitions);
    }
    for mode in [LruMode::Flat, LruMode::Segmented] {
        store.tune(|tuning| tuning.lru_mode = mode);
        settle(&store, now);
        check(&store);
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
    let Some(number) = number_in(store, key, known.flags, &known.value) else {
        assert_eq!(result, Arithmetic::NonNumeric);
        return;
    };
    let number = if incr { number.wrapping_add(delta) } else { number.saturating_sub(delta) };
    assert_eq!(result, Arithmetic::Value(number));
    known.value = format!("{number:<width$}", width = known.value.len()).into_bytes();
}

#[test]
fn a_number_that_grew_large_is_none() {
    let steps = vec![
        Step::PutNumber(0, 10),
        Step::Count { key: 0, incr: false, delta: 10 },
        Step::Put { mode: 4, key: 0, len: 100, flags: 0, ttl: 0 },
        Step::Count { key: 0, incr: true, delta: 0 },
        Step::Put { mode: 4, key: 0, len: PAGE_BYTES, flags: 0, ttl: 0 },
        Step::Count { key: 0, incr: true, delta: 0 },
    ];
    run(steps, 64 << 20, 2, 12, false, Tuning::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn with_room_it_is_a_map_with_memcacheds_rules(steps in steps()) {
        run(steps, 64 << 20, 2, 12, false, Tuning::default());
    }

    #[test]
    fn with_room_no_rules_lose_anything(steps in steps(), flat in any::<bool>(), ttl in 0u32..4) {
        run(steps, 64 << 20, 2, 12, false, tuned(flat, ttl));
    }

    #[test]
    fn under_pressure_no_rules_lose_anything_but_items(
        steps in steps_with_changes(), flat in any::<bool>(), ttl in 0u32..4
    ) {
        run(steps, 1 << 20, 2, 200, true, tuned(flat, ttl));
    }

    #[test]
    fn under_pressure_it_loses_items_and_nothing_else(steps in steps()) {
        run(steps, 1 << 20, 2, 200, true, Tuning::default());
    }
}

/// Rules that are not the default.
fn tuned(flat: bool, temporary_ttl: u32) -> Tuning {
    Tuning {
        lru_mode: if flat { LruMode::Flat } else { LruMode::Segmented },
        lru_policy: LruPolicy::Classic,
        temp_lru: temporary_ttl > 0,
        temporary_ttl,
        automove: Automove::Eager,
        ..Tuning::default()
    }
}
