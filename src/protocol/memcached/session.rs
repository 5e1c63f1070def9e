//! One client's conversation: which bytes are a command, which a value, which are to be skipped.
//!
//! A session is fed all bytes that have arrived and not been consumed. It takes as many as it can and
//! says why it stopped. Bytes that it leaves are fed again with more behind them.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use crate::auth::User;
use crate::base::clock::{Now, Seconds};
use crate::protocol::output::Output;
use crate::store::{Arrived, KEY_BYTES_MAX, Reservation, StoreOutcome};

use super::ahead;
use super::audit;
use super::conns::ConnectionState;
use super::daemon::{Daemon, WorkerCounters};
use super::datagram;
use super::hotkeys::{SAMPLED, Sample};
use super::job::Job;
use super::latency::{GoingOn, Timing, Watch};
use super::login::Login;
use super::meta;
use super::observe;
use super::parse::{self, LongLine};
use super::reply;
use super::request::Retrieval;
use super::watch::Watching;

/// Longest command line that is waited for, in bytes without its end. Only lists of keys may be longer:
/// they are answered as they come.
pub(super) const LINE_BYTES_MAX: usize = 2048;
/// Unsent bytes at which a session stops until they are sent.
pub(super) const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// First byte of a request in memcached's binary protocol, which is not spoken here: its client would wait
/// for ever for an answer to what never becomes a line.
pub(super) const BINARY_MAGIC: u8 = 0x80;
/// Keys of a list that count as a command: a long list takes several turns, as the same keys one by one would.
const KEYS_PER_COMMAND: usize = 20;
/// A value's own line end.
const LINE_END: &[u8] = b"\r\n";

/// What the next bytes from this client are.
#[derive(Debug)]
pub(super) enum Expecting {
    /// The first byte of all: the binary protocol would begin with [`BINARY_MAGIC`].
    FirstByte,
    /// That it logs in.
    Login(Login),
    /// A command line.
    Command,
    /// The rest of a value and its line end. Dropping the reservation gives its space back.
    Value { reservation: Box<Reservation>, answer: Answer },
    /// This many bytes of a refused value and its line end, to be skipped.
    RefusedValue(usize),
    /// The remaining keys of a line of the get family.
    Keys(Retrieval),
    /// The rest of a line that was already answered with this error.
    RestOfLine(&'static [u8]),
    /// Nothing: a job that takes many turns comes first.
    Job(Box<Job>),
    /// Nothing that matters: the client watches.
    Watch(Watching),
}

/// How to answer once a value has come.
#[derive(Debug)]
pub(super) enum Answer {
    /// With the line of a classic command.
    Plain { noreply: bool },
    /// As an ms with these arguments wants.
    Meta(Box<[u8]>),
}

impl Answer {
    /// Whether not even errors are answered.
    fn is_silent(&self) -> bool {
        matches!(self, Answer::Plain { noreply: true })
    }
}

/// Why a session stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It can do nothing without more bytes.
    NeedInput,
    /// Its share of the turn is used up; there is more to do.
    Yield,
    /// Too much is waiting to be sent; there may be more to do.
    OutputFull,
    /// The connection is to be closed once the output is sent.
    Close,
    /// The same, because what the client sent makes no sense.
    Refuse,
    /// It waits for something that is no input: see [`Session::may_go_on`].
    Wait,
}

/// What one call of [`Session::serve`] did.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Why it stopped.
    pub next: Next,
}

/// What carries the bytes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// A connection: replies are sent as they come.
    Stream,
    /// One datagram: the reply to a command is sent once it is known to its end.
    Datagram,
}

impl Carrier {
    /// Unsent bytes at which a session stops.
    const fn output_bytes_max(self) -> usize {
        match self {
            Carrier::Stream => OUTPUT_BYTES_MAX,
            Carrier::Datagram => datagram::REPLY_BYTES_MAX,
        }
    }
}

