//! The bytes of one connection: a socket that never blocks, in TLS or not, and how long its server is waited for.
//!
//! Every wait is a `poll` with an end, and only what is waited counts: neither the time that we take ourselves, nor
//! bytes that trickle. Knows no commands.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use socket2::{Domain, SockAddr, Socket, Type};

use super::access::Access;
use super::address::Address;
use super::failure::Failure;

/// Bytes in either direction for which the server gets all its time anew: a drip of fewer does not keep us waiting.
const PROGRESS_BYTES: usize = 16 * 1024;
/// Bytes that may wait in the system to be sent. With more of them a long value on a slow line would seem to stand still.
const UNSENT_BYTES: u32 = 64 * 1024;

/// How long the server is still waited for.
struct Patience {
    all: Duration,
    left: Duration,
    /// Bytes since `left` was all of it.
    moved: usize,
}

impl Patience {
    fn renew(&mut self) {
        (self.left, self.moved) = (self.all, 0);
    }

    fn moved(&mut self, bytes: usize) {
        self.moved += bytes;
        if self.moved >= PROGRESS_BYTES {
            self.renew();
        }
    }

    /// Does something that waits, and counts how long that took.
    fn spend<T>(&mut self, wait: impl FnOnce(Duration) -> T) -> T {
        let start = Instant::now();
        let result = wait(self.left);
        self.left = self.left.saturating_sub(start.elapsed());
        result
    }
}

/// A stream to a server.
pub(super) struct Wire {
    socket: Socket,
    tls: Option<Box<ClientConnection>>,
    patience: Patience,
}

impl Wire {
    /// Looks the host up, connects and greets in TLS if that is wanted, all of it in the time for one answer.
    ///
    /// # Errors
    /// Whichever of these did not work.
    pub fn connect(address: &Address, access: &Access, server: &str) -> Result<Wire, Failure> {
        let mut patience = Patience { all: access.timeout, left: access.timeout, moved: 0 };
        let socket = match address {
            Address::Unix(_) if access.tls.is_some() => {
                return Err(Failure::Usage("--tls: expected HOST:PORT, a Unix socket has no TLS".to_owned()));
            }
            Address::Unix(path) => unix(path, &mut patience),
            Address::Tcp { host, port } => tcp(host, *port, &mut patience),
        };
        let socket = socket.and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        let socket = socket.map_err(|error| unreachable(server, &error))?;
        let mut wire = Wire { socket, tls: None, patience };
        if let (Some((config, name)), Address::Tcp { host, .. }) = (&access.tls, address) {
            let name = ServerName::try_from(name.clone().unwrap_or_else(|| host.clone()));
            let name =
                name.map_err(|_| Failure::Usage("--server-name: expected a name or an address".to_owned()))?;
            let tls = ClientConnection::new(config.clone(), name);
            wire.tls = Some(Box::new(tls.map_err(|error| Failure::Failed(format!("TLS: {error}")))?));
            wire.greet().map_err(|error| ungreeted(server, &error))?;
        }
        Ok(wire)
    }

