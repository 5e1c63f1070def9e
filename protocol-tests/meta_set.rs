//! ms: modes, conditions, what it returns, and what becomes of values that are refused.

use crate::client::fill;
use crate::differences::start;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn a_value_is_stored_with_flags_and_time_to_live() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2 F123 T100\r\nhi\r\n", "HD\r\n"),
        ("mg k f t v\r\n", "VA 2 f123 t100\r\nhi\r\n"),
        ("get k\r\n", "VALUE k 123 2\r\nhi\r\nEND\r\n"),
        ("ms k 1\r\nx\r\n", "HD\r\n"),
        ("mg k f t v\r\n", "VA 1 f0 t-1\r\nx\r\n"),
        ("ms z 0\r\n\r\n", "HD\r\n"),
        ("mg z v s\r\n", "VA 0 s0\r\n\r\n"),
        ("ms k 2 T-1\r\nhi\r\n", "HD\r\n"),
        ("mg k v\r\n", "EN\r\n"),
        ("ms z 1\nx\r\n", "HD\r\n"),
        ("ms z 00001\r\ny\r\n", "HD\r\n"),
        ("mg z v\r\n", "VA 1\r\ny\r\n"),
    ]);
}

#[test]
fn the_reply_returns_what_the_flags_ask_for() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2 k O7\r\nhi\r\n", "HD kk O7\r\n"),
        ("ms k 2 O7 T5 k v t f\r\nhi\r\n", "HD O7 kk\r\n"),
        ("ms k 2 ME O7 k\r\nhi\r\n", "NS O7 kk\r\n"),
    ]);
}

#[test]
fn the_reply_tells_the_cas_unique_and_the_size() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms k 2 E5 c s\r\nhi\r\n", "HD c5 s2\r\n");
    let reply = client.ask_text("ms k 2 c\r\nhi\r\n");
    client.expect("mg k c\r\n", reply);
    client.expect_all(&[
        ("ms k 3 C99999999 k O1 c s\r\nabc\r\n", "EX kk O1 c0 s3\r\n"),
        ("ms k 3 ME s c\r\nabc\r\n", "NS s3 c0\r\n"),
        ("ms k 3 MA s\r\nabc\r\n", "HD s5\r\n"),
    ]);
}

#[test]
fn modes_on_a_key_that_is_absent_and_one_that_is_there() {
    let server = start!();
    let rows = [
        ("MS", "HD", "VA 2\r\nab\r\n", "HD", "VA 2\r\nab\r\n"),
        ("ME", "HD", "VA 2\r\nab\r\n", "NS", "VA 3\r\nold\r\n"),
        ("MEadd", "HD", "VA 2\r\nab\r\n", "NS", "VA 3\r\nold\r\n"),
        ("MR", "NS", "EN\r\n", "HD", "VA 2\r\nab\r\n"),
        ("MA", "NS", "EN\r\n", "HD", "VA 5\r\noldab\r\n"),
        ("MP", "NS", "EN\r\n", "HD", "VA 5\r\nabold\r\n"),
        ("MA N0", "HD", "VA 2\r\nab\r\n", "HD", "VA 5\r\noldab\r\n"),
        ("MP N0", "HD", "VA 2\r\nab\r\n", "HD", "VA 5\r\nabold\r\n"),
    ];
    let mut client = server.client();
    for (mode, absent, then, present, finally) in rows {
        client.ask("delete k\r\n");
        client.expect(format!("ms k 2 {mode}\r\nab\r\n"), format!("{absent}\r\n"));
        client.expect("mg k v\r\n", then);
        client.expect("ms k 3\r\nold\r\n", "HD\r\n");
        client.expect(format!("ms k 2 {mode} q\r\nab\r\n"), if present == "HD" { "" } else { "NS\r\n" });
        client.expect("mg k v\r\n", finally);
    }
}

#[test]
fn an_append_that_creates_takes_flags_and_its_own_time_to_live() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2 MA N60 T5 F9\r\nhi\r\n", "HD\r\n"),
        ("mg k t f v\r\n", "VA 2 t60 f9\r\nhi\r\n"),
        ("ms k 2 MA N90 T5 F7\r\nho\r\n", "HD\r\n"),
        ("mg k t f v\r\n", "VA 4 t60 f9\r\nhiho\r\n"),
    ]);
}

