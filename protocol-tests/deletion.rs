//! delete and touch: two commands that name a key and answer one word.
//!
//! What a touched exptime does over time is in `expiry.rs`.

use crate::differences::start;
use crate::storage::unique_of;

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn delete_says_whether_the_item_was_there() {
    let server = start!();
    server.client().expect_all(&[
        ("delete k\r\n", "NOT_FOUND\r\n"),
        ("set k 0 0 1\r\n1\r\n", "STORED\r\n"),
        ("delete k\r\n", "DELETED\r\n"),
        ("delete k\r\n", "NOT_FOUND\r\n"),
        ("get k\r\n", "END\r\n"),
        ("set k 0 -1 1\r\n1\r\n", "STORED\r\n"),
        ("delete k\r\n", "NOT_FOUND\r\n"),
    ]);
}

#[test]
fn delete_tolerates_further_arguments() {
    let server = start!();
    let mut client = server.client();
    for rest in ["0", "10", "-1", "junk", "0 junk", "noreply junk"] {
        client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
        client.expect(format!("delete k {rest}\r\n"), "DELETED\r\n");
    }
}

#[test]
fn delete_takes_only_its_key() {
    let server = start!();
    server.client().expect_all(&[
        ("set k 0 0 1\r\n1\r\nset kk 0 0 1\r\n2\r\nset K 0 0 1\r\n3\r\n", "STORED\r\nSTORED\r\nSTORED\r\n"),
        ("delete k\r\n", "DELETED\r\n"),
        ("get k kk K\r\n", "VALUE kk 0 1\r\n2\r\nVALUE K 0 1\r\n3\r\nEND\r\n"),
    ]);
}

#[test]
fn touch_says_whether_the_item_was_there() {
    let server = start!();
    server.client().expect_all(&[
        ("touch k 100\r\n", "NOT_FOUND\r\n"),
        ("set k 2 0 1\r\n1\r\n", "STORED\r\n"),
        ("touch k 100\r\n", "TOUCHED\r\n"),
        ("touch k 0\r\n", "TOUCHED\r\n"),
        ("get k\r\n", "VALUE k 2 1\r\n1\r\nEND\r\n"),
        ("touch k -1\r\n", "TOUCHED\r\n"),
        ("get k\r\n", "END\r\n"),
        ("touch k 0\r\n", "NOT_FOUND\r\n"),
    ]);
}

#[test]
fn missing_arguments_of_delete_and_touch_are_a_bad_line() {
    let server = start!();
    server.client().expect_all(&[
        ("delete\r\n", BAD_LINE),
        ("delete \r\n", BAD_LINE),
        ("touch\r\n", BAD_LINE),
        ("touch k\r\n", BAD_LINE),
    ]);
}

#[test]
fn touch_leaves_the_unique() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    let unique = unique_of(&mut client, "k");
    client.expect("touch k 100\r\n", "TOUCHED\r\n");
    assert_eq!(unique_of(&mut client, "k"), unique);
}
