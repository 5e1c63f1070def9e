//! The store: items under keys, within a memory limit.
//!
//! [`Store`] is the front door; everything else in this folder serves it. The store knows no protocol
//! word and no socket. It is cut into partitions by the hash of the key. Each belongs to one worker,
//! which looks after it ([`Store::upkeep`]); any worker may borrow it for one operation, under its lock.
//! At most one partition is locked at a time, and never across a system call.

mod access;
mod ahead;
#[cfg(any(test, fuzzing))]
mod books;
mod budget;
mod crawl;
mod deadlines;
mod events;
mod eviction;
mod figures;
mod ghosts;
mod headroom;
mod hold;
mod housekeeping;
mod index;
mod item;
mod joining;
mod large;
mod lru;
mod page_moves;
mod partition;
mod provision;
mod reassign;
mod reservation;
mod segments;
mod slab;
mod storing;
mod terms;
mod tunables;
mod upkeep;
mod walk;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use crossbeam::utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};

use crate::base::clock::{Deadline, Seconds};
use crate::base::hash::KeyHasher;
use budget::{Budget, PageBytes};
use crawl::Crawl;
use item::Shape;
use joining::{Addition, JoinRequest};
use large::Blocks;
use page_moves::Release;
use partition::{Partition, Shared};
use provision::{Provision, Shortage};
use slab::ChunkSizes;
use storing::Draft;
use tunables::Tunables;
use upkeep::Round;

pub use access::{Access, Counted, Counting, Creation, LookUp};
pub use ahead::KEYS_AHEAD;
pub use events::{CrawlReport, EventListener, Evicted, EvictionCause};
pub use figures::{ClassFigures, ClassStats, PartitionFigures, StoreStats};
pub use hold::Hold;
pub use housekeeping::SegmentShares;
pub use item::KEY_BYTES_MAX;
pub use large::LargeValue;
pub use partition::{Arithmetic, Direction, ItemView, Key};
pub use reassign::{PageOwner, ReassignError};
pub use reservation::{Arrived, Reservation, ReserveError};
pub use storing::{StoreMode, StoreOutcome, StoreRequest};
pub use terms::{Receipt, Removal, Removed, Terms};
pub use tunables::{Automove, LruMode, LruPolicy, Tuning};
pub use walk::{ItemDetails, Peek, Walk};

/// Most partitions for each worker: enough that two workers rarely meet in one.
const PARTITIONS_PER_WORKER: usize = 16;
/// Memory that a partition should have: below it hits are lost, as each class of each has its own pages.
const PARTITION_BYTES_WANTED: usize = 16 << 20;
/// Memory that it has at least where there are more workers than partitions of the wanted size.
const PARTITION_BYTES_MIN: usize = 4 << 20;
/// Bounds of a page in bytes.
const PAGE_BYTES_MIN: usize = 16 << 10;
const PAGE_BYTES_MAX: usize = 64 << 10;
/// Pages that a partition should have at least, where memory allows larger ones.
const PAGES_PER_PARTITION: usize = 1024;
/// Most memory of a partition: what 32 bits of chunk id can name, in units of 8 bytes.
const PARTITION_BYTES_MAX: usize = 32 << 30;
/// Attempts of one operation to get the memory it needs, while others may take it away again.
const ATTEMPTS_MAX: usize = 8;

/// What a store is made with.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Bytes for items and index (`-m`).
    pub memory_limit_bytes: usize,
    /// Workers that share the store (`-t`).
    pub workers: usize,
    /// Largest item in memcached's counting (`-I`).
    pub item_bytes_max: usize,
    /// Evict items for room; if not, refuse new ones (`-M`).
    pub evict: bool,
    /// Pages may move between slab classes, as [`Tuning::automove`] says (`-o slab_reassign`).
    pub reassign: bool,
    /// Give items CAS uniques (`-C` switches them off).
    pub cas_enabled: bool,
    /// Factor between chunk sizes (`-f`); `None` for larder's own spacing.
    pub slab_growth_factor: Option<f64>,
    /// Space for key, flags and value in the smallest chunk (`-n`), in bytes.
    pub slab_min_size: Option<usize>,
    /// Take expired items away in the background (`-o lru_crawler`).
    pub reclaim_expired: bool,
    /// What may be changed later.
    pub tuning: Tuning,
    /// Seed of the hash, for runs that must repeat; `None` for a random one.
    pub hash_seed: Option<u64>,
    /// Number of partitions, a power of two; `None` to derive it from memory and workers.
    pub partitions: Option<usize>,
    /// Bytes of a page, a power of two; `None` to derive it.
    pub page_bytes: Option<usize>,
    /// Bytes that the system must have besides for each page that is added; 0: it is not asked. Where all memory is
    /// locked, asking would fill them.
    pub headroom_bytes: usize,
}

