//! The index of one partition: from the hash of a key to the chunk of its item.
//!
//! Buckets are one cache line each: twelve slots of an 8-bit tag and a 32-bit chunk id. A key's *home*
//! is the bucket at its hash's place in order: `home = hash * homes / 2^32`. An entry that finds its
//! home full goes to the next bucket; if that is full too, it takes the place of an entry that is at home
//! there, and that one moves on. So in a crowded stretch many entries are one bucket away instead of a
//! few many buckets away (Celis, "Robin Hood hashing", 1986). A home knows how many of its entries are
//! away (`away`) and how far the farthest may be (`reach`): a miss reads one line unless its home overflowed.
//!
//! **Growth.** The map from hash to home keeps order, so a table of another size holds the same entries
//! in the same order. It is therefore refilled from the front: step by step the entries of the next home
//! move to the new table, whose segments are allocated as the front reaches them while the old ones are
//! freed behind it. Of each hash it is known at any time in which of the two tables it belongs: its old
//! home is before the front or it is not. One step moves one bucket; no operation takes more than
//! [`STEPS_PER_INSERT`] of them, and the table grows by a quarter at a time, so that it stays dense.

use prefetch_index::prefetch_index;

use super::budget::Budget;
use super::item::ChunkId;

/// Entries in a bucket: what fits a cache line.
const SLOTS: usize = 12;
/// Buckets behind the last home, for its entries that are away.
const TAIL_BUCKETS: usize = 15;
/// Farthest bucket looked at for a free slot. At 85 % load a stretch of full buckets this long has a
/// chance below 1e-15; were it to happen, the item is not indexed and the caller drops it.
const STRETCH_MAX: usize = 255;
/// A table with more than this share of its slots taken is replaced by one a quarter larger.
const LOAD_PERCENT_MAX: usize = 85;
/// Beyond this load too many buckets are full for another item, if the table cannot grow.
const LOAD_PERCENT_CROWDED: usize = 93;
/// A table with less than this share taken is replaced by a smaller one.
const LOAD_PERCENT_MIN: usize = 25;
/// Buckets moved by one insertion while the table changes size. Growing by a quarter there is an
/// insertion for every 0.4 buckets to move, so one would do; two finish sooner.
const STEPS_PER_INSERT: usize = 2;

/// Where the order of hashes ends, in which the index keeps its entries.
pub(super) const ORDER_END: u64 = 1 << 32;
/// Entries that a stretch of hashes has at most, as a rule.
pub(super) const STRETCH_ITEMS: usize = 2 * SLOTS;

/// The place of a hash in that order.
pub(super) fn order_of(hash: u64) -> u64 {
    hash & (ORDER_END - 1)
}

/// One cache line of the index.
#[derive(Clone, Default)]
#[repr(C, align(64))]
struct Bucket {
    /// 8 bits of the hash; 0 marks a free slot.
    tags: [u8; SLOTS],
    /// Slots, as bits, whose entry has an earlier bucket as its home.
    foreign: u16,
    /// Entries whose home this is and which lie in a later bucket.
    away: u8,
    /// None of them lies farther away than this; 0 if none is away.
    reach: u8,
    ids: [u32; SLOTS],
}

const BUCKET_BYTES: usize = size_of::<Bucket>();
const _: () = assert!(BUCKET_BYTES == 64);

impl Bucket {
    /// The slots whose tag is `tag`, as bits: slot n is bit `8 * n + 7`.
    #[inline]
    fn matches(&self, tag: u8) -> u128 {
        const LOW: u128 = u128::from_le_bytes([
            0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0, 0, 0, 0,
        ]);
        const HIGH: u128 = LOW + (LOW / 0x7f);
        let mut bytes = [0; 16];
        bytes[..SLOTS].copy_from_slice(&self.tags);
        let differing = u128::from_le_bytes(bytes) ^ (LOW / 0x7f * tag as u128);
        // The high bit of each byte that is zero (exact: no carry passes from byte to byte).
        !(((differing & LOW) + LOW) | differing) & HIGH
    }

    fn free_slot(&self) -> Option<usize> {
        let free = self.matches(0);
        (free != 0).then(|| slot_of(free))
    }

