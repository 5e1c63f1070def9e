//! The `stats` command: general, settings, items, slabs, tags, hotkeys, cachedump, reset.
//!
//! Names and order are those of memcached 1.6.45. A figure that describes a part of memcached that larder
//! does not have stays, with the constant that is true here. What only larder has comes last.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::base::clock::Seconds;
use crate::base::sys::CpuTime;
use crate::protocol::output::Output;
use crate::store::{ClassStats, StoreStats};

use super::conns::ConnectionList;
use super::crawler;
use super::daemon::{Daemon, WorkerFigures};
use super::detail;
use super::hotkeys;
use super::job::Job;
use super::latency;
use super::number;
use super::reply;
use super::session::{Carrier, Turn};
use super::slow_log;
use super::tags;
use super::tls;

/// Most bytes that a cachedump answers with, as in memcached.
const CACHEDUMP_BYTES_MAX: usize = 2 << 20;
/// Most items that it looks at, in some milliseconds.
const CACHEDUMP_ITEMS_MAX: u32 = 50_000;
/// Greatest number of a slab class that a cachedump may ask for.
const CLASS_NUMBER_MAX: u32 = 63;

/// Whether `stats <what> <argument>` changes what others are told.
fn is_change(what: &[u8], argument: &[u8]) -> bool {
    let is_short_for = |name: &[u8]| !what.is_empty() && name.starts_with(what);
    match argument {
        b"reset" if what == b"slowlog" => true,
        b"on" | b"off" if is_short_for(b"detail") => true,
        _ => is_short_for(b"reset"),
    }
}

/// Answers `stats <what> <arguments>`, or gives the job of answering it.
pub(super) fn answer(what: &[u8], arguments: [&[u8]; 2], turn: &mut Turn) -> Option<Job> {
    let is_short_for = |name: &[u8]| !what.is_empty() && name.starts_with(what);
    // Long answers to short questions, whose sender may be forged.
    if turn.carrier == Carrier::Datagram && (what == b"hotkeys" || is_short_for(b"cachedump")) {
        turn.output.push(reply::NOT_OVER_UDP);
        return None;
    }
    // Nor is a sender whose address may be forged to change anything for all, where anybody may be he.
    if turn.carrier == Carrier::Datagram
        && turn.daemon.settings.udp.is_public
        && is_change(what, arguments[0])
    {
        turn.output.push(reply::NOT_OVER_UDP);
        return None;
    }
    match what {
        b"" => general(turn),
        b"items" => items(turn),
        b"slabs" => slabs(turn),
        b"tags" => tags::stats(turn),
        b"hotkeys" => {
            if let Err(line) = hotkeys::answer(arguments[0], turn) {
                turn.output.push(line);
                return None;
            }
        }
        b"latency" => latency::stats(turn),
        b"slowlog" => {
            if let Err(line) = slow_log::stats(arguments[0], turn) {
                turn.output.push(line);
                return None;
            }
        }
        _ if is_short_for(b"reset") => {
            turn.daemon.reset_stats(turn.now);
            turn.output.push(reply::RESET);
            return None;
        }
        _ if is_short_for(b"detail") => match detail::answer(arguments[0], turn) {
            Ok(list) => return Some(Job::Prefixes(list)),
            Err(line) => {
                turn.output.push(line);
                return None;
            }
        },
        _ if is_short_for(b"settings") => settings(turn),
        b"sizes" if turn.daemon.settings.track_sizes => return Some(Job::Items(crawler::sizes())),
        b"sizes" => turn.output.push(b"STAT sizes_status disabled\r\n"),
        _ if is_short_for(b"cachedump") => {
            if let Err(line) = cachedump(arguments, turn) {
                turn.output.push(line);
                return None;
            }
        }
        _ if is_short_for(b"conns") => return Some(Job::Connections(ConnectionList::default())),
        _ => {
            turn.output.push(reply::ERROR);
            return None;
        }
    }
    turn.output.push(reply::END);
    None
}

/// Appends `STAT` lines.
pub(super) struct Lines<'a>(pub &'a mut Output);

