//! From a [`Request`] to the store and back to a reply.

use crate::base::clock::{Deadline, Now, Seconds};
use crate::protocol::output::Output;
use crate::store::{Arithmetic, Direction, ItemView, ReserveError, StoreOutcome, StoreRequest};

use super::reply;
use super::request::{Request, Retrieval};
use super::session::{Expecting, Next, Session, Step, Turn};
use super::stats;
use super::tuning;

/// Least and most megabytes that cache_memlimit takes; more is a number of bytes by mistake.
const MEMLIMIT_MB_MIN: u32 = 8;
const MEMLIMIT_MB_MAX: u32 = 1_000_000_000;
/// Longest exptime that is read as seconds from now (30 days); a larger one is a Unix time.
const RELATIVE_EXPTIME_MAX: i64 = 30 * 24 * 60 * 60;
/// Bytes that a `VALUE` line may have beside its key.
const VALUE_LINE_BYTES_MAX: usize = 64;

/// Reads an exptime: 0 is never, a negative one is over already.
pub(super) fn deadline(exptime: i64, now: Now) -> Deadline {
    match exptime {
        0 => Deadline::NEVER,
        ..0 => Deadline::PASSED,
        1..=RELATIVE_EXPTIME_MAX => Deadline::at(now.seconds.after(exptime as u32)),
        _ => now.deadline_at_unix(exptime),
    }
}

/// The reply to a storage command.
pub(super) fn line_of(outcome: StoreOutcome) -> &'static [u8] {
    match outcome {
        StoreOutcome::Stored => reply::STORED,
        StoreOutcome::NotStored => reply::NOT_STORED,
        StoreOutcome::Exists => reply::EXISTS,
        StoreOutcome::NotFound => reply::NOT_FOUND,
        StoreOutcome::TooLarge => reply::TOO_LARGE,
        StoreOutcome::OutOfMemory => reply::NO_MEMORY_TO_STORE,
    }
}

impl Retrieval {
    /// Looks one key up and appends its `VALUE` block, if there is an item.
    #[inline]
    pub(super) fn answer(self, key: &[u8], turn: &mut Turn) {
        let store = &turn.daemon.store;
        let hashed = store.key(key);
        let now = turn.now;
        let output = &mut *turn.output;
        let show = |item: &ItemView| value_block(output, key, item, self.with_cas);
        match self.exptime {
            None => store.get(&hashed, now.seconds, show),
            Some(exptime) => {
                turn.counters.cmd_touch.add(1);
                store.touch(&hashed, deadline(exptime.into(), now), now.seconds, show)
            }
        };
    }
}

/// `VALUE <key> <flags> <bytes>[ <cas>]`, the value, and line ends.
#[inline]
fn value_block(output: &mut Output, key: &[u8], item: &ItemView, with_cas: bool) {
    output.reserve(key.len() + VALUE_LINE_BYTES_MAX + item.tail.len());
    output.push(b"VALUE ");
    output.push(key);
    output.push(b" ");
    output.push_number(item.client_flags.into());
    output.push(b" ");
    output.push_number(item.value_bytes as u64);
    if with_cas {
        output.push(b" ");
        output.push_number(item.cas);
    }
    output.push(reply::LINE_END);
    if let Some(large) = item.large {
        output.push_large(large.clone());
    }
    output.push(item.tail);
    output.push(reply::LINE_END);
}

impl Session {
    /// Carries out one request whose line ends `line_end` bytes into `input`.
    #[inline]
    pub(super) fn execute(
        &mut self,
        request: Request,
        input: &[u8],
        line_end: usize,
        turn: &mut Turn,
    ) -> Step {
        let now = turn.now.seconds;
        match request {
            Request::Retrieve { retrieval, keys_at } => {
                return self.retrieve(retrieval, keys_at, input, turn);
            }
            Request::Store { mode, key, client_flags, exptime, value_bytes, noreply } => {
                let deadline = deadline(exptime, turn.now);
                let key = turn.daemon.store.key(key);
                let request = StoreRequest { key, mode, client_flags, deadline, value: &input[line_end..] };
                return self.store(request, value_bytes, noreply, line_end, turn);
            }
            Request::Arithmetic { direction, key, delta, noreply } => {
                arithmetic(direction, key, delta, noreply, turn);
            }
            Request::Delete { key, noreply } => {
                let store = &turn.daemon.store;
                let deleted = store.delete(&store.key(key), now);
                turn.reply(if deleted { reply::DELETED } else { reply::NOT_FOUND }, noreply);
            }
            Request::Touch { key, exptime, noreply } => {
                turn.counters.cmd_touch.add(1);
                let store = &turn.daemon.store;
                let deadline = deadline(exptime.into(), turn.now);
                let touched = store.touch(&store.key(key), deadline, now, |_| ()).is_some();
                turn.reply(if touched { reply::TOUCHED } else { reply::NOT_FOUND }, noreply);
            }
            Request::FlushAll { delay, noreply } => flush_all(delay, noreply, turn),
            Request::Version => turn.output.push(reply::VERSION),
            Request::Verbosity { level, noreply } => {
                turn.daemon.set_verbosity(level);
                turn.reply(reply::OK, noreply);
            }
            Request::Stats { what, arguments } => stats::answer(what, arguments, turn),
            Request::CacheMemlimit { megabytes, noreply } => cache_memlimit(megabytes, noreply, turn),
            Request::Tune { order, noreply } => turn.reply(tuning::execute(order, turn), noreply),
            Request::MetaNoop => turn.output.push(reply::META_NOOP),
            Request::Quit | Request::Hopeless => return Step::Stop(input.len(), Next::Close),
            Request::Refused { reply, skip } => {
                turn.output.push(reply.unwrap_or_default());
                if skip > 0 {
                    self.expecting = Expecting::RefusedValue(skip);
                }
            }
        }
        Step::Taken(line_end)
    }

