use std::io::Write;
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::auth::{Guard, Kind};
use crate::base::clock::Clock;
use crate::config::Settings;
use crate::protocol::memcached::{Address, Hooks, Tag};
use crate::server::transport::Transport;
use crate::store::{Store, StoreOptions};

/// A daemon with one user, whose password is known to nobody from this machine.
fn daemon() -> Daemon {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "foo:bar\n").unwrap();
    let store = Store::new(&StoreOptions { workers: 1, ..StoreOptions::default() });
    let settings = Settings { threads: 1, ..Settings::default() };
    let mut daemon = Daemon::new(settings, store, Clock::start(), Hooks::default());
    let (guard, _) = Guard::open(Kind::Passwords, file.path()).unwrap();
    for guess in [b"a", b"b", b"c"] {
        guard.judge(b"foo", guess, Some([127, 0, 0, 1].into()), daemon.clock.now().seconds);
    }
    daemon.guard = Some(guard);
    daemon
}

fn newcomer(listener: &TcpListener) -> Newcomer {
    let (socket, peer) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    Newcomer {
        transport: Transport::Tcp(mio::net::TcpStream::from_std(socket)),
        peer: Address::Tcp(peer),
        tag: Tag::default(),
        security: Security::Plain,
        listen_address: None,
        place: None,
    }
}

#[test]
fn a_place_that_is_taken_over_waits_once_for_its_login() {
    let poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), WAKER).unwrap());
    let (daemon, stop) = (Arc::new(daemon()), Arc::default());
    let (mut worker, handle) = Worker::new(0, Vec::new(), daemon, None, waker, stop).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut events = Events::with_capacity(8);
    for _ in 0..3 {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"set x 0 0 7\r\nfoo bar\r\n").unwrap();
        worker.daemon.connections.open.take();
        handle.take(newcomer(&listener)).unwrap();
        worker.adopt();
        while !worker.connections[0].is_in_login_list {
            worker.poll.poll(&mut events, None).unwrap();
            events.iter().filter(|event| event.token() != WAKER).for_each(|event| worker.note(event));
        }
        assert_eq!(worker.logins, [Token(0)]);
        worker.close(Token(0), CloseReason::Normal);
    }
}