/// What a session works with during one turn.
pub struct Turn<'a> {
    /// What all sessions share.
    pub daemon: &'a Daemon,
    /// The counters of the worker whose turn it is.
    pub counters: &'a WorkerCounters,
    /// The time of this turn.
    pub now: Now,
    /// Commands that may still be executed.
    pub commands_left: usize,
    /// The descriptor of the connection, as lists and logs name it.
    pub fd: i32,
    /// What somebody wants to know of requests, as bits of [`super::watch`]; 0 as a rule.
    pub(super) observed: u32,
    pub(super) carrier: Carrier,
    /// What counts hot keys, if this turn is in the sample: then `observed` has [`SAMPLED`].
    pub(super) sample: Option<Sample<'a>>,
    /// Whose commands these are, where something is kept from the user: then `observed` has [`super::rights::LIMITED`].
    pub(super) user: Option<Arc<User>>,
    /// Of the worker whose turn it is.
    pub(super) timing: &'a Timing,
    /// When that woke up for this turn, if somebody knows.
    pub(super) woken: Option<Instant>,
    /// The command that is being timed, if it is.
    pub(super) timed: Option<Watch>,
    /// The beginning of its line, if that is not in the input any more.
    pub(super) timed_line: Option<Box<[u8]>>,
    /// Where replies go.
    pub output: &'a mut Output,
}

impl<'a> Turn<'a> {
    /// A turn of the connection `fd`, which may execute `commands_left` commands.
    pub fn new(
        daemon: &'a Daemon,
        counters: &'a WorkerCounters,
        now: Now,
        commands_left: usize,
        fd: i32,
        output: &'a mut Output,
    ) -> Turn<'a> {
        let (observed, carrier) = (daemon.watch.observed(), Carrier::Stream);
        Turn {
            daemon,
            counters,
            now,
            commands_left,
            fd,
            observed,
            carrier,
            sample: None,
            user: None,
            timing: daemon.timing(0),
            woken: None,
            timed: None,
            timed_line: None,
            output,
        }
    }

    /// The same, of the worker that times its commands with `timing` and woke up at `woken`.
    #[must_use]
    pub fn timed_by(mut self, timing: &'a Timing, woken: Instant) -> Turn<'a> {
        (self.timing, self.woken) = (timing, Some(woken));
        self
    }

    /// Whether so much waits to be sent that nothing may be added.
    pub(super) fn output_is_full(&self) -> bool {
        self.output.pending() >= self.carrier.output_bytes_max()
    }

    /// Counts a key of get, gets or mg by the connection's tag.
    pub(super) fn count_get(&self, is_found: bool) {
        let Turn { counters, .. } = self;
        if is_found { &counters.get_hits } else { &counters.get_misses }.add(1);
    }

    /// Whether the rest of a list of keys is for the next turn. A datagram's is not: its reply is one message.
    fn keys_are_used_up(&self) -> bool {
        self.commands_left == 0 && self.carrier == Carrier::Stream
    }

    pub(super) fn reply(&mut self, line: &[u8], noreply: bool) {
        if !noreply {
            self.output.push(line);
        }
    }
}

/// How one step through the input ended.
pub(super) enum Step {
    /// So many bytes are done with; go on.
    Taken(usize),
    /// So many bytes are done with; stop.
    Stop(usize, Next),
}

/// The protocol's side of one connection.
#[derive(Debug)]
pub struct Session {
    pub(super) expecting: Expecting,
    /// Who the client is, if it is a user with a name.
    pub(super) user: Option<Arc<User>>,
    /// Whether it is known who the client is: it need not log in.
    pub(super) is_identified: bool,
    /// Which reading of the file of users says so.
    pub(super) generation: u32,
    /// A command that is timed and not all there, or not all answered.
    pub(super) going_on: Option<Box<GoingOn>>,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A session that waits for its first command.
    pub fn new() -> Session {
        Session {
            expecting: Expecting::FirstByte,
            user: None,
            is_identified: false,
            generation: 0,
            going_on: None,
        }
    }

