//! set, add, replace, append, prepend and cas: what is stored, and what becomes of refused data.
//!
//! Sizes at the limit are in `value_limits.rs`, numbers in `numbers.rs`, noreply in `noreply.rs`.

use crate::client::{Client, fill};
use crate::differences::start;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";
const BAD_CHUNK: &str = "CLIENT_ERROR bad data chunk\r\n";

/// The cas unique of a key that is there.
#[track_caller]
pub fn unique_of(client: &mut Client, key: &str) -> u64 {
    let reply = client.ask_text(format!("gets {key}\r\n"));
    let line = reply.lines().next().unwrap_or_default();
    let unique = line.split(' ').nth(4).unwrap_or_else(|| panic!("gets {key} answers {reply:?}"));
    unique.parse().expect("a number")
}

#[test]
fn storing_to_an_absent_key() {
    let server = start!();
    let rows = [
        ("set", "", "STORED\r\n", "VALUE k 7 1\r\na\r\nEND\r\n"),
        ("add", "", "STORED\r\n", "VALUE k 7 1\r\na\r\nEND\r\n"),
        ("replace", "", "NOT_STORED\r\n", "END\r\n"),
        ("append", "", "NOT_STORED\r\n", "END\r\n"),
        ("prepend", "", "NOT_STORED\r\n", "END\r\n"),
        ("cas", " 5", "NOT_FOUND\r\n", "END\r\n"),
        ("cas", " 0", "NOT_FOUND\r\n", "END\r\n"),
    ];
    let mut client = server.client();
    for (command, unique, reply, then) in rows {
        client.ask("delete k\r\n");
        client.expect(format!("{command} k 7 0 1{unique}\r\na\r\n"), reply);
        client.expect("get k\r\n", then);
    }
}

#[test]
fn storing_to_a_key_that_is_there() {
    let server = start!();
    let rows = [
        ("set", "", "STORED\r\n", "VALUE k 7 2\r\nab\r\nEND\r\n"),
        ("add", "", "NOT_STORED\r\n", "VALUE k 3 3\r\nold\r\nEND\r\n"),
        ("replace", "", "STORED\r\n", "VALUE k 7 2\r\nab\r\nEND\r\n"),
        // The old flags stay.
        ("append", "", "STORED\r\n", "VALUE k 3 5\r\noldab\r\nEND\r\n"),
        ("prepend", "", "STORED\r\n", "VALUE k 3 5\r\nabold\r\nEND\r\n"),
        ("cas", " 0", "EXISTS\r\n", "VALUE k 3 3\r\nold\r\nEND\r\n"),
        ("cas", " 18446744073709551615", "EXISTS\r\n", "VALUE k 3 3\r\nold\r\nEND\r\n"),
    ];
    let mut client = server.client();
    for (command, unique, reply, then) in rows {
        client.expect("set k 3 0 3\r\nold\r\n", "STORED\r\n");
        client.expect(format!("{command} k 7 0 2{unique}\r\nab\r\n"), reply);
        client.expect("get k\r\n", then);
    }
}

#[test]
fn cas_stores_when_the_unique_is_current() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 1 0 1\r\na\r\n", "STORED\r\n");
    let unique = unique_of(&mut client, "k");
    client.expect(format!("cas k 2 0 1 {unique}\r\nb\r\n"), "STORED\r\n");
    client.expect(format!("cas k 3 0 1 {unique}\r\nc\r\n"), "EXISTS\r\n");
    client.expect("get k\r\n", "VALUE k 2 1\r\nb\r\nEND\r\n");
    let unique = unique_of(&mut client, "k");
    client.expect("delete k\r\n", "DELETED\r\n");
    client.expect(format!("cas k 2 0 1 {unique}\r\nb\r\n"), "NOT_FOUND\r\n");
}

#[test]
fn every_change_of_the_value_gives_a_new_unique_and_nothing_else_does() {
    let server = start!();
    let changes = [
        "set k 0 0 1\r\n1\r\n",
        "replace k 0 0 1\r\n2\r\n",
        "append k 0 0 1\r\n3\r\n",
        "prepend k 0 0 1\r\n4\r\n",
        "incr k 1\r\n",
        "decr k 1\r\n",
        "incr k 999\r\n",
    ];
    let others = [
        "add k 0 0 1\r\n1\r\n",
        "get k\r\n",
        "gat 0 k\r\n",
        "touch k 0\r\n",
        "cas k 0 0 1 0\r\n1\r\n",
        "set k 0 0 1\r\n1xx\r\n",
    ];
    let mut client = server.client();
    client.expect("set k 0 0 1\r\n0\r\n", "STORED\r\n");
    let mut seen = vec![unique_of(&mut client, "k")];
    for change in changes {
        client.ask(change);
        let unique = unique_of(&mut client, "k");
        assert!(!seen.contains(&unique), "{change:?} leaves or repeats the unique {unique}");
        seen.push(unique);
    }
    for other in others {
        client.ask(other);
        assert_eq!(Some(&unique_of(&mut client, "k")), seen.last(), "{other:?} changes the unique");
    }
}

