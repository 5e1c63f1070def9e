//! Logins as memcached's `-Y` has them: a `set` whose value is `user password`, before anything else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

use crate::client::{Client, fill};
use crate::differences::applies;
use crate::server::{Kind, Launch, Server, free_port, wait_until};
use crate::users::listed_users;

const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated\r\n";
const FAILURE: &str = "CLIENT_ERROR authentication failure\r\n";
const BAD_FORMAT: &str = "CLIENT_ERROR bad authentication token format\r\n";

/// A file of users that only its owner may read.
fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

fn guarded(file: &NamedTempFile) -> Server {
    Server::with(&["-Y", path(file)])
}

fn token(text: &str) -> String {
    format!("set x 0 0 {}\r\n{text}\r\n", text.len())
}

#[track_caller]
fn log_in(client: &mut Client, text: &str) {
    client.expect_so_far(token(text), "STORED\r\n");
    client.expect("", "");
}

#[track_caller]
fn logged_in(server: &Server, text: &str) -> Client {
    let mut client = server.client();
    log_in(&mut client, text);
    client
}

#[test]
fn nothing_is_done_before_a_login() {
    let file = file("foo:bar\n");
    let server = Server::with(&["-Y", path(&file), "-A"]);
    let mut owner = logged_in(&server, "foo bar");
    owner.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    let mut client = server.client();
    for line in [
        "get k",
        "gets k",
        "gat 1 k",
        "incr k 1",
        "delete k",
        "touch k 1",
        "add k 0 0 1",
        "mg k v",
        "md k",
        "ma kk t",
        "me kk v",
        "flush_all",
        "version",
        "verbosity 2",
        "stats",
        "stats reset",
        "watch",
        "quit",
        "cache_memlimit 8",
        "lru_crawler metadump all",
        "shutdown",
        "bogus",
        "set k 0 0",
        "set k 0 0 x",
        "    ",
        "get /x HTTP/1.1",
    ] {
        client.expect_so_far(format!("{line}\r\n"), UNAUTHENTICATED);
    }
    log_in(&mut client, "foo bar");
    client.expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
    assert_eq!((client.stat("cmd_get"), client.stat("cmd_set"), client.stat("auth_cmds")), (1, 1, 2));
}

#[test]
fn the_line_is_a_set_of_which_only_the_length_matters() {
    let file = file("foo:bar\n");
    let server = guarded(&file);
    let long_key = format!("set {} 0 0 7\r\n", fill(b'k', 300));
    for line in [
        "set x 0 0 7\r\n",
        "set x 0 0 7\n",
        "set  x   0 0 7  \r\n",
        "set x flags exptime 7\r\n",
        "set x 0 0 7 noreply\r\n",
        "set x 0 0 007 junk and more\r\n",
        &long_key,
    ] {
        let mut client = server.client();
        client.expect_so_far(format!("{line}foo bar\r\n"), "STORED\r\n");
        // It was no item.
        client.expect("get x\r\n", "END\r\n");
    }
}

#[test]
fn anything_that_begins_with_set_will_do() {
    applies!();
    let file = file("foo:bar\n");
    let server = guarded(&file);
    let mut client = server.client();
    client.expect_so_far("setx x 0 0 7\r\nfoo bar\r\n", "STORED\r\n");
}

#[test]
fn user_and_password_are_two_words() {
    let file = file("foo:bar\nbob:p:q\nalice:with blank\nlast:nolf");
    let server = guarded(&file);
    for text in ["foo bar", " foo  bar ", "foo bar and more", "bob p:q", "last nolf"] {
        log_in(&mut server.client(), text);
    }
    let mut client = server.client();
    for text in ["", "foo", "foo ", "foo\tbar"] {
        client.expect_so_far(token(text), BAD_FORMAT);
    }
    client.expect_so_far("set x 0 0 7\r\nfoo barxx", "CLIENT_ERROR bad command line termination\r\n");
    client.expect_so_far(token("alice with blank"), FAILURE);
    client.expect_so_far(token("bob p"), FAILURE);
    log_in(&mut client, "foo bar");
    // Formats that are wrong are no attempts.
    assert_eq!((client.stat("auth_cmds"), client.stat("auth_errors")), (8, 2));
    client.expect("stats reset\r\n", "RESET\r\n");
    assert_eq!((client.stat("auth_cmds"), client.stat("auth_errors")), (0, 0));
}

