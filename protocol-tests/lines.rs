//! How bytes become command lines and tokens: line ends, blanks, unknown words, lines that are too long.
//!
//! Owns no command's meaning; uses the cheapest command that shows the rule.

use crate::client::fill;
use crate::differences::start;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn a_line_ends_at_lf_and_one_cr_before_it_is_dropped() {
    let server = start!();
    server.client().expect_all(&[
        ("mn foo bar\n", "MN\r\n"),
        ("set lf 0 0 1\na\r\n", "STORED\r\n"),
        ("get lf\n", "VALUE lf 0 1\r\na\r\nEND\r\n"),
        // Only the last CR belongs to the line end, the first one is part of the key.
        ("set cr\r 0 0 1\r\nb\r\n", "STORED\r\n"),
        ("get cr\r\r\n", "VALUE cr\r 0 1\r\nb\r\nEND\r\n"),
    ]);
}

#[test]
fn lines_shorter_than_four_bytes_are_bad() {
    let server = start!();
    server.client().expect_all(&[
        ("\r\n", BAD_LINE),
        ("\n", BAD_LINE),
        ("a\r\n", BAD_LINE),
        ("mn\n", BAD_LINE),
        ("m\r\n", BAD_LINE),
        ("ab\r\n", "ERROR\r\n"),
        ("mn\r\n", "MN\r\n"),
        ("mn \n", "MN\r\n"),
        ("\n\r\n\n", [BAD_LINE, BAD_LINE, BAD_LINE].concat().as_str()),
    ]);
}

