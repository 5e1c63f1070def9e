//! Bytes that no client should send: each must leave the daemon alive and other clients served.
//!
//! Clients that behave badly over time (vanish, never read, come in crowds) are in `hostile_clients.rs`.

use std::env;
use std::time::{Duration, Instant};

use crate::client::{Client, fill};
use crate::differences::start;
use crate::server::Server;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

/// A small generator (splitmix64), so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Sends `bytes` over a connection of its own, leaves, and proves that the daemon still serves.
#[track_caller]
fn expect_survived(server: &mut Server, bytes: impl AsRef<[u8]>) {
    let mut client = server.client();
    client.send_until_blocked(bytes.as_ref());
    server.expect_served();
    drop(client);
    server.expect_served();
}

#[test]
fn over_long_keys() {
    let mut server = start!();
    for length in [251, 1000, 1900, 2047, 2048, 2049, 20_000, 1_000_000] {
        let key = fill(b'k', length);
        for line in [
            "get K",
            "gets K K",
            "gat 0 K",
            "set K 0 0 5",
            "delete K",
            "incr K 1",
            "touch K 0",
            "K",
            "cas K 0 0 5 5",
        ] {
            expect_survived(&mut server, format!("{}\r\nhello\r\n", line.replace('K', &key)));
        }
    }
}

#[test]
fn a_line_that_never_ends_closes_the_connection() {
    let mut server = start!();
    for byte in [b'x', b'\0', b' ', b'\r', 0xff] {
        server.client().expect_close(vec![byte; 100_000], "");
        server.expect_served();
    }
}

#[test]
fn a_get_line_of_a_megabyte_is_served() {
    let mut server = start!();
    let mut client = server.client();
    let sets: String = (0..10).map(|at| format!("set key{at} 0 0 1\r\n{at}\r\n")).collect();
    client.expect(sets, "STORED\r\n".repeat(10));
    let keys: String = (0..200_000).map(|at| format!("key{} ", at % 10)).collect();
    let hits: String = (0..200_000).map(|at| format!("VALUE key{0} 0 1\r\n{0}\r\n", at % 10)).collect();
    client.expect(format!("get {keys}\r\n"), format!("{hits}END\r\n"));
    client.expect(format!("get {}key5\r\n", "miss ".repeat(200_000)), "VALUE key5 0 1\r\n5\r\nEND\r\n");
    server.expect_served();
}

#[test]
fn a_get_line_that_is_never_ended_is_no_burden() {
    let mut server = start!();
    let before = server.resident_bytes();
    for _ in 0..20 {
        expect_survived(&mut server, format!("get {}", "key ".repeat(250_000)));
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more are resident");
}

#[test]
fn lengths_that_are_none() {
    let mut server = start!();
    for bytes in [
        "-1",
        "-2147483648",
        "2147483646",
        "2147483647",
        "2147483648",
        "99999999999999999999",
        "abc",
        "1e3",
        "0x10",
        "\u{661}",
    ] {
        server.client().expect(format!("set k 0 0 {bytes}\r\n"), BAD_LINE);
        server.expect_served();
    }
}

#[test]
fn huge_lengths_reserve_nothing() {
    let mut server = start!();
    let before = server.resident_bytes();
    let mut clients: Vec<_> = (0..50).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("set k 0 0 2147483645\r\nabc");
        server.expect_served();
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more are resident");
}

#[test]
fn data_longer_or_shorter_than_announced() {
    let mut server = start!();
    for (announced, sent) in [
        (0, 1),
        (1, 0),
        (5, 500),
        (500, 5),
        (1_000_000, 1),
        (1, 1_000_000),
        (100_000, 100_001),
        (100_001, 100_000),
    ] {
        expect_survived(&mut server, format!("set k 0 0 {announced}\r\n{}\r\n", fill(b'd', sent)));
        expect_survived(
            &mut server,
            format!("set k 0 0 {announced} noreply\r\n{}\r\nget k\r\n", fill(b'\n', sent)),
        );
    }
}

#[test]
fn control_bytes_and_foreign_protocols() {
    let mut server = start!();
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &Random(7).bytes(506)].concat();
    let rows: [&[u8]; 14] = [
        b"\0\r\n",
        b"\0\0\0\0\0\0\0\0\r\n",
        b"get \0\r\n",
        b"set \0 0 0 \0\r\n",
        b"set k\0 0\0 0\0 1\0\r\nx\r\n",
        b"\x01\x02\x03\x04\r\n\x7f\x7f\x7f\x7f\r\n",
        b"\xff\xff\xff\xff\r\n\xfe\xfe\xfe\xfe\r\n",
        b"\r\r\r\r\r\n\n\n\n\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"EHLO localhost\r\nQUIT\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        &hello,
    ];
    for row in rows {
        expect_survived(&mut server, row);
    }
}