impl Lines<'_> {
    pub fn add(&mut self, name: impl Display, value: impl Display) {
        let mut line = Vec::with_capacity(64);
        // Writing to a vector cannot fail.
        let _ = write!(line, "STAT {name} {value}\r\n");
        self.0.push(&line);
    }

    fn add_all(&mut self, lines: &[(&str, u64)]) {
        for (name, value) in lines {
            self.add(name, value);
        }
    }
}

fn yes_no(value: bool) -> u64 {
    u64::from(value)
}

fn general(turn: &mut Turn) {
    let daemon = turn.daemon;
    let baseline = daemon.baseline.lock();
    let store = daemon.store.stats(turn.now.seconds).since(&baseline.store);
    let gauges = daemon.worker_figures();
    let workers = gauges.since(&baseline.workers);
    let connections = &daemon.connections;
    let total = connections.total.load(Relaxed).saturating_sub(baseline.total_connections);
    let rejected = connections.rejected.load(Relaxed).saturating_sub(baseline.rejected_connections);
    let by_address =
        connections.rejected_by_address.load(Relaxed).saturating_sub(baseline.rejected_by_address);
    let listen_disabled = connections.listen_disabled.load(Relaxed).saturating_sub(baseline.listen_disabled);
    let crawler_starts = daemon.crawler.starts.load(Relaxed) - baseline.crawler_starts;
    let lines_told = daemon.watch.figures();
    let lines_told = std::array::from_fn(|at| lines_told[at] - baseline.watch[at]);
    drop(baseline);
    let current = connections.open.taken();
    let mut lines = Lines(turn.output);
    process(&mut lines, turn.now.seconds, turn.now.unix);
    lines.add("max_connections", daemon.live.max_connections());
    lines.add_all(&[("curr_connections", current), ("total_connections", total)]);
    if daemon.settings.max_connections_fast {
        lines.add("rejected_connections", rejected);
    }
    lines.add_all(&[
        ("connection_structures", current),
        ("response_obj_oom", workers.unsent_kicks),
        ("response_obj_count", 0),
        ("response_obj_bytes", gauges.unsent_bytes),
        ("read_buf_count", 0),
        ("read_buf_bytes", gauges.unread_bytes),
        ("read_buf_bytes_free", 0),
        ("read_buf_oom", 0),
        ("reserved_fds", 0),
    ]);
    commands(&mut lines, &store, &workers);
    if daemon.live.idle_timeout() > 0 || daemon.guard.is_some() {
        lines.add("idle_kicks", workers.idle_kicks);
    }
    lines.add_all(&[
        ("bytes_read", workers.bytes_read),
        ("bytes_written", workers.bytes_written),
        ("limit_maxbytes", daemon.store.memory_limit_bytes() as u64),
        ("accepting_conns", yes_no(!connections.open.is_awaited())),
        ("listen_disabled_num", listen_disabled),
        ("time_in_listen_disabled_us", connections.listen_disabled_us.load(Relaxed)),
        ("threads", daemon.settings.threads as u64),
        ("conn_yields", workers.conn_yields),
        ("hash_power_level", u64::from(store.index_buckets.max(1).ilog2())),
        ("hash_bytes", store.index_bytes),
        ("hash_is_expanding", yes_no(store.index_is_resizing)),
    ]);
    background(&mut lines, daemon, &store, &workers, crawler_starts, lines_told);
    memory(&mut lines, daemon, &store);
    own(&mut lines, &store);
    if daemon.settings.users_file.is_some() {
        lines.add("auth_denied", workers.auth_denied);
    }
    tls::own_stats(&mut lines, daemon, &workers);
    if daemon.live.connections_per_address() > 0 {
        lines.add("rejected_by_address", by_address);
    }
    if !daemon.settings.udp.listen.is_empty() {
        lines.add_all(&[
            ("udp_requests", workers.udp_requests),
            ("udp_dropped", workers.udp_dropped),
            ("udp_unsent", workers.udp_unsent),
        ]);
    }
}

fn process(lines: &mut Lines, now: Seconds, unix: i64) {
    let cpu = CpuTime::read();
    let seconds = |time: Duration| format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    lines.add("pid", std::process::id());
    lines.add("uptime", now.0);
    lines.add("time", unix);
    lines.add("version", "1.6.45");
    lines.add("libevent", "none");
    lines.add("pointer_size", usize::BITS);
    lines.add("rusage_user", seconds(cpu.user));
    lines.add("rusage_system", seconds(cpu.system));
}

