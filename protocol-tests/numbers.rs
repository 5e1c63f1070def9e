//! Which spellings of numbers each field takes, and how far they may go.
//!
//! Owns the reading of numbers; what the commands do with them is in the modules of the commands.

use crate::differences::start;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";
const BAD_EXPTIME: &str = "CLIENT_ERROR invalid exptime argument\r\n";
const BAD_DELTA: &str = "CLIENT_ERROR invalid numeric delta argument\r\n";

#[test]
fn data_lengths_are_plain_digits() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 00005\r\nhello\r\n", "STORED\r\n");
    client.expect("get k\r\n", "VALUE k 0 5\r\nhello\r\nEND\r\n");
    for bytes in ["-1", "abc", "5x", "0x5", "5.0", "-2147483648", "2147483648"] {
        client.expect(format!("set k 0 0 {bytes}\r\n"), BAD_LINE);
    }
    client.expect("get k\r\n", "VALUE k 0 5\r\nhello\r\nEND\r\n");
}

#[test]
fn data_lengths_have_no_sign_and_at_most_11_characters() {
    let server = start!();
    let mut client = server.client();
    for bytes in ["+5", "-0", "000000000005"] {
        client.expect(format!("set k 0 0 {bytes}\r\n"), BAD_LINE);
    }
}

#[test]
fn data_lengths_end_at_2147483645() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 2147483646\r\n", BAD_LINE);
    client.expect("set k 0 0 2147483647\r\n", BAD_LINE);
    client.expect("set k 0 0 2147483648\r\n", BAD_LINE);
    // Taken as a length, and refused as a value: what follows is skipped, so nothing else is answered.
    let mut skipping = server.client();
    skipping.expect_so_far("set k 0 0 2147483645\r\nmn\r\n", "");
    server.client().expect("get k\r\n", "END\r\n");
}

#[test]
fn numbers_beyond_32_bits_are_refused_and_not_cut() {
    let server = start!();
    let mut client = server.client();
    for bytes in ["4294967296", "4294967301", "8589934592", "18446744073709551621"] {
        client.expect(format!("set k 0 0 {bytes}\r\n"), BAD_LINE);
    }
    client.expect("verbosity 4294967296\r\n", BAD_LINE);
}

#[test]
fn an_unreadable_length_leaves_the_data_to_be_read_as_commands() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 abc\r\nhello\r\n", [BAD_LINE, "ERROR\r\n"].concat());
    client.expect("set k 0 0 -1\r\nversions\r\n", [BAD_LINE, "ERROR\r\n"].concat());
    client.expect("cas k 0 0 x 1\r\nhello\r\n", [BAD_LINE, "ERROR\r\n"].concat());
}

#[test]
fn flags_are_taken_modulo_2_to_the_32() {
    let server = start!();
    let mut client = server.client();
    let rows = [
        ("0", "0"),
        ("7", "7"),
        ("+7", "7"),
        ("007", "7"),
        ("4294967295", "4294967295"),
        ("4294967296", "0"),
        ("8589934597", "5"),
        ("18446744073709551615", "4294967295"),
    ];
    for (given, stored) in rows {
        client.expect(
            format!("set k {given} 0 5\r\nhello\r\nget k\r\n"),
            format!("STORED\r\nVALUE k {stored} 5\r\nhello\r\nEND\r\n"),
        );
    }
}

#[test]
fn negative_and_non_decimal_flags_are_refused_and_the_data_skipped() {
    let server = start!();
    let mut client = server.client();
    for flags in ["abc", "-1", "0x10", "1.5", "5x", "18446744073709551616"] {
        client.expect(format!("set k {flags} 0 5\r\nhello\r\n"), BAD_LINE);
    }
    client.expect("get k\r\n", "END\r\n");
}

#[test]
fn text_as_exptime_is_refused_and_the_data_skipped() {
    let server = start!();
    let mut client = server.client();
    for exptime in ["abc", "1.5", "0x10", "5x", "-", "9223372036854775808", "-9223372036854775809"] {
        client.expect(format!("set k 0 {exptime} 5\r\nhello\r\n"), BAD_LINE);
    }
    client.expect("get k\r\n", "END\r\n");
}

#[test]
fn exptimes_up_to_i32_are_kept() {
    let server = start!();
    let mut client = server.client();
    for exptime in ["0", "+100", "100", "00100", "2592000", "2147483647"] {
        client.expect(
            format!("set k 0 {exptime} 1\r\na\r\nget k\r\n"),
            "STORED\r\nVALUE k 0 1\r\na\r\nEND\r\n",
        );
    }
    for exptime in ["-1", "-2147483648", "2592001"] {
        client.expect(format!("set k 0 {exptime} 1\r\na\r\nget k\r\n"), "STORED\r\nEND\r\n");
    }
}

