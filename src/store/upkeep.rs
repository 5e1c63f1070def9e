//! What each worker does for its own partitions behind the requests, in slices that no client notices.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::Store;
use super::crawl::CrawlRound;
use super::events::CrawlReport;
use super::page_moves::Release;
use super::partition::Partition;
use crate::base::clock::Seconds;

/// Items handled in one call of upkeep: each is a few cache misses, all of them some 200 microseconds.
const SLICE_ITEMS: usize = 1000;
/// What a look at a page's deadlines costs, in items.
const ITEMS_PER_PAGE_VISIT: usize = 8;
/// Longest time in seconds that upkeep lets expired items lie for the sake of fewer visits.
const EXPIRY_LAG_MAX: u32 = 15;

/// The work that one call of upkeep may still do, counted in items.
pub(super) struct Slice {
    items: usize,
}

impl Slice {
    /// So many items.
    pub fn of(items: usize) -> Slice {
        Slice { items }
    }

    /// Notes that so many items were handled.
    pub fn spend(&mut self, items: usize) {
        self.items = self.items.saturating_sub(items);
    }

    /// Whether more may be done.
    pub fn is_left(&self) -> bool {
        self.items > 0
    }
}

/// Where one worker's upkeep stands in its round over its partitions.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Which of its partitions comes next.
    next: AtomicUsize,
    /// For how many seconds expired items are left before their page is visited.
    lag: AtomicU32,
    /// When the round was last got through, in [`Seconds`].
    finished: AtomicU32,
    pub crawl: CrawlRound,
    /// What was told of expired items and when: those looked at and those taken away, by class. None while
    /// nobody wants to know.
    reported: Mutex<Option<Reported>>,
}

type Reported = (Seconds, Vec<(u64, u64)>);

impl Round {
    /// Whether it is the first time in this second.
    fn note_finished(&self, now: Seconds) -> bool {
        let is_first = self.finished.swap(now.0, Relaxed) != now.0;
        if is_first {
            self.lag.store(self.lag.load(Relaxed).saturating_sub(1), Relaxed);
        }
        is_first
    }

    fn note_unfinished(&self, now: Seconds) {
        let finished = self.finished.load(Relaxed);
        let lag = self.lag.load(Relaxed);
        if now.0.saturating_sub(finished) > lag + 1 && lag < EXPIRY_LAG_MAX {
            self.lag.store(lag + 1, Relaxed);
            self.finished.store(now.0, Relaxed);
        }
    }
}

impl Store {
    /// What `worker` does for its own partitions behind the requests, once a second: carries out a
    /// delayed flush that has become due, gives the index its right size, moves items on in the LRU, takes
    /// expired items away, evicts what a smaller limit does not hold. Bounded; `true` if there
    /// is more to do than one call may, and it should soon be called again, which goes on where this one stopped.
    ///
    /// A worker that does not get through in a second waits a second longer with each page from then on:
    /// more items are over by then, and fewer visits do.
    pub fn upkeep(&self, worker: usize, now: Seconds) -> bool {
        let round = &self.rounds[worker];
        let own = self.own_partitions(worker);
        let mut slice = Slice::of(SLICE_ITEMS);
        for _ in 0..own {
            let at = round.next.load(Relaxed) % own;
            let partition = &self.partitions[worker + at * self.workers];
            self.tend(partition, &mut slice, now);
            self.give_up_excess(partition, &mut slice, now);
            let due = Seconds(now.0.saturating_sub(round.lag.load(Relaxed)));
            self.reclaim_expired(partition, &mut slice, due, now);
            if !slice.is_left() {
                round.note_unfinished(now);
                return true;
            }
            round.next.store(at + 1, Relaxed);
        }
        if round.note_finished(now) {
            self.report_crawled(worker, now);
        }
        false
    }

    /// How many partitions a worker has.
    pub(super) fn own_partitions(&self, worker: usize) -> usize {
        self.partitions.len().saturating_sub(worker).div_ceil(self.workers)
    }

    /// Tells what was done about expired items of a worker's partitions since this was last told. When somebody
    /// begins to listen, that is where the first report begins.
    fn report_crawled(&self, worker: usize, now: Seconds) {
        let mut reported = self.rounds[worker].reported.lock();
        let Some(listener) = self.upkeep_listener() else {
            *reported = None;
            return;
        };
        let mut counts = vec![(0, 0); self.shared.large_class() + 1];
        for partition in self.partitions.iter().skip(worker).step_by(self.workers) {
            let partition = self.borrow_partition(partition, now);
            for (sum, class) in counts.iter_mut().zip(&partition.class_figures) {
                *sum = (sum.0 + class.crawler_items_checked, sum.1 + class.crawler_reclaimed);
            }
        }
        if let Some((since, earlier)) = &*reported {
            let seconds = now.0.saturating_sub(since.0);
            for (class, (&(examined, reclaimed), &before)) in counts.iter().zip(earlier).enumerate() {
                if examined > before.0 {
                    let (examined, reclaimed) = (examined - before.0, reclaimed - before.1);
                    listener.note_crawled(&CrawlReport { class, seconds, examined, reclaimed });
                }
            }
        }
        *reported = Some((now, counts));
    }

    fn tend(&self, partition: &Mutex<Partition>, slice: &mut Slice, now: Seconds) {
        let mut partition = self.borrow_partition(partition, now);
        partition.fit_ghosts();
        partition.tend_index(slice);
        partition.tend_lru(slice, now);
    }

    /// Takes expired items of one partition away.
    fn reclaim_expired(&self, partition: &Mutex<Partition>, slice: &mut Slice, due: Seconds, now: Seconds) {
        while self.reclaims_expired() && slice.is_left() {
            // The lock is taken anew for each page, so that requests get in between.
            match self.borrow_partition(partition, now).reclaim_expired_page(due, now) {
                Some(items) => slice.spend(items + ITEMS_PER_PAGE_VISIT),
                None => return,
            }
        }
    }

    /// Evicts from one partition while more is charged than the limit allows and it has more than its share of
    /// that. What readers and uploads hold beyond the limit is not paid for here: they let go of it again.
    fn give_up_excess(&self, partition: &Mutex<Partition>, slice: &mut Slice, now: Seconds) {
        while slice.is_left() && self.shared.evict && self.shared.budget.is_overdrawn() {
            let mut partition = self.borrow_partition(partition, now);
            if !partition.is_above_share() {
                return;
            }
            let before = partition.index.len();
            let released = partition.release_page(now);
            slice.spend(before - partition.index.len() + ITEMS_PER_PAGE_VISIT);
            drop(partition);
            match released {
                Release::Page(page) => self.shared.budget.give_back(page),
                Release::ToBudget => {}
                Release::Nothing => return,
            }
        }
    }
}
