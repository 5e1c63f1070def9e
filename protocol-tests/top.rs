//! `larder top`, against whichever daemon is under test: its figures are those of `stats`, and a terminal is given back.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::client_commands::{larder, printed, refused, run, stub};
use crate::server::{Kind, Server, free_port, wait_until};

/// The object of one server, of a second look shortly after the first.
#[track_caller]
fn figures(addresses: &[&str]) -> Vec<Value> {
    let words = [&["top", "--once", "--json", "--interval", "0.05"], addresses].concat();
    printed(&words).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn figures_are_those_of_stats() {
    let server = Server::with(&["-m", "64", "-t", "2"]);
    let address = server.addresses[0].to_string();
    let mut client = server.client();
    for number in 0..50 {
        client.expect(format!("set key{number} 0 0 100\r\n{}\r\n", "x".repeat(100)), "STORED\r\n");
    }
    client.expect("get key1 key2 absent\r\n".repeat(2), {
        let value = |key| format!("VALUE {key} 0 100\r\n{}\r\n", "x".repeat(100));
        format!("{}{}END\r\n", value("key1"), value("key2")).repeat(2)
    });
    let stats: std::collections::HashMap<_, _> = client.stats("stats").into_iter().collect();
    let told = &figures(&[&address])[0];
    let number = |name: &str| stats[name].parse::<f64>().unwrap();
    assert_eq!(told["server"], address.as_str());
    assert_eq!(told["version"], stats["version"].as_str());
    for (name, wanted) in [
        ("items", number("curr_items")),
        ("item_bytes", number("bytes")),
        ("memory_limit_bytes", number("limit_maxbytes")),
        ("evictions", number("evictions")),
        ("connections_max", number("max_connections")),
        ("threads", number("threads")),
        ("hit_ratio_in_all", 4.0 / 6.0),
    ] {
        assert_eq!(told[name].as_f64(), Some(wanted), "{name}");
    }
    assert!(told["received_bytes_per_second"].as_f64() > Some(0.0), "{told}");
    assert_eq!(told["sets_per_second"], 0.0);
    let classes = told["classes"].as_array().unwrap();
    let items = classes.iter().map(|class| class["items"].as_f64().unwrap()).sum::<f64>();
    assert_eq!(items, 50.0);
    let is_larder = Kind::under_test() == Kind::Larder;
    assert_eq!(told["larder_version"].is_string(), is_larder);
    if is_larder {
        let is_hot = |hot: &Value| hot["key"] == "hot" && hot["kind"] == "read_requests";
        wait_until("hot keys", || {
            // Not every turn of a busy second is counted.
            client.expect("get hot\r\n", "END\r\n");
            figures(&[&address])[0]["hot_keys"].as_array().unwrap().iter().any(is_hot)
        });
    }
}

#[test]
fn one_frame_is_text() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    server.client().expect("set k 0 0 1\r\nx\r\n", "STORED\r\n");
    let text = printed(&["top", &address, "--once", "--interval", "0.05"]);
    assert_eq!(text.lines().count(), 24);
    let version = if Kind::under_test() == Kind::Larder { "larder " } else { "memcached 1.6." };
    for wanted in [&*address, version, "Requests", "Hit ratio", "Slab classes by class", "64.0M"] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
    let text = printed(&["top", &address, "--once", "--interval", "0.05", "--size", "160x50"]);
    assert_eq!(text.lines().count(), 50);
}

#[test]
fn several_servers_are_added_up_and_one_that_is_gone_is_told_of() {
    let servers = [Server::start(), Server::start()];
    let [one, other] = servers.each_ref().map(|server| server.addresses[0].to_string());
    for server in &servers {
        server.client().expect("set k 0 0 1\r\nx\r\n", "STORED\r\n");
    }
    let gone = format!("127.0.0.1:{}", free_port());
    let told = figures(&[&one, &gone, &other]);
    assert_eq!((&told[0]["items"], &told[2]["items"]), (&1.0.into(), &1.0.into()));
    assert!(told[1]["problem"].as_str().is_some_and(|problem| problem.contains("Connection refused")));
    let text = printed(&["top", &one, &gone, &other, "--once", "--interval", "0.05"]);
    assert!(text.lines().any(|line| line.starts_with(" all ") && line.contains("128M")), "{text}");
    assert!(text.contains(&format!("! {gone}")) && text.contains("Connection refused"), "{text}");
    refused(&run(&["top", &gone, "--once"]), 69, "Connection refused");
}

#[test]
fn who_reads_json_is_told_when_the_only_server_goes_away() {
    let server = Server::start();
    let mut child = larder(["top", &server.addresses[0].to_string(), "--json", "--interval", "0.05"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert!(next()["items"].is_number());
    drop(server);
    while next()["problem"].is_null() {}
    assert!(next()["problem"].as_str().is_some_and(|problem| problem.contains("Connection refused")));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn keys_and_statistics_cannot_move_the_cursor() {
    let answer = b"STAT pid 1\r\nSTAT version \x1b[2J\x9b\r\nSTAT curr_items 1\r\nSTAT 1:chunk_size 96\r\n\
        STAT 1:total_chunks 9\r\nSTAT read_requests:1 key=a%1b%5B2J%C2%9B2J,per_second=1\r\n\
        STAT g\x1bt_p50_us 1\r\nEND\r\n";
    let hostile = stub(answer).to_string();
    let text = printed(&["top", &hostile, "--once", "--interval", "0.01"]);
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
    assert!(text.contains("a\\x1b[2J\\u{9b}2J") && text.contains("\\x1b[2J\\x9b"), "{text}");
    let json = printed(&["top", &hostile, "--once", "--json", "--interval", "0.01"]);
    assert!(json.trim_end().chars().all(|character| !character.is_control()), "{json:?}");
}
