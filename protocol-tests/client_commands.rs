//! The client commands of larder's binary (`larder stats`, `ping` ...), against whichever daemon is under test.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{Launch, Server, free_port};
use crate::tls::{Authority, TlsServer};

/// larder as a client, whatever the daemon is.
pub fn larder<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.args(words).env_remove("LARDER_PASSWORD").stdin(Stdio::null());
    command
}

/// What `larder WORDS` leaves behind.
pub fn run(words: &[&str]) -> Output {
    larder(words).output().expect("larder runs")
}

/// What it prints, if all is well.
#[track_caller]
pub fn printed(words: &[&str]) -> String {
    let output = run(words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Its object of JSON.
#[track_caller]
pub fn object(words: &[&str]) -> Value {
    let text = printed(words);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Ends with this code and one line that has `wanted` in it.
#[track_caller]
pub fn refused(output: &Output, code: i32, wanted: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("larder: ") && stderr.contains(wanted), "want {wanted}, got {stderr}");
}

/// A server that says these bytes to whoever connects, whatever is asked, and then nothing.
pub fn stub(says: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|count| count > 0) && stream.write_all(says).is_ok() {
                }
            });
        }
    });
    address
}

#[test]
fn statistics_are_those_of_the_server() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let mut client = server.client();
    client.expect("set k 0 0 5\r\nvalue\r\n", "STORED\r\n");
    let mut known =
        |name: &str| client.stats("stats").into_iter().find(|(other, _)| other == name).expect(name).1;
    let pid = known("pid");
    let text = printed(&["stats", &address]);
    let row = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    assert_eq!((row("pid "), row("cmd_set ")), (Some(&*pid), Some("1")), "{text}");
    let stats = object(&["stats", &address, "--json"]);
    assert_eq!(stats["pid"].to_string(), pid);
    assert_eq!(stats["curr_items"], 1);
    assert!(stats["version"].is_string() && stats["rusage_user"].is_f64(), "{stats}");
    let settings = object(&["stats", &address, "settings", "--json"]);
    assert_eq!(settings["inter"], "127.0.0.1");
    let items = object(&["stats", &address, "items", "--json"]);
    assert!(items.as_object().is_some_and(|items| items.keys().any(|name| name.ends_with(":number"))));
    assert_eq!(printed(&["stats", &address, "reset"]), "RESET\n");
    assert_eq!(object(&["stats", &address, "--json"])["cmd_set"], 0);
}

#[test]
fn a_group_that_is_not_there_is_a_failure() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    refused(&run(&["stats", &address, "no", "such"]), 1, "larder: stats: 127.0.0.1:");
    refused(&run(&["stats", "items"]), 64, "expected SERVER before 'items'");
    refused(&run(&["stats", &address, "a\r\nflush_all"]), 64, "without line ends");
}

