//! Access, terms and removal against a plain model, with the store's books checked after every step.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Look {
        key: u8,
        create: Option<u8>,
        cas: Option<u64>,
        ttl: Option<u8>,
        takes_token: bool,
    },
    Put {
        mode: u8,
        key: u8,
        len: usize,
        unique: u64,
        terms: (Option<u64>, bool, Option<u8>, bool),
        pieces: bool,
    },
    Remove {
        key: u8,
        compare: Option<u64>,
        cas: Option<u64>,
        empties: bool,
        invalidates: bool,
        ttl: Option<u8>,
    },
    Count {
        key: u8,
        delta: u64,
        compare: u64,
        cas: Option<u64>,
        create: Option<u64>,
    },
    Plain(u8, u8),
    Wait(u8),
}

/// CAS uniques from a few numbers, so that they meet.
fn unique() -> impl Strategy<Value = u64> {
    0u64..4
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0u8..6;
    let ttl = || 0u8..4;
    let some_unique = || prop::option::of(unique());
    let len = prop_oneof![6 => 0usize..100, 1 => 100usize..20_000];
    let terms = (some_unique(), any::<bool>(), prop::option::of(ttl()), any::<bool>());
    let step = prop_oneof![
        4 => (key(), prop::option::of(ttl()), some_unique(), prop::option::of(ttl()), any::<bool>()).prop_map(
            |(key, create, cas, ttl, takes_token)| Step::Look { key, create, cas, ttl, takes_token }
        ),
        5 => (0u8..8, key(), len, unique(), terms, any::<bool>()).prop_map(
            |(mode, key, len, unique, terms, pieces)| Step::Put { mode, key, len, unique, terms, pieces }
        ),
        3 => (key(), some_unique(), some_unique(), any::<bool>(), any::<bool>(), prop::option::of(ttl())).prop_map(
            |(key, compare, cas, empties, invalidates, ttl)| {
                Step::Remove { key, compare, cas, empties, invalidates, ttl }
            }
        ),
        3 => (key(), any::<u64>(), unique(), some_unique(), prop::option::of(any::<u64>())).prop_map(
            |(key, delta, compare, cas, create)| Step::Count { key, delta, compare, cas, create }
        ),
        2 => (key(), 0u8..4).prop_map(|(key, what)| Step::Plain(key, what)),
        1 => (0u8..3).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..120)
}

/// What the model knows of an item. A CAS unique that the store chose is read back from it.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    value: Vec<u8>,
    deadline: Deadline,
    cas: u64,
    stale: bool,
    token: bool,
    encoded: bool,
}

type Model = HashMap<Vec<u8>, Known>;

fn deadline_of(ttl: u8, now: Seconds) -> Deadline {
    if ttl == 0 { Deadline::NEVER } else { Deadline::at(now.after(u32::from(ttl))) }
}

fn seen(item: &Access) -> Known {
    Known {
        value: whole(&item.view()),
        deadline: item.deadline(),
        cas: item.view().cas,
        stale: item.is_stale(),
        token: item.is_token_given(),
        encoded: item.has_encoded_key(),
    }
}

/// What the store has under a key; nobody notices.
fn stored(store: &Store, key: &[u8], now: Seconds) -> Option<Known> {
    store.inspect(&store.key(key), now, |item| seen(item))
}

/// Lets the model take over a CAS unique that the store gave, which no item had before.
fn adopt(store: &Store, model: &mut Model, key: &[u8], chosen: Option<u64>, now: Seconds) {
    if let (Some(known), Some(found)) = (model.get_mut(key), stored(store, key, now)) {
        match chosen {
            Some(cas) => known.cas = cas,
            None => {
                assert!(found.cas > 4, "uniques of the store's own are larger than those of the test");
                known.cas = found.cas;
            }
        }
    }
}

struct Put<'a> {
    key: &'a [u8],
    mode: StoreMode,
    value: &'a [u8],
    terms: Terms,
}

