//! From the settings to listening sockets.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::config::{ListenAddress, Settings};

use super::listener::Socket;
use super::process::with_socket_mode;

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    address: String,
    cause: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.cause)
    }
}

impl std::error::Error for BindError {}

/// The sockets, and the TCP addresses that they came to have.
pub(super) struct Bound {
    pub sockets: Vec<Socket>,
    pub addresses: Vec<SocketAddr>,
}

/// Binds everything that the settings ask for.
///
/// # Errors
/// If an address cannot be bound at all. Of a name with several addresses one is enough.
pub(super) fn bind(settings: &Settings) -> Result<Bound, BindError> {
    let mut bound = Bound { sockets: Vec::new(), addresses: Vec::new() };
    for address in &settings.listen {
        bind_host(address, settings.backlog, &mut bound)?;
    }
    if let Some(path) = &settings.unix_socket {
        let socket = bind_unix(path, settings)
            .map_err(|cause| BindError { address: format!("unix:{}", path.display()), cause })?;
        bound.sockets.push(Socket::Unix(socket));
    }
    Ok(bound)
}

fn bind_host(address: &ListenAddress, backlog: i32, bound: &mut Bound) -> Result<(), BindError> {
    let name = address.host.as_deref().unwrap_or("*");
    let fail = |cause| BindError { address: format!("{name}:{}", address.port), cause };
    let candidates = resolve(address).map_err(fail)?;
    let mut port = address.port;
    let mut failure = io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address");
    let before = bound.sockets.len();
    for mut candidate in candidates {
        // On an ephemeral port all addresses of a name share the one that the first was given.
        candidate.set_port(port);
        match bind_tcp(candidate, backlog) {
            Ok((socket, at)) => {
                port = at.port();
                bound.addresses.push(at);
                bound.sockets.push(Socket::Tcp(socket));
            }
            Err(error) => failure = error,
        }
    }
    if bound.sockets.len() == before { Err(fail(failure)) } else { Ok(()) }
}

fn resolve(address: &ListenAddress) -> io::Result<Vec<SocketAddr>> {
    let Some(host) = &address.host else {
        let wildcards = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        return Ok(wildcards.map(|ip| SocketAddr::new(ip, address.port)).to_vec());
    };
    let mut addresses: Vec<SocketAddr> = (host.as_str(), address.port).to_socket_addrs()?.collect();
    addresses.dedup();
    Ok(addresses)
}

fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit both.
    socket.set_keepalive(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    let listener = TcpListener::from_std(socket.into());
    let at = listener.local_addr()?;
    Ok((listener, at))
}

fn bind_unix(path: &Path, settings: &Settings) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(ErrorKind::AddrInUse, "a running server answers there"));
        }
        fs::remove_file(path)?;
    }
    with_socket_mode(settings.unix_mask, || {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(settings.backlog)?;
        Ok(UnixListener::from_std(socket.into()))
    })
}
