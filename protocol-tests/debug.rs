//! Commands for tests of the daemon itself: debugitem and misbehave. (debugtime is among the connections'.)

use crate::client::{Client, fill};
use crate::differences::applies;
use crate::server::{Launch, Server};

fn server() -> Server {
    Launch::new().variable("MEMCACHED_DEBUG_COMMANDS", "1").options(["-t", "1"]).start()
}

/// The class of the only items that there are.
fn only_class(client: &mut Client) -> String {
    let stats = client.stats("stats items");
    stats[0].0.split(':').nth(1).expect("a class").to_owned()
}

#[test]
fn without_the_variable_there_are_no_debug_commands() {
    applies!();
    for value in [None, Some("0")] {
        let launch = Launch::new();
        let server =
            value.map_or(Launch::new(), |value| launch.variable("MEMCACHED_DEBUG_COMMANDS", value)).start();
        let lines =
            "set k 0 0 1\r\n1\r\ndebugitem ref k\r\ndebugitem ref k noreply\r\nmisbehave\r\ndebugtime p\r\n";
        server.client().expect(lines, "STORED\r\nERROR\r\nERROR\r\nERROR\r\n");
    }
}

#[test]
fn the_page_of_an_item_that_is_referenced_or_locked_stays() {
    applies!();
    let server = server();
    let mut client = server.client();
    let value = fill(b'x', 8000);
    for (take, give) in [("ref", "unref"), ("lock", "unlock")] {
        for number in 0..4 {
            client.expect(format!("set k{number} 0 0 8000\r\n{value}\r\n"), "STORED\r\n");
            client.expect(format!("debugitem {take} k{number}\r\n"), "OK\r\n");
        }
        let reassign = format!("slabs reassign {} 0\r\n", only_class(&mut client));
        client.expect(&reassign, "NOSPARE source class has no spare pages\r\n");
        // Whatever becomes of the items.
        client.expect("delete k0\r\nflush_all\r\n", "DELETED\r\nOK\r\n");
        client.expect(&reassign, "NOSPARE source class has no spare pages\r\n");
        for number in 0..4 {
            client.expect(format!("debugitem {give} k{number}\r\n"), "OK\r\n");
        }
        // Nothing is in them, so that they went when they were let go.
        assert!(!client.stats("stats slabs").iter().any(|(name, _)| name.ends_with(":total_pages")));
        for number in 0..4 {
            client.expect(format!("set k{number} 0 0 8000\r\n{value}\r\n"), "STORED\r\n");
        }
        client.expect(&reassign, "OK\r\n");
        client.expect("flush_all\r\n", "OK\r\n");
    }
}

#[test]
fn debugitem_knows_its_words() {
    applies!();
    let server = server();
    let mut client = server.client();
    let long = fill(b'k', 251);
    client.expect_all(&[
        ("debugitem\r\n", "ERROR\r\n"),
        ("debugitem lock\r\n", "ERROR\r\n"),
        ("debugitem foo k\r\n", "ERROR\r\n"),
        ("debugitem ref nope\r\n", "MISS\r\n"),
        ("debugitem unref nope\r\n", "MISS\r\n"),
        ("debugitem unref reffed\r\n", "MISS\r\n"),
        ("set a 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("debugitem ref a\r\ndebugitem unref reffed\r\nget a\r\n", "OK\r\nOK\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        ("debugitem lock a\r\ndebugitem unref a\r\n", "OK\r\nMISS\r\n"),
        (
            "debugitem unlock reffed\r\ndebugitem unlock a\r\nget a\r\n",
            "MISS\r\nOK\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
        ),
    ]);
    // `ERROR` where it could open sockets and run programs, which nothing prevents but the filter.
    let is_confined =
        std::env::var("LARDER_TEST_OPTIONS").is_ok_and(|options| options.contains("drop_privileges"));
    client.expect("misbehave\r\n", if is_confined { "OK\r\n" } else { "ERROR\r\n" });
    client.expect(format!("debugitem ref {long}\r\n"), "ERROR\r\n");
}
