//! Every error line of the text protocol, in the order of memcached's own list of them, each with an input that
//! gives it. What cannot be had from larder stands there as a comment that says why.

use crate::client::{Client, fill};
use crate::differences::{applies, start};
use crate::server::Server;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

/// Asks for each line in a connection of its own.
#[track_caller]
fn check(server: &Server, rows: &[(&str, &str)]) {
    for (sent, want) in rows {
        server.client().expect(format!("{sent}\r\n"), format!("{want}\r\n"));
    }
}

#[test]
fn error_alone_is_for_what_is_unknown_or_counted_wrong() {
    let server = start!();
    for sent in ["bogus", "stats bogus", "lru bogus", "slabs bogus", "lru_crawler crawl", "slabs reassign 1"]
    {
        check(&server, &[(sent, "ERROR")]);
    }
}

#[test]
fn a_bad_line_is_one_whose_tokens_cannot_be_read() {
    let server = start!();
    let long = fill(b'k', 251);
    let with_values = [
        "set k 0 0 x".to_owned(),
        "set k 0 0 -1".to_owned(),
        "verbosity".to_owned(),
        "slabs automove x".to_owned(),
        "lru_crawler tocrawl x".to_owned(),
        format!("get {long}"),
        format!("delete {long}"),
        format!("touch {long} 0"),
        format!("incr {long} 1"),
    ];
    for sent in with_values {
        server.client().expect(format!("{sent}\r\n"), BAD_LINE);
    }
}

#[test]
fn a_bad_line_is_one_that_is_short_or_lacks_tokens() {
    let server = start!();
    for sent in
        ["", "a", "set k 0 0", "get", "gat 0", "incr k", "delete", "touch k", "mg", "ms", "md", "me", "ma"]
    {
        server.client().expect(format!("{sent}\r\n"), BAD_LINE);
    }
    for sent in ["mg k \x01", "md k {", "ms k 1 Fx\r\n1"] {
        server.client().expect(format!("{sent}\r\n"), BAD_LINE);
    }
}

#[test]
fn a_bad_line_takes_its_value_along() {
    let server = start!();
    let long = fill(b'k', 251);
    for line in ["set k x 0 1", "set k 0 x 1", "cas k 0 0 1", "cas k 0 0 1 x", &format!("set {long} 0 0 1")] {
        server.client().expect(format!("{line}\r\n1\r\nversion bogus\r\n"), {
            let version = server.client().ask_text("version\r\n");
            format!("{BAD_LINE}{version}")
        });
    }
}

#[test]
fn values_and_numbers_that_are_wrong() {
    let server = start!();
    server
        .client()
        .expect("set n 0 0 4\r\ntext\r\nset big 0 0 21\r\n184467440737095516160\r\n", "STORED\r\nSTORED\r\n");
    server.client().expect("set e 0 0 0\r\n\r\nset minus 0 0 2\r\n-1\r\n", "STORED\r\nSTORED\r\n");
    server.client().expect("set k 0 0 1\r\n123", "CLIENT_ERROR bad data chunk\r\n");
    let non_numeric = "CLIENT_ERROR cannot increment or decrement non-numeric value";
    check(
        &server,
        &[
            ("incr n x", "CLIENT_ERROR invalid numeric delta argument"),
            ("decr n -1", "CLIENT_ERROR invalid numeric delta argument"),
            ("incr n 1", non_numeric),
            ("decr n 1", non_numeric),
            ("incr big 1", non_numeric),
            ("incr e 1", non_numeric),
            ("incr minus 1", non_numeric),
            ("ma n", non_numeric),
            ("touch n x", "CLIENT_ERROR invalid exptime argument"),
            ("gat x n", "CLIENT_ERROR invalid exptime argument"),
            ("gats x n", "CLIENT_ERROR invalid exptime argument"),
            ("flush_all x", "CLIENT_ERROR invalid exptime argument"),
        ],
    );
    let large = fill(b'1', 600_000);
    let mut client = server.client();
    client.expect(format!("set large 0 0 600000\r\n{large}\r\n"), "STORED\r\n");
    client.expect("incr large 1\r\n", format!("{non_numeric}\r\n"));
}

#[test]
fn what_the_operator_forbids() {
    let server = start!(&["-F", "-X", "-W"]);
    check(
        &server,
        &[
            ("flush_all", "CLIENT_ERROR flush_all not allowed"),
            ("stats detail on", "CLIENT_ERROR stats detail not allowed"),
            ("stats cachedump 1 0", "CLIENT_ERROR stats cachedump not allowed"),
            ("watch", "CLIENT_ERROR watch commands not allowed"),
            ("lru_crawler metadump all", "ERROR metadump not allowed"),
            ("lru_crawler mgdump all", "ERROR key dump not allowed"),
        ],
    );
}

