//! `watch`: streams of lines about what the daemon does, for clients that ask for them.
//!
//! Whoever has something to tell first looks at one word of bits, which is 0 unless somebody watches. A line is
//! copied to each watcher's buffer; where that is full it is dropped and counted, so that a slow watcher slows
//! nobody. The session of a watcher takes the lines from its buffer, whenever its worker gives it a turn.
//!
//! A watcher whose buffer was found full has no room until it has read some of it. While that is so of all who want a
//! stream the stream is *closed*: a line is then not even written but counted at its stream, without a lock, and the
//! count goes to the watchers when one of them has room again, or comes or leaves ([`WatchHub::settle`]).

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::base::clock;
use crate::protocol::output::Output;
use crate::store::{CrawlReport, Evicted};

use super::conns::{Address, ConnectionInfo};
use super::daemon::Daemon;
use super::encoding;
use super::parse::Tokens;
use super::reply;
use super::session::{OUTPUT_BYTES_MAX, Turn};

/// Look-ups.
pub(super) const FETCHERS: u32 = 1 << 0;
/// Storage commands.
pub(super) const MUTATIONS: u32 = 1 << 1;
/// Items evicted.
pub(super) const EVICTIONS: u32 = 1 << 2;
/// Connections made and closed.
pub(super) const CONNEVENTS: u32 = 1 << 3;
/// Items deleted by clients.
pub(super) const DELETIONS: u32 = 1 << 4;
/// What goes on behind the requests.
pub(super) const SYSEVENTS: u32 = 1 << 5;
/// Not a topic of watchers: [`super::tags`] counts.
pub(super) const TAGS: u32 = 1 << 30;
/// Not a topic of watchers: [`super::detail`] counts.
pub(super) const DETAIL: u32 = 1 << 31;

/// Streams that have lines: the bits from the first on.
const STREAMS: usize = 6;
const _: () = assert!(SYSEVENTS == 1 << (STREAMS - 1));

/// Streams by name. Those of memcached's proxy, and rawcmds, never have a line, there as here.
const TOPICS: [(&[u8], u32); 10] = [
    (b"fetchers", FETCHERS),
    (b"mutations", MUTATIONS),
    (b"evictions", EVICTIONS),
    (b"connevents", CONNEVENTS),
    (b"deletions", DELETIONS),
    (b"sysevents", SYSEVENTS),
    (b"rawcmds", 0),
    (b"proxyreqs", 0),
    (b"proxyevents", 0),
    (b"proxyuser", 0),
];
/// Most watchers at a time, as in memcached.
const WATCHERS_MAX: usize = 20;
/// A buffer that is empty keeps no more memory than this.
const IDLE_BUFFER_BYTES: usize = 16 << 10;
/// Room for a line that tells of dropped ones.
const SKIPPED_LINE_BYTES: usize = 32;

/// Everybody who watches, and what for.
#[derive(Debug)]
pub struct WatchHub {
    /// What anybody wants to know, as bits.
    observed: AtomicU32,
    /// Streams that are closed, as bits. Changes under the lock of `watchers`.
    closed: AtomicU32,
    /// By stream: lines that were dropped because it was closed, and are in no other count yet.
    dropped: [AtomicU64; STREAMS],
    watchers: Mutex<Vec<Arc<Watcher>>>,
    /// Bytes that wait for one watcher at most.
    buffer_bytes: usize,
    /// Lines so far.
    written: AtomicU64,
    sent: AtomicU64,
    skipped: AtomicU64,
}

#[derive(Debug)]
struct Watcher {
    topics: u32,
    /// Lines on their way to it.
    pending: Mutex<Vec<u8>>,
    /// A line found no room, and the watcher has taken none since. Changes under the lock of all watchers.
    is_full: AtomicBool,
    /// Lines dropped since the last one that found room.
    skipped: AtomicU64,
}

