//! The listener: one thread that accepts connections and hands each to the worker that has the fewest.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token};

use crate::protocol::memcached::{Daemon, TOO_MANY_CONNECTIONS};

use super::transport::Transport;
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
    fn accept(&self) -> io::Result<Transport> {
        match self {
            Socket::Tcp(listener) => listener.accept().map(|(stream, _)| Transport::Tcp(stream)),
            Socket::Unix(listener) => listener.accept().map(|(stream, _)| Transport::Unix(stream)),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(listener) => listener,
            Socket::Unix(listener) => listener,
        }
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
    /// With each socket, whether it may have connections to accept.
    sockets: Vec<(Socket, bool)>,
    workers: Arc<[WorkerHandle]>,
    daemon: Arc<Daemon>,
    stop: Arc<AtomicBool>,
    pause: Option<Pause>,
    paused_at: Instant,
}

impl Listener {
    /// A listener on `sockets`. `poll` has its waker already.
    ///
    /// # Errors
    /// If the sockets cannot be watched.
    pub fn new(
        poll: Poll,
        mut sockets: Vec<Socket>,
        workers: Arc<[WorkerHandle]>,
        daemon: Arc<Daemon>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Listener> {
        for (number, socket) in sockets.iter_mut().enumerate() {
            poll.registry().register(socket.source(), Token(number), Interest::READABLE)?;
        }
        let sockets = sockets.into_iter().map(|socket| (socket, false)).collect();
        Ok(Listener { poll, sockets, workers, daemon, stop, pause: None, paused_at: Instant::now() })
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
            for event in &events {
                if let Some((_, may_accept)) = self.sockets.get_mut(event.token().0) {
                    *may_accept = true;
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
        (self.daemon.connections.current.load(SeqCst) as usize) < self.daemon.settings.max_connections
    }

    fn pause(&mut self, pause: Pause) {
        self.pause = Some(pause);
        self.paused_at = Instant::now();
        self.daemon.connections.listen_disabled.fetch_add(1, Relaxed);
        self.daemon.connections.is_accepting_stopped.store(true, SeqCst);
    }

    fn resume(&mut self) {
        if self.pause.take().is_some() {
            let paused = self.paused_at.elapsed().as_micros() as u64;
            self.daemon.connections.listen_disabled_us.fetch_add(paused, Relaxed);
            self.daemon.connections.is_accepting_stopped.store(false, SeqCst);
        }
    }

    /// Accepts on every socket that may have connections, until there are none or accepting pauses.
    fn accept_all(&mut self) {
        let mut number = 0;
        while number < self.sockets.len() {
            if !self.sockets[number].1 {
                number += 1;
                continue;
            }
            if !self.daemon.settings.max_connections_fast && !self.is_below_limit() {
                self.pause(Pause::Limit);
                // A place may have become free before the pause was known to the workers.
                if !self.is_below_limit() {
                    return;
                }
                self.resume();
            }
            match self.sockets[number].0.accept() {
                Ok(transport) => {
                    // It was possible again, if it was not before.
                    self.resume();
                    self.admit(transport);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.sockets[number].1 = false,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if self.pause.is_none() {
                        log::warn!("cannot accept connections for the moment: {error}");
                        self.pause(Pause::Exhaustion);
                    }
                    return;
                }
            }
        }
    }

    /// Hands a new connection to a worker, or turns it away at the limit.
    fn admit(&mut self, mut transport: Transport) {
        let connections = &self.daemon.connections;
        if !self.is_below_limit() {
            connections.rejected.fetch_add(1, Relaxed);
            log::debug!("too many connections: {} is turned away", transport.peer());
            // A client that cannot even take this line learns it from the close.
            let _ = transport.write(TOO_MANY_CONNECTIONS);
            return;
        }
        connections.current.fetch_add(1, SeqCst);
        connections.total.fetch_add(1, Relaxed);
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.connections()) else { return };
        if let Err(error) = worker.take(transport) {
            log::error!("cannot wake a worker: {error}");
        }
    }
}

/// Whether an error of `accept` is about the one connection that was to be accepted: the next may do.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}
