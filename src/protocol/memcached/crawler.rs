//! `lru_crawler` and `flush_prefix`: what goes through all items without standing in anybody's way.
//!
//! A dump, or the deletion of a prefix, is a job of its session: it does a slice per turn, takes turns with
//! the other connections, and stops while its client does not read. Commands behind it wait for its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::clock::Now;
use crate::protocol::output::Output;
use crate::store::{ItemDetails, KEY_BYTES_MAX, Walk};

use super::daemon::Daemon;
use super::encoding;
use super::meta::base64;
use super::number;
use super::parse::{Tokens, refuse};
use super::reply;
use super::request::{CrawlerOrder, DumpFormat, Request};
use super::session::{OUTPUT_BYTES_MAX, Turn};
use super::stats::Lines;

/// Items that are looked at under one lock: some 20 microseconds.
const ITEMS_PER_LOCK: usize = 64;
/// Locks that one turn of a job takes.
const LOCKS_PER_TURN: usize = 8;
/// Slab classes that a client may name.
const CLASS_NUMBERS: std::ops::RangeInclusive<u32> = 1..=63;
/// Longest pause of memcached's crawler, in microseconds.
const SLEEP_MAX: u32 = 1_000_000;
/// Bytes between two sizes that `stats sizes` tells apart.
const SIZE_UNIT: usize = 32;
const ALL_CLASSES: u64 = u64::MAX;

/// Reads `lru_crawler ...`.
pub(super) fn parse<'a>(tokens: &Tokens<'a>, noreply: bool) -> Request<'a> {
    let what = tokens.get(1).unwrap_or_default();
    let value = tokens.get(2).unwrap_or_default();
    let number = || number::strict_u32(value).ok_or(reply::BAD_FORMAT);
    let dump =
        |format| Ok(CrawlerOrder::Dump { format, classes: value, prefix: tokens.get(3).unwrap_or_default() });
    let order = match (what, tokens.len() - usize::from(noreply)) {
        (b"metadump", 3) | (b"metadump", 4) => dump(DumpFormat::Metadata),
        (b"mgdump", 3) | (b"mgdump", 4) => dump(DumpFormat::Keys),
        (b"crawl", 3) => Ok(CrawlerOrder::Crawl { classes: value }),
        (b"tocrawl", 3) => number().map(CrawlerOrder::ToCrawl),
        (b"sleep", 3) => number().and_then(|micros| match micros {
            ..=SLEEP_MAX => Ok(CrawlerOrder::Sleep(micros)),
            _ => Err(reply::BAD_CRAWLER_SLEEP),
        }),
        (b"enable", 2) => Ok(CrawlerOrder::Enable),
        (b"disable", 2) => Ok(CrawlerOrder::Disable),
        _ => Err(reply::ERROR),
    };
    match order {
        Ok(order) => Request::Crawler { order, noreply },
        Err(line) => refuse(line, noreply),
    }
}

/// Reads `flush_prefix <prefix> [noreply]`.
pub(super) fn parse_flush_prefix<'a>(tokens: &Tokens<'a>, noreply: bool) -> Request<'a> {
    // What stands behind the prefix may be meant as a delay or another one: nothing is deleted on a guess.
    match (tokens.get(1), tokens.len()) {
        (Some(prefix), 2) if prefix.len() <= KEY_BYTES_MAX => Request::FlushPrefix { prefix, noreply: false },
        (Some(prefix), 3) if prefix.len() <= KEY_BYTES_MAX && noreply => {
            Request::FlushPrefix { prefix, noreply }
        }
        _ => refuse(reply::BAD_FORMAT, noreply),
    }
}

/// Slab classes as bits, from `all` or a list of numbers; `None` if one of them is none.
fn classes_of(text: &[u8]) -> Option<u64> {
    if text == b"all" {
        return Some(ALL_CLASSES);
    }
    let numbers = text.split(|&byte| byte == b',').filter(|number| !number.is_empty());
    numbers
        .map(|text| number::strict_u32(text).filter(|number| CLASS_NUMBERS.contains(number)))
        .try_fold(0, |classes, number| Some(classes | 1 << (number? - 1)))
}