impl WatchHub {
    pub(super) fn new(buffer_bytes: usize) -> WatchHub {
        WatchHub {
            observed: AtomicU32::new(0),
            closed: AtomicU32::new(0),
            dropped: Default::default(),
            watchers: Mutex::default(),
            buffer_bytes,
            written: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        }
    }

    /// What anybody wants to know, as bits; 0 as a rule.
    #[inline]
    pub(super) fn observed(&self) -> u32 {
        self.observed.load(Relaxed)
    }

    /// Switches one bit.
    pub(super) fn observe(&self, bit: u32, on: bool) {
        if on {
            self.observed.fetch_or(bit, Relaxed);
        } else {
            self.observed.fetch_and(!bit, Relaxed);
        }
    }

    /// Another who watches; `None` if there are too many.
    fn watching(hub: Arc<WatchHub>, topics: u32) -> Option<Watching> {
        let watcher = Arc::new(Watcher::new(topics));
        let mut is_one = false;
        hub.change(|watchers| {
            is_one = watchers.len() < WATCHERS_MAX;
            if is_one {
                watchers.push(watcher.clone());
            }
        });
        is_one.then_some(Watching { hub, watcher })
    }

    /// Lets `change` change who watches.
    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Watcher>>)) {
        let mut watchers = self.watchers.lock();
        self.settle(&watchers);
        change(&mut watchers);
        let topics = watchers.iter().fold(0, |topics, watcher| topics | watcher.topics);
        for bit in (0..STREAMS).map(|stream| 1 << stream) {
            self.observe(bit, topics & bit != 0);
        }
        // The next line of each finds out how it is.
        self.closed.store(0, Relaxed);
    }

    /// Counts what was dropped without a look at the watchers, who have been the same ever since.
    fn settle(&self, watchers: &[Arc<Watcher>]) {
        for (stream, dropped) in self.dropped.iter().enumerate() {
            if dropped.load(Relaxed) == 0 {
                continue;
            }
            let count = dropped.swap(0, Relaxed);
            self.written.fetch_add(count, Relaxed);
            for watcher in watchers.iter().filter(|watcher| watcher.topics & (1 << stream) != 0) {
                watcher.skipped.fetch_add(count, Relaxed);
                self.skipped.fetch_add(count, Relaxed);
            }
        }
    }

    /// A watcher that had no room has taken some lines.
    fn reopen(&self, watcher: &Watcher) {
        let watchers = self.watchers.lock();
        self.settle(&watchers);
        watcher.is_full.store(false, Relaxed);
        self.closed.fetch_and(!watcher.topics, Relaxed);
    }

    /// Whether a line of the stream `topic` has nobody to go to: nobody wants it, or nobody has room for it, which is
    /// then counted.
    #[inline]
    pub(super) fn drops(&self, topic: u32) -> bool {
        if self.observed() & topic == 0 {
            return true;
        }
        let is_closed = self.closed.load(Relaxed) & topic != 0;
        if is_closed && let Some(dropped) = self.dropped.get(topic.trailing_zeros() as usize) {
            dropped.fetch_add(1, Relaxed);
        }
        is_closed
    }

    /// Tells everybody who watches `topic`. `fill` writes the line without time, number and line end.
    pub(super) fn tell(&self, topic: u32, fill: impl FnOnce(&mut Vec<u8>)) {
        if self.drops(topic) {
            return;
        }
        let mut body = Vec::with_capacity(256);
        fill(&mut body);
        let micros = clock::unix_micros();
        let watchers = self.watchers.lock();
        self.settle(&watchers);
        let number = self.written.fetch_add(1, Relaxed) + 1;
        let mut line = Vec::with_capacity(body.len() + 64);
        // Writing to a vector cannot fail.
        let _ = write!(line, "ts={}.{:06} gid={number} ", micros / 1_000_000, micros % 1_000_000);
        line.extend_from_slice(&body);
        line.push(b'\n');
        let mut has_room = false;
        for watcher in watchers.iter().filter(|watcher| watcher.topics & topic != 0) {
            let counter = if watcher.push(&line, self.buffer_bytes) { &self.sent } else { &self.skipped };
            counter.fetch_add(1, Relaxed);
            has_room |= !watcher.is_full.load(Relaxed);
        }
        if !has_room {
            self.closed.fetch_or(topic, Relaxed);
        }
    }

    /// Written, skipped, sent lines, in the order of `stats`.
    pub(super) fn figures(&self) -> [u64; 3] {
        self.settle(&self.watchers.lock());
        [&self.written, &self.skipped, &self.sent].map(|count| count.load(Relaxed))
    }

    /// How many watch.
    pub(super) fn watchers(&self) -> u64 {
        self.watchers.lock().len() as u64
    }

    /// An item was evicted.
    pub(super) fn tell_eviction(&self, evicted: &Evicted) {
        self.tell(EVICTIONS, |line| {
            let item = &evicted.item;
            line.extend_from_slice(b"type=eviction key=");
            line.extend(encoding::uri(item.key).flat_map(str::as_bytes));
            let fetch = if item.is_fetched { "yes" } else { "no" };
            let ttl = evicted.seconds_left.map_or(-1, i64::from);
            let (la, class, size) = (item.idle_seconds, item.class + 1, item.value_bytes);
            let cause = evicted.cause.name();
            let _ = write!(line, " fetch={fetch} ttl={ttl} la={la} clsid={class} size={size} cause={cause}");
        });
    }
}