/// memcached's rules for storing, on the model.
fn put_in_model(model: &mut Model, put: &Put) -> StoreOutcome {
    let Put { key, mode, value, terms } = put;
    let new = |deadline, stale, token| Known {
        value: value.to_vec(),
        deadline,
        cas: 0,
        stale,
        token,
        encoded: terms.has_encoded_key,
    };
    let joins = matches!(mode, StoreMode::Append | StoreMode::Prepend);
    let next = match (mode, model.get(*key).cloned()) {
        (StoreMode::Cas(_), None) => return StoreOutcome::NotFound,
        (StoreMode::Set | StoreMode::Add, None) | (StoreMode::Set | StoreMode::Replace, Some(_)) => {
            new(Deadline::NEVER, false, false)
        }
        (StoreMode::Append | StoreMode::Prepend, None) if terms.create.is_some() => {
            new(terms.create.unwrap(), false, false)
        }
        (_, Some(old)) if joins && terms.compare != 0 && terms.compare != old.cas => {
            return StoreOutcome::Exists;
        }
        (StoreMode::Append, Some(old)) => Known { value: [&old.value, *value].concat(), ..old },
        (StoreMode::Prepend, Some(old)) => Known { value: [*value, &old.value].concat(), ..old },
        (StoreMode::Cas(unique), Some(old)) if *unique != 0 && *unique == old.cas => {
            new(Deadline::NEVER, false, false)
        }
        (StoreMode::Cas(unique), Some(old)) if *unique != 0 && *unique < old.cas && terms.takes_older => {
            new(old.deadline, true, old.token)
        }
        (StoreMode::Cas(_), Some(_)) => return StoreOutcome::Exists,
        _ => return StoreOutcome::NotStored,
    };
    model.insert(key.to_vec(), next);
    StoreOutcome::Stored
}

fn put_in_store(store: &Arc<Store>, put: &Put, in_pieces: bool, now: Seconds) -> Receipt {
    let key = store.key(put.key);
    let deadline = Deadline::NEVER;
    if !in_pieces {
        let request = StoreRequest { key, mode: put.mode, client_flags: 0, deadline, value: put.value };
        return store.store_on_terms(&request, &put.terms, now);
    }
    let reserved = store.reserve(key, put.mode, 0, deadline, put.value.len(), now);
    let mut reservation = reserved.expect("there is room");
    put.value.chunks(1000).for_each(|piece| reservation.write(piece, now).expect("there is room"));
    reservation.commit_on_terms(&put.terms, now)
}

fn look(
    store: &Store,
    model: &mut Model,
    key: &[u8],
    look_up: &LookUp,
    ttl: Option<Deadline>,
    token: bool,
    now: Seconds,
) {
    let found = store.access(&store.key(key), look_up, now, |item| {
        let before = seen(item);
        if let Some(deadline) = ttl {
            item.set_deadline(deadline);
        }
        if token {
            item.give_token();
        }
        (before, item.is_new())
    });
    let is_new = !model.contains_key(key) && look_up.create.is_some();
    if let (true, Some(creation)) = (is_new, look_up.create) {
        let (deadline, encoded) = (creation.deadline, creation.has_encoded_key);
        let cas = creation.cas.unwrap_or_else(|| found.as_ref().map_or(0, |(known, _)| known.cas));
        model.insert(
            key.to_vec(),
            Known { value: vec![], deadline, cas, stale: false, token: false, encoded },
        );
    }
    assert_eq!(found, model.get(key).map(|known| (known.clone(), is_new)));
    if let Some(known) = model.get_mut(key) {
        known.deadline = ttl.unwrap_or(known.deadline);
        known.token |= token;
    }
}

fn remove(store: &Store, model: &mut Model, key: &[u8], removal: &Removal, now: Seconds) {
    let removed = store.remove(&store.key(key), removal, now);
    let expected = match model.get_mut(key) {
        None => Removed::NotFound,
        Some(known) if removal.compare.is_some_and(|unique| unique != known.cas) => Removed::Exists,
        Some(known) => {
            if removal.empty.is_some() {
                let deadline = removal.deadline.unwrap_or(Deadline::NEVER);
                let cas = removal.cas.unwrap_or(known.cas);
                *known = Known { value: vec![], deadline, cas, stale: false, token: false, ..*known };
            }
            if removal.invalidates {
                known.deadline = removal.deadline.unwrap_or(known.deadline);
                (known.stale, known.token) = (true, false);
                adopt(store, model, key, removal.cas, now);
            } else if removal.empty.is_none() {
                model.remove(key);
            }
            Removed::Done
        }
    };
    assert_eq!(removed, expected);
}

fn count(store: &Store, model: &mut Model, key: &[u8], counting: &Counting, now: Seconds) {
    let counted = store.count(&store.key(key), counting, now, |_, number| number);
    let expected = match (model.get_mut(key), counting.create) {
        (None, None) => Counted::NotFound,
        (None, Some((number, creation))) => {
            let (value, deadline) = (number.to_string().into_bytes(), creation.deadline);
            let encoded = creation.has_encoded_key;
            model
                .insert(key.to_vec(), Known { value, deadline, cas: 0, stale: false, token: false, encoded });
            adopt(store, model, key, creation.cas, now);
            Counted::Value(number)
        }
        (Some(known), _) if known.value.is_empty() => Counted::NonNumeric,
        (Some(known), _) if counting.compare != 0 && counting.compare != known.cas => Counted::Exists,
        (Some(known), _) => match number_in(store, key, 0, &known.value) {
            None => Counted::NonNumeric,
            Some(number) => {
                let number = number.wrapping_add(counting.delta);
                known.value = format!("{number:<width$}", width = known.value.len()).into_bytes();
                adopt(store, model, key, counting.cas, now);
                Counted::Value(number)
            }
        },
    };
    assert_eq!(counted, expected);
}