    /// A slot whose entry is at home here.
    fn native_slot(&self) -> Option<usize> {
        let slot = self.foreign.trailing_ones() as usize;
        (slot < SLOTS).then_some(slot)
    }

    fn put(&mut self, slot: usize, tag: u8, id: u32, is_foreign: bool) {
        self.tags[slot] = tag;
        self.ids[slot] = id;
        self.foreign = self.foreign & !(1 << slot) | u16::from(is_foreign) << slot;
    }
}

/// The slot of the lowest bit that [`Bucket::matches`] set.
fn slot_of(matches: u128) -> usize {
    matches.trailing_zeros() as usize / 8
}

/// The tag of a hash. Independent of the bits that choose bucket and partition.
#[inline]
fn tag_of(hash: u64) -> u8 {
    ((hash >> 32) as u8).max(1)
}

/// A table of buckets in segments of one page each.
struct Table {
    /// Buckets that are some key's home. The last segment ends with [`TAIL_BUCKETS`] more.
    homes: usize,
    segment_shift: u32,
    segments: Vec<Option<Box<[Bucket]>>>,
}

impl Table {
    fn new(segments: usize, page_bytes: usize) -> Table {
        let per_segment = page_bytes / BUCKET_BYTES;
        Table {
            homes: segments * per_segment - TAIL_BUCKETS,
            segment_shift: per_segment.ilog2(),
            segments: vec![None; segments],
        }
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u64::from(hash as u32) * self.homes as u64) >> 32) as usize
    }

    /// The first place in the order of hashes whose home is `home`.
    fn start_of(&self, home: usize) -> u64 {
        (home as u64 * ORDER_END).div_ceil(self.homes as u64)
    }

    #[inline]
    fn bucket(&self, bucket: usize) -> Option<&Bucket> {
        let segment = self.segments[bucket >> self.segment_shift].as_deref()?;
        segment.get(bucket & ((1 << self.segment_shift) - 1))
    }

    fn bucket_mut(&mut self, bucket: usize) -> Option<&mut Bucket> {
        let segment = self.segments[bucket >> self.segment_shift].as_deref_mut()?;
        segment.get_mut(bucket & ((1 << self.segment_shift) - 1))
    }

    fn slots(&self) -> usize {
        self.homes * SLOTS
    }

    /// Allocates the segments up to and including the one of `bucket`; for `prepaid` of them the budget is charged
    /// already.
    fn allocate_to(&mut self, bucket: usize, budget: &Budget, prepaid: &mut usize) {
        let last = (bucket >> self.segment_shift).min(self.segments.len() - 1);
        for segment in self.segments[..=last].iter_mut().rev() {
            if segment.is_some() {
                break;
            }
            match prepaid.checked_sub(1) {
                Some(left) => *prepaid = left,
                None => budget.charge(),
            }
            *segment = Some(vec![Bucket::default(); 1 << self.segment_shift].into_boxed_slice());
        }
    }

    /// Where the entry of `hash` for which `is_it` holds lies: bucket and slot.
    #[inline]
    fn find(&self, hash: u64, mut is_it: impl FnMut(ChunkId) -> bool) -> Option<(usize, usize)> {
        let home = self.home(hash);
        let tag = tag_of(hash);
        let mut bucket = self.bucket(home)?;
        let reach = usize::from(bucket.reach);
        let mut distance = 0;
        loop {
            let mut matches = bucket.matches(tag);
            while matches != 0 {
                let slot = slot_of(matches);
                if is_it(ChunkId(bucket.ids[slot])) {
                    return Some((home + distance, slot));
                }
                matches &= matches - 1;
            }
            distance += 1;
            if distance > reach {
                return None;
            }
            bucket = self.bucket(home + distance)?;
        }
    }

    fn insert(&mut self, hash: u64, id: ChunkId) -> bool {
        let first = self.home(hash);
        let has_room =
            |bucket: &usize| self.bucket(*bucket).is_some_and(|bucket| bucket.free_slot().is_some());
        let end = self.homes + TAIL_BUCKETS;
        let Some(last) = (first..end.min(first + STRETCH_MAX)).find(has_room) else { return false };
        let (mut tag, mut id, mut home) = (tag_of(hash), id.0, first);
        for number in first..=last {
            let Some(bucket) = self.bucket_mut(number) else { return false };
            let slot = match bucket.free_slot() {
                Some(free) => free,
                None if number == home => continue,
                None => match bucket.native_slot() {
                    Some(native) => native,
                    None => continue,
                },
            };
            let displaced = (bucket.tags[slot], bucket.ids[slot]);
            bucket.put(slot, tag, id, number != home);
            if number != home
                && let Some(home_bucket) = self.bucket_mut(home)
            {
                home_bucket.away = home_bucket.away.saturating_add(1);
                home_bucket.reach = home_bucket.reach.max((number - home) as u8);
            }
            (tag, id) = displaced;
            home = number;
        }
        true
    }

    /// Empties a slot that holds an entry of `hash`.
    fn remove(&mut self, hash: u64, bucket: usize, slot: usize) {
        if let Some(bucket) = self.bucket_mut(bucket) {
            bucket.put(slot, 0, 0, false);
        }
        let home = self.home(hash);
        if bucket != home
            && let Some(home) = self.bucket_mut(home)
            && home.away < u8::MAX
        {
            home.away -= 1;
            if home.away == 0 {
                home.reach = 0;
            }
        }
    }
}

