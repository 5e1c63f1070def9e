//! The store against a plain model while memory is refused, values arrive in pieces between other steps, and
//! readers hold on to what they are being sent.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put {
        mode: StoreMode,
        key: u8,
        len: usize,
    },
    /// A value is announced.
    Begin {
        mode: StoreMode,
        key: u8,
        len: usize,
    },
    /// So many bytes of one that was announced arrive.
    Arrive(Index, usize),
    /// Its client goes away.
    Abandon(Index),
    Get(u8),
    Delete(u8),
    Count(u8, u64),
    /// A reader takes a large value and keeps it.
    Hold(u8),
    LetGo(Index),
    /// The next takes from the budget fail.
    Deny(usize),
    Upkeep,
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use StoreMode::*;
    let mode = || prop_oneof![4 => Just(Set), 1 => Just(Add), 1 => Just(Replace), 2 => Just(Append), 1 => Just(Prepend)];
    let len = || prop_oneof![6 => 0usize..300, 2 => 300usize..4000, 2 => 4000usize..40_000];
    let step = prop_oneof![
        8 => (mode(), any::<u8>(), len()).prop_map(|(mode, key, len)| Step::Put { mode, key, len }),
        3 => (mode(), any::<u8>(), len()).prop_map(|(mode, key, len)| Step::Begin { mode, key, len }),
        6 => (any::<Index>(), 1usize..20_000).prop_map(|(which, bytes)| Step::Arrive(which, bytes)),
        1 => any::<Index>().prop_map(Step::Abandon),
        3 => any::<u8>().prop_map(Step::Get),
        1 => any::<u8>().prop_map(Step::Delete),
        1 => (any::<u8>(), any::<u64>()).prop_map(|(key, delta)| Step::Count(key, delta)),
        2 => any::<u8>().prop_map(Step::Hold),
        1 => any::<Index>().prop_map(Step::LetGo),
        3 => prop_oneof![4 => 1usize..5, 1 => Just(50)].prop_map(Step::Deny),
        1 => Just(Step::Upkeep),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 1..250)
}

struct Arriving {
    reservation: Reservation,
    key: Vec<u8>,
    mode: StoreMode,
    value: Vec<u8>,
}

struct Held {
    large: LargeValue,
    expected: Vec<u8>,
}

struct Run {
    store: Arc<Store>,
    model: HashMap<Vec<u8>, Vec<u8>>,
    evicts: bool,
    arriving: Vec<Arriving>,
    held: Vec<Held>,
    /// Operations that were refused memory.
    refusals: usize,
}

impl Run {
    /// Looks a key up in both; the model forgets what the store has evicted.
    fn sync(&mut self, key: &[u8]) {
        let found = value_of(&self.store, key);
        if self.evicts && found.is_none() {
            self.model.remove(key);
        }
        assert_eq!(found.as_ref(), self.model.get(key), "{}", String::from_utf8_lossy(key));
    }

    /// After a refusal the old value of a `set` is gone, and that of anything else is as it was.
    fn refused(&mut self, key: &[u8], mode: StoreMode) {
        self.refusals += 1;
        if mode == StoreMode::Set {
            assert_eq!(value_of(&self.store, key), None);
            self.model.remove(key);
        }
        self.sync(key);
    }

    fn stored(&mut self, key: Vec<u8>, mode: StoreMode, value: Vec<u8>, outcome: StoreOutcome) {
        // The room for a value may be that of the item which its key has.
        let old = self.model.get(&key);
        let old = old.filter(|_| !(self.evicts && mode == StoreMode::Add && outcome == StoreOutcome::Stored));
        let next = match (mode, old) {
            (StoreMode::Set, _) | (StoreMode::Add, None) | (StoreMode::Replace, Some(_)) => Some(value),
            (StoreMode::Append, Some(old)) => Some([&old[..], &value].concat()),
            (StoreMode::Prepend, Some(old)) => Some([&value[..], old].concat()),
            _ => None,
        };
        match (outcome, next) {
            (StoreOutcome::Stored, Some(next)) => {
                self.model.insert(key, next);
            }
            (StoreOutcome::NotStored, None) => {}
            (StoreOutcome::OutOfMemory, _) => self.refused(&key, mode),
            (StoreOutcome::NotStored, Some(_)) => {
                let is_evicted = self.evicts && value_of(&self.store, &key).is_none();
                let joins = matches!(mode, StoreMode::Append | StoreMode::Prepend);
                assert!(joins || (mode == StoreMode::Replace && is_evicted), "{mode:?} came to nothing");
                self.refused(&key, mode);
            }
            (outcome, next) => panic!("{mode:?} came to {outcome:?}, expected {}", next.is_some()),
        }
    }

    fn arrive(&mut self, which: Index, bytes: usize) {
        if self.arriving.is_empty() {
            return;
        }
        let at = which.index(self.arriving.len());
        let Arriving { reservation, value, .. } = &mut self.arriving[at];
        let from = value.len() - reservation.missing();
        let to = value.len().min(from + bytes);
        if reservation.write(&value[from..to], START).is_err() {
            let Arriving { reservation, key, mode, .. } = self.arriving.swap_remove(at);
            drop(reservation);
            return self.refused(&key, mode);
        }
        if self.arriving[at].reservation.missing() == 0 {
            let Arriving { reservation, key, mode, value } = self.arriving.swap_remove(at);
            self.sync(&key);
            let outcome = reservation.commit(START);
            self.stored(key, mode, value, outcome);
        }
    }