#[test]
fn runs_of_blanks_count_once_and_trailing_ones_not_at_all() {
    let server = start!();
    server.client().expect_all(&[
        ("set  k   0  0  3  \r\nabc\r\n", "STORED\r\n"),
        ("get  k  \r\n", "VALUE k 0 3\r\nabc\r\nEND\r\n"),
        ("get k    absent   k\r\n", "VALUE k 0 3\r\nabc\r\nVALUE k 0 3\r\nabc\r\nEND\r\n"),
        ("incr   k    1  \r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
        ("touch  k  0  \r\n", "TOUCHED\r\n"),
        ("delete  k  \r\n", "DELETED\r\n"),
    ]);
}

#[test]
fn only_the_blank_separates_tokens() {
    let server = start!();
    server.client().expect_all(&[
        ("get\tk\r\n", "ERROR\r\n"),
        ("set\tk 0 0 1\r\n", "ERROR\r\n"),
        ("set a\tb 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("get a\tb\r\n", "VALUE a\tb 0 1\r\n1\r\nEND\r\n"),
        ("set a\rb 0 0 1\r\n2\r\n", "STORED\r\n"),
        ("get a\rb\r\n", "VALUE a\rb 0 1\r\n2\r\nEND\r\n"),
        ("set a\x0bb 0 0 1\r\n3\r\n", "STORED\r\n"),
        ("get a\x0bb\r\n", "VALUE a\x0bb 0 1\r\n3\r\nEND\r\n"),
    ]);
}

#[test]
fn a_blank_before_a_core_command_makes_it_unknown() {
    let server = start!();
    server.client().expect_all(&[
        (" get k\r\n", "ERROR\r\n"),
        (" set k 0 0 1\r\n", "ERROR\r\n"),
        ("   delete k\r\n", "ERROR\r\n"),
    ]);
}

#[test]
fn a_blank_before_an_admin_command_does_no_harm() {
    let server = start!();
    server.client().expect_all(&[(" flush_all\r\n", "OK\r\n"), ("  verbosity 0\r\n", "OK\r\n")]);
}

#[test]
fn commands_are_lower_case() {
    let server = start!();
    server.client().expect_all(&[
        ("GET k\r\n", "ERROR\r\n"),
        ("Set k 0 0 1\r\n", "ERROR\r\n"),
        ("VERSION\r\n", "ERROR\r\n"),
        ("getS k\r\n", "ERROR\r\n"),
    ]);
}

#[test]
fn unknown_commands_are_errors_and_the_connection_goes_on() {
    let server = start!();
    let mut client = server.client();
    for word in [
        "bogus",
        "ge",
        "getx k",
        "sets k 0 0 1",
        "gatss 0 k",
        "incrr k 1",
        "deletes k",
        "q k",
        "0",
        "\x7f\x7f k",
    ] {
        if word.len() > 1 {
            client.expect(format!("{word}\r\n"), "ERROR\r\n");
        }
    }
    client.expect("set k 0 0 1\r\na\r\n", "STORED\r\n");
}

#[test]
fn surplus_tokens_are_ignored() {
    let server = start!();
    let mut client = server.client();
    client.expect_all(&[
        ("set k 0 0 1 junk\r\n5\r\n", "STORED\r\n"),
        ("set k 0 0 1 noreply junk\r\n5\r\n", "STORED\r\n"),
        ("incr k 1 junk\r\n", "6\r\n"),
        ("decr k 1 junk more junk\r\n", "5\r\n"),
        ("touch k 0 junk\r\n", "TOUCHED\r\n"),
        ("delete k 10\r\n", "DELETED\r\n"),
        ("verbosity 0 2 3\r\n", "OK\r\n"),
        ("mn 1 2 3\r\n", "MN\r\n"),
    ]);
    let version = client.ask_text("version\r\n");
    client.expect("version junk\r\n", version);
}

#[test]
fn noreply_behind_the_tokens_that_are_kept_is_not_seen() {
    let server = start!();
    let junk = "t ".repeat(30);
    server.client().expect(format!("set k 0 0 1 {junk}noreply\r\n1\r\n"), "STORED\r\n");
}

#[test]
fn an_http_request_closes_the_connection_without_a_word() {
    let server = start!();
    server.client().expect_close("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "");
    server.client().expect_close("POST /x HTTP/1.0\r\n\r\nset k 0 0 1\r\n1\r\n", "");
}

#[test]
fn http_as_the_only_token_is_just_unknown() {
    let server = start!();
    server.client().expect_all(&[("HTTP/1.1\r\n", "ERROR\r\n"), ("get k\r\n", "END\r\n")]);
}

#[test]
fn a_complete_line_may_be_long_if_it_arrives_at_once() {
    let server = start!();
    let blanks = fill(b' ', 3000);
    server.client().expect(
        format!("set k 0 0 3{blanks}\r\nabc\r\nget k\r\n"),
        "STORED\r\nVALUE k 0 3\r\nabc\r\nEND\r\n",
    );
}

#[test]
fn more_than_2048_bytes_without_a_line_end_close_the_connection() {
    let server = start!();
    let endless = [
        format!("set {}", fill(b'x', 2100)),
        fill(b'j', 2100),
        fill(b'\0', 5000),
        format!("gat 0 {}", "x ".repeat(1100)),
        format!("mg {}", "x ".repeat(1100)),
        format!("delete {}", fill(b'k', 20_000)),
        // A blank too many before `get` to be looked at.
        format!("{}get {}", fill(b' ', 101), "x ".repeat(1100)),
    ];
    for line in endless {
        server.client().expect_close(line, "");
    }
}

#[test]
fn get_lines_may_grow() {
    let server = start!();
    let mut other = server.client();
    for command in ["get ", "gets "] {
        let mut client = server.client();
        client.send(format!("{command}{}", "x ".repeat(1100)));
        other.expect("get y\r\n", "END\r\n");
        client.send("x ".repeat(1100));
        other.expect("get y\r\n", "END\r\n");
        client.expect("\r\n", "END\r\n");
    }
}

#[test]
fn up_to_100_blanks_before_a_get_line_that_grows_only_make_it_unknown() {
    let server = start!();
    let mut client = server.client();
    client.send(format!("{}get {}", fill(b' ', 100), "x ".repeat(1100)));
    server.client().expect("get y\r\n", "END\r\n");
    client.expect("\r\n", "ERROR\r\n");
}