/// A change of size that is under way.
struct Resize {
    to: Table,
    /// The homes of the old table before this one have moved.
    front: usize,
}

/// What a step of growing or shrinking did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// Items that were looked at.
    pub items: usize,
    /// Those that found no place (see [`STRETCH_MAX`]) and are no longer indexed.
    pub lost: Vec<ChunkId>,
}

/// The index of one partition.
pub(super) struct Index {
    table: Table,
    resize: Option<Resize>,
    items: usize,
    page_bytes: usize,
    /// A change of size begins only once the budget is charged for what it takes.
    prepays: bool,
    /// Segments that the budget is charged for and that are still to come.
    prepaid: usize,
}

impl Index {
    /// An empty index of one segment, charged to `budget`. It grows beyond the limit if it must, for what is evicted
    /// to pay for that; unless it `prepays`, because nothing is.
    ///
    /// # Panics
    /// If a page holds fewer than 16 buckets.
    pub fn new(budget: &Budget, prepays: bool) -> Index {
        let page_bytes = budget.page_bytes();
        assert!(page_bytes / BUCKET_BYTES > TAIL_BUCKETS, "a page of {page_bytes} bytes is too small");
        let mut table = Table::new(1, page_bytes);
        table.allocate_to(0, budget, &mut 0);
        Index { table, resize: None, items: 0, page_bytes, prepays, prepaid: 0 }
    }

    /// How many items are indexed.
    pub fn len(&self) -> usize {
        self.items
    }

    /// Buckets that are there now.
    pub fn buckets(&self) -> usize {
        (self.segments() - self.prepaid) << self.table.segment_shift
    }

    /// Segments, each a page of the budget, those included that it is charged for in advance.
    pub fn segments(&self) -> usize {
        let count = |table: &Table| table.segments.iter().filter(|segment| segment.is_some()).count();
        count(&self.table) + self.resize.as_ref().map_or(0, |resize| count(&resize.to)) + self.prepaid
    }

    /// Whether the index should take no further item, for want of memory to grow.
    pub fn is_crowded(&self) -> bool {
        self.resize.is_none() && self.items * 100 > self.table.slots() * LOAD_PERCENT_CROWDED
    }

    /// Whether a change of size is under way.
    pub fn is_resizing(&self) -> bool {
        self.resize.is_some()
    }

    #[inline]
    fn table_of(&self, hash: u64) -> &Table {
        match &self.resize {
            Some(resize) if self.table.home(hash) < resize.front => &resize.to,
            _ => &self.table,
        }
    }

    fn table_of_mut(&mut self, hash: u64) -> &mut Table {
        match &mut self.resize {
            Some(resize) if self.table.home(hash) < resize.front => &mut resize.to,
            _ => &mut self.table,
        }
    }

