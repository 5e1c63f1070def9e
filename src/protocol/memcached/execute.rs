//! From a [`Request`] to the store and back to a reply.

use crate::auth::User;
use crate::base::clock::{Deadline, Now, Seconds};
use crate::protocol::output::Output;
use crate::store::{Arithmetic, Direction, ItemView, ReserveError, StoreOutcome, StoreRequest};

use super::audit;
use super::crawler::{self, ItemsJob};
use super::debug;
use super::hotkeys::{self, SAMPLED};
use super::job::Job;
use super::observe;
use super::reply;
use super::request::{CrawlerOrder, Request, Retrieval, TuneOrder};
use super::rights;
use super::session::{Answer, Carrier, Expecting, Next, Session, Step, Turn};
use super::stats;
use super::tls;
use super::tuning;
use super::watch;

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
    /// Looks one key up and appends its `VALUE` block, if there is an item. `false` if the client may not.
    #[inline]
    pub(super) fn answer(self, key: &[u8], turn: &mut Turn) -> bool {
        if turn.observed != 0 {
            return self.answer_observed(key, turn);
        }
        self.look_up::<false>(key, turn);
        true
    }

    /// The same where somebody wants to know, or something is kept from the client.
    #[inline(never)]
    fn answer_observed(self, key: &[u8], turn: &mut Turn) -> bool {
        if !turn.may(self.rights(), key) {
            return false;
        }
        if turn.observed & observe::OF_FETCHES != 0 {
            observe::fetched(key, turn);
        }
        let before = turn.output.pending();
        let is_found = self.look_up::<true>(key, turn);
        if turn.observed & SAMPLED != 0 {
            hotkeys::count_read(key, turn.output.pending() - before, turn);
        }
        if self.exptime.is_none() {
            turn.count_get(is_found);
        }
        true
    }

    /// Whether there is an item. A function of its own, down to the store, for whoever wants to know: what has one
    /// caller is compiled into it.
    #[inline(always)]
    fn look_up<const IS_OBSERVED: bool>(self, key: &[u8], turn: &mut Turn) -> bool {
        let store = &turn.daemon.store;
        let hashed = store.key(key);
        let now = turn.now;
        let output = &mut *turn.output;
        let show = |item: &ItemView| value_block(output, key, item, self.with_cas);
        let shown = match self.exptime {
            None => store.get(&hashed, now.seconds, show),
            Some(exptime) => {
                turn.counters.cmd_touch.add(1);
                store.touch(&hashed, deadline(exptime.into(), now), now.seconds, show)
            }
        };
        shown.is_some()
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
    push_value(output, item);
}

