//! The log: what is told, of whom, how it looks, and that no client can write a line of it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, fill};
use crate::differences::applies;
use crate::server::{Guard, Launch, Server, wait_until};

/// A user name that would end a line, a string of JSON, or a terminal's good mood.
const HOSTILE: &str = "x\"}\u{1b}[31m\r\n{\"level\":\"error\",\"message\":\"forged\"}\u{9b}2J";

fn with_json(options: &[&str]) -> Server {
    let server = Launch::new().variable("MEMCACHED_DEBUG_COMMANDS", "1");
    server.options(["--log-format", "json"]).options(options.iter().copied()).start()
}

/// All whole lines of the log so far, each of which must be an object of JSON.
#[track_caller]
fn events(server: &Server) -> Vec<Value> {
    let text = server.stderr();
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let event = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    whole.lines().map(event).collect()
}

/// Waits for an event of this name.
#[track_caller]
fn event(server: &Server, name: &str) -> Value {
    let find = || events(server).into_iter().find(|event| event["event"] == name);
    wait_until(name, || find().is_some());
    find().unwrap()
}

/// Stores so much that items have to go, or are refused.
fn overfill(client: &mut Client) {
    let value = fill(b'v', 1000);
    let sets: String = (0..10_000).map(|n| format!("set k{n} 0 0 1000 noreply\r\n{value}\r\n")).collect();
    client.send(sets);
    client.expect("mn\r\n", "MN\r\n");
}

