//! Users of `--users-file`: hashed passwords, rights, prefixes of keys, and delays after failures.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use tempfile::NamedTempFile;

use crate::client::{Client, fill};
use crate::conns::conns;
use crate::differences::applies;
use crate::server::{Launch, Server, wait_until};

const DENIED: &str = "CLIENT_ERROR not permitted\r\n";
const FAILURE: &str = "CLIENT_ERROR authentication failure\r\n";

/// Runs `larder passwd` with these words and this password on standard input.
fn passwd(words: &[&str], password: &str) -> Output {
    let mut child = Command::new(Launch::new().program())
        .arg("passwd")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
    child.wait_with_output().unwrap()
}

/// A line of the file for a user whose password is `secret`.
pub fn line(words: &[&str]) -> String {
    let output = passwd(words, "secret\n");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

pub fn with_users(text: &str, options: &[&str]) -> (Server, NamedTempFile) {
    let file = file(text);
    let own = ["--users-file", file.path().to_str().unwrap()];
    let server = Launch::new()
        .variable("MEMCACHED_DEBUG_COMMANDS", "1")
        .options(own)
        .options(options.iter().copied())
        .start();
    (server, file)
}

pub fn token(text: &str) -> String {
    format!("set x 0 0 {}\r\n{text}\r\n", text.len())
}

#[track_caller]
pub fn logged_in(server: &Server, text: &str) -> Client {
    let mut client = server.client();
    client.expect_so_far(token(text), "STORED\r\n");
    client.expect("", "");
    client
}

#[test]
fn a_user_logs_in_with_the_password_that_was_hashed() {
    applies!();
    let (server, _file) = with_users(&line(&["app"]), &[]);
    let mut client = server.client();
    client.expect_so_far("get k\r\n", "CLIENT_ERROR unauthenticated\r\n");
    for text in ["app wrong", "nobody secret"] {
        client.expect_so_far(token(text), FAILURE);
    }
    // What comes behind waits until it is known who sent it.
    let behind = "set k 0 0 1\r\n1\r\nget k\r\n";
    client.expect(token("app secret") + behind, "STORED\r\nSTORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n");
    assert_eq!((client.stat("auth_cmds"), client.stat("auth_errors")), (3, 2));
    wait_until("the first failure is told of", || server.stderr().contains("cannot log in as 'app'"));
    // The second time the password is known.
    logged_in(&server, "app secret").expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
}

/// The users that `stats conns` tells, in the order of descriptors.
pub fn listed_users(client: &mut Client) -> Vec<String> {
    conns(client).into_iter().filter_map(|(_, mut conn)| conn.remove("user")).collect()
}

#[test]
fn connections_are_listed_with_their_users() {
    applies!();
    // A name may hold what a terminal obeys, and what looks as if it were encoded.
    let users = format!("owner nopass all\no\u{1b}[2J%41\u{e9} nopass none\n{}", line(&["app"]));
    let (server, _file) = with_users(&users, &[]);
    let mut owner = logged_in(&server, "owner x");
    let mut stranger = server.client();
    stranger.expect_so_far(token("app wrong"), FAILURE);
    let _odd = logged_in(&server, "o\u{1b}[2J%41\u{e9} x");
    let _app = logged_in(&server, "app secret");
    assert_eq!(listed_users(&mut owner), ["owner", "o%1B%5B2J%2541%C3%A9", "app"]);
    stranger.expect_so_far(token("app secret"), "STORED\r\n");
    stranger.expect("get k\r\n", "END\r\n");
    assert_eq!(listed_users(&mut owner), ["owner", "app", "o%1B%5B2J%2541%C3%A9", "app"]);
}

#[test]
fn a_crowd_logs_in() {
    applies!();
    let (server, _file) = with_users(&line(&["app"]), &[]);
    let mut clients: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(token("app secret") + "get k\r\n");
    }
    for client in &mut clients {
        client.expect("", "STORED\r\nEND\r\n");
    }
}

#[test]
fn a_client_that_leaves_before_the_verdict_does_no_harm() {
    applies!();
    let (server, _file) = with_users(&line(&["app"]), &["-t", "1"]);
    for _ in 0..20 {
        server.client().send(token("app secret"));
    }
    logged_in(&server, "app secret").expect("get k\r\n", "END\r\n");
}

