//! What is not TLS where it is spoken, TLS where it is not, and handshakes that come to nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::version::TLS13;

use super::TlsServer;
use crate::client::Client;
use crate::differences::{applies, start};
use crate::server::{Kind, wait_until};

/// A connection without TLS to where it is spoken.
pub fn raw(server: &TlsServer) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    stream
}

/// The greeting of a client.
pub fn hello(server: &TlsServer) -> Vec<u8> {
    let name = "localhost".try_into().expect("a name");
    let config = server.authority.client(&[&TLS13], None);
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(config, name).expect("a client");
    client.write_tls(&mut hello).expect("a vector");
    hello
}

/// Everything up to the end, however that comes.
fn to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got);
    got
}

#[test]
fn plain_text_is_closed_counted_and_told_of() {
    let server = TlsServer::start(&[]);
    let mut plain = server.plain();
    for sent in ["get k\r\n", "set k 0 0 1\r\n1\r\n", "\x16not TLS either\r\n"] {
        let mut stream = raw(&server);
        stream.write_all(sent.as_bytes()).expect("it is open");
        let got = to_end(stream);
        assert!(!got.windows(3).any(|word| word == b"END"), "{got:?}");
    }
    plain.expect("get k\r\n", "END\r\n");
    // memcached counts those alone whose first bytes are there when it accepts.
    if Kind::under_test() == Kind::Larder {
        wait_until("all are counted", || plain.stat("ssl_handshake_errors") == 3);
        server.wait_for_log("TLS: the client does not speak TLS, which this address expects");
    }
    server.client().expect("get k\r\n", "END\r\n");
}

#[test]
fn garbage_of_every_kind_is_closed_and_nobody_else_notices() {
    let server = TlsServer::start(&["-t", "1"]);
    let (mut other, mut plain) = (server.client(), server.plain());
    let hello = hello(&server);
    let at_first = plain.stat("curr_connections");
    let mut cases = vec![
        vec![0; 100],
        vec![0xff; 20_000],
        // A record of the greatest length, and one that is longer.
        [b"\x16\x03\x01\xff\xff\x01".as_slice(), &[0; 70_000]].concat(),
        [b"\x16\x03\x01\x40\x00\x01\xff\xff\xff".as_slice(), &[7; 70_000]].concat(),
        b"\x15\x03\x03\x00\x02\x02\x00".to_vec(),
        b"\x17\x03\x03\x00\x05hello".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    ];
    for at in (0..hello.len()).step_by(7) {
        let mut broken = hello.clone();
        broken[at] ^= 0x55;
        cases.push(broken);
        cases.push(hello[..at].to_vec());
        cases.push([&hello[..], &hello[..at]].concat());
    }
    for case in &cases {
        let mut stream = raw(&server);
        // The daemon may have closed before all of it has gone.
        let _ = stream.write_all(case);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        to_end(stream);
        other.expect("get x\r\n", "END\r\n");
    }
    wait_until("all are closed", || plain.stat("curr_connections") == at_first);
    server.client().expect("get x\r\n", "END\r\n");
}