#[test]
fn each_line_of_json_has_time_level_and_message() {
    applies!();
    let server = with_json(&[]);
    wait_until("the start is told of", || !events(&server).is_empty());
    for event in events(&server) {
        let time = event["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.as_bytes()[10] == b'T' && time.ends_with('Z'), "{time}");
        assert!(["error", "warn", "info"].contains(&event["level"].as_str().unwrap()), "{event}");
        assert!(event["message"].is_string(), "{event}");
    }
}

#[test]
fn who_is_turned_away_or_cannot_log_in_is_told_of() {
    applies!();
    let server = with_json(&["-c", "1"]);
    let mut first = server.client();
    first.expect("", "");
    Client::tcp(server.addresses[0]).expect_close("", "ERROR Too many open connections\r\n");
    let told = event(&server, "connection_rejected");
    let peer = told["peer"].as_str().unwrap();
    assert!(peer.starts_with("tcp:127.0.0.1:"), "{told}");
    assert!(told["message"].as_str().unwrap().starts_with(&format!("{peer} is turned away: ")), "{told}");
    assert_eq!(told["level"], "warn");

    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(users.path(), "anna:secret\n").unwrap();
    let server = with_json(&["-Y", users.path().to_str().unwrap()]);
    let mut client = server.client();
    client.expect_so_far("set x 0 0 10\r\nanna wrong\r\n", "CLIENT_ERROR authentication failure\r\n");
    let told = event(&server, "login_failed");
    assert_eq!(told["user"], "anna");
    assert!(told["peer"].as_str().unwrap().starts_with("tcp:127.0.0.1:"), "{told}");
}

#[test]
fn a_client_of_the_binary_protocol_is_told_of() {
    applies!();
    let server = with_json(&[]);
    // The first client has spoken already.
    let mut client = Client::tcp(server.addresses[0]);
    client.expect_close(b"\x80\x0b\0\0\0\0\0\0\0\0\0\0", "");
    let told = event(&server, "connection_rejected");
    assert!(told["message"].as_str().unwrap().contains("binary protocol"), "{told}");
}

#[test]
fn changes_by_clients_are_told_of_with_the_peer_and_not_without_end() {
    applies!();
    let server = with_json(&[]);
    let mut client = server.client();
    client.expect("debugtime p\r\n", "OK\r\n");
    client.expect(
        "verbosity 0\r\ncache_memlimit 100\r\nflush_all\r\nlru tune 10 25 0.1 2.0\r\nlru_crawler sleep 200\r\n",
        "OK\r\n".repeat(5),
    );
    client.expect("flush_prefix a\"\u{1b}b\r\n", "OK 0\r\n");
    let changes = |server: &Server| -> Vec<String> {
        let changes = events(server).into_iter().filter(|event| event["event"] == "change");
        changes.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    };
    wait_until("the changes are told of", || changes(&server).len() == 6);
    let told: Vec<String> = changes(&server);
    let told: Vec<&str> =
        told.iter().filter_map(|line| line.split_once(": ").map(|(_, what)| what)).collect();
    assert_eq!(
        told,
        [
            "the verbosity is 0 now",
            "the memory limit is 100 MB now",
            "flush_all 0",
            "lru tune 10 25 0.1 2",
            "lru_crawler sleep 200",
            "flush_prefix a\\\"\\x1bb",
        ]
    );
    // What is refused is no change.
    client.expect("cache_memlimit 1\r\n", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n");
    client.expect("flush_all\r\n".repeat(500), "OK\r\n".repeat(500));
    client.expect("debugtime 10\r\n", "OK\r\n");
    client.expect("flush_all 7\r\n", "OK\r\n");
    wait_until("the rest is told of", || changes(&server).iter().any(|line| line.contains("flush_all 7")));
    let told = changes(&server);
    assert_eq!(told.len(), 21);
    assert!(told[20].ends_with("; changes before without a line: 486"), "{}", told[20]);
}

#[test]
fn a_storm_of_evictions_is_told_of_once_in_a_while() {
    applies!();
    let server = with_json(&["-m", "4"]);
    let mut client = server.client();
    client.expect("debugtime p\r\n", "OK\r\n");
    overfill(&mut client);
    client.expect("debugtime 61\r\n", "OK\r\n");
    let told = event(&server, "eviction_storm");
    assert!(told["evicted"].as_u64().unwrap() >= 1000 && told["items"].as_u64().unwrap() > 1000, "{told}");
    let storms =
        |server: &Server| events(server).iter().filter(|event| event["event"] == "eviction_storm").count();
    // The next period is looked at, and told of only if it is as bad.
    overfill(&mut client);
    assert_eq!(storms(&server), 1);
    client.expect("debugtime 61\r\n", "OK\r\n");
    wait_until("the next period is over", || storms(&server) == 2);
}

#[test]
fn values_that_are_refused_are_told_of() {
    applies!();
    let server = with_json(&["-m", "4", "-M"]);
    let mut client = server.client();
    overfill(&mut client);
    client.expect("debugtime 61\r\n", "OK\r\n");
    let told = event(&server, "memory_pressure");
    assert_eq!(told["refused"].as_u64().unwrap(), client.stat("store_no_memory"), "{told}");
}

#[test]
fn a_client_cannot_forge_a_line() {
    applies!();
    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(users.path(), "anna:secret\n").unwrap();
    let token = format!("{HOSTILE} wrong");
    let login = format!("set x 0 0 {}\r\n{token}\r\n", token.len());
    for format in ["text", "json"] {
        let options = ["--log-format", format, "-Y", users.path().to_str().unwrap()];
        let server = Launch::new().options(options).start();
        server.client().expect_so_far(login.as_str(), "CLIENT_ERROR authentication failure\r\n");
        wait_until("the failure is told of", || server.stderr().contains("cannot log in as 'x"));
        let text = server.stderr();
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        for line in text.lines() {
            assert!(line.starts_with(if format == "text" { "20" } else { "{\"time\":\"20" }), "{line:?}");
        }
        if format == "json" {
            assert!(events(&server).iter().all(|event| event["message"] != "forged"), "{text}");
            assert!(event(&server, "login_failed")["user"].as_str().unwrap().starts_with("x\\\"}\\x1b"));
        }
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// With its log in a file, once that tells of the start.
fn with_log_file(path: &Path, options: &[&str]) -> Server {
    let server = Launch::new().options(["--log-file".as_ref(), path.as_os_str()]);
    let server = server.options(options.iter().copied()).start();
    wait_until("the start is told of", || text(path).contains("serves memcached's"));
    server
}

#[test]
fn a_log_file_that_was_moved_away_is_opened_again() {
    applies!();
    if std::env::var("LARDER_TEST_OPTIONS").is_ok_and(|options| options.contains("drop_privileges")) {
        println!("left out: the filter forbids it, see the next test");
        return;
    }
    let folder = TempDir::new().unwrap();
    let [log, old] = ["log", "log.1"].map(|name| folder.path().join(name));
    let server = with_log_file(&log, &[]);
    fs::rename(&log, &old).unwrap();
    server.client().expect("flush_all\r\n", "OK\r\n");
    wait_until("what is told goes after the file", || text(&old).contains("flush_all"));
    let before = text(&old);
    server.signal("HUP");
    wait_until("there is another file", || text(&log).contains("this is the next"));
    server.client().expect("flush_all\r\n", "OK\r\n");
    wait_until("what is told goes there", || text(&log).contains("flush_all"));
    assert_eq!(text(&old), before);
}

#[test]
fn a_log_file_that_cannot_be_opened_again_goes_on_and_it_is_said_what_to_do() {
    applies!();
    let folder = TempDir::new().unwrap();
    let [log, old] = ["log", "log.1"].map(|name| folder.path().join(name));
    let server = with_log_file(&log, &["-o", "drop_privileges"]);
    fs::rename(&log, &old).unwrap();
    server.signal("HUP");
    wait_until("a remedy is named", || text(&old).contains("copytruncate"));
    assert!(!log.exists());
    // The remedy.
    fs::rename(&old, &log).unwrap();
    fs::copy(&log, &old).unwrap();
    File::options().write(true).truncate(true).open(&log).unwrap();
    server.client().expect("flush_all\r\n", "OK\r\n");
    wait_until("what is told is at the beginning", || text(&log).contains("flush_all"));
    assert!(!text(&log).contains('\0') && !text(&old).contains("flush_all"), "{:?}", text(&log));
}

#[test]
fn in_the_journal_lines_begin_with_their_priority() {
    applies!();
    for (format, start) in [("text", "<6>larder "), ("json", "<6>{\"time\":\"20")] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("journal");
        let journal = File::create(&path).unwrap();
        let metadata = journal.metadata().unwrap();
        let mut command = Launch::new().options(["--log-format", format]).command(directory.path());
        command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()));
        let mut child = command.stderr(journal).stdout(Stdio::null()).spawn().unwrap();
        let guard = Guard::watch(child.id());
        let text = || std::fs::read_to_string(&path).unwrap();
        wait_until("it starts", || text().lines().any(|line| line.starts_with(start)));
        assert!(text().lines().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{}", text());
        child.kill().unwrap();
        child.wait().unwrap();
        guard.release();
    }
    // One that is not the journal is no terminal of the journal's.
    let server = Launch::new().variable("JOURNAL_STREAM", "1:1").start();
    wait_until("it starts", || server.stderr().contains("INFO  larder "));
    assert!(!server.stderr().contains('<'), "{}", server.stderr());
}

#[test]
fn an_unknown_format_is_refused() {
    applies!();
    let ended = Launch::new().options(["--log-format", "xml"]).run_to_end();
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.ends_with("--log-format 'xml': expected text or json\n"), "{}", ended.stderr);
}