fn commands(lines: &mut Lines, store: &StoreStats, workers: &WorkerFigures) {
    let figures = &store.figures;
    let get_hits = store.sum(|class| class.get_hits);
    lines.add_all(&[
        ("cmd_get", get_hits + figures.get_misses),
        ("cmd_set", store.sum(|class| class.cmd_set)),
        ("cmd_flush", workers.cmd_flush),
        ("cmd_touch", workers.cmd_touch),
        ("cmd_meta", workers.cmd_meta),
        ("get_hits", get_hits),
        ("get_misses", figures.get_misses),
        ("get_expired", figures.get_expired),
        // A flush takes the items away at once: no look-up meets a flushed one.
        ("get_flushed", 0),
        ("delete_misses", figures.delete_misses),
        ("delete_hits", store.sum(|class| class.delete_hits)),
        ("incr_misses", figures.incr_misses),
        ("incr_hits", store.sum(|class| class.incr_hits)),
        ("decr_misses", figures.decr_misses),
        ("decr_hits", store.sum(|class| class.decr_hits)),
        ("cas_misses", figures.cas_misses),
        ("cas_hits", store.sum(|class| class.cas_hits)),
        ("cas_badval", store.sum(|class| class.cas_badval)),
        ("touch_hits", store.sum(|class| class.touch_hits)),
        ("touch_misses", figures.touch_misses),
        ("store_too_large", figures.store_too_large),
        ("store_no_memory", figures.store_no_memory),
        ("auth_cmds", workers.auth_cmds),
        ("auth_errors", workers.auth_errors),
    ]);
}

/// Slab moves, crawler, maintainer and log: what runs behind the requests in memcached.
fn background(
    lines: &mut Lines,
    daemon: &Daemon,
    store: &StoreStats,
    workers: &WorkerFigures,
    crawler_starts: u64,
    [written, skipped, sent]: [u64; 3],
) {
    let settings = &daemon.settings;
    if settings.slab_reassign {
        lines.add_all(&[
            ("slab_reassign_rescues", store.figures.slab_rescues),
            ("slab_reassign_chunk_rescues", 0),
            ("slab_reassign_inline_reclaim", 0),
            ("slab_reassign_busy_items", 0),
            ("slab_reassign_busy_deletes", 0),
            ("slab_reassign_busy_nomem", 0),
        ]);
        lines.add("slab_reassign_last_busy_status", "none");
        lines.add_all(&[("slab_reassign_running", 0), ("slabs_moved", store.figures.slabs_moved)]);
    }
    if daemon.store.reclaims_expired() {
        let is_running = yes_no(daemon.crawler.is_running(daemon));
        lines.add_all(&[("lru_crawler_running", is_running), ("lru_crawler_starts", crawler_starts)]);
    }
    if settings.lru_maintainer {
        lines.add("lru_maintainer_juggles", 0);
    }
    lines.add_all(&[
        ("malloc_fails", store.page_refusals),
        ("log_worker_dropped", 0),
        ("log_worker_written", written),
        ("log_watcher_skipped", skipped),
        ("log_watcher_sent", sent),
        ("log_watchers", daemon.watch.watchers()),
    ]);
    tls::stats(lines, daemon, workers);
    lines.add_all(&[("unexpected_napi_ids", 0), ("round_robin_fallback", 0)]);
}

fn memory(lines: &mut Lines, daemon: &Daemon, store: &StoreStats) {
    lines.add_all(&[
        ("bytes", store.bytes),
        ("curr_items", store.items),
        ("total_items", store.figures.total_items),
        ("slab_global_page_pool", store.spare_bytes / store.page_bytes),
        ("expired_unfetched", store.sum(|class| class.expired_unfetched)),
        ("evicted_unfetched", store.sum(|class| class.evicted_unfetched)),
    ]);
    let is_maintained = daemon.settings.lru_maintainer;
    if is_maintained {
        lines.add("evicted_active", store.sum(|class| class.evicted_active));
    }
    lines.add_all(&[
        ("evictions", store.sum(|class| class.evicted)),
        ("reclaimed", store.sum(|class| class.reclaimed)),
        ("crawler_reclaimed", store.sum(|class| class.crawler_reclaimed)),
        ("crawler_items_checked", store.sum(|class| class.crawler_items_checked)),
        ("lrutail_reflocked", 0),
    ]);
    if is_maintained {
        lines.add_all(&[
            ("moves_to_cold", store.sum(|class| class.moves_to_cold)),
            ("moves_to_warm", store.sum(|class| class.moves_to_warm)),
            ("moves_within_lru", store.sum(|class| class.moves_within_lru)),
            ("direct_reclaims", store.sum(|class| class.direct_reclaims)),
            ("lru_bumps_dropped", 0),
        ]);
    }
}