#[test]
fn uniques_differ_between_keys_and_are_not_reused_after_a_delete() {
    let server = start!();
    let mut client = server.client();
    let mut seen = Vec::new();
    for round in 0..50 {
        client.expect(format!("set k{} 0 0 1\r\na\r\n", round % 5), "STORED\r\n");
        seen.push(unique_of(&mut client, &format!("k{}", round % 5)));
        client.ask(format!("delete k{}\r\n", (round + 1) % 5));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 50);
}

#[test]
fn without_cas_uniques_are_0_and_cas_never_stores() {
    let server = start!(&["-C"]);
    server.client().expect_all(&[
        ("set k 0 0 1\r\na\r\n", "STORED\r\n"),
        ("gets k\r\n", "VALUE k 0 1 0\r\na\r\nEND\r\n"),
        ("cas k 0 0 1 0\r\nb\r\n", "EXISTS\r\n"),
        ("cas k 0 0 1 2\r\nb\r\n", "EXISTS\r\n"),
        ("cas absent 0 0 1 2\r\nb\r\n", "NOT_FOUND\r\n"),
    ]);
}

#[test]
fn append_and_prepend_keep_flags_and_exptime() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 5 100 1\r\n1\r\n", "STORED\r\n"),
        // Given an exptime of "at once", which must not be taken.
        ("append k 9 -1 1\r\n2\r\n", "STORED\r\n"),
        ("prepend k 9 -1 1\r\n0\r\n", "STORED\r\n"),
        ("get k\r\n", "VALUE k 5 3\r\n012\r\nEND\r\n"),
        ("set e 0 0 0\r\n\r\n", "STORED\r\n"),
        ("append e 0 0 1\r\nx\r\n", "STORED\r\n"),
        ("prepend e 0 0 0\r\n\r\n", "STORED\r\n"),
        ("get e\r\n", "VALUE e 0 1\r\nx\r\nEND\r\n"),
    ]);
}

#[test]
fn append_grows_a_value_step_by_step_over_many_sizes() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\n.\r\n", "STORED\r\n");
    let mut value = ".".to_string();
    for step in 1..=60 {
        let part = fill(b'a' + (step % 26) as u8, step * 37);
        let command = if step % 2 == 0 { "append" } else { "prepend" };
        client.expect(format!("{command} k 0 0 {}\r\n{part}\r\n", part.len()), "STORED\r\n");
        value = if step % 2 == 0 { value + &part } else { part + &value };
        client.expect("get k\r\n", format!("VALUE k 0 {}\r\n{value}\r\nEND\r\n", value.len()));
    }
}

#[test]
fn too_few_tokens_are_refused_at_once_and_nothing_is_skipped() {
    let server = start!();
    let mut client = server.client();
    for line in
        ["set", "set k", "set k 0", "set k 0 0", "add k 0 0", "replace k", "append k", "prepend", "cas k 0 0"]
    {
        client.expect(format!("{line}\r\n"), BAD_LINE);
    }
    client.expect("set k 0 0\r\nversions\r\n", [BAD_LINE, "ERROR\r\n"].concat());
}

#[test]
fn what_is_refused_after_the_length_is_known_is_skipped_with_its_data() {
    let server = start!();
    let long = fill(b'k', 251);
    let rows = [
        format!("set {long} 0 0 5"),
        format!("add {long} 0 0 5"),
        format!("cas {long} 0 0 5 1"),
        "set k abc 0 5".into(),
        "set k 0 abc 5".into(),
        "append k -1 0 5".into(),
        "cas k 0 0 5".into(),
        "cas k 0 0 5 abc".into(),
        "cas k 0 0 5 -1".into(),
    ];
    let mut client = server.client();
    for row in rows {
        client.expect(format!("{row}\r\nhello\r\n"), BAD_LINE);
        // Exactly bytes + 2 are skipped, whatever they are.
        client.expect(format!("{row}\r\nmn\r\nm\r\nmn\r\n"), [BAD_LINE, "MN\r\n"].concat());
    }
    client.expect("get k\r\n", "END\r\n");
}

