//! One partition: an index, slab pages and an LRU per class, all under one lock.
//!
//! Here are look-up, hit, touch, delete and arithmetic; `storing` puts items in, `eviction` makes room.
//! A partition knows no other partition: what it cannot get from its own pages or the budget it asks
//! for with [`Shortage`], and the [`Store`](super::Store) finds it elsewhere.

use std::sync::{Arc, OnceLock};

use super::budget::{Budget, PageBytes};
use super::events::EventListener;
use super::figures::{ClassFigures, PartitionFigures, StoreStats, requests};
use super::ghosts::Ghosts;
use super::housekeeping::{Demand, LruRules, PageTimes, Turnover};
use super::index::Index;
use super::item::{ChunkId, HEAT_MAX, Segment, state};
use super::large::LargeValue;
use super::lru::Lru;
use super::provision::{Provision, Shortage};
use super::slab::{ChunkSizes, ClassId, Slab};
use super::tunables::Tunables;
use super::walk::ItemDetails;
use crate::base::clock::{Deadline, Seconds};
use crate::base::hash::KeyHasher;

/// A key with its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) hash: u64,
}

impl Key<'static> {
    /// Stands for a key in a list that is still to be filled.
    pub const NONE: Key<'static> = Key { bytes: b"", hash: 0 };
}

impl<'a> Key<'a> {
    /// The key itself.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// What all partitions of a store have in common.
pub(super) struct Shared {
    pub budget: Arc<Budget>,
    pub hasher: KeyHasher,
    pub sizes: ChunkSizes,
    /// What each class would gain by more memory.
    pub demand: Demand,
    /// Evict items for room; if not, refuse new ones (`-M`).
    pub evict: bool,
    /// Pages may move between classes (`-o slab_reassign`).
    pub reassign: bool,
    /// What may change at any time.
    pub tunables: Tunables,
    /// Who is told of what the store does by itself.
    pub listener: OnceLock<Box<dyn EventListener>>,
    /// Largest item allowed, by [`memcached_item_bytes`](super::memcached_item_bytes).
    pub item_bytes_max: usize,
    /// Give every stored item a CAS unique; if not, all are 0 (`-C`).
    pub cas_enabled: bool,
    /// A partition's even share of the memory limit.
    pub partition_bytes: usize,
    /// Evictions that are told apart in age, in pages' worth of chunks.
    pub pages_per_epoch: u32,
    /// log2 of the number of partitions: CAS uniques are unique across them.
    pub partition_bits: u32,
}

impl Shared {
    /// The class, for LRU and figures, of items with blocks: one after those that have chunks.
    pub fn large_class(&self) -> usize {
        self.sizes.len()
    }
}

/// An item as a reader sees it while its partition is locked.
#[derive(Clone, Copy, Debug)]
pub struct ItemView<'a> {
    /// The flags that the client stored with it.
    pub client_flags: u32,
    /// Its CAS unique; 0 if they are switched off.
    pub cas: u64,
    /// Bytes of the value.
    pub value_bytes: usize,
    /// The first part of a large value. A clone of it may outlive the lock.
    pub large: Option<&'a LargeValue>,
    /// The value of an item that is not large, the end of the value of one that is.
    pub tail: &'a [u8],
}

/// What an increment or decrement came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// The new number.
    Value(u64),
    /// No such key.
    NotFound,
    /// The value is not a decimal number of 64 bits.
    NonNumeric,
    /// The longer number found no memory.
    OutOfMemory,
}

/// Which way to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Add, modulo 2^64.
    Incr,
    /// Subtract, but not below 0.
    Decr,
}

/// One partition of the store.
pub(super) struct Partition {
    pub shared: Arc<Shared>,
    /// Which one of the store's partitions this is.
    number: u32,
    pub index: Index,
    pub slab: Slab,
    /// By class, the class of large items last.
    pub lru: Vec<Lru>,
    pub class_figures: Vec<ClassFigures>,
    /// Bytes of header, key and value, by class.
    pub class_bytes: Vec<u64>,
    /// Idle time of the last victim in seconds, by class.
    pub evicted_time: Vec<u32>,
    /// What each class evicts.
    pub turnover: Vec<Turnover>,
    /// When each class last gave or took a page by automove.
    pub page_times: Vec<PageTimes>,
    pub ghosts: Ghosts,
    pub large: slab::Slab<LargeValue>,
    /// Pages of all that is in `large`.
    pub large_pages: usize,
    pub figures: PartitionFigures,
    stores: u64,
    /// The delayed flush that was last carried out here.
    pub flushed_at: u32,
    /// Pages that the budget is charged for the tables of deadlines.
    pub deadline_pages: usize,
}

