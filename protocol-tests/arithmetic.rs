//! incr and decr: which values are numbers, wrapping, the floor, and the padding of shorter results.
//!
//! Deltas are in `numbers.rs`.

use crate::client::fill;
use crate::differences::start;

const NOT_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn results_and_what_is_stored_afterwards() {
    let server = start!();
    let mut client = server.client();
    // Value before, command, reply, value afterwards.
    let rows = [
        ("1", "incr k 1", "2", "2"),
        ("0", "incr k 0", "0", "0"),
        ("9", "incr k 1", "10", "10"),
        ("99", "incr k 901", "1000", "1000"),
        ("1", "incr k 18446744073709551614", "18446744073709551615", "18446744073709551615"),
        ("0", "decr k 1", "0", "0"),
        ("5", "decr k 5", "0", "0"),
        ("5", "decr k 6", "0", "0"),
        ("5", "decr k 18446744073709551615", "0", "0"),
        ("18446744073709551615", "decr k 0", "18446744073709551615", "18446744073709551615"),
        // Shorter results are padded with blanks, the length stays.
        ("10", "decr k 1", "9", "9 "),
        ("100", "decr k 99", "1", "1  "),
        ("18446744073709551615", "incr k 5", "4", "4                   "),
        ("18446744073709551615", "incr k 1", "0", "0                   "),
        ("007", "incr k 1", "8", "8  "),
        ("12345", "decr k 12345", "0", "0    "),
        // A number ends at white space, and may begin with it.
        (" 12", "incr k 1", "13", "13 "),
        ("12 abc", "incr k 1", "13", "13    "),
        ("12 ", "incr k 1", "13", "13 "),
        ("12\t7", "incr k 1", "13", "13  "),
        ("12\r\n", "incr k 1", "13", "13  "),
        // Clients in C may have sent the end of a string, and what came to lie behind it.
        ("12\0", "incr k 1", "13", "13 "),
        ("12\0abc", "decr k 3", "9", "9     "),
    ];
    for (before, command, reply, after) in rows {
        client.expect(format!("set k 3 0 {}\r\n{before}\r\n", before.len()), "STORED\r\n");
        client.expect(format!("{command}\r\n"), format!("{reply}\r\n"));
        client.expect("get k\r\n", format!("VALUE k 3 {}\r\n{after}\r\nEND\r\n", after.len()));
    }
}

#[test]
fn padding_does_not_pile_up() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 0 0 2\r\n10\r\n", "STORED\r\n"),
        ("decr k 1\r\n", "9\r\n"),
        ("incr k 1\r\n", "10\r\n"),
        ("get k\r\n", "VALUE k 0 2\r\n10\r\nEND\r\n"),
        ("decr k 100\r\n", "0\r\n"),
        ("get k\r\n", "VALUE k 0 2\r\n0 \r\nEND\r\n"),
        ("incr k 123\r\n", "123\r\n"),
        ("get k\r\n", "VALUE k 0 3\r\n123\r\nEND\r\n"),
    ]);
}

#[test]
fn what_is_no_number_is_refused_and_kept() {
    let server = start!();
    let mut client = server.client();
    for value in [
        "",
        "hi",
        "a1",
        "-1",
        "-5",
        "18446744073709551616",
        "99999999999999999999999",
        "1.5",
        "1e3",
        "0x10",
        "12abc",
    ] {
        client.expect(format!("set k 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
        for command in ["incr", "decr"] {
            client.expect(format!("{command} k 1\r\n"), NOT_NUMERIC);
        }
        client.expect("get k\r\n", format!("VALUE k 0 {}\r\n{value}\r\nEND\r\n", value.len()));
    }
}

#[test]
fn large_values_are_no_numbers() {
    let server = start!();
    let mut client = server.client();
    let value = format!("1{}", fill(b' ', 800_000));
    client.expect(format!("set k 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
    client.expect("incr k 1\r\n", NOT_NUMERIC);
}

#[test]
fn absent_and_expired_items_are_not_found() {
    let server = start!();
    server.client().expect_all(&[
        ("incr k 1\r\n", "NOT_FOUND\r\n"),
        ("decr k 1\r\n", "NOT_FOUND\r\n"),
        ("get k\r\n", "END\r\n"),
        ("set k 0 -1 1\r\n1\r\n", "STORED\r\n"),
        ("incr k 1\r\n", "NOT_FOUND\r\n"),
    ]);
}

#[test]
fn missing_arguments_of_incr_and_decr_are_a_bad_line() {
    let server = start!();
    server.client().expect_all(&[
        ("incr\r\n", BAD_LINE),
        ("incr k\r\n", BAD_LINE),
        ("decr\r\n", BAD_LINE),
        ("decr k\r\n", BAD_LINE),
    ]);
}

#[test]
fn flags_stay_when_the_value_grows() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 12345 0 1\r\n9\r\n", "STORED\r\n"),
        ("incr k 99999999999\r\n", "100000000008\r\n"),
        ("get k\r\n", "VALUE k 12345 12\r\n100000000008\r\nEND\r\n"),
    ]);
}

#[test]
fn every_sum_is_exact() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\n0\r\n", "STORED\r\n");
    let (mut commands, mut replies, mut sum) = (String::new(), String::new(), 0u64);
    for step in 0..2000u64 {
        let delta = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (step % 64);
        sum = sum.wrapping_add(delta);
        commands += &format!("incr k {delta}\r\n");
        replies += &format!("{sum}\r\n");
    }
    client.expect(commands, replies);
}
