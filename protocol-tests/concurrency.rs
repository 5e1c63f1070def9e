//! Many clients on the same keys: nothing is torn, nothing is lost, and a slow reader gets what it asked for.

use std::thread;

use crate::client::{Client, fill, show};
use crate::differences::start;
use crate::storage::unique_of;

const THREADS: usize = 4;

/// A value that shows any tearing: its length, then one byte over and over.
fn sealed(byte: u8, length: usize) -> String {
    format!("{length}:{}", fill(byte, length))
}

#[track_caller]
fn expect_sealed(value: &[u8]) {
    let at = value.iter().position(|byte| *byte == b':').unwrap_or_else(|| panic!("{}", show(value)));
    let length: usize = String::from_utf8_lossy(&value[..at]).parse().expect("a length");
    let body = &value[at + 1..];
    assert!(body.len() == length && body.iter().all(|byte| *byte == body[0]), "torn: {}", show(value));
}

/// The values in a `get` reply.
#[track_caller]
fn values(mut reply: &[u8]) -> Vec<&[u8]> {
    let mut values = Vec::new();
    while let Some(end) = reply.windows(2).position(|pair| pair == b"\r\n") {
        let line = String::from_utf8_lossy(&reply[..end]).into_owned();
        if line == "END" {
            assert_eq!(reply.len(), 5);
            return values;
        }
        let length: usize = line.split(' ').nth(3).and_then(|word| word.parse().ok()).expect(&line);
        values.push(&reply[end + 2..end + 2 + length]);
        reply = &reply[end + 4 + length..];
    }
    panic!("no END in the reply");
}

#[test]
fn values_are_never_torn() {
    let server = start!();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut client = server.client();
            scope.spawn(move || {
                for round in 0..1500 {
                    let key = format!("k{}", (round * 7 + thread) % 5);
                    let length = 1 + (round * 131 + thread * 977) % 9000;
                    let value = sealed(b'a' + (round % 26) as u8, length);
                    match round % 4 {
                        0 | 1 => client
                            .expect(format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n"),
                        2 => {
                            values(&client.ask("get k0 k1 k2 k3 k4\r\n")).into_iter().for_each(expect_sealed)
                        }
                        _ => drop(client.ask(format!("delete {key}\r\n"))),
                    }
                }
            });
        }
    });
}

#[test]
fn large_values_are_never_torn() {
    let server = start!();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut client = server.client();
            scope.spawn(move || {
                for round in 0..40 {
                    let value =
                        sealed(b'a' + ((round * 4 + thread) % 26) as u8, 300_000 + round * 10_000 + thread);
                    client.expect(format!("set k 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
                    values(&client.ask("get k k\r\n")).into_iter().for_each(expect_sealed);
                }
            });
        }
    });
}

#[test]
fn counts_are_never_lost() {
    let server = start!();
    let mut client = server.client();
    client.expect("set n 0 0 1\r\n0\r\n", "STORED\r\n");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let mut client = server.client();
            scope.spawn(move || (0..500).for_each(|_| drop(client.ask("incr n 3\r\ndecr n 1\r\n"))));
        }
    });
    client.expect("incr n 0\r\n", format!("{}\r\n", THREADS * 500 * 2));
}

/// Counts up by reading with `gets` and writing with `cas` until the write succeeds. Each failure means that
/// another thread succeeded, so there is a limit to them.
fn count_by_cas(client: &mut Client) {
    for _ in 0..THREADS * 250 {
        let reply = client.ask_text("gets n\r\n");
        let mut lines = reply.lines();
        let unique = lines.next().and_then(|line| line.split(' ').nth(4)).expect("a unique");
        let count: u64 = lines.next().and_then(|line| line.parse().ok()).expect("a number");
        let next = (count + 1).to_string();
        match client.ask_text(format!("cas n 0 0 {} {unique}\r\n{next}\r\n", next.len())).as_str() {
            "STORED\r\n" => return,
            "EXISTS\r\n" => {}
            other => panic!("cas answers {other:?}"),
        }
    }
    panic!("cas fails though nobody else succeeds");
}

#[test]
fn cas_loses_no_update() {
    let server = start!();
    let mut client = server.client();
    client.expect("set n 0 0 1\r\n0\r\n", "STORED\r\n");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let mut client = server.client();
            scope.spawn(move || (0..250).for_each(|_| count_by_cas(&mut client)));
        }
    });
    client.expect("get n\r\n", format!("VALUE n 0 4\r\n{}\r\nEND\r\n", THREADS * 250));
}

#[test]
fn one_of_many_adds_wins() {
    let server = start!();
    for round in 0..100 {
        let stored: usize = thread::scope(|scope| {
            let adding: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let mut client = server.client();
                    scope.spawn(move || {
                        client.ask(format!("add k{round} 0 0 1\r\n{thread}\r\n")) == b"STORED\r\n"
                    })
                })
                .collect();
            adding.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(stored, 1);
    }
}

