//! Looking for expired items because somebody asked for it. Each worker goes through its own partitions, a slice
//! at a time, between the requests.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::Store;
use super::index;
use super::partition::Partition;
use super::upkeep::Slice;
use crate::base::clock::Seconds;

/// Items looked at in one slice, as in memcached.
const SLICE_ITEMS: usize = 1000;

/// The last crawl that was asked for.
#[derive(Debug, Default)]
pub(super) struct Crawl {
    /// Its number; 0 if there was none yet.
    number: AtomicU64,
    /// The classes it looks at, as bits.
    classes: AtomicU64,
    /// Items of each class that it looks at, at most; 0 for all.
    items_max: AtomicU32,
}

/// Where one worker stands in it.
#[derive(Debug, Default)]
pub(super) struct CrawlRound {
    place: Mutex<Place>,
    /// The last crawl that it is done with.
    finished: AtomicU64,
}

/// A crawl that is to look at some items only begins where the one before has stopped, and so goes round.
#[derive(Debug, Default)]
struct Place {
    /// The number of the crawl.
    number: u64,
    /// The next stretch to look at.
    next: Stretch,
    /// The first that it has looked at.
    first: Stretch,
    /// Every partition behind `first` has been gone through, and `next` is in one before it.
    has_wrapped: bool,
    /// Items of each class that it may still look at; empty if there is no such limit.
    left: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    /// Which of the worker's partitions.
    partition: usize,
    /// In that partition, the hash where it begins.
    hash: u64,
}

impl Place {
    /// Begins a crawl. `items_max` of each class are to be looked at, if that is not 0.
    fn begin(&mut self, number: u64, items_max: u32, classes: usize) {
        let left = if items_max == 0 { Vec::new() } else { vec![items_max; classes] };
        let first = if items_max == 0 { Stretch::default() } else { self.next };
        *self = Place { number, next: first, first, has_wrapped: false, left };
    }

    /// Those of `classes` of which more may be looked at.
    fn wanted(&self, classes: u64) -> u64 {
        if self.left.is_empty() {
            return classes;
        }
        let may_be = self.left.iter().enumerate().filter(|&(_, &left)| left > 0);
        classes & may_be.fold(0, |bits, (class, _)| bits | 1 << class)
    }

    /// Whether nothing is left to look at. Goes back to the first partition from behind the last.
    fn is_done(&mut self, partitions: usize, classes: u64) -> bool {
        if self.next.partition >= partitions {
            (self.next, self.has_wrapped) = (Stretch::default(), true);
        }
        (self.has_wrapped && self.next >= self.first) || self.wanted(classes) == 0
    }
}

impl Store {
    /// Lets the expired items of the given classes, as bits, be taken away soon; of each class some `items_max` are
    /// looked at (a stretch of the index per worker more, at most), all if that is 0. If a crawl is on its way, it
    /// begins anew and looks at the classes of both.
    pub fn crawl(&self, classes: u64, items_max: u32) {
        let earlier = if self.is_crawling() { self.crawl.classes.load(Relaxed) } else { 0 };
        self.crawl.classes.store(earlier | classes, Relaxed);
        self.crawl.items_max.store(items_max, Relaxed);
        self.crawl.number.fetch_add(1, Relaxed);
    }

    /// Whether a crawl that was asked for goes on.
    pub fn is_crawling(&self) -> bool {
        let number = self.crawl.number.load(Relaxed);
        self.rounds.iter().any(|round| round.crawl.finished.load(Relaxed) != number)
    }

    /// A worker's next slice of the crawl, over its own partitions. `true` if there is more to do.
    pub fn crawl_slice(&self, worker: usize, now: Seconds) -> bool {
        let round = &self.rounds[worker].crawl;
        let number = self.crawl.number.load(Relaxed);
        if round.finished.load(Relaxed) == number {
            return false;
        }
        let mut slice = Slice::of(SLICE_ITEMS);
        let own = self.own_partitions(worker);
        let mut place = round.place.lock();
        if place.number != number {
            let share = self.crawl.items_max.load(Relaxed).div_ceil(self.workers as u32);
            place.begin(number, share, self.shared.large_class() + 1);
        }
        let classes = self.crawl.classes.load(Relaxed);
        while !place.is_done(own, classes) {
            if !slice.is_left() {
                return true;
            }
            let partition = &self.partitions[worker + place.next.partition * self.workers];
            let mut partition = self.borrow_partition(partition, now);
            while place.next.hash < index::ORDER_END && slice.is_left() && !place.is_done(own, classes) {
                let (hash, wanted) = (place.next.hash, place.wanted(classes));
                let (next, items) = partition.crawl_stretch(hash, wanted, &mut place.left, now);
                place.next.hash = next;
                slice.spend(items.max(1));
            }
            if place.next.hash >= index::ORDER_END {
                place.next = Stretch { partition: place.next.partition + 1, hash: 0 };
            }
        }
        round.finished.store(number, Relaxed);
        false
    }
}