    /// What the connection waits for, as far as the session knows.
    pub fn state(&self) -> ConnectionState {
        match self.expecting {
            Expecting::Value { .. } => ConnectionState::Value,
            Expecting::RefusedValue(_) => ConnectionState::Swallow,
            Expecting::Job(_) => ConnectionState::ParseCommand,
            Expecting::Watch(_) => ConnectionState::Watch,
            Expecting::FirstByte
            | Expecting::Login(_)
            | Expecting::Command
            | Expecting::Keys(_)
            | Expecting::RestOfLine(_) => ConnectionState::Read,
        }
    }

    /// The name of the user that the client has logged in as.
    pub fn user_name(&self) -> Option<&str> {
        self.user.as_ref().map(|user| user.name())
    }

    /// Whether there are lines for a watcher that can be told without any input.
    pub fn has_lines(&self) -> bool {
        matches!(&self.expecting, Expecting::Watch(watching) if watching.has_lines())
    }

    /// Whether a value, stored or refused, is on its way.
    pub fn expects_value(&self) -> bool {
        matches!(self.expecting, Expecting::Value { .. } | Expecting::RefusedValue(_))
    }

    /// Whether the next bytes are a command, of somebody who has logged in if that is to be.
    #[inline]
    pub fn expects_command(&self, daemon: &Daemon) -> bool {
        match self.expecting {
            Expecting::Command => true,
            Expecting::FirstByte => daemon.guard.is_none() || self.is_identified,
            _ => false,
        }
    }

    /// The beginning of the line of a command that goes on, if it is timed.
    pub fn timed_line(&self) -> Option<&[u8]> {
        self.going_on.as_ref().map(|going_on| going_on.line())
    }

    /// Bytes of a long value that could be read to their place, by [`Self::read_value`], once all that has come was
    /// served; 0 as a rule.
    pub fn missing_of_value(&self) -> usize {
        match &self.expecting {
            Expecting::Value { reservation, .. } => reservation.missing_in_blocks(),
            _ => 0,
        }
    }

    /// Reads such bytes, at most `bytes_max`, and into `buffer` what comes behind them. `None` if the value has to be
    /// served instead: there may be no memory for it.
    pub fn read_value(
        &mut self,
        reader: &mut impl Read,
        buffer: &mut [u8],
        bytes_max: usize,
        now: Seconds,
    ) -> Option<io::Result<Arrived>> {
        match &mut self.expecting {
            Expecting::Value { reservation, .. } => {
                let read = reservation.read_from(reader, buffer, bytes_max, now);
                if let (Some(going_on), Some(Ok(arrived))) = (&mut self.going_on, &read) {
                    going_on.note_read(arrived.bytes);
                }
                read
            }
            _ => None,
        }
    }