#[test]
fn a_tls_hello_is_not_taken_for_data() {
    let server = start!();
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[b'r'; 506]].concat();
    server.client().expect([hello.as_slice(), b"\r\n"].concat(), "ERROR\r\n");
}

#[test]
fn random_bytes() {
    let mut server = start!();
    let soak =
        env::var("LARDER_TEST_SOAK_SECS").ok().and_then(|secs| secs.parse().ok()).map(Duration::from_secs);
    let start = Instant::now();
    for seed in 0.. {
        let more = soak.map_or(seed < 150, |soak| start.elapsed() < soak);
        if !more {
            break;
        }
        let mut random = Random(seed);
        let length = 1 + random.below(5000) as usize;
        let mut bytes = random.bytes(length);
        // Without 0x80 in front, or memcached takes it for its binary protocol.
        bytes[0] &= 0x7f;
        expect_survived(&mut server, bytes);
    }
}

#[test]
fn random_pieces_of_commands() {
    let mut server = start!();
    let pieces = [
        "get ",
        "set ",
        "k",
        " 0",
        " 0",
        " 5",
        "\r\n",
        "\r\n",
        "\n",
        "hello",
        " ",
        "noreply",
        "incr ",
        "delete ",
        "gat ",
        "cas ",
        " 1",
        "-1",
        "99999999999",
        "\0",
        "mn",
        "\r",
        "append ",
        "4294967296",
        "touch ",
        "stats ",
        "verbosity 0",
        "mg ",
        "ms ",
        "md ",
        "ma ",
        "me ",
        " b",
        " v",
        " q",
        " T30",
        " N5",
        " MA",
        " C1",
        " I",
        " x",
        "a2tr",
        "lru_crawler ",
        "metadump all",
        "mgdump ",
        "crawl 1,",
        "flush_prefix ",
        "watch ",
        "evictions",
        "detail on",
        "detail dump",
        "conns",
        "refresh_certs",
        "debugtime ",
    ];
    for seed in 0..150 {
        let mut random = Random(seed);
        let count = 1 + random.below(300);
        let bytes: String = (0..count).map(|_| pieces[random.below(pieces.len() as u64) as usize]).collect();
        expect_survived(&mut server, bytes);
    }
}

#[test]
fn a_byte_more_or_less_somewhere_in_a_good_request() {
    let mut server = start!();
    let request = b"set k 5 0 10\r\n0123456789\r\nget k\r\nincr k 5\r\ncas k 0 0 1 5\r\nx\r\ngat 0 k k\r\ndelete k noreply\r\n\
        ms a2tr 2 b MA N30 C1 I\r\n12\r\nmg a2tr b v k O1 R30 q\r\nma k N0 J13 D2\r\nmd k I T9\r\nme k b\r\nmn\r\n";
    for at in 0..request.len() {
        for byte in [None, Some(b'\0'), Some(b' '), Some(b'\n'), Some(b'9'), Some(b'-'), Some(0xff)] {
            let mut changed = request.to_vec();
            match byte {
                None => drop(changed.remove(at)),
                Some(byte) => changed[at] = byte,
            }
            let mut client = server.client();
            client.send(&changed);
            drop(client);
        }
        server.expect_served();
    }
}

#[test]
fn ten_thousand_commands_without_reading_a_reply() {
    let mut server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 10\r\n0123456789\r\n", "STORED\r\n");
    client.send("get k\r\n".repeat(10_000));
    server.expect_served();
    for _ in 0..10_000 {
        client.expect_so_far("", "VALUE k 0 10\r\n0123456789\r\nEND\r\n");
    }
    client.expect("", "");
}

#[test]
fn a_hundred_megabytes_of_replies_that_are_read_late() {
    let mut server = start!();
    let mut client = server.client();
    let value: String = (0..10_000).map(|at| char::from(b'a' + (at / 10 % 26) as u8)).collect();
    client.expect(format!("set k 0 0 10000\r\n{value}\r\n"), "STORED\r\n");
    client.send("get k\r\n".repeat(10_000));
    server.expect_served();
    let reply = format!("VALUE k 0 10000\r\n{value}\r\nEND\r\n");
    for _ in 0..10_000 {
        client.expect_so_far("", &reply);
    }
    client.expect("", "");
}

#[test]
fn errors_by_the_thousand_are_answered_too() {
    let server = start!();
    let mut client: Client = server.client();
    client.expect("nonsense\r\n".repeat(20_000), "ERROR\r\n".repeat(20_000));
}