#[test]
fn what_changes_is_shown_per_second() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let mut child = larder(["stats", &address, "--watch", "0.05"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = String::new();
    let mut client = server.client();
    // Asking for statistics moves bytes_read as well.
    while !text.contains("bytes_read  ") || !text.contains("/s") {
        client.expect("get k\r\n", "END\r\n");
        let mut bytes = [0; 1024];
        let count = stdout.read(&mut bytes).unwrap();
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn whoever_reads_no_more_ends_it_in_silence() {
    let server = Server::start();
    let mut child = larder(["stats", &server.addresses[0].to_string(), "--watch", "0.01"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_server_that_answers_is_told_of() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let text = printed(&["ping", &address, "-c", "3", "--interval", "0.01"]);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.starts_with(&format!("{address} answers, version 1.6.")), "{text}");
    let told = object(&["ping", &address, "--json"]);
    assert_eq!(told["count"], 1);
    assert!(told["max_us"].as_f64() > Some(0.0), "{told}");
}

#[test]
fn items_come_and_go() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let mut client = server.client();
    assert_eq!(printed(&["set", &address, "k", "some words", "--flags", "7", "--ttl", "60"]), "");
    client.expect("get k\r\n", "VALUE k 7 10\r\nsome words\r\nEND\r\n");
    assert_eq!(printed(&["get", &address, "k"]), "some words");
    let told = object(&["get", &address, "k", "--json"]);
    assert_eq!((&told["value"], &told["flags"]), (&"some words".into(), &7.into()));
    let mut child = larder(["set", &address, "raw"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\xff\r\n\0\x1b").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(run(&["get", &address, "raw"]).stdout, b"\xff\r\n\0\x1b");
    assert_eq!(object(&["get", &address, "raw", "--json"])["value_base64"], "/w0KABs=");
    assert_eq!(printed(&["delete", &address, "k"]), "");
    refused(&run(&["delete", &address, "k"]), 1, "has no item 'k'");
    refused(&run(&["get", &address, "k"]), 1, "has no item 'k'");
    refused(&run(&["get", &address, "a b"]), 64, "expected 1 to 250 bytes without blanks");
    refused(&run(&["get", &address, "k\r\nflush_all"]), 64, "expected 1 to 250 bytes without blanks");
    // More than 30 days are not taken for a date.
    assert_eq!(printed(&["set", &address, "year", "x", "--ttl", "31536000"]), "");
    client.expect("get year\r\n", "VALUE year 0 1\r\nx\r\nEND\r\n");
    let boasting = stub(b"VALUE k 0 18446744073709551615\r\n").to_string();
    refused(&run(&["get", &boasting, "k"]), 1, "announces a value of 18446744073709551615 bytes");
    // A date that is later than memcached can tell would be the past.
    assert_eq!(printed(&["set", &address, "age", "x", "--ttl", "4294967295"]), "");
    client.expect("get age\r\n", "VALUE age 0 1\r\nx\r\nEND\r\n");
    let confused = stub(b"VALUE other 0 1\r\nx\r\nEND\r\n").to_string();
    refused(&run(&["get", &confused, "k"]), 1, "answers: VALUE other 0 1");
    let long = "v".repeat(1 << 20);
    let mut child =
        larder(["set", &address, "long"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(long.as_bytes()).unwrap();
    refused(&child.wait_with_output().unwrap(), 1, "answers: SERVER_ERROR object too large for cache");
}

#[test]
fn values_may_look_like_options() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    for (words, stored) in [(&["-5"][..], "-5"), (&["--", "--help"], "--help"), (&["--", "-x"], "-x")] {
        assert_eq!(printed(&[&["set", &address, "k"], words].concat()), "");
        assert_eq!(printed(&["get", &address, "k"]), stored);
    }
    refused(&run(&["set", &address, "k", "-x"]), 64, "tip: to pass '-x' as a value, use '-- -x'");
    refused(&run(&["set", &address, "k", "--help"]), 64, "expected -- in front of a value");
    assert_eq!(printed(&["get", &address, "k"]), "-x");
    assert!(printed(&["set", "--help"]).contains("behind --"));
}

#[test]
fn a_word_that_is_no_command_is_told_so() {
    refused(
        &run(&["pign"]),
        64,
        "larder: pign: no such command, did you mean ping? (larder --help lists them)",
    );
    refused(&run(&["\x1b[2J"]), 64, "larder: \\x1b[2J: no such command (larder --help lists them)");
    assert_eq!(printed(&["help"]), printed(&["--help"]));
    assert_eq!(printed(&["help", "-p", "11211"]), printed(&["--help"]));
    assert_eq!(printed(&["help", "ping"]), printed(&["ping", "--help"]));
}

#[test]
fn unix_sockets_are_reached_by_their_path() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let _server = Launch::new().options(["-s", path.to_str().unwrap()]).start_unix(&path);
    let text = printed(&["ping", path.to_str().unwrap()]);
    assert!(text.contains("answers, version"), "{text}");
    refused(&run(&["ping", path.to_str().unwrap(), "--tls"]), 64, "a Unix socket has no TLS");
    refused(&run(&["ping", "/nowhere/socket"]), 69, "/nowhere/socket cannot be reached: No such file");
}

#[test]
fn who_is_not_there_or_silent_is_not_waited_for() {
    let address = format!("127.0.0.1:{}", free_port());
    refused(&run(&["ping", &address]), 69, &format!("{address} cannot be reached: Connection refused"));
    let silent = stub(b"").to_string();
    refused(&run(&["ping", &silent, "--timeout", "0.1"]), 69, "does not answer in time");
    refused(&run(&["stats", &silent, "--timeout", "0.1"]), 69, "does not answer in time");
}

#[test]
fn other_servers_are_told_from_memcached() {
    let web = stub(b"HTTP/1.1 400 Bad Request\r\n\r\n").to_string();
    refused(&run(&["ping", &web]), 1, "answers: HTTP/1.1 400 Bad Request");
    let flood = vec![b'x'; 1 << 20].leak();
    let flood = stub(flood).to_string();
    refused(&run(&["stats", &flood]), 1, "lines without an end");
}

#[test]
fn nothing_that_a_server_says_reaches_the_terminal_raw() {
    let hostile = stub(b"STAT a\x1b[2J \x1b]0;title\x07\xc2\x9b2J\xff\r\nSTAT b 1\r\nEND\r\n").to_string();
    let shown = "a\\x1b[2J  \\x1b]0;title\\x07\\u{9b}2J\\xff\nb         1\n";
    assert_eq!(printed(&["stats", &hostile]), shown);
    let json = printed(&["stats", &hostile, "--json"]);
    assert!(json.trim_end().chars().all(|character| !character.is_control()), "{json:?}");
    let refusing = stub(b"ERROR \x1b[31m\r\n").to_string();
    refused(&run(&["stats", &refusing]), 1, "answers: ERROR \\x1b[31m");
    refused(&run(&["ping", &refusing]), 1, "answers: ERROR \\x1b[31m");
    let output = run(&["stats", "--\x1b[2J"]);
    refused(&output, 64, "unexpected argument");
    assert!(!output.stderr.contains(&0x1b), "{output:?}");
}

#[test]
fn a_wrong_command_line_is_one_line_and_help_tells_more() {
    refused(&run(&["ping", "--timeout", "never"]), 64, "expected seconds, 0.01 to 86400");
    refused(&run(&["ping", "a:b"]), 64, "expected HOST, HOST:PORT");
    refused(&run(&["ping", "--count", "0"]), 64, "'0'");
    refused(&run(&["ping", "--password", "secret"]), 64, "unexpected argument '--password'");
    refused(&run(&["ping", "--ca-cert", "f"]), 64, "--tls");
    refused(&run(&["top", "--once", "--size", "0x24"]), 64, "expected COLUMNSxLINES");
    refused(&run(&["top"]), 64, "expected a terminal, or --once or --json");
    refused(&run(&["flush"]), 64, "<SERVER>");
    for name in ["top", "stats", "ping", "get", "set", "delete", "dump", "flush", "bench"] {
        let help = printed(&[name, "--help"]);
        assert!(help.contains("--ca-cert") && help.contains("Exit codes"), "{help}");
        assert!(help.lines().all(|line| line.len() <= 130), "{help}");
    }
}

#[test]
fn logging_in_takes_the_password_from_anywhere_but_the_command_line() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (users, password) = (file("users", "alice:xyzzy plugh\nbob:b\n"), file("password", "b\n"));
    let server = Server::with(&["-Y", &users]);
    let address = server.addresses[0].to_string();
    refused(&run(&["ping", &address]), 1, "unauthenticated (--user NAME logs in)");
    assert!(printed(&["ping", &address, "--user", "bob", "--password-file", &password]).contains("answers"));
    let with =
        |secret: &str| larder(["ping", &address, "--user", "bob"]).env("LARDER_PASSWORD", secret).output();
    assert!(with("b").unwrap().status.success());
    let output = with("wrong").unwrap();
    refused(&output, 1, "does not let 'bob' in: CLIENT_ERROR authentication failure");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("wrong"));
    // Without a terminal there is nobody to be asked.
    let alone = Command::new("setsid")
        .args(["--wait", env!("CARGO_BIN_EXE_larder"), "ping", &address])
        .args(["--user", "bob"])
        .env_remove("LARDER_PASSWORD")
        .stdin(Stdio::null())
        .output();
    refused(&alone.unwrap(), 64, "expected a password in --password-file");
    refused(&run(&["ping", &address, "--user", "b b", "--password-file", &password]), 64, "without blanks");
    refused(&with("b\r\nflush_all").unwrap(), 64, "expected one line");
    let missing = run(&["ping", &address, "--user", "bob", "--password-file", "/nowhere"]);
    refused(&missing, 71, "--password-file \"/nowhere\": No such file");
}

#[test]
fn a_password_is_not_sent_to_who_wants_none() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "secret\n").unwrap();
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let output = run(&["ping", &address, "--user", "bob", "--password-file", path.to_str().unwrap()]);
    refused(&output, 1, "wants no login, so 'bob' was not sent");
    let mut client = server.client();
    assert_eq!((client.stat("cmd_set"), client.stat("curr_items")), (0, 0));
    let web = stub(b"HTTP/1.1 400 Bad Request\r\n\r\n").to_string();
    let output = run(&["ping", &web, "--user", "bob", "--password-file", path.to_str().unwrap()]);
    refused(&output, 1, "answers: HTTP/1.1 400 Bad Request");
}

#[test]
fn tls_knows_whom_it_speaks_to() {
    let server = TlsServer::listening("127.0.0.1", &["-o", "ssl_verify_mode=2,ssl_ca_cert=CA"]);
    let address = format!("localhost:{}", server.address().port());
    let authority = server.authority.path().display().to_string();
    let own = server.authority.issue("a-client");
    let (certificate, key) = (own.certificate.display().to_string(), own.key.display().to_string());
    let trusting = ["ping", &address, "--tls", "--ca-cert", &authority];
    let shown = [&trusting[..], &["--cert", &certificate, "--key", &key]].concat();
    assert!(printed(&shown).contains("answers, version"));
    let named = [&shown[..], &["--server-name", "elsewhere"]].concat();
    refused(&run(&named), 69, "not valid for name \"elsewhere\"");
    let output = run(&trusting);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let stranger = Authority::new();
    let stranger = stranger.path().display().to_string();
    refused(
        &run(&["ping", &address, "--tls", "--ca-cert", &stranger]),
        69,
        "--ca-cert FILE names whom to trust",
    );
    // It shows the certificate of the authority itself.
    let issuer = Authority::new();
    let own = issuer.self_issued();
    let hasty = TlsServer::with(issuer, own, "127.0.0.1", &[]);
    let (hasty_address, root) = (hasty.address().to_string(), hasty.authority.path().display().to_string());
    refused(&run(&["ping", &hasty_address, "--tls", "--ca-cert", &root]), 69, "must be one with CA:FALSE");
    refused(&run(&["ping", &address, "--tls", "--ca-cert", "/nowhere"]), 71, "--ca-cert \"/nowhere\"");
    refused(&run(&["ping", &address]), 69, "(does it want --tls?)");
}

/// Sends what a dump has made, and gives what is answered.
fn send(server: &Server, dump: &[u8]) -> String {
    server.client().ask_text(dump)
}

#[test]
fn a_dump_lists_keys_and_can_be_sent_to_a_server() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let mut client = server.client();
    assert_eq!(printed(&["dump", &address]), "");
    client.expect("set user:a 7 0 5\r\nv\x1b\r\n2\r\n", "STORED\r\n");
    client.expect("set user:%c3 0 1000 0\r\n\r\n", "STORED\r\n");
    // `a b`, in base64.
    client.expect("ms YSBi 3 b F9\r\nraw\r\n", "HD\r\n");
    let many: String = (0..300).map(|number| format!("set many:{number} 0 0 1\r\nx\r\n")).collect();
    client.expect(many, "STORED\r\n".repeat(300));
    let keys = || {
        let text = printed(&["dump", &address]);
        let mut keys: Vec<String> = text.lines().map(str::to_owned).collect();
        keys.sort();
        keys
    };
    let mut wanted: Vec<String> = (0..300).map(|number| format!("many%3A{number}")).collect();
    wanted.extend(["a%20b", "user%3A%25c3", "user%3Aa"].map(str::to_owned));
    wanted.sort();
    assert_eq!(keys(), wanted);
    assert_eq!(printed(&["dump", &address, "--prefix", "user:a"]), "user%3Aa\n");
    let dump = run(&["dump", &address, "--values"]).stdout;
    let told = object(&["dump", &address, "--values", "--json", "--prefix", "user:a"]);
    assert_eq!((&told["key"], &told["value"]), (&"user:a".into(), &"v\u{1b}\r\n2".into()));
    assert_eq!((&told["flags"], &told["exptime"]), (&7.into(), &Value::Null));
    // A key means the same as where it is asked for.
    assert_eq!(told["key"], object(&["get", &address, "user:a", "--json"])["key"]);
    assert_eq!(object(&["dump", &address, "--json", "--prefix", "user:a"])["key"], "user:a");
    // The bytes ff and 61, in base64.
    client.expect("mn\r\nms /2E= 1 b\r\nx\r\n", "MN\r\nHD\r\n");
    let raw = printed(&["dump", &address, "--json"]);
    let raw = raw.lines().find(|line| line.contains("key_base64")).expect("a key that is no text");
    let raw: Value = serde_json::from_str(raw).expect("JSON");
    assert_eq!((&raw["key_base64"], &raw["key"]), (&"/2E=".into(), &Value::Null));
    client.expect("md /2E= b\r\n", "HD\r\n");
    client.expect("flush_all\r\n", "OK\r\n");
    let answers = send(&server, &dump);
    assert_eq!(answers.lines().filter(|line| *line == "STORED").count(), 302, "{answers}");
    assert_eq!(answers.lines().filter(|line| *line == "HD").count(), 1, "{answers}");
    assert_eq!(keys(), wanted);
    client.expect("get user:a\r\n", "VALUE user:a 7 5\r\nv\x1b\r\n2\r\nEND\r\n");
    client.expect("mg YSBi b f v\r\n", "VA 3 f9\r\nraw\r\n");
    let left = client.ask_text("mg user:%c3 t\r\n");
    let left: u32 = left.trim_end().strip_prefix("HD t").expect("a time").parse().expect("a number");
    assert!((900..=1000).contains(&left), "{left}");
}

