//! Making room: where a chunk comes from, what goes for it, and how a page leaves a class.

use super::budget::PageBytes;
use super::housekeeping::{self, Donor, Fate};
use super::item::{ChunkId, Segment, state};
use super::partition::{Partition, Provision, Shortage};
use super::slab::ClassId;
use crate::base::clock::{Deadline, Seconds};

/// Oldest items looked at for one chunk before the next goes even if it was read. Each item spared loses
/// its mark, so that on the whole there is one look per hit; the bound is for the single allocation.
const LOOKS_MAX: u32 = 50;
/// Large items evicted in search of one page before the search goes on elsewhere: their blocks may be
/// in the hands of slow readers.
const LARGE_EVICTIONS_MAX: usize = 4;

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
            } else if let Some(page) = self.page_from_colder_class(class, now) {
                self.slab.add_page(class, page);
            } else if !self.evict_from(class.index(), now) {
                let page = self.release_page(now).ok_or(Shortage { pages: 1 })?;
                self.slab.add_page(class, page);
            }
        }
    }

    /// A page of a class whose items are clearly colder than those that `class` would have to evict,
    /// once it has evicted enough to deserve one.
    fn page_from_colder_class(&mut self, class: ClassId, now: Seconds) -> Option<PageBytes> {
        let evicted = &mut self.evicted_since_move[class.index()];
        *evicted += 1;
        if !self.shared.automove
            || !housekeeping::may_ask_for_page(*evicted, self.slab.class(class).chunks_per_page)
        {
            return None;
        }
        *evicted = 0;
        let own = self.coldest(class.index())?;
        let own_idle = self.slab.item(own).idle_seconds(now);
        let donor = self.page_donor(now).filter(|donor| donor.class != class.index())?;
        if !housekeeping::should_move_page(own_idle, donor.idle_seconds) {
            return None;
        }
        self.release_page_of(donor.class, now)
    }

    /// Gives a page back that the index has taken beyond the limit.
    fn pay_back(&mut self, now: Seconds) {
        if let Some(page) = self.release_page(now) {
            self.shared.budget.give_back(page);
        }
    }

    /// Frees the chunk of one item of a class. `false` if it has none.
    pub fn evict_from(&mut self, class: usize, now: Seconds) -> bool {
        self.class_figures[class].direct_reclaims += 1;
        for looks_left in (0..LOOKS_MAX).rev() {
            let Some(id) = self.coldest(class) else { return false };
            let item = self.slab.item(id);
            match housekeeping::fate(item.deadline().has_passed(now), item.has(state::ACTIVE), looks_left) {
                Fate::Spare => {
                    self.slab.item_mut(id).unmark(state::ACTIVE);
                    self.lru[class].shift(&mut self.slab, id, Segment::Warm);
                    self.class_figures[class].moves_to_warm += 1;
                }
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

    /// Frees the chunk of one expired item among the oldest of each segment of a class.
    fn reclaim_expired(&mut self, class: ClassId, now: Seconds) -> bool {
        for segment in Segment::ALL {
            let oldest = self.lru[class.index()].list(segment).oldest;
            if oldest.is_some() && self.slab.item(oldest).deadline().has_passed(now) {
                self.class_figures[class.index()].reclaimed += 1;
                self.remove_expired(oldest, self.hash_of(oldest));
                return true;
            }
        }
        false
    }

    /// Moves one item each out of HOT and WARM where they hold more than their share. Done for every
    /// item that is linked, so that COLD is there before anything has to go.
    pub fn demote(&mut self, class: usize) {
        let lru = &self.lru[class];
        let (hot, warm, total) = (lru.list(Segment::Hot), lru.list(Segment::Warm), lru.len());
        let hot_is_over = self.shared.shares.hot_is_over(hot.len, total).then_some(hot.oldest);
        let warm_is_over = self.shared.shares.warm_is_over(warm.len, total).then_some(warm.oldest);
        for (oldest, from) in [(hot_is_over, Segment::Hot), (warm_is_over, Segment::Warm)] {
            if let Some(id) = oldest {
                self.demote_item(class, id, from);
            }
        }
    }

    fn demote_item(&mut self, class: usize, id: ChunkId, from: Segment) {
        let is_active = self.slab.item(id).has(state::ACTIVE);
        let figures = &mut self.class_figures[class];
        let to = match (is_active, from) {
            (true, Segment::Warm) => {
                figures.moves_within_lru += 1;
                Segment::Warm
            }
            (true, _) => {
                figures.moves_to_warm += 1;
                Segment::Warm
            }
            (false, _) => {
                figures.moves_to_cold += 1;
                Segment::Cold
            }
        };
        self.slab.item_mut(id).unmark(state::ACTIVE);
        self.lru[class].shift(&mut self.slab, id, to);
    }

    /// The item that a class would miss least: the oldest of COLD, else of HOT, WARM or TEMP.
    fn coldest(&self, class: usize) -> Option<ChunkId> {
        let order = [Segment::Cold, Segment::Hot, Segment::Warm, Segment::Temp];
        let oldest = order.into_iter().map(|segment| self.lru[class].list(segment).oldest);
        oldest.into_iter().find(|id| id.is_some())
    }

    pub fn hash_of(&self, id: ChunkId) -> u64 {
        self.shared.hasher.hash(self.slab.item(id).key())
    }

    fn evict(&mut self, id: ChunkId, now: Seconds) {
        self.count_eviction(id, now);
        self.unlink(id, self.hash_of(id));
    }

    fn count_eviction(&mut self, id: ChunkId, now: Seconds) {
        let item = self.slab.item(id);
        let class = usize::from(item.class());
        let is_unfetched = u64::from(!item.has(state::FETCHED));
        let figures = &mut self.class_figures[class];
        if item.deadline().has_passed(now) {
            figures.reclaimed += 1;
            figures.expired_unfetched += is_unfetched;
            return;
        }
        figures.evicted += 1;
        figures.evicted_nonzero += u64::from(item.deadline() != Deadline::NEVER);
        figures.evicted_unfetched += is_unfetched;
        figures.evicted_active += u64::from(item.has(state::ACTIVE));
        self.evicted_time[class] = item.idle_seconds(now);
    }

    /// The class that would miss a page least.
    fn page_donor(&self, now: Seconds) -> Option<Donor> {
        let donor = |class: usize| {
            let oldest = self.coldest(class)?;
            let pages = match self.slab.classes().get(class) {
                Some(in_slab) => in_slab.pages,
                None => self.lru[class].len(),
            };
            Some(Donor { class, pages, idle_seconds: self.slab.item(oldest).idle_seconds(now) })
        };
        housekeeping::page_donor((0..=self.shared.large_class()).filter_map(donor))
    }

    /// Empties a page of the class that misses it least and takes it out of the partition; or evicts
    /// large items until the budget has a page. `None` if there is nothing to evict.
    pub fn release_page(&mut self, now: Seconds) -> Option<PageBytes> {
        let donor = self.page_donor(now)?;
        self.release_page_of(donor.class, now).or_else(|| self.release_slab_page(None, now))
    }

    fn release_page_of(&mut self, class: usize, now: Seconds) -> Option<PageBytes> {
        if class == self.shared.large_class() {
            return self.release_blocks(now);
        }
        self.release_slab_page(Some(ClassId(class as u8)), now)
    }

    /// Evicts the coldest large items until the budget has a page for the caller.
    fn release_blocks(&mut self, now: Seconds) -> Option<PageBytes> {
        for _ in 0..LARGE_EVICTIONS_MAX {
            self.evict(self.coldest(self.shared.large_class())?, now);
            if let Some(page) = self.shared.budget.take() {
                return Some(page);
            }
        }
        None
    }

    /// Evicts all items of one page of `class`, or of any class: of that with the coldest item, if no
    /// item in it is just arriving.
    fn release_slab_page(&mut self, class: Option<ClassId>, now: Seconds) -> Option<PageBytes> {
        let coldest = class.and_then(|class| self.coldest(class.index())).map(|id| self.slab.page_of(id));
        let movable = |&page: &u32| self.slab.is_movable(page);
        let page = coldest.filter(movable).or_else(|| self.slab.pages(class).find(movable))?;
        for id in self.slab.chunks(page) {
            if self.slab.item(id).key_bytes() != 0 {
                self.count_eviction(id, now);
                self.index.remove(self.hash_of(id), id);
                self.detach(id);
            }
        }
        self.figures.slabs_moved += 1;
        Some(self.slab.remove_page(page))
    }

    /// Takes the expired items of one page away. `false` if no page can hold any.
    pub fn reclaim_expired_page(&mut self, now: Seconds) -> bool {
        let Some(page) = self.slab.next_page_due(now) else { return false };
        for id in self.slab.chunks(page) {
            // The page goes with its last item.
            if !self.slab.has_page(page) {
                return true;
            }
            let item = self.slab.item(id);
            if item.has(state::LINKED) && item.deadline().has_passed(now) {
                self.class_figures[usize::from(item.class())].crawler_reclaimed += 1;
                self.remove_expired(id, self.hash_of(id));
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
                shared.budget.give_back(self.slab.remove_page(page));
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
