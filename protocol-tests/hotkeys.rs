//! `stats hotkeys`: which keys are asked for and stored most.

use std::fs;
use std::thread;

use tempfile::NamedTempFile;

use crate::client::{Client, fill};
use crate::differences::{applies, start};
use crate::server::{Launch, Server};
use crate::udp::UdpClient;

/// A line of the list.
#[derive(Debug, PartialEq)]
struct Hot {
    key: String,
    per_second: f64,
    error: f64,
    percent: f64,
}

impl Hot {
    fn read(text: &str) -> Hot {
        let fields: Vec<&str> = text.split(',').collect();
        let names = ["key=", "per_second=", "error=", "percent="];
        assert_eq!(fields.len(), names.len(), "{text:?}");
        let mut values = fields.iter().zip(names).map(|(field, name)| field.strip_prefix(name).expect(name));
        let key = values.next().unwrap().to_owned();
        let [per_second, error, percent] =
            std::array::from_fn(|_| values.next().unwrap().parse().expect("a number"));
        Hot { key, per_second, error, percent }
    }
}

/// The hottest keys of a kind, hottest first.
#[track_caller]
fn hottest(client: &mut Client, kind: &str) -> Vec<Hot> {
    let stats = client.stats("stats hotkeys");
    let of_kind = stats.iter().filter_map(|(name, value)| {
        let rank: usize = name.strip_prefix(&format!("{kind}:"))?.parse().expect("a rank");
        Some((rank, Hot::read(value)))
    });
    let (ranks, keys): (Vec<usize>, Vec<Hot>) = of_kind.unzip();
    assert_eq!(ranks, (1..=keys.len()).collect::<Vec<_>>());
    assert!(keys.is_sorted_by(|one, other| one.per_second >= other.per_second), "{keys:?}");
    keys
}

#[track_caller]
fn check(client: &mut Client, kind: &str, expected: &[(&str, f64)]) {
    let found = hottest(client, kind);
    let found: Vec<(&str, f64)> = found.iter().map(|hot| (hot.key.as_str(), hot.per_second)).collect();
    assert_eq!(found, expected, "{kind}");
}

/// A server whose clock stands, so that all that it is asked comes in the same second, and is counted exactly.
fn server(options: &[&str]) -> (Server, Client) {
    let launch = Launch::new().variable("MEMCACHED_DEBUG_COMMANDS", "1");
    let server = launch.options(options.iter().copied()).start();
    let mut client = server.client();
    client.expect("debugtime p\r\nstats reset\r\n", "OK\r\nRESET\r\n");
    (server, client)
}