#[test]
fn appends_all_arrive_whole() {
    let server = start!();
    let mut client = server.client();
    client.expect("set k 0 0 0\r\n\r\n", "STORED\r\n");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut client = server.client();
            let part = fill(b'a' + thread as u8, 10);
            scope.spawn(move || {
                for round in 0..100 {
                    let command = if round % 2 == 0 { "append" } else { "prepend" };
                    client.expect(format!("{command} k 0 0 10\r\n{part}\r\n"), "STORED\r\n");
                }
            });
        }
    });
    let reply = client.ask("get k\r\n");
    let value = values(&reply)[0];
    assert_eq!(value.len(), THREADS * 1000);
    assert!(value.chunks(10).all(|part| part.iter().all(|byte| *byte == part[0])));
    for thread in 0..THREADS {
        let count = value.iter().filter(|byte| **byte == b'a' + thread as u8).count();
        assert_eq!(count, 1000);
    }
}

#[test]
fn uniques_differ_between_threads() {
    let server = start!();
    let mut all: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let mut client = server.client();
                scope.spawn(move || {
                    let once = |round| {
                        client.expect(format!("set k{thread} 0 0 4\r\n{round:04}\r\n"), "STORED\r\n");
                        unique_of(&mut client, &format!("k{thread}"))
                    };
                    (0..300).map(once).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), THREADS * 300);
}

/// Reads one reply to `get k` and gives the byte that the value consists of.
#[track_caller]
fn read_version(client: &mut Client, size: usize) -> u8 {
    let reply = client.read(format!("VALUE k 0 {size}\r\n").len() + size + "\r\nEND\r\n".len());
    let value = values(&reply)[0];
    assert!(
        value.len() == size && value.iter().all(|byte| *byte == value[0]),
        "two versions in one value: {}",
        show(value)
    );
    value[0]
}

#[test]
fn a_slow_reader_gets_the_version_it_asked_for() {
    let server = start!();
    const SIZE: usize = 1_000_000;
    let (mut slow, mut quick) = (server.client(), server.client());
    let set = |version: u8| format!("set k 0 0 {SIZE}\r\n{}\r\n", fill(version, SIZE));
    quick.expect(set(b'a'), "STORED\r\n");
    // More than the sockets hold, so most of it is sent while the value changes.
    slow.send("get k\r\n".repeat(40));
    let head = slow.read(10);
    assert_eq!(head, b"VALUE k 0 ");
    for version in (b'b'..=b'z').chain(b'A'..=b'Z') {
        quick.expect(set(version), "STORED\r\n");
        quick.ask("delete k\r\n");
    }
    quick.expect(set(b'!'), "STORED\r\n");
    let rest = slow.read(format!("{SIZE}\r\n").len() + SIZE + "\r\nEND\r\n".len());
    let first = [head, rest].concat();
    assert!(values(&first)[0] == fill(b'a', SIZE).as_bytes(), "the first value changed on its way");
    let mut changed = 0;
    for _ in 1..40 {
        changed += usize::from(read_version(&mut slow, SIZE) != b'a');
    }
    // What was not yet looked up then is answered from the new value.
    println!("{changed} of 39 later replies show a later version");
    quick.expect("get k\r\n", format!("VALUE k 0 {SIZE}\r\n{}\r\nEND\r\n", fill(b'!', SIZE)));
}

#[test]
fn a_slow_reader_of_many_keys_gets_whole_values_while_everything_is_evicted() {
    let server = start!(&["-m", "64"]);
    const SIZE: usize = 500_000;
    let (mut slow, mut quick) = (server.client(), server.client());
    for at in 0..20 {
        quick.expect(format!("set s{at} 0 0 {SIZE}\r\n{}\r\n", fill(b'a' + at, SIZE)), "STORED\r\n");
    }
    let keys: String = (0..20).map(|at| format!(" s{at}")).collect();
    slow.send(format!("get{keys}\r\n"));
    let head = slow.read(5);
    for at in 0..200 {
        quick.expect(format!("set q{at} 0 0 {SIZE}\r\n{}\r\n", fill(b'#', SIZE)), "STORED\r\n");
    }
    slow.send("mn\r\n");
    let mut reply = head;
    while !reply.ends_with(b"END\r\nMN\r\n") {
        reply.extend(slow.read(1));
        if reply.ends_with(b"\r\n") && reply.starts_with(b"VALUE ") && !reply.ends_with(b"END\r\n") {
            let line = String::from_utf8_lossy(&reply).into_owned();
            let key: u8 = line.split(' ').nth(1).and_then(|key| key[1..].parse().ok()).expect(&line);
            let value = slow.read(SIZE + 2);
            assert!(
                value == [fill(b'a' + key, SIZE).as_bytes(), b"\r\n"].concat(),
                "s{key} changed on its way"
            );
            reply.clear();
        }
    }
}
