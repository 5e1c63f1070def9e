//! The segmented LRU of each slab class: four doubly linked lists of chunks, newest first.
//!
//! Lists and links only; which item moves where is decided in `housekeeping` and done in `eviction`.

use super::item::{ChunkId, Segment};
use super::slab::Slab;

/// One list.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub newest: ChunkId,
    pub oldest: ChunkId,
    pub len: u32,
}

impl List {
    const EMPTY: List = List { newest: ChunkId::NONE, oldest: ChunkId::NONE, len: 0 };
}

/// The lists of one class.
#[derive(Clone, Debug)]
pub(super) struct Lru {
    lists: [List; 4],
}

impl Lru {
    pub const EMPTY: Lru = Lru { lists: [List::EMPTY; 4] };

    pub fn list(&self, segment: Segment) -> &List {
        &self.lists[segment as usize]
    }

    /// Items in all segments.
    pub fn len(&self) -> u32 {
        self.lists.iter().map(|list| list.len).sum()
    }

    /// Items in all segments but TEMP.
    pub fn lasting(&self) -> u32 {
        self.len() - self.list(Segment::Temp).len
    }

    /// Puts an item that is in no list at the newest end.
    pub fn push(&mut self, slab: &mut Slab, id: ChunkId, segment: Segment) {
        let list = &mut self.lists[segment as usize];
        let second = std::mem::replace(&mut list.newest, id);
        list.len += 1;
        let mut item = slab.item_mut(id);
        item.set_segment(segment);
        item.set_older(second);
        item.set_newer(ChunkId::NONE);
        if second.is_some() {
            slab.item_mut(second).set_newer(id);
        } else {
            list.oldest = id;
        }
    }

    /// Puts an item that is in no list at the oldest end.
    pub fn push_oldest(&mut self, slab: &mut Slab, id: ChunkId, segment: Segment) {
        let list = &mut self.lists[segment as usize];
        let second = std::mem::replace(&mut list.oldest, id);
        list.len += 1;
        let mut item = slab.item_mut(id);
        item.set_segment(segment);
        item.set_newer(second);
        item.set_older(ChunkId::NONE);
        if second.is_some() {
            slab.item_mut(second).set_older(id);
        } else {
            list.newest = id;
        }
    }

    /// Takes an item out of the list that it is in.
    pub fn remove(&mut self, slab: &mut Slab, id: ChunkId) {
        let item = slab.item(id);
        let (older, newer) = (item.older(), item.newer());
        let list = &mut self.lists[item.segment() as usize];
        list.len -= 1;
        if newer.is_some() {
            slab.item_mut(newer).set_older(older);
        } else {
            list.newest = older;
        }
        if older.is_some() {
            slab.item_mut(older).set_newer(newer);
        } else {
            list.oldest = newer;
        }
    }

    /// Puts `with` in the place of `id`, whose header it has a copy of.
    pub fn replace(&mut self, slab: &mut Slab, id: ChunkId, with: ChunkId) {
        let item = slab.item(with);
        let (older, newer) = (item.older(), item.newer());
        let list = &mut self.lists[item.segment() as usize];
        if newer.is_some() {
            slab.item_mut(newer).set_older(with);
        } else {
            debug_assert_eq!(list.newest, id);
            list.newest = with;
        }
        if older.is_some() {
            slab.item_mut(older).set_newer(with);
        } else {
            debug_assert_eq!(list.oldest, id);
            list.oldest = with;
        }
    }

    /// Takes an item out of its list and puts it at the newest end of another.
    pub fn shift(&mut self, slab: &mut Slab, id: ChunkId, to: Segment) {
        self.remove(slab, id);
        self.push(slab, id, to);
    }

    /// Every item of a segment, newest first.
    pub fn newest_first<'a>(
        &self,
        slab: &'a Slab,
        segment: Segment,
    ) -> impl Iterator<Item = ChunkId> + use<'a> {
        let next = move |&id: &ChunkId| Some(slab.item(id).older()).filter(|id| id.is_some());
        std::iter::successors(Some(self.list(segment).newest).filter(|id| id.is_some()), next)
    }

    /// Every item of a segment, oldest first.
    #[cfg(any(test, fuzzing))]
    pub fn oldest_first<'a>(
        &self,
        slab: &'a Slab,
        segment: Segment,
    ) -> impl Iterator<Item = ChunkId> + use<'a> {
        let next = move |&id: &ChunkId| Some(slab.item(id).newer()).filter(|id| id.is_some());
        std::iter::successors(Some(self.list(segment).oldest).filter(|id| id.is_some()), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::item::Shape;
    use crate::store::slab::{ChunkSizes, ClassId};
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn lists_agree_with_plain_queues(steps in prop::collection::vec((0u8..4, 0usize..40, 0usize..4), 1..200)) {
            let sizes = ChunkSizes::new(16384, None, None);
            let mut slab = Slab::new(&sizes, 16384, false);
            slab.add_page(ClassId(0), vec![0; 16384].into());
            let shape = Shape { key_bytes: 1, client_flags: 0, value_bytes: 0 };
            let ids: Vec<ChunkId> = (0..40).map(|_| {
                let id = slab.take_chunk(ClassId(0)).unwrap();
                slab.item_mut(id).lay_out(&shape, b"k", 0, false);
                id
            }).collect();
            let mut lru = Lru::EMPTY;
            let mut model: [VecDeque<ChunkId>; 4] = Default::default();
            for (action, pick, segment) in steps {
                let id = ids[pick];
                let segment = Segment::ALL[segment];
                let listed = model.iter().position(|list| list.contains(&id));
                match (action, listed) {
                    (0, None) => {
                        lru.push(&mut slab, id, segment);
                        model[segment as usize].push_back(id);
                    }
                    (3, None) => {
                        lru.push_oldest(&mut slab, id, segment);
                        model[segment as usize].push_front(id);
                    }
                    (1, Some(list)) => {
                        lru.remove(&mut slab, id);
                        model[list].retain(|&other| other != id);
                    }
                    (2, Some(list)) => {
                        lru.shift(&mut slab, id, segment);
                        model[list].retain(|&other| other != id);
                        model[segment as usize].push_back(id);
                    }
                    _ => {}
                }
                for segment in Segment::ALL {
                    let listed: Vec<ChunkId> = lru.oldest_first(&slab, segment).collect();
                    prop_assert_eq!(&listed, &Vec::from(model[segment as usize].clone()));
                    prop_assert_eq!(lru.list(segment).len as usize, listed.len());
                    let mut newest_first: Vec<ChunkId> = lru.newest_first(&slab, segment).collect();
                    newest_first.reverse();
                    prop_assert_eq!(newest_first, listed);
                }
            }
        }
    }
}
