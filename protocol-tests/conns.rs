//! stats conns, stats detail, stats sizes, idle connections, and commands that end the daemon or move its clock.

use std::collections::HashMap;

use crate::client::{Client, fill};
use crate::differences::{applies, start};
use crate::server::{Launch, wait_until};

/// `stats conns` by descriptor, in order.
pub fn conns(client: &mut Client) -> Vec<(i32, HashMap<String, String>)> {
    let mut list: Vec<(i32, HashMap<String, String>)> = Vec::new();
    for (name, value) in client.stats("stats conns") {
        let (fd, name) = name.split_once(':').expect("a descriptor");
        let fd = fd.parse().expect("a number");
        if list.last().is_none_or(|(last, _)| *last != fd) {
            list.push((fd, HashMap::new()));
        }
        list.last_mut().expect("just added").1.insert(name.to_string(), value);
    }
    list
}

#[test]
fn conns_lists_listeners_and_clients_with_their_states() {
    let server = start!();
    let mut client = server.client();
    let mut idle = server.client();
    idle.expect("", "");
    let mut half = server.client();
    half.expect("", "");
    half.send("set k 0 0 100\r\nhalf");
    let address = server.addresses[0];
    wait_until("all are listed", || conns(&mut client).len() == 4);
    wait_until("the value is waited for", || {
        conns(&mut client).last().is_some_and(|(_, conn)| conn["state"] == "conn_nread")
    });
    let list = conns(&mut client);
    assert!(list.windows(2).all(|pair| pair[0].0 < pair[1].0), "by descriptor: {list:?}");
    let (listeners, clients): (Vec<_>, Vec<_>) =
        list.iter().map(|(_, conn)| conn).partition(|conn| conn["state"] == "conn_listening");
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners[0]["addr"], format!("tcp:{address}"));
    assert!(!listeners[0].contains_key("listen_addr"));
    let states: Vec<_> = clients.iter().map(|conn| conn["state"].as_str()).collect();
    assert_eq!(states, ["conn_parse_cmd", "conn_read", "conn_nread"]);
    for conn in clients {
        assert!(conn["addr"].starts_with("tcp:127.0.0.1:"), "{conn:?}");
        assert_eq!(conn["listen_addr"], format!("tcp:{address}"));
        assert!(conn["secs_since_last_cmd"].parse::<u32>().is_ok());
    }
    drop((idle, half));
    wait_until("they have left the list", || conns(&mut client).len() == 2);
}

#[test]
fn conns_may_be_many_and_are_followed_by_other_answers() {
    let server = start!();
    let mut client = server.client();
    let _others: Vec<_> = (0..200).map(|_| server.client()).collect();
    wait_until("all are listed", || conns(&mut client).len() == 202);
    let replies = client.ask_text("stats conns\r\nget x\r\n");
    assert!(replies.ends_with("\r\nEND\r\nEND\r\n"));
}

#[test]
fn detail_counts_by_prefix_while_it_is_on() {
    let server = start!();
    let mut client = server.client();
    client.expect("set p:0 0 0 1\r\n1\r\nstats detail dump\r\n", "STORED\r\nEND\r\n");
    client.expect(
        "stats detail on\r\nset p:1 0 0 1\r\n1\r\nget p:1 p:2\r\ndelete p:9\r\nget nocolon\r\nstats detail dump\r\n",
        "OK\r\nSTORED\r\nVALUE p:1 0 1\r\n1\r\nEND\r\nNOT_FOUND\r\nEND\r\nPREFIX p get 2 hit 1 set 1 del 1\r\nEND\r\n",
    );
    let settings: HashMap<_, _> = client.stats("stats settings").into_iter().collect();
    assert_eq!(settings["detail_enabled"], "yes");
    client.expect(
        "stats detail off\r\nget p:1\r\nstats detail dump\r\n",
        "OK\r\nVALUE p:1 0 1\r\n1\r\nEND\r\nPREFIX p get 2 hit 1 set 1 del 1\r\nEND\r\n",
    );
    client.expect("stats reset\r\nstats detail dump\r\n", "RESET\r\nEND\r\n");
    for command in ["stats detail", "stats detail x"] {
        client.expect(format!("{command}\r\n"), "CLIENT_ERROR usage: stats detail on|off|dump\r\n");
    }
}

#[test]
fn the_delimiter_of_prefixes_can_be_given() {
    let server = start!(&["-D", "/"]);
    let mut client = server.client();
    let settings: HashMap<_, _> = client.stats("stats settings").into_iter().collect();
    assert_eq!((settings["stat_key_prefix"].as_str(), settings["detail_enabled"].as_str()), ("/", "yes"));
    client
        .expect("get a:b/c\r\nstats detail dump\r\n", "END\r\nPREFIX a:b get 1 hit 0 set 0 del 0\r\nEND\r\n");
}

#[test]
fn prefixes_may_be_many_and_have_a_limit() {
    let server = start!(&["-D", ":"]);
    let mut client = server.client();
    for first in (0..70_000).step_by(1000) {
        let gets: String = (first..first + 1000).map(|n| format!("get p{n}:x\r\n")).collect();
        client.expect(gets, "END\r\n".repeat(1000));
    }
    let dump = client.ask_text("stats detail dump\r\n");
    assert!(dump.ends_with("\r\nEND\r\n"));
    assert_eq!(dump.matches("PREFIX p").count(), 65_536);
}

