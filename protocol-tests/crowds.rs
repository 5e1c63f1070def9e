//! Crowds: thousands who come at once, tens of thousands who come and go, many who say nothing. All are served,
//! and nothing of them stays behind.

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::SockRef;

use crate::client::Client;
use crate::conns::conns;
use crate::differences::{applies, start};
use crate::hostile_clients::admitted;
use crate::server::{Server, is_root, wait_until};

const THREADS: usize = 4;
/// Descriptors that a test needs beside those of its crowd.
const DESCRIPTORS_SPARE: usize = 300;
/// Connections that a worker takes in at a time are fewer.
const CROWD: usize = 4000;
/// Resident memory that may stay after a crowd has gone.
const LEFT_BYTES_MAX: usize = 16 << 20;

/// How many of a crowd of `wanted` this process may have open.
fn allowed(wanted: usize) -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let needed = (wanted + DESCRIPTORS_SPARE) as u64;
    if soft < needed {
        setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard).expect("the hard limit is not exceeded");
    }
    wanted.min(hard as usize - DESCRIPTORS_SPARE)
}

/// What `each` makes of connections that several threads open at once, `count` in all.
fn at_once<T: Send>(address: SocketAddr, count: usize, each: impl Fn(TcpStream) -> T + Sync) -> Vec<T> {
    let connect = |_| each(TcpStream::connect(address).expect("the backlog takes it"));
    let some = || (0..count / THREADS).map(connect).collect::<Vec<_>>();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// The option without which only root sees them.
fn visible() -> Option<&'static str> {
    (!is_root()).then_some("-r")
}

/// Open descriptors of the daemon.
fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the daemon runs").count()
}

#[test]
fn a_storm_of_connects_is_served_to_the_last() {
    let mut options = vec!["-c", "5000", "-t", "4"];
    options.extend(visible());
    let server = start!(&options);
    let mut first = server.client();
    let (connections, files) = (first.stat("curr_connections"), descriptors(&server));
    let crowd = allowed(CROWD) / THREADS * THREADS;
    let mut clients = at_once(server.addresses[0], crowd, |stream| {
        let mut client = Client::from_tcp(stream);
        client.send("mn\r\n");
        client
    });
    first.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    for client in &mut clients {
        client.expect_so_far("get k\r\n", "MN\r\nVALUE k 0 1\r\n1\r\nEND\r\n");
    }
    assert_eq!(first.stat("curr_connections"), connections + crowd as u64);
    assert_eq!(first.stat("rejected_connections"), 0);
    drop(clients);
    wait_until("the crowd has gone", || first.stat("curr_connections") == connections);
    wait_until("its descriptors are closed", || descriptors(&server) == files);
}

