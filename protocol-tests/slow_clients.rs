//! Clients that read or write slowly, end their side early or break off: they get what is theirs, and others do
//! not notice them.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::client::{Client, fill};
use crate::conns::conns;
use crate::differences::{applies, start};
use crate::server::{Kind, Server, wait_until};

const LARGE: usize = 1_000_000;

fn large_value(byte: u8) -> String {
    fill(byte, LARGE)
}

fn value_reply(key: &str, value: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len())
}

/// A client whose socket takes little that it does not read.
fn narrow(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&server.addresses[0].into()).expect("the daemon listens");
    socket.into()
}

/// How many connections are in a state.
fn in_state(client: &mut Client, state: &str) -> usize {
    conns(client).iter().filter(|(_, conn)| conn["state"] == state).count()
}

#[test]
fn slow_clients_on_every_worker_disturb_nobody_and_get_what_is_theirs() {
    let server = start!(&["-t", "4", "-m", "128"]);
    let mut client = server.client();
    let value = large_value(b'v');
    client.expect(format!("set big 0 0 {LARGE}\r\n{value}\r\n"), "STORED\r\n");
    // New connections go to the workers in turn, so each has some of each kind.
    let mut readers: Vec<_> = (0..8).map(|_| Client::from_tcp(narrow(&server))).collect();
    let mut writers: Vec<_> = (0..8).map(|_| server.client()).collect();
    let mut beginners: Vec<_> = (0..8).map(|_| server.client()).collect();
    readers.iter_mut().for_each(|reader| reader.send("get big\r\n".repeat(12)));
    for (number, writer) in writers.iter_mut().enumerate() {
        writer.send(format!("set w{number} 0 0 {LARGE}\r\n{}", fill(b'w', LARGE / 3)));
    }
    beginners.iter_mut().for_each(|beginner| beginner.send("get wh"));
    wait_until("the readers are waited for", || in_state(&mut client, "conn_mwrite") == 8);
    wait_until("the writers are waited for", || in_state(&mut client, "conn_nread") == 8);
    let mut others: Vec<_> = (0..8).map(|_| server.client()).collect();
    for round in 0..200 {
        for (number, other) in others.iter_mut().enumerate() {
            let (key, value) = (format!("k{number}"), format!("{round}"));
            other.expect(
                format!("set {key} 0 0 {}\r\n{value}\r\nget {key}\r\n", value.len()),
                format!("STORED\r\n{}", value_reply(&key, &value)),
            );
        }
    }
    others[0].expect("get big\r\n", value_reply("big", &value));
    assert_eq!(client.stat("response_obj_oom"), 0);
    for (number, writer) in writers.iter_mut().enumerate() {
        writer.expect(format!("{}\r\n", fill(b'w', LARGE - LARGE / 3)), "STORED\r\n");
        let written = value_reply(&format!("w{number}"), &large_value(b'w'));
        writer.expect(format!("get w{number}\r\n"), written);
    }
    readers.iter_mut().for_each(|reader| reader.expect("", value_reply("big", &value).repeat(12)));
    beginners.iter_mut().for_each(|beginner| beginner.expect("at\r\n", "END\r\n"));
}

#[test]
fn who_ends_his_side_gets_all_answers() {
    let server = start!(&["-t", "2"]);
    let mut client = server.client();
    let (small, large) = (fill(b's', 5000), large_value(b'l'));
    client.expect(format!("set small 0 0 5000\r\n{small}\r\n"), "STORED\r\n");
    client.expect(format!("set large 0 0 {LARGE}\r\n{large}\r\n"), "STORED\r\n");
    let connections = client.stat("curr_connections");
    let block = |key: &str, value: &str| format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len());
    for (sent, want) in [
        (String::new(), String::new()),
        ("get x".to_string(), String::new()),
        ("get x\r\n".repeat(1000), "END\r\n".repeat(1000)),
        ("get small\r\n".repeat(1000), value_reply("small", &small).repeat(1000)),
        ("get large\r\n".repeat(20), value_reply("large", &large).repeat(20)),
        (format!("get{}\r\n", " small".repeat(2000)), block("small", &small).repeat(2000) + "END\r\n"),
        (format!("get{}\r\n", " large".repeat(15)), block("large", &large).repeat(15) + "END\r\n"),
        ("get large\r\nset half 0 0 100\r\nhal".to_string(), value_reply("large", &large)),
        ("get x\r\nquit\r\nget x\r\n".to_string(), "END\r\n".to_string()),
    ] {
        for stream in [narrow(&server), TcpStream::connect(server.addresses[0]).unwrap()] {
            let mut half = Client::from_tcp(stream.try_clone().unwrap());
            half.send(&sent);
            stream.shutdown(Shutdown::Write).expect("it is open");
            let got = half.read_to_close();
            assert!(got == want.as_bytes(), "{} of {} bytes", got.len(), want.len());
        }
    }
    wait_until("all are closed", || client.stat("curr_connections") == connections);
    client.expect("get half\r\n", "END\r\n");
}