#[test]
fn values_hold_any_bytes() {
    let server = start!();
    let mut client = server.client();
    let all: Vec<u8> = (0..=255).collect();
    let request = [b"set k 0 0 256\r\n".as_slice(), &all, b"\r\n"].concat();
    client.expect(request, "STORED\r\n");
    client.expect("get k\r\n", [b"VALUE k 0 256\r\n".as_slice(), &all, b"\r\nEND\r\n"].concat());
    client.expect_all(&[
        ("set v 0 0 6\r\na\r\nb\r\n\r\n", "STORED\r\n"),
        ("get v\r\n", "VALUE v 0 6\r\na\r\nb\r\n\r\nEND\r\n"),
        ("set v 0 0 13\r\nEND\r\nSTORED\r\n\r\n", "STORED\r\n"),
        ("get v\r\n", "VALUE v 0 13\r\nEND\r\nSTORED\r\n\r\nEND\r\n"),
        ("set v 0 0 0\r\n\r\n", "STORED\r\n"),
        ("get v\r\n", "VALUE v 0 0\r\n\r\nEND\r\n"),
    ]);
}

#[test]
fn keys_hold_any_bytes_but_blanks_and_line_ends() {
    let server = start!();
    let mut client = server.client();
    let keys: [&[u8]; 4] = [b"f\x01o\x7f", b"\xc3\xa9", b"\xff\xfe\x80", b"\x1b[2J"];
    for key in keys {
        client.expect([b"set ", key, b" 0 0 1\r\n1\r\n"].concat(), "STORED\r\n");
        client.expect([b"get ", key, b"\r\n"].concat(), [b"VALUE ", key, b" 0 1\r\n1\r\nEND\r\n"].concat());
    }
    let every: Vec<u8> = (1..=255).filter(|byte| !b" \r\n".contains(byte)).take(250).collect();
    client.expect([b"set ", every.as_slice(), b" 0 0 1\r\n1\r\n"].concat(), "STORED\r\n");
    client.expect([b"delete ", every.as_slice(), b"\r\n"].concat(), "DELETED\r\n");
}

#[test]
fn keys_hold_nul_too() {
    let server = start!();
    server.client().expect_all(&[
        ("set f\0o 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("get f\0o\r\n", "VALUE f\0o 0 1\r\n1\r\nEND\r\n"),
        ("get f\r\n", "END\r\n"),
        ("set \0 0 0 1\r\n2\r\n", "STORED\r\n"),
        ("get \0 \0\0\r\n", "VALUE \0 0 1\r\n2\r\nEND\r\n"),
        ("incr \0 1\r\n", "3\r\n"),
        ("delete f\0o\r\n", "DELETED\r\n"),
    ]);
}

#[test]
fn data_must_end_in_crlf_and_exactly_that_much_is_consumed() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 3\r\nold\r\n", "STORED\r\n");
    client.expect_all(&[
        ("set k 0 0 3\r\nabcdefghijk\r\n", [BAD_CHUNK, "ERROR\r\n"].concat()),
        ("set k 0 0 3\r\nabcXXversions\r\n", [BAD_CHUNK, "ERROR\r\n"].concat()),
        ("set k 0 0 3\r\nabc\nXmn\r\n", [BAD_CHUNK, "MN\r\n"].concat()),
        ("set k 0 0 3\r\nabc\n\rmn\r\n", [BAD_CHUNK, "MN\r\n"].concat()),
        ("set k 0 0 3\r\nabc\r\rmn\r\n", [BAD_CHUNK, "MN\r\n"].concat()),
        ("cas k 0 0 3 1\r\nabcXXmn\r\n", [BAD_CHUNK, "MN\r\n"].concat()),
        ("add k 0 0 3\r\nabcXXmn\r\n", [BAD_CHUNK, "MN\r\n"].concat()),
        ("append k 0 0 3\r\nabcXXmn\r\n", [BAD_CHUNK, "MN\r\n"].concat()),
        ("get k\r\n", "VALUE k 0 3\r\nold\r\nEND\r\n".to_string()),
    ]);
}

#[test]
fn the_rest_of_data_that_was_too_long_is_a_bad_line_of_its_own() {
    let server = start!();
    let reply = [BAD_CHUNK, BAD_LINE].concat();
    server.client().expect_all(&[
        ("set k 0 0 3\r\nabcdef\r\n", &reply),
        ("set k 0 0 3\r\nabcXX\r\n", &reply),
        ("set k 0 0 3\r\nabc\nmn\r\n", &reply),
        ("add k 0 0 3\r\nabc\n\r\r\n", &reply),
        ("cas k 0 0 3 1\r\nabcXX\r\n", &reply),
    ]);
}

