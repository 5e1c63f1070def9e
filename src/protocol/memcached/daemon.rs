//! What all sessions share: the store, the settings, and the counters of workers and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

use crate::auth::Guard;
use crate::base::clock::{Clock, Now};
use crate::base::handover::Places;
use crate::config::{self, Settings};
use crate::counters;
use crate::store::{Automove, CrawlReport, EventListener, Evicted, LruMode, LruPolicy, Store, StoreStats};

use super::audit::Audit;
use super::conns::Connections;
use super::crawler::Crawler;
use super::debug::Held;
use super::detail::Prefixes;
use super::hotkeys::HotKeys;
use super::latency::Timing;
use super::live::Live;
use super::slow_log::SlowLog;
use super::tags::{Tag, Tags};
use super::tls::Certificates;
use super::watch::{DETAIL, EVICTIONS, SYSEVENTS, TAGS, WatchHub};

/// Highest verbosity that can be set by command, as in memcached.
const VERBOSITY_MAX: u32 = 2;

counters! {
    /// What one worker counts outside the store, of connections with the same tag.
    WorkerCounters =>
    /// A reading of [`WorkerCounters`], or the sum of several.
    WorkerFigures {
        /// touch, gat and gats, by key.
        cmd_touch,
        /// flush_all and flush_prefix, refused ones too.
        cmd_flush,
        /// me, which alone memcached counts here.
        cmd_meta,
        /// Bytes that clients sent.
        bytes_read,
        /// Bytes sent to clients.
        bytes_written,
        /// Bytes received that connections keep between turns; not a sum but a gauge.
        unread_bytes,
        /// Bytes of replies that connections keep because their clients do not take them, but for large
        /// values, which are the store's; a gauge.
        unsent_bytes,
        /// Connections closed because clients of the worker kept it from sending too much.
        unsent_kicks,
        /// Connections closed because they were silent for too long.
        idle_kicks,
        /// TLS handshakes that began a session.
        tls_full_handshakes,
        /// TLS handshakes that went on with an earlier session.
        tls_resumed_handshakes,
        /// TLS handshakes that failed.
        tls_handshake_errors,
        /// TLS handshakes that took too long.
        tls_handshake_timeouts,
        /// TLS connections that failed later, because of what the client sent.
        tls_record_errors,
        /// Turns that ended because other connections should have theirs.
        conn_yields,
        /// Datagrams that were taken as requests.
        udp_requests,
        /// Datagrams that were not answered because they hold no request.
        udp_dropped,
        /// Replies that were not sent, or not to their end, because the system did not take a datagram.
        udp_unsent,
        /// Connections that the worker has; a gauge.
        curr_connections,
        /// Connections that it ever had.
        total_connections,
        /// Keys of get, gets and mg that were found. This and the next two count only while somebody
        /// wants to know of requests: the store counts them anyway, but not by tag.
        get_hits,
        /// The same keys where they were not found.
        get_misses,
        /// Storage commands that were tried.
        cmd_set,
        /// Logins that were tried with a user and a password.
        auth_cmds,
        /// Those of them that failed.
        auth_errors,
        /// Commands that the client's user had no right to.
        auth_denied,
    }
}

impl WorkerCounters {
    /// A connection has come.
    pub fn count_connected(&self) {
        self.curr_connections.add(1);
        self.total_connections.add(1);
    }

    /// A connection is gone.
    pub fn count_closed(&self) {
        self.curr_connections.add(1_u64.wrapping_neg());
    }
}

/// Counts of connections; listener and workers write them.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Connections that are open, those on their way to a worker included. Awaited is a place while accepting is
    /// stopped.
    pub open: Places,
    /// Connections ever accepted.
    pub total: AtomicU64,
    /// Connections refused because of a limit.
    pub rejected: AtomicU64,
    /// Those of them whose address had as many as it may.
    pub rejected_by_address: AtomicU64,
    /// How often accepting was stopped.
    pub listen_disabled: AtomicU64,
    /// How long in all, in microseconds.
    pub listen_disabled_us: AtomicU64,
}

/// What had been counted when `stats reset` was last given.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    pub store: StoreStats,
    pub workers: WorkerFigures,
    pub by_tag: Vec<WorkerFigures>,
    pub total_connections: u64,
    pub rejected_connections: u64,
    pub rejected_by_address: u64,
    pub listen_disabled: u64,
    pub crawler_starts: u64,
    /// Lines for watchers: written, skipped, sent.
    pub watch: [u64; 3],
}

