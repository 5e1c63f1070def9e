//! Which connections there are, and `stats conns`, which lists them.
//!
//! Whoever carries a connection enters it here and writes down after each turn what it waits for.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

use crate::base::clock::Seconds;

use super::encoding;
use super::reply;
use super::session::Turn;
use super::stats::Lines;
use super::tags::Tag;
use super::tls::{self, CertificateNames};

/// Connections listed in one turn.
const CONNECTIONS_PER_TURN: usize = 64;
/// Descriptors looked at in one turn: most may belong to nobody after a crowd has gone.
const DESCRIPTORS_PER_TURN: usize = 4096;
/// Parts of the registry. Descriptors are given out from the lowest, so those of connections that come and
/// go together are of different parts.
const SHARDS: usize = 16;

/// Where a socket is bound, or whom it is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// UDP over IPv4 or IPv6.
    Udp(SocketAddr),
    /// A Unix socket.
    Unix(Box<Path>),
    /// The client's end of a Unix socket, or one that the system does not tell.
    Unknown,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) if address.is_ipv4() => write!(f, "tcp:{address}"),
            Address::Tcp(address) => write!(f, "tcp6:{address}"),
            Address::Udp(address) if address.is_ipv4() => write!(f, "udp:{address}"),
            Address::Udp(address) => write!(f, "udp6:{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Unknown => f.write_str("?:<AF 0>"),
        }
    }
}

/// What a connection waits for. Names are memcached's, of the states that come nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectionState {
    /// Clients.
    Listening,
    /// A command.
    Read,
    /// The rest of a value.
    Value,
    /// The rest of a value that is thrown away.
    Swallow,
    /// Its client, which does not take its replies.
    Write,
    /// Its turn: there is more to do.
    ParseCommand,
    /// Something to tell a watcher of.
    Watch,
}

impl ConnectionState {
    const NAMES: [&'static str; 7] = [
        "conn_listening",
        "conn_read",
        "conn_nread",
        "conn_swallow",
        "conn_mwrite",
        "conn_parse_cmd",
        "conn_watch",
    ];
}

/// Who a client is, as far as it has shown.
#[derive(Debug, Default)]
struct Identity {
    /// What its certificate says, a good one.
    certificate: Option<CertificateNames>,
    /// The user that it is.
    user: OnceLock<Box<[u8]>>,
}

/// What is known of one connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Its descriptor, by which clients and logs name it.
    pub fd: i32,
    /// Of the client; its own of a listening socket, and of one for datagrams.
    pub address: Address,
    /// Where the client came in; `None` for the others.
    pub listen_address: Option<Arc<Address>>,
    /// That of the socket where the client came in.
    pub tag: Tag,
    /// The number of the worker that serves it; `None` for the others.
    pub worker: Option<u16>,
    /// Boxed, since most have shown nothing.
    identity: OnceLock<Box<Identity>>,
    state: AtomicU8,
    last_command: AtomicU32,
}

impl ConnectionInfo {
    /// A connection that has just been made.
    pub fn new(
        fd: i32,
        address: Address,
        listen_address: Option<Arc<Address>>,
        tag: Tag,
        now: Seconds,
    ) -> ConnectionInfo {
        let state = match (&address, &listen_address) {
            (Address::Udp(_), _) | (_, Some(_)) => ConnectionState::Read,
            (_, None) => ConnectionState::Listening,
        };
        let (state, last_command) = ((state as u8).into(), now.0.into());
        ConnectionInfo {
            fd,
            address,
            listen_address,
            tag,
            worker: None,
            identity: OnceLock::new(),
            state,
            last_command,
        }
    }

    /// The same, served by the worker with this number.
    pub fn of_worker(self, number: usize) -> ConnectionInfo {
        ConnectionInfo { worker: u16::try_from(number).ok(), ..self }
    }

    /// Writes down what it waits for now.
    #[inline]
    pub fn note_state(&self, state: ConnectionState) {
        self.state.store(state as u8, Relaxed);
    }

    /// Writes down that commands were carried out.
    #[inline]
    pub fn note_command(&self, now: Seconds) {
        self.last_command.store(now.0, Relaxed);
    }

    /// Writes down what the client's certificate says, which comes before anything else of the client.
    pub fn note_certificate(&self, names: CertificateNames) {
        let certificate = Some(names);
        let _ = self.identity.set(Box::new(Identity { certificate, ..Identity::default() }));
    }

    /// Writes down which user the client is: one for as long as the connection lives.
    pub fn note_user(&self, name: &[u8]) {
        let _ = self.identity.get_or_init(Box::default).user.set(name.into());
    }

    /// Seconds since the last command.
    pub fn silent_seconds(&self, now: Seconds) -> u32 {
        now.0.saturating_sub(self.last_command.load(Relaxed))
    }
}

/// All connections, by descriptor.
///
/// A part has a place for each of its descriptors up to the highest that is taken: descriptors are small
/// numbers, so that costs less than a tree, and entering and leaving touch one place under a lock that
/// hardly anybody else wants.
#[derive(Debug, Default)]
pub struct Connections([CachePadded<Mutex<Shard>>; SHARDS]);

