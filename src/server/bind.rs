//! From the settings to listening sockets.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use mio::net::{TcpListener, UdpSocket, UnixListener};
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::config::{ListenAddress, Security, Settings};

use super::inherited;
use super::listener::{Listening, Socket};
use super::process::{EXIT_OSERR, EXIT_USAGE, with_socket_mode};

/// Why an address cannot be listened on.
#[derive(Debug)]
pub enum BindError {
    /// The system refuses.
    System {
        /// As the user wrote it.
        address: String,
        /// What it says.
        cause: io::Error,
    },
    /// A name turned out to be no loopback address, and UDP may not be public.
    PublicUdp {
        /// As the user wrote it.
        name: String,
        /// What it stands for.
        ip: IpAddr,
    },
    /// Sockets of the service manager's are not those for which `--listen` says something in particular.
    OtherSockets {
        /// What was looked at, and what was expected.
        message: String,
    },
}

impl BindError {
    /// The process's exit code.
    pub fn exit_code(&self) -> i32 {
        match self {
            BindError::System { .. } => EXIT_OSERR,
            BindError::PublicUdp { .. } | BindError::OtherSockets { .. } => EXIT_USAGE,
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::System { address, cause } => write!(f, "cannot listen on {address}: {cause}"),
            BindError::PublicUdp { name, ip } => write!(
                f,
                "--listen '{name}': expected UDP on loopback addresses only, or -o udp_public if {ip} is to \
                 answer whoever can reach it"
            ),
            BindError::OtherSockets { message } => f.write_str(message),
        }
    }
}

impl std::error::Error for BindError {}

/// The sockets, with the names by which their clients are counted, and the addresses that they came to have.
pub(super) struct Bound {
    pub sockets: Vec<Listening>,
    /// TCP addresses.
    pub addresses: Vec<SocketAddr>,
    /// By worker.
    pub udp: Vec<Vec<(UdpSocket, Option<String>)>>,
    pub udp_addresses: Vec<SocketAddr>,
    /// For HTTP.
    pub metrics: Vec<std::net::TcpListener>,
}

/// Binds everything that the settings ask for.
///
/// # Errors
/// If an address cannot be bound at all. Of a name with several addresses one is enough.
pub(super) fn bind(settings: &Settings) -> Result<Bound, BindError> {
    let mut bound = Bound {
        sockets: Vec::new(),
        addresses: Vec::new(),
        udp: (0..settings.threads).map(|_| Vec::new()).collect(),
        udp_addresses: Vec::new(),
        metrics: Vec::new(),
    };
    let are_inherited = inherited::take_over(settings, &mut bound)?;
    for address in settings.listen.iter().filter(|_| !are_inherited) {
        let fail = |cause| BindError::System { address: address.to_string(), cause };
        let candidates = resolve(address).map_err(fail)?;
        bind_any(address.port, candidates, |candidate| {
            let (socket, at) = bind_tcp(candidate, settings)?;
            bound.sockets.push(Listening {
                socket: Socket::Tcp(socket),
                tag: address.tag.clone(),
                security: address.security,
            });
            bound.addresses.push(at);
            Ok(at.port())
        })
        .map_err(fail)?;
    }
    let mut worker = 0;
    for address in &settings.udp.listen {
        let fail = |cause| BindError::System { address: format!("udp:{address}"), cause };
        let candidates = resolve(address).map_err(fail)?;
        if let Some(public) = candidates.iter().find(|candidate| !candidate.ip().is_loopback())
            && !settings.udp.is_public
        {
            return Err(BindError::PublicUdp { name: address.to_string(), ip: public.ip() });
        }
        bind_any(address.port, candidates, |candidate| {
            let (sockets, at) = bind_udp(candidate, settings.udp_sockets_per_address())?;
            for socket in sockets {
                bound.udp[worker].push((socket, address.tag.clone()));
                worker = (worker + 1) % settings.threads;
            }
            bound.udp_addresses.push(at);
            Ok(at.port())
        })
        .map_err(fail)?;
    }
    if let Some(address) = &settings.metrics_listen {
        let fail = |cause| BindError::System { address: format!("metrics:{address}"), cause };
        let candidates = resolve(address).map_err(fail)?;
        bind_any(address.port, candidates, |candidate| {
            let socket = tcp_socket(candidate, 0, settings.backlog)?;
            let socket = std::net::TcpListener::from(socket);
            let port = socket.local_addr()?.port();
            bound.metrics.push(socket);
            Ok(port)
        })
        .map_err(fail)?;
    }
    if let Some(path) = settings.unix_socket.as_ref().filter(|_| !are_inherited) {
        let socket = bind_unix(path, settings)
            .map_err(|cause| BindError::System { address: format!("unix:{}", path.display()), cause })?;
        bound.sockets.push(Listening { socket: Socket::Unix(socket), tag: None, security: Security::Plain });
    }
    Ok(bound)
}