impl Partition {
    pub fn new(shared: Arc<Shared>, number: u32) -> Partition {
        let classes = shared.large_class() + 1;
        Partition {
            number,
            index: Index::new(&shared.budget, !shared.evict),
            // What may not be evicted must not need memory for a deadline later.
            slab: Slab::new(&shared.sizes, shared.budget.page_bytes(), !shared.evict),
            lru: vec![Lru::EMPTY; classes],
            class_figures: vec![ClassFigures::default(); classes],
            class_bytes: vec![0; classes],
            evicted_time: vec![0; classes],
            turnover: vec![Turnover::default(); classes],
            page_times: vec![PageTimes::default(); classes],
            ghosts: Ghosts::new(shared.partition_bytes, &shared.budget),
            large: slab::Slab::new(),
            large_pages: 0,
            figures: PartitionFigures::default(),
            stores: 0,
            flushed_at: 0,
            deadline_pages: 0,
            shared,
        }
    }

    /// A CAS unique that no item in any partition had before; greater than all given out here.
    pub fn next_cas(&mut self) -> u64 {
        if !self.shared.cas_enabled {
            return 0;
        }
        self.stores += 1;
        self.stores << self.shared.partition_bits | u64::from(self.number)
    }

    /// The item of a key, whether it is over or not.
    #[inline]
    pub fn find(&self, key: &Key) -> Option<ChunkId> {
        self.index.find(key.hash, |id| self.slab.item(id).key() == key.bytes)
    }

    /// The live item of a key. An expired one is removed here.
    #[inline]
    pub fn lookup(&mut self, key: &Key, now: Seconds) -> Option<ChunkId> {
        let id = self.find(key)?;
        if self.slab.deadline(id).has_passed(now) {
            self.figures.get_expired += 1;
            self.remove_expired(id, key.hash);
            return None;
        }
        Some(id)
    }

    pub fn remove_expired(&mut self, id: ChunkId, hash: u64) {
        let item = self.slab.item(id);
        if !item.has(state::FETCHED) {
            self.class_figures[usize::from(item.class())].expired_unfetched += 1;
        }
        self.unlink(id, hash);
    }

    /// Takes an item out of index and LRU and frees its chunk.
    pub fn unlink(&mut self, id: ChunkId, hash: u64) {
        let indexed = self.index.remove(hash, id);
        debug_assert!(indexed, "a linked item is in the index");
        self.forget(id);
    }

    /// Frees a linked item that is no longer in the index.
    pub fn forget(&mut self, id: ChunkId) {
        self.detach(id);
        self.free_chunk(id);
    }

    /// Takes an item that is no longer in the index out of everything else but its chunk.
    pub fn detach(&mut self, id: ChunkId) {
        let item = self.slab.item(id);
        let (class, bytes, large) = (usize::from(item.class()), item.total_bytes(), item.large());
        self.class_bytes[class] -= bytes as u64;
        self.lru[class].remove(&mut self.slab, id);
        if let Some(slot) = large {
            self.large_pages -= self.large.remove(slot as usize).let_go();
        }
    }

    /// Frees a chunk; a page that is empty then goes back to the budget.
    pub fn free_chunk(&mut self, id: ChunkId) {
        let page = self.slab.page_of(id);
        self.slab.free_chunk(id);
        self.give_up_if_empty(page);
    }

    /// Gives a page back to the budget if nothing is in it.
    pub fn give_up_if_empty(&mut self, page: u32) {
        if self.slab.is_empty(page) {
            let bytes = self.remove_page(page);
            self.shared.budget.give_back(bytes);
        }
    }

    /// Gives a class a page that is charged to the budget. `false` if it went back there instead: its chunks could
    /// not be named, or, where nothing is evicted, its table of deadlines would exceed the limit.
    pub fn add_page(&mut self, class: ClassId, page: PageBytes) -> bool {
        let pages = self.slab.deadline_bytes_with(class).div_ceil(self.slab.page_bytes());
        let mut fits = self.slab.can_name_a_page();
        while fits && self.deadline_pages < pages {
            fits = self.shared.budget.try_charge();
            self.deadline_pages += usize::from(fits);
        }
        if fits {
            self.slab.add_page(class, page);
        } else {
            self.charge_deadlines();
            self.shared.budget.give_back(page);
        }
        fits
    }

