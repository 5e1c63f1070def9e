//! One client's connection: its stream, its session, and what is left over between two turns.
//!
//! Buffers belong to the worker and are lent for a turn. What is left over (the beginning of a command,
//! replies that the client does not take) is kept here until the next turn; an idle connection keeps
//! nothing. A connection whose client does not read is not read from either until its replies have gone.

mod silence;

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use mio::{Registry, Token};

use crate::base::clock::{Now, Seconds};
use crate::protocol::memcached::{
    CloseReason, ConnectionInfo, ConnectionState, Daemon, Next, Session, Timing, Turn, WorkerCounters,
};
use crate::protocol::output::Output;
use crate::store::Arrived;

use super::complaints::Complaints;
use super::left::Left;
use super::pace::Seen;
use super::per_address::Place;
use super::share::Share;
use super::tls;
use super::transport::{Newcomer, Readiness, Transport};

/// Bytes of a worker's read buffer: what one read takes at most.
pub(super) const INPUT_BYTES: usize = 64 << 10;
/// What is missing of a value is read straight to its place if it is so much; less is copied with what is behind it.
const DIRECT_BYTES_MIN: usize = 16 << 10;
/// What a turn's share loses by a read that brought no data but, for all that is known, a whole record of TLS.
const TLS_RECORD_BYTES: usize = 16 << 10;
/// Bytes of a client that is still to log in that are received at a time, and so kept at most: a line and the longest
/// user and password, with something behind them.
const LOGIN_BYTES: usize = 20 << 10;
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

    /// The read buffer of [`INPUT_BYTES`], and the output.
    pub fn both(&mut self) -> (&mut [u8], &mut Output) {
        (&mut self.input, &mut self.output)
    }
}

/// What a turn is given beside the buffers.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub daemon: &'a Daemon,
    pub counters: &'a WorkerCounters,
    pub now: Now,
    /// When the worker woke up for this round.
    pub woken: Instant,
    pub timing: &'a Timing,
    /// What is kept of this turn in case that it takes long.
    pub seen: &'a Seen,
    /// Nobody whose requests are over soon has had a turn lately, so that nobody waits for long turns to end but
    /// those who have them.
    pub turns_are_long: bool,
    /// What the log is told of clients.
    pub complaints: &'a Complaints,
}

/// What becomes of a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Wait for the next event.
    Wait,
    /// There is more to do: take a turn after the others.
    Again,
    /// Wait for an event, or for [`Connection::may_go_on`].
    Login,
    /// Close it.
    Close,
}

/// How far a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    All,
    /// The client does not take more at present.
    Part,
    /// The client may take more, but others have their turns first.
    Enough,
    /// The connection is broken.
    Failed,
}

impl Sent {
    /// What becomes of the connection, if that is already known.
    fn fate(self) -> Option<Fate> {
        match self {
            Sent::All => None,
            Sent::Part => Some(Fate::Wait),
            Sent::Enough => Some(Fate::Again),
            Sent::Failed => Some(Fate::Close),
        }
    }
}

/// See the module. There may be very many, most of them idle: what few of them need is boxed.
pub(super) struct Connection {
    transport: Transport,
    /// What lists and logs show of it.
    info: Arc<ConnectionInfo>,
    /// The number of its worker.
    worker: u16,
    session: Session,
    left: Option<Box<Left>>,
    /// An event said that there is something to read and no read has found the end of it yet.
    is_readable: bool,
    /// The client has ended its side: the end of input follows what is still to be read.
    is_read_closed: bool,
    /// The last write was not taken whole: nothing is read before the rest has gone.
    is_blocked: bool,
    /// Events tell when the client takes more.
    awaits_room: bool,
    /// Nothing has been received that tells whether the client speaks the language of this address.
    is_fresh: bool,
    /// Nothing more is read; the connection closes once its replies have gone.
    is_closing: bool,
    /// Reading or writing failed, or the client talks nonsense.
    is_broken: bool,
    /// An event said that nobody is at its other end any more.
    is_reset: bool,
    /// Its token is in the worker's ready list, or among the handshakes that wait.
    pub is_in_ready_list: bool,
    /// Its token is in the worker's list of those that watch.
    pub is_in_watch_list: bool,
    /// Its token is in the worker's list of those that wait for the outcome of a login.
    pub is_in_login_list: bool,
    /// In its last turn all that it wanted was little, and done.
    pub had_short_turn: bool,
    /// When it was taken in.
    pub began: Seconds,
    /// Kept for as long as the connection is.
    _place: Option<Box<Place>>,
    /// When its client last sent something.
    received_at: Seconds,
}

/// A size class of the allocator. With debug assertions mio's sockets are larger.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Connection>() <= 128);

