//! One connection to a server: lines and bytes in both directions, with an end to every wait.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::access::{Access, Login};
use super::address::Address;
use super::failure::Failure;
use super::text;

/// Bytes of a line at most; memcached's own are a few thousand at most.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a value at most, as many as memcached allows.
const VALUE_BYTES_MAX: usize = 1 << 30;
/// Bytes that are asked for at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// What a server says to whoever must log in first, whatever he asks.
const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated";

enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection that is logged in, if there is to be a login.
pub(super) struct Connection {
    wire: Wire,
    /// For messages.
    server: String,
    /// Received; what lies before `start` is used up.
    received: Vec<u8>,
    start: usize,
    access: Access,
    /// When the answer that is waited for must have come.
    deadline: Instant,
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.read(bytes),
            Wire::Unix(stream) => stream.read(bytes),
            Wire::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.write(bytes),
            Wire::Unix(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Tcp(stream) => stream.flush(),
            Wire::Unix(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

impl Connection {
    /// Connects, greets in TLS and logs in, as `access` has it.
    ///
    /// # Errors
    /// Whichever of these did not work.
    pub fn open(address: &Address, access: &Access) -> Result<Connection, Failure> {
        let server = address.to_string();
        let wire = match address {
            Address::Unix(_) if access.tls.is_some() => {
                return Err(Failure::Usage("--tls: expected HOST:PORT, a Unix socket has no TLS".to_owned()));
            }
            Address::Unix(path) => unix(path, access).map_err(|error| unreachable(&server, &error))?,
            Address::Tcp { host, port } => {
                let stream = tcp(host, *port, access).map_err(|error| unreachable(&server, &error))?;
                greeted(stream, host, access, &server)?
            }
        };
        let access = access.clone();
        let deadline = Instant::now() + access.timeout;
        let mut connection = Connection { wire, server, received: Vec::new(), start: 0, access, deadline };
        if let Some(login) = connection.access.login.clone() {
            connection.log_in(&login)?;
        }
        Ok(connection)
    }

    /// The server, as messages name it.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A login looks like an item, and whoever wants none would store it, for all to read. So it is not sent before the
    /// server has said that it wants one.
    fn log_in(&mut self, login: &Login) -> Result<(), Failure> {
        let user = text::printable(login.user.as_bytes());
        self.send(b"version\r\n")?;
        let line = text::printable(self.line()?);
        if line != UNAUTHENTICATED {
            let server = &self.server;
            return Err(Failure::Failed(match line.starts_with("VERSION ") {
                true => format!("{server} wants no login, so '{user}' was not sent: is --user meant for it?"),
                false => format!("{server} answers: {line}"),
            }));
        }
        self.send(format!("set login 0 0 {}\r\n{}\r\n", login.token.len(), login.token.as_str()).as_bytes())?;
        let line = self.line()?;
        if line == b"STORED" {
            return Ok(());
        }
        let answer = text::printable(line);
        Err(Failure::Failed(format!("{} does not let '{user}' in: {answer}", self.server)))
    }

    /// Sends all of it. From now on counts the time for the answer.
    ///
    /// # Errors
    /// When the server does not take it in time.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.go_on_waiting();
        let sent = self.wire.write_all(bytes).and_then(|()| self.wire.flush());
        sent.map_err(|error| unreachable(&self.server, &error))
    }

    /// Gives the server time anew: for answers of many parts, which may take as long as they come.
    pub fn go_on_waiting(&mut self) {
        self.deadline = Instant::now() + self.access.timeout;
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// When it does not come in time, or is no line of a server like memcached.
    pub fn line(&mut self) -> Result<&[u8], Failure> {
        let mut searched = 0;
        let end = loop {
            let rest = &self.received[self.start..];
            if let Some(at) = memchr::memchr(b'\n', &rest[searched..]) {
                break self.start + searched + at;
            }
            searched = rest.len();
            if searched > LINE_BYTES_MAX {
                let text = format!("{} sends lines without an end: is it a memcached?", self.server);
                return Err(Failure::Failed(text));
            }
            self.receive()?;
        };
        let line = &self.received[self.start..end];
        self.start = end + 1;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The next `count` bytes, a value, and the line end behind them, which is not given.
    ///
    /// # Errors
    /// When they do not come in time, or no line end follows.
    pub fn value(&mut self, count: usize) -> Result<&[u8], Failure> {
        if count > VALUE_BYTES_MAX {
            return Err(Failure::Failed(format!("{} announces a value of {count} bytes", self.server)));
        }
        while self.received.len() - self.start < count + 2 {
            self.receive()?;
        }
        let start = self.start;
        self.start += count + 2;
        match self.received[start + count..].starts_with(b"\r\n") {
            true => Ok(&self.received[start..start + count]),
            false => Err(Failure::Failed(format!("{} sends a value without its end", self.server))),
        }
    }

    fn receive(&mut self) -> Result<(), Failure> {
        self.received.drain(..self.start);
        self.start = 0;
        let length = self.received.len();
        self.received.resize(length + CHUNK_BYTES, 0);
        let read = loop {
            match self.wire.read(&mut self.received[length..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.received.truncate(length + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(Failure::Unreachable(format!("{} has closed the connection", self.server))),
            Ok(_) if Instant::now() > self.deadline => {
                Err(unreachable(&self.server, &io::ErrorKind::TimedOut.into()))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(unreachable(&self.server, &error)),
        }
    }

    /// The failure that an unexpected `line` is.
    pub fn refusal(&self, line: &str) -> Failure {
        let hint = match line {
            UNAUTHENTICATED => " (--user NAME logs in)",
            _ => "",
        };
        Failure::Failed(format!("{} answers: {line}{hint}", self.server))
    }
}

/// Tries one address of the host after the other.
fn tcp(host: &str, port: u16, access: &Access) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, access.timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(access.timeout))?;
                stream.set_write_timeout(Some(access.timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unix(path: &std::path::Path, access: &Access) -> io::Result<Wire> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(access.timeout))?;
    stream.set_write_timeout(Some(access.timeout))?;
    Ok(Wire::Unix(stream))
}

/// The stream, in TLS if that is wanted.
fn greeted(mut stream: TcpStream, host: &str, access: &Access, server: &str) -> Result<Wire, Failure> {
    let Some((config, name)) = &access.tls else { return Ok(Wire::Tcp(stream)) };
    let name = name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned());
    let name = name.map_err(|_| Failure::Usage("--server-name: expected a name or an address".to_owned()))?;
    let connection = ClientConnection::new(config.clone(), name);
    let mut connection = connection.map_err(|error| Failure::Failed(format!("TLS: {error}")))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Failure::Unreachable(format!("{server} closes the connection: does it speak TLS?"))
            }
            io::ErrorKind::InvalidData => Failure::Unreachable(format!("TLS with {server}: {error}")),
            _ => unreachable(server, &error),
        })?;
    }
    Ok(Wire::Tls(Box::new(StreamOwned::new(connection, stream))))
}

fn unreachable(server: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::Unreachable(format!("{server} does not answer in time"))
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            Failure::Unreachable(format!("{server} has closed the connection"))
        }
        _ => Failure::Unreachable(format!("{server} cannot be reached: {error}")),
    }
}
