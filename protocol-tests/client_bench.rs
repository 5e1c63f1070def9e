//! `larder bench`, against whichever daemon is under test: every load ends, is checked, and leaves nothing behind.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::client_commands::{larder, object, printed, refused, run, stub};
use crate::server::{Launch, Server, signal, wait_until};

/// A load that goes on for a minute, once all its 500 keys are stored.
fn long_load(server: &Server, address: &str) -> Child {
    let words = ["bench", address, "--seconds", "60", "--connections", "2", "--keys", "500", "--sets", "0"];
    let child = larder(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut client = server.client();
    wait_until("all keys", || client.stat("curr_items") == 500 && client.stat("get_hits") > 0);
    child
}

#[test]
fn a_load_is_checked_and_leaves_nothing_behind() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    for pipeline in ["1", "16"] {
        let own = ["--seconds", "0.2", "--connections", "3", "--keys", "500", "--value-bytes", "1000"];
        let told = object(&[&["bench", &address, "--json", "--pipeline", pipeline], &own[..]].concat());
        let number = |name: &str| told[name].as_u64().unwrap();
        assert!(number("gets") > number("sets") && number("sets") > 0, "{told}");
        assert_eq!((number("requests"), number("misses")), (number("gets") + number("sets"), 0), "{told}");
        let latency = |name: &str| told["latency"][name].as_f64().unwrap();
        assert!(latency("p50_us") > 0.0 && latency("p50_us") <= latency("max_us"), "{told}");
        let stats = object(&["stats", &address, "--json"]);
        assert_eq!(
            (&stats["curr_items"], stats["cmd_set"].as_u64() > Some(500)),
            (&0.into(), true),
            "{stats}"
        );
        assert_eq!(printed(&["stats", &address, "reset"]), "RESET\n");
    }
    let text = printed(&["bench", &address, "--seconds", "0.05"]);
    assert!(text.contains("all replies right") && text.contains("p99"), "{text}");
}

#[test]
fn a_load_finds_wrong_replies() {
    // It takes whatever it is sent and never keeps it.
    let forgetful = stub(b"STORED\r\n".repeat(100).leak()).to_string();
    let own = ["--seconds", "0.1", "--connections", "1", "--keys", "100"];
    refused(&run(&[&["bench", &forgetful], &own[..]].concat()), 1, "answers: STORED");
}

#[test]
fn long_values_and_long_pipelines_come_through() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let server = Launch::new().options(["-s", path.to_str().unwrap()]).start_unix(&path);
    let bench = |own: &[&str]| {
        let words = ["bench", path.to_str().unwrap(), "--seconds", "0.1", "--connections", "1", "--json"];
        let told = object(&[&words, own].concat());
        assert!(told["requests"].as_u64() > Some(0), "{told}");
    };
    // More than the system keeps in either direction: somebody has to read before all is written.
    bench(&["--pipeline", "160", "--value-bytes", "100000", "--sets", "50", "--keys", "20"]);
    bench(&["--value-bytes", "1000000", "--keys", "4"]);
    drop(server);
    let words = ["bench", path.to_str().unwrap(), "--pipeline", "1000", "--value-bytes", "100000"];
    refused(&run(&words), 64, "expected 16 MiB at most");
}

#[test]
fn a_signal_ends_a_load_and_takes_its_keys_away() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    for name in ["INT", "TERM"] {
        let child = long_load(&server, &address);
        signal(child.id(), name);
        refused(&child.wait_with_output().unwrap(), 1, "cut short by a signal");
        assert_eq!(server.client().stat("curr_items"), 0);
    }
}

#[test]
fn a_load_that_fails_takes_its_keys_away() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let child = long_load(&server, &address);
    let keys = printed(&["dump", &address]);
    let key = keys.lines().next().unwrap().replace("%3A", ":");
    server.client().expect(format!("set {key} 0 0 100\r\n{}\r\n", "x".repeat(100)), "STORED\r\n");
    refused(&child.wait_with_output().unwrap(), 1, "gives a value that was never stored under its key");
    assert_eq!(server.client().stat("curr_items"), 0);
}

#[test]
fn want_of_threads_is_told_and_takes_the_keys_away() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    // Of so large stacks some find a place and others do not, and what does not is more than enough for anything else.
    let script = "ulimit -v 20000000; exec \"$0\" bench \"$1\" --connections 64 --seconds 60 --keys 1000";
    let output = Command::new("sh")
        .env("RUST_MIN_STACK", (1 << 30).to_string())
        .args(["-c", script, env!("CARGO_BIN_EXE_larder"), &address])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    refused(&output, 1, "no thread for each of 64 connections");
    assert_eq!(server.client().stat("curr_items"), 0);
}
