//! Finds out whether a worker was slow with what its clients asked, for the slow log, without a look at the clock for
//! each request or turn: one in [`TURNS_PER_LOOK`] turns, and one at the end of a round.
//!
//! Of the turns since the last look a little is kept, to tell of them if that is long ago.

use std::cell::Cell;
use std::time::Instant;

use mio::Token;

use crate::protocol::memcached::{Daemon, SlowBatch, Timing};

use super::connection::Connection;
use super::udp::UdpEndpoint;

/// Turns from one look at the clock to the next, at most.
const TURNS_PER_LOOK: usize = 8;
/// Bytes that are kept of the line of a turn's first command. A constant number is copied at hardly any cost.
const HEAD_BYTES: usize = 64;

/// What is kept of one turn.
#[derive(Debug)]
pub(super) struct Seen {
    token: Cell<Token>,
    /// Commands that it took, as turns count them.
    commands: Cell<usize>,
    bytes_in: Cell<usize>,
    bytes_out: Cell<usize>,
    head: Cell<[u8; HEAD_BYTES]>,
    /// `head_bytes <= HEAD_BYTES`; 0 if the turn did not begin with a command.
    head_bytes: Cell<usize>,
}

impl Seen {
    fn new() -> Seen {
        Seen {
            token: Cell::new(Token(0)),
            commands: Cell::new(0),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            head: Cell::new([0; HEAD_BYTES]),
            head_bytes: Cell::new(0),
        }
    }

    /// Commands are served from the beginning of `input`, of which `filled` bytes have been received. The first of a
    /// turn are kept. The caller knows that no value is expected there, nor a login, whose password is nobody's
    /// business.
    #[inline]
    pub fn note_commands(&self, input: &[u8], filled: usize) {
        if self.head_bytes.get() > 0 {
            return;
        }
        match input.first_chunk() {
            Some(head) => self.head.set(*head),
            None => {
                let mut head = [0; HEAD_BYTES];
                head[..input.len()].copy_from_slice(input);
                self.head.set(head);
            }
        }
        self.head_bytes.set(filled.min(HEAD_BYTES));
    }

    /// The turn is over.
    #[inline]
    pub fn note_end(&self, commands: usize, bytes_in: usize, bytes_out: usize) {
        self.commands.set(commands);
        self.bytes_in.set(bytes_in);
        self.bytes_out.set(bytes_out);
    }

    fn bytes(&self) -> usize {
        self.bytes_in.get() + self.bytes_out.get()
    }
}

/// Whose turn it was.
pub(super) enum Client<'a> {
    Connection(&'a Connection),
    Udp(&'a UdpEndpoint),
    /// Closed meanwhile.
    Gone,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the clock was last looked at.
    looked_at: Instant,
    /// The turns since then are the first `turns` of it.
    seen: [Seen; TURNS_PER_LOOK],
    turns: usize,
}

impl Pace {
    pub fn new(now: Instant) -> Pace {
        Pace { looked_at: now, seen: std::array::from_fn(|_| Seen::new()), turns: 0 }
    }

    /// A round begins, for which the worker has woken up at `now`.
    pub fn begin_round(&mut self, now: Instant) {
        (self.looked_at, self.turns) = (now, 0);
    }

    /// What is to be kept of the turn that begins.
    #[inline]
    pub fn begin_turn(&self) -> &Seen {
        let seen = &self.seen[self.turns % TURNS_PER_LOOK];
        seen.head_bytes.set(0);
        seen
    }

    /// That turn is over. Whether the clock is to be looked at.
    #[inline]
    pub fn end_turn(&mut self, token: Token) -> bool {
        self.seen[self.turns % TURNS_PER_LOOK].token.set(token);
        self.turns += 1;
        self.turns >= TURNS_PER_LOOK
    }

    /// Looks at the clock; what took long goes to the slow log.
    pub fn look<'a>(&mut self, daemon: &Daemon, timing: &Timing, client: impl Fn(Token) -> Client<'a>) {
        let turns = std::mem::take(&mut self.turns);
        if turns == 0 || !daemon.slow_log.is_on() {
            return;
        }
        let now = Instant::now();
        let time = now.saturating_duration_since(std::mem::replace(&mut self.looked_at, now));
        if daemon.slow_log.wants(time) {
            self.tell(&self.seen[..turns], time.saturating_sub(timing.take_named()), daemon, timing, client);
        }
    }

    #[cold]
    fn tell<'a>(
        &self,
        turns: &[Seen],
        time: std::time::Duration,
        daemon: &Daemon,
        timing: &Timing,
        client: impl Fn(Token) -> Client<'a>,
    ) {
        if !daemon.slow_log.wants(time) {
            return;
        }
        timing.look_closely();
        // The first of those that moved most.
        let Some(shown) = turns.iter().rev().max_by_key(|seen| seen.bytes()) else { return };
        let mut tokens: Vec<usize> = turns.iter().map(|seen| seen.token.get().0).collect();
        tokens.sort_unstable();
        tokens.dedup();
        let head = shown.head.get();
        let mut line = &head[..shown.head_bytes.get()];
        let (address, user) = match client(shown.token.get()) {
            Client::Connection(connection) => {
                if line.is_empty() {
                    line = connection.session().timed_line().unwrap_or_default();
                }
                (Some(&connection.info().address), connection.session().user_name())
            }
            Client::Udp(endpoint) => (Some(&endpoint.info().address), None),
            Client::Gone => (None, None),
        };
        daemon.slow_log.enter(SlowBatch {
            time,
            commands: turns.iter().map(|seen| seen.commands.get() as u64).sum(),
            clients: tokens.len() as u64,
            line,
            is_line_cut: true,
            address,
            user,
            bytes_in: shown.bytes_in.get() as u64,
            bytes_out: shown.bytes_out.get() as u64,
        });
    }
}