#[test]
fn what_is_broken_after_the_handshake_is_closed_and_counted() {
    applies!();
    let server = TlsServer::start(&[]);
    let mut client = server.client();
    client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    client.tls.writer().write_all(b"delete k\r\n").expect("room");
    let mut sealed = Vec::new();
    client.tls.write_tls(&mut sealed).expect("a vector");
    *sealed.last_mut().expect("bytes") ^= 1;
    client.socket.write_all(&sealed).expect("it is open");
    let mut bytes = [0; 100];
    assert!(client.read(&mut bytes).is_err());
    let mut plain = server.plain();
    wait_until("it is counted", || plain.stat("ssl_proto_errors") == 1);
    assert_eq!(plain.stat("ssl_handshake_errors"), 0);
    plain.expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn a_handshake_that_stands_still_hinders_nobody_and_is_closed() {
    applies!();
    let server = TlsServer::start(&["-t", "1", "-o", "idle_timeout=2"]);
    let hello = hello(&server);
    let begun: Vec<_> = (0..30)
        .map(|number| {
            let mut stream = raw(&server);
            // From nothing at all to a whole greeting.
            stream.write_all(&hello[..hello.len() * number / 29]).expect("it is open");
            stream
        })
        .collect();
    server.client().expect("get x\r\n", "END\r\n");
    for stream in begun {
        to_end(stream);
    }
    // A new client each time: who is silent is closed, too.
    let timeouts = || Client::tcp(server.server.addresses[0]).stat("ssl_handshake_timeouts");
    wait_until("all are counted", || timeouts() == 30);
    server.wait_for_log("TLS: the handshake takes more than 2 s");
}

#[test]
fn tls_where_none_is_spoken_is_closed_and_told_of() {
    applies!();
    let server = TlsServer::start(&[]);
    let mut hello = hello(&server);
    for is_cut in [false, true] {
        let mut stream = TcpStream::connect(server.server.addresses[0]).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket");
        if is_cut {
            // The log has had its line for now, but it is closed all the same.
            for byte in hello.drain(..5) {
                stream.write_all(&[byte]).expect("it is open");
            }
        }
        stream.write_all(&hello).expect("it is open");
        assert_eq!(to_end(stream), b"");
    }
    server.wait_for_log("it speaks TLS, this address does not");
}

#[test]
fn what_only_looks_like_a_greeting_is_a_command() {
    let server = start!();
    let mut client = server.client();
    client.expect(b"\x16\x03\x01\r\n", "ERROR\r\n");
    client.expect(b"\x16\x03\x01\x02\x00\x01\x00\r\n", "ERROR\r\n");
}

#[test]
fn watchers_are_told_of_handshakes_that_fail() {
    applies!();
    let server = TlsServer::start(&[]);
    let mut watcher = server.plain();
    watcher.expect_so_far("watch connevents\r\n", "OK\r\n");
    raw(&server).write_all(b"get k\r\n").expect("it is open");
    let mut seen = String::new();
    wait_until("it is told of", || {
        seen.push_str(&String::from_utf8(watcher.read_some()).expect("text"));
        seen.contains("type=conn_close")
    });
    assert!(seen.contains(" type=conntlserr fd="), "{seen}");
    assert!(seen.contains(" msg=the client does not speak TLS"), "{seen}");
    assert!(seen.contains("reason=error"), "{seen}");
}

#[test]
fn clients_beyond_the_limit_are_closed_without_a_word_in_plain_text() {
    applies!();
    let server = TlsServer::start(&["-c", "5"]);
    // The connection that proved that the daemon accepts is the fifth.
    let _clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    let mut stream = raw(&server);
    let _ = stream.write_all(&[0x16]);
    assert_eq!(to_end(stream), b"");
}

#[test]
fn who_breaks_off_at_any_place_takes_nothing_along() {
    let server = TlsServer::start(&["-t", "2"]);
    let value = crate::client::fill(b'v', 500_000);
    let mut plain: Client = server.plain();
    plain.expect(format!("set k 0 0 500000\r\n{value}\r\n"), "STORED\r\n");
    let at_first = plain.stat("curr_connections");
    for round in 0..60 {
        let mut client = server.client();
        match round % 4 {
            0 => client.send("get k\r\n".repeat(10)),
            1 => client.send(format!("set half 0 0 500000\r\n{}", &value[..300_000])),
            2 => {
                client.send("get k\r\n");
                client.want("VALUE k 0 500000\r\nvvv");
            }
            _ => client.send("get"),
        }
        socket2::SockRef::from(&client.socket).set_linger(Some(Duration::ZERO)).expect("a socket");
    }
    wait_until("all are closed", || plain.stat("curr_connections") == at_first);
    plain.expect("get half\r\n", "END\r\n");
    plain.expect("get k\r\n", format!("VALUE k 0 500000\r\n{value}\r\nEND\r\n"));
}
