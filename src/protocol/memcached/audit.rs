//! What clients change or stop, for the log: who did it, from where. One line each, a few in each period.

use std::fmt;

use parking_lot::Mutex;

use crate::auth::User;
use crate::base::rationed::{Rationed, Untold};
use crate::store::{Automove, LruMode};

use super::conns::Address;
use super::request::{CrawlerOrder, TuneOrder};
use super::session::Turn;

/// Changes told of in each period.
const CHANGES_PER_PERIOD: u32 = 20;

/// What has been told lately.
#[derive(Debug)]
pub(super) struct Audit {
    changes: Mutex<Rationed>,
    strangers: Mutex<Rationed>,
}

impl Default for Audit {
    fn default() -> Audit {
        Audit { changes: Mutex::new(Rationed::of(CHANGES_PER_PERIOD)), strangers: Mutex::default() }
    }
}

/// Tells that the client of this turn, who is `user` if it has a name, has made a change.
#[cold]
pub(super) fn change(user: Option<&User>, turn: &Turn, what: fmt::Arguments) {
    let Some(untold) = turn.daemon.audit.changes.lock().next(turn.now.seconds) else { return };
    let user = user.map_or("", User::name);
    with_peer(turn, |peer| {
        let rest = Untold("changes", untold);
        match user {
            "" => log::info!(event = "change", peer:% = peer; "{peer}: {what}{rest}"),
            _ => {
                log::info!(event = "change", peer:% = peer, user = user; "{peer}, user '{user}': {what}{rest}")
            }
        }
    });
}

/// Tells that a client speaks a protocol that is not spoken here.
#[cold]
pub(super) fn stranger(turn: &Turn) {
    let Some(untold) = turn.daemon.audit.strangers.lock().next(turn.now.seconds) else { return };
    with_peer(turn, |peer| {
        let rest = Untold("clients", untold);
        log::warn!(
            event = "connection_rejected", peer:% = peer;
            "{peer} is closed: it speaks memcached's binary protocol, which is not spoken here{rest}"
        );
    });
}

fn with_peer(turn: &Turn, tell: impl FnOnce(&Address)) {
    let info = turn.daemon.registry.get(turn.fd);
    tell(info.as_ref().map_or(&Address::Unknown, |info| &info.address));
}

/// As a client would type it.
impl fmt::Display for TuneOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TuneOrder::Segments { hot_percent, warm_percent, hot_max_factor, warm_max_factor } => {
                write!(f, "lru tune {hot_percent} {warm_percent} {hot_max_factor} {warm_max_factor}")
            }
            TuneOrder::LruMode(LruMode::Flat) => f.write_str("lru mode flat"),
            TuneOrder::LruMode(LruMode::Segmented) => f.write_str("lru mode segmented"),
            TuneOrder::TemporaryTtl(None) => f.write_str("lru temp_ttl -1"),
            TuneOrder::TemporaryTtl(Some(seconds)) => write!(f, "lru temp_ttl {seconds}"),
            TuneOrder::Reassign(None) => f.write_str("slabs reassign"),
            TuneOrder::Reassign(Some([from, to])) => write!(f, "slabs reassign {from} {to}"),
            TuneOrder::Automove(Automove::Off) => f.write_str("slabs automove 0"),
            TuneOrder::Automove(Automove::Gentle) => f.write_str("slabs automove 1"),
            TuneOrder::Automove(Automove::Eager) => f.write_str("slabs automove 2"),
            TuneOrder::AutomoveRatio(ratio) => write!(f, "slabs automove ratio {ratio}"),
            TuneOrder::AutomoveWindow(seconds) => write!(f, "slabs automove window {seconds}"),
        }
    }
}

impl CrawlerOrder<'_> {
    /// Whether it changes how the daemon works, rather than asking for something once.
    pub(super) fn is_change(&self) -> bool {
        !matches!(self, CrawlerOrder::Crawl { .. } | CrawlerOrder::Dump { .. })
    }
}

/// As a client would type it, without what follows the name of a single task.
impl fmt::Display for CrawlerOrder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CrawlerOrder::Enable => f.write_str("lru_crawler enable"),
            CrawlerOrder::Disable => f.write_str("lru_crawler disable"),
            CrawlerOrder::Sleep(micros) => write!(f, "lru_crawler sleep {micros}"),
            CrawlerOrder::ToCrawl(items) => write!(f, "lru_crawler tocrawl {items}"),
            CrawlerOrder::Crawl { .. } => f.write_str("lru_crawler crawl"),
            CrawlerOrder::Dump { .. } => f.write_str("lru_crawler metadump"),
        }
    }
}
