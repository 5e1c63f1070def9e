//! Meta commands as lines: what is wrong with them, pipelines, quiet mode and mn.

use crate::client::fill;
use crate::differences::start;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";
const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format\r\n";
const INVALID: &str = "CLIENT_ERROR invalid flag\r\n";
const DUPLICATE: &str = "CLIENT_ERROR duplicate flag\r\n";
const TOO_MANY: &str = "CLIENT_ERROR options flags are too long\r\n";

#[test]
fn commands_need_a_key() {
    let server = start!();
    let mut client = server.client();
    for command in ["mg", "mg ", "md", "ma", "me", "ms"] {
        client.expect(format!("{command}\r\n"), BAD_LINE);
    }
    for command in ["mx k", "mgg k", "m g", "mG k"] {
        client.expect(format!("{command}\r\n"), "ERROR\r\n");
    }
    client.expect("m\r\n", BAD_LINE);
}

#[test]
fn flags_that_nobody_knows_are_refused() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms k 2\r\nhi\r\n", "HD\r\n");
    for command in ["mg", "md"] {
        for flag in ["m", "5", "noreply", "z", "A", "Q"] {
            client.expect(format!("{command} k v {flag}\r\n"), INVALID);
            client.expect(format!("{command} k q {flag}\r\n"), INVALID);
        }
    }
    client.expect("mg k v\r\n", "VA 2\r\nhi\r\n");
}

#[test]
fn characters_that_are_no_flags_make_a_bad_line() {
    let server = start!();
    let mut client = server.client();
    for flag in ["+", "{", "-1", "\u{ff}"] {
        client.expect(format!("mg k {flag}\r\n"), BAD_LINE);
    }
}

#[test]
fn a_flag_may_be_there_once() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms k 2\r\nhi\r\n", "HD\r\n");
    for command in ["mg", "md"] {
        client.expect(format!("{command} k t t\r\n"), DUPLICATE);
        client.expect(format!("{command} k T1 v T2\r\n"), DUPLICATE);
        client.expect(format!("{command} k q q\r\n"), DUPLICATE);
    }
    client.expect("mg k v\r\n", "VA 2\r\nhi\r\n");
}

#[test]
fn arguments_that_are_no_numbers_are_refused() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms k 2\r\nhi\r\n", "HD\r\n");
    for command in ["mg", "md"] {
        for flag in ["Cabc", "C", "Ex", "Tabc", "T", "T2147483648", "Nx", "N", "Rx", "R"] {
            client.expect(format!("{command} k {flag}\r\n"), BAD_TOKEN);
            client.expect(format!("{command} k q {flag} v\r\n"), BAD_TOKEN);
        }
    }
    client.expect("mg k v\r\n", "VA 2\r\nhi\r\n");
}

#[test]
fn numbers_have_neither_plus_nor_blanks_nor_many_zeros() {
    let server = start!();
    let mut client = server.client();
    for flag in ["T+1", "T000000000001", "C-1", "C18446744073709551616", "E+1", "C00000000000000000000001"] {
        client.expect(format!("mg k {flag}\r\n"), BAD_TOKEN);
    }
}

#[test]
fn an_opaque_that_is_too_long_is_refused_and_nothing_is_done() {
    let server = start!();
    let mut client = server.client();
    let (longest, too_long) = (fill(b'o', 31), fill(b'o', 33));
    client.expect(format!("ms n 1 O{longest}\r\n1\r\n"), format!("HD O{longest}\r\n"));
    for command in ["mg n", "mg nope N0", "md n", "ms n 1"] {
        let value = if command.starts_with("ms") { "2\r\n" } else { "" };
        let line = format!("{command} O{too_long}\r\n{value}");
        client.expect(line, "CLIENT_ERROR opaque token too long\r\n");
    }
    client.expect(format!("mg n O{longest} v\r\n"), format!("VA 1 O{longest}\r\n1\r\n"));
    client.expect("mg nope\r\n", "EN\r\n");
}

#[test]
fn an_opaque_may_have_32_bytes() {
    let server = start!();
    let opaque = fill(b'o', 32);
    server.client().expect(format!("mg nope O{opaque}\r\n"), format!("EN O{opaque}\r\n"));
}

