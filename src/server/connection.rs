//! One client's connection: its stream, its session, and what is left over between two turns.
//!
//! Buffers belong to the worker and are lent for a turn. What is left over (the beginning of a command,
//! replies that the client does not take) is kept here until the next turn; an idle connection keeps
//! nothing. A connection whose client does not read is not read from either until its replies have gone.

use std::io::{self, ErrorKind, Read};

use mio::event::Event;

use crate::base::clock::Now;
use crate::protocol::memcached::{Daemon, Next, Session, Turn, WorkerCounters};
use crate::protocol::output::Output;

use super::transport::Transport;

/// Bytes of a worker's read buffer: what one read takes at most.
pub(super) const INPUT_BYTES: usize = 64 << 10;
/// Reads in one turn before others get theirs; a longer value is taken in several turns.
const READS_PER_TURN: usize = 16;
/// Replies of a connection that yields are kept for its next turn, up to this many bytes.
const KEPT_OUTPUT_BYTES: usize = 16 << 10;

/// The buffers of a worker. Between two turns `output` is empty.
pub(super) struct Buffers {
    input: Box<[u8]>,
    output: Output,
}

impl Buffers {
    pub fn new() -> Buffers {
        Buffers { input: vec![0; INPUT_BYTES].into_boxed_slice(), output: Output::default() }
    }
}

/// What a turn is given beside the buffers.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub daemon: &'a Daemon,
    pub counters: &'a WorkerCounters,
    pub now: Now,
}

/// What becomes of a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Wait for the next event.
    Wait,
    /// There is more to do: take a turn after the others.
    Again,
    /// Close it.
    Close,
}

/// How far a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    All,
    /// The client does not take more at present.
    Part,
    /// The connection is broken.
    Failed,
}

/// See the module.
pub(super) struct Connection {
    transport: Transport,
    session: Session,
    /// Bytes received; those before `unread_at` are consumed. At most [`INPUT_BYTES`].
    unread: Vec<u8>,
    unread_at: usize,
    unsent: Option<Box<Output>>,
    /// An event said that there is something to read and no read has found the end of it yet.
    is_readable: bool,
    /// The client has ended its side: the end of input follows what is still to be read.
    is_read_closed: bool,
    /// The last write was not taken whole: nothing is read before the rest has gone.
    is_blocked: bool,
    /// Nothing more is read; the connection closes once its replies have gone.
    is_closing: bool,
    /// Its token is in the worker's ready list.
    pub is_in_ready_list: bool,
    /// Bytes of `unread` and `unsent` that the worker has counted.
    kept: (usize, usize),
}

/// What is left of a connection's share of a turn.
struct Share {
    commands_left: usize,
    reads_left: usize,
}

impl Connection {
    pub fn new(transport: Transport) -> Connection {
        Connection {
            transport,
            session: Session::new(),
            unread: Vec::new(),
            unread_at: 0,
            unsent: None,
            is_readable: false,
            is_read_closed: false,
            is_blocked: false,
            is_closing: false,
            is_in_ready_list: false,
            kept: (0, 0),
        }
    }

    pub fn transport_mut(&mut self) -> &mut Transport {
        &mut self.transport
    }

    pub fn peer(&self) -> String {
        self.transport.peer()
    }

    /// Takes note of an event. Whether it calls for a turn.
    pub fn note(&mut self, event: &Event) -> bool {
        self.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.is_read_closed |= event.is_read_closed() || event.is_error();
        let may_write = event.is_writable() || event.is_write_closed() || event.is_error();
        if self.is_blocked { may_write } else { self.is_readable && !self.is_in_ready_list }
    }

    /// One turn: reads what is there, lets the session answer, writes once at the end.
    pub fn turn(&mut self, buffers: &mut Buffers, setting: Setting) -> Fate {
        let Buffers { input, output } = buffers;
        if let Some(unsent) = self.unsent.take() {
            output.restore(*unsent);
        }
        let mut share =
            Share { commands_left: setting.daemon.settings.requests_per_event, reads_left: READS_PER_TURN };
        let fate = match self.send_if_blocked(output, setting) {
            Some(fate) => fate,
            None => match self.serve_unread(output, &mut share, setting) {
                Some(fate) => fate,
                None => self.exchange(input, output, &mut share, setting),
            },
        };
        if fate == Fate::Close {
            output.clear();
        } else if output.pending() > 0 {
            self.unsent = Some(Box::new(output.split_off()));
        }
        self.count_kept(setting.counters);
        fate
    }

    /// Sends what the client did not take last time. Ends the turn if it still does not.
    fn send_if_blocked(&mut self, output: &mut Output, setting: Setting) -> Option<Fate> {
        if !self.is_blocked {
            return None;
        }
        match self.send(output, setting) {
            Sent::All => None,
            Sent::Part => Some(Fate::Wait),
            Sent::Failed => Some(Fate::Close),
        }
    }