/// A walk over items that takes many turns.
#[derive(Debug)]
pub(super) struct ItemsJob {
    walk: Walk,
    /// Only keys that begin so.
    prefix: Box<[u8]>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Dump {
        format: DumpFormat,
        classes: u64,
        _running: Running,
    },
    /// `stats sizes`: how many items there are by size, in units of [`SIZE_UNIT`].
    Sizes(BTreeMap<usize, u64>),
    /// Deletion; how many items went.
    Flush {
        removed: u64,
        noreply: bool,
    },
}

/// How many dumps are under way.
#[derive(Debug, Default)]
pub(super) struct Dumps(Arc<AtomicU64>);

impl Dumps {
    fn start(&self) -> Running {
        self.0.fetch_add(1, Relaxed);
        Running(self.0.clone())
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.0.load(Relaxed) > 0
    }
}

/// Counts as a dump that is under way while it lives.
#[derive(Debug)]
struct Running(Arc<AtomicU64>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Carries an order out. A dump gives a job; what else there is gives its reply.
pub(super) fn execute(order: CrawlerOrder, turn: &mut Turn) -> Result<ItemsJob, &'static [u8]> {
    let daemon = turn.daemon;
    match order {
        CrawlerOrder::Enable if daemon.store.reclaims_expired() => return Err(reply::CRAWLER_RUNS),
        CrawlerOrder::Enable => daemon.store.set_reclaims_expired(true),
        CrawlerOrder::Disable => daemon.store.set_reclaims_expired(false),
        CrawlerOrder::Sleep(micros) => daemon.crawler.sleep.store(micros, Relaxed),
        CrawlerOrder::ToCrawl(items) => daemon.crawler.to_crawl.store(items, Relaxed),
        CrawlerOrder::Crawl { .. } | CrawlerOrder::Dump { .. } if !daemon.store.reclaims_expired() => {
            return Err(reply::CRAWLER_DISABLED);
        }
        CrawlerOrder::Crawl { classes: b"hash" } => return Err(reply::UNKNOWN_ERROR),
        CrawlerOrder::Crawl { classes } => {
            let classes = classes_of(classes).ok_or(reply::CRAWL_BAD_CLASS)?;
            daemon.store.crawl(classes, daemon.crawler.to_crawl.load(Relaxed));
            daemon.crawler.starts.fetch_add(1, Relaxed);
        }
        CrawlerOrder::Dump { format, classes, prefix } => return dump(format, classes, prefix, turn),
    }
    Err(reply::OK)
}

fn dump(
    format: DumpFormat,
    classes: &[u8],
    prefix: &[u8],
    turn: &mut Turn,
) -> Result<ItemsJob, &'static [u8]> {
    let (not_allowed, not_first) = match format {
        DumpFormat::Metadata => (reply::METADUMP_NOT_ALLOWED, reply::METADUMP_NOT_FIRST),
        DumpFormat::Keys => (reply::MGDUMP_NOT_ALLOWED, reply::MGDUMP_NOT_FIRST),
    };
    let daemon = turn.daemon;
    if !daemon.settings.dump_enabled {
        return Err(not_allowed);
    }
    if turn.output.pending() > 0 {
        return Err(not_first);
    }
    let classes = if classes == b"hash" { Some(ALL_CLASSES) } else { classes_of(classes) };
    let classes = classes.ok_or(reply::CRAWL_BAD_CLASS)?;
    daemon.crawler.starts.fetch_add(1, Relaxed);
    turn.output.push(reply::OK);
    let kind = Kind::Dump { format, classes, _running: daemon.crawler.dumps.start() };
    Ok(ItemsJob { walk: Walk::default(), prefix: prefix.into(), kind })
}