#[test]
fn who_breaks_off_takes_nothing_along() {
    let mut server = start!(&["-t", "2"]);
    let mut client = server.client();
    client.expect(format!("set large 0 0 {LARGE}\r\n{}\r\n", large_value(b'l')), "STORED\r\n");
    let (connections, bytes) = (client.stat("curr_connections"), client.stat("bytes"));
    let half = fill(b'h', LARGE / 2);
    for round in 0..200 {
        let stream =
            if round % 3 == 0 { narrow(&server) } else { TcpStream::connect(server.addresses[0]).unwrap() };
        // A close is a reset then.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
        let mut broken = Client::from_tcp(stream);
        match round % 5 {
            0 => broken.send(format!("set large 0 0 {LARGE}\r\n{half}")),
            1 => broken.send(format!("get large{}", " large".repeat(30))),
            2 => {
                broken.send("get large\r\n".repeat(30));
                broken.read(100);
            }
            3 => {
                broken.send("get large\r\n".repeat(30));
                broken.read(LARGE);
            }
            _ => broken.send(format!("get large\r\nset new 0 0 {LARGE}\r\n{half}")),
        }
        drop(broken);
        client.expect("touch large 0\r\n", "TOUCHED\r\n");
    }
    wait_until("all are closed", || client.stat("curr_connections") == connections);
    assert_eq!((client.stat("curr_items"), client.stat("bytes")), (1, bytes));
    client.expect("get large\r\n", value_reply("large", &large_value(b'l')));
    if Kind::under_test() == Kind::Larder {
        client.expect("flush_all\r\n", "OK\r\n");
        assert_eq!((client.stat("response_obj_bytes"), client.stat("large_bytes")), (0, 0));
        wait_until("no block is pinned any more", || {
            let slabs = client.stats("stats slabs");
            let malloced = slabs.iter().find(|(name, _)| name == "total_malloced").expect("it is there");
            let parts: u64 =
                ["index_bytes", "deadline_bytes", "ghost_bytes"].map(|name| client.stat(name)).iter().sum();
            client.stat("used_bytes") == malloced.1.parse::<u64>().expect("a number") + parts
        });
    }
    server.expect_served();
}

#[test]
fn what_slow_readers_hold_is_bounded_in_all() {
    applies!();
    const VALUE_BYTES: usize = 10_000;
    let server = start!(&["-t", "1", "-o", "read_buf_mem_limit=1"]);
    let mut client = server.client();
    let value = fill(b'x', VALUE_BYTES);
    client.expect(format!("set k 0 0 {VALUE_BYTES}\r\n{value}\r\n"), "STORED\r\n");
    let replies = value_reply("k", &value).repeat(1000);
    let mut lazy = Vec::new();
    for number in 1..=30 {
        let mut reader = Client::from_tcp(narrow(&server));
        reader.send("get k\r\n".repeat(1000));
        lazy.push(reader);
        wait_until("it is waited for, or one is closed", || {
            in_state(&mut client, "conn_mwrite") as u64 + client.stat("response_obj_oom") == number
        });
        let held = client.stat("response_obj_bytes") + client.stat("read_buf_bytes");
        assert!(held <= 1 << 20, "{held} bytes are held for {number} clients");
    }
    let closed = client.stat("response_obj_oom") as usize;
    assert!((10..25).contains(&closed), "{closed} are closed");
    client.expect("get k\r\n", value_reply("k", &value));
    let log = server.stderr();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("read_buf_mem_limit")).collect();
    assert!(!lines.is_empty() && lines.len() < closed, "{log}");
    assert!(lines[0].contains("tcp:127.0.0.1:"), "{}", lines[0]);
    // Those who are left get everything, and then nothing is held any more.
    let served = lazy.iter_mut().filter_map(|reader| {
        // Those who are not wait for a question to see that they are closed.
        reader.send_until_blocked(b"quit\r\n");
        let got = reader.read_to_close();
        assert!(replies.as_bytes().starts_with(&got), "a wrong reply");
        (got.len() == replies.len()).then_some(())
    });
    assert_eq!(served.count(), 30 - closed);
    assert_eq!((client.stat("response_obj_bytes"), client.stat("read_buf_bytes")), (0, 0));
    assert_eq!(client.stat("response_obj_oom") as usize, closed);
}