#[test]
fn whoever_may_only_read_changes_nothing() {
    applies!();
    let (server, _file) = with_users("reader nopass read\nowner nopass all\n", &[]);
    let mut owner = logged_in(&server, "owner x");
    owner.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    let mut reader = logged_in(&server, "reader x");
    reader.expect("get k\r\nmg k v\r\n", "VALUE k 0 1\r\n1\r\nEND\r\nVA 1\r\n1\r\n");
    let refused = [
        "set k 0 0 1\r\n2\r\n",
        "add n 0 0 1\r\n2\r\n",
        "cas k 0 0 1 1\r\n2\r\n",
        "append k 0 0 1\r\n2\r\n",
        "incr k 1\r\n",
        "delete k\r\n",
        "touch k 1\r\n",
        "gat 1 k\r\n",
        "ms k 1\r\n2\r\n",
        "ms k 1 bq\r\n2\r\n",
        "md k\r\n",
        "ma k\r\n",
        "mg k T1\r\n",
        "mg n N5\r\n",
        "mg k R99\r\n",
        "flush_all\r\n",
    ];
    for command in refused {
        // Base64 that is none is told of as such, whoever sends it.
        let want = if command.contains("bq") { "CLIENT_ERROR error decoding key\r\n" } else { DENIED };
        reader.expect(command, want);
    }
    owner.expect("get k n\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
    assert_eq!(owner.stat("auth_denied"), refused.len() as u64 - 1);
}

#[test]
fn whoever_may_only_read_is_not_asked_to_renew() {
    applies!();
    let (server, _file) = with_users("reader nopass read\nowner nopass all\n", &[]);
    let (mut owner, mut reader) = (logged_in(&server, "owner x"), logged_in(&server, "reader x"));
    owner.expect("set k 0 0 1\r\n1\r\nmd k I\r\n", "STORED\r\nHD\r\n");
    // That it is outdated is told; the token stays for somebody who can bring a new value.
    reader.expect("mg k v\r\nmg k\r\nmg k s v\r\n", "VA 1 X\r\n1\r\nHD X\r\nVA 1 s1 X\r\n1\r\n");
    owner.expect("mg k v\r\nmg k v\r\n", "VA 1 X W\r\n1\r\nVA 1 Z X\r\n1\r\n");
    reader.expect("mg k v\r\n", "VA 1 Z X\r\n1\r\n");
}

#[test]
fn whoever_may_only_write_sees_nothing() {
    applies!();
    let (server, _file) = with_users("writer nopass write\n", &[]);
    let mut writer = logged_in(&server, "writer x");
    writer.expect("set k 0 0 1\r\n1\r\nms k 1\r\n2\r\ntouch k 0\r\n", "STORED\r\nHD\r\nTOUCHED\r\n");
    for command in
        ["get k\r\n", "gets k\r\n", "gat 1 k\r\n", "mg k v\r\n", "me k\r\n", "incr k 1\r\n", "ma k v\r\n"]
    {
        writer.expect(command, DENIED);
    }
    writer.expect("delete k\r\n", "DELETED\r\n");
}

#[test]
fn only_an_admin_rules_the_daemon() {
    applies!();
    let users = "app nopass read,write\nadmin nopass admin\n";
    let (mut server, _file) = with_users(users, &["-A"]);
    let mut app = logged_in(&server, "app x");
    for command in [
        "flush_all",
        "flush_prefix a",
        "verbosity 1",
        "cache_memlimit 64",
        "lru mode flat",
        "slabs automove 0",
        "lru_crawler metadump all",
        "lru_crawler crawl all",
        "lru_crawler disable",
        "watch",
        "shutdown",
        "refresh_certs",
        "debugtime p",
        "stats reset",
        "stats r",
        "stats detail on",
        "stats cachedump 1 0",
        "stats conns",
        "stats c",
        "stats sizes",
        "stats bogus",
    ] {
        app.expect(format!("{command}\r\n"), DENIED);
    }
    app.expect("flush_all noreply\r\nverbosity 1 noreply\r\n", "");
    app.expect("version\r\nbogus\r\n", "VERSION 1.6.45\r\nERROR\r\n");
    for what in ["stats", "stats settings", "stats s", "stats items", "stats slabs", "stats tags"] {
        app.stats(what);
    }
    let mut admin = logged_in(&server, "admin x");
    admin.expect("get k\r\nset k 0 0 1\r\n1\r\n", format!("{DENIED}{DENIED}"));
    admin.expect("flush_all\r\nverbosity 0\r\nstats reset\r\n", "OK\r\nOK\r\nRESET\r\n");
    assert_eq!(admin.stat("auth_denied"), 0);
    admin.send("shutdown\r\n");
    assert_eq!(server.wait_for_end().code(), Some(0));
}

/// Commands of every kind, and the rights that they need.
const NEEDS: &[(&str, &[&str])] = &[
    ("get top\r\n", &["read"]),
    ("gets top\r\n", &["read"]),
    ("gat 0 top\r\n", &["read", "write"]),
    ("gats 0 top\r\n", &["read", "write"]),
    ("set top 0 0 1\r\n2\r\n", &["write"]),
    ("add new 0 0 1\r\n2\r\n", &["write"]),
    ("replace top 0 0 1\r\n2\r\n", &["write"]),
    ("append top 0 0 1\r\n2\r\n", &["write"]),
    ("prepend top 0 0 1\r\n2\r\n", &["write"]),
    ("cas top 0 0 1 1\r\n2\r\n", &["write"]),
    ("incr top 1\r\n", &["read", "write"]),
    ("decr top 1\r\n", &["read", "write"]),
    ("touch top 1\r\n", &["write"]),
    ("delete top\r\n", &["write"]),
    ("mg top v\r\n", &["read"]),
    ("mg dG9w b v\r\n", &["read"]),
    ("mg top T1 v\r\n", &["read", "write"]),
    ("mg new N30 v\r\n", &["read", "write"]),
    ("me top\r\n", &["read"]),
    ("ms top 1\r\n2\r\n", &["write"]),
    ("md top\r\n", &["write"]),
    ("ma top\r\n", &["read", "write"]),
    ("flush_all\r\n", &["admin"]),
    ("flush_prefix t\r\n", &["admin"]),
    ("verbosity 0\r\n", &["admin"]),
    ("cache_memlimit 64\r\n", &["admin"]),
    ("lru mode flat\r\n", &["admin"]),
    ("slabs automove 0\r\n", &["admin"]),
    ("lru_crawler crawl all\r\n", &["admin"]),
    ("lru_crawler metadump all\r\n", &["admin"]),
    ("lru_crawler mgdump all\r\n", &["admin"]),
    ("refresh_certs\r\n", &["admin"]),
    ("debugtime p\r\n", &["admin"]),
    ("stats reset\r\n", &["admin"]),
    ("stats conns\r\n", &["admin"]),
    ("stats cachedump 1 0\r\n", &["admin"]),
    ("stats sizes\r\n", &["admin"]),
    ("stats detail on\r\n", &["admin"]),
    ("stats hotkeys\r\n", &["admin"]),
    ("shutdown\r\n", &["admin"]),
    ("watch\r\n", &["admin"]),
];

#[test]
fn rights_hold_for_what_comes_with_the_login() {
    applies!();
    let hashed = line(&["app"]);
    let hash = hashed.split(' ').nth(1).unwrap();
    let kinds = ["none", "read", "write", "read,write", "admin", "read,write prefix=app:"];
    let mut users = "owner nopass all\n".to_owned();
    for (at, rights) in kinds.iter().enumerate() {
        users += &format!("open{at} nopass {rights}\nhashed{at} {hash} {rights}\n");
    }
    // Turns are long enough for all of it, so that none begins after the login.
    let (server, _file) = with_users(&users, &["-A", "-R", "1000"]);
    let mut owner = logged_in(&server, "owner x");
    owner.expect("set top 0 0 1\r\n1\r\n", "STORED\r\n");
    for (at, rights) in kinds.iter().enumerate() {
        let (names, is_of_prefix) =
            rights.split_once(' ').map_or((*rights, false), |(names, _)| (names, true));
        let has = |needs: &[&str]| needs.iter().all(|need| names.split(',').any(|name| name == *need));
        let refused = NEEDS.iter().filter(|(_, needs)| is_of_prefix || !has(needs));
        let refused: Vec<&str> = refused.map(|(command, _)| *command).collect();
        let long = format!("get{} top\r\n", " app:none".repeat(300));
        let may_read_all = has(&["read"]) && !is_of_prefix;
        let long = if may_read_all { "" } else { &long };
        let wanted = refused.len() + usize::from(!may_read_all);
        // The hash of the second is compared, in the third the password is known.
        for login in [format!("open{at} x"), format!("hashed{at} secret"), format!("hashed{at} secret")] {
            let sent = token(&login) + &refused.concat() + long;
            println!("{login} {rights}");
            server.client().expect(sent, format!("STORED\r\n{}", DENIED.repeat(wanted)));
        }
    }
    owner.expect("get top new\r\n", "VALUE top 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn a_user_with_a_prefix_keeps_to_it() {
    applies!();
    let (server, _file) =
        with_users("app nopass read,write prefix=app: prefix=b%20c\nowner nopass all\n", &[]);
    let mut owner = logged_in(&server, "owner x");
    owner.expect("set other 0 0 1\r\n1\r\nset app: 0 0 1\r\n1\r\n", "STORED\r\nSTORED\r\n");
    let mut app = logged_in(&server, "app x");
    app.expect(
        "set app:k 0 0 1\r\n1\r\nget app:k app:\r\n",
        "STORED\r\nVALUE app:k 0 1\r\n1\r\nVALUE app: 0 1\r\n1\r\nEND\r\n",
    );
    for command in [
        "get other\r\n",
        "get app\r\n",
        "get app:k other app:k\r\n",
        "gats 0 app:k other\r\n",
        "set other 0 0 1\r\n2\r\n",
        "delete other\r\n",
        "mg other v\r\n",
        "me other\r\n",
        "ms other 1\r\n2\r\n",
        "md other\r\n",
        "ma other\r\n",
    ] {
        app.expect(command, DENIED);
    }
    // In base64 the key itself counts: `app:k`, then `other`, then `b c`.
    app.expect("mg YXBwOms= b v\r\nmg b3RoZXI= b v\r\n", format!("VA 1\r\n1\r\n{DENIED}"));
    app.expect("mg YiBj b v\r\nme b3RoZXI= b\r\n", format!("EN\r\n{DENIED}"));
    // Beside the line there is nothing of the answers to it, and what is behind it is answered.
    app.expect(
        format!("get app:k{} other\r\nget app:k\r\n", " app:none".repeat(50)),
        format!("{DENIED}VALUE app:k 0 1\r\n1\r\nEND\r\n"),
    );
    owner.expect("get other\r\n", "VALUE other 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn the_value_of_a_refused_command_is_skipped() {
    applies!();
    let (server, _file) = with_users("reader nopass read\n", &[]);
    let mut client = logged_in(&server, "reader x");
    let value = fill(b'v', 300_000);
    for command in ["set k 0 0 300000", "ms k 300000"] {
        client.expect(format!("{command}\r\n{value}\r\nget k\r\n"), format!("{DENIED}END\r\n"));
    }
    client.expect("set k 0 0 7 noreply\r\nget k\r\n\r\nget k\r\n", "END\r\n");
    client.expect_so_far("set k 0 0 4\r\n", DENIED);
    client.expect("get \r\nget k\r\n", "END\r\n");
}

#[test]
fn a_file_that_is_wrong_is_told_with_its_line() {
    applies!();
    let file = file("# users\napp plaintext read\n");
    let ended = Launch::new().options(["--users-file".as_ref(), file.path().as_os_str()]).run_to_end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains(", line 2: expected a hash"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("plaintext"), "{}", ended.stderr);
    let path = file.path().to_str().unwrap();
    for options in [["-Y", path], ["-U", "1"]] {
        let ended = Launch::new().options(["--users-file", path]).options(options).run_to_end();
        assert_eq!(ended.code, Some(64), "{options:?}: {}", ended.stderr);
    }
}

#[test]
fn passwd_says_what_is_wrong() {
    applies!();
    for (words, password) in
        [(&[] as &[&str], "secret"), (&["app"], ""), (&["app"], "a b"), (&["app", "rite"], "secret")]
    {
        let output = passwd(words, password);
        assert_eq!(output.status.code(), Some(64), "{words:?}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(output.stdout.is_empty() && !said.contains("secret"), "{said}");
    }
}

#[test]
fn passwd_takes_no_option_for_a_name() {
    applies!();
    for option in ["-h", "--help"] {
        let output = passwd(&[option], "secret");
        assert!(
            output.status.success() && output.stdout.starts_with(b"Usage: larder passwd NAME"),
            "{output:?}"
        );
    }
    for option in ["-x", "--bogus", "-"] {
        let output = passwd(&[option], "secret");
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn a_daemon_that_is_open_to_all_says_so() {
    applies!();
    let file = file("app nopass read\n");
    let guarded = ["--users-file", file.path().to_str().unwrap()];
    for (address, options, warns) in
        [("0.0.0.0", &[] as &[&str], true), ("127.0.0.1", &[], false), ("0.0.0.0", &guarded, false)]
    {
        let launch = Launch::new().own_addresses().options(["-p", "-1", "-l", address]);
        let server = launch.options(options.iter().copied()).start();
        wait_until("the daemon says that it serves", || server.stderr().contains("serves memcached's"));
        let said = server.stderr();
        let told = said.lines().filter(|line| line.contains("anybody who can reach 0.0.0.0:")).count();
        assert_eq!(told, usize::from(warns), "{said}");
    }
}