#[test]
fn a_large_append_creates_too() {
    let server = start!();
    let mut client = server.client();
    for mode in ["MA", "MP"] {
        let value = fill(b'v', 300_000);
        client.expect(format!("ms {mode} 300000 {mode} N60\r\n{value}\r\n"), "HD\r\n");
        client.expect(format!("ms {mode} 300000 {mode} N60\r\n{value}\r\n"), "HD\r\n");
        client.expect(format!("mg {mode} v t\r\n"), format!("VA 600000 t60\r\n{value}{value}\r\n"));
    }
}

#[test]
fn a_cas_unique_is_compared_in_every_mode_that_has_a_value_to_compare() {
    let server = start!();
    let rows = [
        ("C500", "HD", "NF"),
        ("C501", "EX", "NF"),
        ("C0", "EX", "NF"),
        ("MS C501", "EX", "NF"),
        ("MR C500", "HD", "NF"),
        ("MR C501", "EX", "NF"),
        ("ME C500", "NS", "HD"),
        ("MA C500", "HD", "NS"),
        ("MA C501", "EX", "NS"),
        ("MA C0", "HD", "NS"),
        ("MP C501", "EX", "NS"),
        ("MA C501 N0", "EX", "HD"),
    ];
    let mut client = server.client();
    for (flags, present, absent) in rows {
        client.expect("ms k 3 E500\r\nold\r\n", "HD\r\n");
        client.expect(format!("ms k 2 {flags}\r\nab\r\n"), format!("{present}\r\n"));
        client.ask("delete k\r\n");
        client.expect(format!("ms k 2 {flags}\r\nab\r\n"), format!("{absent}\r\n"));
    }
}

#[test]
fn a_cas_unique_can_be_set() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2 E500\r\nhi\r\n", "HD\r\n"),
        ("mg k c\r\n", "HD c500\r\n"),
        ("ms k 2 E5 C500 c\r\nhi\r\n", "HD c5\r\n"),
        ("ms k 2 MA E6 c\r\nho\r\n", "HD c6\r\n"),
        ("ms k 2 MR E7 c\r\nho\r\n", "HD c7\r\n"),
        ("gets k\r\n", "VALUE k 0 2 7\r\nho\r\nEND\r\n"),
        ("cas k 0 0 1 7\r\n1\r\n", "STORED\r\n"),
        ("ms k 2 E18446744073709551615\r\nhi\r\n", "HD\r\n"),
        ("mg k c\r\n", "HD c18446744073709551615\r\n"),
    ]);
}

#[test]
fn an_older_value_may_be_better_than_none() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2 E500 T50 F1\r\nhi\r\n", "HD\r\n"),
        ("ms k 2 C400 I T900 F2 E450\r\nlo\r\n", "HD\r\n"),
        // Its deadline stays, and it is stale.
        ("mg k t c f v\r\n", "VA 2 t50 c450 f2 X W\r\nlo\r\n"),
        ("ms k 2 C9999 I\r\nhi\r\n", "EX\r\n"),
        ("ms k 2 C0 I\r\nhi\r\n", "EX\r\n"),
        ("ms k 2 C400\r\nhi\r\n", "EX\r\n"),
        // One that is current is not stale.
        ("ms k 2 C450 I T70\r\nhi\r\n", "HD\r\n"),
        ("mg k t v\r\n", "VA 2 t70\r\nhi\r\n"),
        ("ms new 2 C5 I\r\nhi\r\n", "NF\r\n"),
        ("ms new 2 I\r\nhi\r\n", "HD\r\n"),
        ("mg new\r\n", "HD\r\n"),
    ]);
}

#[test]
fn an_older_value_keeps_the_token_that_is_out() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 1 E500 T50\r\n1\r\n", "HD\r\n"),
        ("mg k R100\r\n", "HD W\r\n"),
        ("ms k 1 C5 I T900\r\n2\r\n", "HD\r\n"),
        ("mg k t v\r\n", "VA 1 t50 Z X\r\n2\r\n"),
    ]);
}

#[test]
fn q_hides_success_alone() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 2 q k O1 s\r\nhi\r\n", ""),
        ("ms k 2 q ME\r\nhi\r\n", "NS\r\n"),
        ("ms k 2 q C99999\r\nhi\r\n", "EX\r\n"),
        ("ms nope 2 q C99999\r\nhi\r\n", "NF\r\n"),
        ("mg k v\r\n", "VA 2\r\nhi\r\n"),
    ]);
}

#[test]
fn a_bad_data_block_is_told_even_in_quiet_mode_and_changes_nothing() {
    let server = start!();
    server.client().expect_all(&[
        ("ms k 3\r\nold\r\n", "HD\r\n"),
        ("ms k 2\r\nhiXXversions\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n"),
        ("ms k 2 q\r\nhiXXversions\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n"),
        ("mg k v\r\n", "VA 3\r\nold\r\n"),
    ]);
}

