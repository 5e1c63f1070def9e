//! The listener: one thread that accepts connections and hands each to the worker that has the fewest.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token};

use crate::base::rationed::Rationed;
use crate::config::Security;
use crate::protocol::memcached::{Address, Daemon, TOO_MANY_CONNECTIONS, Tag};

use super::lookout::Pulse;
use super::per_address::{PerAddress, TooMany};
use super::transport::{Newcomer, Transport, unix_address};
use super::worker::WorkerHandle;

/// The token of the waker; sockets have their place in the list.
pub(super) const WAKER: Token = Token(usize::MAX);
/// How long accepting pauses when the system has no descriptors or memory for another connection.
const EXHAUSTION_PAUSE: Duration = Duration::from_millis(20);
const EVENTS_MAX: usize = 64;

/// A socket that clients connect to.
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    fn accept(&self) -> io::Result<(Transport, Address)> {
        match self {
            Socket::Tcp(listener) => {
                listener.accept().map(|(stream, peer)| (Transport::Tcp(stream), Address::Tcp(peer)))
            }
            // Clients of a Unix socket have no name.
            Socket::Unix(listener) => {
                listener.accept().map(|(stream, _)| (Transport::Unix(stream), Address::Unknown))
            }
        }
    }

    /// Its descriptor.
    pub fn fd(&self) -> i32 {
        match self {
            Socket::Tcp(listener) => listener.as_raw_fd(),
            Socket::Unix(listener) => listener.as_raw_fd(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> Address {
        match self {
            Socket::Tcp(listener) => listener.local_addr().map_or(Address::Unknown, Address::Tcp),
            Socket::Unix(listener) => unix_address(listener.local_addr()),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(listener) => listener,
            Socket::Unix(listener) => listener,
        }
    }
}

/// A socket that listens.
pub(super) struct Listening {
    pub socket: Socket,
    /// The name by which its clients are counted, if `-l` gives it one.
    pub tag: Option<String>,
    /// Whether its clients speak TLS.
    pub security: Security,
}

/// A socket as the listener has it.
struct Entrance {
    socket: Socket,
    tag: Tag,
    security: Security,
    /// Where connections come in, if that is the same for all: not if it listens on every address.
    address: Option<Arc<Address>>,
    /// Whether it may have connections to accept.
    may_accept: bool,
}

impl Entrance {
    fn new(socket: Socket, tag: Tag, security: Security) -> Entrance {
        let address = match socket.address() {
            Address::Tcp(address) if address.ip().is_unspecified() => None,
            address => Some(Arc::new(address)),
        };
        Entrance { socket, tag, security, address, may_accept: false }
    }

    fn accept(&self) -> io::Result<Newcomer> {
        let (transport, peer) = self.socket.accept()?;
        let Entrance { tag, security, .. } = *self;
        Ok(Newcomer { transport, peer, tag, listen_address: self.address.clone(), security, place: None })
    }
}

/// Why no more connections are accepted for the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// The limit of connections is reached, and clients are to wait: until one closes.
    Limit,
    /// The system has nothing left for another connection: for a little while.
    Exhaustion,
}

/// See the module.
pub(super) struct Listener {
    poll: Poll,
    entrances: Vec<Entrance>,
    workers: Arc<[WorkerHandle]>,
    daemon: Arc<Daemon>,
    stop: Arc<AtomicBool>,
    pause: Option<Pause>,
    paused_at: Instant,
    per_address: PerAddress,
    pulse: Pulse,
    refusals: Rationed,
    exhaustions: Rationed,
}

/// Says why a client is turned away. One that cannot even take this line learns it from the close, as one does that
/// expects TLS.
fn refuse(newcomer: &mut Newcomer) {
    if newcomer.security == Security::Plain {
        let _ = newcomer.transport.write(TOO_MANY_CONNECTIONS);
    }
}

impl Listener {
    /// A listener on `sockets`. `poll` has its waker already.
    ///
    /// # Errors
    /// If the sockets cannot be watched.
    pub fn new(
        poll: Poll,
        sockets: Vec<Listening>,
        workers: Arc<[WorkerHandle]>,
        daemon: Arc<Daemon>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Listener> {
        let mut entrances = Vec::with_capacity(sockets.len());
        for (number, Listening { mut socket, tag, security }) in sockets.into_iter().enumerate() {
            poll.registry().register(socket.source(), Token(number), Interest::READABLE)?;
            let tag = daemon.tags.number_of(tag.as_deref());
            entrances.push(Entrance::new(socket, tag, security));
        }
        let paused_at = Instant::now();
        Ok(Listener {
            poll,
            entrances,
            workers,
            daemon,
            stop,
            pause: None,
            paused_at,
            per_address: PerAddress::default(),
            pulse: Pulse::default(),
            refusals: Rationed::default(),
            exhaustions: Rationed::default(),
        })
    }

    /// What tells that its loop turns.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Accepts until it is told to stop.
    ///
    /// # Errors
    /// If polling fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.stop.load(Relaxed) {
            let timeout = (self.pause == Some(Pause::Exhaustion)).then_some(EXHAUSTION_PAUSE);
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.pulse.beat();
            for event in &events {
                if let Some(entrance) = self.entrances.get_mut(event.token().0) {
                    entrance.may_accept = true;
                }
            }
            if self.pause == Some(Pause::Limit) && self.is_below_limit() {
                self.resume();
            }
            if self.pause != Some(Pause::Limit) {
                self.accept_all();
            }
        }
        Ok(())
    }

    fn is_below_limit(&self) -> bool {
        (self.daemon.connections.open.taken() as usize) < self.daemon.live.max_connections()
    }

    fn pause(&mut self, pause: Pause) {
        self.pause = Some(pause);
        self.paused_at = Instant::now();
        self.daemon.connections.listen_disabled.fetch_add(1, Relaxed);
        self.daemon.connections.open.wait();
    }

    fn resume(&mut self) {
        if self.pause.take().is_some() {
            let paused = self.paused_at.elapsed().as_micros() as u64;
            self.daemon.connections.listen_disabled_us.fetch_add(paused, Relaxed);
            self.daemon.connections.open.wait_no_more();
        }
    }

    /// Accepts on every socket that may have connections, until there are none or accepting pauses.
    fn accept_all(&mut self) {
        let mut number = 0;
        while number < self.entrances.len() {
            if !self.entrances[number].may_accept {
                number += 1;
                continue;
            }
            if !self.daemon.settings.max_connections_fast && !self.is_below_limit() {
                self.pause(Pause::Limit);
                self.tell_limit(None);
                // A place may have become free before the pause was known to the workers.
                if !self.is_below_limit() {
                    return;
                }
                self.resume();
            }
            match self.entrances[number].accept() {
                Ok(newcomer) => {
                    // It was possible again, if it was not before.
                    self.resume();
                    self.admit(newcomer);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.entrances[number].may_accept = false;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if self.pause.is_none() {
                        self.exhaustions.tell(self.daemon.clock.now().seconds, "times", |untold| {
                            log::warn!(
                                event = "connections_wait";
                                "cannot accept connections for the moment: {error}{untold}"
                            );
                        });
                        self.pause(Pause::Exhaustion);
                    }
                    return;
                }
            }
        }
    }

    /// Tells the log, now and then, that there are as many connections as may be, and that `peer` is turned away or
    /// whoever comes has to wait.
    fn tell_limit(&self, peer: Option<&Address>) {
        let limit = self.daemon.live.max_connections();
        self.refusals.tell(self.daemon.clock.now().seconds, "clients", |untold| match peer {
            Some(peer) => log::warn!(
                event = "connection_rejected", peer:% = peer;
                "{peer} is turned away: there are {limit} connections, as many as may be (-c){untold}"
            ),
            None => log::warn!(
                event = "connections_wait";
                "there are {limit} connections, as many as may be (-c): more have to wait{untold}"
            ),
        });
    }

    /// Hands a new connection to a worker, or turns it away at the limit.
    fn admit(&mut self, mut newcomer: Newcomer) {
        let connections = &self.daemon.connections;
        if !self.is_below_limit() {
            connections.rejected.fetch_add(1, Relaxed);
            self.tell_limit(Some(&newcomer.peer));
            refuse(&mut newcomer);
            return;
        }
        let limit = self.daemon.live.connections_per_address();
        match self.per_address.enter(&newcomer.peer, limit) {
            Ok(place) => newcomer.place = place,
            Err(TooMany) => {
                connections.rejected.fetch_add(1, Relaxed);
                connections.rejected_by_address.fetch_add(1, Relaxed);
                self.per_address.tell(&newcomer.peer, limit, self.daemon.clock.now().seconds);
                refuse(&mut newcomer);
                return;
            }
        }
        connections.open.take();
        connections.total.fetch_add(1, Relaxed);
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.connections()) else { return };
        if let Err(error) = worker.take(newcomer) {
            log::error!("cannot wake a worker: {error}");
        }
    }
}

/// Whether an error of `accept` is about the one connection that was to be accepted: the next may do.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
