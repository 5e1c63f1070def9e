//! Bringing what the next operations need from memory while the present one is carried out.
//!
//! What a look-up costs in a large store is waiting: for its bucket of the index, then for its item. So the keys of
//! several requests are looked at beforehand, first all their buckets, then all their items, and the memory answers
//! at the same time. Nothing depends on it: what changes in between is looked up as ever.

use super::Store;
use super::partition::Key;

/// Keys that are looked at together: more would push each other out before they are used.
pub const KEYS_AHEAD: usize = 8;
/// Items of so many bytes in all are held by the processor's caches anyway.
const CACHED_BYTES: usize = 8 << 20;

impl Store {
    /// Whether looking ahead pays: there is more than the processor's caches hold.
    #[inline]
    pub fn is_far_away(&self) -> bool {
        let pages = self.shared.budget.used().saturating_sub(self.pages_of_nothing);
        pages * self.shared.budget.page_bytes() > CACHED_BYTES
    }

    /// Has what look-ups of `keys` read brought from memory. Passes over what another worker is busy with.
    pub fn prefetch(&self, keys: &[Key]) {
        for key in keys {
            if let Some(partition) = self.partition(key.hash).try_lock() {
                partition.index.prefetch(key.hash);
            }
        }
        for key in keys {
            if let Some(partition) = self.partition(key.hash).try_lock()
                && let Some(id) = partition.index.candidate(key.hash)
            {
                partition.slab.item(id).prefetch();
            }
        }
    }
}
