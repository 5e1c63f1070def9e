//! Making room: where a chunk comes from and what goes for it. How a page leaves a class is in `page_moves`.

use super::ghosts::EPOCHS;
use super::housekeeping::{self, Fate, LruRules};
use super::item::{ChunkId, Segment, state};
use super::large::LargeValue;
use super::page_moves::Release;
use super::partition::{Partition, Provision, Shortage};
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
        if self.shared.evict && self.shared.budget.is_overdrawn() {
            self.pay_back(now);
        }
        loop {
            if let Some(id) = self.slab.take_chunk(class) {
                return Ok(id);
            }
            let page = provision.0.pop().or_else(|| self.shared.budget.take());
            if let Some(page) = page {
                self.slab.add_page(class, page);
            } else if !self.shared.evict {
                if !self.reclaim_expired(class, now) {
                    return Err(Shortage { pages: 1 });
                }
            } else if let Some(page) = self.page_for_demand(class, now) {
                self.slab.add_page(class, page);
            } else if !self.evict_from(class.index(), now) {
                match self.release_page(now) {
                    Release::Page(page) => self.slab.add_page(class, page),
                    Release::ToBudget => {}
                    Release::Nothing if self.slab.is_bare() => {
                        self.slab.add_page(class, self.shared.budget.take_beyond_limit());
                    }
                    Release::Nothing => return Err(Shortage { pages: 1 }),
                }
            }
        }
    }

    /// Whether a key that is being stored was evicted a short while ago.
    pub fn returns(&mut self, hash: u64, class: usize) -> bool {
        let Some(epoch) = self.ghosts.recall(hash) else { return false };
        let chunks_per_page = self.chunks_per_page(class);
        let pages_ago = self.turnover[class].epoch(chunks_per_page).wrapping_sub(epoch) % EPOCHS;
        self.shared.demand.note_return(class, pages_ago);
        true
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
        for looks_left in (0..LOOKS_MAX).rev() {
            let Some(id) = self.coldest(class) else { return false };
            match housekeeping::fate(self.slab.deadline(id).has_passed(now), self.is_read(id), looks_left) {
                Fate::Spare => self.spare(id, class),
                Fate::Reclaim => {
                    self.class_figures[class].reclaimed += 1;
                    self.remove_expired(id, self.hash_of(id));
                    return true;
                }
                Fate::Evict => {
                    self.evict(id, now);
                    return true;
                }
            }
        }
        false
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

    pub fn evict(&mut self, id: ChunkId, now: Seconds) {
        self.count_eviction(id, now);
        let hash = self.hash_of(id);
        let item = self.slab.item(id);
        let class = usize::from(item.class());
        let chunks = item.large().and_then(|slot| self.large.get(slot as usize)).map_or(1, LargeValue::pages);
        self.ghosts.remember(hash, self.turnover[class].epoch(self.chunks_per_page(class)));
        self.turnover[class].note_evicted(chunks as u32);
        self.unlink(id, hash);
    }

    pub fn count_eviction(&mut self, id: ChunkId, now: Seconds) {
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
        self.evicted_time[class] = item.idle_seconds(now);
    }

    /// Takes the expired items of one page away, of those where an item was over at `due`, which is now or
    /// a little earlier. `false` if there is none.
    pub fn reclaim_expired_page(&mut self, due: Seconds, now: Seconds) -> bool {
        let Some(page) = self.slab.next_page_due(due) else { return false };
        let mut from = 0;
        // The page may go with its last item; there is nothing to be found in it then.
        while let Some((chunk, id)) = self.slab.next_passed(page, from, now) {
            from = chunk + 1;
            let item = self.slab.item(id);
            if item.has(state::LINKED) {
                self.class_figures[usize::from(item.class())].crawler_reclaimed += 1;
                self.remove_expired(id, self.hash_of(id));
            } else {
                self.slab.set_deadline(id, Deadline::NEVER);
            }
        }
        if self.slab.has_page(page) {
            self.slab.renew_earliest(page);
        }
        true
    }

    /// Forgets every linked item and gives the pages back. Items whose values are still arriving stay.
    pub fn flush(&mut self) {
        let shared = self.shared.clone();
        self.index.clear(&shared.budget);
        self.large.clear();
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
                if self.slab.item(id).has(state::LINKED) {
                    self.slab.free_chunk(id);
                }
            }
        }
    }
}