#[test]
fn exptimes_beyond_i32_are_far_absolute_times() {
    let server = start!();
    let mut client = server.client();
    for exptime in ["2147483648", "4294967295", "4294967296", "1099511627776", "9223372036854775807"] {
        client.expect(
            format!("set k 0 {exptime} 1\r\na\r\nget k\r\n"),
            "STORED\r\nVALUE k 0 1\r\na\r\nEND\r\n",
        );
    }
}

#[test]
fn exptimes_of_touch_and_gat_are_strict() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\na\r\n", "STORED\r\n");
    for exptime in ["0", "100", "00100", "2592000", "2147483647"] {
        client.expect(format!("touch k {exptime}\r\n"), "TOUCHED\r\n");
        client.expect(format!("gat {exptime} k\r\n"), "VALUE k 0 1\r\na\r\nEND\r\n");
    }
    for exptime in ["abc", "1.5", "0x10", "5x", "-", "99999999999999999999999"] {
        client.expect(format!("touch k {exptime}\r\n"), BAD_EXPTIME);
        client.expect(format!("gat {exptime} k\r\n"), BAD_EXPTIME);
        client.expect(format!("gats {exptime} k\r\n"), BAD_EXPTIME);
    }
    client.expect("get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n");
}

#[test]
fn exptimes_of_touch_and_gat_have_no_plus_and_fit_i32() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\na\r\n", "STORED\r\n");
    for exptime in ["+100", "2147483648", "-2147483649", "000000000100"] {
        client.expect(format!("touch k {exptime}\r\n"), BAD_EXPTIME);
        client.expect(format!("gat {exptime} k\r\n"), BAD_EXPTIME);
    }
}

#[test]
fn exptimes_of_flush_all_are_strict() {
    let server = start!();
    let mut client = server.client();
    for exptime in ["x", "1.5", "5x", "noreply 0"] {
        client.expect(format!("flush_all {exptime}\r\n"), BAD_EXPTIME);
    }
    for exptime in ["0", "00", "-5", "100", "0 junk"] {
        client.expect(format!("flush_all {exptime}\r\n"), "OK\r\n");
    }
}

#[test]
fn cas_uniques_are_u64() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\na\r\n", "STORED\r\n");
    for unique in ["0", "18446744073709551615", "00099999999"] {
        client.expect(format!("cas k 0 0 1 {unique}\r\nb\r\n"), "EXISTS\r\n");
    }
    client.expect("get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n");
}

#[test]
fn unreadable_cas_uniques_are_refused_and_the_data_skipped() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\na\r\n", "STORED\r\n");
    for unique in ["abc", "-1", "1x", "18446744073709551616", "99999999999999999999999"] {
        client.expect(format!("cas k 0 0 1 {unique}\r\nb\r\n"), BAD_LINE);
    }
    client.expect("get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n");
}

#[test]
fn cas_uniques_have_no_plus() {
    let server = start!();
    let mut client = server.client();
    client.expect("cas k 0 0 1 +5\r\nb\r\n", BAD_LINE);
}

#[test]
fn deltas_are_u64() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    for delta in ["-1", "abc", "1x", "0x1", "1.0", "18446744073709551616", "00000000000000000000001x"] {
        client.expect(format!("incr k {delta}\r\n"), BAD_DELTA);
        client.expect(format!("decr k {delta}\r\n"), BAD_DELTA);
        // The delta is looked at before the key.
        client.expect(format!("incr absent {delta}\r\n"), BAD_DELTA);
    }
    client.expect("incr k 007\r\n", "8\r\n");
    client.expect("incr k 0\r\n", "8\r\n");
}

#[test]
fn deltas_have_no_plus_and_at_most_22_characters() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    client.expect("incr k +1\r\n", BAD_DELTA);
    client.expect("incr k 00000000000000000000001\r\n", BAD_DELTA);
    client.expect("incr k 0000000000000000000001\r\n", "2\r\n");
}

#[test]
fn verbosity_needs_a_level() {
    let server = start!();
    server.client().expect("verbosity\r\n", BAD_LINE);
}

#[test]
fn verbosity_takes_a_u32() {
    let server = start!();
    let mut client = server.client();
    for level in ["0", "1", "00"] {
        client.expect(format!("verbosity {level}\r\n"), "OK\r\n");
    }
    for level in ["x", "-1", "1x"] {
        client.expect(format!("verbosity {level}\r\n"), BAD_LINE);
    }
    client.expect("verbosity 0\r\n", "OK\r\n");
}