/// What clients may have done to the process.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// The verbosity was changed.
    pub on_verbosity: fn(u8),
    /// The daemon is to end.
    pub on_shutdown: fn(),
    /// Commands for tests are there.
    pub debug_commands: bool,
    /// Tries what a cache has no need to do; whether it could.
    pub on_misbehave: fn() -> bool,
    /// A thread is to panic.
    pub on_panic: fn(),
    /// A thread is to do nothing any more.
    pub on_hang: fn(),
}

impl Default for Hooks {
    /// Nothing happens.
    fn default() -> Hooks {
        Hooks {
            on_verbosity: |_| (),
            on_shutdown: || (),
            debug_commands: false,
            on_misbehave: || true,
            on_panic: || (),
            on_hang: || (),
        }
    }
}

/// Passes on to watchers what the store does by itself.
struct StoreEvents(Arc<WatchHub>);

impl EventListener for StoreEvents {
    fn wants_evictions(&self) -> bool {
        self.0.observed() & EVICTIONS != 0
    }

    fn note_evicted(&self, evicted: &Evicted) {
        self.0.tell_eviction(evicted);
    }

    fn wants_upkeep(&self) -> bool {
        self.0.observed() & SYSEVENTS != 0
    }

    fn note_page_moved(&self, from: Option<usize>, to: Option<usize>) {
        self.0.tell_page_moved(from, to);
    }

    fn note_crawled(&self, report: &CrawlReport) {
        self.0.tell_crawled(report);
    }
}

/// The daemon as its sessions see it.
pub struct Daemon {
    /// The items.
    pub store: Arc<Store>,
    /// As at start; what may change is elsewhere, some of it in `live`.
    pub settings: Settings,
    /// Limits that may change.
    pub live: Live,
    /// Lets clients in, if they have to log in.
    pub guard: Option<Guard>,
    /// Where time is read.
    pub clock: Clock,
    /// Of listening sockets.
    pub tags: Tags,
    /// By worker, and for each by tag.
    counters: Box<[CachePadded<WorkerCounters>]>,
    /// By worker.
    pub(super) timings: Box<[CachePadded<Timing>]>,
    /// What took long.
    pub slow_log: SlowLog,
    /// Of all workers together.
    pub connections: ConnectionCounters,
    pub(super) crawler: Crawler,
    /// The connections, one by one.
    pub registry: Connections,
    /// Who watches.
    pub(super) watch: Arc<WatchHub>,
    /// What the log has been told of clients.
    pub(super) audit: Audit,
    /// What `stats detail` counts.
    pub(super) prefixes: Prefixes,
    /// What `stats hotkeys` tells.
    pub(super) hot_keys: HotKeys,
    /// What `debugitem` holds.
    pub(super) held: Held,
    /// `None` without TLS.
    pub(super) certificates: Option<Arc<dyn Certificates>>,
    verbosity: AtomicU8,
    pub(super) hooks: Hooks,
    pub(super) baseline: Mutex<Baseline>,
}

impl Daemon {
    /// A daemon with nothing counted.
    pub fn new(settings: Settings, store: Arc<Store>, clock: Clock, hooks: Hooks) -> Daemon {
        let watch = Arc::new(WatchHub::new(settings.watcher_logbuf_size));
        watch.observe(DETAIL, settings.detail_enabled);
        let tags = Tags::new(settings.listen.iter().chain(&settings.udp.listen));
        watch.observe(TAGS, tags.any());
        store.tell_events_to(Box::new(StoreEvents(watch.clone())));
        Daemon {
            registry: Connections::default(),
            watch,
            audit: Audit::default(),
            prefixes: Prefixes::new(settings.prefix_delimiter),
            hot_keys: HotKeys::new(if settings.hotkeys { settings.threads } else { 0 }),
            store,
            guard: None,
            clock,
            counters: (0..settings.threads * tags.count()).map(|_| CachePadded::default()).collect(),
            timings: (0..settings.threads.max(1))
                .map(|worker| CachePadded::new(Timing::new(worker)))
                .collect(),
            slow_log: SlowLog::new(settings.slow_log_ms),
            tags,
            connections: ConnectionCounters::default(),
            crawler: Crawler {
                sleep: settings.lru_crawler_sleep.into(),
                to_crawl: settings.lru_crawler_to_crawl.into(),
                ..Crawler::default()
            },
            held: Held::default(),
            certificates: None,
            verbosity: AtomicU8::new(settings.verbosity),
            live: Live::new(&settings),
            hooks,
            baseline: Mutex::default(),
            settings,
        }
    }