    /// Serves what was received in earlier turns, where it lies. `None` once more input is needed; the
    /// beginning of a command may be left.
    fn serve_unread(&mut self, output: &mut Output, share: &mut Share, setting: Setting) -> Option<Fate> {
        let unread = std::mem::take(&mut self.unread);
        let mut at = self.unread_at;
        let fate = self.serve(&unread, &mut at, output, share, setting);
        self.unread = unread;
        self.unread_at = at;
        if at == self.unread.len() {
            (self.unread, self.unread_at) = (Vec::new(), 0);
        }
        fate
    }

    /// Lets the session consume `input` from `at` on. `None` if it needs more; else the turn is over.
    fn serve(
        &mut self,
        input: &[u8],
        at: &mut usize,
        output: &mut Output,
        share: &mut Share,
        setting: Setting,
    ) -> Option<Fate> {
        while !self.is_closing {
            let Setting { daemon, counters, now } = setting;
            let commands_left = share.commands_left;
            let mut turn = Turn { daemon, counters, now, commands_left, output: &mut *output };
            let served = self.session.serve(&input[*at..], &mut turn);
            share.commands_left = turn.commands_left;
            *at += served.consumed;
            match served.next {
                Next::NeedInput => return None,
                Next::Close => self.is_closing = true,
                Next::Yield => return Some(self.yield_turn(output, setting)),
                Next::OutputFull => match self.send(output, setting) {
                    Sent::All => {}
                    Sent::Part => return Some(Fate::Wait),
                    Sent::Failed => return Some(Fate::Close),
                },
            }
        }
        None
    }

    /// Reads and serves until there is nothing to read or the turn is over, then writes.
    fn exchange(
        &mut self,
        input: &mut [u8],
        output: &mut Output,
        share: &mut Share,
        setting: Setting,
    ) -> Fate {
        let mut filled = self.unread.len() - self.unread_at;
        input[..filled].copy_from_slice(&self.unread[self.unread_at..]);
        (self.unread, self.unread_at) = (Vec::new(), 0);
        let mut ended = None;
        while self.is_readable && !self.is_closing && ended.is_none() {
            if share.reads_left == 0 {
                ended = Some(self.yield_turn(output, setting));
                break;
            }
            share.reads_left -= 1;
            match self.receive(&mut input[filled..], setting.counters) {
                Ok(bytes) => filled += bytes,
                Err(_) => return Fate::Close,
            }
            let mut at = 0;
            ended = self.serve(&input[..filled], &mut at, output, share, setting);
            input.copy_within(at..filled, 0);
            filled -= at;
        }
        self.unread.extend_from_slice(&input[..filled]);
        ended.unwrap_or_else(|| match self.send(output, setting) {
            Sent::All if self.is_closing => Fate::Close,
            Sent::All | Sent::Part => Fate::Wait,
            Sent::Failed => Fate::Close,
        })
    }

    /// Brings the worker's count of bytes that its connections keep up to date.
    pub fn count_kept(&mut self, counters: &WorkerCounters) {
        let unsent = self.unsent.as_ref().map_or(0, |output| output.pending());
        let kept = (self.unread.capacity(), unsent);
        if kept != self.kept {
            counters.unread_bytes.add((kept.0 as u64).wrapping_sub(self.kept.0 as u64));
            counters.unsent_bytes.add((kept.1 as u64).wrapping_sub(self.kept.1 as u64));
            self.kept = kept;
        }
    }

    /// Takes what the connection keeps out of the worker's count, at its end.
    pub fn forget_kept(&mut self, counters: &WorkerCounters) {
        (self.unread, self.unsent) = (Vec::new(), None);
        self.count_kept(counters);
    }

    /// Ends a turn with work left over. Few replies wait for the next turn, so that a long pipeline is
    /// not answered in many small writes.
    fn yield_turn(&mut self, output: &mut Output, setting: Setting) -> Fate {
        setting.counters.conn_yields.add(1);
        if output.pending() < KEPT_OUTPUT_BYTES {
            return Fate::Again;
        }
        match self.send(output, setting) {
            Sent::All => Fate::Again,
            Sent::Part => Fate::Wait,
            Sent::Failed => Fate::Close,
        }
    }

    /// Reads once. A read that gives less than was asked for has emptied the socket: the next event will
    /// tell of more, so none is made to hear that there is nothing.
    fn receive(&mut self, into: &mut [u8], counters: &WorkerCounters) -> io::Result<usize> {
        loop {
            match self.transport.read(into) {
                Ok(0) => {
                    self.is_readable = false;
                    self.is_closing = true;
                    return Ok(0);
                }
                Ok(bytes) => {
                    counters.bytes_read.add(bytes as u64);
                    self.is_readable = bytes == into.len() || self.is_read_closed;
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return Ok(0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes until all has gone or the client takes no more; one write, as a rule.
    fn send(&mut self, output: &mut Output, setting: Setting) -> Sent {
        while output.pending() > 0 {
            match output.write_to(&mut self.transport) {
                Ok(0) => return Sent::Failed,
                Ok(bytes) => setting.counters.bytes_written.add(bytes as u64),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Sent::Part;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Sent::Failed,
            }
        }
        self.is_blocked = false;
        Sent::All
    }
}
