//! A client that wants everything at once gets its share and no more, counted while others wait.
//!
//! The daemon is stopped while all send, so that all are ready when it goes on. Then what another client is told
//! shows how much of the greedy one came first.

use std::fs;
use std::thread;

use crate::client::{Client, fill};
use crate::differences::{applies, start};
use crate::server::{Server, wait_until};

/// Commands of a turn, the default of `-R`.
const COMMANDS: u64 = 20;
/// Keys of a list that count as a command, and so those of a turn.
const KEYS: u64 = 20 * (COMMANDS + 1);
/// Bytes sent in a turn.
const BYTES: u64 = 256 << 10;
/// What other requests of a test may add to these.
const SLACK_BYTES: u64 = 16 << 10;

/// Stops the daemon, has `send` done, and lets it go on.
pub fn while_stopped(server: &Server, send: impl FnOnce()) {
    server.signal("STOP");
    wait_until("all threads stand still", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("the daemon runs");
        let mut stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
        stats.all(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")))
    });
    send();
    server.signal("CONT");
}

/// One worker, a client for questions, and some that have been answered once.
fn clients(server: &Server, count: usize) -> (Client, Vec<Client>) {
    let mut patient = server.client();
    patient.expect("set n 0 0 1\r\n0\r\n", "STORED\r\n");
    let mut greedy: Vec<_> = (0..count).map(|_| server.client()).collect();
    greedy.iter_mut().for_each(|client| client.expect("", ""));
    (patient, greedy)
}

#[test]
fn a_pipeline_without_end_has_so_many_commands_at_a_time() {
    let server = start!(&["-t", "1"]);
    for count in [1, 5] {
        let (mut patient, mut greedy) = clients(&server, count);
        while_stopped(&server, || {
            greedy.iter_mut().for_each(|client| client.send("incr n 1\r\n".repeat(1500)));
            patient.send("incr n 0\r\n");
        });
        let told = String::from_utf8(patient.read_some()).expect("text");
        let told: u64 = told.trim_end().parse().expect("a number");
        // memcached lets one more pass.
        assert!(told <= (COMMANDS + 1) * count as u64, "{told} commands of {count} came first");
        for client in &mut greedy {
            client.ask("");
        }
        patient.expect("incr n 0\r\n", format!("{}\r\n", 1500 * count));
        assert!(patient.stat("conn_yields") >= 1500 / COMMANDS - 1);
    }
}

#[test]
fn the_keys_of_a_list_are_counted_too() {
    applies!();
    let server = start!(&["-t", "1"]);
    for command in ["get", "gets"] {
        let (mut patient, mut greedy) = clients(&server, 3);
        let (before, list) = (patient.stat("get_misses"), " x".repeat(5000));
        let mut after = 0;
        while_stopped(&server, || {
            greedy.iter_mut().for_each(|client| client.send(format!("{command}{list}\r\n")));
            patient.send("stats\r\n");
        });
        for line in patient.ask_text("").lines() {
            after =
                line.strip_prefix("STAT get_misses ").map_or(after, |count| count.parse().expect("a number"));
        }
        let misses = after - before;
        assert!(misses <= 3 * KEYS, "{misses} keys came first");
        for client in &mut greedy {
            client.expect("", "END\r\n");
        }
        assert_eq!(patient.stat("get_misses"), before + 15_000);
    }
}

/// A figure of `stats` as `patient` is told it when the daemon goes on, and what was sent while it stood still.
pub fn figure_after(name: &str, server: &Server, patient: &mut Client, send: impl FnOnce()) -> u64 {
    let before = patient.stat(name);
    while_stopped(server, || {
        send();
        patient.send("stats\r\n");
    });
    let stats = patient.ask_text("");
    let line =
        stats.lines().find_map(|line| line.strip_prefix("STAT ")?.strip_prefix(name)).expect("a figure");
    line.trim().parse::<u64>().expect("a number") - before
}

#[test]
fn values_are_sent_in_shares_however_fast_they_are_read() {
    applies!();
    let server = start!(&["-t", "1"]);
    let value = fill(b'v', 1_000_000);
    let small = fill(b's', 10_000);
    let (mut patient, mut greedy) = clients(&server, 1);
    patient.expect(format!("set large 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    patient.expect(format!("set small 0 0 10000\r\n{small}\r\n"), "STORED\r\n");
    for (request, reply) in [
        ("get large\r\n".repeat(20), format!("VALUE large 0 1000000\r\n{value}\r\nEND\r\n").repeat(20)),
        (
            format!("get{}\r\n", " small".repeat(1000)),
            format!("VALUE small 0 10000\r\n{small}\r\n").repeat(1000) + "END\r\n",
        ),
    ] {
        let mut greedy = greedy.pop().unwrap_or_else(|| server.client());
        greedy.expect("", "");
        let mut reading = None;
        let written = figure_after("bytes_written", &server, &mut patient, || {
            greedy.send(&request);
            reading = Some(thread::spawn(move || greedy.expect("", reply)));
        });
        assert!(written <= BYTES + SLACK_BYTES, "{written} bytes came first");
        reading.expect("begun").join().expect("every reply is right");
    }
}
