//! Handshakes that stand still, and many that are ready at once, beside clients who have requests.
//!
//! The daemon is stopped while all send, and a figure that another client is told when it goes on shows how many steps of
//! handshakes came first: see [`crate::fairness`].

use std::io::Write;
use std::net::TcpStream;

use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, SupportedProtocolVersion};

use super::TlsServer;
use super::client::TlsClient;
use super::hostile::{hello, raw};
use crate::differences::applies;
use crate::fairness::{figure_after, while_stopped};

/// Steps of handshakes that a worker takes before others have their turns.
const STEPS: u64 = 2;
/// Handshakes that are ready at once.
const CROWD: usize = 40;

/// One worker, and handshakes that have begun and do not go on, at every place of a greeting.
fn beside_stalled() -> (TlsServer, Vec<TcpStream>) {
    let server = TlsServer::start(&["-t", "1"]);
    let hello = hello(&server);
    let stalled = (0..CROWD).map(|number| {
        let mut stream = raw(&server);
        stream.write_all(&hello[..hello.len() * number / CROWD]).expect("it is open");
        stream
    });
    let stalled = stalled.collect();
    (server, stalled)
}

/// A client whose next bytes end the handshake for the daemon; a question is behind them.
fn almost_done(server: &TlsServer, version: &'static SupportedProtocolVersion) -> TlsClient {
    // A configuration for each, so that no session is resumed.
    let mut client = TlsClient::begin(server.address(), &server.authority.client(&[version], None));
    client.flush().expect("it is open");
    let is_done = |client: &TlsClient| match client.tls.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => client.tls.wants_write(),
        _ => !client.tls.is_handshaking(),
    };
    while !is_done(&client) {
        client.tls.read_tls(&mut client.socket).expect("an answer");
        client.tls.process_new_packets().expect("a good one");
    }
    client.tls.writer().write_all(b"mn\r\n").expect("room");
    client
}

#[test]
fn greetings_that_come_at_once_are_answered_between_the_requests_of_others() {
    applies!();
    let (server, _stalled) = beside_stalled();
    let mut patient = server.plain();
    patient.expect("", "");
    let mut crowd: Vec<_> = (0..CROWD).map(|_| raw(&server)).collect();
    // They are counted once they have failed.
    let failed = figure_after("ssl_handshake_errors", &server.server, &mut patient, || {
        crowd
            .iter_mut()
            .for_each(|stream| stream.write_all(b"\x16\x03\x01\x00\x05hello").expect("it is open"));
    });
    assert!(failed <= STEPS, "{failed} greetings of {CROWD} came first");
    crate::server::wait_until("all have failed", || patient.stat("ssl_handshake_errors") == CROWD as u64);
}

#[test]
fn handshakes_that_come_at_once_are_done_between_the_requests_of_others() {
    applies!();
    let (server, _stalled) = beside_stalled();
    let (mut plain, mut patient) = (server.plain(), server.client());
    patient.expect("", "");
    for version in [&TLS12, &TLS13] {
        let begin = || -> Vec<_> { (0..CROWD).map(|_| almost_done(&server, version)).collect() };
        let flush =
            |crowd: &mut [TlsClient]| crowd.iter_mut().for_each(|client| client.flush().expect("it is open"));
        let mut crowd = begin();
        let done = figure_after("ssl_full_handshakes", &server.server, &mut plain, || flush(&mut crowd));
        assert!(done <= STEPS, "{version:?}: {done} handshakes of {CROWD} came first");
        // Whoever is in by TLS waits no longer.
        let mut others = begin();
        let before = plain.stat("ssl_full_handshakes");
        while_stopped(&server.server, || {
            flush(&mut others);
            patient.send("stats\r\n");
        });
        let stats = patient.ask("");
        let line = stats.lines().find_map(|line| line.strip_prefix("STAT ssl_full_handshakes "));
        let done = line.expect("a figure").parse::<u64>().expect("a number") - before;
        assert!(done <= STEPS, "{version:?}: {done} handshakes of {CROWD} came before a client with TLS");
        for client in crowd.iter_mut().chain(&mut others) {
            client.want("MN\r\n");
        }
    }
    assert_eq!(plain.stat("ssl_handshake_errors"), 0);
}