#[test]
fn statistics_that_cannot_be_told() {
    let server = start!();
    check(
        &server,
        &[
            ("stats detail", "CLIENT_ERROR usage: stats detail on|off|dump"),
            ("stats detail x", "CLIENT_ERROR usage: stats detail on|off|dump"),
            ("stats cachedump", "CLIENT_ERROR bad command line"),
            ("stats cachedump 1", "CLIENT_ERROR bad command line"),
            ("stats cachedump 64 0", "CLIENT_ERROR Illegal slab id"),
        ],
    );
}

#[test]
fn pages_that_may_not_move() {
    let server = start!(&["-o", "no_slab_reassign"]);
    check(&server, &[("slabs reassign 1 2", "CLIENT_ERROR slab reassignment disabled")]);
}

#[test]
fn a_window_that_is_none() {
    let server = start!();
    check(
        &server,
        &[
            ("slabs automove window 2", "CLIENT_ERROR automove window too low or too high"),
            ("slabs automove window 1801", "CLIENT_ERROR automove window too low or too high"),
        ],
    );
}

#[test]
fn a_crawler_that_is_off_or_sleeps_too_long() {
    let server = start!(&["-o", "no_lru_crawler"]);
    for what in ["crawl all", "metadump all"] {
        check(&server, &[(&format!("lru_crawler {what}"), "CLIENT_ERROR lru crawler disabled")]);
    }
    check(&server, &[("lru_crawler sleep 1000001", "CLIENT_ERROR sleep must be one second or less")]);
}

#[test]
fn a_shutdown_of_an_unknown_kind() {
    let server = start!(&["-A"]);
    check(&server, &[("shutdown x", "CLIENT_ERROR invalid shutdown mode")]);
}

// unauthenticated, auth token too long, bad command line termination, bad authentication token format,
// authentication failure: see auth.rs.

#[test]
fn meta_commands_that_are_wrong() {
    let server = start!();
    let opaque = fill(b'o', 40);
    let flags = " k v s t c f h l u q C1 T1 N1 R1 E1 F1 I x D1";
    for (sent, want) in [
        ("mg k s s".to_owned(), "duplicate flag"),
        ("mg k y".to_owned(), "invalid flag"),
        (format!("mg k{flags}"), "options flags are too long"),
        ("mg k Tx".to_owned(), "bad token in command line format"),
        ("md k Cx".to_owned(), "bad token in command line format"),
        ("mg !!! b".to_owned(), "error decoding key"),
        (format!("mg k O{opaque}"), "opaque token too long"),
        ("ms k 1 Mx\r\n1".to_owned(), "invalid mode for ms M token"),
        ("ma k Mx".to_owned(), "invalid mode for ma M token"),
        ("ma k Jx".to_owned(), "invalid or duplicate flag"),
        ("ma k Dx".to_owned(), "invalid or duplicate flag"),
        ("ma k v v".to_owned(), "invalid or duplicate flag"),
    ] {
        server.client().expect(format!("{sent}\r\n"), format!("CLIENT_ERROR {want}\r\n"));
    }
    // invalid numeric initial value, invalid numeric delta value: ma has one answer to all of these.
}

#[test]
fn a_value_that_is_too_large() {
    let server = start!();
    let value = fill(b'x', 1_100_000);
    for line in ["set k 0 0 1100000", "add k 0 0 1100000", "ms k 1100000"] {
        server
            .client()
            .expect(format!("{line}\r\n{value}\r\n"), "SERVER_ERROR object too large for cache\r\n");
    }
}

/// Stores small items until none fits any more.
fn fill_up(client: &mut Client) {
    let line = |round: usize, at: usize| format!("ms {round:03}/{at:03} 1 q\r\n1\r\n");
    for round in 0..400 {
        let replies = client.ask_text((0..1000).map(|at| line(round, at)).collect::<String>());
        if replies == "SERVER_ERROR out of memory storing object\r\n".repeat(1000) {
            return;
        }
    }
    panic!("400000 items fit into 8 MB");
}

#[test]
fn memory_that_is_missing() {
    applies!();
    let server = Server::with(&["-m", "8", "-M"]);
    let mut client = server.client();
    let value = fill(b'v', 5000);
    client.expect(format!("set n 0 0 1\r\n9\r\nset large 0 0 5000\r\n{value}\r\n"), "STORED\r\nSTORED\r\n");
    fill_up(&mut client);
    client.expect_all(&[
        ("set another 0 0 1\r\n1\r\n", "SERVER_ERROR out of memory storing object\r\n"),
        ("incr n 18000000000000000000\r\n", "SERVER_ERROR out of memory\r\n"),
        ("md large x\r\n", "SERVER_ERROR out of memory\r\n"),
        ("ma absent N0\r\n", "SERVER_ERROR Out of memory allocating new item\r\n"),
    ]);
    client.expect("get n\r\n", "VALUE n 0 1\r\n9\r\nEND\r\n");
}

