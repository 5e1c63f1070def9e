//! Keeping the page of an item where it is, for tests of what moves pages.

use super::Store;
use super::item::ChunkId;
use super::large::LargeValue;
use super::partition::Key;
use crate::base::clock::Seconds;

/// An item's page, which stays with its class, and a large item's blocks, whatever becomes of the item.
///
/// It must be given to [`Store::let_go`]: dropped, it keeps the page for good.
#[derive(Debug)]
pub struct Hold {
    partition: usize,
    id: ChunkId,
    _large: Option<LargeValue>,
}

impl Store {
    /// Holds the page of a key's item. `None` if there is no item.
    pub fn hold(&self, key: &Key, now: Seconds) -> Option<Hold> {
        let number = self.partition_number(key.hash);
        let mut partition = self.borrow_partition(&self.partitions[number], now);
        let id = partition.lookup(key, now)?;
        partition.slab.hold(id);
        let large =
            partition.slab.item(id).large().and_then(|slot| partition.large.get(slot as usize).cloned());
        Some(Hold { partition: number, id, _large: large })
    }

    /// Ends a hold.
    pub fn let_go(&self, hold: Hold, now: Seconds) {
        let mut partition = self.borrow_partition(&self.partitions[hold.partition], now);
        partition.slab.release(hold.id);
        let page = partition.slab.page_of(hold.id);
        partition.give_up_if_empty(page);
    }
}

#[cfg(test)]
mod tests {
    use crate::base::clock::{Deadline, Seconds};
    use crate::store::{PageOwner, ReassignError, Store, StoreMode, StoreOptions, StoreRequest};

    const NOW: Seconds = Seconds(50);

    #[test]
    fn a_page_that_is_held_moves_only_when_it_is_let_go() {
        let options =
            StoreOptions { partitions: Some(1), page_bytes: Some(1 << 14), ..StoreOptions::default() };
        let store = Store::new(&options);
        let texts: Vec<String> = (0..4).map(|number| format!("key{number}")).collect();
        for text in &texts {
            let (key, value) = (store.key(text.as_bytes()), &[b'x'; 8000][..]);
            let (mode, deadline) = (StoreMode::Set, Deadline::NEVER);
            store.store(&StoreRequest { key, mode, client_flags: 0, deadline, value }, NOW);
        }
        let class = store.stats(NOW).classes.iter().position(|class| class.items() > 0).unwrap_or(0);
        let reassign = || store.reassign(PageOwner::Class(class), PageOwner::Pool, NOW);
        let holds: Vec<_> = texts.iter().map(|text| store.hold(&store.key(text.as_bytes()), NOW)).collect();
        assert!(holds.iter().all(Option::is_some));
        assert!(store.hold(&store.key(b"absent"), NOW).is_none());
        assert_eq!(reassign(), Err(ReassignError::NoSpare));
        for text in &texts {
            assert!(store.delete(&store.key(text.as_bytes()), NOW));
        }
        assert_eq!(reassign(), Err(ReassignError::NoSpare), "whatever becomes of the items");
        holds.into_iter().flatten().for_each(|hold| store.let_go(hold, NOW));
        assert_eq!(store.stats(NOW).classes[class].pages, 0, "nothing is in them");
        store.partitions.iter().for_each(|partition| partition.lock().check());
    }
}
