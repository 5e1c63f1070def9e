//! `stats latency`, and `stats slowlog` with `--slow-log-ms`.

use std::collections::BTreeMap;

use crate::client::{Client, fill};
use crate::differences::applies;
use crate::server::{Launch, Server};

type Figures = BTreeMap<String, String>;

fn figures(client: &mut Client, command: &str) -> Figures {
    client.stats(command).into_iter().collect()
}

/// Longer than any machine copies in a millisecond.
const LONG_VALUE_BYTES: usize = 64 << 20;

/// A server that keeps what takes a millisecond, with a long value of this key.
fn with_long_value(key: &str, options: &[&str]) -> (Server, Client) {
    let own = ["-m", "512", "-I", "100m", "-t", "1", "--slow-log-ms", "1"];
    let server = Launch::new().options(own).options(options.iter().copied()).start();
    let mut client = server.client();
    let value = fill(b'v', LONG_VALUE_BYTES);
    client.expect(format!("set {key} 0 0 {LONG_VALUE_BYTES}\r\n{value}\r\n"), "STORED\r\n");
    // Commands are timed one by one for some time after that.
    client.expect("get absent\r\n".repeat(1100), "END\r\n".repeat(1100));
    client.expect(b"stats slowlog reset\r\n", "RESET\r\n");
    (server, client)
}

/// Entries of the slow log, the last first.
fn slow(client: &mut Client) -> Vec<Figures> {
    let mut entries: Vec<(String, Figures)> = Vec::new();
    for (name, value) in client.stats("stats slowlog") {
        let Some((id, name)) = name.split_once(':') else { continue };
        if entries.last().is_none_or(|(last, _)| last != id) {
            entries.push((id.to_owned(), Figures::new()));
        }
        entries.last_mut().expect("one").1.insert(name.to_owned(), value);
    }
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// Appends to the long value, which copies it; the entries of the slow log that are about that.
fn appended(client: &mut Client, key: &str) -> Vec<Figures> {
    client.expect(format!("append {key} 0 0 1\r\nx\r\n"), "STORED\r\n");
    let mut entries = slow(client);
    entries.retain(|entry| entry.get("command").is_some_and(|command| command == "append"));
    entries
}

#[test]
fn one_command_in_some_is_timed() {
    applies!();
    let server = Server::with(&["-t", "1"]);
    let mut client = server.client();
    for _ in 0..200 {
        client.expect("set k 0 0 1\r\nx\r\n".repeat(100), "STORED\r\n".repeat(100));
        client.expect("mg k v\r\n".repeat(100), "VA 1\r\nx\r\n".repeat(100));
        client.expect("incr n 1\r\n", "NOT_FOUND\r\n");
    }
    let found = figures(&mut client, "stats latency");
    let sampled_one_in: u64 = found["sampled_one_in"].parse().unwrap();
    for name in ["set", "mg", "wait"] {
        let count: u64 = found[&format!("{name}_count")].parse().unwrap();
        let expected = 20_000 * if name == "wait" { 2 } else { 1 } / sampled_one_in;
        assert!(count > expected / 2 && count < 2 * expected, "{name}: {count}, {expected}");
        let times = ["p50", "p90", "p99", "p999", "max"].map(|shown| &found[&format!("{name}_{shown}_us")]);
        let times = times.map(|time| time.parse::<f64>().unwrap());
        assert!(times.is_sorted() && times[0] > 0.0, "{times:?}");
    }
    assert!(!found.contains_key("touch_count"), "{found:?}");
    assert!(found.keys().all(|name| !name.contains(':')));
    client.expect("stats reset\r\n", "RESET\r\n");
    let found = figures(&mut client, "stats latency");
    assert!(!found.contains_key("set_count"), "{found:?}");
}

#[test]
fn values_in_pieces_and_long_lists_are_timed_as_others_are() {
    applies!();
    let server = Server::with(&["-t", "1"]);
    let mut client = server.client();
    let keys = "absent ".repeat(2000);
    for _ in 0..500 {
        client.send("set k 0 0 10\r\n01234");
        client.expect("56789\r\n", "STORED\r\n");
        client.expect(format!("get {keys}\r\n"), "END\r\n");
    }
    let found = figures(&mut client, "stats latency");
    for name in ["set_count", "get_count"] {
        assert!((1..100).contains(&found[name].parse::<u64>().unwrap()), "{found:?}");
    }
}

#[test]
fn what_is_slow_is_named() {
    applies!();
    let (server, mut client) = with_long_value("k\"1\"<b>%", &[]);
    let first = appended(&mut client, "k\"1\"<b>%");
    assert!(!first.is_empty(), "{:?}", client.stats("stats slowlog"));
    for entry in &first {
        assert_eq!(entry["key"], "k%221%22%3Cb%3E%25", "{entry:?}");
        assert!(entry["addr"].starts_with("tcp:127.0.0.1:"), "{entry:?}");
        assert!(entry["duration_us"].parse::<u64>().unwrap() >= 1000, "{entry:?}");
        assert_eq!((&entry["commands"], &entry["clients"]), (&"1".to_owned(), &"1".to_owned()));
        assert!(entry["time"].parse::<f64>().unwrap() > 1e9 && !entry.contains_key("user"), "{entry:?}");
    }
    // From now on each command is timed: in a pipeline, too, the slow one is named.
    let others = "get k1\r\n".repeat(5);
    let request = format!("{others}append k\"1\"<b>% 0 0 1\r\nx\r\n{others}");
    let end = "END\r\n".repeat(5);
    client.expect(request, format!("{end}STORED\r\n{end}"));
    let entries = slow(&mut client);
    let named = entries.iter().filter(|entry| entry.get("command").is_some_and(|name| name == "append"));
    assert!(named.filter(|entry| entry["commands"] == "1").count() > first.len(), "{entries:?}");
    let count: u64 = figures(&mut client, "stats slowlog")["slow_log_count"].parse().unwrap();
    assert!(count > 1);
    client.expect("stats slowlog reset\r\n", "RESET\r\n");
    assert!(slow(&mut client).is_empty());
    client.expect("stats slowlog nonsense\r\n", "ERROR\r\n");
    drop(server);
}

#[test]
fn keys_are_not_shown_where_they_may_not_be_listed() {
    applies!();
    let (_server, mut client) = with_long_value("secret", &["-X"]);
    assert!(!appended(&mut client, "secret").is_empty());
    assert!(!client.ask_text("stats slowlog\r\n").contains("secret"));
}

#[test]
fn without_a_limit_nothing_is_kept() {
    applies!();
    let (_server, mut client) = with_long_value("k", &["--slow-log-ms", "0"]);
    assert!(appended(&mut client, "k").is_empty());
    assert_eq!(figures(&mut client, "stats slowlog")["slow_log_ms"], "0");
}

#[test]
fn bytes_that_are_no_text_are_escaped() {
    applies!();
    let (_server, mut client) = with_long_value("k", &[]);
    let value = fill(b'v', LONG_VALUE_BYTES);
    let key = b"\xff\x01'&\xc3(";
    let set = [b"set ", &key[..], format!(" 0 0 {LONG_VALUE_BYTES}\r\n{value}\r\n").as_bytes()].concat();
    client.expect(set, "STORED\r\n");
    client.expect([b"append ", &key[..], b" 0 0 1\r\nx\r\n"].concat(), "STORED\r\n");
    let reply = client.ask_text("stats slowlog\r\n");
    assert!(reply.contains(":key %FF%01%27%26%C3%28\r\n"), "{reply}");
}