#[test]
fn memory_that_ends_while_a_value_arrives() {
    applies!();
    let server = Server::with(&["-m", "8", "-M", "-I", "2m"]);
    let value = fill(b'x', 1_900_000);
    let mut clients: Vec<Client> = (0..5).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("set k{number} 0 0 1900000\r\n{value}"));
    }
    // Five do not fit, whichever of them come first.
    let replies: Vec<String> = clients.iter_mut().map(|client| client.ask_text("\r\n")).collect();
    assert!(replies.iter().any(|reply| reply == "SERVER_ERROR Out of memory during read\r\n"), "{replies:?}");
    assert!(replies.iter().any(|reply| reply == "STORED\r\n"), "{replies:?}");
}

// SERVER_ERROR out of memory writing get response, writing stats, reading request; refcount overflow during fetch;
// Unhandled storage type; output line too long. Replies and input are vectors that grow, and where the system gives no
// memory at all the process ends; nothing counts the readers of an item; the compiler knows the types; no line has a
// limit.

#[test]
fn a_shutdown_that_is_not_enabled() {
    let server = start!();
    check(&server, &[("shutdown", "SERVER_ERROR: shutdown not enabled")]);
}

#[test]
fn connections_beyond_the_limit() {
    applies!();
    let server = Server::with(&["-c", "2"]);
    let mut clients = [server.client(), server.client()];
    clients.iter_mut().for_each(|client| client.expect("", ""));
    server.client().expect_close("", "ERROR Too many open connections\r\n");
}

#[test]
fn commands_that_must_come_first() {
    let server = start!();
    check(&server, &[("get x\r\nwatch", "END\r\nERROR cannot pipeline other commands before watch")]);
    let want = "END\r\nERROR cannot pipeline other commands before metadump";
    check(&server, &[("get x\r\nlru_crawler metadump all", want)]);
}

#[test]
fn a_list_of_keys_must_come_first() {
    let server = start!();
    let want = "END\r\nERROR cannot pipeline other commands before mgdump";
    check(&server, &[("get x\r\nlru_crawler mgdump all", want)]);
}

#[test]
fn shares_and_factors_that_make_no_sense() {
    let server = start!();
    check(
        &server,
        &[
            ("lru tune 50 31 0.2 2", "ERROR hot and warm pcts must not exceed 80"),
            ("lru tune 20 40 0 2", "ERROR hot/warm age factors must be greater than 0"),
        ],
    );
}

#[test]
fn a_crawler_that_runs_or_cannot_do_this() {
    // memcached's maintainer begins crawls of its own, and the answer would be BUSY now and then.
    let server = start!(&["-o", "no_lru_maintainer"]);
    check(
        &server,
        &[
            ("lru_crawler enable", "ERROR failed to start lru crawler thread"),
            ("lru_crawler crawl hash", "ERROR an unknown error happened"),
            ("lru_crawler crawl 0", "BADCLASS invalid class id"),
        ],
    );
    // failed to stop lru crawler thread: there is no such thread. locked try again later, BUSY, NOTSTARTED: a crawl
    // joins one that is under way, several dumps may run, and one of nothing is at its end at once.
}

#[test]
fn limits_that_cannot_be() {
    let server = start!();
    check(
        &server,
        &[
            ("cache_memlimit 7", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m"),
            ("cache_memlimit 1000000001", "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes"),
        ],
    );
}

#[test]
fn a_limit_beyond_what_can_be_named() {
    let server = start!();
    check(
        &server,
        &[("cache_memlimit 999999999", "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust")],
    );
}

#[test]
fn one_watcher_too_many() {
    let server = start!();
    let mut watchers: Vec<Client> = (0..20).map(|_| server.client()).collect();
    watchers.iter_mut().for_each(|watcher| watcher.expect_so_far("watch\r\n", "OK\r\n"));
    server.client().expect_so_far("watch\r\n", "WATCHER_TOO_MANY log watcher limit reached\r\n");
    // WATCHER_FAILED: a watcher needs nothing that could be missing but memory.
}

#[test]
fn pages_that_cannot_move() {
    let server = start!();
    check(
        &server,
        &[
            ("slabs reassign 1 64", "BADCLASS invalid src or dst class id"),
            ("slabs reassign 1 2", "NOSPARE source class has no spare pages"),
            ("slabs reassign 1 1", "SAME src and dst class are identical"),
        ],
    );
    // BUSY: the page has moved when the answer comes.
}

#[test]
fn certificates_that_are_not_there() {
    let server = start!();
    check(&server, &[("refresh_certs", "Error TLS not enabled")]);
    // Error loading ...: there is no TLS.
}
