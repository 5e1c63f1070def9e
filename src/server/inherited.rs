//! Sockets that the service manager has opened and that listen already (`LISTEN_FDS`).
//!
//! They take the place of those of `-l`, `-p` and `-s`: nothing is missed while the daemon is restarted. What `-l` says
//! before an address holds for the socket that has it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use listenfd::ListenFd;
use mio::net::{TcpListener, UnixListener};

use crate::config::{ListenAddress, Security, Settings};

use super::bind::{BindError, Bound, resolve};
use super::listener::{Listening, Socket};

/// Takes them over, if there are any, and says whether there were.
///
/// # Errors
/// If one is neither of TCP nor a Unix socket, or does not listen. If `-l` tells addresses apart and not all sockets
/// are at its addresses, or not all of those that it tells apart have one: else a client could come in without the
/// certificate, or the TLS, that was asked for.
pub(super) fn take_over(settings: &Settings, bound: &mut Bound) -> Result<bool, BindError> {
    let mut inherited = ListenFd::from_env();
    if inherited.len() == 0 {
        return Ok(false);
    }
    let mut places = Places::of(settings)?;
    for number in 0..inherited.len() {
        let name = || format!("socket {number} of the service manager's (LISTEN_FDS)");
        let fail = |cause| BindError::System { address: name(), cause };
        // One that is no Unix socket stays there, to be taken as the other kind.
        if let Ok(Some(socket)) = inherited.take_unix_listener(number) {
            socket.set_nonblocking(true).map_err(fail)?;
            let socket = Socket::Unix(UnixListener::from_std(socket));
            bound.sockets.push(Listening { socket, tag: None, security: Security::Plain });
            continue;
        }
        let none = || io::Error::from(ErrorKind::NotFound);
        let socket = inherited.take_tcp_listener(number).map_err(fail)?.ok_or_else(none).map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        let at = socket.local_addr().map_err(fail)?;
        let (tag, security) = places.of_socket(at).ok_or_else(|| BindError::OtherSockets {
            message: format!(
                "{} is at {at}: expected --listen to name it, since it has prefixes that hold for single addresses",
                name()
            ),
        })?;
        bound.addresses.push(at);
        let socket = Socket::Tcp(TcpListener::from_std(socket));
        bound.sockets.push(Listening { socket, tag, security });
    }
    match places.without_socket() {
        Some(place) => Err(BindError::OtherSockets {
            message: format!(
                "--listen '{place}': expected a socket of the service manager's (LISTEN_FDS) at this address, since it \
                 has a prefix"
            ),
        }),
        None => Ok(true),
    }
}

/// What `-l` says of addresses.
struct Places<'a> {
    named: Vec<Place<'a>>,
    /// Whether a socket may be anywhere: nothing is said that does not hold for all.
    are_alike: bool,
    with_tls: bool,
}

struct Place<'a> {
    named: &'a ListenAddress,
    addresses: Vec<SocketAddr>,
    has_socket: bool,
}