fn plain(store: &Arc<Store>, model: &mut Model, key: &[u8], what: u8, now: Seconds) {
    match what {
        0 => drop(store.get(&store.key(key), now, |_| ())),
        1 => {
            store.delete(&store.key(key), now);
            model.remove(key);
        }
        2 => {
            put(store, StoreMode::Append, key, b"7", now);
            if let Some(known) = model.get_mut(key) {
                known.value.push(b'7');
                adopt(store, model, key, None, now);
            }
        }
        _ => {
            put(store, StoreMode::Set, key, b"7", now);
            let deadline = Deadline::NEVER;
            let known =
                Known { value: b"7".to_vec(), deadline, cas: 0, stale: false, token: false, encoded: false };
            model.insert(key.to_vec(), known);
            adopt(store, model, key, None, now);
        }
    }
}

fn run(steps: Vec<Step>) {
    let store = store(64 << 20, 2, |options| options.page_bytes = Some(4096));
    let mut model = Model::new();
    let mut now = START;
    // Uniques of the store's own are above those that the test chooses.
    for n in 0..16 {
        set(&store, format!("other {n}").as_bytes(), b"");
    }
    for step in steps {
        let name = |key: u8| format!("key {key}").into_bytes();
        match step {
            Step::Look { key, create, cas, ttl, takes_token } => {
                let create = create.map(|ttl| Creation {
                    deadline: deadline_of(ttl, now),
                    cas,
                    has_encoded_key: takes_token,
                });
                let look_up = LookUp { create, is_unnoticed: takes_token, counts_as_touch: ttl.is_some() };
                let ttl = ttl.map(|ttl| deadline_of(ttl, now));
                look(&store, &mut model, &name(key), &look_up, ttl, takes_token, now);
            }
            Step::Put {
                mode,
                key,
                len,
                unique,
                terms: (cas, takes_older, create, has_encoded_key),
                pieces,
            } => {
                use StoreMode::*;
                let (key, value) = (name(key), pattern(unique as u32, len));
                let current = model.get(&key).map_or(unique, |known| known.cas);
                let mode = [Set, Add, Replace, Append, Prepend, Cas(unique), Cas(current), Cas(current / 2)]
                    [usize::from(mode)];
                let create = create.map(|ttl| deadline_of(ttl, now));
                let compare = if takes_older { unique } else { 0 };
                let terms = Terms { compare, cas, takes_older, create, has_encoded_key };
                let put = Put { key: &key, mode, value: &value, terms };
                let receipt = put_in_store(&store, &put, pieces, now);
                assert_eq!(receipt.outcome, put_in_model(&mut model, &put));
                let known = model.get(&key);
                if receipt.outcome == StoreOutcome::Stored {
                    assert_eq!(Some(receipt.value_bytes), known.map(|known| known.value.len()));
                    adopt(&store, &mut model, &key, cas, now);
                    assert_eq!(Some(receipt.cas), model.get(&key).map(|known| known.cas));
                } else {
                    assert_eq!((receipt.cas, receipt.value_bytes), (0, len));
                }
            }
            Step::Remove { key, compare, cas, empties, invalidates, ttl } => {
                let empty = empties.then_some(0);
                let deadline = ttl.map(|ttl| deadline_of(ttl, now));
                let removal = Removal { compare, cas, empty, invalidates, deadline };
                remove(&store, &mut model, &name(key), &removal, now);
            }
            Step::Count { key, delta, compare, cas, create } => {
                let creation = Creation { deadline: Deadline::NEVER, cas, has_encoded_key: delta % 2 == 0 };
                let create = create.map(|number| (number, creation));
                let counting = Counting { direction: Direction::Incr, delta, compare, cas, create };
                count(&store, &mut model, &name(key), &counting, now);
            }
            Step::Plain(key, what) => plain(&store, &mut model, &name(key), what, now),
            Step::Wait(seconds) => now = now.after(u32::from(seconds)),
        }
        model.retain(|_, known| !known.deadline.has_passed(now));
        for key in (0..6).map(name) {
            assert_eq!(stored(&store, &key, now), model.get(&key).cloned());
        }
        check(&store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn leases_follow_memcacheds_rules(steps in steps()) {
        run(steps);
    }
}
