//! exptimes as they pass: at once, after seconds, at an absolute time, after touch and gat.
//!
//! Waits by asking again and again. A lower bound is claimed only where the time that passed here proves it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::client::Client;
use crate::differences::start;
use crate::server::wait_until;

/// Waits until `key` is gone.
#[track_caller]
fn wait_for_miss(client: &mut Client, key: &str) {
    wait_until(&format!("{key} expires"), || client.ask(format!("get {key}\r\n")) == b"END\r\n");
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

#[test]
fn negative_and_past_exptimes_are_accepted_and_over_at_once() {
    let server = start!();
    let mut client = server.client();
    let ago = (unix_now() - 1000).to_string();
    for exptime in ["-1", "-100", "-2147483648", "2592001", ago.as_str()] {
        client.expect(format!("set k 0 {exptime} 1\r\na\r\nget k\r\n"), "STORED\r\nEND\r\n");
        client.expect("set k 0 0 1\r\na\r\n", "STORED\r\n");
        client.expect(format!("touch k {exptime}\r\nget k\r\n"), "TOUCHED\r\nEND\r\n");
    }
}

#[test]
fn relative_exptimes_live_at_least_all_but_one_second_and_then_end() {
    let server = start!();
    let mut client = server.client();
    for exptime in [1, 3] {
        let start = Instant::now();
        client.expect(
            format!("set k 0 {exptime} 1\r\na\r\nset long 0 100 1\r\nb\r\nset ever 0 0 1\r\nc\r\n"),
            "STORED\r\nSTORED\r\nSTORED\r\n",
        );
        wait_for_miss(&mut client, "k");
        assert!(start.elapsed() >= Duration::from_secs(exptime - 1), "{exptime} s ended too early");
        client.expect("get k long ever\r\n", "VALUE long 0 1\r\nb\r\nVALUE ever 0 1\r\nc\r\nEND\r\n");
    }
}

#[test]
fn absolute_exptimes_end_at_that_time() {
    let server = start!();
    let mut client = server.client();
    let at = unix_now() + 3;
    let start = Instant::now();
    client.expect(format!("set k 0 {at} 1\r\na\r\n"), "STORED\r\n");
    wait_for_miss(&mut client, "k");
    assert!(start.elapsed() >= Duration::from_secs(1), "ended too early");
    client.expect(
        format!("set k 0 {} 1\r\na\r\nget k\r\n", unix_now() + 1000),
        "STORED\r\nVALUE k 0 1\r\na\r\nEND\r\n",
    );
}

#[test]
fn thirty_days_are_relative_and_a_second_more_is_absolute() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 0 2592000 1\r\na\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\na\r\nEND\r\n"),
        ("set k 0 2592001 1\r\na\r\nget k\r\n", "STORED\r\nEND\r\n"),
    ]);
}

#[test]
fn touch_and_gat_shorten_and_lengthen_the_life() {
    let server = start!();
    let mut client = server.client();
    client.expect(
        "set a 0 0 1\r\na\r\nset b 0 0 1\r\nb\r\nset c 0 2 1\r\nc\r\nset d 0 2 1\r\nd\r\nset z 0 2 1\r\nz\r\n",
        "STORED\r\n".repeat(5),
    );
    client.expect(
        "touch a 2\r\ngat 2 b\r\ntouch c 100\r\ngat 0 d\r\n",
        "TOUCHED\r\nVALUE b 0 1\r\nb\r\nEND\r\nTOUCHED\r\nVALUE d 0 1\r\nd\r\nEND\r\n",
    );
    for key in ["a", "b", "z"] {
        wait_for_miss(&mut client, key);
    }
    client.expect("get a b c d z\r\n", "VALUE c 0 1\r\nc\r\nVALUE d 0 1\r\nd\r\nEND\r\n");
}

#[test]
fn append_and_incr_do_not_lengthen_the_life() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 2 1\r\n9\r\nset n 0 2 1\r\n9\r\n", "STORED\r\nSTORED\r\n");
    client.expect("append k 0 0 1\r\n9\r\nincr n 1\r\n", "STORED\r\n10\r\n");
    wait_for_miss(&mut client, "k");
    wait_for_miss(&mut client, "n");
}

#[test]
fn set_gives_a_new_life() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 1 1\r\na\r\nset other 0 1 1\r\na\r\nset k 0 0 1\r\nb\r\n", "STORED\r\n".repeat(3));
    wait_for_miss(&mut client, "other");
    client.expect("get k\r\n", "VALUE k 0 1\r\nb\r\nEND\r\n");
}

#[test]
fn memory_of_expired_items_comes_back_without_being_asked_for() {
    let server = start!();
    let mut client = server.client();
    let sets: String = (0..1000).map(|at| format!("set k{at} 0 1 100\r\n{}\r\n", "x".repeat(100))).collect();
    client.expect(sets, "STORED\r\n".repeat(1000));
    wait_until("expired items are taken away", || client.stat("curr_items") == 0);
    assert_eq!(client.stat("bytes"), 0);
}