    /// The same, with certificates that clients may ask for.
    pub fn with_certificates(self, certificates: Option<Arc<dyn Certificates>>) -> Daemon {
        Daemon { certificates, ..self }
    }

    /// How long a worker pauses between two slices of a crawl.
    pub fn crawler_pause(&self) -> Duration {
        Duration::from_micros(self.crawler.sleep.load(Relaxed).into())
    }

    /// The verbosity in force.
    pub fn verbosity(&self) -> u8 {
        self.verbosity.load(Relaxed)
    }

    pub(super) fn set_verbosity(&self, level: u32) {
        let level = level.min(VERBOSITY_MAX) as u8;
        self.verbosity.store(level, Relaxed);
        (self.hooks.on_verbosity)(level);
    }

    /// The settings, with what clients have changed since the start.
    pub(super) fn settings_in_force(&self) -> Settings {
        let tuning = self.store.tuning();
        Settings {
            verbosity: self.verbosity(),
            max_connections: self.live.max_connections(),
            connections_per_address: self.live.connections_per_address(),
            idle_timeout: self.live.idle_timeout(),
            login_timeout: self.live.login_timeout(),
            lru_policy: match tuning.lru_policy {
                LruPolicy::Probation => config::LruPolicy::Probation,
                LruPolicy::Classic => config::LruPolicy::Classic,
            },
            memory_limit_bytes: self.store.memory_limit_bytes(),
            detail_enabled: self.watch.observed() & DETAIL != 0,
            lru_crawler: self.store.reclaims_expired(),
            lru_crawler_sleep: self.crawler.sleep.load(Relaxed),
            lru_crawler_to_crawl: self.crawler.to_crawl.load(Relaxed),
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

    /// What `worker` counts of connections with this tag.
    #[inline]
    pub fn counters(&self, worker: usize, tag: Tag) -> &WorkerCounters {
        &self.counters[worker * self.tags.count() + tag.index()]
    }

    /// What `worker` times.
    #[inline]
    pub fn timing(&self, worker: usize) -> &Timing {
        &self.timings[worker]
    }

    /// The sums over all workers, by tag.
    pub(super) fn figures_by_tag(&self) -> Vec<WorkerFigures> {
        let mut sums = vec![WorkerFigures::default(); self.tags.count()];
        for of_worker in self.counters.chunks(self.tags.count()) {
            sums.iter_mut().zip(of_worker).for_each(|(sum, counters)| *sum += &counters.read());
        }
        sums
    }

    /// The sums over all tags, by worker.
    pub(super) fn figures_by_worker(&self) -> Vec<WorkerFigures> {
        let of_workers = self.counters.chunks(self.tags.count());
        of_workers.map(|tags| sum(&tags.iter().map(|counters| counters.read()).collect::<Vec<_>>())).collect()
    }

    /// The sum over all workers and tags.
    pub(super) fn worker_figures(&self) -> WorkerFigures {
        sum(&self.figures_by_tag())
    }

    /// Lets every counter begin again at 0.
    pub(super) fn reset_stats(&self, now: Now) {
        let by_tag = self.figures_by_tag();
        *self.baseline.lock() = Baseline {
            store: self.store.stats(now.seconds),
            workers: sum(&by_tag),
            by_tag,
            total_connections: self.connections.total.load(Relaxed),
            rejected_connections: self.connections.rejected.load(Relaxed),
            rejected_by_address: self.connections.rejected_by_address.load(Relaxed),
            listen_disabled: self.connections.listen_disabled.load(Relaxed),
            crawler_starts: self.crawler.starts.load(Relaxed),
            watch: self.watch.figures(),
        };
        self.prefixes.clear();
        self.hot_keys.clear(now.seconds);
        self.timings.iter().for_each(|timing| timing.clear());
    }
}

fn sum(figures: &[WorkerFigures]) -> WorkerFigures {
    let mut sum = WorkerFigures::default();
    figures.iter().for_each(|figures| sum += figures);
    sum
}
