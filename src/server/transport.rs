//! The byte stream to one client, whatever carries it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::SocketAddr;
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::base::clock::Seconds;
use crate::config::Security;
use crate::protocol::memcached::{Address, ConnectionInfo, Tag};

use super::per_address::Place;
use super::tls::{Event, TlsConfig, TlsStream};

/// The path of a Unix socket.
pub(super) fn unix_address(address: io::Result<SocketAddr>) -> Address {
    let path = address.ok().and_then(|address| Some(address.as_pathname()?.into()));
    path.map_or(Address::Unknown, Address::Unix)
}

/// What an event says of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    pub is_readable: bool,
    /// The client has ended its side, or the connection is broken.
    pub is_read_closed: bool,
    pub is_writable: bool,
    /// The connection is broken: nobody waits at its other end.
    pub is_broken: bool,
}

impl From<&mio::event::Event> for Readiness {
    fn from(event: &mio::event::Event) -> Readiness {
        Readiness {
            is_readable: event.is_readable(),
            is_read_closed: event.is_read_closed() || event.is_error(),
            is_writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            is_broken: event.is_error(),
        }
    }
}

/// A connected stream that never blocks.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
    #[cfg(test)]
    Faulty(super::faulty::Faulty),
}

impl Transport {
    fn fd(&self) -> i32 {
        match self {
            Transport::Tcp(stream) => stream.as_raw_fd(),
            Transport::Unix(stream) => stream.as_raw_fd(),
            Transport::Tls(stream) => stream.socket.as_raw_fd(),
            #[cfg(test)]
            Transport::Faulty(_) => -1,
        }
    }

    /// The daemon's own end. Asks the system.
    fn local_address(&self) -> Address {
        match self {
            Transport::Tcp(stream) => stream.local_addr().map_or(Address::Unknown, Address::Tcp),
            Transport::Unix(stream) => unix_address(stream.local_addr()),
            Transport::Tls(stream) => stream.socket.local_addr().map_or(Address::Unknown, Address::Tcp),
            #[cfg(test)]
            Transport::Faulty(_) => Address::Unknown,
        }
    }

    /// Whether one vectored read fills all pieces that there are bytes for, so that one that brings less has emptied
    /// the stream.
    pub fn fills_pieces(&self) -> bool {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => true,
            Transport::Tls(_) => false,
            #[cfg(test)]
            Transport::Faulty(_) => true,
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Transport::Tcp(stream) => stream,
            Transport::Unix(stream) => stream,
            Transport::Tls(stream) => &mut stream.socket,
            #[cfg(test)]
            Transport::Faulty(stream) => stream,
        }
    }

    /// Asks for the events that there is something to read.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE)
    }

    /// Asks for those that there is room to write as well, from now on: events are edge-triggered, so what is not
    /// waited for costs nothing. If there is room already, an event tells so.
    pub fn await_room(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.reregister(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether it goes over a network.
    pub fn is_remote(&self) -> bool {
        !matches!(self, Transport::Unix(_))
    }

    /// Whether a handshake is still to be done.
    #[inline]
    pub fn is_handshaking(&self) -> bool {
        matches!(self, Transport::Tls(stream) if stream.is_handshaking())
    }

    /// What has become of TLS since it was last asked.
    #[inline]
    pub fn take_event(&mut self) -> Option<Event> {
        match self {
            Transport::Tls(stream) => stream.take_event(),
            Transport::Tcp(_) | Transport::Unix(_) => None,
            #[cfg(test)]
            Transport::Faulty(_) => None,
        }
    }

    /// Whether a read may have left bytes of which no event will tell. One that does not give all that was asked for
    /// has emptied a socket.
    #[inline]
    pub fn may_have_more(&self, gave_all: bool) -> bool {
        match self {
            Transport::Tls(stream) => stream.may_have_more(),
            Transport::Tcp(_) | Transport::Unix(_) => gave_all,
            #[cfg(test)]
            Transport::Faulty(_) => gave_all,
        }
    }

    /// Bytes that were written and that it keeps because the client does not take them.
    #[inline]
    pub fn kept_bytes(&self) -> usize {
        match self {
            Transport::Tls(stream) => stream.sealed_bytes(),
            Transport::Tcp(_) | Transport::Unix(_) => 0,
            #[cfg(test)]
            Transport::Faulty(_) => 0,
        }
    }
}

/// A connection on its way from the listener to its worker, with all that accepting has told of it.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub transport: Transport,
    /// The client's address.
    pub peer: Address,
    /// That of the socket where it came in.
    pub tag: Tag,
    /// Likewise: what the worker still has to make of the stream.
    pub security: Security,
    /// Where it came in, if that is known: all connections of a socket with one address share it.
    pub listen_address: Option<Arc<Address>>,
    /// Its share of what its address may have, if that is limited.
    pub place: Option<Box<Place>>,
}

impl Newcomer {
    /// The same with TLS around its stream. `None`, and a line in the log, if it cannot be.
    pub fn secured(self, config: TlsConfig) -> Option<Newcomer> {
        let Transport::Tcp(socket) = self.transport else { return None };
        match TlsStream::new(socket, config) {
            Ok(stream) => Some(Newcomer { transport: Transport::Tls(Box::new(stream)), ..self }),
            Err(error) => {
                log::error!("no TLS for {}: {error}", self.peer);
                None
            }
        }
    }

    /// The stream, and what is known of it for lists and logs.
    pub fn welcome(self, worker: usize, now: Seconds) -> (Transport, ConnectionInfo) {
        let Newcomer { transport, peer, tag, listen_address, security: _, place: _ } = self;
        let listen_address = listen_address.unwrap_or_else(|| Arc::new(transport.local_address()));
        let info = ConnectionInfo::new(transport.fd(), peer, Some(listen_address), tag, now);
        (transport, info.of_worker(worker))
    }
}

impl Read for Transport {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.read(bytes),
            Transport::Unix(stream) => stream.read(bytes),
            Transport::Tls(stream) => stream.read(bytes),
            #[cfg(test)]
            Transport::Faulty(stream) => stream.read(bytes),
        }
    }

    fn read_vectored(&mut self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.read_vectored(pieces),
            Transport::Unix(stream) => stream.read_vectored(pieces),
            // Only the first piece is filled, see `fills_pieces`.
            Transport::Tls(stream) => match pieces.first_mut() {
                Some(piece) => stream.read(piece),
                None => Ok(0),
            },
            #[cfg(test)]
            Transport::Faulty(stream) => stream.read_vectored(pieces),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.write(bytes),
            Transport::Unix(stream) => stream.write(bytes),
            Transport::Tls(stream) => stream.write(bytes),
            #[cfg(test)]
            Transport::Faulty(stream) => stream.write_vectored(&[IoSlice::new(bytes)]),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.write_vectored(slices),
            Transport::Unix(stream) => stream.write_vectored(slices),
            Transport::Tls(stream) => stream.write_vectored(slices),
            #[cfg(test)]
            Transport::Faulty(stream) => stream.write_vectored(slices),
        }
    }

    /// `WouldBlock` if the client does not take what was written: only TLS keeps such.
    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Tls(stream) => stream.flush(),
            Transport::Tcp(_) | Transport::Unix(_) => Ok(()),
            #[cfg(test)]
            Transport::Faulty(_) => Ok(()),
        }
    }
}