#[test]
fn reads_and_writes_are_counted_by_requests_and_by_bytes() {
    applies!();
    let (_server, mut client) = server(&["-t", "1"]);
    client.ask(format!("set a 0 0 1\r\n1\r\nset b 0 0 3000\r\n{}\r\n", fill(b'x', 3000)));
    client.ask("ms c 2\r\n12\r\nincr a 1\r\nma a\r\ntouch a 0\r\nmd c\r\ndelete d\r\nadd b 0 0 1\r\n1\r\n");
    client.ask("get a b a\r\ngets a\r\ngat 0 a\r\nmg a v\r\nmg Yg== b v\r\nme a\r\nget none\r\n");
    check(&mut client, "write_requests", &[("a", 4.0), ("b", 2.0), ("c", 2.0), ("d", 1.0)]);
    check(&mut client, "write_bytes", &[("b", 3001.0), ("c", 2.0), ("a", 1.0)]);
    check(&mut client, "read_requests", &[("a", 5.0), ("b", 2.0), ("none", 1.0)]);
    let bytes = hottest(&mut client, "read_bytes");
    assert_eq!(bytes.iter().map(|hot| hot.key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert!(bytes[0].per_second > 6000.0 && bytes[0].percent > 95.0, "{bytes:?}");
    let stats = client.stats("stats hotkeys");
    let total = stats.iter().find(|(name, _)| name == "read_requests_per_second").expect("a total");
    assert_eq!(total.1, "8.00");
    let shares = hottest(&mut client, "read_requests");
    assert_eq!(shares.iter().map(|hot| hot.percent).collect::<Vec<_>>(), [62.5, 25.0, 12.5]);
    assert!(shares.iter().all(|hot| hot.error == 0.0), "{shares:?}");
}

#[test]
fn a_value_in_pieces_is_counted_once_and_one_that_is_refused_brings_no_bytes() {
    applies!();
    let (_server, mut client) = server(&["-t", "1", "-I", "2m"]);
    client.send(b"set large 0 0 1000000\r\n");
    for _ in 0..10 {
        client.send(fill(b'x', 100_000).as_bytes());
        // Each piece has a turn of its own.
        client.send(b"");
    }
    client.expect("\r\n", "STORED\r\n");
    client.ask(format!("set huge 0 0 3000000\r\n{}\r\n", fill(b'x', 3_000_000)));
    check(&mut client, "write_requests", &[("huge", 1.0), ("large", 1.0)]);
    check(&mut client, "write_bytes", &[("large", 1e6)]);
}

#[test]
fn what_was_hot_cools() {
    applies!();
    let (_server, mut client) = server(&["-t", "1"]);
    client.ask("get old\r\n".repeat(16));
    client.expect("debugtime 1\r\n", "OK\r\n");
    check(&mut client, "read_requests", &[("old", 16.0)]);
    client.expect("debugtime 30\r\n", "OK\r\n");
    client.ask("get new new new\r\n");
    let keys = hottest(&mut client, "read_requests");
    assert_eq!(keys.iter().map(|hot| hot.key.as_str()).collect::<Vec<_>>(), ["new", "old"]);
    assert!((keys[0].percent / keys[1].percent - 3.0 / (16.0 * 0.5_f64.powf(3.1))).abs() < 0.02, "{keys:?}");
    client.expect("debugtime 2000\r\n", "OK\r\n");
    check(&mut client, "read_requests", &[]);
}

#[test]
fn keys_are_one_word_whatever_is_in_them() {
    applies!();
    let (_server, mut client) = server(&["-t", "1"]);
    client.ask("get a,b=c%d<\"\r\nget a,b=c%d<\"\r\nmg AA0KIP8= b v\r\n");
    check(&mut client, "read_requests", &[("a%2Cb%3Dc%25d%3C%22", 2.0), ("%00%0D%0A%20%FF", 1.0)]);
    let longest = fill(b'k', 250);
    client.ask(format!("get {}\r\n", [longest.as_str(); 3].join(" ")));
    assert_eq!(hottest(&mut client, "read_requests")[0].key, longest);
}

#[test]
fn as_many_are_listed_as_are_asked_for() {
    applies!();
    let (_server, mut client) = server(&["-t", "1"]);
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    client.ask(format!("get {}\r\n", keys.join(" ")));
    assert_eq!(hottest(&mut client, "read_requests").len(), 10);
    for (asked, listed) in [("0", 0), ("3", 3), ("100", 40), ("4000000000", 40)] {
        let stats = client.stats(&format!("stats hotkeys {asked}"));
        assert_eq!(stats.iter().filter(|(name, _)| name.starts_with("read_requests:")).count(), listed);
    }
    for wrong in ["x", "-1", "1.5", "4294967296"] {
        client.expect(format!("stats hotkeys {wrong}\r\n"), "CLIENT_ERROR bad command line format\r\n");
    }
}

#[test]
fn a_reset_forgets_the_keys() {
    applies!();
    let (_server, mut client) = server(&["-t", "1"]);
    client.ask("get a\r\nset a 0 0 1\r\n1\r\n");
    check(&mut client, "read_requests", &[("a", 1.0)]);
    client.expect("stats reset\r\n", "RESET\r\n");
    assert_eq!(client.stats("stats hotkeys").len(), 1 + 4);
}

#[test]
fn who_may_not_list_keys_may_not_know_the_hot_ones() {
    let server = start!(&["-X"]);
    server.client().expect("stats hotkeys\r\n", "CLIENT_ERROR stats hotkeys not allowed\r\n");
    let server = start!(&["-o", "no_hotkeys"]);
    let mut client = server.client();
    client.ask("get a\r\n");
    assert_eq!(client.stats("stats hotkeys"), [("hotkeys_status".to_owned(), "disabled".to_owned())]);
    let users = NamedTempFile::new().unwrap();
    fs::write(users.path(), "guest nopass read,write prefix=public:\nops nopass read,admin\n").unwrap();
    let server = start!(&["--users-file", users.path().to_str().unwrap()]);
    let mut guest = server.client();
    guest.expect_so_far("set x 0 0 7\r\nguest x\r\n", "STORED\r\n");
    // What is refused is not counted.
    guest.expect(
        "get secret\r\nget public:a\r\nset secret 0 0 1\r\n1\r\nmg secret v\r\nstats hotkeys\r\n",
        "CLIENT_ERROR not permitted\r\nEND\r\n".to_owned() + &"CLIENT_ERROR not permitted\r\n".repeat(3),
    );
    let mut admin = server.client();
    admin.expect_so_far("set x 0 0 5\r\nops x\r\n", "STORED\r\n");
    let keys = hottest(&mut admin, "read_requests");
    assert_eq!(keys.iter().map(|hot| hot.key.as_str()).collect::<Vec<_>>(), ["public%3Aa"]);
    assert_eq!(hottest(&mut admin, "write_requests"), []);
}

#[test]
fn datagrams_count_as_well() {
    applies!();
    let (server, mut client) = server(&["-t", "1", "-U", "-1"]);
    UdpClient::new(server.udp_addresses[0]).expect("get over:udp\r\n", &["END\r\n"]);
    assert_eq!(hottest(&mut client, "read_requests")[0].key, "over%3Audp");
}

#[test]
fn a_sample_of_a_crowd_tells_who_is_hot() {
    let server = start!(&["-t", "2"]);
    thread::scope(|scope| {
        for number in 0..4 {
            let mut client = server.client();
            scope.spawn(move || {
                for round in 0..400 {
                    // Of 20 requests 10 are for one key, 5 for another, and the rest for different ones.
                    let others = (0..5).map(|other| format!("get n{number}:{round}:{other}\r\n"));
                    let request =
                        "get first\r\nget first\r\nget second\r\n".repeat(5) + &others.collect::<String>();
                    client.ask(request);
                }
            });
        }
    });
    let mut client = server.client();
    let keys = hottest(&mut client, "read_requests");
    assert_eq!([keys[0].key.as_str(), keys[1].key.as_str()], ["first", "second"]);
    assert!((35.0..65.0).contains(&keys[0].percent), "{keys:?}");
    assert!((15.0..35.0).contains(&keys[1].percent), "{keys:?}");
    assert!(keys[2..].iter().all(|hot| hot.percent < 5.0), "{keys:?}");
    assert!(keys[0].error > 0.0, "{keys:?}");
}
