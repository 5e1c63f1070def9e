//! Walks over all items, in slices: each locks one partition and looks at a bounded number of items.
//!
//! A walk goes by the hash of the keys, which an item keeps wherever it is moved and whatever replaces it,
//! and the index keeps that order while it changes its size. So a key that is there from the beginning to
//! the end is met exactly once, and one that comes or goes meanwhile at most once.

use super::item::{ChunkId, Item, state};
use super::partition::{Key, Partition};
use super::{Relaxed, Store, index};
use crate::base::clock::{Deadline, Seconds};

/// Where a walk stands. A new one begins at the first item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    partition: usize,
    /// In that partition, every hash below this one has been passed.
    hash: u64,
}

/// An item and what is known of it, but for its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemDetails<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Index of its slab class.
    pub class: usize,
    /// The flags that the client stored with it.
    pub client_flags: u32,
    /// Its CAS unique; 0 if they are switched off.
    pub cas: u64,
    /// When it ends.
    pub deadline: Deadline,
    /// Seconds since it was stored or last counted as accessed.
    pub idle_seconds: u32,
    /// A client has read it since it was stored.
    pub is_fetched: bool,
    /// Its key was given encoded: it may hold what a line of text cannot.
    pub has_encoded_key: bool,
    /// Bytes of the value.
    pub value_bytes: usize,
    /// Bytes of header, flags, key and value.
    pub item_bytes: usize,
}

impl<'a> ItemDetails<'a> {
    pub(super) fn new(item: Item<'a>, deadline: Deadline, now: Seconds) -> ItemDetails<'a> {
        ItemDetails {
            key: item.key(),
            class: usize::from(item.class()),
            client_flags: item.client_flags(),
            cas: item.cas(),
            deadline,
            idle_seconds: item.idle_seconds(now),
            is_fetched: item.has(state::FETCHED),
            has_encoded_key: item.has(state::ENCODED_KEY),
            value_bytes: item.value_bytes(),
            item_bytes: item.total_bytes(),
        }
    }
}

/// What a look at a key that changes and counts nothing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek<R> {
    /// No item.
    NotFound,
    /// One that is over and not taken away yet.
    Expired,
    /// What was made of the item.
    Found(R),
}

impl Partition {
    /// The linked items of the stretch of hashes that begins at `from`: with each its hash. Returns where the
    /// next stretch begins and how many entries were looked at.
    pub fn stretch(&self, from: u64, mut show: impl FnMut(ChunkId, u64)) -> (u64, usize) {
        let mut looked_at = 0;
        let mut candidates = Vec::with_capacity(index::STRETCH_ITEMS);
        let next = self.index.stretch(from, |id| candidates.push(id));
        for id in candidates {
            looked_at += 1;
            let hash = self.hash_of(id);
            if (from..next).contains(&index::order_of(hash)) {
                show(id, hash);
            }
        }
        (next, looked_at)
    }
}

impl Store {
    /// Goes on with a walk: shows the live items of one partition to `show`, some `items` of them, or fewer
    /// once `show` returns `false`; what a stretch of the index holds is shown to its end even then, a dozen
    /// or two. `false` if the walk is at its end. `show` runs under the lock of the partition.
    pub fn walk(
        &self,
        walk: &mut Walk,
        items: usize,
        now: Seconds,
        mut show: impl FnMut(&ItemDetails) -> bool,
    ) -> bool {
        self.walk_slice(walk, items, now, |partition, from| {
            let mut goes_on = true;
            let step = partition.stretch(from, |id, _| {
                let deadline = partition.slab.deadline(id);
                if !deadline.has_passed(now) {
                    goes_on &= show(&ItemDetails::new(partition.slab.item(id), deadline, now));
                }
            });
            (step, goes_on)
        })
    }

    /// Goes on with a walk that takes away the items for whose key `is_it` holds, some `items` looked at.
    /// Adds to `removed` how many live ones went. `false` if the walk is at its end.
    pub fn remove_slice(
        &self,
        walk: &mut Walk,
        items: usize,
        now: Seconds,
        removed: &mut u64,
        is_it: impl Fn(&[u8]) -> bool,
    ) -> bool {
        self.walk_slice(walk, items, now, |partition, from| {
            let mut going = Vec::new();
            let step = partition.stretch(from, |id, hash| {
                if is_it(partition.slab.item(id).key()) {
                    going.push((id, hash));
                }
            });
            for (id, hash) in going {
                if partition.slab.deadline(id).has_passed(now) {
                    partition.remove_expired(id, hash);
                } else {
                    partition.unlink(id, hash);
                    *removed += 1;
                }
            }
            (step, true)
        })
    }

    /// Takes steps in the partition where the walk stands until they have looked at `items` items, one says
    /// that it is enough, or the partition is done with.
    fn walk_slice(
        &self,
        walk: &mut Walk,
        items: usize,
        now: Seconds,
        mut step: impl FnMut(&mut Partition, u64) -> ((u64, usize), bool),
    ) -> bool {
        let Some(partition) = self.partitions.get(walk.partition) else { return false };
        let mut partition = self.borrow_partition(partition, now);
        let mut left = items;
        while left > 0 && walk.hash < index::ORDER_END {
            let ((next, looked_at), goes_on) = step(&mut partition, walk.hash);
            walk.hash = next;
            // An empty bucket is work, too.
            left = left.saturating_sub(looked_at.max(1));
            if !goes_on {
                break;
            }
        }
        if walk.hash >= index::ORDER_END {
            *walk = Walk { partition: walk.partition + 1, hash: 0 };
        }
        walk.partition < self.partitions.len()
    }