impl WatchHub {
    /// A page has moved between classes; `None` is the pool.
    pub(super) fn tell_page_moved(&self, from: Option<usize>, to: Option<usize>) {
        let number = |class: Option<usize>| class.map_or(0, |class| class + 1);
        self.tell(SYSEVENTS, |line| {
            let _ = write!(line, "type=slab_move src={} dst={} state=ok", number(from), number(to));
        });
    }

    /// A worker has looked for expired items of a class. Its partitions are gone through by hash, whatever segment
    /// of the LRU an item is in, and what expires is found by deadline: there is no mark to predict it by.
    pub(super) fn tell_crawled(&self, report: &CrawlReport) {
        let CrawlReport { class, seconds, examined, reclaimed } = *report;
        self.tell(SYSEVENTS, |line| {
            let class = class + 1;
            let _ = write!(line, "type=lru_crawler crawler={class} lru=all low_mark=0 next_reclaims=0");
            let _ = write!(line, " since_run={seconds} next_run=1 elapsed={seconds}");
            let _ = write!(line, " examined={examined} reclaimed={reclaimed}");
        });
    }
}

impl Watcher {
    fn new(topics: u32) -> Watcher {
        Watcher {
            topics,
            pending: Mutex::default(),
            is_full: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
        }
    }

    /// `false` if the line found no room.
    fn push(&self, line: &[u8], buffer_bytes: usize) -> bool {
        let mut has_room = !self.is_full.load(Relaxed);
        if has_room {
            let mut pending = self.pending.lock();
            has_room = pending.len() + line.len() + SKIPPED_LINE_BYTES <= buffer_bytes;
            if has_room {
                self.tell_skipped(&mut pending);
                pending.extend_from_slice(line);
            } else {
                // One that has nothing to take would never have room again.
                self.is_full.store(!pending.is_empty(), Relaxed);
            }
        }
        if !has_room {
            self.skipped.fetch_add(1, Relaxed);
        }
        has_room
    }

    fn tell_skipped(&self, pending: &mut Vec<u8>) {
        if self.skipped.load(Relaxed) > 0 {
            let _ = writeln!(pending, "skipped={}", self.skipped.swap(0, Relaxed));
        }
    }
}

/// Makes a client a watcher while it lives.
#[derive(Debug)]
pub(super) struct Watching {
    hub: Arc<WatchHub>,
    watcher: Arc<Watcher>,
}