impl Connection {
    /// One that the worker with this number takes in.
    pub fn new(mut newcomer: Newcomer, worker: usize, now: Seconds) -> Connection {
        let place = newcomer.place.take();
        let (transport, info) = newcomer.welcome(worker, now);
        Connection {
            info: Arc::new(info),
            worker: worker as u16,
            transport,
            session: Session::new(),
            left: None,
            is_readable: false,
            is_read_closed: false,
            is_blocked: false,
            awaits_room: false,
            is_fresh: true,
            is_closing: false,
            is_broken: false,
            is_reset: false,
            is_in_ready_list: false,
            is_in_watch_list: false,
            is_in_login_list: false,
            had_short_turn: false,
            began: now,
            _place: place,
            received_at: now,
        }
    }

    /// Asks for events. That the client takes more is of interest only once it did not, see [`Self::await_room`]:
    /// asked for at once, the event would come at once and be of no use.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.transport.register(registry, token)
    }

    /// Asks for the event that the client takes more, if that is what it waits for now and did never before.
    pub fn await_room(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if !self.is_blocked || self.awaits_room {
            return Ok(());
        }
        self.awaits_room = true;
        self.transport.await_room(registry, token)
    }

    /// What lists and logs show of it.
    pub fn info(&self) -> &Arc<ConnectionInfo> {
        &self.info
    }

    /// Why it ends, if it does now.
    pub fn close_reason(&self) -> CloseReason {
        if self.is_broken { CloseReason::Error } else { CloseReason::Normal }
    }

    /// Whether its client watches.
    pub fn watches(&self) -> bool {
        self.session.state() == ConnectionState::Watch
    }

    /// What its client is saying.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Whether it could tell its client something without being asked.
    pub fn has_lines(&self) -> bool {
        !self.is_blocked && self.session.has_lines()
    }

    /// Whether what its session waits for may have happened.
    pub fn may_go_on(&self, now: Seconds) -> bool {
        self.session.may_go_on(now)
    }

    /// Whether a TLS handshake is still to be done.
    #[inline]
    pub fn is_handshaking(&self) -> bool {
        self.transport.is_handshaking()
    }

    /// Takes note of what an event says. Whether it calls for a turn.
    pub fn note(&mut self, event: impl Into<Readiness>) -> bool {
        let event = event.into();
        self.is_readable |= event.is_readable || event.is_read_closed;
        self.is_read_closed |= event.is_read_closed;
        self.is_reset |= event.is_broken;
        if self.is_blocked { event.is_writable } else { self.is_readable && !self.is_in_ready_list }
    }

    /// One turn: reads what is there, lets the session answer, writes once at the end.
    pub fn turn(&mut self, buffers: &mut Buffers, setting: Setting) -> Fate {
        let (input, output) = buffers.both();
        let unsent = self.left.as_mut().and_then(|left| left.unsent.take());
        let begins_anew = unsent.is_none() && !self.session.expects_value();
        if let Some(unsent) = unsent {
            output.restore(unsent);
        }
        let mut share = Share::new(setting);
        let fate = match self.send_if_blocked(output, &mut share, setting) {
            Some(fate) => fate,
            None => match self.serve_unread(output, &mut share, setting) {
                Some(fate) => fate,
                None => self.exchange(input, output, &mut share, setting),
            },
        };
        if fate == Fate::Again {
            setting.counters.conn_yields.add(1);
        }
        if fate == Fate::Close {
            output.clear();
        } else if output.pending() > 0 {
            self.left.get_or_insert_default().unsent = Some(output.split_off());
        }
        let has_unsent = self.left.as_ref().is_some_and(|left| left.unsent.is_some());
        self.count_kept(setting.counters);
        share.note_end(setting);
        self.had_short_turn =
            begins_anew && share.is_little(setting) && !has_unsent && !self.session.expects_value();
        if share.commands_left < setting.daemon.settings.requests_per_event {
            self.info.note_command(setting.now.seconds);
        }
        self.info.note_state(if self.is_blocked { ConnectionState::Write } else { self.session.state() });
        fate
    }

    /// Sends what the client did not take last time. Ends the turn if it still does not.
    fn send_if_blocked(&mut self, output: &mut Output, share: &mut Share, setting: Setting) -> Option<Fate> {
        if self.is_blocked { self.send(output, share, setting).fate() } else { None }
    }

    /// Serves what was received in earlier turns, where it lies. `None` once more input is needed; the
    /// beginning of a command may be left.
    fn serve_unread(&mut self, output: &mut Output, share: &mut Share, setting: Setting) -> Option<Fate> {
        let (unread, mut at) = self.take_unread();
        if at < unread.len() && self.session.expects_command(setting.daemon) {
            setting.seen.note_commands(&unread[at..], unread.len() - at);
        }
        let fate = self.serve(&unread, &mut at, output, share, setting);
        if at < unread.len() {
            let left = self.left.get_or_insert_default();
            (left.unread, left.unread_at) = (unread, at);
        }
        fate
    }

    /// The bytes received in earlier turns, and how many of them are consumed.
    fn take_unread(&mut self) -> (Vec<u8>, usize) {
        match &mut self.left {
            Some(left) => (std::mem::take(&mut left.unread), std::mem::take(&mut left.unread_at)),
            None => (Vec::new(), 0),
        }
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
            let Setting { daemon, counters, now, timing, woken, .. } = setting;
            let commands_left = share.commands_left;
            let mut turn =
                Turn::new(daemon, counters, now, commands_left, self.info.fd, output).timed_by(timing, woken);
            turn.of_worker(self.worker);
            let served = self.session.serve(&input[*at..], &mut turn);
            share.commands_left = turn.commands_left;
            *at += served.consumed;
            match served.next {
                Next::NeedInput => return None,
                Next::Close => self.is_closing = true,
                Next::Refuse => (self.is_closing, self.is_broken) = (true, true),
                Next::Wait => {
                    let waits = if self.is_given_up() { Fate::Close } else { Fate::Login };
                    return Some(self.send(output, share, setting).fate().unwrap_or(waits));
                }
                Next::Yield => return Some(self.yield_turn(output, share, setting)),
                Next::OutputFull => match self.send(output, share, setting).fate() {
                    None => {}
                    over => return over,
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
        let (unread, unread_at) = self.take_unread();
        let mut filled = unread.len() - unread_at;
        input[..filled].copy_from_slice(&unread[unread_at..]);
        drop(unread);
        let mut ended = None;
        while self.is_readable && !self.is_closing && ended.is_none() {
            if share.read_bytes_left == 0 {
                ended = Some(self.yield_turn(output, share, setting));
                break;
            }
            match self.receive(input, filled, share, setting) {
                Ok(bytes) => filled += bytes,
                Err(_) => {
                    self.is_broken = true;
                    return Fate::Close;
                }
            }
            if self.is_fresh && self.is_of_another_language(&input[..filled], setting) {
                self.is_broken = true;
                return Fate::Close;
            }
            if self.session.expects_command(setting.daemon) {
                setting.seen.note_commands(input, filled);
            }
            let mut at = 0;
            ended = self.serve(&input[..filled], &mut at, output, share, setting);
            input.copy_within(at..filled, 0);
            filled -= at;
        }
        if filled > 0 {
            self.left.get_or_insert_default().unread.extend_from_slice(&input[..filled]);
        }
        ended.or_else(|| self.send(output, share, setting).fate()).unwrap_or(if self.is_closing {
            Fate::Close
        } else {
            Fate::Wait
        })
    }

    /// Whether a client greets in TLS where none is spoken: it would wait for an answer that it understands.
    fn is_of_another_language(&mut self, greeting: &[u8], setting: Setting) -> bool {
        let Some(is_tls) = tls::is_hello(greeting) else { return false };
        self.is_fresh = false;
        if is_tls {
            let address = &self.info.address;
            setting.complaints.not_plain.tell(setting.now.seconds, "closed", |untold| {
                log::warn!(
                    event = "connection_rejected", peer:% = address;
                    "{address} is closed: it speaks TLS, this address does not{untold}"
                );
            });
        }
        is_tls
    }

    /// Counts what has become of TLS, and tells of failures.
    #[cold]
    fn note_tls(&mut self, event: tls::Event, setting: Setting) {
        let Setting { daemon, counters, now, complaints, .. } = setting;
        match event {
            tls::Event::Established { is_resumed: true, .. } => counters.tls_resumed_handshakes.add(1),
            tls::Event::Established { is_resumed: false, .. } => counters.tls_full_handshakes.add(1),
            tls::Event::Failed(ref failure) => {
                let counter = match failure.is_handshake {
                    true => &counters.tls_handshake_errors,
                    false => &counters.tls_record_errors,
                };
                counter.add(1);
                daemon.note_tls_failed(self.info.fd, failure);
                let address = &self.info.address;
                complaints.tls.tell(now.seconds, "closed", |untold| {
                    log::warn!(
                        event = "tls_failed", peer:% = address;
                        "{address} is closed: TLS: {failure}{untold}"
                    );
                });
            }
        }
        if let tls::Event::Established { client: Some(names), .. } = event {
            if let Some(guard) = &daemon.guard
                && let Some(user) = names.all().find_map(|name| guard.by_certificate(name))
            {
                self.session.identify(user);
            }
            self.info.note_certificate(names);
            if let Some(name) = self.session.user_name() {
                self.info.note_user(name.as_bytes());
            }
        }
    }

    /// Brings the worker's count of bytes that its connections keep up to date.
    pub fn count_kept(&mut self, counters: &WorkerCounters) {
        let sealed = self.transport.kept_bytes();
        if self.left.is_none() && sealed == 0 {
            return;
        }
        if !self.left.get_or_insert_default().count(sealed, counters) {
            self.left = None;
        }
    }

    /// Bytes that it keeps because its client does not take its replies, or has not logged in; what a large value's
    /// blocks hold is the store's.
    pub fn held_bytes(&self) -> usize {
        let is_in_login = self.session.is_in_login();
        let left = self
            .left
            .as_ref()
            .filter(|_| self.is_blocked || is_in_login)
            .map_or(0, |left| left.counted_bytes());
        left + if is_in_login { self.session.login_bytes() } else { 0 }
    }

    /// Its part of what large values take that only clients have who do not take their replies.
    pub fn pinned_bytes(&self) -> usize {
        let unsent = self.left.as_ref().and_then(|left| left.unsent.as_ref());
        unsent.filter(|_| self.is_blocked).map_or(0, Output::pinned_bytes)
    }

    /// Takes what the connection keeps out of the worker's count, at its end.
    pub fn forget_kept(&mut self, counters: &WorkerCounters) {
        if let Some(left) = self.left.take() {
            left.forget(counters);
        }
    }

    /// Ends a turn with work left over. Few replies wait for the next turn, so that a long pipeline is
    /// not answered in many small writes.
    fn yield_turn(&mut self, output: &mut Output, share: &mut Share, setting: Setting) -> Fate {
        if output.pending() < KEPT_OUTPUT_BYTES {
            return Fate::Again;
        }
        self.send(output, share, setting).fate().unwrap_or(Fate::Again)
    }

    /// Reads once, to behind the first `filled` bytes of `input`, or to where a long value lies. Returns how many
    /// bytes came to `input`. A read that gives less than was asked for has emptied the socket: the next event will
    /// tell of more, so none is made to hear that there is nothing.
    fn receive(
        &mut self,
        input: &mut [u8],
        filled: usize,
        share: &mut Share,
        setting: Setting,
    ) -> io::Result<usize> {
        let read = match self.receive_value(input, filled, share, setting) {
            Some(read) => read,
            None => {
                let mut into = &mut input[filled..];
                // TLS needs the room to decrypt.
                if self.session.is_outside(setting.daemon) && self.transport.fills_pieces() {
                    let bytes = LOGIN_BYTES.saturating_sub(filled).max(1).min(into.len());
                    into = &mut into[..bytes];
                }
                let room = into.len();
                self.transport.read(into).map(|bytes| Arrived { bytes, behind: bytes, is_all: bytes == room })
            }
        };
        if let Some(event) = self.transport.take_event() {
            self.note_tls(event, setting);
        }
        match read {
            Ok(Arrived { bytes: 0, .. }) => {
                self.is_readable = false;
                self.is_closing = true;
                Ok(0)
            }
            Ok(Arrived { bytes, behind, is_all }) => {
                setting.counters.bytes_read.add(bytes as u64);
                self.received_at = setting.now.seconds;
                share.read_bytes_left = share.read_bytes_left.saturating_sub(bytes);
                self.is_readable = self.transport.may_have_more(is_all) || self.is_read_closed;
                Ok(behind)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.is_readable = self.transport.may_have_more(false);
                if self.is_readable {
                    // Something came that is no data, of which there must be an end as well.
                    share.read_bytes_left = share.read_bytes_left.saturating_sub(TLS_RECORD_BYTES);
                }
                Ok(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Reads to where a long value lies, if one is expected and nothing that has come is before it.
    fn receive_value(
        &mut self,
        input: &mut [u8],
        filled: usize,
        share: &Share,
        setting: Setting,
    ) -> Option<io::Result<Arrived>> {
        if filled > 0 || self.session.missing_of_value() < DIRECT_BYTES_MIN || !self.transport.fills_pieces()
        {
            return None;
        }
        self.session.read_value(&mut self.transport, input, share.read_bytes_left, setting.now.seconds)
    }

    /// Writes until all has gone, the client takes no more or its share is used up; one write, as a rule.
    fn send(&mut self, output: &mut Output, share: &mut Share, setting: Setting) -> Sent {
        while output.pending() > 0 {
            if share.sent_bytes_left == 0 {
                self.is_blocked = false;
                return Sent::Enough;
            }
            match output.write_to(&mut self.transport, share.sent_bytes_left) {
                Ok(0) => break,
                Ok(bytes) => {
                    share.sent_bytes_left -= bytes;
                    setting.counters.bytes_written.add(bytes as u64);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Sent::Part;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if output.pending() > 0 {
            self.is_broken = true;
            return Sent::Failed;
        }
        // With TLS what was taken need not have gone.
        match self.transport.flush() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.is_blocked = true;
                return Sent::Part;
            }
            Err(_) => {
                self.is_broken = true;
                return Sent::Failed;
            }
        }
        self.is_blocked = false;
        Sent::All
    }
}
