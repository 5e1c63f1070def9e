//! What all sessions share: the store, the settings, and the counters of workers and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

use crate::base::clock::{Clock, Now};
use crate::config::Settings;
use crate::counters;
use crate::store::{Automove, LruMode, Store, StoreStats};

/// Highest verbosity that can be set by command, as in memcached.
const VERBOSITY_MAX: u32 = 2;

counters! {
    /// What one worker counts outside the store.
    WorkerCounters =>
    /// A reading of [`WorkerCounters`], or the sum of several.
    WorkerFigures {
        /// touch, gat and gats, by key.
        cmd_touch,
        /// flush_all, refused ones too.
        cmd_flush,
        /// Meta commands other than mn.
        cmd_meta,
        /// Bytes that clients sent.
        bytes_read,
        /// Bytes sent to clients.
        bytes_written,
        /// Bytes received that connections keep between turns; not a sum but a gauge.
        unread_bytes,
        /// Bytes of replies that connections keep because their clients do not take them; a gauge.
        unsent_bytes,
        /// Turns that ended because other connections should have theirs.
        conn_yields,
    }
}

/// Counts of connections; listener and workers write them.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Connections that are open, those on their way to a worker included.
    pub current: AtomicU64,
    /// Connections ever accepted.
    pub total: AtomicU64,
    /// Connections refused because of the limit.
    pub rejected: AtomicU64,
    /// How often accepting was stopped.
    pub listen_disabled: AtomicU64,
    /// How long in all, in microseconds.
    pub listen_disabled_us: AtomicU64,
    /// Whether accepting is stopped now.
    pub is_accepting_stopped: AtomicBool,
}

/// What had been counted when `stats reset` was last given.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    pub store: StoreStats,
    pub workers: WorkerFigures,
    pub total_connections: u64,
    pub rejected_connections: u64,
    pub listen_disabled: u64,
}

/// The daemon as its sessions see it.
pub struct Daemon {
    /// The items.
    pub store: Arc<Store>,
    /// As at start.
    pub settings: Settings,
    /// Where time is read.
    pub clock: Clock,
    /// By worker.
    pub workers: Box<[CachePadded<WorkerCounters>]>,
    /// Of all workers together.
    pub connections: ConnectionCounters,
    verbosity: AtomicU8,
    on_verbosity: fn(u8),
    pub(super) baseline: Mutex<Baseline>,
}

impl Daemon {
    /// A daemon with nothing counted. `on_verbosity` is called when a client changes the verbosity.
    pub fn new(settings: Settings, store: Arc<Store>, clock: Clock, on_verbosity: fn(u8)) -> Daemon {
        Daemon {
            store,
            clock,
            workers: (0..settings.threads).map(|_| CachePadded::default()).collect(),
            connections: ConnectionCounters::default(),
            verbosity: AtomicU8::new(settings.verbosity),
            on_verbosity,
            baseline: Mutex::default(),
            settings,
        }
    }

    /// The verbosity in force.
    pub fn verbosity(&self) -> u8 {
        self.verbosity.load(Relaxed)
    }

    pub(super) fn set_verbosity(&self, level: u32) {
        let level = level.min(VERBOSITY_MAX) as u8;
        self.verbosity.store(level, Relaxed);
        (self.on_verbosity)(level);
    }

    /// The settings, with what clients have changed since the start.
    pub(super) fn settings_in_force(&self) -> Settings {
        let tuning = self.store.tuning();
        Settings {
            verbosity: self.verbosity(),
            memory_limit_bytes: self.store.memory_limit_bytes(),
            lru_segmented: tuning.lru_mode == LruMode::Segmented,
            hot_lru_pct: tuning.segment_shares.hot_percent,
            warm_lru_pct: tuning.segment_shares.warm_percent,
            hot_max_factor: tuning.hot_max_factor,
            warm_max_factor: tuning.warm_max_factor,
            temp_lru: tuning.temp_lru,
            temporary_ttl: tuning.temporary_ttl,
            slab_automove: match tuning.automove {
                Automove::Off => 0,
                Automove::Gentle => 1,
                Automove::Eager => 2,
            },
            slab_automove_ratio: tuning.automove_ratio,
            slab_automove_window: tuning.automove_window,
            ..self.settings.clone()
        }
    }

    /// The sum over all workers.
    pub(super) fn worker_figures(&self) -> WorkerFigures {
        let mut sum = WorkerFigures::default();
        self.workers.iter().for_each(|worker| sum += &worker.read());
        sum
    }

    /// Lets every counter begin again at 0.
    pub(super) fn reset_stats(&self, now: Now) {
        *self.baseline.lock() = Baseline {
            store: self.store.stats(now.seconds),
            workers: self.worker_figures(),
            total_connections: self.connections.total.load(Relaxed),
            rejected_connections: self.connections.rejected.load(Relaxed),
            listen_disabled: self.connections.listen_disabled.load(Relaxed),
        };
    }
}
