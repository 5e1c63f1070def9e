//! What the system keeps for others than the store: where its memory is limited, pages leave some.
//!
//! What cannot be refused, such as a connection, ends the process where there is no memory.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::base::sys;

/// Address space that must be left beyond a new page: what is allocated without a limit of the store's comes from it.
pub(super) const HEADROOM_BYTES: usize = 32 << 20;
/// How often that is looked at: once per so many bytes of new pages.
const LOOK_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Headroom {
    /// 0 for none.
    bytes: usize,
    /// What the system promises is counted: it refuses memory without a limit of ours.
    is_counted: bool,
    pages_per_look: usize,
    /// Pages that may be made before it is looked at again.
    unlooked: AtomicUsize,
    /// Most pages that there were at a time.
    most_pages: AtomicUsize,
    /// One looks at a time, for looking may take what it asks for.
    looks: Mutex<()>,
}

impl Headroom {
    /// Leaves `bytes` beyond pages of `page_bytes`.
    pub fn new(bytes: usize, page_bytes: usize) -> Headroom {
        Headroom {
            bytes,
            is_counted: bytes > 0 && sys::memory_is_counted(),
            pages_per_look: LOOK_BYTES / page_bytes,
            unlooked: AtomicUsize::new(0),
            most_pages: AtomicUsize::new(0),
            looks: Mutex::new(()),
        }
    }

    /// Whether there is enough for a new page, which makes it `pages`.
    ///
    /// The allocator keeps the address space of what it frees, so where there were as many before most of what is
    /// needed is there. Asked for all of the headroom, a store that shrinks and grows would get a little less each time.
    pub fn is_left(&self, pages: usize) -> bool {
        let is_unlooked =
            || self.unlooked.fetch_update(Relaxed, Relaxed, |pages| pages.checked_sub(1)).is_ok();
        if self.bytes == 0 || is_unlooked() {
            return true;
        }
        let bytes = if pages <= self.most_pages.load(Relaxed) { self.bytes / 2 } else { self.bytes };
        // The limit may be set while the daemon runs.
        let is_limited = self.is_counted || sys::address_space_is_limited();
        let _one_at_a_time = self.looks.lock();
        let is_left = !is_limited || sys::has_memory(bytes);
        if is_left {
            self.unlooked.store(self.pages_per_look, Relaxed);
        }
        is_left
    }

    /// Notes that there are so many pages.
    pub fn note(&self, pages: usize) {
        if self.bytes > 0 {
            self.most_pages.fetch_max(pages, Relaxed);
        }
    }
}