    /// The item of `hash` for which `is_it` holds.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl FnMut(ChunkId) -> bool) -> Option<ChunkId> {
        let table = self.table_of(hash);
        let (bucket, slot) = table.find(hash, is_it)?;
        table.bucket(bucket).map(|bucket| ChunkId(bucket.ids[slot]))
    }

    /// Has the bucket that a look-up of `hash` begins with brought from memory.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        let table = self.table_of(hash);
        let home = table.home(hash);
        if let Some(segment) = table.segments[home >> table.segment_shift].as_deref() {
            prefetch_index(segment, home & ((1 << table.segment_shift) - 1));
        }
    }

    /// The first item in that bucket that may be the one of `hash`.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Option<ChunkId> {
        let table = self.table_of(hash);
        let bucket = table.bucket(table.home(hash))?;
        let matches = bucket.matches(tag_of(hash));
        (matches != 0).then(|| ChunkId(bucket.ids[slot_of(matches)]))
    }

    /// Shows the entries of all hashes from place `from` in their order up to the place that is returned,
    /// which is another one; an entry of a neighbour may be shown, too. `from` is below [`ORDER_END`].
    pub fn stretch(&self, from: u64, mut show: impl FnMut(ChunkId)) -> u64 {
        let (table, end) = match &self.resize {
            Some(resize) if self.table.home(from) < resize.front => {
                (&resize.to, self.table.start_of(resize.front))
            }
            _ => (&self.table, ORDER_END),
        };
        let home = table.home(from);
        let reach = table.bucket(home).map_or(0, |bucket| usize::from(bucket.reach));
        for distance in 0..=reach {
            let Some(bucket) = table.bucket(home + distance) else { break };
            let is_foreign = u16::from(distance > 0);
            for slot in 0..SLOTS {
                if bucket.tags[slot] != 0 && bucket.foreign >> slot & 1 == is_foreign {
                    show(ChunkId(bucket.ids[slot]));
                }
            }
        }
        table.start_of(home + 1).min(end)
    }

    /// Adds an item. `false` if there is no place within reach: the item is not indexed then.
    #[must_use]
    pub fn insert(&mut self, hash: u64, id: ChunkId) -> bool {
        let inserted = self.table_of_mut(hash).insert(hash, id);
        self.items += usize::from(inserted);
        inserted
    }

    /// Takes an item out. `false` if it is not indexed under `hash`.
    pub fn remove(&mut self, hash: u64, id: ChunkId) -> bool {
        let table = self.table_of_mut(hash);
        let Some((bucket, slot)) = table.find(hash, |other| other == id) else { return false };
        table.remove(hash, bucket, slot);
        self.items -= 1;
        true
    }

    /// Lets the entry of one item name another chunk. `false` if it is not indexed under `hash`.
    pub fn replace(&mut self, hash: u64, id: ChunkId, with: ChunkId) -> bool {
        let table = self.table_of_mut(hash);
        let Some((bucket, slot)) = table.find(hash, |other| other == id) else { return false };
        if let Some(bucket) = table.bucket_mut(bucket) {
            bucket.ids[slot] = with.0;
        }
        true
    }

    /// Forgets all items and goes back to one segment.
    pub fn clear(&mut self, budget: &Budget) {
        for _ in 0..self.segments() {
            budget.discharge();
        }
        *self = Index::new(budget, self.prepays);
    }

    /// Does the work of growing or shrinking that one insertion owes: none, or two buckets.
    /// `hash_all` gives the hashes of some items' keys.
    pub fn work(&mut self, budget: &Budget, hash_all: impl Fn(&[ChunkId], &mut [u64])) -> Moves {
        if self.resize.is_none() {
            let Some(segments) = self.wanted_segments() else { return Moves::default() };
            if self.prepays && !self.prepay(segments, budget) {
                return Moves::default();
            }
            self.resize = Some(Resize { to: Table::new(segments, self.page_bytes), front: 0 });
        }
        let mut moves = Moves::default();
        for _ in 0..STEPS_PER_INSERT {
            self.step(budget, &hash_all, &mut moves);
        }
        moves
    }

    /// Charges the budget for what a change to so many segments takes at its height. `false` if that is too much.
    fn prepay(&mut self, segments: usize, budget: &Budget) -> bool {
        // Old segments go behind the front one by one. The one at the front is there twice, as is what lies a stretch
        // (a segment at most) ahead of it, begun segments on both sides.
        let extra = segments.saturating_sub(self.table.segments.len()) + 3;
        self.prepaid = (0..extra).take_while(|_| budget.try_charge()).count();
        let is_paid = self.prepaid == extra;
        if !is_paid {
            self.discharge_prepaid(budget);
        }
        is_paid
    }

    fn discharge_prepaid(&mut self, budget: &Budget) {
        (0..std::mem::take(&mut self.prepaid)).for_each(|_| budget.discharge());
    }

    /// The size that the table should have, if that is another than it has.
    fn wanted_segments(&self) -> Option<usize> {
        let (segments, slots) = (self.table.segments.len(), self.table.slots());
        if self.items * 100 > slots * LOAD_PERCENT_MAX {
            return Some(segments + segments.div_ceil(4));
        }
        let is_sparse = segments > 1 && self.items * 100 < slots * LOAD_PERCENT_MIN;
        is_sparse.then_some(segments.div_ceil(2))
    }

    /// Moves the entries of the home at the front; ends the resize after the last.
    fn step(&mut self, budget: &Budget, hash_all: &impl Fn(&[ChunkId], &mut [u64]), moves: &mut Moves) {
        let Some(resize) = &mut self.resize else { return };
        let from = &mut self.table;
        let home = resize.front;
        let last_target = ((home as u64 + 1) * resize.to.homes as u64).div_ceil(from.homes as u64) as usize;
        resize.to.allocate_to(last_target + STRETCH_MAX, budget, &mut self.prepaid);
        resize.front += 1;
        let reach = from.bucket(home).map_or(0, |bucket| usize::from(bucket.reach));
        for bucket in home..=home + reach {
            // Behind the home only foreign slots matter; what is at home there stays.
            let Some(held) = from.bucket(bucket) else { break };
            let matters =
                |slot: usize| held.tags[slot] != 0 && (bucket == home || held.foreign >> slot & 1 == 1);
            let (mut slots, mut ids, mut hashes) = ([0; SLOTS], [ChunkId::NONE; SLOTS], [0; SLOTS]);
            let mut count = 0;
            for slot in (0..SLOTS).filter(|&slot| matters(slot)) {
                (slots[count], ids[count]) = (slot, ChunkId(held.ids[slot]));
                count += 1;
            }
            hash_all(&ids[..count], &mut hashes[..count]);
            moves.items += count;
            for ((slot, id), hash) in slots.into_iter().zip(ids).zip(hashes).take(count) {
                if from.home(hash) != home {
                    continue;
                }
                from.remove(hash, bucket, slot);
                if !resize.to.insert(hash, id) {
                    self.items -= 1;
                    moves.lost.push(id);
                }
            }
        }
        if resize.front.trailing_zeros() >= from.segment_shift {
            let passed = (resize.front >> from.segment_shift) - 1;
            from.segments[passed] = None;
            if self.prepays {
                // What it was charged for is needed ahead of the front; others would take it.
                self.prepaid += 1;
            } else {
                budget.discharge();
            }
        }
        if resize.front == from.homes {
            self.finish(budget);
        }
    }

    fn finish(&mut self, budget: &Budget) {
        let Some(mut resize) = self.resize.take() else { return };
        resize.to.allocate_to(resize.to.homes + TAIL_BUCKETS - 1, budget, &mut self.prepaid);
        self.discharge_prepaid(budget);
        for segment in &mut self.table.segments {
            if segment.take().is_some() {
                budget.discharge();
            }
        }
        self.table = resize.to;
    }

    /// Every item, in no particular order.
    #[cfg(any(test, fuzzing))]
    pub fn ids(&self) -> Vec<ChunkId> {
        let tables = std::iter::once(&self.table).chain(self.resize.as_ref().map(|resize| &resize.to));
        let buckets =
            tables.flat_map(|table| table.segments.iter().flatten().flat_map(|segment| segment.iter()));
        let entries = buckets.flat_map(|bucket| bucket.tags.iter().zip(&bucket.ids));
        entries.filter(|(tag, _)| **tag != 0).map(|(_, id)| ChunkId(*id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const PAGE: usize = 1024;

    fn hash_of(id: ChunkId) -> u64 {
        crate::base::hash::KeyHasher::with_seed(11).hash(&id.0.to_le_bytes())
    }

    fn hash_all(ids: &[ChunkId], hashes: &mut [u64]) {
        hashes.iter_mut().zip(ids).for_each(|(hash, &id)| *hash = hash_of(id));
    }

    fn work(index: &mut Index, budget: &Budget) {
        assert_eq!(index.work(budget, hash_all).lost, [], "no item may be lost at this load");
    }

    #[test]
    fn it_grows_in_small_steps_and_stays_dense() {
        let budget = Budget::new(1 << 20, 16384, 0);
        let mut index = Index::new(&budget, false);
        for n in 0..100_000 {
            work(&mut index, &budget);
            assert!(index.insert(hash_of(ChunkId(n)), ChunkId(n)));
            assert_eq!(budget.used(), index.segments());
        }
        for n in 0..100_000 {
            let found = index.find(hash_of(ChunkId(n)), |id| id == ChunkId(n));
            assert_eq!(found, Some(ChunkId(n)));
        }
        assert_eq!(index.find(hash_of(ChunkId(100_001)), |id| id == ChunkId(100_001)), None);
        let bytes_per_item = index.segments() as f64 * 16384.0 / 100_000.0;
        assert!((5.5..8.5).contains(&bytes_per_item), "{bytes_per_item} bytes per item");
    }

    #[test]
    fn it_shrinks_when_items_leave_and_clears_at_once() {
        let budget = Budget::new(1 << 20, PAGE, 0);
        let mut index = Index::new(&budget, false);
        for n in 0..10_000 {
            work(&mut index, &budget);
            assert!(index.insert(hash_of(ChunkId(n)), ChunkId(n)));
        }
        let full = index.segments();
        for n in 100..10_000 {
            assert!(index.remove(hash_of(ChunkId(n)), ChunkId(n)));
            work(&mut index, &budget);
        }
        assert!(index.segments() * 4 < full, "{} of {full} segments left", index.segments());
        assert!((0..100).all(|n| index.find(hash_of(ChunkId(n)), |id| id == ChunkId(n)).is_some()));
        index.clear(&budget);
        assert_eq!((index.len(), budget.used()), (0, 1));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_map(steps in prop::collection::vec((0u8..4, 0u32..400), 1..2000)) {
            let budget = Budget::new(1 << 20, PAGE, 0);
            let mut index = Index::new(&budget, false);
            let mut model: HashMap<u32, ChunkId> = HashMap::new();
            for (action, key) in steps {
                let hash = hash_of(ChunkId(key));
                match (action, model.get(&key).copied()) {
                    (0 | 1, None) => {
                        prop_assert!(index.work(&budget, hash_all).lost.is_empty());
                        prop_assert!(index.insert(hash, ChunkId(key)));
                        model.insert(key, ChunkId(key));
                    }
                    (2, known) => {
                        prop_assert_eq!(index.remove(hash, known.unwrap_or(ChunkId(key))), known.is_some());
                        model.remove(&key);
                    }
                    (3, Some(id)) => {
                        prop_assert!(index.replace(hash, id, id));
                        prop_assert!(!index.replace(hash, ChunkId(id.0 + 1_000_000), id));
                    }
                    (_, known) => {
                        prop_assert_eq!(index.find(hash, |id| id.0 == key), known);
                    }
                }
                prop_assert_eq!(index.len(), model.len());
                prop_assert_eq!(budget.used(), index.segments());
            }
            let mut ids = index.ids();
            ids.sort_by_key(|id| id.0);
            let mut expected: Vec<ChunkId> = model.into_values().collect();
            expected.sort_by_key(|id| id.0);
            prop_assert_eq!(&ids, &expected);
            let (mut met, mut from) = (Vec::new(), 0);
            while from < ORDER_END {
                let mut shown = Vec::new();
                let next = index.stretch(from, |id| shown.push(id));
                prop_assert!(next > from);
                met.extend(shown.into_iter().filter(|&id| (from..next).contains(&order_of(hash_of(id)))));
                from = next;
            }
            met.sort_by_key(|id| id.0);
            prop_assert_eq!(met, expected);
        }
    }
}