#[test]
fn a_bad_data_chunk_keeps_the_old_value_for_any_size() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 3\r\nold\r\n", "STORED\r\n");
    for size in [0, 1, 100, 2000, 20_000, 300_000] {
        let data = fill(b'x', size);
        client.expect(format!("set k 0 0 {size}\r\n{data}XXversions\r\n"), [BAD_CHUNK, "ERROR\r\n"].concat());
        client.expect("get k\r\n", "VALUE k 0 3\r\nold\r\nEND\r\n");
    }
}

#[test]
fn short_data_waits_for_the_rest() {
    let server = start!();
    let mut client = server.client();
    client.expect_so_far("set k 0 0 5\r\nabc\r\n", "");
    server.client().expect("get k\r\n", "END\r\n");
    client.expect("\r\n", "STORED\r\n");
    client.expect("get k\r\n", "VALUE k 0 5\r\nabc\r\n\r\nEND\r\n");
}

#[test]
fn a_value_is_visible_only_when_it_is_complete() {
    let server = start!();
    let (mut writer, mut reader) = (server.client(), server.client());
    reader.expect("set k 0 0 3\r\nold\r\n", "STORED\r\n");
    for size in [10, 5000, 600_000] {
        let half = fill(b'h', size / 2);
        writer.expect_so_far(format!("set k 0 0 {size}\r\n{half}"), "");
        reader.expect("get k\r\n", "VALUE k 0 3\r\nold\r\nEND\r\n");
        writer.expect(format!("{half}\r\n"), "STORED\r\n");
        reader.expect("get k\r\n", format!("VALUE k 0 {size}\r\n{half}{half}\r\nEND\r\n"));
        reader.expect("set k 0 0 3\r\nold\r\n", "STORED\r\n");
    }
}

#[test]
fn the_condition_is_checked_when_the_data_is_complete() {
    let server = start!();
    let (mut slow, mut quick) = (server.client(), server.client());
    slow.expect_so_far("add k 0 0 4\r\nsl", "");
    quick.expect("add k 0 0 5\r\nquick\r\n", "STORED\r\n");
    slow.expect("ow\r\n", "NOT_STORED\r\n");
    let unique = unique_of(&mut quick, "k");
    slow.expect_so_far(format!("cas k 0 0 4 {unique}\r\nsl"), "");
    quick.expect("set k 0 0 5\r\nother\r\n", "STORED\r\n");
    slow.expect("ow\r\n", "EXISTS\r\n");
    slow.expect_so_far("append k 0 0 4\r\nsl", "");
    quick.expect("set k 0 0 5\r\nfirst\r\n", "STORED\r\n");
    slow.expect("ow\r\n", "STORED\r\n");
    quick.expect("get k\r\n", "VALUE k 0 9\r\nfirstslow\r\nEND\r\n");
    slow.expect_so_far("replace k 0 0 4\r\nsl", "");
    quick.expect("delete k\r\n", "DELETED\r\n");
    slow.expect("ow\r\n", "NOT_STORED\r\n");
}

#[test]
fn expired_counts_as_absent() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 0 -1 1\r\n1\r\n", "STORED\r\n"),
        ("add k 0 0 1\r\n2\r\n", "STORED\r\n"),
        ("get k\r\n", "VALUE k 0 1\r\n2\r\nEND\r\n"),
        ("replace k 0 -1 1\r\n3\r\n", "STORED\r\n"),
        ("append k 0 0 1\r\n4\r\n", "NOT_STORED\r\n"),
        ("prepend k 0 0 1\r\n4\r\n", "NOT_STORED\r\n"),
        ("replace k 0 0 1\r\n5\r\n", "NOT_STORED\r\n"),
        ("cas k 0 0 1 1\r\n5\r\n", "NOT_FOUND\r\n"),
        ("get k\r\n", "END\r\n"),
    ]);
}

#[test]
fn memory_of_overwritten_and_deleted_items_comes_back() {
    let server = start!();
    let mut client = server.client();
    let before = client.stat("bytes");
    for round in 0..200 {
        let value = fill(b'v', round * 50);
        client.expect(format!("set k 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
    }
    assert_eq!(client.stat("curr_items"), 1);
    client.expect("delete k\r\n", "DELETED\r\n");
    assert_eq!((client.stat("curr_items"), client.stat("bytes")), (0, before));
}