#[test]
fn detail_may_be_forbidden() {
    let server = start!(&["-X"]);
    for what in ["on", "off", "dump", "x"] {
        server
            .client()
            .expect(format!("stats detail {what}\r\n"), "CLIENT_ERROR stats detail not allowed\r\n");
    }
}

#[test]
fn sizes_are_counted_where_asked_for() {
    server_without_sizes();
    let server = start!(&["-o", "track_sizes"]);
    let mut client = server.client();
    client.expect(
        format!("set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nset c 0 0 5000\r\n{}\r\n", fill(b'x', 5000)),
        "STORED\r\n".repeat(3),
    );
    let sizes = client.stats("stats sizes");
    let counts: Vec<_> = sizes.iter().map(|(_, count)| count.as_str()).collect();
    assert_eq!(counts, ["2", "1"]);
    let bytes: Vec<u64> = sizes.iter().map(|(size, _)| size.parse().expect("a size")).collect();
    assert!(bytes[0] < 100 && (5000..5100).contains(&bytes[1]), "{bytes:?}");
}

fn server_without_sizes() {
    let server = crate::server::Server::start();
    server.client().expect("stats sizes\r\n", "STAT sizes_status disabled\r\nEND\r\n");
}

#[test]
fn idle_connections_are_closed() {
    let server = start!(&["-o", "idle_timeout=1"]);
    let mut client = server.client();
    let mut idle = server.client();
    idle.expect("", "");
    wait_until("the idle one is closed", || client.stat("idle_kicks") == 1);
    assert_eq!(idle.read_to_close(), b"");
    let settings: HashMap<_, _> = client.stats("stats settings").into_iter().collect();
    assert_eq!(settings["idle_timeout"], "1");
}

#[test]
fn a_value_that_does_not_arrive_any_more_is_given_up() {
    applies!();
    let launch = Launch::new().variable("MEMCACHED_DEBUG_COMMANDS", "1").options(["-o", "idle_timeout=10"]);
    let server = launch.start();
    let mut client = server.client();
    client.expect("set k 0 0 3\r\nold\r\ndebugtime p\r\n", "STORED\r\nOK\r\n");
    let bytes = client.stat("bytes");
    let (mut half, mut refused, mut slow) = (server.client(), server.client(), server.client());
    refused.expect_so_far("set r 0 0 2000000\r\nhalf", "SERVER_ERROR object too large for cache\r\n");
    let heard = |client: &mut Client, whom: &mut Client, what: String| {
        let wanted = client.stat("bytes_read") + what.len() as u64;
        whom.send(what);
        wait_until("the daemon has read it", || client.stat("bytes_read") >= wanted);
    };
    heard(&mut client, &mut half, format!("set k 0 0 1000000\r\n{}", fill(b'h', 500_000)));
    heard(&mut client, &mut slow, format!("set slow 0 0 1000000\r\n{}", fill(b's', 500_000)));
    client.expect("debugtime 6\r\n", "OK\r\n");
    heard(&mut client, &mut slow, "s".to_owned());
    client.expect("debugtime 6\r\n", "OK\r\n");
    // Whoever sends something now and then is heard to the end.
    wait_until("those that say nothing are closed", || client.stat("idle_kicks") == 2);
    assert_eq!((half.read_to_close(), refused.read_to_close()), (Vec::new(), Vec::new()));
    slow.expect(fill(b's', 499_999) + "\r\n", "STORED\r\n");
    client.expect("delete slow\r\nget k\r\n", "DELETED\r\nVALUE k 0 3\r\nold\r\nEND\r\n");
    assert_eq!((client.stat("curr_items"), client.stat("bytes")), (1, bytes));
}

#[test]
fn shutdown_knows_its_modes() {
    let mut server = start!(&["-A"]);
    let mut client = server.client();
    client.expect("shutdown x\r\n", "CLIENT_ERROR invalid shutdown mode\r\n");
    let settings: HashMap<_, _> = client.stats("stats settings").into_iter().collect();
    assert_eq!(settings["shutdown_command"], "yes");
    client.expect_close("shutdown graceful\r\n", "");
    assert_eq!(server.wait_for_end().code(), Some(0));
}

#[test]
fn certificates_are_not_there() {
    let server = start!();
    server.client().expect("refresh_certs\r\n", "Error TLS not enabled\r\n");
}

#[test]
fn the_clock_is_moved_only_where_tests_may() {
    applies!();
    let server = crate::server::Server::start();
    server.client().expect("debugtime p\r\ndebugtime 10\r\nmisbehave\r\n", "ERROR\r\n".repeat(3));
    let server = Launch::new().variable("MEMCACHED_DEBUG_COMMANDS", "1").start();
    let mut client = server.client();
    client.expect("set k 0 1000 1\r\n1\r\ndebugtime p\r\n", "STORED\r\nOK\r\n");
    client.expect("debugtime 999\r\nget k\r\n", "OK\r\nVALUE k 0 1\r\n1\r\nEND\r\n");
    client.expect("debugtime 1\r\n", "OK\r\n");
    client.expect("get k\r\ndebugtime r\r\ndebugtime x\r\ndebugtime\r\n", "END\r\nOK\r\nERROR\r\nERROR\r\n");
}