/// What only larder has.
fn own(lines: &mut Lines, store: &StoreStats) {
    lines.add("larder_version", env!("CARGO_PKG_VERSION"));
    lines.add_all(&[
        ("partitions", store.partitions),
        ("page_size", store.page_bytes),
        ("used_bytes", store.used_bytes),
        ("index_bytes", store.index_bytes),
        ("large_bytes", store.large_bytes),
        ("deadline_bytes", store.deadline_bytes),
        ("ghost_bytes", store.ghost_bytes),
        ("contended_borrows", store.figures.contended_borrows),
        ("index_drops", store.figures.index_drops),
    ]);
}

fn settings(turn: &mut Turn) {
    let daemon = turn.daemon;
    let mut lines = Lines(turn.output);
    for (name, value) in daemon.settings_in_force().rows() {
        match name {
            "oldest" => lines.add(name, daemon.store.flush_due().map_or(0, |at| at.0)),
            _ => lines.add(name, value),
        }
    }
}

fn store_stats(turn: &Turn) -> StoreStats {
    // Locked first, so that a reset cannot come between and be ahead of what is read.
    let baseline = turn.daemon.baseline.lock();
    turn.daemon.store.stats(turn.now.seconds).since(&baseline.store)
}

/// `items:<class>:<name>` for every class that holds items; classes are numbered from 1.
fn items(turn: &mut Turn) {
    let store = store_stats(turn);
    let is_maintained = turn.daemon.settings.lru_maintainer;
    let has_temp = turn.daemon.store.tuning().temp_lru;
    let mut lines = Lines(turn.output);
    for (index, class) in store.classes.iter().enumerate().filter(|(_, class)| class.items() > 0) {
        let number = index + 1;
        for (name, value) in item_lines(class, is_maintained, has_temp) {
            lines.add(format_args!("items:{number}:{name}"), value);
        }
    }
}

fn item_lines(class: &ClassStats, is_maintained: bool, has_temp: bool) -> Vec<(&'static str, u64)> {
    let figures = &class.figures;
    let [hot, warm, cold, temp] = class.segment_items;
    let [age_hot, age_warm, age] = class.ages.map(u64::from);
    let mut lines = vec![("number", class.items())];
    if is_maintained {
        lines.extend([("number_hot", hot), ("number_warm", warm), ("number_cold", cold)]);
        if has_temp {
            lines.push(("number_temp", temp));
        }
        lines.extend([("age_hot", age_hot), ("age_warm", age_warm)]);
    }
    lines.extend([
        ("age", age),
        ("mem_requested", class.requested_bytes),
        ("evicted", figures.evicted),
        ("evicted_nonzero", figures.evicted_nonzero),
        ("evicted_time", class.evicted_time.into()),
        ("outofmemory", figures.outofmemory),
        ("tailrepairs", 0),
        ("reclaimed", figures.reclaimed),
        ("expired_unfetched", figures.expired_unfetched),
        ("evicted_unfetched", figures.evicted_unfetched),
    ]);
    if is_maintained {
        lines.push(("evicted_active", figures.evicted_active));
    }
    lines.extend([
        ("crawler_reclaimed", figures.crawler_reclaimed),
        ("crawler_items_checked", figures.crawler_items_checked),
        ("lrutail_reflocked", 0),
    ]);
    if is_maintained {
        lines.extend([
            ("moves_to_cold", figures.moves_to_cold),
            ("moves_to_warm", figures.moves_to_warm),
            ("moves_within_lru", figures.moves_within_lru),
            ("direct_reclaims", figures.direct_reclaims),
            ("hits_to_hot", figures.hits_to_hot),
            ("hits_to_warm", figures.hits_to_warm),
            ("hits_to_cold", figures.hits_to_cold),
            ("hits_to_temp", figures.hits_to_temp),
        ]);
    }
    // Only larder has them.
    lines.extend([("evicted_for_page", figures.evicted_for_page), ("evicted_bytes", figures.evicted_bytes)]);
    lines
}

