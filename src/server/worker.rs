//! A worker: one thread with its own poll, its own connections and its own share of the partitions.
//!
//! It sleeps until something happens. Per wake-up it reads the clock once, lets each connection that has
//! an event take a turn, then those on the ready list: the ones that stopped because their share of a
//! turn was used up. Readiness is edge-triggered and would not be told again, so the list is the only
//! thing that remembers them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use crate::base::clock::Now;
use crate::protocol::memcached::Daemon;

use super::connection::{Buffers, Connection, Fate, Setting};
use super::transport::Transport;

/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 1024;
/// Upkeep is looked for this often; nothing else wakes an idle worker.
const UPKEEP_PERIOD: Duration = Duration::from_secs(1);
/// The pause before upkeep goes on that had more to do.
const UPKEEP_PAUSE: Duration = Duration::from_millis(10);
/// The token of the waker; connections have their place in the slab.
const WAKER: Token = Token(usize::MAX);

/// The outside of a worker: how connections are handed over and how it is woken. It must outlive the
/// worker's thread: a waker that is dropped takes a wake-up that was not seen yet with it.
pub(super) struct WorkerHandle {
    incoming: Sender<Transport>,
    waker: Waker,
    connections: Arc<AtomicUsize>,
}

impl WorkerHandle {
    /// Connections that this worker has, those on their way included.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Hands a connection over.
    pub fn take(&self, transport: Transport) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // The channel closes only when the worker has stopped, and then nobody wants the connection.
        let _ = self.incoming.send(transport);
        self.waker.wake()
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
    incoming: Receiver<Transport>,
    connections: Slab<Connection>,
    /// Shared with the handle: the length of `connections` and of the channel.
    connection_count: Arc<AtomicUsize>,
    ready: VecDeque<Token>,
    buffers: Buffers,
    daemon: Arc<Daemon>,
    now: Now,
    upkeep_done: Instant,
    /// The last upkeep had more to do than it may at a time.
    has_upkeep_left: bool,
    /// Wakes the listener when a place becomes free for which it waits.
    listener: Arc<Waker>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// A worker that is not running yet, and its handle.
    ///
    /// # Errors
    /// If the system gives no poll or waker.
    pub fn new(
        number: usize,
        daemon: Arc<Daemon>,
        listener: Arc<Waker>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<(Worker, WorkerHandle)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (sender, incoming) = unbounded();
        let connections = Arc::new(AtomicUsize::new(0));
        let handle = WorkerHandle { incoming: sender, waker, connections: connections.clone() };
        let now = daemon.clock.now();
        let worker = Worker {
            number,
            poll,
            incoming,
            connections: Slab::new(),
            connection_count: connections,
            ready: VecDeque::new(),
            buffers: Buffers::new(),
            now,
            upkeep_done: Instant::now(),
            has_upkeep_left: false,
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
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let timeout = match (self.ready.is_empty(), self.has_upkeep_left) {
                (false, _) => Duration::ZERO,
                (true, true) => UPKEEP_PAUSE,
                (true, false) => UPKEEP_PERIOD,
            };
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let instant = Instant::now();
            self.daemon.clock.refresh(&mut self.now, instant);
            let waiting = self.ready.len();
            let mut is_woken = false;
            for event in &events {
                if event.token() == WAKER {
                    is_woken = true;
                } else if self.connections.get_mut(event.token().0).is_some_and(|c| c.note(event)) {
                    self.turn(event.token());
                }
            }
            for _ in 0..waiting {
                if let Some(token) = self.ready.pop_front() {
                    self.turn_of_ready(token);
                }
            }
            // Last, so that no event of this round can mean a connection that took over a place.
            if is_woken {
                self.adopt();
            }
            let pause = if self.has_upkeep_left { UPKEEP_PAUSE } else { UPKEEP_PERIOD };
            if instant.saturating_duration_since(self.upkeep_done) >= pause {
                self.upkeep_done = instant;
                self.has_upkeep_left = self.daemon.store.upkeep(self.number, self.now.seconds);
            }
        }
    }

    /// Takes in the connections that the listener has handed over.
    fn adopt(&mut self) {
        while let Ok(transport) = self.incoming.try_recv() {
            let place = self.connections.vacant_entry();
            let token = Token(place.key());
            let connection = place.insert(Connection::new(transport));
            if log::log_enabled!(log::Level::Debug) {
                log::debug!("worker {} takes {}", self.number, connection.peer());
            }
            if let Err(error) = connection.transport_mut().register(self.poll.registry(), token) {
                log::warn!("cannot watch a connection: {error}");
                self.close(token);
            }
        }
    }

    fn turn_of_ready(&mut self, token: Token) {
        // Its place may be empty, or taken by a newer connection that is not in the list.
        match self.connections.get_mut(token.0) {
            Some(connection) if connection.is_in_ready_list => connection.is_in_ready_list = false,
            _ => return,
        }
        self.turn(token);
    }

    fn turn(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token.0) else { return };
        let counters = &self.daemon.workers[self.number];
        let setting = Setting { daemon: &self.daemon, counters, now: self.now };
        match connection.turn(&mut self.buffers, setting) {
            Fate::Wait => {}
            Fate::Again if connection.is_in_ready_list => {}
            Fate::Again => {
                connection.is_in_ready_list = true;
                self.ready.push_back(token);
            }
            Fate::Close => self.close(token),
        }
    }

    fn close(&mut self, token: Token) {
        let mut connection = self.connections.remove(token.0);
        connection.forget_kept(&self.daemon.workers[self.number]);
        if log::log_enabled!(log::Level::Debug) {
            log::debug!("worker {} closes {}", self.number, connection.peer());
        }
        drop(connection);
        self.connection_count.fetch_sub(1, Ordering::Relaxed);
        // In one order with the listener, which first says that it stops and then looks for a free place.
        self.daemon.connections.current.fetch_sub(1, Ordering::SeqCst);
        if self.daemon.connections.is_accepting_stopped.load(Ordering::SeqCst)
            && let Err(error) = self.listener.wake()
        {
            log::warn!("cannot wake the listener: {error}");
        }
    }
}
