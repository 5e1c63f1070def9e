//! Clients that vanish, never read or come in crowds: memory and connections must stay bounded.
//!
//! What they send is harmless; strange bytes are in `bad_input.rs`.

use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::client::{Client, fill};
use crate::differences::start;
use crate::server::{Server, wait_until};

const REFUSED: &[u8] = b"ERROR Too many open connections\r\n";

/// Most resident memory that a client may cost which does not read, however much it asks for.
const UNREAD_BYTES_MAX: usize = 128 << 20;

#[test]
fn clients_that_vanish_in_mid_value_give_everything_back() {
    let mut server = start!();
    let mut other = server.client();
    other.expect("set k 0 0 3\r\nold\r\n", "STORED\r\n");
    let (connections, bytes) = (other.stat("curr_connections"), other.stat("bytes"));
    let half = fill(b'h', 500_000);
    // Together far more than the memory limit.
    for round in 0..300 {
        let mut client = server.client();
        let command = ["set k 0 0", "add new 0 0", "append k 0 0", "cas k 0 0"][round % 4];
        let unique = if command.starts_with("cas") { " 5" } else { "" };
        client.send(format!("{command} 1000000{unique}\r\n{half}"));
        drop(client);
        // What is arriving at one time must fit, or items have to make room for it.
        if round % 20 == 19 {
            wait_until("the connections are closed", || other.stat("curr_connections") == connections);
        }
    }
    wait_until("the connections are closed", || other.stat("curr_connections") == connections);
    assert_eq!((other.stat("curr_items"), other.stat("bytes")), (1, bytes));
    other.expect("get k new\r\n", "VALUE k 0 3\r\nold\r\nEND\r\n");
    for at in 0..30 {
        other.expect(format!("set k{at} 0 0 1000000\r\n{half}{half}\r\n"), "STORED\r\n");
    }
    server.expect_served();
}

#[test]
fn clients_that_vanish_before_their_replies_do_no_harm() {
    let mut server = start!();
    let value = fill(b'x', 1_000_000);
    let mut other = server.client();
    other.expect(format!("set k 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    for _ in 0..50 {
        server.client().send("get k\r\n".repeat(50));
        server.expect_served();
    }
    other.expect("get k\r\n", format!("VALUE k 0 1000000\r\n{value}\r\nEND\r\n"));
}

/// Sends `request` over and over until the daemon stops reading, and proves that memory stays bounded.
#[track_caller]
fn expect_bounded(server: &mut Server, request: &[u8], rounds: usize) {
    let before = server.resident_bytes();
    let stream = TcpStream::connect(server.addresses[0]).unwrap();
    let mut lazy = Client::from_tcp(stream.try_clone().unwrap());
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let blocked = (0..rounds).any(|_| !lazy.send_until_blocked(request));
    assert!(blocked, "the daemon took {rounds} requests without an end");
    for _ in 0..50 {
        server.expect_served();
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < UNREAD_BYTES_MAX, "{grown} bytes more are resident");
    }
}

#[test]
fn a_client_that_never_reads_is_no_longer_read_from() {
    let mut server = start!();
    let value = fill(b'x', 1_000_000);
    server.client().expect(format!("set k 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    expect_bounded(&mut server, "get k\r\n".repeat(10_000).as_bytes(), 1000);
}

#[test]
fn small_replies_that_are_never_read_are_bounded_too() {
    let mut server = start!();
    expect_bounded(&mut server, "get k\r\n".repeat(100_000).as_bytes(), 1000);
}

#[test]
fn one_get_may_ask_for_more_than_fits_into_memory() {
    let mut server = start!();
    let value = fill(b'x', 1_000_000);
    server.client().expect(format!("set k 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    let before = server.resident_bytes();
    let mut lazy = server.client();
    // 25 GB of replies, if somebody read them.
    lazy.send(format!("get {}\r\n", "k ".repeat(25_000)));
    for _ in 0..200 {
        server.expect_served();
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < UNREAD_BYTES_MAX, "{grown} bytes more are resident");
}

/// Connects once more; `None` if the daemon refuses with its error line and closes.
#[track_caller]
pub fn admitted(server: &Server) -> Option<Client> {
    let mut stream = TcpStream::connect(server.addresses[0]).expect("the backlog takes it");
    let mut client = Client::from_tcp(stream.try_clone().unwrap());
    // A refused connection may be reset by this, its error line is already on the way then.
    client.send_until_blocked(b"mn\r\n");
    let mut first = [0; 4];
    stream.read_exact(&mut first).expect("an answer");
    if &first == b"MN\r\n" {
        return Some(client);
    }
    let rest = client.read_to_close();
    assert_eq!([first.as_slice(), &rest].concat(), REFUSED);
    None
}

#[test]
fn connections_beyond_the_limit_are_refused_with_a_line_and_counted() {
    let server = start!(&["-c", "50", "-t", "2"]);
    let mut first = server.client();
    let refused = first.stat("rejected_connections");
    let mut clients = Vec::new();
    while let Some(client) = admitted(&server) {
        clients.push(client);
        assert!(clients.len() <= 50);
    }
    assert!(admitted(&server).is_none());
    assert_eq!(first.stat("rejected_connections"), refused + 2);
    for client in &mut clients {
        client.expect("get k\r\n", "END\r\n");
    }
}

#[test]
fn a_slot_is_free_again_after_a_close() {
    let server = start!(&["-c", "50", "-t", "2"]);
    let _first = server.client();
    let mut clients: Vec<_> = std::iter::from_fn(|| admitted(&server)).collect();
    for round in 0..20 {
        drop(clients.swap_remove(round % clients.len()));
        wait_until("the slot is free", || match admitted(&server) {
            Some(client) => {
                clients.push(client);
                true
            }
            None => false,
        });
        assert!(admitted(&server).is_none());
    }
}

#[test]
fn the_limit_counts_connections() {
    let server = start!(&["-c", "10"]);
    let _first = server.client();
    let others: Vec<_> = std::iter::from_fn(|| admitted(&server)).collect();
    assert_eq!(others.len(), 9);
}

#[test]
fn a_crowd_that_comes_and_goes_leaves_nothing() {
    let mut server = start!();
    let mut other = server.client();
    let connections = other.stat("curr_connections");
    for _ in 0..10 {
        let mut crowd: Vec<_> = (0..200).map(|_| server.client()).collect();
        for client in &mut crowd {
            client.send("get k\r\n");
        }
        for client in &mut crowd {
            client.expect_so_far("", "END\r\n");
        }
    }
    wait_until("the connections are closed", || other.stat("curr_connections") == connections);
    server.expect_served();
}

#[test]
fn running_out_of_descriptors_stops_nobody_who_is_connected() {
    let server = start!(&["-t", "2"]);
    let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
    for client in &mut clients {
        client.expect("get k\r\n", "END\r\n");
    }
    let set = Command::new("prlimit").args(["--nofile=45:45", "--pid", &server.pid().to_string()]).status();
    if !set.is_ok_and(|status| status.success()) {
        println!("left out: there is no prlimit here");
        return;
    }
    // Some of these wait in the backlog, are refused or do not even get that far.
    let connect = |_| TcpStream::connect_timeout(&server.addresses[0], Duration::from_millis(50));
    let waiting: Vec<_> = (0..40).map(connect).collect();
    for client in &mut clients {
        client.expect("set k 0 0 1\r\n1\r\ndelete k\r\n", "STORED\r\nDELETED\r\n");
    }
    drop(waiting);
    drop(clients);
    wait_until("new clients are served again", || admitted(&server).is_some());
}
