//! Options that may change while the daemon runs: where they are kept then, and how they change.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use crate::config::{self, Settings};
use crate::store::{Automove, LruMode, LruPolicy, SegmentShares, Tuning};

use super::daemon::Daemon;

/// Limits that whoever serves clients looks at.
#[derive(Debug)]
pub struct Live {
    max_connections: AtomicUsize,
    connections_per_address: AtomicUsize,
    idle_timeout: AtomicU32,
    login_timeout: AtomicU32,
}

impl Live {
    pub(super) fn new(settings: &Settings) -> Live {
        Live {
            max_connections: AtomicUsize::new(settings.max_connections),
            connections_per_address: AtomicUsize::new(settings.connections_per_address),
            idle_timeout: AtomicU32::new(settings.idle_timeout),
            login_timeout: AtomicU32::new(settings.login_timeout),
        }
    }

    /// Clients connected at the same time, at most.
    pub fn max_connections(&self) -> usize {
        self.max_connections.load(Relaxed)
    }

    /// The same for each address; 0 for no limit.
    pub fn connections_per_address(&self) -> usize {
        self.connections_per_address.load(Relaxed)
    }

    /// Seconds after which a silent connection is closed; 0 for never.
    #[inline]
    pub fn idle_timeout(&self) -> u32 {
        self.idle_timeout.load(Relaxed)
    }

    /// Seconds that a client has to log in; 0 for no limit.
    pub fn login_timeout(&self) -> u32 {
        self.login_timeout.load(Relaxed)
    }
}

/// What the settings say about how the store keeps its items.
pub fn tuning(settings: &Settings) -> Tuning {
    Tuning {
        lru_mode: if settings.lru_segmented { LruMode::Segmented } else { LruMode::Flat },
        lru_policy: lru_policy(settings),
        segment_shares: SegmentShares {
            hot_percent: settings.hot_lru_pct,
            warm_percent: settings.warm_lru_pct,
        },
        hot_max_factor: settings.hot_max_factor,
        warm_max_factor: settings.warm_max_factor,
        temp_lru: settings.temp_lru,
        temporary_ttl: settings.temporary_ttl,
        automove: automove(settings),
        automove_ratio: settings.slab_automove_ratio,
        automove_window: settings.slab_automove_window,
    }
}

fn lru_policy(settings: &Settings) -> LruPolicy {
    match settings.lru_policy {
        config::LruPolicy::Probation => LruPolicy::Probation,
        config::LruPolicy::Classic => LruPolicy::Classic,
    }
}

fn automove(settings: &Settings) -> Automove {
    match settings.slab_automove {
        0 => Automove::Off,
        1 => Automove::Gentle,
        _ => Automove::Eager,
    }
}

impl Daemon {
    /// Brings one option, by its name in the table, to what `settings` say; others stay as commands have left them.
    /// `false` if it cannot be changed while the daemon runs.
    pub fn change(&self, option: &str, settings: &Settings) -> bool {
        let Settings { hot_lru_pct, warm_lru_pct, .. } = *settings;
        match option {
            "memory-limit" => return self.store.set_memory_limit(settings.memory_limit_bytes),
            "conn-limit" => self.live.max_connections.store(settings.max_connections, Relaxed),
            "conns_per_address" => {
                self.live.connections_per_address.store(settings.connections_per_address, Relaxed);
            }
            "idle_timeout" => self.live.idle_timeout.store(settings.idle_timeout, Relaxed),
            "login_timeout" => self.live.login_timeout.store(settings.login_timeout, Relaxed),
            "verbose" => self.set_verbosity(settings.verbosity.into()),
            "lru_crawler" => self.store.set_reclaims_expired(settings.lru_crawler),
            "lru_crawler_sleep" => self.crawler.sleep.store(settings.lru_crawler_sleep, Relaxed),
            "lru_crawler_tocrawl" => self.crawler.to_crawl.store(settings.lru_crawler_to_crawl, Relaxed),
            _ => {
                let mut is_known = true;
                self.store.tune(|tuning| match option {
                    "hot_lru_pct" => tuning.segment_shares.hot_percent = hot_lru_pct,
                    "warm_lru_pct" => tuning.segment_shares.warm_percent = warm_lru_pct,
                    "hot_max_factor" => tuning.hot_max_factor = settings.hot_max_factor,
                    "warm_max_factor" => tuning.warm_max_factor = settings.warm_max_factor,
                    "lru_policy" => tuning.lru_policy = lru_policy(settings),
                    "slab_automove" => tuning.automove = automove(settings),
                    "slab_automove_ratio" => tuning.automove_ratio = settings.slab_automove_ratio,
                    "slab_automove_window" => tuning.automove_window = settings.slab_automove_window,
                    _ => is_known = false,
                });
                return is_known;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::protocol::memcached::Hooks;
    use crate::store::{Store, StoreOptions};

    #[test]
    fn whatever_the_table_calls_live_can_be_changed() {
        let store = Store::new(&StoreOptions::default());
        let daemon = Daemon::new(Settings::default(), store, Clock::start(), Hooks::default());
        let names = config::live_options();
        assert!(names.len() > 10);
        for name in names {
            assert!(daemon.change(name, &Settings::default()), "{name}");
        }
        for name in ["port", "temporary_ttl", "lru_maintainer", "", "no such option"] {
            assert!(!daemon.change(name, &Settings::default()), "{name}");
        }
    }

    #[test]
    fn one_change_leaves_others_as_they_are() {
        let store = Store::new(&StoreOptions::default());
        let daemon = Daemon::new(Settings::default(), store, Clock::start(), Hooks::default());
        daemon.store.tune(|tuning| tuning.automove_ratio = 0.5);
        let settings = Settings { slab_automove: 0, idle_timeout: 7, hot_lru_pct: 30, ..Settings::default() };
        assert!(daemon.change("slab_automove", &settings) && daemon.change("idle_timeout", &settings));
        let in_force = daemon.settings_in_force();
        let expected =
            Settings { slab_automove: 0, idle_timeout: 7, slab_automove_ratio: 0.5, ..Settings::default() };
        assert_eq!(in_force, Settings { memory_limit_bytes: in_force.memory_limit_bytes, ..expected });
    }
}