/// As many clients as there are values, each of which asks for one of those `s0`, `s1` ... and reads nothing.
fn readers_of_all(values: usize, server: &Server, client: &mut Client) -> Vec<Client> {
    let mut readers: Vec<_> = (0..values).map(|_| Client::from_tcp(narrow(server))).collect();
    for (at, reader) in readers.iter_mut().enumerate() {
        reader.send(format!("get{}\r\n", format!(" s{at}").repeat(6)));
    }
    wait_until("all are waited for", || in_state(client, "conn_mwrite") == values);
    readers
}

#[test]
fn what_readers_keep_beyond_a_flush_is_bounded_too() {
    applies!();
    const VALUES: usize = 40;
    let server = start!(&["-m", "64", "-t", "2"]);
    let mut client = server.client();
    let set = |key: &str| format!("set {key} 0 0 {LARGE}\r\n{}\r\n", large_value(b's'));
    for at in 0..VALUES {
        client.expect(set(&format!("s{at}")), "STORED\r\n");
    }
    let readers = readers_of_all(VALUES, &server, &mut client);
    client.expect("flush_all\r\n", "OK\r\n");
    // All of them together may keep a quarter of the memory.
    wait_until("enough of them are closed for it", || {
        (VALUES - client.stat("response_obj_oom") as usize) * LARGE <= 16 << 20
    });
    let stored = (0..VALUES).filter(|at| client.ask(set(&format!("n{at}"))) == b"STORED\r\n").count();
    assert_eq!((stored, client.stat("curr_items") as usize), (VALUES, VALUES));
    drop(readers);
}

#[test]
fn a_cache_full_of_values_that_are_being_read_serves_others_and_gets_its_memory_back() {
    applies!();
    const VALUES: usize = 60;
    let mut server = start!(&["-m", "64", "-t", "2"]);
    let mut client = server.client();
    let set = |key: &str, byte: u8| format!("set {key} 0 0 {LARGE}\r\n{}\r\n", large_value(byte));
    for at in 0..VALUES {
        client.expect(set(&format!("s{at}"), b's'), "STORED\r\n");
    }
    let mut readers = readers_of_all(VALUES, &server, &mut client);
    // What others store has the rest of the memory, whatever its size.
    for round in 0..300 {
        client.expect(format!("set k{round} 0 0 100\r\n{}\r\n", fill(b'k', 100)), "STORED\r\n");
        client.expect(format!("get k{round}\r\n"), value_reply(&format!("k{round}"), &fill(b'k', 100)));
    }
    let mut stored = 0;
    for round in 0..100 {
        stored += usize::from(client.ask(set(&format!("n{}", round % 7), b'n')) == b"STORED\r\n");
    }
    // One may be refused that meets nothing to evict but values that are being read; they are unlinked then.
    assert!(stored >= 90, "{stored} of 100 large values were stored");
    let limit = client.stat("limit_maxbytes") + client.stat("partitions") * client.stat("page_size");
    assert!(client.stat("used_bytes") <= limit);
    server.expect_served();
    // What is replaced is there for its readers alone then, and they may keep a quarter of the memory.
    for at in 0..VALUES {
        // Whether or not there is memory for the new value, the old one is unlinked.
        client.ask(set(&format!("s{at}"), b'r'));
    }
    wait_until("some are closed for it", || client.stat("response_obj_oom") > 0);
    wait_until("the log tells of it", || server.stderr().contains("more than a quarter of -m"));
    let mut complete = 0;
    for (at, reader) in readers.iter_mut().enumerate() {
        let block = format!("VALUE s{at} 0 {LARGE}\r\n{}\r\n", large_value(b's'));
        let mut got = Vec::new();
        while got.len() < block.len() {
            match reader.read_some() {
                some if some.is_empty() => break,
                some => got.extend(some),
            }
        }
        assert!(block.as_bytes().starts_with(&got[..got.len().min(block.len())]), "s{at} changed on its way");
        complete += usize::from(got.len() >= block.len());
    }
    let closed = client.stat("response_obj_oom") as usize;
    assert!(complete >= VALUES / 8, "{complete} got their values, {closed} were closed");
    drop(readers);
    wait_until("their connections are closed", || client.stat("curr_connections") == 1);
    client.expect("flush_all\r\n", "OK\r\n");
    assert_eq!(client.stat("large_bytes"), 0);
    for at in 0..VALUES {
        client.expect(set(&format!("again{at}"), b'a'), "STORED\r\n");
    }
    assert!(client.stat("curr_items") > 50);
}
