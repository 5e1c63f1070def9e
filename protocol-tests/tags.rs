//! `-l tag[NAME]:ADDRESS`: statistics by the socket where a client came in.

use std::collections::HashMap;

use crate::client::{Client, fill};
use crate::differences::{applies, start};
use crate::server::{Launch, Server, wait_until};
use crate::udp::UdpClient;

/// Sockets by tag: a, b, none, a.
fn tagged(options: &[&str]) -> Server {
    let addresses = "tag[a]:127.0.0.1,tag_b_:proto[ascii]:127.0.0.1;127.0.0.1";
    let launch = Launch::new().own_addresses().options(["-p", "-1", "-l", addresses]);
    launch.options(["-l", "notls:tag[a]:127.0.0.1"]).options(options.iter().copied()).start()
}

/// `stats tags` of one tag. The asking client has none.
fn of_tag(client: &mut Client, tag: &str) -> HashMap<String, u64> {
    let stats = client.stats("stats tags").into_iter();
    let named = stats.filter_map(|(name, value)| Some((name.split_once(':')?.1.to_owned(), (name, value))));
    let of_tag = named.filter(|(_, (name, _))| name.starts_with(&format!("{tag}:")));
    of_tag.map(|(name, (_, value))| (name, value.parse().expect("a number"))).collect()
}

#[track_caller]
fn check(counts: &HashMap<String, u64>, expected: &[(&str, u64)]) {
    for (name, value) in expected {
        assert_eq!(counts[*name], *value, "{name}: {counts:?}");
    }
}

#[test]
fn clients_are_counted_by_the_tag_of_their_socket() {
    applies!();
    let server = tagged(&[]);
    let mut first = server.client();
    let [mut second, mut client, mut third] = [1, 2, 3].map(|place| Client::tcp(server.addresses[place]));
    first.expect(
        "set k 0 0 1\r\n1\r\nget k x k\r\ngets y\r\n",
        "STORED\r\nVALUE k 0 1\r\n1\r\nVALUE k 0 1\r\n1\r\nEND\r\nEND\r\n",
    );
    second.expect(
        "gat 0 k x\r\ntouch k 0\r\nmg k v\r\nmg x\r\nmg k T0\r\n",
        "VALUE k 0 1\r\n1\r\nEND\r\nTOUCHED\r\nVA 1\r\n1\r\nEN\r\nHD\r\n",
    );
    second.ask("me k\r\n");
    third.expect("ms k 1\r\n2\r\nms k 1 ME\r\n3\r\nappend x 0 0 1\r\n1\r\n", "HD\r\nNS\r\nNOT_STORED\r\n");
    let before = of_tag(&mut client, "untagged");
    let a = of_tag(&mut client, "a");
    check(&a, &[("cmd_get", 4), ("get_hits", 2), ("get_misses", 2), ("cmd_set", 4), ("cmd_touch", 0)]);
    check(&a, &[("curr_connections", 2), ("cmd_meta", 0)]);
    let b = of_tag(&mut client, "b");
    check(&b, &[("cmd_get", 2), ("get_hits", 1), ("get_misses", 1), ("cmd_set", 0), ("cmd_touch", 4)]);
    check(&b, &[("curr_connections", 1), ("total_connections", 1), ("cmd_meta", 1)]);
    assert!(before["bytes_read"] > 0 && before["cmd_get"] == 0, "{before:?}");
    drop(third);
    wait_until("it is not counted any more", || of_tag(&mut client, "a")["curr_connections"] == 1);
    assert_eq!(of_tag(&mut client, "a")["total_connections"], a["total_connections"]);
}