#[test]
fn a_dump_has_every_item() {
    let server = Server::start();
    let mut client = server.client();
    let many: String = (0..30_000).map(|number| format!("set {number} 0 0 1 noreply\r\nx\r\n")).collect();
    client.send(many);
    client.expect("mn\r\n", "MN\r\n");
    let dump = printed(&["dump", &server.addresses[0].to_string(), "--values"]);
    assert_eq!(dump.lines().filter(|line| line.starts_with("add ")).count(), 30_000);
    let some = printed(&["dump", &server.addresses[0].to_string(), "--values", "--prefix", "2999"]);
    assert_eq!(some.lines().filter(|line| line.starts_with("add 2999")).count(), 11);
}

#[test]
fn a_dump_has_the_longest_keys_with_whatever_a_command_carries() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let mut client = server.client();
    let keys = [format!("{}\x7f", "a".repeat(249)), "\ta\rb\x1b".to_owned(), "c\r".to_owned()];
    let held: String = keys.iter().map(|key| format!("VALUE {key} 7 1\r\nx\r\n")).collect();
    let asked = format!("get {}  \r\n", keys.join(" "));
    for key in &keys {
        client.expect(format!("set {key} 7 0 1\r\nx\r\n"), "STORED\r\n");
    }
    let told = printed(&["dump", &address, "--values", "--json"]);
    let mut told: Vec<String> = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["key"].as_str().unwrap().to_owned())
        .collect();
    told.sort();
    let mut wanted = keys.to_vec();
    wanted.sort();
    assert_eq!(told, wanted);
    let dump = printed(&["dump", &address, "--values"]);
    client.expect("flush_all\r\n", "OK\r\n");
    assert_eq!(send(&server, dump.as_bytes()), "STORED\r\n".repeat(3));
    client.expect(asked, held + "END\r\n");
}