/// `<class>:<name>` for every class that has pages, then the totals. The blocks of large items are shown as chunks of
/// a page each: tools list no class without chunks.
fn slabs(turn: &mut Turn) {
    let mut store = store_stats(turn);
    let blocks = store.large_bytes / store.page_bytes;
    if let Some(large) = store.classes.last_mut() {
        (large.chunk_bytes, large.chunks_per_page) = (store.page_bytes, 1);
        (large.pages, large.used_chunks) = (blocks, blocks);
    }
    let mut lines = Lines(turn.output);
    let active = store.classes.iter().enumerate().filter(|(_, class)| class.pages > 0);
    for (index, class) in active.clone() {
        let number = index + 1;
        let total_chunks = class.pages * class.chunks_per_page;
        let figures = &class.figures;
        for (name, value) in [
            ("chunk_size", class.chunk_bytes),
            ("chunks_per_page", class.chunks_per_page),
            ("total_pages", class.pages),
            ("total_chunks", total_chunks),
            ("used_chunks", class.used_chunks),
            ("free_chunks", total_chunks - class.used_chunks),
            ("free_chunks_end", 0),
            ("get_hits", figures.get_hits),
            ("cmd_set", figures.cmd_set),
            ("delete_hits", figures.delete_hits),
            ("incr_hits", figures.incr_hits),
            ("decr_hits", figures.decr_hits),
            ("cas_hits", figures.cas_hits),
            ("cas_badval", figures.cas_badval),
            ("touch_hits", figures.touch_hits),
        ] {
            lines.add(format_args!("{number}:{name}"), value);
        }
    }
    lines.add("active_slabs", active.count());
    let pages: u64 = store.classes.iter().map(|class| class.pages).sum();
    lines.add("total_malloced", pages * store.page_bytes);
}

/// `ITEM <key> [<bytes> b; <exptime> s]` for the items of one class, as many as the answer has room for if the limit
/// is 0. Where memcached lists its COLD segment alone, larder lists every segment. It ends the client's turn.
fn cachedump(arguments: [&[u8]; 2], turn: &mut Turn) -> Result<(), &'static [u8]> {
    if !turn.daemon.settings.dump_enabled {
        return Err(reply::CACHEDUMP_NOT_ALLOWED);
    }
    if arguments.iter().any(|argument| argument.is_empty()) {
        return Err(reply::BAD_COMMAND_LINE);
    }
    let [class, limit] = arguments.map(number::strict_u32);
    let (Some(class), Some(limit)) = (class, limit) else { return Err(reply::BAD_FORMAT) };
    if class > CLASS_NUMBER_MAX {
        return Err(reply::BAD_CLASS);
    }
    let Some(class) = class.checked_sub(1) else { return Ok(()) };
    turn.commands_left = 0;
    let (now, output) = (turn.now, &mut *turn.output);
    let mut unseen = CACHEDUMP_ITEMS_MAX;
    let mut left = if limit == 0 { u32::MAX } else { limit };
    let full = output.pending() + CACHEDUMP_BYTES_MAX;
    turn.daemon.store.for_each_item(class as usize, now.seconds, |item| {
        if left == 0 || unseen == 0 || output.pending() >= full {
            return false;
        }
        unseen -= 1;
        if item.has_encoded_key {
            return true;
        }
        left -= 1;
        output.push(b"ITEM ");
        output.push(item.key);
        output.push(b" [");
        output.push_number(item.value_bytes as u64);
        output.push(b" b; ");
        let left = item.deadline.left(now.seconds);
        output.push_number(left.map_or(0, |left| now.unix as u64 + u64::from(left)));
        output.push(b" s]\r\n");
        true
    });
    Ok(())
}
