//! Ghosts: a short memory of keys that were evicted, without their items.
//!
//! A key that is stored again while its ghost is there was evicted too early. That says two things: the
//! new item belongs among those that are kept (as in S3-FIFO; Yang et al., SOSP 2023), and its slab class
//! would have had a hit with a little more memory (the shadow queue of Cliffhanger; Cidon et al., NSDI
//! 2016). A ghost is 16 bits in a table that newer ghosts overwrite: eight bits of the key's hash and eight
//! of the *epoch* of its class, which counts evictions in one or several pages' worth of chunks.

use super::budget::Budget;

/// Bytes of memory per ghost slot that is set up for it: about one slot per item of this size.
const BYTES_PER_SLOT: usize = 128;
const FINGERPRINT_BITS: u32 = 8;
const FINGERPRINT_MASK: u16 = (1 << FINGERPRINT_BITS) - 1;
/// Epochs are counted modulo this.
pub(super) const EPOCHS: u32 = 1 << (16 - FINGERPRINT_BITS);

/// An epoch in pages' worth of evictions: so long that a partition of `pages` pages may be evicted once over before
/// an old epoch looks like a new one.
pub(super) fn pages_per_epoch(pages: usize) -> u32 {
    (pages as u32).div_ceil(EPOCHS).max(1)
}

/// The ghosts of one partition.
pub(super) struct Ghosts {
    /// 0 is none; a fingerprint is never 0.
    slots: Vec<u16>,
}

impl Ghosts {
    /// Room for the ghosts of a partition of `partition_bytes`, charged to `budget`.
    pub fn new(partition_bytes: usize, budget: &Budget) -> Ghosts {
        let slots = Self::slots_for(partition_bytes);
        for _ in 0..Self::pages(slots, budget) {
            budget.charge();
        }
        // Zeroed memory from the system costs nothing until it is written.
        Ghosts { slots: vec![0; slots] }
    }

    /// A power of two, rather too few than too many.
    fn slots_for(partition_bytes: usize) -> usize {
        1 << (partition_bytes / BYTES_PER_SLOT).max(1).ilog2()
    }

    /// Begins anew if these are too few for a partition of `partition_bytes`, or far too many.
    pub fn fit(&mut self, partition_bytes: usize, budget: &Budget) {
        let slots = Self::slots_for(partition_bytes);
        if !(slots..=2 * slots).contains(&self.slots.len()) {
            (0..self.charged_pages(budget)).for_each(|_| budget.discharge());
            *self = Ghosts::new(partition_bytes, budget);
        }
    }

    fn pages(slots: usize, budget: &Budget) -> usize {
        (slots * size_of::<u16>()).div_ceil(budget.page_bytes())
    }

    /// Pages of the budget that they take.
    pub fn charged_pages(&self, budget: &Budget) -> usize {
        Self::pages(self.slots.len(), budget)
    }

    fn slot_and_fingerprint(&self, hash: u64) -> (usize, u16) {
        let fingerprint = ((hash >> 40) as u16 & FINGERPRINT_MASK).max(1);
        (hash as usize & (self.slots.len() - 1), fingerprint)
    }

    /// Notes that the key with this hash was evicted in this epoch of its class.
    pub fn remember(&mut self, hash: u64, epoch: u32) {
        let (slot, fingerprint) = self.slot_and_fingerprint(hash);
        self.slots[slot] = ((epoch % EPOCHS) as u16) << FINGERPRINT_BITS | fingerprint;
    }

    /// In which epoch the key with this hash was evicted, if it is remembered. Forgets it.
    pub fn recall(&mut self, hash: u64) -> Option<u32> {
        let (slot, fingerprint) = self.slot_and_fingerprint(hash);
        let ghost = self.slots[slot];
        if ghost & FINGERPRINT_MASK != fingerprint {
            return None;
        }
        self.slots[slot] = 0;
        Some(u32::from(ghost >> FINGERPRINT_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_recalled_once_with_its_epoch() {
        let budget = Budget::new(100, 1024, 0);
        let mut ghosts = Ghosts::new(128 * 1024, &budget);
        assert_eq!((budget.used(), ghosts.charged_pages(&budget)), (2, 2));
        let hash = |n: u64| (n % 255 + 1) << 40 | n;
        assert_eq!(ghosts.recall(hash(0)), None);
        for n in 0..1000 {
            ghosts.remember(hash(n), n as u32);
        }
        let recalled = (0..1000).filter(|&n| ghosts.recall(hash(n)) == Some(n as u32 % EPOCHS)).count();
        assert_eq!(recalled, 1000);
        assert_eq!(ghosts.recall(hash(7)), None);
    }
}