#[test]
fn a_dump_leaves_it_to_the_application_to_renew_an_item() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let mut client = server.client();
    client.expect("ms page 3\r\nold\r\nmd page I T60\r\n", "HD\r\nHD\r\n");
    client.expect("mg new N300\r\n", "HD W\r\n");
    let dump = printed(&["dump", &address, "--values"]);
    assert!(dump.contains("\r\nold\r\n") || dump.starts_with("add page"), "{dump}");
    assert!(dump.lines().any(|line| line.starts_with("add new 0 ") && line.ends_with(" 0")), "{dump}");
    client.expect("mg page v\r\n", "VA 3 X W\r\nold\r\n");
}

/// A server that is not larder and lists 100 keys, one of which it does not give, but only 70 of them if values are asked
/// for meanwhile: memcached's crawler passes over what somebody asks for.
fn hasty_crawler() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, asked) = channel();
    let asked = Arc::new(Mutex::new(asked));
    let serve = move |stream: TcpStream,
                      asked: &Mutex<Receiver<()>>,
                      sender: &Sender<()>|
          -> io::Result<()> {
        let mut replies = stream.try_clone()?;
        for line in BufReader::new(stream).lines() {
            let keys =
                |numbers: Range<u32>| numbers.map(|key| format!("key={key} exp=-1\r\n")).collect::<String>();
            match line?.as_str() {
                "stats" => replies.write_all(b"STAT version 1.6.18\r\nEND\r\n")?,
                "lru_crawler metadump all" => {
                    replies.write_all(keys(0..70).as_bytes())?;
                    let asked = asked.lock().expect("no panic").recv_timeout(Duration::from_millis(500));
                    replies
                        .write_all(if asked.is_ok() { String::new() } else { keys(70..100) }.as_bytes())?;
                    replies.write_all(b"END\r\n")?;
                }
                "get 42" => replies.write_all(b"CLIENT_ERROR no\r\n")?,
                line => {
                    let _ = sender.send(());
                    let key = line.trim_start_matches("get ");
                    replies.write_all(format!("VALUE {key} 0 1\r\nx\r\nEND\r\n").as_bytes())?;
                }
            }
        }
        Ok(())
    };
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let (asked, sender) = (Arc::clone(&asked), sender.clone());
            thread::spawn(move || serve(stream, &asked, &sender));
        }
    });
    address
}

