//! The memory limit: one count of pages that all partitions draw from.
//!
//! Everything that grows with the number of items is charged here in whole pages: slab pages and their
//! tables of deadlines, the blocks of large values, the segments of the index, ghosts. A page that comes
//! back is kept for the next taker, so memory once used is never more than the limit, plus what was
//! overdrawn: index segments and deadlines that cannot be done without (where nothing is evicted to pay for
//! them, they are charged before), and one page for each partition that would have none.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crossbeam::queue::SegQueue;

use super::headroom::Headroom;

/// Of what is in use when the system has no more memory, the part that is given up for what others need: buffers,
/// connections.
const GIVEN_UP_PART: usize = 32;

/// The bytes of one page.
pub(super) type PageBytes = Box<[u8]>;

/// Counts pages against the limit and keeps the spare ones.
#[derive(Debug)]
pub(super) struct Budget {
    page_bytes: usize,
    headroom: Headroom,
    limit: AtomicUsize,
    used: AtomicUsize,
    /// Pages that were used and are not now; together with `used` at most the most ever used.
    spare: SegQueue<PageBytes>,
    /// Pages of large values that only their readers have.
    pinned: AtomicUsize,
    /// Pages for which the system had no memory.
    refusals: AtomicU64,
    /// Takes that are to be refused, as if the limit were reached.
    #[cfg(test)]
    denials: AtomicUsize,
    /// New pages that the system is to have no memory for.
    #[cfg(test)]
    failures: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` pages of `page_bytes` bytes, of which a new one is made only while the system has
    /// `headroom_bytes` besides, or half of them if there were as many pages before.
    pub fn new(limit: usize, page_bytes: usize, headroom_bytes: usize) -> Budget {
        Budget {
            page_bytes,
            headroom: Headroom::new(headroom_bytes, page_bytes),
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            spare: SegQueue::new(),
            pinned: AtomicUsize::new(0),
            refusals: AtomicU64::new(0),
            #[cfg(test)]
            denials: AtomicUsize::new(0),
            #[cfg(test)]
            failures: AtomicUsize::new(0),
        }
    }

    /// Refuses the next `takes` takes.
    #[cfg(test)]
    pub fn deny(&self, takes: usize) {
        self.denials.store(takes, Relaxed);
    }

    /// Lets the system have no memory for the next `pages` new pages.
    #[cfg(test)]
    pub fn fail(&self, pages: usize) {
        self.failures.store(pages, Relaxed);
    }

    #[cfg(test)]
    fn is_denied(&self) -> bool {
        self.denials.fetch_update(Relaxed, Relaxed, |takes| takes.checked_sub(1)).is_ok()
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Pages that may be used.
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Allows another number of pages from now on. Spare pages beyond it are freed; what is in use beyond
    /// it has to be given back by whoever uses it.
    pub fn set_limit(&self, pages: usize) {
        self.limit.store(pages, Relaxed);
        while self.used() + self.spare.len() > pages && self.spare.pop().is_some() {}
    }

    /// Pages in use, by whatever they are used.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Pages that were given back and wait for a taker.
    pub fn spare(&self) -> usize {
        self.spare.len()
    }

    /// Notes that so many pages in use are there for readers alone.
    pub fn pin(&self, pages: usize) {
        self.pinned.fetch_add(pages, Relaxed);
    }

    /// Takes back as much of [`Self::pin`].
    pub fn unpin(&self, pages: usize) {
        self.pinned.fetch_sub(pages, Relaxed);
    }

    /// Pages that are there for readers alone.
    pub fn pinned(&self) -> usize {
        self.pinned.load(Relaxed)
    }

    /// Whether more is charged than the limit allows, so that pages have to be given back.
    pub fn is_overdrawn(&self) -> bool {
        self.used() > self.limit()
    }

    /// Pages for which the system had no memory so far.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Relaxed)
    }

    /// A page with unspecified content, or `None` at the limit. Where the system has no memory, the limit is what is in
    /// use from then on, and a little less.
    pub fn take(&self) -> Option<PageBytes> {
        #[cfg(test)]
        if self.is_denied() {
            return None;
        }
        let under_limit = |used| (used < self.limit()).then_some(used + 1);
        self.used.fetch_update(Relaxed, Relaxed, under_limit).ok()?;
        let page = self.spare.pop().or_else(|| self.new_page());
        if page.is_none() {
            self.used.fetch_sub(1, Relaxed);
            self.make_do();
        }
        page
    }

    /// A page of fresh memory, if the system has some.
    fn new_page(&self) -> Option<PageBytes> {
        #[cfg(test)]
        if self.failures.fetch_update(Relaxed, Relaxed, |pages| pages.checked_sub(1)).is_ok() {
            return None;
        }
        let pages = self.used() + self.spare.len();
        if !self.headroom.is_left(pages) {
            return None;
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(self.page_bytes).ok()?;
        bytes.resize(self.page_bytes, 0);
        self.headroom.note(pages);
        Some(bytes.into_boxed_slice())
    }

    /// Lowers the limit to what there is, but for what is given up.
    fn make_do(&self) {
        self.refusals.fetch_add(1, Relaxed);
        let used = self.used();
        let limit = (used - used / GIVEN_UP_PART).max(1);
        if self.limit.fetch_min(limit, Relaxed) > limit {
            log::warn!(
                event = "memory_pressure";
                "the system has no more memory: the limit is {} MB from now on, until cache_memlimit sets another",
                (limit * self.page_bytes) >> 20
            );
        }
    }

    /// A page even beyond the limit, for a partition that has none.
    pub fn take_beyond_limit(&self) -> PageBytes {
        self.used.fetch_add(1, Relaxed);
        self.spare.pop().unwrap_or_else(|| vec![0; self.page_bytes].into_boxed_slice())
    }

    /// Ends the use of a page. It is kept as a spare, or freed if the limit has shrunk below it.
    pub fn give_back(&self, page: PageBytes) {
        debug_assert_eq!(page.len(), self.page_bytes);
        let used = self.used.fetch_sub(1, Relaxed) - 1;
        if used + self.spare.len() < self.limit() {
            self.spare.push(page);
        }
    }

    /// Charges a page's worth of memory that the caller allocates itself. Never fails: whoever
    /// cannot do without may overdraw, and the next allocations pay it back.
    pub fn charge(&self) {
        let used = self.used.fetch_add(1, Relaxed) + 1;
        if self.spare.pop().is_none() {
            self.headroom.note(used);
        }
    }

    /// [`Self::charge`], but not beyond the limit. `false` if it is reached.
    pub fn try_charge(&self) -> bool {
        let under_limit = |used| (used < self.limit()).then_some(used + 1);
        let Ok(before) = self.used.fetch_update(Relaxed, Relaxed, under_limit) else { return false };
        if self.spare.pop().is_none() {
            self.headroom.note(before + 1);
        }
        true
    }

    /// Takes back one [`Self::charge`].
    pub fn discharge(&self) {
        self.used.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_pages_are_used_again() {
        let budget = Budget::new(2, 4096, 0);
        let (first, second) = (budget.take().unwrap(), budget.take().unwrap());
        assert!(budget.take().is_none());
        budget.give_back(first);
        assert_eq!((budget.used(), budget.spare()), (1, 1));
        let third = budget.take().unwrap();
        assert_eq!((budget.used(), budget.spare()), (2, 0));
        budget.give_back(second);
        budget.give_back(third);
        assert_eq!((budget.used(), budget.spare()), (0, 2));
    }

    #[test]
    fn where_the_system_has_no_memory_the_limit_falls() {
        let budget = Budget::new(100, 4096, 0);
        let pages: Vec<PageBytes> = (0..64).map(|_| budget.take().unwrap()).collect();
        budget.fail(1);
        assert!(budget.take().is_none());
        assert_eq!((budget.limit(), budget.used(), budget.refusals()), (62, 64, 1));
        assert!(budget.is_overdrawn() && budget.take().is_none());
        pages.into_iter().for_each(|page| budget.give_back(page));
        assert_eq!((budget.used(), budget.spare()), (0, 62));
        budget.set_limit(100);
        assert_eq!((0..100).filter_map(|_| budget.take()).count(), 100);
    }

    #[test]
    fn a_charge_replaces_a_spare_page_and_may_overdraw() {
        let budget = Budget::new(1, 4096, 0);
        let page = budget.take().unwrap();
        budget.give_back(page);
        budget.charge();
        assert_eq!((budget.used(), budget.spare()), (1, 0));
        assert!(!budget.is_overdrawn());
        assert!(!budget.try_charge());
        budget.charge();
        assert!(budget.is_overdrawn());
        budget.discharge();
        assert!(!budget.is_overdrawn());
    }
}