/// The value and its line end.
#[inline]
pub(super) fn push_value(output: &mut Output, item: &ItemView) {
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
        if turn.observed & (observe::OF_REQUESTS | rights::LIMITED | SAMPLED) != 0 {
            if let Some(skip) = rights::refuse(&request, turn) {
                self.expect_refused(skip);
                return Step::Taken(line_end);
            }
            observe::before(&request, turn);
        }
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
            Request::Meta { command, arguments } => {
                return self.meta(command, arguments, input, line_end, turn);
            }
            Request::MetaNoop => turn.output.push(reply::META_NOOP),
            Request::Quit => return Step::Stop(input.len(), Next::Close),
            Request::Hopeless => return Step::Stop(input.len(), Next::Refuse),
            Request::Refused { reply, skip } => {
                turn.output.push(reply.unwrap_or_default());
                self.expect_refused(skip);
            }
            other => {
                turn.begin_timing(false);
                if self.administrate(other, turn) == Next::Close {
                    return Step::Stop(input.len(), Next::Close);
                }
            }
        }
        Step::Taken(line_end)
    }

    /// Carries out a request that is about the daemon and not about a key. Whether the connection is to be
    /// closed.
    fn administrate(&mut self, request: Request, turn: &mut Turn) -> Next {
        if let Some(noreply) = is_refused_over_udp(&request, turn) {
            turn.reply(reply::NOT_OVER_UDP, noreply);
            return Next::NeedInput;
        }
        let user = self.user.clone();
        let user = user.as_deref();
        match request {
            Request::FlushAll { delay, noreply } => flush_all(delay, noreply, user, turn),
            Request::Version => turn.output.push(reply::VERSION),
            Request::Verbosity { level, noreply } => {
                turn.daemon.set_verbosity(level);
                audit::change(user, turn, format_args!("the verbosity is {} now", turn.daemon.verbosity()));
                turn.reply(reply::OK, noreply);
            }
            Request::Stats { what, arguments } => {
                match stats::answer(what, arguments, turn) {
                    Some(Job::Items(_)) if turn.carrier == Carrier::Datagram => {
                        turn.output.push(reply::NOT_OVER_UDP);
                    }
                    Some(job) => self.expecting = Expecting::Job(Box::new(job)),
                    None => {}
                }
                // It may have switched counting by prefix.
                turn.observed = turn.daemon.watch.observed() | turn.observed & (rights::LIMITED | SAMPLED);
            }
            Request::CacheMemlimit { megabytes, noreply } => cache_memlimit(megabytes, noreply, user, turn),
            Request::Tune { order, noreply } => tune(order, noreply, user, turn),
            Request::Crawler { order, noreply } => {
                let job = crawler::execute(order, turn);
                if matches!(job, Err(reply::OK)) && order.is_change() {
                    audit::change(user, turn, format_args!("{order}"));
                }
                self.begin(job, noreply, turn);
            }
            Request::Watch { topics, noreply } => match watch::begin(topics, turn) {
                Ok(watching) => {
                    turn.output.push(reply::OK);
                    self.expecting = Expecting::Watch(watching);
                }
                Err(line) => turn.reply(line, noreply),
            },
            Request::Shutdown { mode, noreply } => match shutdown(mode, turn) {
                Ok(()) => {
                    audit::change(user, turn, format_args!("shutdown"));
                    return Next::Close;
                }
                Err(line) => turn.reply(line, noreply),
            },
            Request::RefreshCerts { noreply } => tls::refresh_certs(noreply, turn),
            Request::Debug { order, noreply } => turn.reply(debug::execute(order, turn), noreply),
            Request::FlushPrefix { prefix, noreply } => {
                let job = crawler::flush_prefix(prefix, noreply, turn);
                if job.is_ok() {
                    audit::change(user, turn, format_args!("flush_prefix {}", prefix.escape_ascii()));
                }
                self.begin(job, noreply, turn);
            }
            _ => {}
        }
        Next::NeedInput
    }

    /// Begins a job, or answers why there is none.
    fn begin(&mut self, job: Result<ItemsJob, &'static [u8]>, noreply: bool, turn: &mut Turn) {
        match job {
            Ok(job) => self.expecting = Expecting::Job(Box::new(Job::Items(job))),
            Err(line) => turn.reply(line, noreply),
        }
    }

    /// Answers a line of keys. A key that is too long takes the answers to those before it back, so that
    /// the client sees one error line and nothing else.
    fn retrieve(&mut self, retrieval: Retrieval, keys_at: usize, input: &[u8], turn: &mut Turn) -> Step {
        let start = turn.output.mark();
        let step = match self.keys(retrieval, &input[keys_at..], turn) {
            Step::Taken(bytes) => Step::Taken(keys_at + bytes),
            Step::Stop(bytes, next) => Step::Stop(keys_at + bytes, next),
        };
        if let Expecting::RestOfLine(error) = self.expecting {
            turn.output.rewind(start);
            turn.output.push(error);
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
                let outcome = store.store(&request, now);
                if turn.observed != 0 {
                    observe::stored(key.bytes(), mode, outcome, request.deadline, value_bytes, turn);
                }
                line_of(outcome)
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
        turn.time_long_value(value_bytes);
        match turn.daemon.store.reserve(key, mode, client_flags, deadline, value_bytes, now) {
            Ok(reservation) => {
                let answer = Answer::Plain { noreply };
                self.expecting = Expecting::Value { reservation: Box::new(reservation), answer }
            }
            Err(error) => {
                let outcome = match error {
                    ReserveError::TooLarge => StoreOutcome::TooLarge,
                    ReserveError::OutOfMemory => StoreOutcome::OutOfMemory,
                };
                if turn.observed != 0 {
                    observe::stored(key.bytes(), mode, outcome, deadline, value_bytes, turn);
                }
                turn.reply(line_of(outcome), noreply);
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

fn tune(order: TuneOrder, noreply: bool, user: Option<&User>, turn: &mut Turn) {
    let line = tuning::execute(order, turn);
    if line == reply::OK {
        audit::change(user, turn, format_args!("{order}"));
    }
    turn.reply(line, noreply);
}

/// Whether a request came in a datagram that is not for one: then `Some`, with whether it asked for silence.
fn is_refused_over_udp(request: &Request, turn: &Turn) -> Option<bool> {
    if turn.carrier != Carrier::Datagram {
        return None;
    }
    match *request {
        // Others with datagrams for the same socket would wait until all items are gone through. And a sender
        // whose address may be forged is not to stop the daemon.
        Request::Watch { noreply, .. }
        | Request::Shutdown { noreply, .. }
        | Request::Debug { noreply, .. }
        | Request::FlushPrefix { noreply, .. }
        | Request::Crawler { order: CrawlerOrder::Dump { .. }, noreply } => Some(noreply),
        // Nor is he to change anything for all, where anybody may be he.
        Request::CacheMemlimit { noreply, .. }
        | Request::Crawler { noreply, .. }
        | Request::FlushAll { noreply, .. }
        | Request::RefreshCerts { noreply }
        | Request::Tune { noreply, .. }
        | Request::Verbosity { noreply, .. } => turn.daemon.settings.udp.is_public.then_some(noreply),
        _ => None,
    }
}

fn flush_all(delay: i32, noreply: bool, user: Option<&User>, turn: &mut Turn) {
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
    audit::change(user, turn, format_args!("flush_all {delay}"));
    turn.reply(reply::OK, noreply);
}

/// Stops the daemon, or tells why not.
fn shutdown(mode: &[u8], turn: &Turn) -> Result<(), &'static [u8]> {
    if !turn.daemon.settings.shutdown_enabled {
        return Err(reply::SHUTDOWN_NOT_ENABLED);
    }
    if !matches!(mode, b"" | b"graceful") {
        return Err(reply::BAD_SHUTDOWN_MODE);
    }
    (turn.daemon.hooks.on_shutdown)();
    Ok(())
}

fn cache_memlimit(megabytes: u32, noreply: bool, user: Option<&User>, turn: &mut Turn) {
    let line = match megabytes {
        ..MEMLIMIT_MB_MIN => reply::MEMLIMIT_TOO_SMALL,
        MEMLIMIT_MB_MIN..=MEMLIMIT_MB_MAX => {
            if turn.daemon.store.set_memory_limit((megabytes as usize) << 20) {
                audit::change(user, turn, format_args!("the memory limit is {megabytes} MB now"));
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