/// The deletion of all keys that begin with `prefix`.
pub(super) fn flush_prefix(prefix: &[u8], noreply: bool, turn: &Turn) -> Result<ItemsJob, &'static [u8]> {
    turn.counters.cmd_flush.add(1);
    if !turn.daemon.settings.flush_enabled {
        return Err(reply::FLUSH_PREFIX_NOT_ALLOWED);
    }
    Ok(ItemsJob { walk: Walk::default(), prefix: prefix.into(), kind: Kind::Flush { removed: 0, noreply } })
}

/// A count of the items by size.
pub(super) fn sizes() -> ItemsJob {
    ItemsJob { walk: Walk::default(), prefix: Box::default(), kind: Kind::Sizes(BTreeMap::new()) }
}

impl ItemsJob {
    /// Does one slice. `false` once everything is done.
    pub fn go_on(&mut self, turn: &mut Turn) -> bool {
        let (store, now) = (&turn.daemon.store, turn.now);
        for _ in 0..LOCKS_PER_TURN {
            if turn.output.pending() >= OUTPUT_BYTES_MAX {
                return true;
            }
            let is_more = match &mut self.kind {
                Kind::Dump { format, classes, .. } => {
                    let output = &mut *turn.output;
                    store.walk(&mut self.walk, ITEMS_PER_LOCK, now.seconds, |item| {
                        if *classes >> item.class & 1 == 1 && item.key.starts_with(&self.prefix) {
                            format.line(item, now, output);
                        }
                        output.pending() < OUTPUT_BYTES_MAX
                    })
                }
                Kind::Sizes(counts) => store.walk(&mut self.walk, ITEMS_PER_LOCK, now.seconds, |item| {
                    *counts.entry(item.item_bytes.div_ceil(SIZE_UNIT)).or_default() += 1;
                    true
                }),
                Kind::Flush { removed, .. } => {
                    let begins_so = |key: &[u8]| key.starts_with(&self.prefix);
                    store.remove_slice(&mut self.walk, ITEMS_PER_LOCK, now.seconds, removed, begins_so)
                }
            };
            if !is_more {
                self.end(turn.output);
                return false;
            }
        }
        true
    }

    fn end(&self, output: &mut Output) {
        match &self.kind {
            Kind::Dump { format: DumpFormat::Metadata, .. } => output.push(reply::END),
            Kind::Dump { format: DumpFormat::Keys, .. } => output.push(reply::META_END),
            Kind::Sizes(counts) => {
                let mut lines = Lines(output);
                for (size, count) in counts {
                    lines.add(size * SIZE_UNIT, count);
                }
                output.push(reply::END);
            }
            Kind::Flush { noreply: true, .. } => {}
            Kind::Flush { removed, .. } => {
                output.push(b"OK ");
                output.push_number(*removed);
                output.push(reply::LINE_END);
            }
        }
    }
}

impl DumpFormat {
    fn line(self, item: &ItemDetails, now: Now, output: &mut Output) {
        match self {
            DumpFormat::Metadata => metadata_line(item, now, output),
            DumpFormat::Keys if item.has_encoded_key => {
                output.push(b"mg ");
                base64::push_encoded(output, item.key);
                output.push(b" b\r\n");
            }
            DumpFormat::Keys => {
                output.push(b"mg ");
                output.push(item.key);
                output.push(reply::LINE_END);
            }
        }
    }
}

/// `key=<uri> exp=<unix> la=<unix> cas=<n> fetch=<yes|no> cls=<n> size=<bytes> flags=<n> ` and LF alone.
fn metadata_line(item: &ItemDetails, now: Now, output: &mut Output) {
    let unix = u64::try_from(now.unix).unwrap_or_default();
    output.push(b"key=");
    encoding::uri(item.key).for_each(|piece| output.push(piece.as_bytes()));
    output.push(b" exp=");
    match item.deadline.left(now.seconds) {
        None => output.push(b"-1"),
        Some(left) => output.push_number(unix + u64::from(left)),
    }
    output.push(b" la=");
    output.push_number(unix.saturating_sub(item.idle_seconds.into()));
    output.push(b" cas=");
    output.push_number(item.cas);
    output.push(if item.is_fetched { b" fetch=yes cls=" } else { b" fetch=no cls=" });
    output.push_number(item.class as u64 + 1);
    output.push(b" size=");
    output.push_number(item.item_bytes as u64);
    output.push(b" flags=");
    output.push_number(item.client_flags.into());
    output.push(b" \n");
}

