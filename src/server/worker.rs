//! A worker: one thread with its own poll, its own connections and its own share of the partitions.
//!
//! It sleeps until something happens. Per wake-up it reads the clock once, lets each connection that has
//! an event take a turn, then those on the ready list: the ones that stopped because their share of a
//! turn was used up. Readiness is edge-triggered and would not be told again, so the list is the only
//! thing that remembers them.

mod handshakes;
mod silence;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use mio::event::Event;
use mio::net::UdpSocket;
use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use crate::base::clock::{Now, Seconds};
use crate::base::handover::Bell;
use crate::config::Security;
use crate::protocol::memcached::{CloseReason, Daemon};

use super::complaints::Complaints;
use super::connection::{Buffers, Connection, Fate, Setting};
use super::held::Held;
use super::host::WorkerThread;
use super::lookout::Pulse;
use super::pace::{Client, Pace};
use super::tls::Certificates;
use super::transport::Newcomer;
use super::udp::UdpEndpoint;
use handshakes::Handshakes;

/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 1024;
/// Connections of a crowd taken in before those who are connected have their turns again.
const ADOPTED_PER_ROUND: usize = 64;
/// Upkeep is looked for this often; nothing else wakes an idle worker.
const UPKEEP_PERIOD: Duration = Duration::from_secs(1);
/// The pause before upkeep goes on that had more to do, some times what a call of it takes.
const UPKEEP_PAUSE: Duration = Duration::from_millis(1);
/// An idle worker tells its watchers of what has happened this often.
const WATCH_PERIOD: Duration = Duration::from_millis(10);
/// A busy one does this often.
const WATCH_PAUSE: Duration = Duration::from_millis(1);
/// So many turns must have passed since the last short one before turns are long.
const TURNS_BEFORE_LONG_ONES: u32 = 250;
/// Connections closed in a second for the values that they pin: closing takes some microseconds each.
const PINNING_CLOSED_MAX: usize = 1000;
/// The token of the waker; connections have their place in the slab.
const WAKER: Token = Token(usize::MAX);
/// The token of the first UDP socket. There will never be so many connections.
const FIRST_UDP: usize = usize::MAX / 2;

/// The outside of a worker: how connections are handed over and how it is woken. It must outlive the
/// worker's thread: a waker that is dropped takes a wake-up that was not seen yet with it.
pub(super) struct WorkerHandle {
    incoming: Sender<Newcomer>,
    waker: Waker,
    bell: Arc<Bell>,
    connections: Arc<AtomicUsize>,
    pulse: Pulse,
}

impl WorkerHandle {
    /// Whether its loop turns.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Connections that this worker has, those on their way included.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Hands a connection over.
    pub fn take(&self, newcomer: Newcomer) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // The channel closes only when the worker has stopped, and then nobody wants the connection.
        let _ = self.incoming.send(newcomer);
        // A crowd costs no wake-up for each. If waking fails the next is to try again.
        if self.bell.ring() { self.waker.wake().inspect_err(|_| _ = self.bell.answer()) } else { Ok(()) }
    }

    /// Makes the worker look whether it is to stop.
    pub fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }
}