impl Default for StoreOptions {
    /// memcached's defaults.
    fn default() -> Self {
        StoreOptions {
            memory_limit_bytes: 64 << 20,
            workers: 4,
            item_bytes_max: 1 << 20,
            evict: true,
            reassign: true,
            cas_enabled: true,
            slab_growth_factor: None,
            slab_min_size: None,
            reclaim_expired: true,
            tuning: Tuning::default(),
            hash_seed: None,
            partitions: None,
            page_bytes: None,
            headroom_bytes: headroom::HEADROOM_BYTES,
        }
    }
}

impl StoreOptions {
    fn derived_partitions(&self) -> usize {
        let of_at_least = |bytes: usize| 1 << (self.memory_limit_bytes / bytes).max(1).ilog2();
        let one_each = self.workers.next_power_of_two().min(of_at_least(PARTITION_BYTES_MIN));
        let most = (self.workers * PARTITIONS_PER_WORKER).next_power_of_two();
        let nameable = self.memory_limit_bytes.div_ceil(PARTITION_BYTES_MAX / 2).next_power_of_two();
        most.min(of_at_least(PARTITION_BYTES_WANTED).max(one_each)).max(nameable)
    }

    fn derived_page_bytes(&self, partitions: usize) -> usize {
        let wanted = self.memory_limit_bytes / partitions / PAGES_PER_PARTITION;
        wanted.clamp(PAGE_BYTES_MIN, PAGE_BYTES_MAX).next_power_of_two()
    }
}

/// Bytes of an item as memcached counts them against `-I`: header, CAS unique, key and its terminator,
/// client flags, value and its line end. Drop-in users have sized `-I` by this.
pub fn memcached_item_bytes(
    key_bytes: usize,
    client_flags: u32,
    value_bytes: usize,
    with_cas: bool,
) -> usize {
    let flags = if client_flags == 0 { 0 } else { 4 };
    48 + if with_cas { 8 } else { 0 } + key_bytes + 1 + flags + value_bytes + 2
}

/// Part of the memory limit that clients may keep who do not take the large values that they asked for.
const PINNED_PART: usize = 4;

/// A cache of items under one memory limit, shared by all workers.
pub struct Store {
    shared: Arc<Shared>,
    partitions: Box<[CachePadded<Mutex<Partition>>]>,
    workers: usize,
    /// Pages that the store used when it was empty.
    pages_of_nothing: usize,
    /// When the delayed flush is due, in [`Seconds`]; 0 if none was ever asked for.
    flush_at: AtomicU32,
    /// Where the next search for a page to take away begins.
    next_giver: AtomicUsize,
    /// Upkeep takes expired items away.
    reclaims_expired: AtomicBool,
    crawl: Crawl,
    /// By partition: held by who joins a large value there, so that others do not copy theirs in vain.
    joins: Box<[Mutex<()>]>,
    /// By worker: where its upkeep stands.
    rounds: Box<[CachePadded<Round>]>,
}

impl Store {
    /// An empty store.
    ///
    /// # Panics
    /// If `partitions` or `page_bytes` are given and are not powers of two.
    pub fn new(options: &StoreOptions) -> Arc<Store> {
        let partitions = options.partitions.unwrap_or_else(|| options.derived_partitions());
        assert!(partitions.is_power_of_two(), "{partitions} partitions");
        let page_bytes = options.page_bytes.unwrap_or_else(|| options.derived_page_bytes(partitions));
        let limit = (options.memory_limit_bytes / page_bytes).max(1);
        let sizes = ChunkSizes::new(page_bytes, options.slab_min_size, options.slab_growth_factor);
        let shared = Arc::new(Shared {
            budget: Arc::new(Budget::new(limit, page_bytes, options.headroom_bytes)),
            hasher: options.hash_seed.map_or_else(KeyHasher::new, KeyHasher::with_seed),
            demand: housekeeping::Demand::new(sizes.len() + 1),
            sizes,
            evict: options.evict,
            reassign: options.reassign,
            tunables: Tunables::new(&options.tuning),
            listener: OnceLock::new(),
            item_bytes_max: options.item_bytes_max,
            cas_enabled: options.cas_enabled,
            partition_bytes: options.memory_limit_bytes / partitions,
            pages_per_epoch: ghosts::pages_per_epoch(options.memory_limit_bytes / partitions / page_bytes),
            partition_bits: partitions.ilog2(),
        });
        let partition = |number| CachePadded::new(Mutex::new(Partition::new(shared.clone(), number as u32)));
        let partitions: Box<[_]> = (0..partitions).map(partition).collect();
        Arc::new(Store {
            pages_of_nothing: shared.budget.used(),
            joins: partitions.iter().map(|_| Mutex::default()).collect(),
            partitions,
            workers: options.workers.max(1),
            flush_at: AtomicU32::new(0),
            next_giver: AtomicUsize::new(0),
            crawl: Crawl::default(),
            reclaims_expired: AtomicBool::new(options.reclaim_expired),
            rounds: (0..options.workers.max(1)).map(|_| CachePadded::default()).collect(),
            shared,
        })
    }

