//! Making room: where a chunk comes from, what goes for it, and how a page leaves a class.

use super::budget::PageBytes;
use super::ghosts::EPOCHS;
use super::housekeeping::{self, Fate, Giver};
use super::item::{ChunkId, Segment, state};
use super::large::LargeValue;
use super::partition::{Partition, Provision, Shortage};
use super::slab::ClassId;
use crate::base::clock::{Deadline, Seconds};

/// Oldest items looked at for one chunk before the next goes even if it was read. Each item spared loses
/// its mark, so that on the whole there is one look per hit; the bound is for the single allocation.
const LOOKS_MAX: u32 = 50;
/// Pages that a class keeps while others have more.
const PAGES_KEPT: u32 = 2;
/// Large items evicted at most for one page.
const LARGE_EVICTIONS_MAX: usize = 4;

/// What giving memory up came to.
pub(super) enum Release {
    /// A page, which is charged to the budget.
    Page(PageBytes),
    /// Memory went back to the budget; it may have other takers.
    ToBudget,
    /// There is nothing to give.
    Nothing,
}

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

    /// A page of a class that would miss it clearly less, once `class` has evicted enough to ask for one.
    fn page_for_demand(&mut self, class: ClassId, now: Seconds) -> Option<PageBytes> {
        let may_ask = self.turnover[class.index()].may_ask(self.slab.class(class).chunks_per_page);
        if !self.shared.automove || !may_ask {
            return None;
        }
        self.shared.demand.note_asked();
        let others = self.givers(now).filter(|giver| giver.class != class.index());
        let giver = housekeeping::giver(others, PAGES_KEPT)?;
        if !housekeeping::is_worth_a_page(self.shared.demand.of(class.index()), giver.shadow_hits) {
            return None;
        }
        self.shared.demand.fade(class.index());
        match self.release_page_of(giver.class, now) {
            Release::Page(page) => Some(page),
            Release::ToBudget => self.shared.budget.take(),
            Release::Nothing => None,
        }
    }

    /// The classes that have pages, each with what it would gain by more.
    fn givers(&self, now: Seconds) -> impl Iterator<Item = Giver> + '_ {
        let in_slab = self.slab.classes().iter().map(|class| class.pages);
        let large = std::iter::once(self.lru[self.shared.large_class()].len());
        let pages = in_slab.chain(large).enumerate();
        pages.filter(|(_, pages)| *pages > 0).map(move |(class, pages)| {
            let coldest = self.coldest(class).map(|id| self.slab.item(id));
            let is_hot = coldest.is_some_and(|item| item.heat() > 0);
            let idle_seconds = coldest.map_or(u32::MAX, |item| item.idle_seconds(now));
            Giver { class, pages, shadow_hits: self.shared.demand.of(class), is_hot, idle_seconds }
        })
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
            let item = self.slab.item(id);
            let heat = item.heat();
            match housekeeping::fate(self.slab.deadline(id).has_passed(now), heat, looks_left) {
                Fate::Spare => {
                    self.slab.item_mut(id).set_heat(heat - 1);
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
            if oldest.is_some() && self.slab.deadline(oldest).has_passed(now) {
                self.class_figures[class.index()].reclaimed += 1;
                self.remove_expired(oldest, self.hash_of(oldest));
                return true;
            }
        }
        false
    }

    /// Moves one item each out of HOT and WARM where they hold more than their share. Done for every item
    /// that is linked, so that COLD is there before anything has to go.
    ///
    /// HOT is on probation: what was hit there moves to WARM; what was not goes to the oldest end of COLD,
    /// to be evicted next, unless what is there was never read either: then the older goes first. What
    /// leaves WARM goes to the newest end of COLD and may earn its way back.
    pub fn demote(&mut self, class: usize) {
        let (lru, shares) = (&self.lru[class], self.shared.shares);
        let hot = lru.list(Segment::Hot);
        if shares.hot_is_over(hot.len, lru.len()) {
            let id = hot.oldest;
            let was_hit = self.slab.item(id).heat() > 0;
            self.slab.item_mut(id).set_heat(0);
            let figures = &mut self.class_figures[class];
            if was_hit {
                figures.moves_to_warm += 1;
                self.lru[class].shift(&mut self.slab, id, Segment::Warm);
            } else {
                figures.moves_to_cold += 1;
                let coldest = lru.list(Segment::Cold).oldest;
                let is_unread = coldest.is_some() && !self.slab.item(coldest).has(state::FETCHED);
                self.lru[class].remove(&mut self.slab, id);
                if is_unread {
                    self.lru[class].push(&mut self.slab, id, Segment::Cold);
                } else {
                    self.lru[class].push_oldest(&mut self.slab, id, Segment::Cold);
                }
            }
        }
        let lru = &self.lru[class];
        let warm = lru.list(Segment::Warm);
        if shares.warm_is_over(warm.len, lru.len()) {
            self.class_figures[class].moves_to_cold += 1;
            let oldest = warm.oldest;
            self.lru[class].shift(&mut self.slab, oldest, Segment::Cold);
        }
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
        let hash = self.hash_of(id);
        let item = self.slab.item(id);
        let class = usize::from(item.class());
        let chunks = item.large().and_then(|slot| self.large.get(slot as usize)).map_or(1, LargeValue::pages);
        self.ghosts.remember(hash, self.turnover[class].epoch(self.chunks_per_page(class)));
        self.turnover[class].note_evicted(chunks as u32);
        self.unlink(id, hash);
    }

    fn count_eviction(&mut self, id: ChunkId, now: Seconds) {
        let (item, deadline) = (self.slab.item(id), self.slab.deadline(id));
        let class = usize::from(item.class());
        let is_unfetched = u64::from(!item.has(state::FETCHED));
        let figures = &mut self.class_figures[class];
        if deadline.has_passed(now) {
            figures.reclaimed += 1;
            figures.expired_unfetched += is_unfetched;
            return;
        }
        figures.evicted += 1;
        figures.evicted_nonzero += u64::from(deadline != Deadline::NEVER);
        figures.evicted_unfetched += is_unfetched;
        figures.evicted_active += u64::from(item.heat() > 0);
        self.evicted_time[class] = item.idle_seconds(now);
    }

    /// Empties a page of the class that misses it least and takes it out of the partition, or evicts
    /// large items. A partition without items gives the room that its index has in excess.
    pub fn release_page(&mut self, now: Seconds) -> Release {
        let giver = housekeeping::giver(self.givers(now), PAGES_KEPT)
            .or_else(|| housekeeping::giver(self.givers(now), 1));
        let released = giver.map_or(Release::Nothing, |giver| self.release_page_of(giver.class, now));
        match released {
            Release::Nothing if self.index.len() == 0 && self.index.segments() > 1 => {
                self.index.clear(&self.shared.budget);
                Release::ToBudget
            }
            Release::Nothing => self.release_slab_page(None, now),
            released => released,
        }
    }

    fn release_page_of(&mut self, class: usize, now: Seconds) -> Release {
        if class == self.shared.large_class() {
            return self.release_blocks(now);
        }
        self.release_slab_page(Some(ClassId(class as u8)), now)
    }

    /// Evicts the coldest large items until the budget has a page for the caller, but not many at once:
    /// it may be overdrawn, or the blocks may be in the hands of slow readers.
    fn release_blocks(&mut self, now: Seconds) -> Release {
        for evicted in 0..LARGE_EVICTIONS_MAX {
            let Some(coldest) = self.coldest(self.shared.large_class()) else {
                return if evicted == 0 { Release::Nothing } else { Release::ToBudget };
            };
            self.evict(coldest, now);
            if let Some(page) = self.shared.budget.take() {
                return Release::Page(page);
            }
        }
        Release::ToBudget
    }

    /// Moves an item that was hit lately out of a page that is going, to a free chunk of its class or to
    /// that of a colder item. `false` if it is not worth that or there is no place.
    fn rescue(&mut self, id: ChunkId, page: u32, now: Seconds) -> bool {
        let (item, deadline) = (self.slab.item(id), self.slab.deadline(id));
        if item.heat() == 0 || deadline.has_passed(now) {
            return false;
        }
        let lru_class = usize::from(item.class());
        let class = self.slab.class_of(id);
        let free = self.slab.take_chunk(class).or_else(|| {
            let colder = self.coldest(class.index())?;
            let is_colder = self.slab.item(colder).heat() == 0 && self.slab.page_of(colder) != page;
            if is_colder {
                self.evict(colder, now);
            }
            self.slab.take_chunk(class)
        });
        let Some(to) = free else { return false };
        let hash = self.hash_of(id);
        self.slab.copy_chunk(id, to);
        self.set_deadline(to, deadline);
        self.lru[lru_class].replace(&mut self.slab, id, to);
        let replaced = self.index.replace(hash, id, to);
        debug_assert!(replaced, "a linked item is in the index");
        self.figures.slab_rescues += 1;
        true
    }

    /// Empties one page of `class`, of any class if `None`: the one with the class's coldest item, if no
    /// item in it is just arriving, else the first that can go.
    fn release_slab_page(&mut self, class: Option<ClassId>, now: Seconds) -> Release {
        let coldest = class.and_then(|class| self.coldest(class.index())).map(|id| self.slab.page_of(id));
        let movable = |&page: &u32| self.slab.is_movable(page);
        let page = coldest.filter(movable).or_else(|| self.slab.pages(class).find(movable));
        let Some(page) = page else { return Release::Nothing };
        self.slab.seal_page(page);
        for id in self.slab.chunks(page) {
            if self.slab.item(id).key_bytes() != 0 && !self.rescue(id, page, now) {
                self.count_eviction(id, now);
                self.index.remove(self.hash_of(id), id);
                self.detach(id);
            }
        }
        self.figures.slabs_moved += 1;
        Release::Page(self.remove_page(page))
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