    /// Takes a page out of the slab, which stays charged to the budget.
    pub fn remove_page(&mut self, page: u32) -> PageBytes {
        let bytes = self.slab.remove_page(page);
        self.charge_deadlines();
        bytes
    }

    /// An even share of the memory limit, in pages.
    fn share(&self) -> usize {
        self.shared.budget.limit() >> self.shared.partition_bits
    }

    /// Pages of items.
    fn item_pages(&self) -> usize {
        self.slab.page_count() + self.large_pages
    }

    /// Whether the partition has more than its share of the memory limit, so that it is the one to give.
    pub fn is_above_share(&self) -> bool {
        let ghosts = self.ghosts.charged_pages(&self.shared.budget);
        self.item_pages() + self.index.segments() + self.deadline_pages + ghosts > self.share()
    }

    /// Whether the partition has so much less than its share that it should get pages of others instead of
    /// evicting from its own.
    pub fn is_far_below_share(&self) -> bool {
        self.item_pages() * 2 < self.share()
    }

    /// Gives the ghosts a size that goes with the memory limit. They forget all if they had another.
    pub fn fit_ghosts(&mut self) {
        self.ghosts.fit(self.share() * self.slab.page_bytes(), &self.shared.budget);
    }

    /// Gives a linked item a deadline.
    #[inline]
    pub fn set_deadline(&mut self, id: ChunkId, deadline: Deadline) {
        if self.slab.set_deadline(id, deadline) {
            self.charge_deadlines();
        }
    }

    /// Brings what the budget is charged for deadlines up to date.
    fn charge_deadlines(&mut self) {
        let pages = self.slab.deadline_bytes().div_ceil(self.slab.page_bytes());
        while self.deadline_pages < pages {
            self.shared.budget.charge();
            self.deadline_pages += 1;
        }
        while self.deadline_pages > pages {
            self.shared.budget.discharge();
            self.deadline_pages -= 1;
        }
    }

    /// Marks a hit: heat for the LRU; and for who asks, as in memcached, the first since the item was
    /// stored makes it fetched, the second active. After the third nothing is written. By memcached's rules
    /// an item of COLD that becomes active moves to WARM at once.
    #[inline]
    pub fn mark_hit(&mut self, id: ChunkId, now: Seconds) {
        let rules = self.rules();
        let item = self.slab.item(id);
        let (state, heat) = (item.state(), item.heat());
        if heat < HEAT_MAX {
            self.slab.item_mut(id).set_heat(heat + 1);
        }
        if rules == LruRules::Flat {
            self.mark_hit_flat(id, now);
        } else if state & state::FETCHED == 0 {
            self.slab.item_mut(id).mark(state::FETCHED);
        } else if state & state::ACTIVE == 0 {
            let mut item = self.slab.item_mut(id);
            item.mark(state::ACTIVE);
            item.set_accessed(now);
            let item = self.slab.item(id);
            if rules == LruRules::Classic && item.segment() == Segment::Cold {
                self.move_classic(id, usize::from(item.class()), Segment::Warm);
            }
        }
    }

    /// Notes that an item is of use to those who do not read it: by counting, or by asking for it with an add.
    /// As in memcached it is not fetched by that, but kept like one that is.
    pub fn note_use(&mut self, id: ChunkId, now: Seconds) {
        let heat = self.slab.item(id).heat();
        self.slab.item_mut(id).set_heat(HEAT_MAX.min(heat + 1));
        match self.rules() {
            LruRules::Flat => self.bump_flat(id, now),
            _ => self.slab.item_mut(id).set_accessed(now),
        }
    }

    pub fn count_segment_hit(&mut self, id: ChunkId) -> usize {
        let item = self.slab.item(id);
        let class = usize::from(item.class());
        let figures = &mut self.class_figures[class];
        match item.segment() {
            Segment::Hot => figures.hits_to_hot += 1,
            Segment::Warm => figures.hits_to_warm += 1,
            Segment::Cold => figures.hits_to_cold += 1,
            Segment::Temp => figures.hits_to_temp += 1,
        }
        class
    }