#[test]
fn tags_add_up_to_the_general_statistics() {
    applies!();
    let server = tagged(&["-t", "3"]);
    let others = server.addresses.iter().cycle().skip(1).take(11).map(|&address| Client::tcp(address));
    let mut clients: Vec<Client> = std::iter::once(server.client()).chain(others).collect();
    let large = format!("set large 0 0 300000\r\n{}\r\n", fill(b'x', 300_000));
    for (number, client) in clients.iter_mut().enumerate() {
        client.expect(format!("set k{number} 0 0 1\r\n1\r\n{large}"), "STORED\r\nSTORED\r\n");
        let lines = "get k0 k5 x\r\nmg x N0\r\nmg x v\r\nadd k0 0 0 1\r\n1\r\ncas y 0 0 1 1\r\n1\r\n";
        client.ask(format!("{lines}set big 0 0 2000000\r\n{}\r\ngat 1 q\r\n", fill(b'x', 2_000_000)));
    }
    for name in
        ["cmd_get", "get_hits", "get_misses", "cmd_set", "cmd_touch", "total_connections", "curr_connections"]
    {
        let sum: u64 = ["a", "b", "untagged"].iter().map(|tag| of_tag(&mut clients[2], tag)[name]).sum();
        assert_eq!(sum, clients[2].stat(name), "{name}");
    }
}

#[test]
fn a_reset_begins_again_but_for_what_is_there() {
    applies!();
    let server = tagged(&[]);
    let mut client = server.client();
    client.expect("get x\r\nset k 0 0 1\r\n1\r\nstats reset\r\n", "END\r\nSTORED\r\nRESET\r\n");
    let counts = of_tag(&mut client, "a");
    check(&counts, &[("cmd_get", 0), ("cmd_set", 0), ("total_connections", 0)]);
    assert!(counts["curr_connections"] >= 1 && counts["bytes_read"] < 50, "{counts:?}");
    client.expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
    check(&of_tag(&mut client, "a"), &[("cmd_get", 1), ("get_hits", 1)]);
}

#[test]
fn connections_are_listed_with_their_tags() {
    applies!();
    let server = tagged(&[]);
    let mut client = Client::tcp(server.addresses[1]);
    let conns = client.stats("stats conns");
    let tags: Vec<&str> =
        conns.iter().filter(|(name, _)| name.ends_with(":tag")).map(|(_, tag)| tag.as_str()).collect();
    // Three sockets, and whoever asks; the test's first connection goes to the first address.
    assert_eq!(tags.iter().filter(|tag| **tag == "b").count(), 2, "{conns:?}");
    assert!(tags.iter().filter(|tag| **tag == "a").count() >= 2, "{conns:?}");
}

#[test]
fn without_tags_there_is_nothing_to_tell() {
    let server = start!();
    let mut client = server.client();
    client.expect("get x\r\nstats tags\r\n", "END\r\nEND\r\n");
    assert!(!client.ask_text("stats conns\r\n").contains(":tag "));
    client.expect("stats tag\r\n", "ERROR\r\n");
}

#[test]
fn a_tag_that_is_none_is_refused_by_name() {
    applies!();
    for text in ["tag[123456789]:127.0.0.1", "tag[]:127.0.0.1", "tag[a]127.0.0.1"] {
        let ended = Launch::new().own_addresses().options(["-l", text]).run_to_end();
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        assert!(ended.stderr.contains(text) && ended.stderr.contains("tag[NAME]:"), "{}", ended.stderr);
    }
}

#[test]
fn datagrams_are_counted_by_the_tag_of_their_socket() {
    applies!();
    let launch =
        Launch::new().own_addresses().options(["-p", "-1", "-U", "-1", "-l", "tag[u]:127.0.0.1,127.0.0.1"]);
    let server = launch.start();
    for address in &server.udp_addresses {
        UdpClient::new(*address).expect("set k 0 0 1\r\n1\r\n", &["STORED\r\n"]);
    }
    UdpClient::new(server.udp_addresses[0]).expect("get k\r\n", &["VALUE k 0 1\r\n1\r\nEND\r\n"]);
    let counts: HashMap<_, _> = server.client().stats("stats tags").into_iter().collect();
    // Whoever hears nothing asks again: what was asked for once may be counted twice.
    for (name, least) in [("u:cmd_set", 1), ("u:get_hits", 1), ("untagged:cmd_set", 1)] {
        assert!(counts[name].parse::<u64>().is_ok_and(|count| count >= least), "{name}: {counts:?}");
    }
    assert_eq!((counts["untagged:get_hits"].as_str(), counts["u:curr_connections"].as_str()), ("0", "1"));
}
