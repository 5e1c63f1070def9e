//! The memory limit: one count of pages that all partitions draw from.
//!
//! Everything that grows with the number of items is charged here in whole pages: slab pages and their
//! tables of deadlines, the blocks of large values, the segments of the index, ghosts. A page that comes
//! back is kept for the next taker, so memory once used is never more than the limit, plus what was
//! overdrawn: index segments and deadlines that cannot be done without, and one page for each partition
//! that would have none.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crossbeam::queue::SegQueue;

/// The bytes of one page.
pub(super) type PageBytes = Box<[u8]>;

/// Counts pages against the limit and keeps the spare ones.
#[derive(Debug)]
pub(super) struct Budget {
    page_bytes: usize,
    limit: AtomicUsize,
    used: AtomicUsize,
    /// Pages that were used and are not now; together with `used` at most the most ever used.
    spare: SegQueue<PageBytes>,
}

impl Budget {
    /// A budget of `limit` pages of `page_bytes` bytes.
    pub fn new(limit: usize, page_bytes: usize) -> Budget {
        Budget {
            page_bytes,
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            spare: SegQueue::new(),
        }
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

    /// Whether more is charged than the limit allows, so that pages have to be given back.
    pub fn is_overdrawn(&self) -> bool {
        self.used() > self.limit()
    }

    /// A page with unspecified content, or `None` at the limit.
    pub fn take(&self) -> Option<PageBytes> {
        let under_limit = |used| (used < self.limit()).then_some(used + 1);
        self.used.fetch_update(Relaxed, Relaxed, under_limit).ok()?;
        Some(self.page())
    }

    /// A page even beyond the limit, for a partition that has none.
    pub fn take_beyond_limit(&self) -> PageBytes {
        self.used.fetch_add(1, Relaxed);
        self.page()
    }

    fn page(&self) -> PageBytes {
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
        self.used.fetch_add(1, Relaxed);
        drop(self.spare.pop());
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
        let budget = Budget::new(2, 4096);
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
    fn a_charge_replaces_a_spare_page_and_may_overdraw() {
        let budget = Budget::new(1, 4096);
        let page = budget.take().unwrap();
        budget.give_back(page);
        budget.charge();
        assert_eq!((budget.used(), budget.spare()), (1, 0));
        assert!(!budget.is_overdrawn());
        budget.charge();
        assert!(budget.is_overdrawn());
        budget.discharge();
        assert!(!budget.is_overdrawn());
    }
}