#[test]
fn of_a_storm_beyond_the_limit_each_is_served_or_told() {
    let server = start!(&["-c", "200", "-t", "2"]);
    let mut first = server.client();
    let answers = thread::scope(|scope| {
        let some = || (0..100).map(|_| admitted(&server)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let refused = answers.iter().filter(|answer| answer.is_none()).count();
    assert!((200..400).contains(&refused), "{refused} of 400");
    assert_eq!(first.stat("rejected_connections"), refused as u64);
    for mut client in answers.into_iter().flatten() {
        client.expect("get k\r\n", "END\r\n");
    }
}

#[test]
fn those_who_may_wait_are_served_one_after_the_other() {
    applies!();
    let server = start!(&["-c", "50", "-t", "2", "-o", "no_maxconns_fast"]);
    let mut first = server.client();
    let waiting = at_once(server.addresses[0], 160, |stream| {
        let mut client = Client::from_tcp(stream);
        client.send("mn\r\n");
        client
    });
    wait_until("it accepts no more", || first.stat("accepting_conns") == 0);
    assert_eq!(first.stat("curr_connections"), 50);
    // In the order in which they came, more or less: each that is answered makes room for another.
    thread::scope(|scope| {
        for mut client in waiting {
            scope.spawn(move || client.expect_so_far("", "MN\r\n"));
        }
    });
    wait_until("it accepts again", || first.stat("accepting_conns") == 1);
    assert!(first.stat("listen_disabled_num") > 0);
    server.client().expect("get k\r\n", "END\r\n");
}

#[test]
fn short_connections_leave_nothing_behind() {
    let mut options = vec!["-t", "2"];
    options.extend(visible());
    let mut server = start!(&options);
    let mut first = server.client();
    // Buffers and lists have the size that such a load needs.
    churn(&server, &mut first, 2000);
    let (files, bytes) = (descriptors(&server), server.resident_bytes());
    let count =
        std::env::var("LARDER_TEST_CONNECTS").map_or(20_000, |count| count.parse().expect("a number"));
    churn(&server, &mut first, count);
    wait_until("their descriptors are closed", || descriptors(&server) == files);
    let left = server.resident_bytes().saturating_sub(bytes);
    assert!(left < LEFT_BYTES_MAX, "{left} bytes more are resident");
    server.expect_served();
}

/// So many connections that end in four ways, until all have been accepted and have gone.
fn churn(server: &Server, first: &mut Client, count: usize) {
    let before = first.stat("total_connections");
    let one = |number: usize| {
        let stream = TcpStream::connect(server.addresses[0]).expect("the backlog takes it");
        let reset = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
        reset.expect("a socket");
        let mut client = Client::from_tcp(stream);
        match number % 4 {
            0 => client.expect_so_far("get k\r\n", "END\r\n"),
            1 => client.expect_close("get k\r\nquit\r\n", "END\r\n"),
            2 => client.send("get k\r\nset k 0 0 10\r\nhalf"),
            _ => {}
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..count / THREADS).for_each(one));
        }
    });
    // The last may still wait to be accepted, when all that were accepted have gone.
    wait_until("all are accepted", || first.stat("total_connections") >= before + count as u64);
    wait_until("they have gone", || first.stat("curr_connections") == 1);
    assert_eq!(first.stat("total_connections"), before + count as u64);
}

#[test]
fn all_who_say_nothing_are_closed_and_nobody_else() {
    let server = start!(&["-t", "2", "-o", "idle_timeout=1"]);
    let mut busy = server.client();
    // Some are closed at a time only.
    let mut silent: Vec<_> = (0..300).map(|_| server.client()).collect();
    wait_until("all are closed", || busy.stat("idle_kicks") >= 300);
    assert_eq!((busy.stat("idle_kicks"), busy.stat("curr_connections")), (300, 1));
    silent.iter_mut().for_each(|silent| assert_eq!(silent.read_to_close(), b""));
}

/// Connections by worker, clients alone.
fn by_worker(client: &mut Client) -> BTreeMap<String, Vec<HashMap<String, String>>> {
    let mut workers: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (_, conn) in conns(client) {
        if let Some(worker) = conn.get("worker") {
            workers.entry(worker.clone()).or_default().push(conn);
        }
    }
    workers
}

#[track_caller]
fn expect_balanced(client: &mut Client, connections: usize) {
    wait_until("all are listed", || by_worker(client).values().map(Vec::len).sum::<usize>() == connections);
    let counts: Vec<usize> = by_worker(client).values().map(Vec::len).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(counts.len() == 4 && most - least <= 1, "{counts:?}");
}

#[test]
fn connections_are_spread_evenly_whoever_leaves() {
    applies!();
    let server = start!(&["-t", "4"]);
    let mut first = server.client();
    let connect = || TcpStream::connect(server.addresses[0]).expect("the backlog takes it");
    let mut clients: Vec<_> = (0..81).map(|_| connect()).collect();
    expect_balanced(&mut first, 82);
    for round in 0..8 {
        // All of one worker's leave, of another's most.
        let (one, other) = (round % 4, (round + 1) % 4);
        let workers = by_worker(&mut first);
        let leaves: Vec<&String> = workers[&one.to_string()]
            .iter()
            .chain(&workers[&other.to_string()][round..])
            .map(|conn| &conn["addr"])
            .collect();
        clients.retain(|client| !leaves.contains(&&format!("tcp:{}", client.local_addr().unwrap())));
        let left = clients.len() as u64 + 1;
        wait_until("they have left", || first.stat("curr_connections") == left);
        clients.extend((left..82).map(|_| connect()));
        expect_balanced(&mut first, 82);
    }
}