    /// Consumes what it can of `input`: commands in order, their replies appended to the output.
    pub fn serve(&mut self, input: &[u8], turn: &mut Turn) -> Served {
        let mut consumed = 0;
        if self.user.is_some() && !self.begin_as_user(turn) {
            return Served { consumed: input.len(), next: Next::Close };
        }
        // Up to where in the input items are on their way from memory. The first request is not: most come alone.
        let mut ahead = if turn.daemon.store.is_far_away() { 1 } else { usize::MAX };
        loop {
            match &mut self.expecting {
                Expecting::Job(job) => {
                    if job.go_on(turn) {
                        return Served { consumed, next: Next::Yield };
                    }
                    self.expecting = Expecting::Command;
                }
                Expecting::Watch(watching) => {
                    let next = if watching.go_on(turn.output) { Next::Yield } else { Next::NeedInput };
                    return Served { consumed: input.len(), next };
                }
                Expecting::Login(login) if login.waits() => {
                    let is_over = self.end_of_wait(turn);
                    if !is_over {
                        return Served { consumed, next: Next::Wait };
                    }
                }
                _ => {}
            }
            let rest = &input[consumed..];
            if rest.is_empty() {
                return Served { consumed, next: Next::NeedInput };
            }
            if turn.output_is_full() {
                return Served { consumed, next: Next::OutputFull };
            }
            let step = match &mut self.expecting {
                Expecting::FirstByte => self.first_byte(rest, turn),
                Expecting::Login(_) => self.login(rest, turn),
                Expecting::Command if turn.commands_left == 0 => Step::Stop(0, Next::Yield),
                Expecting::Keys(_) if turn.keys_are_used_up() => Step::Stop(0, Next::Yield),
                Expecting::Command => {
                    if consumed >= ahead {
                        ahead = consumed + ahead::requests(&turn.daemon.store, rest).max(1);
                    }
                    self.command(rest, turn)
                }
                Expecting::Value { .. } => self.part(turn, |session, turn| session.value(rest, turn)),
                Expecting::RefusedValue(bytes) => {
                    let bytes = *bytes;
                    self.skip_value(bytes, rest)
                }
                Expecting::Keys(retrieval) => {
                    let retrieval = *retrieval;
                    self.part(turn, |session, turn| session.keys(retrieval, rest, turn))
                }
                Expecting::Job(_) | Expecting::Watch(_) => Step::Taken(0),
                Expecting::RestOfLine(_) => match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        self.expecting = Expecting::Command;
                        Step::Taken(end + 1)
                    }
                    None => Step::Taken(rest.len()),
                },
            };
            match step {
                Step::Taken(bytes) => consumed += bytes,
                Step::Stop(bytes, next) => return Served { consumed: consumed + bytes, next },
            }
        }
    }

    /// Takes what is there of the `bytes` that are left of a value that is not stored.
    fn skip_value(&mut self, bytes: usize, input: &[u8]) -> Step {
        let skipped = input.len().min(bytes);
        self.expecting = match bytes - skipped {
            0 => Expecting::Command,
            left => Expecting::RefusedValue(left),
        };
        Step::Taken(skipped)
    }

    /// The first byte of all decides whether this is a client of ours, and what is expected of it.
    fn first_byte(&mut self, input: &[u8], turn: &Turn) -> Step {
        if input[0] == BINARY_MAGIC {
            audit::stranger(turn);
            return Step::Stop(input.len(), Next::Refuse);
        }
        self.expecting = match turn.daemon.guard {
            Some(_) if !self.is_identified => Expecting::Login(Login::Line),
            _ => Expecting::Command,
        };
        Step::Taken(0)
    }

    /// A command line, and the value behind it if it is all there.
    fn command(&mut self, input: &[u8], turn: &mut Turn) -> Step {
        let Some(end) = memchr::memchr(b'\n', input) else {
            return self.line_without_end(input, turn);
        };
        turn.commands_left -= 1;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        if turn.timing.is_next() {
            turn.begin_timing(true);
        }
        let step = self.execute(parse::line(line, end + 1), input, end + 1, turn);
        if turn.timed.is_some() {
            self.end_timing(line, &step, turn);
        }
        step
    }

    /// The beginning of a line: wait for the rest, unless it is already too long for anything but keys.
    fn line_without_end(&mut self, input: &[u8], turn: &mut Turn) -> Step {
        if input.len() <= LINE_BYTES_MAX {
            return Step::Stop(0, Next::NeedInput);
        }
        match parse::long_line(input) {
            LongLine::Keys(retrieval, at) => {
                self.expecting = Expecting::Keys(retrieval);
                let step = Step::Taken(at);
                if turn.timing.is_next() {
                    turn.begin_timing(true);
                    self.end_timing(input, &step, turn);
                }
                step
            }
            LongLine::Unknown => {
                turn.output.push(reply::ERROR);
                self.expecting = Expecting::RestOfLine(reply::ERROR);
                Step::Taken(0)
            }
            LongLine::Hopeless => Step::Stop(input.len(), Next::Refuse),
        }
    }

    /// Answers the keys of a line as far as they are there, up to its end.
    pub(super) fn keys(&mut self, retrieval: Retrieval, input: &[u8], turn: &mut Turn) -> Step {
        let mut at = 0;
        let mut keys_left = KEYS_PER_COMMAND;
        let mut keys_ahead = if turn.daemon.store.is_far_away() { 1 } else { usize::MAX };
        loop {
            at += input[at..].iter().take_while(|&&byte| byte == b' ').count();
            let rest = &input[at..];
            let Some(end) = memchr::memchr2(b' ', b'\n', rest) else {
                // The last token may go on in the next bytes, or be the CR of the line's end.
                if rest.len() > KEY_BYTES_MAX + 1 {
                    return self.refuse_keys(reply::BAD_FORMAT, at, turn);
                }
                self.expecting = Expecting::Keys(retrieval);
                return Step::Stop(at, Next::NeedInput);
            };
            let is_last = rest[end] == b'\n';
            let key =
                if is_last { rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]) } else { &rest[..end] };
            if key.len() > KEY_BYTES_MAX {
                return self.refuse_keys(reply::BAD_FORMAT, at, turn);
            }
            if !key.is_empty() && !retrieval.answer(key, turn) {
                turn.counters.auth_denied.add(1);
                return self.refuse_keys(reply::NOT_PERMITTED, at, turn);
            }
            at += end + 1;
            if is_last {
                turn.output.push(reply::END);
                self.expecting = Expecting::Command;
                return Step::Taken(at);
            }
            if turn.output_is_full() {
                self.expecting = Expecting::Keys(retrieval);
                return Step::Stop(at, Next::OutputFull);
            }
            keys_ahead -= 1;
            if keys_ahead == 0 {
                keys_ahead = ahead::keys(&turn.daemon.store, &input[at..]).max(1);
            }
            keys_left -= 1;
            if keys_left == 0 {
                if turn.keys_are_used_up() {
                    self.expecting = Expecting::Keys(retrieval);
                    return Step::Stop(at, Next::Yield);
                }
                turn.commands_left = turn.commands_left.saturating_sub(1);
                keys_left = KEYS_PER_COMMAND;
            }
        }
    }

    fn refuse_keys(&mut self, error: &'static [u8], at: usize, turn: &mut Turn) -> Step {
        turn.output.push(error);
        self.expecting = Expecting::RestOfLine(error);
        Step::Taken(at)
    }

    /// More of a value whose memory is reserved; stores it once its line end has come.
    fn value(&mut self, input: &[u8], turn: &mut Turn) -> Step {
        let Expecting::Value { reservation, answer } = &mut self.expecting else {
            return Step::Taken(0);
        };
        let here = input.len().min(reservation.missing());
        if reservation.write(&input[..here], turn.now.seconds).is_err() {
            let rest = reservation.missing() + LINE_END.len();
            if let Answer::Meta(_) = answer {
                turn.daemon.store.discard(&reservation.key(), turn.now.seconds);
            }
            turn.reply(reply::NO_MEMORY_TO_READ, answer.is_silent());
            self.expecting = Expecting::RefusedValue(rest);
            return Step::Taken(here);
        }
        let Some(end) = input.get(here..here + LINE_END.len()) else {
            return Step::Stop(here, Next::NeedInput);
        };
        let is_whole = end == LINE_END;
        let expecting = std::mem::replace(&mut self.expecting, Expecting::Command);
        if let Expecting::Value { reservation, answer } = expecting {
            match answer {
                _ if !is_whole => turn.reply(reply::BAD_DATA_CHUNK, answer.is_silent()),
                Answer::Plain { noreply } => {
                    let outcome = commit(*reservation, turn);
                    turn.reply(super::execute::line_of(outcome), noreply);
                }
                Answer::Meta(arguments) => meta::finish(*reservation, &arguments, turn),
            }
        }
        Step::Taken(here + LINE_END.len())
    }
}

/// Stores a value that has arrived, and tells those who want to know.
fn commit(reservation: Reservation, turn: &Turn) -> StoreOutcome {
    if turn.observed & !SAMPLED == 0 {
        return reservation.commit(turn.now.seconds);
    }
    let (key, mode, deadline, value_bytes) = reservation.terms();
    let key = key.to_vec();
    let outcome = reservation.commit(turn.now.seconds);
    observe::stored(&key, mode, outcome, deadline, value_bytes, turn);
    outcome
}