    /// Gives the server all its time anew.
    pub fn renew_patience(&mut self) {
        self.patience.renew();
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    fn greet(&mut self) -> io::Result<()> {
        while let Some(tls) = &mut self.tls
            && tls.is_handshaking()
        {
            let wanted = match tls.wants_write() {
                true => PollFlags::POLLOUT,
                false => PollFlags::POLLIN,
            };
            let moved = match tls.wants_write() {
                true => tls.write_tls(&mut self.socket),
                false => tls.read_tls(&mut self.socket),
            };
            match moved {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.heed_records()?,
                Err(error) if is_not_yet(&error) => drop(self.wait(wanted)?),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What was read of TLS, decrypted; what is wrong with it is told to the server as well.
    fn heed_records(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        tls.process_new_packets().map(drop).map_err(|error| {
            let _ = tls.write_tls(&mut self.socket);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    /// Takes what has come, or waits for it; 0 is the end.
    ///
    /// # Errors
    /// When nothing comes in time, or the connection is broken.
    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        // An answer is hardly ever there at once.
        if self.tls.is_none() {
            self.wait(PollFlags::POLLIN)?;
        }
        loop {
            match self.read_now(bytes) {
                Err(error) if is_not_yet(&error) => drop(self.wait(PollFlags::POLLIN)?),
                read => return read,
            }
        }
    }

    /// Takes what has come, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has.
    pub fn read_now(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else {
                let count = self.socket.read(bytes)?;
                self.patience.moved(count);
                return Ok(count);
            };
            match tls.reader().read(bytes) {
                Err(error) if is_not_yet(&error) => {}
                read => return read,
            }
            let count = tls.read_tls(&mut self.socket)?;
            self.patience.moved(count);
            self.heed_records()?;
        }
    }

    /// Hands over some of `bytes`, perhaps none, without waiting. They are not sent before [`Wire::flush_now`] says so.
    ///
    /// # Errors
    /// `WouldBlock` if the server takes nothing now.
    pub fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.tls.is_some() {
            self.flush_now()?;
        }
        match &mut self.tls {
            Some(tls) => tls.writer().write(bytes),
            None => {
                let count = self.socket.write(bytes)?;
                self.patience.moved(count);
                Ok(count)
            }
        }
    }

    /// Sends what TLS keeps.
    ///
    /// # Errors
    /// `WouldBlock` if the server takes nothing now.
    pub fn flush_now(&mut self) -> io::Result<()> {
        while let Some(tls) = &mut self.tls
            && tls.wants_write()
        {
            let count = tls.write_tls(&mut self.socket)?;
            self.patience.moved(count);
        }
        Ok(())
    }

    /// Waits for one of `wanted`, and tells which it is.
    ///
    /// # Errors
    /// `TimedOut` if the server has no time left.
    pub fn wait(&mut self, wanted: PollFlags) -> io::Result<PollFlags> {
        loop {
            let mut polled = [PollFd::new(self.socket.as_fd(), wanted)];
            let found = self.patience.spend(|left| {
                // Rounded up, or the last millisecond would be a busy one.
                let milliseconds = left.as_micros().div_ceil(1000);
                poll(&mut polled, PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX))
            });
            match found {
                Ok(0) if self.patience.left.is_zero() => return Err(io::ErrorKind::TimedOut.into()),
                Ok(0) | Err(Errno::EINTR) => {}
                // An error is found by whoever reads or writes.
                Ok(_) => return Ok(polled[0].revents().unwrap_or(wanted)),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Tries one address of the host after the other; each has its share of the time that is left.
fn tcp(host: &str, port: u16, patience: &mut Patience) -> io::Result<Socket> {
    let addresses = look_up(host, port, patience)?;
    let mut last = io::Error::other("the host has no address");
    for (at, address) in addresses.iter().enumerate() {
        let share = patience.left / u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        let connected = patience.spend(|_| {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            socket.connect_timeout(&SockAddr::from(*address), share)?;
            Ok::<Socket, io::Error>(socket)
        });
        match connected {
            Ok(socket) => {
                socket.set_tcp_nodelay(true)?;
                socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The addresses of a host. The system's resolver knows no limit of time, so a thread of its own waits for it, and longer
/// than we do if need be.
fn look_up(host: &str, port: u16, patience: &mut Patience) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (sender, receiver) = channel();
    let host = host.to_owned();
    let ask = move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        // Nobody may be waiting any more.
        let _ = sender.send(found);
    };
    thread::Builder::new().name("resolver".to_owned()).spawn(ask)?;
    match patience.spend(|left| receiver.recv_timeout(left)) {
        Ok(found) => found,
        Err(RecvTimeoutError::Timeout) => Err(io::Error::other("its name is not resolved in time")),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("its name cannot be resolved")),
    }
}

fn unix(path: &Path, patience: &mut Patience) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Of a server that does not accept the queue may be full: for so long Linux waits for a place in it.
    socket.set_write_timeout(Some(patience.left))?;
    patience.spend(|_| socket.connect(&SockAddr::unix(path)?))?;
    Ok(socket)
}

/// Why there is no TLS, and if the certificate is to blame what helps.
fn ungreeted(server: &str, error: &io::Error) -> Failure {
    let text = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("{server} closes the connection: does it speak TLS?"),
        io::ErrorKind::InvalidData => {
            let text = error.to_string();
            let hint = match &text {
                // The second is said of a namesake's.
                _ if text.contains("UnknownIssuer") || text.contains("BadSignature") => {
                    ": nobody that is trusted has signed it; --ca-cert FILE names whom to trust"
                }
                // As `openssl req -x509` makes them.
                _ if text.contains("CaUsedAsEndEntity") => {
                    ": it is an authority's own, and a server's must be one with CA:FALSE"
                }
                _ => "",
            };
            format!("TLS with {server}: {text}{hint}")
        }
        _ => return unreachable(server, error),
    };
    Failure::Unreachable(text)
}

/// What went wrong with a socket.
pub(super) fn unreachable(server: &str, error: &io::Error) -> Failure {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_give_time_anew_and_a_drip_does_not() {
        let all = Duration::from_secs(5);
        let mut patience = Patience { all, left: Duration::from_secs(1), moved: 0 };
        for _ in 0..PROGRESS_BYTES - 1 {
            patience.moved(1);
        }
        assert_eq!(patience.left, Duration::from_secs(1));
        patience.moved(1);
        assert_eq!((patience.left, patience.moved), (all, 0));
        patience.spend(|left| assert_eq!(left, all));
        assert!(patience.left < all);
    }
}