    /// Looks at the item of a key without counting or changing anything.
    pub fn peek<R>(&self, key: &Key, now: Seconds, read: impl FnOnce(&ItemDetails) -> R) -> Peek<R> {
        let partition = self.borrow(key.hash, now);
        let Some(id) = partition.find(key) else { return Peek::NotFound };
        let slab = &partition.slab;
        let deadline = slab.deadline(id);
        if deadline.has_passed(now) {
            return Peek::Expired;
        }
        Peek::Found(read(&ItemDetails::new(slab.item(id), deadline, now)))
    }

    /// Whether items that are over are taken away before anybody asks for them.
    pub fn reclaims_expired(&self) -> bool {
        self.reclaims_expired.load(Relaxed)
    }

    /// Lets items that are over be taken away by upkeep, or stay until somebody asks for them or their
    /// memory is needed.
    pub fn set_reclaims_expired(&self, on: bool) {
        self.reclaims_expired.store(on, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::store::{StoreMode, StoreOptions, StoreRequest};

    const NOW: Seconds = Seconds(100);

    fn store() -> Arc<Store> {
        Store::new(&StoreOptions { workers: 1, hash_seed: Some(3), ..StoreOptions::default() })
    }

    fn set(store: &Arc<Store>, key: &str, deadline: Deadline) {
        let key = store.key(key.as_bytes());
        let request = StoreRequest { key, mode: StoreMode::Set, client_flags: 7, deadline, value: b"value" };
        store.store(&request, NOW);
    }

    /// How often each key is met by a walk in slices of `items`, with `meanwhile` between any two.
    fn met(store: &Arc<Store>, items: usize, mut meanwhile: impl FnMut(usize)) -> HashMap<String, usize> {
        let (mut walk, mut met, mut slices) = (Walk::default(), HashMap::new(), 0);
        let count = |met: &mut HashMap<String, usize>, key: &[u8]| {
            *met.entry(String::from_utf8(key.to_vec()).unwrap()).or_default() += 1;
        };
        while store.walk(&mut walk, items, NOW, |item| {
            count(&mut met, item.key);
            true
        }) {
            meanwhile(slices);
            slices += 1;
        }
        met
    }

    #[test]
    fn a_walk_meets_every_live_item_once() {
        let store = store();
        for n in 0..5000 {
            set(&store, &format!("live{n}"), Deadline::NEVER);
            set(&store, &format!("over{n}"), Deadline(NOW.0));
        }
        let met = met(&store, 7, |_| ());
        assert_eq!(met.len(), 5000);
        assert!(met.iter().all(|(key, &times)| key.starts_with("live") && times == 1));
    }

    #[test]
    fn what_stays_is_met_once_while_the_index_grows_and_shrinks_and_values_change() {
        for grows in [true, false] {
            let store = store();
            for n in 0..3000 {
                set(&store, &format!("stays{n}"), Deadline::NEVER);
            }
            let others = 60_000;
            if !grows {
                (0..others).for_each(|n| set(&store, &format!("other{n}"), Deadline::NEVER));
            }
            let mut next = 0;
            let met = met(&store, 20, |slice| {
                set(&store, &format!("stays{}", slice % 3000), Deadline::NEVER);
                for n in (next..others).take(40) {
                    let key = format!("other{n}");
                    if grows {
                        set(&store, &key, Deadline::NEVER);
                    } else {
                        store.delete(&store.key(key.as_bytes()), NOW);
                    }
                    next = n + 1;
                }
                store.upkeep(0, NOW);
            });
            assert!(next > 1000, "something changes meanwhile");
            for n in 0..3000 {
                assert_eq!(met.get(&format!("stays{n}")), Some(&1), "{n}");
            }
            assert!(met.values().all(|&times| times == 1));
        }
    }

    #[test]
    fn a_slice_ends_where_it_is_told_to() {
        let store = store();
        (0..5000).for_each(|n| set(&store, &format!("k{n}"), Deadline::NEVER));
        let mut walk = Walk::default();
        let mut shown = 0;
        while shown == 0 {
            assert!(store.walk(&mut walk, 1000, NOW, |_| {
                shown += 1;
                false
            }));
        }
        assert!(shown <= 2 * index::STRETCH_ITEMS, "{shown}");
    }

    #[test]
    fn what_is_removed_is_gone_and_nothing_else() {
        let store = store();
        for n in 0..5000 {
            set(&store, &format!("a{n}"), Deadline::NEVER);
            set(&store, &format!("b{n}"), Deadline::NEVER);
            set(&store, &format!("a:over{n}"), Deadline(NOW.0));
        }
        let (mut walk, mut removed) = (Walk::default(), 0);
        while store.remove_slice(&mut walk, 50, NOW, &mut removed, |key| key.starts_with(b"a")) {}
        assert_eq!((removed, store.stats(NOW).items), (5000, 5000));
        assert!(met(&store, 100, |_| ()).keys().all(|key| key.starts_with('b')));
        store.partitions.iter().for_each(|partition| partition.lock().check());
    }

    #[test]
    fn a_peek_tells_what_is_there_and_counts_nothing() {
        let store = store();
        set(&store, "k", Deadline(NOW.0 + 9));
        set(&store, "over", Deadline(NOW.0));
        let peek = |key: &str| {
            store.peek(&store.key(key.as_bytes()), NOW, |item| (item.deadline, item.client_flags))
        };
        assert_eq!(peek("k"), Peek::Found((Deadline(NOW.0 + 9), 7)));
        assert_eq!(peek("over"), Peek::Expired);
        assert_eq!(peek("none"), Peek::NotFound);
        let stats = store.stats(NOW);
        assert_eq!((stats.figures.get_misses, stats.figures.get_expired, stats.items), (0, 0, 2));
    }
}
