//! The byte stream to one client, whatever carries it.

use std::io::{self, IoSlice, Read, Write};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

/// A connected stream that never blocks.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Transport {
    /// Who is at the other end, for the log.
    pub fn peer(&self) -> String {
        match self {
            Transport::Tcp(stream) => {
                stream.peer_addr().map_or_else(|_| "tcp client".to_owned(), |address| address.to_string())
            }
            Transport::Unix(_) => "unix client".to_owned(),
        }
    }

    /// Asks for both kinds of readiness, once and for all: events are edge-triggered, so what is not
    /// waited for costs nothing.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match self {
            Transport::Tcp(stream) => stream,
            Transport::Unix(stream) => stream,
        };
        registry.register(source, token, Interest::READABLE | Interest::WRITABLE)
    }
}

impl Read for Transport {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.read(bytes),
            Transport::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.write(bytes),
            Transport::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.write_vectored(slices),
            Transport::Unix(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