#[test]
fn after_a_failure_the_client_may_try_again() {
    let file = file("foo:bar\n");
    let server = guarded(&file);
    let mut client = server.client();
    client.expect_so_far(token("foo baz"), FAILURE);
    client.expect_so_far("get k\r\n", UNAUTHENTICATED);
    client.expect_so_far(token("fo bar"), FAILURE);
    log_in(&mut client, "foo bar");
}

#[test]
fn a_second_login_is_a_set_like_any_other() {
    let file = file("foo:bar\n");
    let server = guarded(&file);
    let mut client = logged_in(&server, "foo bar");
    client.expect(token("foo baz") + "get x\r\n", "STORED\r\nVALUE x 0 7\r\nfoo baz\r\nEND\r\n");
}

#[test]
fn a_login_may_come_in_pieces_and_with_commands_behind_it() {
    let file = file("foo:bar\n");
    let server = guarded(&file);
    let mut client = server.client();
    for byte in token("foo bar").bytes() {
        client.send([byte]);
    }
    client.expect_so_far("", "STORED\r\n");
    client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    let mut other = server.client();
    other.expect(token("foo bar") + "get k\r\nget x\r\n", "STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\nEND\r\n");
}

#[test]
fn each_refused_line_of_a_batch_is_answered() {
    applies!();
    let file = file("foo:bar\n");
    let server = guarded(&file);
    let mut client = server.client();
    let batch = "get a\r\nget b\r\n".to_owned() + &token("foo baz") + &token("foo bar") + "get a\r\n";
    client.expect(batch, format!("{UNAUTHENTICATED}{UNAUTHENTICATED}{FAILURE}STORED\r\nEND\r\n"));
}

#[test]
fn tokens_have_a_limit() {
    applies!();
    let file = file("foo:bar\n");
    let server = guarded(&file);
    let mut client = server.client();
    for bytes in ["16385", "4294967295"] {
        client.expect_so_far(format!("set x 0 0 {bytes}\r\n"), "CLIENT_ERROR auth token too long\r\n");
    }
    client.expect_so_far("set x 0 0 4294967296\r\n", UNAUTHENTICATED);
    log_in(&mut client, &format!("foo bar{}", fill(b' ', 16384 - 7)));
}

#[test]
fn lines_that_cannot_be_a_login_end_the_connection() {
    let file = file("foo:bar\n");
    let server = guarded(&file);
    server.client().expect_close(fill(b'x', 2049), "");
    server.client().expect_close(format!("get {}", fill(b'x', 3000)), "");
    server.client().expect_so_far(fill(b'x', 3000) + "\r\n", UNAUTHENTICATED);
}

#[test]
fn lines_that_are_too_short_end_the_connection() {
    applies!();
    let file = file("foo:bar\n");
    let server = guarded(&file);
    for line in ["\n", "\r\n", "mn\r\n", "abc\r\n"] {
        server.client().expect_close(line, "");
    }
    server.client().expect_so_far("abcd\r\n", UNAUTHENTICATED);
}

#[test]
fn whoever_watches_sees_no_login() {
    let file = file("foo:bar\n");
    let server = guarded(&file);
    let mut watcher = logged_in(&server, "foo bar");
    watcher.expect_so_far("watch fetchers mutations\r\n", "OK\r\n");
    let mut client = server.client();
    client.expect_so_far(token("foo baz"), FAILURE);
    log_in(&mut client, "foo bar");
    client.expect("set seen 0 0 1\r\n1\r\n", "STORED\r\n");
    let mut told = String::new();
    while !told.contains("type=item_store key=seen") {
        told += &String::from_utf8(watcher.read_some()).unwrap();
    }
    assert!(told.lines().all(|line| line.contains("key=seen")), "{told}");
}

#[test]
fn connections_are_listed_with_names_and_never_with_what_proved_them() {
    applies!();
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), b"foo:verysecret\no\x1b\xff\r:verysecret\n").unwrap();
    let server = guarded(&file);
    let mut client = logged_in(&server, "foo verysecret");
    let mut odd = server.client();
    odd.expect_so_far(b"set x 0 0 15\r\no\x1b\xff\r verysecret\r\n", "STORED\r\n");
    let _stranger = server.client();
    assert_eq!(listed_users(&mut client), ["foo", "o%1B%FF%0D"]);
    assert!(!client.ask_text("stats conns\r\n").contains("secret"));
}