#[test]
fn a_list_is_whole_before_values_are_asked_for() {
    let dump = String::from_utf8(run(&["dump", &hasty_crawler().to_string(), "--values"]).stdout).unwrap();
    assert_eq!(dump.lines().filter(|line| line.starts_with("add ")).count(), 99);
}

#[test]
fn an_item_that_is_refused_is_left_out_of_a_dump_and_told_of() {
    for words in [&["--values"][..], &["--values", "--json"]] {
        let output = run(&[&["dump", &hasty_crawler().to_string()], words].concat());
        let (dump, notes) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let lines = if words.len() == 1 { 2 * 99 } else { 99 };
        assert_eq!((output.status.code(), dump.lines().count()), (Some(1), lines), "{notes}");
        let notes: Vec<&str> = notes.lines().collect();
        assert!(
            matches!(&notes[..], [note, end] if note.contains("'42' is left out") && end.ends_with(": 1")),
            "{notes:?}"
        );
    }
}

#[test]
fn a_server_that_lists_no_keys_says_why() {
    let server = Server::with(&["-X"]);
    refused(&run(&["dump", &server.addresses[0].to_string()]), 1, "metadump not allowed");
}

#[test]
fn a_flush_takes_everything_or_what_begins_so() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let mut client = server.client();
    client.expect("set a:1 0 0 1\r\nx\r\nset b:1 0 0 1\r\nx\r\n", "STORED\r\nSTORED\r\n");
    let output = run(&["flush", &address, "--prefix", "a:"]);
    match crate::server::Kind::under_test() {
        crate::server::Kind::Larder => assert_eq!(output.stdout, b"1 deleted\n"),
        _ => refused(&output, 1, "larder alone can flush a prefix"),
    }
    client.expect("get b:1\r\n", "VALUE b:1 0 1\r\nx\r\nEND\r\n");
    assert_eq!(printed(&["flush", &address, "--delay", "1000"]), "");
    client.expect("get b:1\r\n", "VALUE b:1 0 1\r\nx\r\nEND\r\n");
    assert_eq!(printed(&["flush", &address, "--yes"]), "");
    client.expect("get a:1 b:1\r\n", "END\r\n");
    refused(&run(&["flush", &address, "--delay", "1", "--prefix", "a"]), 64, "cannot be used with");
    let closed = Server::with(&["-F"]);
    refused(&run(&["flush", &closed.addresses[0].to_string()]), 1, "CLIENT_ERROR flush_all not allowed");
}
