//! One client's conversation: which bytes are a command, which a value, which are to be skipped.
//!
//! A session is fed all bytes that have arrived and not been consumed. It takes as many as it can and
//! says why it stopped. Bytes that it leaves are fed again with more behind them.

use crate::base::clock::Now;
use crate::protocol::output::Output;
use crate::store::{KEY_BYTES_MAX, Reservation};

use super::daemon::{Daemon, WorkerCounters};
use super::parse::{self, LongLine};
use super::reply;
use super::request::Retrieval;

/// Longest command line that is waited for, in bytes without its end. Only lists of keys may be longer:
/// they are answered as they come.
const LINE_BYTES_MAX: usize = 2048;
/// Unsent bytes at which a session stops until they are sent.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// First byte of a request in memcached's binary protocol, which is not spoken here: its client would wait
/// for ever for an answer to what never becomes a line.
const BINARY_MAGIC: u8 = 0x80;
/// A value's own line end.
const LINE_END: &[u8] = b"\r\n";

/// What the next bytes from this client are.
#[derive(Debug)]
pub(super) enum Expecting {
    /// The first byte of all: the binary protocol would begin with [`BINARY_MAGIC`].
    FirstByte,
    /// A command line.
    Command,
    /// The rest of a value and its line end. Dropping the reservation gives its space back.
    Value { reservation: Box<Reservation>, noreply: bool },
    /// This many bytes of a refused value and its line end, to be skipped.
    RefusedValue(usize),
    /// The remaining keys of a line of the get family.
    Keys(Retrieval),
    /// The rest of a line that was already answered with an error.
    RestOfLine,
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
}

/// What one call of [`Session::serve`] did.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Why it stopped.
    pub next: Next,
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
    /// Where replies go.
    pub output: &'a mut Output,
}

impl Turn<'_> {
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
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A session that waits for its first command.
    pub fn new() -> Session {
        Session { expecting: Expecting::FirstByte }
    }

    /// Consumes what it can of `input`: commands in order, their replies appended to the output.
    pub fn serve(&mut self, input: &[u8], turn: &mut Turn) -> Served {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            if rest.is_empty() {
                return Served { consumed, next: Next::NeedInput };
            }
            if turn.output.pending() >= OUTPUT_BYTES_MAX {
                return Served { consumed, next: Next::OutputFull };
            }
            let step = match &mut self.expecting {
                Expecting::FirstByte if rest[0] == BINARY_MAGIC => {
                    log::debug!("a client of the binary protocol is turned away");
                    Step::Stop(rest.len(), Next::Close)
                }
                Expecting::FirstByte => {
                    self.expecting = Expecting::Command;
                    Step::Taken(0)
                }
                Expecting::Command if turn.commands_left == 0 => Step::Stop(0, Next::Yield),
                Expecting::Command => self.command(rest, turn),
                Expecting::Value { .. } => self.value(rest, turn),
                Expecting::RefusedValue(bytes) => {
                    let skipped = rest.len().min(*bytes);
                    *bytes -= skipped;
                    if *bytes == 0 {
                        self.expecting = Expecting::Command;
                    }
                    Step::Taken(skipped)
                }
                Expecting::Keys(retrieval) => {
                    let retrieval = *retrieval;
                    self.keys(retrieval, rest, turn)
                }
                Expecting::RestOfLine => match memchr::memchr(b'\n', rest) {
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

    /// A command line, and the value behind it if it is all there.
    fn command(&mut self, input: &[u8], turn: &mut Turn) -> Step {
        let Some(end) = memchr::memchr(b'\n', input) else {
            return self.line_without_end(input, turn);
        };
        turn.commands_left -= 1;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        self.execute(parse::line(line, end + 1), input, end + 1, turn)
    }

    /// The beginning of a line: wait for the rest, unless it is already too long for anything but keys.
    fn line_without_end(&mut self, input: &[u8], turn: &mut Turn) -> Step {
        if input.len() <= LINE_BYTES_MAX {
            return Step::Stop(0, Next::NeedInput);
        }
        match parse::long_line(input) {
            LongLine::Keys(retrieval, at) => {
                self.expecting = Expecting::Keys(retrieval);
                Step::Taken(at)
            }
            LongLine::Unknown => {
                turn.output.push(reply::ERROR);
                self.expecting = Expecting::RestOfLine;
                Step::Taken(0)
            }
            LongLine::Hopeless => Step::Stop(input.len(), Next::Close),
        }
    }

    /// Answers the keys of a line as far as they are there, up to its end.
    pub(super) fn keys(&mut self, retrieval: Retrieval, input: &[u8], turn: &mut Turn) -> Step {
        let mut at = 0;
        loop {
            at += input[at..].iter().take_while(|&&byte| byte == b' ').count();
            let rest = &input[at..];
            let Some(end) = memchr::memchr2(b' ', b'\n', rest) else {
                // The last token may go on in the next bytes, or be the CR of the line's end.
                if rest.len() > KEY_BYTES_MAX + 1 {
                    return self.refuse_keys(at, turn);
                }
                self.expecting = Expecting::Keys(retrieval);
                return Step::Stop(at, Next::NeedInput);
            };
            let is_last = rest[end] == b'\n';
            let key =
                if is_last { rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]) } else { &rest[..end] };
            if key.len() > KEY_BYTES_MAX {
                return self.refuse_keys(at, turn);
            }
            if !key.is_empty() {
                retrieval.answer(key, turn);
            }
            at += end + 1;
            if is_last {
                turn.output.push(reply::END);
                self.expecting = Expecting::Command;
                return Step::Taken(at);
            }
            if turn.output.pending() >= OUTPUT_BYTES_MAX {
                self.expecting = Expecting::Keys(retrieval);
                return Step::Stop(at, Next::OutputFull);
            }
        }
    }

    fn refuse_keys(&mut self, at: usize, turn: &mut Turn) -> Step {
        turn.output.push(reply::BAD_FORMAT);
        self.expecting = Expecting::RestOfLine;
        Step::Taken(at)
    }

    /// More of a value whose memory is reserved; stores it once its line end has come.
    fn value(&mut self, input: &[u8], turn: &mut Turn) -> Step {
        let Expecting::Value { reservation, noreply } = &mut self.expecting else {
            return Step::Taken(0);
        };
        let here = input.len().min(reservation.missing());
        if reservation.write(&input[..here], turn.now.seconds).is_err() {
            let rest = reservation.missing() + LINE_END.len();
            turn.reply(reply::NO_MEMORY_TO_READ, *noreply);
            self.expecting = Expecting::RefusedValue(rest);
            return Step::Taken(here);
        }
        let Some(end) = input.get(here..here + LINE_END.len()) else {
            return Step::Stop(here, Next::NeedInput);
        };
        let (noreply, is_whole) = (*noreply, end == LINE_END);
        let expecting = std::mem::replace(&mut self.expecting, Expecting::Command);
        if let (Expecting::Value { reservation, .. }, true) = (expecting, is_whole) {
            let outcome = reservation.commit(turn.now.seconds);
            turn.reply(super::execute::line_of(outcome), noreply);
        } else {
            turn.reply(reply::BAD_DATA_CHUNK, noreply);
        }
        Step::Taken(here + LINE_END.len())
    }
}