#[test]
fn a_length_that_cannot_be_read_is_refused_at_once() {
    let server = start!();
    server.client().expect_all(&[
        ("ms\r\n", BAD_LINE),
        ("ms k\r\n", BAD_LINE),
        ("ms k abc\r\n", BAD_LINE),
        ("ms k -1\r\n", BAD_LINE),
        ("ms k +1\r\n", BAD_LINE),
        ("ms k 2147483646\r\n", BAD_LINE),
        ("ms k S2\r\nhi\r\n", "CLIENT_ERROR bad command line format\r\nERROR\r\n"),
    ]);
}

#[test]
fn whatever_else_is_wrong_skips_the_value() {
    let server = start!();
    let mut client = server.client();
    let long = fill(b'k', 251);
    let opaque = fill(b'o', 33);
    let rows = [
        ("k 2 m".to_string(), "CLIENT_ERROR invalid flag\r\n"),
        ("k 2 noreply".into(), "CLIENT_ERROR invalid flag\r\n"),
        ("k 2 k k".into(), "CLIENT_ERROR duplicate flag\r\n"),
        ("k 2 Tx".into(), "CLIENT_ERROR bad token in command line format\r\n"),
        ("k 2 T".into(), "CLIENT_ERROR bad token in command line format\r\n"),
        ("k 2 Cx".into(), "CLIENT_ERROR bad token in command line format\r\n"),
        ("k 2 E-1".into(), "CLIENT_ERROR bad token in command line format\r\n"),
        ("k 2 F4294967296".into(), BAD_LINE),
        ("k 2 F-1".into(), BAD_LINE),
        ("k 2 F".into(), BAD_LINE),
        ("k 2 +".into(), BAD_LINE),
        ("k 2 Me".into(), "CLIENT_ERROR invalid mode for ms M token\r\n"),
        ("k 2 Mset".into(), "CLIENT_ERROR invalid mode for ms M token\r\n"),
        ("k 2 M".into(), "CLIENT_ERROR invalid mode for ms M token\r\n"),
        ("k 2 M T0".into(), "CLIENT_ERROR invalid mode for ms M token\r\n"),
        ("k 2 b".into(), "CLIENT_ERROR error decoding key\r\n"),
        (format!("k 2 O{opaque}"), "CLIENT_ERROR opaque token too long\r\n"),
        ("k 2 b c f h k l O q s t u v P L I x F1 M".into(), "CLIENT_ERROR options flags are too long\r\n"),
        (format!("{long} 2"), BAD_LINE),
        (format!("{long} 2 q"), BAD_LINE),
    ];
    for (line, reply) in rows {
        client.expect(format!("ms {line}\r\nhi\r\n"), reply);
        // The same in two pieces, the second of which would be a command.
        client.expect_so_far(format!("ms {line}\r\nm"), reply);
        client.expect("n\r\nmn\r\n", "MN\r\n");
    }
    client.expect("mg k\r\n", "EN\r\n");
}

#[test]
fn what_is_too_large_takes_the_old_value_with_it_in_every_mode() {
    let server = start!();
    let mut client = server.client();
    let value = fill(b'x', (1 << 20) + 1);
    for mode in ["", " ME", " MR", " MA", " C99999", " q"] {
        client.expect("ms k 3\r\nold\r\n", "HD\r\n");
        client.expect(
            format!("ms k {} k O1{mode}\r\n{value}\r\n", value.len()),
            "SERVER_ERROR object too large for cache\r\n",
        );
        client.expect("mg k v\r\n", "EN\r\n");
    }
}

#[test]
fn values_in_pieces_are_stored_like_whole_ones() {
    let server = start!();
    let mut client = server.client();
    let value = fill(b'v', 100_000);
    for (flags, reply) in [
        ("T50 F3 E7 c s k O1", "HD c7 s100000 kk O1\r\n"),
        ("ME k", "NS kk\r\n"),
        ("C8 c", "EX c0\r\n"),
        ("C6 I T90 F3 E9 q", ""),
        ("MA s", "HD s200000\r\n"),
        ("MA C99999 s", "EX s100000\r\n"),
    ] {
        let start = format!("ms k 100000 {flags}\r\n{}", &value[..30_000]);
        client.expect_so_far(start, "");
        client.expect_so_far(&value[30_000..], "");
        client.expect("\r\n", reply);
    }
    client.expect("mg k t f s\r\n", "HD t50 f3 s200000 X W\r\n");
}
