//! Commands for tests: `debugtime`, `debugitem`, `misbehave`. They exist only where the environment says so.

use parking_lot::Mutex;

use super::number;
use super::parse::Tokens;
use super::reply;
use super::request::{DebugOrder, Request};
use super::session::Turn;
use crate::store::{Hold, KEY_BYTES_MAX};
#[cfg(any(test, fuzzing))]
use crate::{base::clock::Seconds, store::Store};

/// The name by which `debugitem unref` lets go of what was held last, whatever its key.
const LAST_HELD: &[u8] = b"reffed";

/// What is held.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Vec<HeldItem>>);

#[derive(Debug)]
struct HeldItem {
    key: Box<[u8]>,
    kind: Kind,
    hold: Hold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reference,
    Lock,
}

impl Held {
    /// Lets go of everything, so that only items are in the store.
    #[cfg(any(test, fuzzing))]
    pub fn let_all_go(&self, store: &Store, now: Seconds) {
        for item in self.0.lock().drain(..) {
            store.let_go(item.hold, now);
        }
    }
}

/// Reads `debugitem <what> <key>`.
pub(super) fn parse_item<'a>(tokens: &Tokens<'a>, noreply: bool) -> Request<'a> {
    let order = DebugOrder::Item { what: tokens.argument(1, noreply), key: tokens.argument(2, noreply) };
    Request::Debug { order, noreply }
}

/// Carries an order out. Gives the reply.
pub(super) fn execute(order: DebugOrder, turn: &Turn) -> &'static [u8] {
    let hooks = &turn.daemon.hooks;
    if !hooks.debug_commands {
        return reply::ERROR;
    }
    match order {
        DebugOrder::Time(what) => time(what, turn),
        DebugOrder::Item { what, key } => item(what, key, turn),
        DebugOrder::Misbehave if (hooks.on_misbehave)() => reply::ERROR,
        DebugOrder::Misbehave => reply::OK,
        DebugOrder::Panic => {
            (hooks.on_panic)();
            reply::OK
        }
        DebugOrder::Hang => {
            (hooks.on_hang)();
            reply::OK
        }
    }
}

/// Stops the clock (`p`), lets it go (`r`) or moves it by some seconds.
fn time(what: &[u8], turn: &Turn) -> &'static [u8] {
    match what {
        b"p" => turn.daemon.clock.stop(),
        b"r" => turn.daemon.clock.go(),
        seconds => match number::strict_i32(seconds) {
            Some(seconds) => turn.daemon.clock.shift(seconds.into()),
            None => return reply::ERROR,
        },
    }
    reply::OK
}

/// A referenced item's page stays where it is, and so does that of a locked one: there is no lock of one item, and
/// that of its partition would stop the worker.
fn item(what: &[u8], key: &[u8], turn: &Turn) -> &'static [u8] {
    let (held, store) = (&turn.daemon.held.0, &turn.daemon.store);
    let (kind, takes) = match what {
        b"ref" => (Kind::Reference, true),
        b"unref" => (Kind::Reference, false),
        b"lock" => (Kind::Lock, true),
        b"unlock" => (Kind::Lock, false),
        _ => return reply::ERROR,
    };
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        return reply::ERROR;
    }
    if takes {
        return match store.hold(&store.key(key), turn.now.seconds) {
            Some(hold) => {
                held.lock().push(HeldItem { key: key.into(), kind, hold });
                reply::OK
            }
            None => reply::MISS,
        };
    }
    let mut held = held.lock();
    let is_last_meant = kind == Kind::Reference && key == LAST_HELD;
    let is_meant = |item: &HeldItem| item.kind == kind && (is_last_meant || *item.key == *key);
    let Some(place) = held.iter().rposition(is_meant) else { return reply::MISS };
    let item = held.remove(place);
    drop(held);
    store.let_go(item.hold, turn.now.seconds);
    reply::OK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::config::Settings;
    use crate::protocol::memcached::{Daemon, Hooks, Tag};
    use crate::protocol::output::Output;
    use crate::store::{Store, StoreOptions};

    fn misbehave(debug_commands: bool, on_misbehave: fn() -> bool) -> &'static [u8] {
        let hooks = Hooks { debug_commands, on_misbehave, ..Hooks::default() };
        let store = Store::new(&StoreOptions::default());
        let daemon = Daemon::new(Settings::default(), store, Clock::start(), hooks);
        let mut output = Output::default();
        let counters = daemon.counters(0, Tag::default());
        let turn = Turn::new(&daemon, counters, daemon.clock.now(), 1, 0, &mut output);
        execute(DebugOrder::Misbehave, &turn)
    }

    #[test]
    fn misbehave_is_well_where_it_is_prevented() {
        assert_eq!(misbehave(true, || false), reply::OK);
        assert_eq!(misbehave(true, || true), reply::ERROR);
        assert_eq!(misbehave(false, || false), reply::ERROR);
    }
}
