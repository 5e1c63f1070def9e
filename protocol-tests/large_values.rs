//! Values that take many reads and writes: every byte in its place, whatever comes with them.
//!
//! Owns the contents only; limits of size are in `value_limits.rs`, memory and slow clients in `slow_clients.rs`.

use crate::client::Client;
use crate::differences::start;

/// Around a page and half of one, which is kept apart, and around what one read takes.
const SIZES: [usize; 8] = [16_000, 16_384, 24_700, 65_530, 131_072, 200_001, 1_000_000, 1_048_500];

/// A value of which any piece in a wrong place shows.
fn value(size: usize, number: usize) -> String {
    let mut text: String = (number..).map(|n| format!("{n:x} ")).take(size / 2 + 1).collect();
    text.truncate(size);
    text
}

fn set(key: &str, value: &str) -> String {
    format!("set {key} 7 0 {}\r\n{value}\r\n", value.len())
}

fn reply(key: &str, value: &str) -> String {
    format!("VALUE {key} 7 {}\r\n{value}\r\nEND\r\n", value.len())
}

/// Sends `request` in pieces of `piece` bytes, each once another client was answered, which has the same worker.
#[track_caller]
fn send_in_pieces(client: &mut Client, other: &mut Client, request: &str, piece: usize) {
    for bytes in request.as_bytes().chunks(piece) {
        client.send(bytes);
        other.expect_so_far("mn\r\n", "MN\r\n");
    }
}

#[test]
fn values_of_any_size_are_stored_whole_with_commands_before_and_behind() {
    let server = start!(&["-t", "1", "-m", "256"]);
    let mut client = server.client();
    for (number, size) in SIZES.into_iter().enumerate() {
        let (first, second) = (value(size, 1000 + number), value(size, 9000 + number));
        client.expect(
            format!(
                "touch absent 0\r\n{}get a\r\n{}{}get b\r\nget a\r\ntouch a 0\r\n",
                set("a", &first),
                set("b", &second),
                set("a", &second)
            ),
            format!(
                "NOT_FOUND\r\nSTORED\r\n{}STORED\r\nSTORED\r\n{}{}TOUCHED\r\n",
                reply("a", &first),
                reply("b", &second),
                reply("a", &second)
            ),
        );
    }
}

#[test]
fn it_does_not_matter_how_a_value_is_cut() {
    let server = start!(&["-t", "1", "-m", "256"]);
    let (mut client, mut other) = (server.client(), server.client());
    for (number, size) in SIZES.into_iter().enumerate() {
        let text = value(size, 500 + number);
        let request = set("a", &text) + "get a\r\n";
        for piece in [size / 40 + 1, 65_536, 100_003, size - 1, size + 10] {
            send_in_pieces(&mut client, &mut other, &request, piece);
            client.expect("delete a\r\n", format!("STORED\r\n{}DELETED\r\n", reply("a", &text)));
        }
    }
}

#[test]
fn a_value_without_its_line_end_is_refused_and_what_follows_is_served() {
    let server = start!(&["-t", "1", "-m", "256"]);
    let (mut client, mut other) = (server.client(), server.client());
    for size in SIZES {
        let text = value(size, 77);
        let wrong = format!("set a 7 0 {size}\r\n{text}xx\r\n");
        send_in_pieces(&mut client, &mut other, &wrong, 50_000);
        let answer = client.ask("get a\r\n");
        let answer = String::from_utf8(answer).expect("text");
        assert!(
            answer.starts_with("CLIENT_ERROR bad data chunk\r\n") && answer.ends_with("END\r\n"),
            "{answer}"
        );
        client.expect(
            set("a", &text) + "get a\r\ndelete a\r\n",
            format!("STORED\r\n{}DELETED\r\n", reply("a", &text)),
        );
    }
}

#[test]
fn appended_and_meta_values_come_in_pieces_too() {
    let server = start!(&["-t", "1", "-m", "256"]);
    let (mut client, mut other) = (server.client(), server.client());
    for size in SIZES {
        let half = value(size / 2, 4);
        let joined = format!("append a 0 0 {0}\r\n{half}\r\nprepend a 0 0 3\r\n-+-\r\nget a\r\n", half.len());
        client.expect(set("a", &half), "STORED\r\n");
        send_in_pieces(&mut client, &mut other, &joined, 70_000);
        client.expect("", format!("STORED\r\nSTORED\r\n{}", reply("a", &format!("-+-{half}{half}"))));
        let text = value(size, 5);
        let meta = format!("ms m {size} F7 T0\r\n{text}\r\nmg m v f\r\n");
        send_in_pieces(&mut client, &mut other, &meta, 70_000);
        client.expect("", format!("HD\r\nVA {size} f7\r\n{text}\r\n"));
    }
}