/// Binds the addresses of one name, by `bind`, which tells the port that it got.
///
/// # Errors
/// The last one, if not even one of them can be bound.
fn bind_any(
    mut port: u16,
    candidates: Vec<SocketAddr>,
    mut bind: impl FnMut(SocketAddr) -> io::Result<u16>,
) -> io::Result<()> {
    let mut outcome = Err(io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address"));
    for mut candidate in candidates {
        // On an ephemeral port all addresses of a name share the one that the first was given.
        candidate.set_port(port);
        match bind(candidate) {
            Ok(at) => (port, outcome) = (at, Ok(())),
            Err(error) if outcome.is_err() => outcome = Err(error),
            Err(_) => {}
        }
    }
    outcome
}

/// What a name stands for.
pub(super) fn resolve(address: &ListenAddress) -> io::Result<Vec<SocketAddr>> {
    let Some(host) = &address.host else {
        let wildcards = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        return Ok(wildcards.map(|ip| SocketAddr::new(ip, address.port)).to_vec());
    };
    let mut addresses: Vec<SocketAddr> = (host.as_str(), address.port).to_socket_addrs()?.collect();
    addresses.dedup();
    Ok(addresses)
}

/// A socket that listens.
fn tcp_socket(address: SocketAddr, mark: u32, backlog: i32) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit both.
    socket.set_keepalive(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    if mark != 0 {
        socket.set_mark(mark)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn bind_tcp(address: SocketAddr, settings: &Settings) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = tcp_socket(address, settings.sock_cookie_id, settings.backlog)?;
    let listener = TcpListener::from_std(socket.into());
    let at = listener.local_addr()?;
    Ok((listener, at))
}

/// `count` sockets for one address, among which the kernel spreads the senders.
fn bind_udp(address: SocketAddr, count: usize) -> io::Result<(Vec<UdpSocket>, SocketAddr)> {
    let bind = |address: SocketAddr, shares: bool| {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(shares)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::from(address))?;
        Ok::<_, io::Error>(UdpSocket::from_std(socket.into()))
    };
    let first = bind(address, false)?;
    let at = first.local_addr()?;
    if count == 1 {
        return Ok((vec![first], at));
    }
    // Sockets that share an address do so with another daemon's as well: only one that does not share finds
    // out whether the address is taken.
    drop(first);
    let sockets: io::Result<Vec<_>> = (0..count).map(|_| bind(at, true)).collect();
    Ok((sockets?, at))
}

/// Takes a Unix socket away on which nobody listens any more.
///
/// # Errors
/// If somebody does, or something else is there.
fn remove_old_socket(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        let what = if kind.is_dir() { "a directory" } else { "a file that is no socket" };
        let text = format!("{what} is there, expected nothing, or a socket that is no longer in use");
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A server whose backlog is full lets others wait, and is there all the same.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        Ok(()) | Err(_) => Err(io::Error::new(ErrorKind::AddrInUse, "in use by a running server")),
    }
}

fn bind_unix(path: &Path, settings: &Settings) -> io::Result<UnixListener> {
    remove_old_socket(path)?;
    with_socket_mode(settings.unix_mask, || {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(settings.backlog)?;
        Ok(UnixListener::from_std(socket.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Udp;

    fn settings(host: &str, is_public: bool) -> Settings {
        let listen = vec![ListenAddress {
            host: Some(host.to_owned()),
            port: 0,
            tag: None,
            security: Security::Plain,
        }];
        let udp = Udp { listen, is_public, ..Udp::default() };
        Settings { listen: Vec::new(), udp, threads: 3, ..Settings::default() }
    }

    #[test]
    fn what_a_name_stands_for_decides_whether_udp_is_public() {
        // No name of this machine is known that is not loopback; an address in its place is resolved like one.
        let error = bind(&settings("0.0.0.0", false)).map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 64);
        let wanted = "--listen '0.0.0.0:0': expected UDP on loopback addresses only, or -o udp_public if 0.0.0.0 \
                      is to answer whoever can reach it";
        assert_eq!(error.to_string(), wanted);
        assert!(bind(&settings("0.0.0.0", true)).is_ok());
        assert!(bind(&settings("localhost", false)).is_ok());
    }

    #[test]
    fn each_worker_has_a_socket_for_the_address() {
        let bound = bind(&settings("127.0.0.1", false)).unwrap();
        assert_eq!(bound.udp_addresses.len(), 1);
        assert_eq!(bound.udp.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        for socket in bound.udp.iter().flatten() {
            assert_eq!(socket.0.local_addr().unwrap(), bound.udp_addresses[0]);
        }
        let mut taken = settings("127.0.0.1", false);
        taken.udp.listen[0].port = bound.udp_addresses[0].port();
        let error = bind(&taken).map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 71);
        assert!(error.to_string().starts_with("cannot listen on udp:127.0.0.1:"), "{error}");
    }

    #[test]
    fn a_listening_socket_has_its_mark() {
        let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        for mark in [0, 77] {
            let settings = Settings { sock_cookie_id: mark, ..Settings::default() };
            match bind_tcp(at, &settings) {
                Ok((listener, _)) => assert_eq!(socket2::SockRef::from(&listener).mark().unwrap(), mark),
                Err(error) if mark != 0 && error.kind() == ErrorKind::PermissionDenied => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}
