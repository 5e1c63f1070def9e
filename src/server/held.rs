//! What a worker holds for clients that do not take their replies, or have not logged in, and the limit to it.
//!
//! A connection holds little: it is not read from while its replies wait. But there may be thousands, and this
//! memory is not the store's, so it has a limit of its own, of which each worker has an even share.

use crate::base::clock::Seconds;
use crate::base::rationed::Rationed;
use crate::protocol::memcached::Address;

/// See the module.
#[derive(Debug)]
pub(super) struct Held {
    /// `None` for no limit.
    limit_bytes: Option<usize>,
    bytes: usize,
    pinned_looked_for: Seconds,
    closed: Rationed,
}

impl Held {
    /// One of `workers` shares of `limit_bytes`; 0 for no limit.
    pub fn new(limit_bytes: usize, workers: usize) -> Held {
        let limit_bytes = (limit_bytes > 0).then(|| limit_bytes / workers.max(1));
        Held { limit_bytes, bytes: 0, pinned_looked_for: Seconds(0), closed: Rationed::default() }
    }

    /// A connection that held `before` bytes holds `after`.
    #[inline]
    pub fn change(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes + after - before;
    }

    /// Whether it is more than may be.
    #[inline]
    pub fn is_too_much(&self) -> bool {
        self.limit_bytes.is_some_and(|limit| self.bytes > limit)
    }

    /// Whether it is time to look for pinned values: once a second.
    pub fn looks_for_pinned(&mut self, now: Seconds) -> bool {
        std::mem::replace(&mut self.pinned_looked_for, now) != now
    }

    /// Tells the log, now and then, that the connection of `peer` is closed for the large values that it kept.
    pub fn tell_of_pinned(&self, peer: &Address, bytes: usize, now: Seconds) {
        self.closed.tell(now, "closed", |untold| {
            log::warn!(
                event = "slow_client", peer:% = peer;
                "{peer} is closed: it does not take its replies and keeps {bytes} bytes of values that the cache \
                 has no more, all such clients more than a quarter of -m{untold}"
            );
        });
    }

    /// Tells the log, now and then, that the connection of `peer`, which held `bytes`, is closed for it.
    pub fn tell(&self, peer: &Address, bytes: usize, now: Seconds) {
        self.closed.tell(now, "closed", |untold| {
            log::warn!(
                event = "slow_client", peer:% = peer;
                "{peer} is closed: it does not take its replies, or has not logged in, and holds {bytes} bytes, all such \
                 clients of this worker {} of {} (-o read_buf_mem_limit){untold}",
                self.bytes,
                self.limit_bytes.unwrap_or_default(),
            );
        });
    }
}
