//! How a page leaves a class: for another class that would gain more by it, or for the whole store.

use super::budget::PageBytes;
use super::events::EvictionCause;
use super::housekeeping::{self, Giver};
use super::item::ChunkId;
use super::partition::Partition;
use super::slab::ClassId;
use super::tunables::Automove;
use crate::base::clock::Seconds;

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
    /// A page of a class that would miss it clearly less, once `class` has evicted enough to ask for one.
    pub fn page_for_demand(&mut self, class: ClassId, now: Seconds) -> Option<PageBytes> {
        let page = match self.shared.tunables.automove() {
            _ if !self.shared.reassign => None,
            Automove::Off => None,
            Automove::Gentle => self.page_by_demand(class, now),
            Automove::Eager => {
                let others = self.givers(now).filter(|giver| giver.class != class.index());
                let giver = housekeeping::giver(others, PAGES_KEPT)?;
                self.page_from(giver.class, class, now)
            }
        };
        if page.is_some() {
            self.page_times[class.index()].note_took(now);
        }
        page
    }

    /// Automove's gentle form: the class has evicted for a while, keys come back to it that more pages would
    /// have kept, clearly more than to the class that is to give, and neither moved a page the other way
    /// just now.
    fn page_by_demand(&mut self, class: ClassId, now: Seconds) -> Option<PageBytes> {
        let window = self.shared.tunables.automove_window();
        let may_ask = self.turnover[class.index()].may_ask(self.slab.class(class).chunks_per_page);
        if !may_ask || !self.page_times[class.index()].may_take(now, window) {
            return None;
        }
        self.shared.demand.note_asked();
        let may_give = |giver: &Giver| self.page_times[giver.class].may_give(now, window);
        let others = self.givers(now).filter(|giver| giver.class != class.index() && may_give(giver));
        let giver = housekeeping::giver(others, PAGES_KEPT)?;
        let ratio = self.shared.tunables.automove_ratio();
        let taker = self.shared.demand.of(class.index());
        if !housekeeping::is_worth_a_page(taker, giver.shadow_hits, ratio) {
            return None;
        }
        self.shared.demand.fade(class.index());
        self.page_from(giver.class, class, now)
    }

    /// A page of the class `giver` for the class `to`, which is remembered as a gift.
    fn page_from(&mut self, giver: usize, to: ClassId, now: Seconds) -> Option<PageBytes> {
        let page = match self.release_page_of(giver, Some(to), now) {
            Release::Page(page) => Some(page),
            Release::ToBudget => self.shared.budget.take(),
            Release::Nothing => None,
        };
        if page.is_some() {
            self.page_times[giver].note_gave(now);
        }
        page
    }

    /// The classes that have pages, each with what it would gain by more.
    fn givers(&self, now: Seconds) -> impl Iterator<Item = Giver> + '_ {
        let in_slab = self.slab.classes().iter().map(|class| class.pages);
        let large = std::iter::once(self.lru[self.shared.large_class()].len());
        let pages = in_slab.chain(large).enumerate();
        let may_give = |class, pages| pages > 0 && !self.holds_only_heads(class);
        pages.filter(move |&(class, pages)| may_give(class, pages)).map(move |(class, pages)| {
            let coldest = self.coldest(class);
            let is_hot = coldest.is_some_and(|id| self.is_read(id));
            let idle_seconds = coldest.map_or(u32::MAX, |id| self.slab.item(id).idle_seconds(now));
            Giver { class, pages, shadow_hits: self.shared.demand.of(class), is_hot, idle_seconds }
        })
    }

    /// Whether all that a class has is heads of large items: each that goes takes its blocks with it, which is for
    /// the class of large items to decide.
    fn holds_only_heads(&self, class: usize) -> bool {
        let in_slab = self.slab.classes().get(class);
        in_slab.is_some_and(|in_slab| in_slab.used_chunks > 0) && self.lru[class].len() == 0
    }

    /// Empties a page of the class that misses it least and takes it out of the partition, or evicts
    /// large items. A partition without items gives the room that its index has in excess.
    pub fn release_page(&mut self, now: Seconds) -> Release {
        let giver = housekeeping::giver(self.givers(now), PAGES_KEPT)
            .or_else(|| housekeeping::giver(self.givers(now), 1));
        let released = giver.map_or(Release::Nothing, |giver| self.release_page_of(giver.class, None, now));
        match released {
            Release::Nothing if self.index.len() == 0 && self.index.segments() > 1 => {
                self.index.clear(&self.shared.budget);
                Release::ToBudget
            }
            Release::Nothing => self.release_slab_page(None, None, now),
            released => released,
        }
    }

    fn release_page_of(&mut self, class: usize, to: Option<ClassId>, now: Seconds) -> Release {
        if class != self.shared.large_class() {
            return self.release_slab_page(Some(ClassId(class as u8)), to, now);
        }
        let released = self.release_blocks(now);
        if !matches!(released, Release::Nothing) {
            self.report_move(class, to);
        }
        released
    }

    /// Evicts the coldest large items until the budget has a page for the caller, but not many at once:
    /// it may be overdrawn, or the blocks may be in the hands of slow readers.
    fn release_blocks(&mut self, now: Seconds) -> Release {
        for evicted in 0..LARGE_EVICTIONS_MAX {
            if !self.evict_coldest(self.shared.large_class(), EvictionCause::Page, now) {
                return if evicted == 0 { Release::Nothing } else { Release::ToBudget };
            }
            if let Some(page) = self.shared.budget.take() {
                return Release::Page(page);
            }
        }
        Release::ToBudget
    }

    /// Moves an item out of a page that is going, to a free chunk of its class; one that was hit lately also to that
    /// of a colder one, and a large one, with which far more than the page would go, to that of any small one.
    /// `false` if there is no place, or its time is over.
    fn rescue(&mut self, id: ChunkId, page: u32, now: Seconds) -> bool {
        let (item, deadline) = (self.slab.item(id), self.slab.deadline(id));
        if deadline.has_passed(now) {
            return false;
        }
        let (lru_class, is_large, is_hot) = (usize::from(item.class()), item.is_large(), item.heat() > 0);
        let class = self.slab.class_of(id);
        let free = self.slab.take_chunk(class).or_else(|| {
            if is_large {
                self.evict_coldest(class.index(), EvictionCause::Page, now);
                return self.slab.take_chunk(class);
            }
            let colder = self.coldest(class.index()).filter(|_| is_hot)?;
            let is_colder = self.slab.item(colder).heat() == 0 && self.slab.page_of(colder) != page;
            if is_colder {
                self.evict(colder, EvictionCause::Page, now);
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
    /// item in it is just arriving, else the first that can go. It is going to be for class `to`, or for whoever
    /// needs it.
    pub fn release_slab_page(
        &mut self,
        class: Option<ClassId>,
        to: Option<ClassId>,
        now: Seconds,
    ) -> Release {
        let coldest = class.and_then(|class| self.coldest(class.index())).map(|id| self.slab.page_of(id));
        let movable = |&page: &u32| self.slab.is_movable(page);
        let page = coldest.filter(movable).or_else(|| self.slab.pages(class).find(movable));
        let Some(page) = page else { return Release::Nothing };
        self.report_move(self.slab.class_of_page(page).index(), to);
        self.slab.seal_page(page);
        // Large items last: the small ones of this page are then no longer the coldest of their class.
        for is_large in [false, true] {
            for id in self.slab.chunks(page) {
                let item = self.slab.item(id);
                if item.key_bytes() != 0 && item.is_large() == is_large && !self.rescue(id, page, now) {
                    self.drop_with_page(id, now);
                }
            }
        }
        self.figures.slabs_moved += 1;
        Release::Page(self.remove_page(page))
    }

    /// Evicts an item whose page goes.
    fn drop_with_page(&mut self, id: ChunkId, now: Seconds) {
        let hash = self.hash_of(id);
        self.count_eviction(id, EvictionCause::Page, now);
        if !self.slab.deadline(id).has_passed(now) {
            let lru_class = usize::from(self.slab.item(id).class());
            self.ghosts.remember(hash, self.epoch(lru_class));
        }
        self.index.remove(hash, id);
        self.detach(id);
    }
}
