//! What the store counts, per slab class and per partition, and the gauges that `stats` reads.

use crate::figures;

figures! {
    /// Events of one slab class in one partition. Names are memcached's.
    ClassFigures {
        /// Items found by a get.
        get_hits,
        /// Storage commands that came as far as storing.
        cmd_set,
        /// Items deleted by a client.
        delete_hits,
        /// Successful increments.
        incr_hits,
        /// Successful decrements.
        decr_hits,
        /// Compare-and-swaps that stored.
        cas_hits,
        /// Compare-and-swaps refused for another unique.
        cas_badval,
        /// Items given a new exptime by touch or gat.
        touch_hits,
        /// Items evicted for room.
        evicted,
        /// Of those: with an exptime.
        evicted_nonzero,
        /// Of those: never read.
        evicted_unfetched,
        /// Of those: read again while they waited to be evicted.
        evicted_active,
        /// Of those: because the whole page had to go.
        evicted_for_page,
        /// Bytes of the items evicted.
        evicted_bytes,
        /// Stores refused for want of memory.
        outofmemory,
        /// Expired items whose chunk was taken back to store another item.
        reclaimed,
        /// Expired items taken away by upkeep, which no client had asked for since.
        crawler_reclaimed,
        /// Items looked at behind the requests for whether they are over.
        crawler_items_checked,
        /// Expired items that had never been read.
        expired_unfetched,
        /// Items demoted to COLD.
        moves_to_cold,
        /// Items promoted to WARM.
        moves_to_warm,
        /// Items put back to the start of their segment.
        moves_within_lru,
        /// Items a worker had to take from the LRU's tail to store another.
        direct_reclaims,
        /// Hits on items in HOT.
        hits_to_hot,
        /// Hits on items in WARM.
        hits_to_warm,
        /// Hits on items in COLD.
        hits_to_cold,
        /// Hits on items in TEMP.
        hits_to_temp,
    }
}

figures! {
    /// Events of one partition that belong to no class.
    PartitionFigures {
        /// Gets of a key that is not there.
        get_misses,
        /// Look-ups that met an expired item.
        get_expired,
        /// Deletes of a key that is not there.
        delete_misses,
        /// Increments of a key that is not there.
        incr_misses,
        /// Decrements of a key that is not there.
        decr_misses,
        /// Compare-and-swaps of a key that is not there.
        cas_misses,
        /// Touches of a key that is not there.
        touch_misses,
        /// Values refused because they are larger than the largest item allowed.
        store_too_large,
        /// Values refused for want of memory.
        store_no_memory,
        /// Items ever linked.
        total_items,
        /// Pages taken from one class for another or for the whole store.
        slabs_moved,
        /// Items moved out of a page that was taken away.
        slab_rescues,
        /// Borrows that had to wait for another worker.
        contended_borrows,
        /// Items dropped because the index had no place for them.
        index_drops,
    }
}

/// Look-ups, stores and deletions in a partition, of its classes and of none.
pub(super) fn requests(figures: &PartitionFigures, classes: &[ClassFigures]) -> u64 {
    let in_class = |class: &ClassFigures| {
        class.get_hits
            + class.cmd_set
            + class.delete_hits
            + class.incr_hits
            + class.decr_hits
            + class.touch_hits
    };
    let misses = figures.get_misses + figures.delete_misses + figures.touch_misses;
    classes.iter().map(in_class).sum::<u64>() + misses + figures.incr_misses + figures.decr_misses
}

/// State of one slab class, summed over the partitions. The last class is that of large items: it has
/// no pages of its own.
#[derive(Clone, Debug, Default)]
pub struct ClassStats {
    /// What was counted.
    pub figures: ClassFigures,
    /// Bytes of a chunk; 0 for the class of large items.
    pub chunk_bytes: u64,
    /// Chunks cut from a page.
    pub chunks_per_page: u64,
    /// Pages the class has.
    pub pages: u64,
    /// Chunks that hold an item, or one that is arriving.
    pub used_chunks: u64,
    /// Items in each segment.
    pub segment_items: [u64; 4],
    /// Greatest number of seconds since last use at the tail of HOT, WARM and COLD.
    pub ages: [u32; 3],
    /// Bytes of header, key and value of the items.
    pub requested_bytes: u64,
    /// How long the last evicted item had been idle, in seconds.
    pub evicted_time: u32,
}

impl ClassStats {
    /// Items in the class.
    pub fn items(&self) -> u64 {
        self.segment_items.iter().sum()
    }
}

/// State of the whole store.
#[derive(Clone, Debug, Default)]
pub struct StoreStats {
    /// What was counted, over all partitions.
    pub figures: PartitionFigures,
    /// By class; the last is that of large items.
    pub classes: Vec<ClassStats>,
    /// Items now.
    pub items: u64,
    /// Bytes of header, key and value of all items.
    pub bytes: u64,
    /// Bytes that the limit allows.
    pub limit_bytes: u64,
    /// Bytes in use against the limit: slab pages and their deadlines, blocks of large values, index, ghosts.
    pub used_bytes: u64,
    /// Of those: the index.
    pub index_bytes: u64,
    /// Of those: blocks of large values that are linked. Others are arriving, or being sent to slow readers.
    pub large_bytes: u64,
    /// Of those: tables of deadlines.
    pub deadline_bytes: u64,
    /// Of those: ghosts, which remember evicted keys.
    pub ghost_bytes: u64,
    /// Bytes that were used and wait to be used again.
    pub spare_bytes: u64,
    /// Items of the partition that has most.
    pub fullest_partition_items: u64,
    /// Look-ups and stores in the partition that had most, ever.
    pub busiest_partition_requests: u64,
    /// Buckets of the index.
    pub index_buckets: u64,
    /// Whether a partition's index is changing its size.
    pub index_is_resizing: bool,
    /// Partitions.
    pub partitions: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Pages for which the system had no memory.
    pub page_refusals: u64,
}

impl StoreStats {
    /// Adds up one class figure over all classes.
    pub fn sum(&self, figure: impl Fn(&ClassFigures) -> u64) -> u64 {
        self.classes.iter().map(|class| figure(&class.figures)).sum()
    }

    /// What has been counted since `base` was taken; gauges stay.
    pub fn since(mut self, base: &StoreStats) -> StoreStats {
        self.figures = self.figures.since(&base.figures);
        for (class, base) in self.classes.iter_mut().zip(&base.classes) {
            class.figures = class.figures.since(&base.figures);
        }
        self
    }
}