/// Descriptor `fd` is at `fd / SHARDS`; the last place is taken.
type Shard = Vec<Option<Arc<ConnectionInfo>>>;

impl Connections {
    /// Enters a connection, a listening socket, or one for datagrams.
    pub fn enter(&self, info: Arc<ConnectionInfo>) {
        let Some((shard, place)) = self.place(info.fd) else { return };
        let mut places = shard.lock();
        if places.len() <= place {
            places.resize(place + 1, None);
        }
        places[place] = Some(info);
    }

    /// Takes one out. To be called before its descriptor is closed: then another may have it.
    pub fn leave(&self, fd: i32) {
        let Some((shard, place)) = self.place(fd) else { return };
        let mut places = shard.lock();
        let left = places.get_mut(place).and_then(Option::take);
        while places.last().is_some_and(Option::is_none) {
            places.pop();
        }
        drop(places);
        drop(left);
    }

    fn place(&self, fd: i32) -> Option<(&Mutex<Shard>, usize)> {
        let fd = usize::try_from(fd).ok()?;
        Some((&*self.0[fd % SHARDS], fd / SHARDS))
    }

    pub(super) fn get(&self, fd: i32) -> Option<Arc<ConnectionInfo>> {
        let (shard, place) = self.place(fd)?;
        shard.lock().get(place)?.clone()
    }

    /// A number above all descriptors.
    fn end(&self) -> i32 {
        let places = self.0.iter().map(|shard| shard.lock().len()).max().unwrap_or(0);
        i32::try_from(places * SHARDS).unwrap_or(i32::MAX)
    }
}

/// A list of all connections that is under way.
#[derive(Debug, Default)]
pub(super) struct ConnectionList {
    /// Descriptors below it have been listed.
    next: i32,
}

impl ConnectionList {
    /// Lists some more. `false` once all are.
    pub fn go_on(&mut self, turn: &mut Turn) -> bool {
        let end = turn.daemon.registry.end();
        let mut connections_left = CONNECTIONS_PER_TURN;
        for fd in (self.next..end).take(DESCRIPTORS_PER_TURN) {
            if connections_left == 0 {
                break;
            }
            self.next = fd.saturating_add(1);
            if let Some(info) = turn.daemon.registry.get(fd) {
                connections_left -= 1;
                list(&info, turn);
            }
        }
        if self.next < end {
            return true;
        }
        turn.output.push(reply::END);
        false
    }
}

fn list(info: &ConnectionInfo, turn: &mut Turn) {
    let fd = info.fd;
    let state = match info.state.load(Relaxed) {
        _ if fd == turn.fd => ConnectionState::ParseCommand as u8,
        state => state,
    };
    let state = ConnectionState::NAMES.get(usize::from(state)).copied().unwrap_or_default();
    let mut lines = Lines(turn.output);
    if let Address::Udp(_) = info.address {
        lines.add(format_args!("{fd}:UDP"), "UDP");
    }
    lines.add(format_args!("{fd}:addr"), &info.address);
    if let Some(address) = &info.listen_address {
        lines.add(format_args!("{fd}:listen_addr"), address);
    }
    if let Some(tag) = turn.daemon.tags.name_of(info.tag) {
        lines.add(format_args!("{fd}:tag"), tag);
    }
    lines.add(format_args!("{fd}:state"), state);
    lines.add(format_args!("{fd}:secs_since_last_cmd"), info.silent_seconds(turn.now.seconds));
    // Only larder has it.
    if let Some(worker) = info.worker {
        lines.add(format_args!("{fd}:worker"), worker);
    }
    let Some(identity) = info.identity.get() else { return };
    if let Some(names) = &identity.certificate {
        lines.add(format_args!("{fd}:certificate"), tls::shown(names));
    }
    if let Some(name) = identity.user.get() {
        // A name may hold any bytes, those that move a terminal's cursor among them.
        lines.add(format_args!("{fd}:user"), encoding::uri(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(fd: i32) -> Arc<ConnectionInfo> {
        Arc::new(ConnectionInfo::new(fd, Address::Unknown, None, Tag::default(), Seconds::START))
    }

    #[test]
    fn a_place_is_there_as_long_as_its_descriptor_or_a_higher_one() {
        let connections = Connections::default();
        assert_eq!(connections.end(), 0);
        for fd in [0, 5, 1000, -1] {
            connections.enter(info(fd));
        }
        let listed: Vec<i32> = (0..connections.end()).filter(|&fd| connections.get(fd).is_some()).collect();
        assert_eq!(listed, [0, 5, 1000]);
        connections.leave(1000);
        connections.leave(7);
        connections.leave(-1);
        assert_eq!(connections.end(), SHARDS as i32);
        connections.enter(info(5));
        connections.leave(5);
        assert!(connections.get(5).is_none() && connections.get(0).is_some());
        connections.leave(0);
        assert_eq!(connections.end(), 0);
    }
}
