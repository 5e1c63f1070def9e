//! Keys and values at the limit: what just fits, what is refused, and what a refused set leaves behind.
//!
//! Owns sizes only; the storage commands as such are in `storage.rs`.

use crate::client::fill;
use crate::differences::start;

const TOO_LARGE: &str = "SERVER_ERROR object too large for cache\r\n";
const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

/// Largest value under a key of one byte without flags, with the default limit of 1 MB.
const VALUE_MAX: usize = 1_048_516;

#[test]
fn the_largest_value_is_stored_and_read_back_whole() {
    let server = start!();
    let mut client = server.client();
    for size in [VALUE_MAX - 1, VALUE_MAX] {
        let value: String = (0..size).map(|at| char::from(b'a' + (at / 1000 % 26) as u8)).collect();
        client.expect(format!("set k 0 0 {size}\r\n{value}\r\n"), "STORED\r\n");
        client.expect("get k\r\n", format!("VALUE k 0 {size}\r\n{value}\r\nEND\r\n"));
    }
}

#[test]
fn one_byte_more_is_too_large() {
    let server = start!();
    let mut client = server.client();
    let size = VALUE_MAX + 1;
    client.expect(format!("set k 0 0 {size}\r\n{}\r\n", fill(b'x', size)), TOO_LARGE);
    client.expect("get k\r\n", "END\r\n");
}

#[test]
fn key_and_flags_count_towards_the_limit() {
    let server = start!();
    let mut client = server.client();
    let long = fill(b'k', 250);
    let rows = [
        ("k", 1, VALUE_MAX - 4, "STORED\r\n"),
        ("k", 1, VALUE_MAX - 3, TOO_LARGE),
        ("kk", 0, VALUE_MAX - 1, "STORED\r\n"),
        ("kk", 0, VALUE_MAX, TOO_LARGE),
        (long.as_str(), 0, VALUE_MAX - 249, "STORED\r\n"),
        (long.as_str(), 0, VALUE_MAX - 248, TOO_LARGE),
    ];
    for (key, flags, size, reply) in rows {
        client.expect(format!("set {key} {flags} 0 {size}\r\n{}\r\n", fill(b'x', size)), reply);
    }
}

#[test]
fn without_cas_8_bytes_more_fit() {
    let server = start!(&["-C"]);
    let mut client = server.client();
    for (size, reply) in [(VALUE_MAX + 8, "STORED\r\n"), (VALUE_MAX + 9, TOO_LARGE)] {
        client.expect(format!("set k 0 0 {size}\r\n{}\r\n", fill(b'x', size)), reply);
    }
}

#[test]
fn the_limit_follows_the_item_size_option() {
    let server = start!(&["-I", "2m"]);
    let mut client = server.client();
    let most = VALUE_MAX + 1024 * 1024;
    let value = fill(b'x', most);
    client.expect(format!("set k 0 0 {most}\r\n{value}\r\n"), "STORED\r\n");
    client.expect("get k\r\n", format!("VALUE k 0 {most}\r\n{value}\r\nEND\r\n"));
    client.expect(format!("set k 0 0 {}\r\n{value}x\r\n", most + 1), TOO_LARGE);
}

#[test]
fn smaller_item_size_limits_hold_too() {
    let server = start!(&["-I", "512k"]);
    let mut client = server.client();
    let most = VALUE_MAX - 512 * 1024;
    client.expect(format!("set k 0 0 {most}\r\n{}\r\n", fill(b'x', most)), "STORED\r\n");
    client.expect(format!("set k 0 0 {}\r\n{}\r\n", most + 1, fill(b'x', most + 1)), TOO_LARGE);
}

#[test]
fn a_refused_set_removes_the_old_value() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 3\r\nold\r\n", "STORED\r\n");
    client.expect(format!("set k 0 0 1048577\r\n{}\r\n", fill(b'x', 1_048_577)), TOO_LARGE);
    client.expect("get k\r\n", "END\r\n");
}

#[test]
fn a_refused_add_replace_append_or_prepend_keeps_the_old_value() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 3\r\nold\r\n", "STORED\r\n");
    for command in ["add", "replace", "append", "prepend"] {
        client.expect(format!("{command} k 0 0 1048577\r\n{}\r\n", fill(b'x', 1_048_577)), TOO_LARGE);
        client.expect("get k\r\n", "VALUE k 0 3\r\nold\r\nEND\r\n");
    }
}