/// See the module.
pub(super) struct Worker {
    number: usize,
    poll: Poll,
    incoming: Receiver<Newcomer>,
    /// Shared with the handle.
    bell: Arc<Bell>,
    /// Likewise.
    pulse: Pulse,
    /// More has come in than was adopted in one round.
    has_newcomers: bool,
    /// Boxed, so that a slab that grows does not copy them all.
    connections: Slab<Box<Connection>>,
    udp: Vec<UdpEndpoint>,
    /// Shared with the handle: the length of `connections` and of the channel.
    connection_count: Arc<AtomicUsize>,
    ready: VecDeque<Token>,
    /// Connections whose clients watch.
    watching: Vec<Token>,
    watchers_told: Instant,
    /// Connections that wait for the outcome of a login.
    logins: Vec<Token>,
    /// When they were last looked at.
    logins_looked_at: Seconds,
    /// Passwords have been compared since.
    has_verdicts: bool,
    /// When idle connections were last looked for.
    idle_looked_for: Seconds,
    /// Those that were found then and are still to be closed.
    idle: Vec<Token>,
    /// When the first of those that have not logged in is late with it, at the earliest.
    logins_due: Seconds,
    buffers: Buffers,
    held: Held,
    /// Turns since the last one that was short.
    turns_since_short: u32,
    complaints: Complaints,
    /// `None` without TLS.
    certificates: Option<Arc<Certificates>>,
    handshakes: Handshakes,
    daemon: Arc<Daemon>,
    now: Now,
    /// When it woke up for this round.
    woken: Instant,
    pace: Pace,
    upkeep_done: Instant,
    /// How long after that it comes next: soon, if there was more to do than it may at a time.
    upkeep_pause: Duration,
    /// Wakes the listener when a place becomes free for which it waits.
    listener: Arc<Waker>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// A worker that is not running yet and will answer on the sockets `udp`, and its handle.
    ///
    /// # Errors
    /// If the system gives no poll or waker, or does not let it watch the sockets.
    pub fn new(
        number: usize,
        udp: Vec<(UdpSocket, Option<String>)>,
        daemon: Arc<Daemon>,
        certificates: Option<Arc<Certificates>>,
        listener: Arc<Waker>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<(Worker, WorkerHandle)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (sender, incoming) = unbounded();
        let connections = Arc::new(AtomicUsize::new(0));
        let bell = Arc::new(Bell::default());
        let handle = WorkerHandle {
            incoming: sender,
            waker,
            bell: bell.clone(),
            connections: connections.clone(),
            pulse: Pulse::default(),
        };
        let (now, started) = (daemon.clock.now(), Instant::now());
        let endpoint = |(socket, tag): (_, Option<String>)| {
            UdpEndpoint::new(socket, daemon.tags.number_of(tag.as_deref()), number, now.seconds)
        };
        let mut udp: Vec<_> = udp.into_iter().map(endpoint).collect();
        for (number, endpoint) in udp.iter_mut().enumerate() {
            endpoint.register(poll.registry(), Token(FIRST_UDP + number))?;
            daemon.registry.enter(endpoint.info().clone());
        }
        let worker = Worker {
            number,
            poll,
            incoming,
            bell,
            pulse: handle.pulse.clone(),
            has_newcomers: false,
            connections: Slab::new(),
            udp,
            connection_count: connections,
            ready: VecDeque::new(),
            watching: Vec::new(),
            watchers_told: started,
            logins: Vec::new(),
            logins_looked_at: now.seconds,
            has_verdicts: false,
            idle_looked_for: now.seconds,
            idle: Vec::new(),
            logins_due: now.seconds,
            buffers: Buffers::new(),
            complaints: Complaints::default(),
            certificates,
            handshakes: Handshakes::default(),
            held: Held::new(daemon.settings.read_buf_mem_limit, daemon.settings.threads),
            turns_since_short: 0,
            now,
            woken: started,
            pace: Pace::new(started),
            upkeep_done: started,
            upkeep_pause: UPKEEP_PERIOD,
            daemon,
            listener,
            stop,
        };
        Ok((worker, handle))
    }

    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// If polling fails.
    pub fn run(mut self, thread: &WorkerThread) -> io::Result<()> {
        thread.note();
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            match self.poll.poll(&mut events, Some(self.patience())) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.pulse.beat();
            let instant = Instant::now();
            self.woken = instant;
            self.pace.begin_round(instant);
            self.daemon.clock.refresh(&mut self.now, instant);
            let waiting = self.ready.len();
            self.handshakes.begin_round();
            for event in &events {
                if event.token() == WAKER {
                    // From here on the listener wakes it again.
                    self.has_newcomers |= self.bell.answer();
                    self.has_verdicts = true;
                } else {
                    self.note(event);
                }
            }
            for _ in 0..waiting {
                if let Some(token) = self.ready.pop_front() {
                    self.turn_of_ready(token);
                }
            }
            self.go_on_with_handshakes();
            if !self.logins.is_empty() && (self.has_verdicts || self.logins_looked_at != self.now.seconds) {
                self.go_on_with_logins();
            }
            self.look_at_pace();
            // Last, so that no event of this round can mean a connection that took over a place.
            if self.has_newcomers {
                self.adopt();
            }
            if !self.watching.is_empty()
                && instant.saturating_duration_since(self.watchers_told) >= WATCH_PAUSE
            {
                self.watchers_told = instant;
                self.tell_watchers();
            }
            self.close_idle();
            self.close_pinning();
            self.close_slow_handshakes();
            if instant.saturating_duration_since(self.upkeep_done) >= self.upkeep_pause {
                self.upkeep_done = instant;
                self.upkeep_pause = self.upkeep();
            }
        }
    }

    /// How long to wait for events.
    fn patience(&self) -> Duration {
        let has_work = !self.ready.is_empty() || self.handshakes.has_waiting();
        if has_work || self.has_newcomers || !self.idle.is_empty() {
            Duration::ZERO
        } else if !self.watching.is_empty() {
            WATCH_PERIOD.min(self.upkeep_pause)
        } else {
            self.upkeep_pause
        }
    }

    /// Does some of what goes on behind the requests; returns how long to wait before more of it.
    fn upkeep(&self) -> Duration {
        let (store, now) = (&self.daemon.store, self.now.seconds);
        if store.upkeep(self.number, now) {
            UPKEEP_PAUSE
        } else if store.crawl_slice(self.number, now) {
            self.daemon.crawler_pause().clamp(UPKEEP_PAUSE, UPKEEP_PERIOD)
        } else {
            UPKEEP_PERIOD
        }
    }

    /// Takes in the connections that the listener has handed over, of a crowd some: those who are connected
    /// do not wait for all of it.
    fn adopt(&mut self) {
        for _ in 0..ADOPTED_PER_ROUND {
            let Ok(newcomer) = self.incoming.try_recv() else {
                self.has_newcomers = false;
                return;
            };
            let Some(newcomer) = self.secured(newcomer) else { continue };
            let place = self.connections.vacant_entry();
            let token = Token(place.key());
            let connection = place.insert(Box::new(Connection::new(newcomer, self.number, self.now.seconds)));
            if connection.is_handshaking() {
                self.handshakes.begin(token, self.now.seconds);
            }
            self.daemon.note_connected(connection.info());
            self.daemon.counters(self.number, connection.info().tag).count_connected();
            log::debug!("worker {} takes {}", self.number, connection.info().address);
            if let Err(error) = connection.register(self.poll.registry(), token) {
                log::warn!("cannot watch a connection: {error}");
                self.close(token, CloseReason::Error);
            }
        }
    }

    /// Lets those go on whose login has an outcome.
    fn go_on_with_logins(&mut self) {
        (self.has_verdicts, self.logins_looked_at) = (false, self.now.seconds);
        for token in std::mem::take(&mut self.logins) {
            match self.connections.get_mut(token.0) {
                Some(connection) if connection.may_go_on(self.now.seconds) => {
                    connection.is_in_login_list = false;
                    self.turn(token);
                }
                Some(_) => self.logins.push(token),
                None => {}
            }
        }
    }

    /// A newcomer with TLS around its stream, if that is spoken where it came in. `None` if it cannot be.
    fn secured(&self, newcomer: Newcomer) -> Option<Newcomer> {
        if newcomer.security == Security::Plain {
            return Some(newcomer);
        }
        let config =
            self.certificates.as_ref().and_then(|certificates| certificates.config(newcomer.security));
        let secured = config.and_then(|config| newcomer.secured(config));
        if secured.is_none() {
            self.count_gone();
        }
        secured
    }

    /// Whether a connection has to wait with the next step of its TLS handshake, for those of others and their turns.
    fn postpones(&mut self, token: Token) -> bool {
        let Some(connection) = self.connections.get_mut(token.0) else { return false };
        if !connection.is_handshaking() || self.handshakes.may_step() {
            return false;
        }
        if !std::mem::replace(&mut connection.is_in_ready_list, true) {
            self.handshakes.wait(token);
        }
        true
    }

    /// Takes the steps of this round that are left for handshakes that wait.
    fn go_on_with_handshakes(&mut self) {
        while let Some(token) = self.handshakes.next() {
            if self.leaves_ready_list(token) && self.handshakes.take_step() {
                self.turn(token);
            }
        }
    }

    /// Lets those that watch have what there is to tell.
    fn tell_watchers(&mut self) {
        for at in (0..self.watching.len()).rev() {
            let token = self.watching[at];
            if self.connections.get(token.0).is_some_and(|connection| connection.has_lines()) {
                self.turn(token);
            }
        }
    }

    /// Whatever an event is of has a turn, if it calls for one.
    fn note(&mut self, event: &Event) {
        let token = event.token();
        if let Some(number) = udp_number(token) {
            if self.udp.get_mut(number).is_some_and(UdpEndpoint::note) {
                self.turn_of_udp(number);
            }
        } else if self.connections.get_mut(token.0).is_some_and(|connection| connection.note(event))
            && !self.postpones(token)
        {
            self.turn(token);
        }
    }

    fn turn_of_udp(&mut self, number: usize) {
        let Some(endpoint) = self.udp.get_mut(number) else { return };
        let counters = self.daemon.counters(self.number, endpoint.info().tag);
        let complaints = &self.complaints;
        let setting = Setting {
            daemon: &self.daemon,
            counters,
            now: self.now,
            woken: self.woken,
            timing: self.daemon.timing(self.number),
            seen: self.pace.begin_turn(),
            turns_are_long: false,
            complaints,
        };
        self.turns_since_short = 0;
        endpoint.is_in_ready_list = endpoint.turn(&mut self.buffers, setting) == Fate::Again;
        let token = Token(FIRST_UDP + number);
        if endpoint.is_in_ready_list {
            self.ready.push_back(token);
        }
        self.end_turn(token);
    }

    fn turn_of_ready(&mut self, token: Token) {
        if let Some(number) = udp_number(token) {
            return self.turn_of_udp(number);
        }
        if self.leaves_ready_list(token) && !self.postpones(token) {
            self.turn(token);
        }
    }

    /// Whether the connection that this token was in a list for is there: its place may be empty, or taken by a newer one
    /// that is in no list.
    fn leaves_ready_list(&mut self, token: Token) -> bool {
        let connection = self.connections.get_mut(token.0);
        connection.is_some_and(|connection| std::mem::take(&mut connection.is_in_ready_list))
    }

    fn turn(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token.0) else { return };
        let counters = self.daemon.counters(self.number, connection.info().tag);
        let turns_are_long = self.turns_since_short >= TURNS_BEFORE_LONG_ONES;
        let complaints = &self.complaints;
        let setting = Setting {
            daemon: &self.daemon,
            counters,
            now: self.now,
            woken: self.woken,
            timing: self.daemon.timing(self.number),
            seen: self.pace.begin_turn(),
            turns_are_long,
            complaints,
        };
        let held_before = connection.held_bytes();
        let mut fate = connection.turn(&mut self.buffers, setting);
        if let Err(error) = connection.await_room(self.poll.registry(), token) {
            log::warn!("cannot watch a connection: {error}");
            fate = Fate::Close;
        }
        self.turns_since_short =
            if connection.had_short_turn { 0 } else { self.turns_since_short.saturating_add(1) };
        self.held.change(held_before, connection.held_bytes());
        if connection.watches() && !connection.is_in_watch_list {
            connection.is_in_watch_list = true;
            self.watching.push(token);
        }
        match fate {
            Fate::Wait => {}
            Fate::Login if connection.is_in_login_list => {}
            Fate::Login => {
                connection.is_in_login_list = true;
                self.logins.push(token);
            }
            Fate::Again if connection.is_in_ready_list => {}
            Fate::Again => {
                connection.is_in_ready_list = true;
                self.ready.push_back(token);
            }
            Fate::Close => {
                let reason = connection.close_reason();
                self.close(token, reason);
            }
        }
        if self.held.is_too_much() {
            self.close_greediest();
        }
        self.end_turn(token);
    }

    fn end_turn(&mut self, token: Token) {
        if self.pace.end_turn(token) {
            self.look_at_pace();
        }
    }

    /// Finds out whether the turns since the last look have taken long.
    fn look_at_pace(&mut self) {
        let (connections, udp) = (&self.connections, &self.udp);
        self.pace.look(&self.daemon, self.daemon.timing(self.number), |token| match udp_number(token) {
            Some(number) => udp.get(number).map_or(Client::Gone, Client::Udp),
            None => connections.get(token.0).map_or(Client::Gone, |found| Client::Connection(found)),
        });
    }

    /// Closes the connection that holds most because its client does not take its replies.
    fn close_greediest(&mut self) {
        let held = self.connections.iter().map(|(place, connection)| (connection.held_bytes(), place));
        let Some((bytes, place)) = held.max() else { return };
        let Some(connection) = self.connections.get(place) else { return };
        self.held.tell(&connection.info().address, bytes, self.now.seconds);
        self.kick(place);
    }

    /// Once a second, closes those that keep more than may be of values that the cache has no use for any more.
    fn close_pinning(&mut self) {
        if !self.held.looks_for_pinned(self.now.seconds) {
            return;
        }
        let Some(allowed) = self.daemon.store.pinned_bytes_allowed() else { return };
        let pinned = self.connections.iter().map(|(place, one)| (one.pinned_bytes(), place));
        let mut pinned: Vec<(usize, usize)> = pinned.filter(|&(bytes, _)| bytes > 0).collect();
        let mut sum: usize = pinned.iter().map(|(bytes, _)| bytes).sum();
        pinned.sort_unstable_by(|one, other| other.cmp(one));
        for (bytes, place) in pinned.into_iter().take(PINNING_CLOSED_MAX) {
            if sum <= allowed {
                return;
            }
            self.held.tell_of_pinned(&self.connections[place].info().address, bytes, self.now.seconds);
            self.kick(place);
            sum -= bytes;
        }
    }

    /// Closes a connection for the memory that it takes.
    fn kick(&mut self, place: usize) {
        let tag = self.connections[place].info().tag;
        self.daemon.counters(self.number, tag).unsent_kicks.add(1);
        self.close(Token(place), CloseReason::Error);
    }

    fn close(&mut self, token: Token, reason: CloseReason) {
        let mut connection = self.connections.remove(token.0);
        self.handshakes.forget(token);
        if connection.is_in_watch_list {
            self.watching.retain(|&other| other != token);
        }
        if connection.is_in_login_list {
            // Its place may be taken by one that waits as well, and would be in the list twice.
            self.logins.retain(|&other| other != token);
        }
        self.daemon.note_closed(connection.info(), reason);
        self.held.change(connection.held_bytes(), 0);
        let counters = self.daemon.counters(self.number, connection.info().tag);
        connection.forget_kept(counters);
        counters.count_closed();
        log::debug!("worker {} closes {}", self.number, connection.info().address);
        drop(connection);
        self.count_gone();
    }

    /// A connection that the listener has handed over is gone.
    fn count_gone(&self) {
        self.connection_count.fetch_sub(1, Ordering::Relaxed);
        if self.daemon.connections.open.give_up()
            && let Err(error) = self.listener.wake()
        {
            log::warn!("cannot wake the listener: {error}");
        }
    }
}

/// Which UDP socket a token is of; `None` for a connection's.
fn udp_number(token: Token) -> Option<usize> {
    token.0.checked_sub(FIRST_UDP)
}
