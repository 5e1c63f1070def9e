//! What watchers and `stats detail` are told of requests.
//!
//! Nothing here runs unless somebody asked for it: the path of a request only looks at [`Turn::observed`]. What is
//! told is looked up apart from the request itself, so that this pays nothing for it either.

use std::io::Write;

use crate::base::clock::Deadline;
use crate::store::{Peek, StoreMode, StoreOutcome};

use super::daemon::Daemon;
use super::detail::Event;
use super::encoding;
use super::hotkeys::{self, SAMPLED};
use super::request::Request;
use super::session::Turn;
use super::watch::{DELETIONS, DETAIL, FETCHERS, MUTATIONS, SYSEVENTS};

/// Whoever wants one of these to be known is told by [`fetched`].
pub(super) const OF_FETCHES: u32 = FETCHERS | DETAIL;
/// The same for [`before`].
pub(super) const OF_REQUESTS: u32 = FETCHERS | DELETIONS | DETAIL;

/// Class (from 1) and size of the value.
type Seen = (usize, usize);

/// Tells of what a request is about to look up, store or delete. Keys of the get family are told of by
/// [`fetched`].
#[cold]
pub(super) fn before(request: &Request, turn: &Turn) {
    if turn.observed & SAMPLED != 0 {
        hotkeys::count_write(request, turn);
    }
    if turn.observed & OF_REQUESTS == 0 {
        return;
    }
    match *request {
        Request::Store { key, .. } => {
            count(key, Event::Set, turn);
            looked_up(key, false, turn);
        }
        Request::Arithmetic { key, .. } | Request::Touch { key, .. } => {
            looked_up(key, false, turn);
        }
        Request::Delete { key, .. } => {
            count(key, Event::Delete, turn);
            to_be_deleted(key, "delete", turn);
        }
        _ => {}
    }
}

/// Tells of a key that is about to be answered by the get family.
#[cold]
pub(super) fn fetched(key: &[u8], turn: &Turn) {
    let found = matches!(looked_up(key, turn.observed & DETAIL != 0, turn), Some(Peek::Found(_)));
    count(key, if found { Event::Hit } else { Event::Miss }, turn);
}

/// Tells of a key that a client is about to delete.
pub(super) fn to_be_deleted(key: &[u8], command: &str, turn: &Turn) {
    let is_watched = turn.observed & DELETIONS != 0;
    if let Some(Peek::Found((class, size))) = looked_up(key, is_watched, turn) {
        deleted(key, command, class, size, turn);
    }
}

fn count(key: &[u8], event: Event, turn: &Turn) {
    if turn.observed & DETAIL != 0 {
        turn.daemon.prefixes.count(key, event);
    }
}

/// Tells of a look-up, and gives what it finds. Where nobody is told of it, it is only made if the caller says that it
/// `is_needed`.
pub(super) fn looked_up(key: &[u8], is_needed: bool, turn: &Turn) -> Option<Peek<Seen>> {
    let Daemon { store, watch, .. } = turn.daemon;
    let is_told = !watch.drops(FETCHERS);
    if !is_told && !is_needed {
        return None;
    }
    let seen = store.peek(&store.key(key), turn.now.seconds, |item| (item.class + 1, item.value_bytes));
    if !is_told {
        return Some(seen);
    }
    watch.tell(FETCHERS, |line| {
        let (status, class, size) = match seen {
            Peek::NotFound => ("not_found", 0, 0),
            Peek::Expired => ("expired", 0, 0),
            Peek::Found((class, size)) => ("found", class, size),
        };
        line.extend_from_slice(b"type=item_get key=");
        line.extend(encoding::uri(key).flat_map(str::as_bytes));
        let _ = write!(line, " status={status} clsid={class} cfd={} size={size}", turn.fd);
    });
    Some(seen)
}

/// Tells of a deletion by a client.
fn deleted(key: &[u8], command: &str, class: usize, size: usize, turn: &Turn) {
    turn.daemon.watch.tell(DELETIONS, |line| {
        line.extend_from_slice(b"type=deleted key=");
        line.extend(encoding::uri(key).flat_map(str::as_bytes));
        let _ = write!(line, " cmd={command} clsid={class} size={size}");
    });
}

/// Tells how a storage command ended, and counts it by tag.
pub(super) fn stored(
    key: &[u8],
    mode: StoreMode,
    outcome: StoreOutcome,
    deadline: Deadline,
    size: usize,
    turn: &Turn,
) {
    if !matches!(outcome, StoreOutcome::TooLarge | StoreOutcome::OutOfMemory) {
        turn.counters.cmd_set.add(1);
    }
    turn.daemon.watch.tell(MUTATIONS, |line| {
        let (store, now) = (&turn.daemon.store, turn.now.seconds);
        let class = match store.peek(&store.key(key), now, |item| item.class + 1) {
            Peek::Found(class) => class,
            Peek::NotFound | Peek::Expired => 0,
        };
        let status = match outcome {
            StoreOutcome::Stored => "stored",
            StoreOutcome::NotStored => "not_stored",
            StoreOutcome::Exists => "exists",
            StoreOutcome::NotFound => "not_found",
            StoreOutcome::TooLarge => "too_large",
            StoreOutcome::OutOfMemory => "no_memory",
        };
        let command = match mode {
            StoreMode::Set => "set",
            StoreMode::Add => "add",
            StoreMode::Replace => "replace",
            StoreMode::Append => "append",
            StoreMode::Prepend => "prepend",
            StoreMode::Cas(_) => "cas",
        };
        let ttl = match deadline {
            Deadline::NEVER => 0,
            Deadline::PASSED => -1,
            _ => deadline.left(now).map_or(0, i64::from),
        };
        line.extend_from_slice(b"type=item_store key=");
        line.extend(encoding::uri(key).flat_map(str::as_bytes));
        let fd = turn.fd;
        let _ = write!(line, " status={status} cmd={command} ttl={ttl} clsid={class} cfd={fd} size={size}");
    });
}

/// Tells of a page that was asked to move from one slab class to another and did not.
pub(super) fn page_stayed([from, to]: [i32; 2], turn: &Turn) {
    turn.daemon.watch.tell(SYSEVENTS, |line| {
        let _ = write!(line, "type=slab_move src={from} dst={to} state=fail");
    });
}