#[test]
fn a_refused_value_is_skipped_to_the_byte() {
    let server = start!();
    let mut client = server.client();
    // The skipped bytes are commands themselves, which must not be carried out.
    let commands = "delete keep\r\n".repeat(100_000);
    client.expect("set keep 0 0 1\r\na\r\n", "STORED\r\n");
    client.expect(
        format!("set k 0 0 {}\r\n{commands}\r\nget keep\r\n", commands.len()),
        [TOO_LARGE, "VALUE keep 0 1\r\na\r\nEND\r\n"].concat(),
    );
    client.expect(
        format!("set k 0 0 {} noreply\r\n{commands}\r\nget keep\r\n", commands.len()),
        "VALUE keep 0 1\r\na\r\nEND\r\n",
    );
}

#[test]
fn appending_beyond_the_limit_is_not_stored() {
    let server = start!();
    let mut client = server.client();
    let value = fill(b'x', 700_000);
    client.expect(format!("set k 0 0 700000\r\n{value}\r\n"), "STORED\r\n");
    for command in ["append", "prepend"] {
        client.expect(format!("{command} k 0 0 700000\r\n{value}\r\n"), "NOT_STORED\r\n");
    }
    client.expect("get k\r\n", format!("VALUE k 0 700000\r\n{value}\r\nEND\r\n"));
    let part = fill(b'y', 300_000);
    client.expect(format!("append k 0 0 300000\r\n{part}\r\n"), "STORED\r\n");
    client.expect("get k\r\n", format!("VALUE k 0 1000000\r\n{value}{part}\r\nEND\r\n"));
}

#[test]
fn keys_of_250_bytes_work_everywhere() {
    let server = start!();
    let key = fill(b'k', 250);
    server.client().expect_all(&[
        (format!("set {key} 0 0 1\r\n1\r\n"), "STORED\r\n".to_string()),
        (format!("get {key}\r\n"), format!("VALUE {key} 0 1\r\n1\r\nEND\r\n")),
        (format!("get {key} {key}\r\n"), format!("VALUE {key} 0 1\r\n1\r\nVALUE {key} 0 1\r\n1\r\nEND\r\n")),
        (format!("gat 0 {key}\r\n"), format!("VALUE {key} 0 1\r\n1\r\nEND\r\n")),
        (format!("append {key} 0 0 1\r\n2\r\n"), "STORED\r\n".to_string()),
        (format!("incr {key} 1\r\n"), "13\r\n".to_string()),
        (format!("decr {key} 3\r\n"), "10\r\n".to_string()),
        (format!("touch {key} 0\r\n"), "TOUCHED\r\n".to_string()),
        (format!("delete {key}\r\n"), "DELETED\r\n".to_string()),
        (format!("get {key}\r\n"), "END\r\n".to_string()),
    ]);
}

#[test]
fn keys_of_251_bytes_are_refused_by_everything_that_changes_items() {
    let server = start!();
    let mut client = server.client();
    for length in [251, 300, 1000] {
        let key = fill(b'k', length);
        let short = &key[..250];
        client.expect(format!("set {short} 0 0 1\r\n1\r\n"), "STORED\r\n");
        for command in ["set", "add", "replace", "append", "prepend"] {
            client.expect(format!("{command} {key} 0 0 1\r\n2\r\n"), BAD_LINE);
        }
        for rest in ["1", "1 noreply junk"] {
            client.expect(format!("incr {key} {rest}\r\n"), BAD_LINE);
            client.expect(format!("decr {key} {rest}\r\n"), BAD_LINE);
            client.expect(format!("touch {key} {rest}\r\n"), BAD_LINE);
            client.expect(format!("delete {key} {rest}\r\n"), BAD_LINE);
        }
        client.expect(format!("get {short}\r\n"), format!("VALUE {short} 0 1\r\n1\r\nEND\r\n"));
    }
}

#[test]
fn keys_of_251_bytes_in_a_get_give_one_clean_error_line() {
    let server = start!();
    let mut client = server.client();
    let key = fill(b'k', 251);
    for command in ["get", "gets", "gat 0", "gats 0"] {
        client.expect(format!("{command} {key}\r\n"), BAD_LINE);
    }
}

#[test]
fn keys_of_251_bytes_in_a_get_do_not_cost_earlier_replies() {
    let server = start!();
    let mut client = server.client();
    let key = fill(b'k', 251);
    client.expect(
        format!("set a 0 0 1\r\n1\r\nget a\r\nget {key}\r\nget a\r\n"),
        ["STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n", BAD_LINE, "VALUE a 0 1\r\n1\r\nEND\r\n"].concat(),
    );
}