#[test]
fn passwords_are_shown_nowhere() {
    let file = file("foo:verysecret\n");
    let server = Server::with(&["-Y", path(&file), "-vvv"]);
    let mut client = server.client();
    client.expect_so_far(token("foo alsosecret"), FAILURE);
    log_in(&mut client, "foo verysecret");
    let shown = client.ask_text("stats\r\nstats settings\r\nstats conns\r\n");
    assert!(!shown.contains("secret"), "{shown}");
    let command_line = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&command_line).contains("secret"));
    assert!(!server.stderr().contains("secret"), "{}", server.stderr());
}

#[test]
fn the_settings_name_the_file() {
    let file = file("foo:bar\n");
    let server = guarded(&file);
    let mut client = logged_in(&server, "foo bar");
    let settings = client.stats("stats settings");
    for (name, value) in [("auth_enabled_ascii", path(&file)), ("binding_protocol", "ascii")] {
        let found = settings.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        assert_eq!(found, Some(value), "{name}");
    }
}

#[test]
fn the_file_is_read_again_on_sighup() {
    let file = file("foo:old\n");
    let server = guarded(&file);
    let mut client = logged_in(&server, "foo old");
    fs::write(file.path(), "foo:new\n").unwrap();
    server.signal("HUP");
    let is_new = || {
        let mut client = server.client();
        client.send(token("foo new"));
        client.read_some() == b"STORED\r\n"
    };
    wait_until("the new password is known", is_new);
    server.client().expect_so_far(token("foo old"), FAILURE);
    // Who is in stays in.
    client.expect("get k\r\n", "END\r\n");

    fs::write(file.path(), "foo:newer\nnocolon\n").unwrap();
    server.signal("HUP");
    if Kind::under_test() == Kind::Larder {
        wait_until("the bad file is told of", || server.stderr().contains("stay as they were"));
        let said = server.stderr();
        let told: Vec<_> = said.lines().filter(|line| line.contains("stay as they were")).collect();
        assert_eq!(told.len(), 1, "{said}");
        assert!(told[0].contains("line 2: expected user:password"), "{said}");
    }
    log_in(&mut server.client(), "foo new");
}

#[test]
fn a_file_that_cannot_be_read_ends_with_71_and_a_wrong_line_with_64() {
    applies!();
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("none");
    let ended = Launch::new().options(["-Y".as_ref(), missing.as_os_str()]).run_to_end();
    assert_eq!(ended.code, Some(71), "{}", ended.stderr);
    for text in ["nocolon\n", "\n", "a:b\n\n", "a:b\r\n"] {
        let ended = Launch::new().options(["-Y", path(&file(text))]).run_to_end();
        assert_eq!(ended.code, Some(64), "{text:?}: {}", ended.stderr);
        assert!(!ended.stderr.is_empty(), "{text:?}");
    }
}

#[test]
fn neither_datagrams_nor_the_binary_protocol_go_with_it() {
    let file = file("a:b\n");
    let port = free_port().to_string();
    for options in [["-U", &port], ["-B", "auto"], ["-B", "binary"]] {
        let ended = Launch::new().options(["-Y", path(&file)]).options(options).run_to_end();
        assert_eq!(ended.code, Some(64), "{options:?}: {}", ended.stderr);
    }
    let server = Server::with(&["-Y", path(&file), "-B", "ascii", "-U", "0"]);
    log_in(&mut server.client(), "a b");
}

#[test]
fn a_unix_socket_asks_for_a_login_too() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("socket");
    let file = file("a:b\n");
    let name: &Path = &socket;
    let options = ["-s".as_ref(), name.as_os_str(), "-Y".as_ref(), file.path().as_os_str()];
    let _server = Launch::new().options(options).start_unix(&socket);
    let mut client = Client::unix(&socket);
    client.expect_so_far("get k\r\n", UNAUTHENTICATED);
    log_in(&mut client, "a b");
}

#[test]
fn a_file_that_everybody_may_read_is_warned_of() {
    applies!();
    let file = file("a:b\n");
    let warns = || {
        let server = guarded(&file);
        wait_until("the daemon says that it serves", || server.stderr().contains("serves memcached's"));
        server.stderr().contains("can be read by everybody on this machine")
    };
    assert!(!warns());
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(warns());
}
