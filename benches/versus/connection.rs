//! One connection of the load: bytes that are not sent yet, bytes that are not judged yet, and what the next
//! replies have to be.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use mio::{Interest, Registry, Token};

use crate::failure::Failure;
use crate::reply::{Answered, Expected, Judge};
use crate::requests::{Encoder, Kind, Source};
use crate::workload::Transport;

/// Bytes that a connection asks for at once while it waits for the rest of a reply.
const PIECE_BYTES: usize = 64 << 10;

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The file of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Of the sockets there.
    pub fn transport(&self) -> Transport {
        match self {
            Address::Tcp(_) => Transport::Tcp,
            Address::Unix(_) => Transport::Unix,
        }
    }

    /// Opens a blocking stream and asks for the server's version: whether it serves.
    pub fn version(&self) -> io::Result<String> {
        let mut answer = [0; 100];
        let bytes = match self {
            Address::Tcp(address) => ask(TcpStream::connect(address)?, &mut answer)?,
            Address::Unix(path) => ask(UnixStream::connect(path)?, &mut answer)?,
        };
        let answer = String::from_utf8_lossy(&answer[..bytes]);
        let version = answer.strip_prefix("VERSION ").map(|version| version.trim_end().to_owned());
        version.ok_or_else(|| io::Error::other(format!("not a version: {answer:?}")))
    }
}

fn ask(mut stream: impl Read + Write, answer: &mut [u8]) -> io::Result<usize> {
    stream.write_all(b"version\r\n")?;
    // So short an answer comes in one piece.
    stream.read(answer)
}

/// A socket that does not block.
pub enum Stream {
    /// Of the loopback interface, or any other.
    Tcp(mio::net::TcpStream),
    /// Of a file.
    Unix(mio::net::UnixStream),
}

impl Stream {
    /// Connects, and waits for that: to thousands at once a server's backlog would be too short.
    pub fn connect(address: &Address) -> io::Result<Stream> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Tcp(mio::net::TcpStream::from_std(stream)))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(mio::net::UnixStream::from_std(stream)))
            }
        }
    }

    /// Asks to be told when it becomes readable or writable.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Stream::Tcp(stream) => registry.register(stream, token, interest),
            Stream::Unix(stream) => registry.register(stream, token, interest),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(into),
            Stream::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(pieces),
            Stream::Unix(stream) => stream.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a call that would block says, without the error.
pub fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted) => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

/// A connection of the load.
pub struct Connection {
    stream: Stream,
    out: Vec<u8>,
    /// Of `out`.
    sent: usize,
    /// Its first `filled` bytes are the beginning of a reply.
    input: Vec<u8>,
    filled: usize,
    expected: Expected,
    ids: Vec<u32>,
}

impl Connection {
    /// A connection that nothing was asked for.
    pub fn new(stream: Stream) -> Connection {
        Connection {
            stream,
            out: Vec::new(),
            sent: 0,
            input: Vec::new(),
            filled: 0,
            expected: Expected::default(),
            ids: Vec::new(),
        }
    }

    /// Requests without their complete reply.
    pub fn pending(&self) -> usize {
        self.expected.len()
    }

    /// Adds a request to what is sent next. Its latency counts from `start`.
    #[inline]
    pub fn push(&mut self, kind: Kind, source: &mut Source, encoder: &Encoder<'_>, start: Instant) {
        self.ids.clear();
        let keys = if let Kind::Get(keys) = kind { keys } else { 1 };
        self.ids.extend((0..keys).map(|_| source.id()));
        let opaque = self.expected.push(kind, &self.ids, start);
        encoder.push(kind, self.ids.iter().copied(), opaque, source.version(), &mut self.out);
    }

    /// Sends what the socket takes.
    pub fn flush(&mut self) -> Result<(), Failure> {
        while self.sent < self.out.len() {
            let bytes = unless_blocked(self.stream.write(&self.out[self.sent..]));
            match bytes.map_err(|error| self.failed(&error))? {
                Some(bytes) => self.sent += bytes,
                None => return Ok(()),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads until nothing is left, with the help of a buffer, and has it judged. `done` is told the time of
    /// the read that completed the reply. `is_at_end` tells that the server has closed: then there is an end to
    /// be read behind the last bytes, of which no event will tell again.
    pub fn receive(
        &mut self,
        is_at_end: bool,
        buffer: &mut [u8],
        judge: &mut Judge<'_>,
        mut done: impl FnMut(Answered, Instant),
    ) -> Result<(), Failure> {
        loop {
            let (room, bytes) = self.read(buffer)?;
            let Some(bytes) = bytes else { return Ok(()) };
            let now = Instant::now();
            let input = if self.filled > 0 { &self.input[..self.filled + bytes] } else { &buffer[..bytes] };
            let taken = judge.take(&mut self.expected, input, |answered| done(answered, now))?;
            let left = input.len() - taken;
            if self.filled > 0 {
                self.input.copy_within(taken..taken + left, 0);
            } else if left > 0 {
                self.input.resize(self.input.len().max(left), 0);
                self.input[..left].copy_from_slice(&buffer[taken..bytes]);
            }
            self.filled = left;
            // A socket that gave less than it was asked for is empty; it tells when it no longer is.
            if 0 < bytes && bytes < room && !is_at_end {
                return Ok(());
            }
        }
    }

    /// One read: into `buffer`, or behind the beginning of a reply. Returns how much there was room for.
    fn read(&mut self, buffer: &mut [u8]) -> Result<(usize, Option<usize>), Failure> {
        let room = if self.filled > 0 {
            if self.input.len() < self.filled + PIECE_BYTES {
                self.input.resize((self.filled + PIECE_BYTES).next_power_of_two(), 0);
            }
            &mut self.input[self.filled..]
        } else {
            buffer
        };
        let room_bytes = room.len();
        match self.stream.read(room) {
            Ok(0) => Err(Failure::Wrong(format!(
                "the server closed a connection that {} requests were sent on and not answered",
                self.pending()
            ))),
            read => {
                let bytes = unless_blocked(read).map_err(|error| self.failed(&error))?;
                Ok((room_bytes, bytes))
            }
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::Wrong(format!("a connection with {} requests not answered: {error}", self.pending()))
    }
}
