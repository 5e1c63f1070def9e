//! What is left over from one turn of a connection for the next.

use crate::protocol::memcached::WorkerCounters;
use crate::protocol::output::Output;

/// See the module. Few connections have anything left over, so it lies apart from them.
#[derive(Default)]
pub(super) struct Left {
    /// Bytes received; those before `unread_at` are consumed.
    pub unread: Vec<u8>,
    pub unread_at: usize,
    pub unsent: Option<Output>,
    /// Bytes of received and of unsent data that the worker has counted.
    counted: (usize, usize),
}

impl Left {
    /// Brings the worker's counts up to date; `sealed` bytes are unsent as well. Whether there is anything to keep.
    pub fn count(&mut self, sealed: usize, counters: &WorkerCounters) -> bool {
        let unsent = self.unsent.as_ref().map_or(0, Output::own_bytes);
        self.change((self.unread.capacity(), unsent + sealed), counters);
        self.counted != (0, 0) || self.unsent.is_some()
    }

    /// Bytes that were counted.
    pub fn counted_bytes(&self) -> usize {
        self.counted.0 + self.counted.1
    }

    /// Takes it out of the worker's counts.
    pub fn forget(mut self, counters: &WorkerCounters) {
        self.change((0, 0), counters);
    }

    fn change(&mut self, now: (usize, usize), counters: &WorkerCounters) {
        let before = std::mem::replace(&mut self.counted, now);
        if before != now {
            counters.unread_bytes.add((now.0 as u64).wrapping_sub(before.0 as u64));
            counters.unsent_bytes.add((now.1 as u64).wrapping_sub(before.1 as u64));
        }
    }
}