/// What `lru_crawler` sets and counts.
#[derive(Debug, Default)]
pub(super) struct Crawler {
    /// Microseconds that a worker pauses between two slices of a crawl, at least.
    pub sleep: std::sync::atomic::AtomicU32,
    /// Items of each class that a crawl looks at; 0 for all.
    pub to_crawl: std::sync::atomic::AtomicU32,
    /// Crawls and dumps that were asked for.
    pub starts: AtomicU64,
    pub dumps: Dumps,
}

impl Crawler {
    /// Whether a crawl or a dump is under way.
    pub fn is_running(&self, daemon: &Daemon) -> bool {
        self.dumps.any() || daemon.store.is_crawling()
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Request<'_>) {
        assert_eq!(parse::line(text.as_bytes(), text.len() + 2), expected, "{text:?}");
    }

    #[test]
    fn lru_crawler_wants_exact_counts() {
        let accepted = |order| Request::Crawler { order, noreply: false };
        check("lru_crawler enable", accepted(CrawlerOrder::Enable));
        check("lru_crawler enable noreply", Request::Crawler { order: CrawlerOrder::Enable, noreply: true });
        check("lru_crawler sleep 1000000", accepted(CrawlerOrder::Sleep(1_000_000)));
        check("lru_crawler crawl all", accepted(CrawlerOrder::Crawl { classes: b"all" }));
        let dump = |format, prefix| accepted(CrawlerOrder::Dump { format, classes: b"1,2", prefix });
        check("lru_crawler metadump 1,2", dump(DumpFormat::Metadata, b""));
        check("lru_crawler mgdump 1,2 user:", dump(DumpFormat::Keys, b"user:"));
        for text in [
            "lru_crawler",
            "lru_crawler x",
            "lru_crawler crawl",
            "lru_crawler crawl 1 2",
            "lru_crawler metadump",
            "lru_crawler metadump all a b",
            "lru_crawler enable 1",
        ] {
            check(text, refuse(reply::ERROR, false));
        }
        check("lru_crawler tocrawl x", refuse(reply::BAD_FORMAT, false));
        check("lru_crawler sleep 1000001", refuse(reply::BAD_CRAWLER_SLEEP, false));
    }

    #[test]
    fn flush_prefix_takes_one_key_or_the_beginning_of_one() {
        check("flush_prefix user:", Request::FlushPrefix { prefix: b"user:", noreply: false });
        check("flush_prefix user: noreply", Request::FlushPrefix { prefix: b"user:", noreply: true });
        check("flush_prefix noreply", Request::FlushPrefix { prefix: b"noreply", noreply: false });
        for line in ["flush_prefix", "flush_prefix a b", "flush_prefix a 10", "flush_prefix a noreplay"] {
            check(line, refuse(reply::BAD_FORMAT, false));
        }
        check("flush_prefix a b noreply", refuse(reply::BAD_FORMAT, true));
        check(&format!("flush_prefix {}", "k".repeat(251)), refuse(reply::BAD_FORMAT, false));
    }

    #[test]
    fn classes_are_numbers_from_1_to_63() {
        assert_eq!(classes_of(b"all"), Some(u64::MAX));
        assert_eq!(classes_of(b"1,2,"), Some(3));
        assert_eq!(classes_of(b"63"), Some(1 << 62));
        for text in [&b"0"[..], b"64", b"x", b"1,x", b"1-3", b"hash"] {
            assert_eq!(classes_of(text), None);
        }
    }
}