    /// Answers a line of keys. A key that is too long takes the answers to those before it back, so that
    /// the client sees one error line and nothing else.
    fn retrieve(&mut self, retrieval: Retrieval, keys_at: usize, input: &[u8], turn: &mut Turn) -> Step {
        let start = turn.output.mark();
        let step = match self.keys(retrieval, &input[keys_at..], turn) {
            Step::Taken(bytes) => Step::Taken(keys_at + bytes),
            Step::Stop(bytes, next) => Step::Stop(keys_at + bytes, next),
        };
        if matches!(self.expecting, Expecting::RestOfLine) {
            turn.output.rewind(start);
            turn.output.push(reply::BAD_FORMAT);
        }
        step
    }

    /// Stores a value that is all there at once, or sets memory aside for one that is still coming.
    fn store(
        &mut self,
        mut request: StoreRequest,
        value_bytes: usize,
        noreply: bool,
        line_end: usize,
        turn: &mut Turn,
    ) -> Step {
        let arrived = request.value;
        if let Some(end) = arrived.get(value_bytes..value_bytes + reply::LINE_END.len()) {
            request.value = &arrived[..value_bytes];
            let StoreRequest { key, mode, client_flags, .. } = request;
            let (store, now) = (&turn.daemon.store, turn.now.seconds);
            let line = if end == reply::LINE_END {
                line_of(store.store(&request, now))
            } else if store.refuses_size(&key, mode, client_flags, value_bytes, now) {
                reply::TOO_LARGE
            } else {
                reply::BAD_DATA_CHUNK
            };
            turn.reply(line, noreply);
            return Step::Taken(line_end + value_bytes + reply::LINE_END.len());
        }
        let StoreRequest { key, mode, client_flags, deadline, .. } = request;
        let now = turn.now.seconds;
        match turn.daemon.store.reserve(key, mode, client_flags, deadline, value_bytes, now) {
            Ok(reservation) => {
                self.expecting = Expecting::Value { reservation: Box::new(reservation), noreply }
            }
            Err(error) => {
                let line = match error {
                    ReserveError::TooLarge => reply::TOO_LARGE,
                    ReserveError::OutOfMemory => reply::NO_MEMORY_TO_STORE,
                };
                turn.reply(line, noreply);
                self.expecting = Expecting::RefusedValue(value_bytes + reply::LINE_END.len());
            }
        }
        Step::Taken(line_end)
    }
}

fn arithmetic(direction: Direction, key: &[u8], delta: u64, noreply: bool, turn: &mut Turn) {
    let store = &turn.daemon.store;
    let line = match store.arithmetic(&store.key(key), direction, delta, turn.now.seconds) {
        Arithmetic::Value(number) => {
            if !noreply {
                turn.output.push_number(number);
                turn.output.push(reply::LINE_END);
            }
            return;
        }
        Arithmetic::NotFound => reply::NOT_FOUND,
        Arithmetic::NonNumeric => reply::NON_NUMERIC,
        Arithmetic::OutOfMemory => reply::NO_MEMORY,
    };
    turn.reply(line, noreply);
}

fn flush_all(delay: i32, noreply: bool, turn: &mut Turn) {
    turn.counters.cmd_flush.add(1);
    if !turn.daemon.settings.flush_enabled {
        turn.reply(reply::FLUSH_NOT_ALLOWED, noreply);
        return;
    }
    let store = &turn.daemon.store;
    match deadline(delay.into(), turn.now) {
        Deadline::NEVER | Deadline::PASSED => store.flush(turn.now.seconds),
        at => store.flush_at(Seconds(at.0)),
    }
    turn.reply(reply::OK, noreply);
}

fn cache_memlimit(megabytes: u32, noreply: bool, turn: &mut Turn) {
    let line = match megabytes {
        ..MEMLIMIT_MB_MIN => reply::MEMLIMIT_TOO_SMALL,
        MEMLIMIT_MB_MIN..=MEMLIMIT_MB_MAX => {
            if turn.daemon.store.set_memory_limit((megabytes as usize) << 20) {
                log::info!("the memory limit is {megabytes} MB now");
                reply::OK
            } else {
                reply::MEMLIMIT_OUT_OF_BOUNDS
            }
        }
        _ => reply::MEMLIMIT_NOT_MEGABYTES,
    };
    turn.reply(line, noreply);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exptime_up_to_thirty_days_is_relative() {
        let now = Now { seconds: Seconds(100), unix: 1_800_000_000 };
        for (exptime, expected) in [
            (0, Deadline::NEVER),
            (-1, Deadline::PASSED),
            (1, Deadline(101)),
            (2_592_000, Deadline(2_592_100)),
            (2_592_001, Deadline::PASSED),
            (1_800_000_000, Deadline::PASSED),
            (1_800_000_050, Deadline(150)),
            (i64::MIN, Deadline::PASSED),
            (1 << 40, Deadline(u32::MAX)),
        ] {
            assert_eq!(deadline(exptime, now), expected, "{exptime}");
        }
    }
}
