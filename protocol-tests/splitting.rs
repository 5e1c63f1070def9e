//! Requests that arrive in pieces, cut at every byte: the replies must not depend on it.
//!
//! One worker serves both connections here, so that once the other client is answered, the piece that was
//! sent before has been taken.

use crate::client::{Client, fill};
use crate::differences::start;

/// A request of many commands, with data that looks like commands, and its reply.
const SCRIPT: (&str, &str) = (
    "set k 5 0 10\r\n0123456789\r\nget k\r\nset v 0 0 8\r\nget k\r\nx\r\nget v k\r\nadd k 0 0 1 noreply\r\n1\r\n\
     set n 0 0 1\r\n8\r\nincr n 1\r\ndecr n 1\r\ntouch n 0\r\nset k 0 0 2\r\nabcdbogus\r\nappend v 0 0 1\r\ny\r\nappend q 0 0 3\r\nabc\r\n\
     get v\r\ndelete v\r\ngat 0 n\r\nverbosity 0\r\n",
    "STORED\r\nVALUE k 5 10\r\n0123456789\r\nEND\r\nSTORED\r\nVALUE v 0 8\r\nget k\r\nx\r\nVALUE k 5 10\r\n0123456789\r\nEND\r\n\
     STORED\r\n9\r\n8\r\nTOUCHED\r\nCLIENT_ERROR bad data chunk\r\nERROR\r\nSTORED\r\n\
     NOT_STORED\r\n\
     VALUE v 0 9\r\nget k\r\nxy\r\nEND\r\nDELETED\r\nVALUE n 0 1\r\n8\r\nEND\r\nOK\r\n",
);

/// Returns once the only worker has taken what was sent before.
#[track_caller]
fn settle(other: &mut Client) {
    other.expect_so_far("mn\r\n", "MN\r\n");
}

#[test]
fn cut_in_two_at_every_byte() {
    let server = start!(&["-t", "1"]);
    let (mut client, mut other) = (server.client(), server.client());
    let (request, reply) = SCRIPT;
    for at in 1..request.len() {
        client.send(&request[..at]);
        settle(&mut other);
        client.expect(&request[at..], reply);
    }
}

#[test]
fn one_byte_at_a_time() {
    let server = start!(&["-t", "1"]);
    let (mut client, mut other) = (server.client(), server.client());
    let (request, reply) = SCRIPT;
    for byte in request.as_bytes() {
        client.send([*byte]);
        settle(&mut other);
    }
    client.expect("", reply);
}

#[test]
fn cut_in_three_around_the_data_block() {
    let server = start!(&["-t", "1"]);
    let (mut client, mut other) = (server.client(), server.client());
    let request = "set k 0 0 4\r\nab\r\n\r\nget k\r\n";
    for first in 1..request.len() - 1 {
        for second in first + 1..request.len() {
            client.send(&request[..first]);
            settle(&mut other);
            client.send(&request[first..second]);
            settle(&mut other);
            client.expect(&request[second..], "STORED\r\nVALUE k 0 4\r\nab\r\n\r\nEND\r\n");
        }
    }
}

#[test]
fn a_large_value_in_pieces_of_all_sizes() {
    let server = start!(&["-t", "1"]);
    let (mut client, mut other) = (server.client(), server.client());
    let value: String = (0..200_000).map(|at| char::from(b'a' + (at / 7 % 26) as u8)).collect();
    let request = format!("set k 0 0 {}\r\n{value}\r\nget k\r\n", value.len());
    let reply = format!("STORED\r\nVALUE k 0 {}\r\n{value}\r\nEND\r\n", value.len());
    for size in [997, 4096, 16_384, 16_385, 65_537] {
        let (pieces, last) = request.as_bytes().split_at(request.len() - 9);
        for piece in pieces.chunks(size) {
            client.send(piece);
            settle(&mut other);
        }
        client.expect(last, &reply);
    }
}

#[test]
fn a_refused_value_in_pieces_is_skipped_to_the_byte() {
    let server = start!(&["-t", "1"]);
    let (mut client, mut other) = (server.client(), server.client());
    let line = "set k 0 x 30\r\n";
    let data = "get k\r\nmn\r\nversion\r\nquit\r\n12345\r\n";
    let data = &data[..32];
    for cut in 0..data.len() {
        client.send(line);
        client.send(&data[..cut]);
        settle(&mut other);
        client.expect(&data[cut..], "CLIENT_ERROR bad command line format\r\n");
    }
}

#[test]
fn many_keys_in_pieces() {
    let server = start!(&["-t", "1"]);
    let (mut client, mut other) = (server.client(), server.client());
    client.expect("set key 0 0 1\r\n1\r\n", "STORED\r\n");
    let line = format!("get {}\r\n", "key ".repeat(3000));
    for size in [1000, 1999, 2047, 5000] {
        let (pieces, last) = line.as_bytes().split_at(line.len() - 1);
        for piece in pieces.chunks(size) {
            client.send(piece);
            settle(&mut other);
        }
        client.expect(last, format!("{}END\r\n", "VALUE key 0 1\r\n1\r\n".repeat(3000)));
    }
}

#[test]
fn the_end_of_a_line_alone() {
    let server = start!(&["-t", "1"]);
    let (mut client, mut other) = (server.client(), server.client());
    for (first, last, reply) in [
        ("get k\r", "\n", "END\r\n"),
        ("get k", "\r\n", "END\r\n"),
        ("set k 0 0 1\r\n1", "\r\n", "STORED\r\n"),
        ("set k 0 0 1\r\n1\r", "\n", "STORED\r\n"),
        ("set k 0 0 1\r\n1\r", "X", "CLIENT_ERROR bad data chunk\r\n"),
        ("set k 0 0 0\r\n", "\r\n", "STORED\r\n"),
    ] {
        client.send(first);
        settle(&mut other);
        client.expect(last, reply);
    }
    let key = fill(b'k', 240);
    client.send(format!("get {key}"));
    settle(&mut other);
    client.expect(" k\r\n", "VALUE k 0 0\r\n\r\nEND\r\n");
}