impl Watching {
    /// Moves lines to the output, as many as it may hold. `false` if there are no more.
    pub fn go_on(&mut self, output: &mut Output) -> bool {
        let count = self.take(output);
        if count > 0 && self.watcher.is_full.load(Relaxed) {
            self.hub.reopen(&self.watcher);
        }
        let mut pending = self.watcher.pending.lock();
        if pending.len() + SKIPPED_LINE_BYTES <= self.hub.buffer_bytes {
            self.watcher.tell_skipped(&mut pending);
        }
        if pending.is_empty() && pending.capacity() > IDLE_BUFFER_BYTES {
            *pending = Vec::new();
        }
        !pending.is_empty()
    }

    /// How many bytes it moved.
    fn take(&mut self, output: &mut Output) -> usize {
        let mut pending = self.watcher.pending.lock();
        let count = pending.len().min(OUTPUT_BYTES_MAX.saturating_sub(output.pending()));
        output.push(&pending[..count]);
        pending.drain(..count);
        count
    }

    /// Whether lines wait.
    pub fn has_lines(&self) -> bool {
        !self.watcher.pending.lock().is_empty()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.hub.change(|watchers| watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher)));
    }
}

/// The topics that a line `watch [topic]...` names; `None` if one is unknown.
pub(super) fn topics_of(tokens: &Tokens) -> Option<u32> {
    let mut topics = 0;
    for number in 1..tokens.len() {
        let word = tokens.get(number).unwrap_or_default();
        topics |= TOPICS.iter().find(|(name, _)| word.starts_with(name))?.1;
    }
    Some(if tokens.len() > 1 { topics } else { FETCHERS })
}

/// Makes the client a watcher, or tells why not.
pub(super) fn begin(topics: Option<u32>, turn: &Turn) -> Result<Watching, &'static [u8]> {
    if !turn.daemon.settings.watch_enabled {
        return Err(reply::WATCH_NOT_ALLOWED);
    }
    if turn.output.pending() > 0 {
        return Err(reply::WATCH_NOT_FIRST);
    }
    let topics = topics.ok_or(reply::ERROR)?;
    let hub = turn.daemon.watch.clone();
    WatchHub::watching(hub, topics).ok_or(reply::TOO_MANY_WATCHERS)
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client left, or asked to be closed.
    Normal,
    /// The connection broke, or what the client sent made no sense.
    Error,
    /// It was silent for too long.
    IdleTimeout,
}

impl CloseReason {
    fn name(self) -> &'static str {
        match self {
            CloseReason::Normal => "normal",
            CloseReason::Error => "error",
            CloseReason::IdleTimeout => "idle_timeout",
        }
    }
}

impl Daemon {
    /// Enters a new connection and tells watchers of it.
    pub fn note_connected(&self, info: &Arc<ConnectionInfo>) {
        self.registry.enter(info.clone());
        self.watch.tell(CONNEVENTS, |line| connection_line(line, "conn_new", info, None));
    }

    /// Takes a connection out and tells watchers of it. To be called before its descriptor is closed.
    pub fn note_closed(&self, info: &ConnectionInfo, reason: CloseReason) {
        self.registry.leave(info.fd);
        self.watch.tell(CONNEVENTS, |line| connection_line(line, "conn_close", info, Some(reason)));
    }
}

