//! The lookout: a thread that looks now and then at what no single request shows.
//!
//! Whether the cache turns over faster than it is worth, whether values are refused for want of memory, and whether
//! every thread that serves clients still turns its loop, which is all that the service manager's watchdog is told by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use crossbeam::utils::CachePadded;
use mio::Waker;

use crate::base::clock::Seconds;
use crate::protocol::memcached::Daemon;
use crate::store::StoreStats;

use super::manager::Manager;
use super::worker::WorkerHandle;

/// How often it looks whether it is time for anything.
const TICK: Duration = Duration::from_secs(1);
/// Seconds between two looks at the store, and so between two lines of one kind.
const STORE_PERIOD_SECS: u32 = 60;
/// Evictions in that time that are no storm, however few items there are.
const STORM_ITEMS_MIN: u64 = 1000;
/// A storm evicts at least the n-th part of all items in that time: the cache turns over in some ten minutes.
const STORM_PART: u64 = 10;
/// A thread is asked for a sign of life so many times before the watchdog's time is over.
const SIGNS_PER_WATCHDOG: u32 = 4;

/// Set by a thread each time that its loop turns, taken away by the lookout. It has its cache line to itself, so
/// that setting it costs next to nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<CachePadded<AtomicBool>>);

impl Pulse {
    /// The loop has turned.
    #[inline]
    pub fn beat(&self) {
        self.0.store(true, Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// The listener's thread, as the lookout sees it.
pub(super) struct ListenerSigns {
    pub pulse: Pulse,
    pub waker: Arc<Waker>,
}

/// See the module.
pub(super) struct Lookout {
    pub daemon: Arc<Daemon>,
    pub workers: Arc<[WorkerHandle]>,
    pub listener: ListenerSigns,
    pub manager: Arc<Manager>,
}

impl Lookout {
    /// Goes on until nobody holds the other end of `stop`.
    pub fn run(self, stop: &Receiver<()>) {
        let sign_period = self.manager.watchdog().map(|watchdog| watchdog / SIGNS_PER_WATCHDOG);
        let tick = sign_period.map_or(TICK, |period| period.min(TICK)).max(Duration::from_millis(1));
        let mut since_signs = Duration::ZERO;
        let mut seen = Reading::take(&self.daemon);
        let mut silent = Vec::new();
        self.ask_for_signs();
        while stop.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
            since_signs += tick;
            if sign_period.is_some_and(|period| since_signs >= period) {
                since_signs = Duration::ZERO;
                self.pass_signs_on(&mut silent);
            }
            let now = self.daemon.clock.now().seconds;
            if now.0.saturating_sub(seen.at.0) >= STORE_PERIOD_SECS {
                let reading = Reading::take(&self.daemon);
                reading.tell(&seen);
                seen = reading;
            }
        }
    }

    /// Wakes everybody, since a loop without events does not turn.
    fn ask_for_signs(&self) {
        if self.manager.watchdog().is_none() {
            return;
        }
        let woken = self.workers.iter().try_for_each(WorkerHandle::wake);
        if let Err(error) = woken.and_then(|()| self.listener.waker.wake()) {
            log::warn!("cannot wake a thread: {error}");
        }
    }

    /// Tells the service manager that the daemon is alive if all of it is. Those that were `silent` before are told of
    /// once.
    fn pass_signs_on(&self, silent: &mut Vec<String>) {
        let named =
            self.workers.iter().enumerate().map(|(n, worker)| (format!("worker {n}"), worker.pulse()));
        let all = named.chain([("listener".to_owned(), &self.listener.pulse)]);
        let now_silent: Vec<String> = all.filter(|(_, pulse)| !pulse.take()).map(|(name, _)| name).collect();
        if now_silent.is_empty() {
            self.manager.alive();
        }
        for name in now_silent.iter().filter(|name| !silent.contains(name)) {
            log::error!(event = "silent_thread"; "{name} gives no sign of life: the watchdog is not told that all is well");
        }
        *silent = now_silent;
        self.ask_for_signs();
    }
}

/// What the store had counted at a time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Seconds,
    items: u64,
    limit_bytes: u64,
    evicted: u64,
    refused: u64,
}

impl Reading {
    fn take(daemon: &Daemon) -> Reading {
        let at = daemon.clock.now().seconds;
        let stats: StoreStats = daemon.store.stats(at);
        Reading {
            at,
            items: stats.items,
            limit_bytes: stats.limit_bytes,
            evicted: stats.sum(|class| class.evicted),
            refused: stats.figures.store_no_memory,
        }
    }

    /// Items evicted since `before`, if they are so many that the cache is hardly worth its name.
    fn storm_since(&self, before: &Reading) -> Option<u64> {
        let evicted = self.evicted.saturating_sub(before.evicted);
        (evicted >= STORM_ITEMS_MIN.max(self.items / STORM_PART)).then_some(evicted)
    }

    /// Tells the log of what has happened since `before` and should not.
    fn tell(&self, before: &Reading) {
        let seconds = self.at.0.saturating_sub(before.at.0);
        let (items, megabytes) = (self.items, self.limit_bytes >> 20);
        if let Some(evicted) = self.storm_since(before) {
            log::warn!(
                event = "eviction_storm", evicted = evicted, items = items;
                "{evicted} items were evicted in {seconds} s, there are {items} in {megabytes} MB: the memory limit \
                 (-m) is low for what is stored"
            );
        }
        let refused = self.refused.saturating_sub(before.refused);
        if refused > 0 {
            log::warn!(
                event = "memory_pressure", refused = refused;
                "{refused} values were refused for want of memory in {seconds} s, the limit is {megabytes} MB (-m)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(items: u64, evicted: u64, is_storm: bool) {
        let before = Reading { at: Seconds::START, items, limit_bytes: 0, evicted: 7, refused: 0 };
        let after = Reading { evicted: evicted + 7, ..before };
        assert_eq!(after.storm_since(&before).is_some(), is_storm, "{evicted} of {items}");
    }

    #[test]
    fn a_storm_is_a_tenth_of_all_items_and_not_a_handful() {
        check(1_000_000, 99_999, false);
        check(1_000_000, 100_000, true);
        check(100, 999, false);
        check(100, 1000, true);
        check(0, 0, false);
    }

    #[test]
    fn a_pulse_is_taken_once() {
        let pulse = Pulse::default();
        assert!(!pulse.take());
        pulse.clone().beat();
        assert!(pulse.take() && !pulse.take());
    }
}