impl Partition {
    /// Takes the expired items of the stretch of hashes that begins at `from` away. Counts what it looks at down
    /// from `left`, by class, if there is such a limit. Returns where the next one begins and how many entries it has.
    fn crawl_stretch(&mut self, from: u64, classes: u64, left: &mut [u32], now: Seconds) -> (u64, usize) {
        let mut checked = Vec::new();
        let step = self.stretch(from, |id, hash| checked.push((id, hash)));
        for (id, hash) in checked {
            let class = usize::from(self.slab.item(id).class());
            if classes >> class & 1 == 0 {
                continue;
            }
            if let Some(left) = left.get_mut(class) {
                *left = left.saturating_sub(1);
            }
            self.class_figures[class].crawler_items_checked += 1;
            if self.slab.deadline(id).has_passed(now) {
                self.class_figures[class].crawler_reclaimed += 1;
                self.remove_expired(id, hash);
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::base::clock::{Deadline, Seconds};
    use crate::store::{Store, StoreMode, StoreOptions, StoreRequest};

    const NOW: Seconds = Seconds(50);

    /// Stores `count` items, every other one in the first class, and two of four over at [`NOW`].
    fn store(count: u32) -> Arc<Store> {
        let options = StoreOptions { workers: 2, reclaim_expired: false, ..StoreOptions::default() };
        let store = Store::new(&options);
        for n in 0..count {
            let text = format!("key{n}");
            let value: &[u8] = if n % 2 == 0 { b"short" } else { &[b'x'; 500] };
            let deadline = if n % 4 < 2 { Deadline(NOW.0) } else { Deadline::NEVER };
            let key = store.key(text.as_bytes());
            let request = StoreRequest { key, mode: StoreMode::Set, client_flags: 0, deadline, value };
            store.store(&request, Seconds::START);
        }
        store
    }

    /// Items that are left, and how many of all crawls were over, and looked at.
    fn finish(store: &Store, classes: u64, items_max: u32) -> (u64, u64, u64) {
        store.crawl(classes, items_max);
        assert!(store.is_crawling());
        for worker in 0..2 {
            while store.crawl_slice(worker, NOW) {}
        }
        assert!(!store.is_crawling());
        let stats = store.stats(NOW);
        (
            stats.items,
            stats.sum(|class| class.crawler_reclaimed),
            stats.sum(|class| class.crawler_items_checked),
        )
    }

    fn first_class(store: &Store) -> usize {
        store.stats(NOW).classes.iter().position(|class| class.items() > 0).unwrap_or(0)
    }

    #[test]
    fn a_crawl_takes_what_is_over_in_its_classes_and_ends() {
        let store = store(2000);
        while store.upkeep(0, NOW) || store.upkeep(1, NOW) {}
        assert_eq!(store.stats(NOW).items, 2000, "nothing is taken away unasked");
        assert_eq!(finish(&store, 1 << first_class(&store), 0), (1500, 500, 1000));
        assert_eq!(finish(&store, u64::MAX, 0), (1000, 1000, 2500));
        store.partitions.iter().for_each(|partition| partition.lock().check());
    }

    #[test]
    fn a_crawl_with_a_limit_looks_at_so_many_of_a_class_and_the_next_goes_on() {
        let store = store(2000);
        let class = 1 << first_class(&store);
        let mut checked = 0;
        let mut seen = Vec::new();
        while seen.last() != Some(&500) {
            let (items, reclaimed, all_checked) = finish(&store, class, 200);
            assert_eq!(2000 - items, reclaimed);
            assert!((200..250).contains(&(all_checked - checked)), "{checked} to {all_checked}");
            checked = all_checked;
            seen.push(reclaimed);
            assert!(seen.len() < 12, "{seen:?}");
        }
        assert!((60..140).contains(&seen[0]), "{seen:?}");
        assert_eq!(finish(&store, class, 100_000).2, checked + 500, "no more than there are");
        store.partitions.iter().for_each(|partition| partition.lock().check());
    }
}