    /// How many partitions the store is cut into.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Hashes a key, once for all operations on it.
    ///
    /// # Panics
    /// In debug builds, if the key is empty or longer than [`KEY_BYTES_MAX`].
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        debug_assert!((1..=KEY_BYTES_MAX).contains(&bytes.len()), "key of {} bytes", bytes.len());
        Key { bytes, hash: self.shared.hasher.hash(bytes) }
    }

    #[inline]
    fn partition_number(&self, hash: u64) -> usize {
        (hash >> 48) as usize & (self.partitions.len() - 1)
    }

    #[inline]
    fn partition(&self, hash: u64) -> &Mutex<Partition> {
        &self.partitions[self.partition_number(hash)]
    }

    /// Borrows the partition of a hash for one operation.
    #[inline]
    fn borrow(&self, hash: u64, now: Seconds) -> MutexGuard<'_, Partition> {
        self.borrow_partition(self.partition(hash), now)
    }

    #[inline]
    fn borrow_partition<'a>(
        &self,
        partition: &'a Mutex<Partition>,
        now: Seconds,
    ) -> MutexGuard<'a, Partition> {
        let mut partition = match partition.try_lock() {
            Some(partition) => partition,
            None => {
                let mut partition = partition.lock();
                partition.figures.contended_borrows += 1;
                partition
            }
        };
        let flush_at = self.flush_at.load(Relaxed);
        if flush_at != 0 && flush_at <= now.0 && partition.flushed_at != flush_at {
            partition.flushed_at = flush_at;
            partition.flush();
        }
        partition
    }

    /// Looks a key up and shows its item to `read`, under the lock. Counts as a get.
    #[inline]
    pub fn get<R>(&self, key: &Key, now: Seconds, read: impl FnOnce(&ItemView) -> R) -> Option<R> {
        self.borrow(key.hash, now).get(key, now).map(|item| read(&item))
    }

    /// Gives a key's item another deadline and shows it to `read`. Counts as a touch.
    pub fn touch<R>(
        &self,
        key: &Key,
        deadline: Deadline,
        now: Seconds,
        read: impl FnOnce(&ItemView) -> R,
    ) -> Option<R> {
        self.borrow(key.hash, now).touch(key, deadline, now).map(|item| read(&item))
    }

    /// Deletes a key's item. `false` if there was none.
    pub fn delete(&self, key: &Key, now: Seconds) -> bool {
        self.borrow(key.hash, now).delete(key, now)
    }

    /// Adds `delta` to the number that a key's item holds, or subtracts it.
    pub fn arithmetic(&self, key: &Key, direction: Direction, delta: u64, now: Seconds) -> Arithmetic {
        let counted = self.with_pages(key.hash, now, |partition, provision| {
            partition.arithmetic(key, direction, delta, now, provision)
        });
        counted.unwrap_or(Arithmetic::OutOfMemory)
    }

    /// Stores a complete value, if the condition of its command holds.
    pub fn store(self: &Arc<Self>, request: &StoreRequest, now: Seconds) -> StoreOutcome {
        let StoreRequest { key, mode, client_flags, deadline, value } = *request;
        if mode.joins() {
            let request = JoinRequest { key, mode, client_flags, addition: Addition::Bytes(value) };
            return self.join(&request, &Terms::default(), now).outcome;
        }
        let whole = memcached_item_bytes(key.bytes.len(), client_flags, value.len(), self.shared.cas_enabled);
        if whole > self.shared.budget.page_bytes() {
            let store = |mut reservation: Reservation| {
                reservation.write(value, now)?;
                Ok(reservation.commit(now))
            };
            let stored = self.reserve(key, mode, client_flags, deadline, value.len(), now).and_then(store);
            return stored.unwrap_or_else(StoreOutcome::from);
        }
        if self.refuses_size(&key, mode, client_flags, value.len(), now) {
            return StoreOutcome::TooLarge;
        }
        let store =
            |partition: &mut Partition, provision: &mut Provision| partition.store(request, now, provision);
        self.with_pages(key.hash, now, store).unwrap_or_else(|| {
            self.refuse_no_memory(&key, mode, client_flags, value.len(), now);
            StoreOutcome::OutOfMemory
        })
    }

    /// Whether an item is larger than the largest allowed. If so, it is counted as refused, and the old
    /// value goes if this was a `set`: no client is to read what another meant to replace.
    pub fn refuses_size(
        &self,
        key: &Key,
        mode: StoreMode,
        client_flags: u32,
        value_bytes: usize,
        now: Seconds,
    ) -> bool {
        let item_bytes =
            memcached_item_bytes(key.bytes.len(), client_flags, value_bytes, self.shared.cas_enabled);
        let is_too_large = item_bytes > self.shared.item_bytes_max;
        if is_too_large {
            let mut partition = self.borrow(key.hash, now);
            partition.figures.store_too_large += 1;
            if mode == StoreMode::Set {
                partition.discard(key, now);
            }
        }
        is_too_large
    }

    /// Counts a value for which there is no memory; as with one that is too large, the old value of a
    /// `set` goes.
    fn refuse_no_memory(
        &self,
        key: &Key,
        mode: StoreMode,
        client_flags: u32,
        value_bytes: usize,
        now: Seconds,
    ) {
        let shape = Shape { key_bytes: key.bytes.len(), client_flags, value_bytes };
        let mut partition = self.borrow(key.hash, now);
        partition.count_no_memory(&shape);
        if mode == StoreMode::Set {
            partition.discard(key, now);
        }
    }

    /// Takes what `blocks` need to hold their first `bytes` bytes. `false` if it is not to be had.
    fn extend(&self, blocks: &mut Blocks, bytes: usize, now: Seconds) -> bool {
        let mut provision = Provision::default();
        if !self.provide(&mut provision, blocks.pages_missing(bytes), now) {
            self.take_back(provision);
            return false;
        }
        blocks.extend(provision.pages);
        true
    }

    /// Sets memory aside for an item that is to be written piece by piece.
    fn draft(&self, key: &Key, client_flags: u32, value_bytes: usize, now: Seconds) -> Option<Draft> {
        let shape = Shape { key_bytes: key.bytes.len(), client_flags, value_bytes };
        let budget = &self.shared.budget;
        let placement = shape.placement(budget.page_bytes(), budget.page_bytes());
        // Blocks are taken as the bytes arrive: who only announces a large value must not evict others.
        let mut blocks = match placement.block_bytes {
            0 => None,
            bytes => Some(Blocks::new(Vec::new(), bytes, budget.clone())),
        };
        self.with_pages(key.hash, now, |partition, provision| {
            partition.reserve(key, &shape, blocks.take(), now, provision).map_err(|(shortage, returned)| {
                blocks = returned;
                shortage
            })
        })
    }

    /// Runs an operation on the partition of `hash`; where that is short of pages, finds them in other
    /// partitions and runs it again. `None` if there are none to be had.
    #[inline]
    fn with_pages<R>(
        &self,
        hash: u64,
        now: Seconds,
        mut operation: impl FnMut(&mut Partition, &mut Provision) -> Result<R, Shortage>,
    ) -> Option<R> {
        let mut provision = Provision::default();
        let mut result = None;
        for _ in 0..ATTEMPTS_MAX {
            let attempt = operation(&mut self.borrow(hash, now), &mut provision);
            match attempt {
                Ok(done) => {
                    result = Some(done);
                    break;
                }
                Err(shortage) if self.remedy(&mut provision, shortage, now) => {}
                Err(_) => break,
            }
        }
        self.take_back(provision);
        result
    }

    /// Finds what an operation lacks. `false` if it is not to be had.
    fn remedy(&self, provision: &mut Provision, shortage: Shortage, now: Seconds) -> bool {
        if self.provide(provision, shortage.pages, now) {
            return true;
        }
        // Once more: the partition may have something to give itself.
        shortage != Shortage::FINAL && !std::mem::replace(&mut provision.is_all, true)
    }

    fn take_back(&self, provision: Provision) {
        for page in provision.pages {
            self.shared.budget.give_back(page);
        }
    }

    /// Adds `pages` pages to a provision, evicting from all partitions in turn. `false` if they cannot
    /// be had.
    fn provide(&self, provision: &mut Provision, pages: usize, now: Seconds) -> bool {
        if pages > self.shared.budget.limit() {
            return false;
        }
        for _ in 0..pages {
            match self.shared.budget.take().or_else(|| self.take_from_a_partition(now)) {
                Some(page) => provision.pages.push(page),
                None => return false,
            }
            if provision.join.is_in_vain() {
                return false;
            }
        }
        true
    }

    fn take_from_a_partition(&self, now: Seconds) -> Option<PageBytes> {
        if !self.shared.evict {
            return None;
        }
        // First from those that have more than their share. Then twice around: what a partition gives to the
        // budget may have found another taker.
        let count = self.partitions.len();
        (0..3 * count).find_map(|turn| {
            let number = self.next_giver.fetch_add(1, Relaxed) & (count - 1);
            let mut partition = self.borrow_partition(&self.partitions[number], now);
            if turn < count && !partition.is_above_share() {
                return None;
            }
            let released = partition.release_page(now);
            drop(partition);
            match released {
                Release::Page(page) => Some(page),
                Release::ToBudget => self.shared.budget.take(),
                Release::Nothing => None,
            }
        })
    }

    /// Changes the memory limit. What is over a smaller one is evicted by upkeep, in slices, and by the
    /// next allocations. `false` if chunk ids could not name so much memory.
    pub fn set_memory_limit(&self, bytes: usize) -> bool {
        // Half, since partitions do not keep to their shares exactly.
        let is_nameable = bytes / self.partitions.len() <= PARTITION_BYTES_MAX / 2;
        if is_nameable {
            self.shared.budget.set_limit((bytes / self.shared.budget.page_bytes()).max(1));
        }
        is_nameable
    }

    /// The memory limit in bytes.
    pub fn memory_limit_bytes(&self) -> usize {
        self.shared.budget.limit() * self.shared.budget.page_bytes()
    }

    /// Bytes of large values that each worker's clients may keep for themselves, if all workers' together keep more
    /// than a quarter of the memory limit.
    pub fn pinned_bytes_allowed(&self) -> Option<usize> {
        let budget = &self.shared.budget;
        let allowed = budget.limit() / PINNED_PART;
        (budget.pinned() > allowed).then(|| allowed * budget.page_bytes() / self.workers)
    }

    /// Shows the items of the slab class at `class` to `show`, those of a segment newest first, until it
    /// returns `false`. One partition is locked at a time: `show` must be quick. `false` if there is no
    /// such class.
    pub fn for_each_item(
        &self,
        class: usize,
        now: Seconds,
        mut show: impl FnMut(&ItemDetails) -> bool,
    ) -> bool {
        if class > self.shared.large_class() {
            return false;
        }
        for partition in &self.partitions {
            if !self.borrow_partition(partition, now).for_each_item(class, now, &mut show) {
                break;
            }
        }
        true
    }

    /// Forgets every item that was stored before.
    pub fn flush(&self, now: Seconds) {
        self.flush_at.store(0, Relaxed);
        for partition in &self.partitions {
            self.borrow_partition(partition, now).flush();
        }
    }

    /// Forgets at `at` every item that was stored before then. Replaces an earlier such order.
    pub fn flush_at(&self, at: Seconds) {
        self.flush_at.store(at.0, Relaxed);
    }

    /// When the last ordered delayed flush is or was due, if there was one.
    pub fn flush_due(&self) -> Option<Seconds> {
        Some(self.flush_at.load(Relaxed)).filter(|&at| at != 0).map(Seconds)
    }

    /// The state of the store and all that it has counted.
    pub fn stats(&self, now: Seconds) -> StoreStats {
        let budget = &self.shared.budget;
        let bytes = |pages: usize| (pages * budget.page_bytes()) as u64;
        let mut sum = StoreStats {
            classes: vec![ClassStats::default(); self.shared.large_class() + 1],
            limit_bytes: bytes(budget.limit()),
            partitions: self.partitions.len() as u64,
            page_bytes: bytes(1),
            page_refusals: self.shared.budget.refusals(),
            ..StoreStats::default()
        };
        for class in 0..self.shared.large_class() {
            let chunk_bytes = self.shared.sizes.chunk_bytes(slab::ClassId(class as u8));
            sum.classes[class].chunk_bytes = chunk_bytes as u64;
            sum.classes[class].chunks_per_page = (budget.page_bytes() / chunk_bytes) as u64;
        }
        for partition in &self.partitions {
            self.borrow_partition(partition, now).add_stats(&mut sum, now);
        }
        sum.used_bytes = bytes(budget.used());
        sum.spare_bytes = bytes(budget.spare());
        sum
    }
}

#[cfg(test)]
mod tests;
