//! get, gets, gat and gats: which items are answered, in which order, and what gat changes.
//!
//! Key and value sizes at the limit are in `value_limits.rs`, exptimes in `expiry.rs` and `numbers.rs`.

use crate::client::fill;
use crate::differences::start;
use crate::storage::unique_of;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn hits_are_answered_in_the_order_asked_and_misses_not_at_all() {
    let server = start!();
    server.client().expect_all(&[
        ("get a\r\n", "END\r\n"),
        ("set a 1 0 1\r\nA\r\n", "STORED\r\n"),
        ("set b 2 0 2\r\nBB\r\n", "STORED\r\n"),
        ("get a b\r\n", "VALUE a 1 1\r\nA\r\nVALUE b 2 2\r\nBB\r\nEND\r\n"),
        ("get b x a\r\n", "VALUE b 2 2\r\nBB\r\nVALUE a 1 1\r\nA\r\nEND\r\n"),
        ("get x y z\r\n", "END\r\n"),
    ]);
}

#[test]
fn a_repeated_key_is_answered_each_time() {
    let server = start!();
    server.client().expect_all(&[
        ("set a 0 0 1\r\nA\r\n", "STORED\r\n"),
        ("get a a\r\n", "VALUE a 0 1\r\nA\r\nVALUE a 0 1\r\nA\r\nEND\r\n"),
        ("gat 0 a a\r\n", "VALUE a 0 1\r\nA\r\nVALUE a 0 1\r\nA\r\nEND\r\n"),
    ]);
}

#[test]
fn gets_and_gats_add_the_unique() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 9 0 1\r\nA\r\nset b 0 0 1\r\nB\r\n", "STORED\r\nSTORED\r\n");
    let (a, b) = (unique_of(&mut client, "a"), unique_of(&mut client, "b"));
    let want = format!("VALUE a 9 1 {a}\r\nA\r\nVALUE b 0 1 {b}\r\nB\r\nEND\r\n");
    client.expect("gets a x b\r\n", &want);
    client.expect("gats 100 a x b\r\n", &want);
    assert!(a > 0 && b > 0 && a != b);
}

#[test]
fn no_key_is_a_bad_line() {
    let server = start!();
    let mut client = server.client();
    for line in ["get", "get ", "get    ", "gets", "gat", "gats", "gat 0", "gats 0 "] {
        client.expect(format!("{line}\r\n"), BAD_LINE);
    }
}

#[test]
fn noreply_is_just_a_key_in_a_get() {
    let server = start!();
    server.client().expect_all(&[
        ("set a 0 0 1\r\nA\r\n", "STORED\r\n"),
        ("get a noreply\r\n", "VALUE a 0 1\r\nA\r\nEND\r\n"),
        ("gat 0 a noreply\r\n", "VALUE a 0 1\r\nA\r\nEND\r\n"),
        ("set noreply 0 0 1\r\nN\r\n", "STORED\r\n"),
        ("get a noreply\r\n", "VALUE a 0 1\r\nA\r\nVALUE noreply 0 1\r\nN\r\nEND\r\n"),
    ]);
}

#[test]
fn thousands_of_keys_in_one_get() {
    let server = start!();
    let mut client = server.client();
    let keys: Vec<String> = (0..5000).map(|at| format!("key:{at}")).collect();
    let sets: String =
        keys.iter().step_by(2).map(|key| format!("set {key} 3 0 {}\r\n{key}\r\n", key.len())).collect();
    client.expect(&sets, "STORED\r\n".repeat(2500));
    let hits: String =
        keys.iter().step_by(2).map(|key| format!("VALUE {key} 3 {}\r\n{key}\r\n", key.len())).collect();
    client.expect(format!("get {}\r\n", keys.join(" ")), format!("{hits}END\r\n"));
    let thrice = [keys.join(" "), keys.join(" "), keys.join(" ")].join("  ");
    client.expect(format!("get {thrice}\r\n"), format!("{hits}{hits}{hits}END\r\n"));
}

#[test]
fn gat_takes_many_keys_too() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 0 0 1\r\nA\r\n", "STORED\r\n");
    client.expect(
        format!("gat 100 {}\r\n", "a ".repeat(500)),
        format!("{}END\r\n", "VALUE a 0 1\r\nA\r\n".repeat(500)),
    );
}

#[test]
fn gat_sets_the_exptime_and_leaves_value_and_unique() {
    let server = start!();
    let mut client = server.client();
    client.expect("set a 4 0 1\r\nA\r\n", "STORED\r\n");
    let unique = unique_of(&mut client, "a");
    client.expect("gats 100 a\r\n", format!("VALUE a 4 1 {unique}\r\nA\r\nEND\r\n"));
    client.expect("gets a\r\n", format!("VALUE a 4 1 {unique}\r\nA\r\nEND\r\n"));
    // The item that is sent is still answered, the next one who asks finds nothing.
    client.expect("gat -1 a\r\n", "VALUE a 4 1\r\nA\r\nEND\r\n");
    client.expect("get a\r\n", "END\r\n");
    client.expect("gat 0 a\r\n", "END\r\n");
}

#[test]
fn values_of_all_sizes_come_back_unchanged() {
    let server = start!();
    let mut client = server.client();
    let sizes = (0..200)
        .chain((200..3000).step_by(97))
        .chain([4095, 4096, 8192, 16_383, 16_384, 16_385, 65_536, 131_072, 524_288, 524_289, 1_000_000]);
    for size in sizes {
        let value: String = (0..size).map(|at| char::from(b'!' + ((at * 7 + size) % 90) as u8)).collect();
        client.expect(
            format!("set k 1 0 {size}\r\n{value}\r\nget k\r\n"),
            format!("STORED\r\nVALUE k 1 {size}\r\n{value}\r\nEND\r\n"),
        );
    }
}

#[test]
fn large_values_in_one_get_come_back_unchanged() {
    let server = start!();
    let mut client = server.client();
    let mut want = String::new();
    for at in 0..8u8 {
        let value = fill(b'a' + at, 900_000 + usize::from(at));
        client.expect(format!("set k{at} 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
        want += &format!("VALUE k{at} 0 {}\r\n{value}\r\n", value.len());
    }
    client.expect("get k0 k1 k2 k3 k4 k5 k6 k7\r\n", want + "END\r\n");
}
