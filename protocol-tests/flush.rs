//! flush_all now and later.
//!
//! Its numbers are in `numbers.rs`.

use crate::differences::start;
use crate::server::wait_until;

#[test]
fn flush_all_takes_everything_that_is_there() {
    let server = start!();
    let mut client = server.client();
    let sets: String =
        (0..500).map(|at| format!("set k{at} 0 0 {}\r\n{}\r\n", at * 3, "x".repeat(at * 3))).collect();
    client.expect(sets, "STORED\r\n".repeat(500));
    client.expect("flush_all\r\n", "OK\r\n");
    let keys: String = (0..500).map(|at| format!(" k{at}")).collect();
    client.expect(format!("get{keys}\r\n"), "END\r\n");
    client.expect("add k1 0 0 1\r\n1\r\n", "STORED\r\n");
    client.expect("replace k2 0 0 1\r\n1\r\n", "NOT_STORED\r\n");
    client.expect("delete k3\r\nincr k4 1\r\ntouch k5 0\r\n", "NOT_FOUND\r\n".repeat(3));
}

#[test]
fn what_is_stored_right_after_a_flush_lives() {
    let server = start!();
    let mut client = server.client();
    for round in 0..100 {
        client.expect(
            format!("set a 0 0 1\r\n1\r\nflush_all\r\nset b 0 0 3\r\n{round:03}\r\nget a b\r\n"),
            format!("STORED\r\nOK\r\nSTORED\r\nVALUE b 0 3\r\n{round:03}\r\nEND\r\n"),
        );
    }
}

#[test]
fn a_flush_is_seen_by_every_connection() {
    let server = start!();
    let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.expect(format!("set k{at} 0 0 1\r\n1\r\n"), "STORED\r\n");
    }
    clients[3].expect("flush_all 0\r\n", "OK\r\n");
    for client in &mut clients {
        client.expect("get k0 k1 k2 k3 k4 k5 k6 k7\r\n", "END\r\n");
    }
}

#[test]
fn a_flush_gives_the_memory_back() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    client.expect("flush_all\r\nget a\r\n", "OK\r\nEND\r\n");
    wait_until("flushed items are taken away", || client.stat("curr_items") == 0);
    assert_eq!(client.stat("bytes"), 0);
}

#[test]
fn a_delayed_flush_comes_later() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    client.expect("flush_all 2\r\n", "OK\r\n");
    client.expect("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    wait_until("the flush comes", || client.ask("get a\r\n") == b"END\r\n");
    // What is stored in the very second of the flush may still go with it.
    wait_until("new items stay", || {
        client.ask("set a 0 0 1\r\n2\r\nget a\r\n") == b"STORED\r\nVALUE a 0 1\r\n2\r\nEND\r\n"
    });
}

#[test]
fn a_delayed_flush_takes_what_was_stored_before_it_came() {
    let server = start!();
    let mut client = server.client();
    client.expect("flush_all 2\r\nset a 0 0 1\r\n1\r\n", "OK\r\nSTORED\r\n");
    client.expect("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    wait_until("the flush comes", || client.ask("get a\r\n") == b"END\r\n");
}

#[test]
fn a_later_flush_replaces_a_pending_one() {
    let server = start!();
    let mut client = server.client();
    client.expect("flush_all 2\r\n", "OK\r\n");
    client.expect(
        "flush_all 1000\r\nset a 0 0 1\r\n1\r\nset clock 0 3 1\r\n1\r\n",
        "OK\r\nSTORED\r\nSTORED\r\n",
    );
    // Once this is gone, the first flush would have come.
    wait_until("three seconds pass", || client.ask("get clock\r\n") == b"END\r\n");
    client.expect("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn flush_all_can_be_forbidden() {
    let server = start!(&["-F"]);
    let mut client = server.client();
    client.expect_all(&[
        ("set a 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n"),
        ("flush_all 10\r\n", "CLIENT_ERROR flush_all not allowed\r\n"),
        ("flush_all noreply\r\n", ""),
        ("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
    ]);
    assert_eq!(client.stat("cmd_flush"), 3);
}
