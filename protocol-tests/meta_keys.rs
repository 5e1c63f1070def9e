//! Keys as base64: read, returned in the form they were sent in, and marked for good.

use crate::client::fill;
use crate::differences::start;

const BAD_KEY: &str = "CLIENT_ERROR error decoding key\r\n";

/// `\0\x01\x02key\xff`
const KEY: &str = "AAECa2V5/w==";

#[test]
fn a_key_may_be_any_bytes() {
    let server = start!();
    server.client().expect_all(&[
        (format!("ms {KEY} 2 b\r\nhi\r\n"), "HD\r\n".into()),
        (format!("mg {KEY} b k v\r\n"), format!("VA 2 k{KEY} b\r\nhi\r\n")),
        (format!("mg {KEY} k b O1 s\r\n"), format!("HD k{KEY} b O1 s2\r\n")),
        (format!("mg {KEY} v\r\n"), "EN\r\n".into()),
        (format!("md {KEY} b k q\r\n"), String::new()),
        (format!("mg {KEY} b\r\n"), "EN\r\n".into()),
    ]);
    server.client().expect("ms DQog 1 b k\r\n1\r\n", "HD kDQog b\r\n");
    server.client().expect("mg DQog v k b\r\n", "VA 1 kDQog b\r\n1\r\n");
}

#[test]
fn classic_commands_find_it_by_its_bytes() {
    let server = start!();
    let mut client = server.client();
    client.expect(format!("ms {KEY} 2 b\r\nhi\r\n"), "HD\r\n");
    client.expect(b"get \0\x01\x02key\xff\r\n", b"VALUE \0\x01\x02key\xff 0 2\r\nhi\r\nEND\r\n");
}

#[test]
fn a_reply_shows_the_key_as_it_was_stored() {
    let server = start!();
    server.client().expect_all(&[
        ("ms abc 2\r\nhi\r\n", "HD\r\n"),
        ("mg YWJj b k v\r\n", "VA 2 kabc\r\nhi\r\n"),
        ("ms YWJj 2 b\r\nhi\r\n", "HD\r\n"),
        ("mg abc k v\r\n", "VA 2 kYWJj b\r\nhi\r\n"),
        ("ms abc 2\r\nhi\r\n", "HD\r\n"),
        ("mg YWJj b k\r\n", "HD kabc\r\n"),
    ]);
}

#[test]
fn misses_and_failures_echo_it_as_it_was_sent() {
    let server = start!();
    server.client().expect_all(&[
        ("mg YWJj b k\r\n", "EN kYWJj b\r\n"),
        ("mg YWJj k O1 b\r\n", "EN kYWJj b O1\r\n"),
        ("mg YWJj b O1\r\n", "EN O1\r\n"),
        ("md YWJj b k Oz\r\n", "NF kYWJj b Oz\r\n"),
        ("ma YWJj b k\r\n", "NF kYWJj b\r\n"),
        ("ms YWJj 1 MR k b\r\n1\r\n", "NS kYWJj b\r\n"),
        ("ms YWJj 1 k b\r\n1\r\n", "HD kYWJj b\r\n"),
        ("ma YWJj k b v\r\n", "VA 1 kYWJj b\r\n2\r\n"),
        ("md YWJj k b C99999\r\n", "EX kYWJj b\r\n"),
    ]);
}

#[test]
fn what_is_no_base64_is_refused() {
    let server = start!();
    server.client().expect_all(&[
        ("mg a b\r\n", BAD_KEY),
        ("mg ab!d b\r\n", BAD_KEY),
        ("mg YWI b\r\n", BAD_KEY),
        ("mg ==== b\r\n", BAD_KEY),
        ("mg foo bar\r\n", BAD_KEY),
        ("md YWI b q\r\n", BAD_KEY),
        // Foreign characters are skipped.
        ("mg YW.I= b k\r\n", "EN kYWI= b\r\n"),
    ]);
}

#[test]
fn the_encoded_text_has_250_bytes_at_most() {
    let server = start!();
    let mut client = server.client();
    // 186 times `z`, and three more.
    let key = "enp6".repeat(62);
    client.expect(format!("ms {key} 1 b\r\n1\r\n"), "HD\r\n");
    client.expect(format!("mg {key} b k v\r\n"), format!("VA 1 k{key} b\r\n1\r\n"));
    client.expect(
        format!("get {}\r\n", fill(b'z', 186)),
        format!("VALUE {} 0 1\r\n1\r\nEND\r\n", fill(b'z', 186)),
    );
    client.expect(format!("mg {key}enp6 b k\r\n"), "CLIENT_ERROR bad command line format\r\n");
}

#[test]
fn the_mark_stays_with_the_key_whatever_becomes_of_the_value() {
    let server = start!();
    let mut client = server.client();
    let large = fill(b'v', 100_000);
    for (at, change) in [
        "mg {} b N30".to_string(),
        "mg {} b T30".into(),
        "ms {} 1 b MA N0\r\n2".into(),
        "ms {} 1 b MP N0\r\n2".into(),
        format!("ms {{}} 100000 b MA N0\r\n{large}"),
        "md {} b x".into(),
        "md {} b I".into(),
        "ma {} b N0".into(),
        "ma {} b D1000 N0".into(),
    ]
    .iter()
    .enumerate()
    {
        // `A` for the letter that stands for the number of the row: \0\x01\x02 and so on.
        let key = format!("AAE{}", char::from(b'C' + at as u8));
        for first in [true, false] {
            if !first {
                client.expect(format!("ms {key} 1 b\r\n9\r\n"), "HD\r\n");
            }
            client.ask(format!("{}\r\n", change.replace("{}", &key)));
            let reply = client.ask_text(format!("mg {key} b k u\r\n"));
            if !first || !change.starts_with("md") && !change.contains("T30") {
                assert!(reply.starts_with(&format!("HD k{key} b")), "{change}: {reply:?}");
            }
        }
    }
}

#[test]
fn classic_changes_of_a_part_leave_the_mark_as_well() {
    let server = start!();
    server.client().expect_all(&[
        ("ms YWJj 1 b\r\n9\r\n", "HD\r\n"),
        ("append abc 0 0 1\r\n9\r\n", "STORED\r\n"),
        ("incr abc 1\r\n", "100\r\n"),
        ("mg abc k v\r\n", "VA 3 kYWJj b\r\n100\r\n"),
        ("set abc 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("mg YWJj b k v\r\n", "VA 1 kabc\r\n1\r\n"),
    ]);
}

#[test]
fn me_reads_keys_as_base64() {
    let server = start!();
    let mut client = server.client();
    client.expect(format!("ms {KEY} 2 b\r\nhi\r\n"), "HD\r\n");
    for flags in ["b", "b b", "b x", "x b"] {
        let reply = client.ask_text(format!("me {KEY} {flags}\r\n"));
        assert!(reply.starts_with(&format!("ME {KEY} exp=-1 la=0 ")), "{reply:?}");
    }
    client.expect(format!("me {KEY}\r\n"), "EN\r\n");
    client.expect("me YWI b\r\n", BAD_KEY);
}