fn connection_line(line: &mut Vec<u8>, what: &str, info: &ConnectionInfo, reason: Option<CloseReason>) {
    let _ = match &info.address {
        Address::Tcp(peer) => {
            write!(line, "type={what} rip={} rport={} transport=tcp", peer.ip(), peer.port())
        }
        Address::Udp(at) => {
            write!(line, "type={what} rip={} rport={} transport=udp", at.ip(), at.port())
        }
        Address::Unix(_) | Address::Unknown => {
            write!(line, "type={what} rip=unix rport=0 transport=local")
        }
    };
    if let Some(reason) = reason {
        let _ = write!(line, " reason={}", reason.name());
    }
    let _ = write!(line, " cfd={}", info.fd);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watching(hub: &Arc<WatchHub>, topics: u32) -> Watching {
        WatchHub::watching(hub.clone(), topics).unwrap()
    }

    fn text(watching: &mut Watching) -> String {
        let mut output = Output::default();
        while watching.go_on(&mut output) {}
        let mut text = Vec::new();
        output.write_to(&mut text, usize::MAX).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_nobody_watches_is_not_even_written() {
        let hub = Arc::new(WatchHub::new(1000));
        hub.tell(FETCHERS, |_| panic!("nobody watches"));
        let watching = watching(&hub, MUTATIONS);
        assert_eq!(hub.observed(), MUTATIONS);
        hub.tell(FETCHERS, |_| panic!("nobody watches this"));
        hub.observe(DETAIL, true);
        drop(watching);
        assert_eq!(hub.observed(), DETAIL);
    }

    #[test]
    fn a_full_buffer_drops_lines_and_says_so() {
        let hub = Arc::new(WatchHub::new(1000));
        let mut watching = watching(&hub, FETCHERS);
        for _ in 0..100 {
            hub.tell(FETCHERS, |line| line.extend_from_slice(&[b'x'; 50]));
        }
        let [written, skipped, sent] = hub.figures();
        assert_eq!((written, skipped + sent), (100, 100));
        assert!((5..15).contains(&sent), "{sent}");
        let first = text(&mut watching);
        let lines: Vec<&str> = first.lines().collect();
        assert_eq!(lines.len() as u64, sent + 1);
        assert_eq!(lines[lines.len() - 1], format!("skipped={skipped}"));
        assert!(lines[0].starts_with("ts=") && lines[0].contains(" gid=1 xxx"), "{}", lines[0]);
        hub.tell(FETCHERS, |line| line.extend_from_slice(b"later"));
        assert!(text(&mut watching).ends_with(" gid=101 later\n"));
    }

    #[test]
    fn while_nobody_has_room_lines_are_counted_and_not_written() {
        let hub = Arc::new(WatchHub::new(1000));
        let mut watchers: Vec<_> = (0..WATCHERS_MAX).map(|_| watching(&hub, FETCHERS | MUTATIONS)).collect();
        let mut filled = [0; 2];
        for _ in 0..1000 {
            for (count, topic) in filled.iter_mut().zip([FETCHERS, MUTATIONS]) {
                hub.tell(topic, |line| {
                    *count += 1;
                    line.extend_from_slice(&[b'x'; 50]);
                });
            }
        }
        assert!(filled.iter().sum::<u64>() < 30, "{filled:?}");
        let [written, skipped, sent] = hub.figures();
        assert_eq!((written, skipped + sent), (2000, 2000 * WATCHERS_MAX as u64));
        // Whoever comes has missed nothing, and the numbers of lines go on.
        drop(watchers.pop());
        let mut newcomer = watching(&hub, MUTATIONS);
        hub.tell(MUTATIONS, |line| line.extend_from_slice(b"later"));
        assert_eq!(text(&mut newcomer).split_once(" gid=").unwrap().1, "2001 later\n");
        // Whoever reads is told of all that it missed, and has room again.
        let skipped_of_each = 1 + skipped / WATCHERS_MAX as u64;
        for mut watcher in watchers {
            assert!(text(&mut watcher).ends_with(&format!("\nskipped={skipped_of_each}\n")));
        }
        drop(newcomer);
        hub.tell(MUTATIONS, |_| panic!("nobody watches"));
        assert_eq!(hub.figures(), [2001, skipped + WATCHERS_MAX as u64 - 1, sent + 1]);
    }

    #[test]
    fn a_line_longer_than_the_buffer_closes_nothing() {
        let hub = Arc::new(WatchHub::new(200));
        let mut watching = watching(&hub, FETCHERS);
        hub.tell(FETCHERS, |line| line.extend_from_slice(&[b'x'; 500]));
        hub.tell(FETCHERS, |line| line.extend_from_slice(b"short"));
        let text = text(&mut watching);
        assert!(text.starts_with("skipped=1\nts=") && text.ends_with(" gid=2 short\n"), "{text}");
    }
}