    pub fn view(&self, id: ChunkId) -> ItemView<'_> {
        let item = self.slab.item(id);
        let value_bytes = item.value_bytes();
        let large = item.large().and_then(|slot| self.large.get(slot as usize));
        let tail = match large {
            None => item.value(),
            Some(large) => item.tail(value_bytes - large.len()),
        };
        ItemView { client_flags: item.client_flags(), cas: item.cas(), value_bytes, large, tail }
    }

    /// The item of a key, counted as a get.
    #[inline]
    pub fn get(&mut self, key: &Key, now: Seconds) -> Option<ItemView<'_>> {
        let Some(id) = self.lookup(key, now) else {
            self.figures.get_misses += 1;
            return None;
        };
        let class = self.count_segment_hit(id);
        self.mark_hit(id, now);
        self.class_figures[class].get_hits += 1;
        Some(self.view(id))
    }

    /// Gives a key's item another deadline and returns it, counted as a touch.
    pub fn touch(&mut self, key: &Key, deadline: Deadline, now: Seconds) -> Option<ItemView<'_>> {
        let Some(id) = self.lookup(key, now) else {
            self.figures.touch_misses += 1;
            return None;
        };
        let class = usize::from(self.slab.item(id).class());
        self.mark_hit(id, now);
        self.class_figures[class].touch_hits += 1;
        self.set_deadline(id, deadline);
        self.leave_temp(id, class, deadline, now);
        Some(self.view(id))
    }

    /// Deletes a key's item. `false` if there is none.
    pub fn delete(&mut self, key: &Key, now: Seconds) -> bool {
        let Some(id) = self.lookup(key, now) else {
            self.figures.delete_misses += 1;
            return false;
        };
        self.class_figures[usize::from(self.slab.item(id).class())].delete_hits += 1;
        self.unlink(id, key.hash);
        true
    }

    /// Removes a key's item because a newer value for it was refused; counted as nothing.
    pub fn discard(&mut self, key: &Key, now: Seconds) {
        if let Some(id) = self.lookup(key, now) {
            self.unlink(id, key.hash);
        }
    }

    /// Adds to the number that a key's item holds, or subtracts from it.
    ///
    /// As in memcached the text is replaced in place and padded with blanks where it does not grow.
    pub fn arithmetic(
        &mut self,
        key: &Key,
        direction: Direction,
        delta: u64,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<Arithmetic, Shortage> {
        let Some(id) = self.lookup(key, now) else {
            match direction {
                Direction::Incr => self.figures.incr_misses += 1,
                Direction::Decr => self.figures.decr_misses += 1,
            }
            return Ok(Arithmetic::NotFound);
        };
        let item = self.slab.item(id);
        let number = if item.is_large() { None } else { leading_number(item.value()) };
        let Some(number) = number else { return Ok(Arithmetic::NonNumeric) };
        let (result, old_bytes, class) = match direction {
            Direction::Incr => (number.wrapping_add(delta), item.value_bytes(), usize::from(item.class())),
            Direction::Decr => (number.saturating_sub(delta), item.value_bytes(), usize::from(item.class())),
        };
        let mut digits = itoa::Buffer::new();
        let text = digits.format(result).as_bytes();
        if text.len() <= old_bytes {
            self.overwrite_number(id, text, old_bytes, now);
        } else {
            self.store_number(id, key, text, now, provision)?;
        }
        match direction {
            Direction::Incr => self.class_figures[class].incr_hits += 1,
            Direction::Decr => self.class_figures[class].decr_hits += 1,
        }
        Ok(Arithmetic::Value(result))
    }

    fn overwrite_number(&mut self, id: ChunkId, text: &[u8], old_bytes: usize, now: Seconds) {
        const BLANKS: [u8; 64] = [b' '; 64];
        let cas = self.next_cas();
        let mut item = self.slab.item_mut(id);
        item.write_tail(0, text);
        let mut at = text.len();
        while at < old_bytes {
            let n = (old_bytes - at).min(BLANKS.len());
            item.write_tail(at, &BLANKS[..n]);
            at += n;
        }
        item.set_cas(cas);
        self.note_use(id, now);
    }

    /// Shows the live items of a class, segment by segment, newest first. Stops, and returns `false`, when `show`
    /// does.
    pub fn for_each_item(
        &self,
        class: usize,
        now: Seconds,
        show: &mut impl FnMut(&ItemDetails) -> bool,
    ) -> bool {
        let mut live = Segment::ALL
            .into_iter()
            .flat_map(|segment| self.lru[class].newest_first(&self.slab, segment))
            .map(|id| (self.slab.item(id), self.slab.deadline(id)))
            .filter(|(_, deadline)| !deadline.has_passed(now));
        live.all(|(item, deadline)| show(&ItemDetails::new(item, deadline, now)))
    }

    /// Adds this partition's state to `sum`, whose classes are all there.
    pub fn add_stats(&self, sum: &mut StoreStats, now: Seconds) {
        sum.figures += &self.figures;
        sum.items += self.index.len() as u64;
        sum.fullest_partition_items = sum.fullest_partition_items.max(self.index.len() as u64);
        sum.busiest_partition_requests =
            sum.busiest_partition_requests.max(requests(&self.figures, &self.class_figures));
        sum.index_bytes += (self.index.segments() * self.slab.page_bytes()) as u64;
        sum.index_buckets += self.index.buckets() as u64;
        sum.index_is_resizing |= self.index.is_resizing();
        let bytes = |pages: usize| (pages * self.slab.page_bytes()) as u64;
        sum.large_bytes += bytes(self.large_pages);
        sum.deadline_bytes += bytes(self.deadline_pages);
        sum.ghost_bytes += bytes(self.ghosts.charged_pages(&self.shared.budget));
        for (class, stats) in sum.classes.iter_mut().enumerate() {
            stats.figures += &self.class_figures[class];
            stats.requested_bytes += self.class_bytes[class];
            stats.evicted_time = stats.evicted_time.max(self.evicted_time[class]);
            sum.bytes += self.class_bytes[class];
            for segment in Segment::ALL {
                let list = self.lru[class].list(segment);
                stats.segment_items[segment as usize] += u64::from(list.len);
                if segment != Segment::Temp && list.oldest.is_some() {
                    let age = self.slab.item(list.oldest).idle_seconds(now);
                    let oldest = &mut stats.ages[segment as usize];
                    *oldest = age.max(*oldest);
                }
            }
            if let Some(in_slab) = self.slab.classes().get(class) {
                stats.pages += u64::from(in_slab.pages);
                stats.used_chunks += u64::from(in_slab.used_chunks);
            }
        }
    }

    /// Checks that index, LRU, slab and the counts agree.
    ///
    /// # Panics
    /// If they do not.
    #[cfg(any(test, fuzzing))]
    pub fn check(&self) {
        use std::collections::HashSet;
        self.slab.check();
        let indexed: HashSet<ChunkId> = self.index.ids().into_iter().collect();
        assert_eq!(indexed.len(), self.index.len());
        let mut listed = HashSet::new();
        let mut large = 0;
        for (class, lru) in self.lru.iter().enumerate() {
            let mut bytes = 0;
            for segment in Segment::ALL {
                let ids: Vec<ChunkId> = lru.oldest_first(&self.slab, segment).collect();
                assert_eq!(ids.len(), lru.list(segment).len as usize);
                for id in ids {
                    let item = self.slab.item(id);
                    assert!(item.is_linked() && usize::from(item.class()) == class);
                    assert_eq!(item.segment(), segment);
                    bytes += item.total_bytes() as u64;
                    large += usize::from(item.large().is_some());
                    assert!(listed.insert(id), "an item is in one list");
                }
            }
            assert_eq!(bytes, self.class_bytes[class], "bytes of class {class}");
        }
        assert_eq!(listed, indexed);
        assert_eq!(large, self.large.len());
        let large_pages: usize = self.large.iter().map(|(_, value)| value.pages()).sum();
        assert_eq!(large_pages, self.large_pages);
        let used: u32 = self.slab.classes().iter().map(|class| class.used_chunks).sum();
        let reserved = used as usize - listed.len();
        let unlinked = |page| {
            self.slab
                .chunks(page)
                .filter(|&id| self.slab.item(id).key_bytes() != 0 && !self.slab.item(id).is_linked())
                .count()
        };
        assert_eq!(reserved, self.slab.pages(None).map(unlinked).sum::<usize>(), "reserved chunks");
    }
}

/// The decimal number at the start of `text`, as C's `strtoull` and memcached's rules read it: leading
/// white space and a plus sign are skipped, the number ends at white space, at a NUL or with the text.
fn leading_number(text: &[u8]) -> Option<u64> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte))?;
    let text = &text[start..];
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let end = text.iter().position(|byte| is_space(byte) || *byte == 0).unwrap_or(text.len());
    let digits = &text[..end];
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::leading_number;

    #[test]
    fn numbers_are_read_as_strtoull_reads_them() {
        for (text, number) in [
            (&b"12"[..], Some(12)),
            (b" 12", Some(12)),
            (b"\t+12 abc", Some(12)),
            (b"12\0", Some(12)),
            (b"12\0abc", Some(12)),
            (b"\x0012", None),
            (b"12abc", None),
            (b"-1", None),
            (b"", None),
            (b"   ", None),
            (b"+", None),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
        ] {
            assert_eq!(leading_number(text), number, "{text:?}");
        }
    }
}
