//! Making room: where a chunk comes from and what goes for it. How a page leaves a class is in `page_moves`.

use super::budget::PageBytes;
use super::events::EvictionCause;
use super::ghosts::EPOCHS;
use super::housekeeping::{self, Fate, LruRules};
use super::item::{ChunkId, Segment, state};
use super::large::LargeValue;
use super::page_moves::Release;
use super::partition::Partition;
use super::provision::{Provision, Shortage};
use super::slab::ClassId;
use crate::base::clock::{Deadline, Seconds};

/// Oldest items looked at for one chunk before the next goes even if it was read. Each item spared loses
/// its mark, so that on the whole there is one look per hit; the bound is for the single allocation.
const LOOKS_MAX: u32 = 50;

impl Partition {
    /// A chunk of `class`: free, from a new page, or by eviction, in that order.
    #[inline]
    pub fn allocate(
        &mut self,
        class: ClassId,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<ChunkId, Shortage> {
        if !self.shared.evict && self.index.is_crowded() {
            return Err(Shortage::FINAL);
        }
        match self.slab.take_chunk(class) {
            Some(id) => Ok(id),
            None => self.allocate_with_effort(class, now, provision),
        }
    }

    fn allocate_with_effort(
        &mut self,
        class: ClassId,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<ChunkId, Shortage> {
        if self.shared.evict && self.shared.budget.is_overdrawn() && self.is_above_share() {
            self.pay_back(now);
        }
        loop {
            if let Some(id) = self.slab.take_chunk(class) {
                return Ok(id);
            }
            let can_name_a_page = self.slab.can_name_a_page();
            let page = if can_name_a_page { self.page_at_hand(provision) } else { None };
            let had_page = page.is_some();
            if page.is_some_and(|page| self.add_page(class, page)) {
                continue;
            }
            if !self.shared.evict {
                if !self.reclaim_expired(class, now) {
                    // What does not fit although there is a page fits no better with another.
                    return Err(if had_page { Shortage::FINAL } else { Shortage { pages: 1 } });
                }
            } else if !can_name_a_page {
                // Only a page of the slab that goes leaves a name.
                if !self.evict_from(class.index(), now) {
                    match self.release_slab_page(None, Some(class), now) {
                        Release::Page(page) => drop(self.add_page(class, page)),
                        _ => return Err(Shortage::FINAL),
                    }
                }
            } else if self.wants_pages_of_others() && !provision.is_all {
                return Err(Shortage { pages: 1 });
            } else if let Some(page) = self.page_for_demand(class, now) {
                self.add_page(class, page);
            } else if !self.evict_from(class.index(), now) {
                match self.release_page(now) {
                    Release::Page(page) => drop(self.add_page(class, page)),
                    Release::ToBudget => {}
                    Release::Nothing if self.slab.is_bare() => {
                        self.add_page(class, self.shared.budget.take_beyond_limit());
                    }
                    Release::Nothing => return Err(Shortage { pages: 1 }),
                }
            }
        }
    }

    /// A page that nothing has to be taken away for.
    fn page_at_hand(&self, provision: &mut Provision) -> Option<PageBytes> {
        provision.pages.pop().or_else(|| self.shared.budget.take())
    }

    /// Whether others should give their pages before this partition evicts from its own.
    fn wants_pages_of_others(&self) -> bool {
        self.is_far_below_share() && !self.shared.budget.is_overdrawn()
    }

    /// Whether a key that is being stored was evicted a short while ago.
    pub fn returns(&mut self, hash: u64, class: usize) -> bool {
        let Some(epoch) = self.ghosts.recall(hash) else { return false };
        let epochs_ago = self.epoch(class).wrapping_sub(epoch) % EPOCHS;
        self.shared.demand.note_return(class, epochs_ago * self.shared.pages_per_epoch);
        true
    }

    /// Evictions of a class so far, in epochs.
    pub fn epoch(&self, class: usize) -> u32 {
        self.turnover[class].epoch(self.chunks_per_page(class) * self.shared.pages_per_epoch)
    }

    fn chunks_per_page(&self, class: usize) -> u32 {
        self.slab.classes().get(class).map_or(1, |class| class.chunks_per_page)
    }

    /// Gives a page back that the index has taken beyond the limit.
    fn pay_back(&mut self, now: Seconds) {
        if let Release::Page(page) = self.release_page(now) {
            self.shared.budget.give_back(page);
        }
    }

    /// Frees the chunk of one item of a class. `false` if it has none.
    pub fn evict_from(&mut self, class: usize, now: Seconds) -> bool {
        self.class_figures[class].direct_reclaims += 1;
        self.evict_coldest(class, EvictionCause::Chunk, now)
    }

    /// Takes away the item that a class would miss least. `false` if it has none, or none that would give memory: the
    /// blocks of a large one that is being read stay with its readers.
    pub fn evict_coldest(&mut self, class: usize, cause: EvictionCause, now: Seconds) -> bool {
        for looks_left in (0..LOOKS_MAX).rev() {
            let Some(id) = self.coldest(class) else { return false };
            if class == self.shared.large_class() && self.is_being_read(id) {
                self.pass_over(id, class);
                continue;
            }
            match housekeeping::fate(self.slab.deadline(id).has_passed(now), self.is_read(id), looks_left) {
                Fate::Spare => self.spare(id, class),
                Fate::Reclaim => {
                    self.class_figures[class].reclaimed += 1;
                    self.remove_expired(id, self.hash_of(id));
                    return true;
                }
                Fate::Evict => {
                    self.evict(id, cause, now);
                    return true;
                }
            }
        }
        false
    }

    /// Puts an item where all others of its class are looked at before it.
    fn pass_over(&mut self, id: ChunkId, class: usize) {
        let to = match self.slab.item(id).segment() {
            Segment::Hot | Segment::Cold if self.rules() != LruRules::Flat => Segment::Warm,
            segment => segment,
        };
        self.lru[class].shift(&mut self.slab, id, to);
    }

    /// Whether somebody besides the store has an item's blocks.
    fn is_being_read(&self, id: ChunkId) -> bool {
        self.value_of(id).0.is_some_and(|large| !large.is_last())
    }

    /// Whether the rules in force would rather keep this item than one beside it.
    pub fn is_read(&self, id: ChunkId) -> bool {
        let item = self.slab.item(id);
        housekeeping::is_read(self.rules(), item.segment(), item.heat(), item.has(state::ACTIVE))
    }

    /// Lets an item live on in WARM, cooler by one.
    fn spare(&mut self, id: ChunkId, class: usize) {
        if self.rules() == LruRules::Classic {
            return self.move_classic(id, class, Segment::Warm);
        }
        let heat = self.slab.item(id).heat();
        self.slab.item_mut(id).set_heat(heat.saturating_sub(1));
        self.lru[class].shift(&mut self.slab, id, Segment::Warm);
        self.class_figures[class].moves_to_warm += 1;
    }

    /// Frees the chunk of one expired item among the oldest of each segment of a class.
    fn reclaim_expired(&mut self, class: ClassId, now: Seconds) -> bool {
        for segment in Segment::ALL {
            let oldest = self.lru[class.index()].list(segment).oldest;
            if oldest.is_some() && self.slab.deadline(oldest).has_passed(now) {
                self.class_figures[class.index()].reclaimed += 1;
                self.remove_expired(oldest, self.hash_of(oldest));
                return true;
            }
        }
        false
    }

    /// The item that a class would miss least: the oldest of COLD, else of HOT, WARM or TEMP.
    pub fn coldest(&self, class: usize) -> Option<ChunkId> {
        let order = [Segment::Cold, Segment::Hot, Segment::Warm, Segment::Temp];
        let oldest = order.into_iter().map(|segment| self.lru[class].list(segment).oldest);
        oldest.into_iter().find(|id| id.is_some())
    }

    pub fn hash_of(&self, id: ChunkId) -> u64 {
        self.shared.hasher.hash(self.slab.item(id).key())
    }

    pub fn evict(&mut self, id: ChunkId, cause: EvictionCause, now: Seconds) {
        self.count_eviction(id, cause, now);
        let hash = self.hash_of(id);
        let item = self.slab.item(id);
        let class = usize::from(item.class());
        let chunks = item.large().and_then(|slot| self.large.get(slot as usize)).map_or(1, LargeValue::pages);
        self.ghosts.remember(hash, self.epoch(class));
        self.turnover[class].note_evicted(chunks as u32);
        self.unlink(id, hash);
    }

    pub fn count_eviction(&mut self, id: ChunkId, cause: EvictionCause, now: Seconds) {
        let (item, deadline) = (self.slab.item(id), self.slab.deadline(id));
        let class = usize::from(item.class());
        let (is_unfetched, is_active) = (u64::from(!item.has(state::FETCHED)), u64::from(self.is_read(id)));
        let figures = &mut self.class_figures[class];
        if deadline.has_passed(now) {
            figures.reclaimed += 1;
            figures.expired_unfetched += is_unfetched;
            return;
        }
        figures.evicted += 1;
        figures.evicted_nonzero += u64::from(deadline != Deadline::NEVER);
        figures.evicted_unfetched += is_unfetched;
        figures.evicted_active += is_active;
        figures.evicted_bytes += item.total_bytes() as u64;
        figures.evicted_for_page += u64::from(cause == EvictionCause::Page);
        self.evicted_time[class] = item.idle_seconds(now);
        self.report_eviction(id, cause, now);
    }

    /// Takes the expired items of one page away, of those where an item was over at `due`, which is now or
    /// a little earlier. How many they were; `None` if there is no such page.
    pub fn reclaim_expired_page(&mut self, due: Seconds, now: Seconds) -> Option<usize> {
        let page = self.slab.next_page_due(due)?;
        let mut items = 0;
        let mut from = 0;
        // The page may go with its last item; there is nothing to be found in it then.
        while let Some((chunk, id)) = self.slab.next_passed(page, from, now) {
            from = chunk + 1;
            items += 1;
            let item = self.slab.item(id);
            if item.is_linked() {
                let figures = &mut self.class_figures[usize::from(item.class())];
                figures.crawler_items_checked += 1;
                figures.crawler_reclaimed += 1;
                self.remove_expired(id, self.hash_of(id));
            } else {
                self.slab.set_deadline(id, Deadline::NEVER);
            }
        }
        if self.slab.has_page(page) {
            self.slab.renew_earliest(page);
        }
        Some(items)
    }

    /// Forgets every linked item and gives the pages back. Items whose values are still arriving stay.
    pub fn flush(&mut self) {
        let shared = self.shared.clone();
        self.index.clear(&shared.budget);
        // What clients are being sent stays theirs, and is counted as such.
        for value in self.large.drain() {
            self.large_pages -= value.let_go();
        }
        self.lru.fill(super::lru::Lru::EMPTY);
        self.class_bytes.fill(0);
        let pages: Vec<u32> = self.slab.pages(None).collect();
        for page in pages {
            if self.slab.is_movable(page) {
                let bytes = self.remove_page(page);
                shared.budget.give_back(bytes);
                continue;
            }
            for id in self.slab.chunks(page) {
                if self.slab.item(id).is_linked() {
                    self.slab.free_chunk(id);
                }
            }
        }
    }
}
