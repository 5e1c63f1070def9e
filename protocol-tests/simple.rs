//! version, verbosity, quit, mn, shutdown: commands about the connection or the daemon.
//!
//! Signals and exit codes are in `process.rs`.

use crate::differences::start;
use crate::server::{Kind, Server};

#[test]
fn version_says_memcached_1_6() {
    let server = Server::start();
    let reply = server.client().ask_text("version\r\n");
    let version = reply.strip_prefix("VERSION ").and_then(|rest| rest.strip_suffix("\r\n"));
    let version = version.unwrap_or_else(|| panic!("version answers {reply:?}"));
    assert!(version.starts_with("1.6."), "clients choose features by this: {version}");
    if Kind::under_test() == Kind::Larder {
        assert_eq!(version, "1.6.45");
    }
}

#[test]
fn verbosity_is_acknowledged() {
    let server = start!();
    server.client().expect_all(&[
        ("verbosity 1\r\n", "OK\r\n"),
        ("verbosity 99\r\n", "OK\r\n"),
        ("verbosity 0\r\n", "OK\r\n"),
    ]);
}

#[test]
fn verbosity_shows_in_the_settings_and_is_capped_at_2() {
    let server = start!();
    let mut client = server.client();
    for (given, shown) in [("1", "1"), ("2", "2"), ("7", "2"), ("0", "0")] {
        client.expect(format!("verbosity {given}\r\n"), "OK\r\n");
        let settings = client.stats("stats settings");
        let pair = ("verbosity".to_string(), shown.to_string());
        assert!(settings.contains(&pair), "verbosity {given}");
    }
}

#[test]
fn mn_is_answered_whatever_follows() {
    let server = start!();
    server.client().expect_all(&[
        ("mn\r\n", "MN\r\n"),
        ("mn foo bar\r\nmn\r\n", "MN\r\nMN\r\n"),
        ("mn k s v\r\n", "MN\r\n"),
    ]);
}

#[test]
fn quit_closes_without_a_reply() {
    let server = start!();
    server.client().expect_close("quit\r\n", "");
    server.client().expect_close("quit now\r\n", "");
    server.client().expect_close("quit noreply\r\n", "");
}

#[test]
fn quit_drops_what_follows_and_sends_what_came_before() {
    let server = start!();
    server.client().expect_close(
        "set k 0 0 1\r\n1\r\nget k\r\nquit\r\ndelete k\r\nmn\r\n",
        "STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n",
    );
    server.client().expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn quit_sends_large_replies_first() {
    let server = start!();
    let value = "x".repeat(1_000_000);
    server.client().expect(format!("set k 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    let reply = format!("VALUE k 0 1000000\r\n{value}\r\nEND\r\n");
    server.client().expect_close("get k\r\nget k\r\nget k\r\nquit\r\n", reply.repeat(3));
}

#[test]
fn a_client_that_only_stops_sending_gets_its_replies() {
    let server = start!();
    let stream = std::net::TcpStream::connect(server.addresses[0]).unwrap();
    let mut client = crate::client::Client::from_tcp(stream.try_clone().unwrap());
    client.send("set k 0 0 1\r\n1\r\nget k\r\nget k");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let got = client.read_to_close();
    assert_eq!(got, b"STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn shutdown_must_be_enabled() {
    let server = start!();
    server.client().expect_all(&[
        ("shutdown\r\n", "SERVER_ERROR: shutdown not enabled\r\n"),
        ("shutdown noreply\r\n", ""),
    ]);
}