impl<'a> Places<'a> {
    /// Names are looked up only where it matters what they stand for.
    fn of(settings: &'a Settings) -> Result<Places<'a>, BindError> {
        let (are_alike, with_tls) = (!settings.tells_addresses_apart(), settings.tls.enabled);
        let mut named = Vec::new();
        for address in settings.listen.iter().filter(|_| !are_alike) {
            let fail = |cause| BindError::System { address: address.to_string(), cause };
            let addresses = resolve(address).map_err(fail)?;
            named.push(Place { named: address, addresses, has_socket: false });
        }
        Ok(Places { named, are_alike, with_tls })
    }

    /// The tag and the security of a socket at this address; `None` if it may not be there.
    fn of_socket(&mut self, at: SocketAddr) -> Option<(Option<String>, Security)> {
        if self.are_alike {
            return Some((None, if self.with_tls { Security::Tls } else { Security::Plain }));
        }
        let place = self.named.iter_mut().find(|place| place.is_at(at))?;
        place.has_socket = true;
        Some((place.named.tag.clone(), place.named.security))
    }

    /// An address with a prefix that no socket has.
    fn without_socket(&self) -> Option<&ListenAddress> {
        let is_alone = |place: &&Place<'_>| !place.has_socket && place.named.is_particular(self.with_tls);
        self.named.iter().find(is_alone).map(|place| place.named)
    }
}

impl Place<'_> {
    /// Port 0 leaves the choice to whoever opens the socket. A socket of IPv6 may stand for an address of IPv4.
    fn is_at(&self, at: SocketAddr) -> bool {
        let canonical = |ip: IpAddr| ip.to_canonical();
        let is_same = |named: &SocketAddr| {
            canonical(named.ip()) == canonical(at.ip()) && (named.port() == 0 || named.port() == at.port())
        };
        self.addresses.iter().any(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, load};

    fn settings(line: &str) -> Settings {
        let args = line.split_whitespace().map(Into::into).collect();
        match load("larder", args) {
            Ok(Action::Run(settings)) => *settings,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// For each socket the tag and the security that it gets, or `refused`; then the address that is left over.
    #[track_caller]
    fn check(line: &str, sockets: &[&str], expected: &[&str]) {
        let settings = settings(line);
        let mut places = Places::of(&settings).unwrap();
        let mut shown: Vec<String> = sockets
            .iter()
            .map(|at| match places.of_socket(at.parse().unwrap()) {
                Some((tag, security)) => format!("{} {security:?}", tag.as_deref().unwrap_or("-")),
                None => "refused".to_owned(),
            })
            .collect();
        shown.extend(places.without_socket().map(|place| format!("alone {place}")));
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn a_socket_has_what_its_address_was_given() {
        const TLS: &str = "-Z -o ssl_chain_cert=a,ssl_key=b,ssl_ca_cert=c";
        check("", &["10.0.0.5:7"], &["- Plain"]);
        check(TLS, &["10.0.0.5:7"], &["- Tls"]);
        check("-l 10.0.0.5", &["127.0.0.1:9"], &["- Plain"]);
        check("-l notls:10.0.0.5", &["127.0.0.1:9"], &["- Plain"]);
        check("-l tag[a]:10.0.0.5", &["10.0.0.5:11211"], &["a Plain"]);
        check("-l tag[a]:10.0.0.5:7 -p 9", &["10.0.0.5:9"], &["refused", "alone 10.0.0.5:7"]);
        check("-l tag[a]:10.0.0.5,127.0.0.1 -p 9", &["127.0.0.1:9", "10.0.0.5:9"], &["- Plain", "a Plain"]);
        let mtls = format!("{TLS} -l mtls:10.0.0.5,btls:10.0.0.6,notls:127.0.0.1,[::1]");
        check(
            &mtls,
            &[
                "127.0.0.1:11211",
                "10.0.0.6:11211",
                "[::ffff:10.0.0.5]:11211",
                "[::1]:11211",
                "10.0.0.7:11211",
            ],
            &["- Plain", "- TlsWithoutClientCertificate", "- TlsWithClientCertificate", "- Tls", "refused"],
        );
        check(&mtls, &["0.0.0.0:11211"], &["refused", "alone 10.0.0.5:11211"]);
        // One socket of both families, as systemd opens it, or one of each.
        let everywhere = format!("{TLS} -l mtls:*");
        check(&everywhere, &["[::]:11211"], &["- TlsWithClientCertificate"]);
        check(&everywhere, &["0.0.0.0:11211", "[::]:11211"], &["- TlsWithClientCertificate"; 2]);
        check(&format!("{TLS} -l mtls:0.0.0.0"), &["[::]:11211"], &["refused", "alone 0.0.0.0:11211"]);
        // The port is the manager's choice, or there is to be none.
        check(&format!("{everywhere} -p -1"), &["[::]:7"], &["- TlsWithClientCertificate"]);
        check(&format!("{everywhere} -p 0"), &["[::]:11211"], &["refused"]);
        check(&format!("{everywhere} -s /nowhere"), &["[::]:11211"], &["refused"]);
    }
}