    fn hold(&mut self, key: &[u8]) {
        let large = self.store.get(&self.store.key(key), START, |item| item.large.cloned()).flatten();
        if let Some(large) = large {
            let expected = large.pieces().flatten().copied().collect();
            self.held.push(Held { large, expected });
        }
    }

    fn step(&mut self, step: Step) {
        let name = |key: u8| format!("key {}", key % 60).into_bytes();
        match step {
            Step::Put { mode, key, len } => {
                let (key, value) = (name(key), pattern(len as u32, len));
                self.sync(&key);
                let outcome = put(&self.store, mode, &key, &value, START);
                self.stored(key, mode, value, outcome);
            }
            Step::Begin { mode, key, len } => {
                let (key, value) = (name(key), pattern(len as u32 + 1, len));
                self.sync(&key);
                match self.store.reserve(self.store.key(&key), mode, 0, Deadline::NEVER, len, START) {
                    Ok(reservation) => self.arriving.push(Arriving { reservation, key, mode, value }),
                    Err(ReserveError::OutOfMemory) => self.refused(&key, mode),
                    Err(ReserveError::TooLarge) => panic!("{len} bytes are not too many"),
                }
            }
            Step::Arrive(which, bytes) => self.arrive(which, bytes),
            Step::Abandon(which) if !self.arriving.is_empty() => {
                self.arriving.swap_remove(which.index(self.arriving.len()));
            }
            Step::Get(key) => self.sync(&name(key)),
            Step::Delete(key) => {
                self.sync(&name(key));
                let is_known = self.model.remove(&name(key)).is_some();
                assert_eq!(self.store.delete(&self.store.key(&name(key)), START), is_known);
            }
            Step::Count(key, number) => self.count(&name(key), number),
            Step::Hold(key) => self.hold(&name(key)),
            Step::LetGo(which) if !self.held.is_empty() => {
                self.held.swap_remove(which.index(self.held.len()));
            }
            Step::Abandon(_) | Step::LetGo(_) => {}
            Step::Deny(takes) => self.store.shared.budget.deny(takes),
            Step::Upkeep => settle(&self.store, START),
            Step::Flush => {
                self.store.flush(START);
                self.model.clear();
            }
        }
    }

    /// Puts a number of one digit and lets it grow, which takes another chunk.
    fn count(&mut self, key: &[u8], number: u64) {
        self.sync(key);
        let outcome = put(&self.store, StoreMode::Set, key, b"7", START);
        self.stored(key.to_vec(), StoreMode::Set, b"7".to_vec(), outcome);
        match self.store.arithmetic(&self.store.key(key), Direction::Incr, number, START) {
            Arithmetic::Value(sum) => {
                assert_eq!(sum, number.wrapping_add(7));
                self.model.insert(key.to_vec(), sum.to_string().into_bytes());
            }
            Arithmetic::OutOfMemory => self.refused(key, StoreMode::Append),
            Arithmetic::NotFound => self.sync(key),
            Arithmetic::NonNumeric => panic!("7 is a number"),
        }
    }

    /// Pages that are in use beside those of linked items.
    fn pages_apart(&self) -> usize {
        let is_linked = |large: &LargeValue| {
            self.store
                .partitions
                .iter()
                .any(|partition| partition.lock().large.iter().any(|(_, linked)| linked.is_same(large)))
        };
        let is_first =
            |at: usize| !self.held[..at].iter().any(|held| held.large.is_same(&self.held[at].large));
        let held = self.held.iter().enumerate();
        let held = held.filter(|(at, held)| is_first(*at) && !is_linked(&held.large));
        let held: usize = held.map(|(_, held)| held.large.pages()).sum();
        held + self.arriving.iter().map(|arriving| arriving.reservation.pages()).sum::<usize>()
    }
}

/// Runs the steps; how many operations were refused memory.
fn run(steps: Vec<Step>, memory: usize, evicts: bool) -> usize {
    let store = store(memory, 2, |options| {
        options.page_bytes = Some(4096);
        options.evict = evicts;
    });
    let mut run =
        Run { store, model: HashMap::new(), evicts, arriving: Vec::new(), held: Vec::new(), refusals: 0 };
    for step in steps {
        run.step(step);
        check_with(&run.store, run.pages_apart());
        for held in &run.held {
            assert!(held.large.pieces().flatten().eq(&held.expected), "a reader's version has changed");
        }
    }
    run.arriving.clear();
    run.held.clear();
    check(&run.store);
    run.store.flush(START);
    assert_eq!(run.store.stats(START).items, 0);
    check(&run.store);
    run.refusals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn refused_memory_loses_what_it_must_and_nothing_else(steps in steps(), is_small in any::<bool>()) {
        run(steps, if is_small { 300_000 } else { 4 << 20 }, true);
    }

    #[test]
    fn without_eviction_nothing_is_lost_but_what_a_refused_set_replaces(steps in steps(), is_small in any::<bool>()) {
        run(steps, if is_small { 200_000 } else { 4 << 20 }, false);
    }
}

#[test]
fn denials_reach_the_operations() {
    let put = |key| Step::Put { mode: StoreMode::Set, key, len: 30_000 };
    let steps = [put(1), Step::Deny(50), put(1), put(2), Step::Get(1)];
    assert!(run(steps.to_vec(), 4 << 20, false) > 0);
}