#[test]
fn a_counter_does_not_move_when_the_opaque_is_too_long() {
    let server = start!();
    let mut client = server.client();
    client.expect("ms n 1\r\n1\r\n", "HD\r\n");
    client.expect(format!("ma n O{}\r\n", fill(b'o', 33)), "CLIENT_ERROR opaque token too long\r\n");
    client.expect("mg n v\r\n", "VA 1\r\n1\r\n");
}

#[test]
fn twenty_tokens_are_enough() {
    let server = start!();
    server.client().expect_all(&[
        ("ms YWJj 1 c f h k l O1 q s t u v P L I x F1 MS\r\n1\r\n", ""),
        ("mg YWJj c f h k l O1 q s t u v P L I x F1 M E1 C1 N1\r\n", TOO_MANY),
        ("mg YWJj c f h k l O1 q s t u v P L I x F1 M E1 C1 N1 m\r\n", TOO_MANY),
        ("md YWJj c f h k l O1 q s t u v P L I x F1 M E1 C1\r\n", TOO_MANY),
        (
            "ma YWJj c f h k l O1 q s t u v P L I x F1 M E1 C1\r\n",
            "CLIENT_ERROR invalid or duplicate flag\r\n",
        ),
        ("mg YWJj f h k O1 q t u v P L I x F1 M\r\n", "VA 1 f1 h0 kYWJj O1 t-1\r\n1\r\n"),
    ]);
}

#[test]
fn quiet_commands_are_answered_only_where_it_matters() {
    let server = start!();
    let mut client = server.client();
    client.expect(
        "mg nope q\r\nms a 1 q\r\n1\r\nmd nope q\r\nmg a v q k\r\nma a q\r\nma nope N0 q\r\nmd nope q\r\nmn\r\n",
        "NF\r\nVA 1 ka\r\n1\r\nMN\r\n",
    );
}

#[test]
fn a_thousand_quiet_reads_answer_what_is_there() {
    let server = start!();
    let (mut fill, mut read, mut want) = (String::new(), String::new(), String::new());
    for at in 0..1000 {
        if at % 3 == 0 {
            fill += &format!("ms k{at} 3 q\r\nv{:02}\r\n", at % 100);
            want += &format!("VA 3 kk{at} O{at}\r\nv{:02}\r\n", at % 100);
        }
        read += &format!("mg k{at} v k q O{at}\r\n");
    }
    let mut client = server.client();
    client.expect(fill, "");
    client.expect(format!("{read}mn\r\n"), format!("{want}MN\r\n"));
}

#[test]
fn mn_answers_whatever_it_is_given() {
    let server = start!();
    server.client().expect_all(&[("mn\r\n", "MN\r\n"), ("mn x q\r\n", "MN\r\n"), ("mn \n", "MN\r\n")]);
}

#[test]
fn meta_and_classic_commands_mix() {
    let server = start!();
    let block = "ms k 2 T0 F5\r\nhi\r\nget k\r\nmg k v f\r\nset k 0 0 1\r\n1\r\nma k v\r\nincr k 1\r\nmg k m\r\n\
        ms k 1 m\r\nx\r\nmd k\r\nget k\r\n";
    let reply = "HD\r\nVALUE k 5 2\r\nhi\r\nEND\r\nVA 2 f5\r\nhi\r\nSTORED\r\nVA 1\r\n2\r\n3\r\n\
        CLIENT_ERROR invalid flag\r\nCLIENT_ERROR invalid flag\r\nHD\r\nEND\r\n";
    server.client().expect(block.repeat(200), reply.repeat(200));
}

#[test]
fn without_cas_uniques_there_is_nothing_to_compare() {
    let server = start!(&["-C"]);
    server.client().expect_all(&[
        ("ms k 2 E5 c\r\nhi\r\n", "HD c0\r\n"),
        ("mg k c\r\n", "HD c0\r\n"),
        ("ms k 2 C5\r\nhi\r\n", "EX\r\n"),
        ("md k C5\r\n", "EX\r\n"),
    ]);
}
