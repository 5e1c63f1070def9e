//! Logins under attack: guesses, crowds, clients that leave, that are silent, or whose rights are withdrawn.
//!
//! Clocks stand still where it matters who is answered without waiting: then whoever would have to wait does so for ever.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::client::{Client, fill};
use crate::differences::applies;
use crate::server::{Launch, Server, wait_until};
use crate::users::{line, logged_in, token, with_users};

const DENIED: &str = "CLIENT_ERROR not permitted\r\n";
const FAILURE: &str = "CLIENT_ERROR authentication failure\r\n";
const TOO_MANY: &str = "SERVER_ERROR too many logins at once\r\n";

/// Logins of one network that are held back at a time.
const HELD_MAX: usize = 8;

/// A daemon with a user `foo` whose password is `bar`, that user's connection, and the file.
fn guarded(options: &[&str]) -> (Server, Client, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), "foo:bar\n").unwrap();
    let server = Launch::new()
        .variable("MEMCACHED_DEBUG_COMMANDS", "1")
        .options(["-Y", file.path().to_str().unwrap()])
        .options(options.iter().copied())
        .start();
    let owner = logged_in(&server, "foo bar");
    (server, owner, file)
}

/// Stops the clock and guesses so often that the network has to wait from then on.
fn guess(server: &Server, owner: &mut Client) {
    owner.expect("debugtime p\r\n", "OK\r\n");
    for number in 0..3 {
        server.client().expect_so_far(token(&format!("foo guess{number}")), FAILURE);
    }
}

/// A connection from an address of this machine.
fn connect_from(address: [u8; 4], server: &Server) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from((address, 0)).into())?;
    socket.connect(&server.addresses[0].into())?;
    Ok(socket.into())
}

/// A client with another address, if there can be one.
fn from_elsewhere(server: &Server) -> Option<Client> {
    match connect_from([127, 0, 0, 2], server) {
        Ok(stream) => Some(Client::from_tcp(stream)),
        Err(error) => {
            println!("left out: there is no second address here: {error}");
            None
        }
    }
}

#[test]
fn a_network_that_guesses_waits_before_it_is_judged_and_nobody_else_does() {
    applies!();
    let (server, mut owner, _file) = guarded(&["-t", "1"]);
    guess(&server, &mut owner);
    // Neither a wrong password nor the right one is judged before its time.
    let (mut wrong, mut right) = (server.client(), server.client());
    wrong.send(token("foo guess3") + &token("foo guess4"));
    right.send(token("foo bar") + "get k\r\n");
    wait_until("both have come", || owner.stat("auth_cmds") == 6);
    assert_eq!(owner.stat("auth_errors"), 3);
    if let Some(mut other) = from_elsewhere(&server) {
        other.expect(token("foo bar") + "get k\r\n", "STORED\r\nEND\r\n");
    }
    owner.expect("stats reset\r\ndebugtime 2\r\n", "RESET\r\nOK\r\n");
    wrong.expect_so_far("", FAILURE);
    right.expect("", "STORED\r\nEND\r\n");
    // What came behind the wrong one waits anew, and longer.
    wait_until("the next guess has come", || owner.stat("auth_cmds") == 1);
    assert_eq!(owner.stat("auth_errors"), 1);
    owner.expect("debugtime 3\r\n", "OK\r\n");
    wrong.expect_so_far("", FAILURE);
    wait_until("the first failure is told of", || server.stderr().contains("cannot log in"));
    let said = server.stderr();
    let told: Vec<_> = said.lines().filter(|line| line.contains("cannot log in")).collect();
    assert_eq!(told.len(), 1, "{said}");
    assert!(told[0].contains("tcp:127.0.0.1:") && told[0].contains("'foo'"), "{said}");
}

#[test]
fn whoever_repeats_a_wrong_password_has_guessed_nothing() {
    applies!();
    let (server, mut owner, _file) = guarded(&[]);
    owner.expect("debugtime p\r\n", "OK\r\n");
    for _ in 0..20 {
        server.client().expect_so_far(token("foo old"), FAILURE);
    }
    logged_in(&server, "foo bar").expect("get k\r\n", "END\r\n");
    assert_eq!(owner.stat("auth_errors"), 20);
}

#[test]
fn few_logins_of_a_network_wait_and_those_who_give_up_leave_their_places() {
    applies!();
    let (server, mut owner, _file) = guarded(&[]);
    guess(&server, &mut owner);
    for round in 0..3 {
        let mut waiting: Vec<Client> = (0..HELD_MAX).map(|_| server.client()).collect();
        for (number, client) in waiting.iter_mut().enumerate() {
            client.send(token(&format!("foo round{round}{number}")));
        }
        let sent = 4 + (round + 1) * HELD_MAX as u64 + round;
        wait_until("all have come", || owner.stat("auth_cmds") == sent);
        server.client().expect_so_far(token("foo bar"), TOO_MANY);
        drop(waiting);
        wait_until("their places are free", || owner.stat("curr_connections") == 1);
    }
    // None of them was judged.
    assert_eq!(owner.stat("auth_errors"), 3);
    let mut client = server.client();
    client.send(token("foo bar"));
    wait_until("it has come", || owner.stat("auth_cmds") == 4 + 3 * HELD_MAX as u64 + 4);
    owner.expect("debugtime 2\r\n", "OK\r\n");
    client.expect("", "STORED\r\n");
}

#[test]
fn those_who_send_logins_and_leave_hold_up_nobody_elsewhere() {
    applies!();
    let (server, _file) = with_users(&line(&["app"]), &[]);
    for number in 0..400 {
        server.client().send(token(&format!("nobody{number} x")));
    }
    // Each would take its time.
    let Some(mut other) = from_elsewhere(&server) else { return };
    other.expect(token("app secret") + "get k\r\n", "STORED\r\nEND\r\n");
}

#[test]
fn those_who_break_off_while_their_passwords_wait_take_nobodys_time() {
    applies!();
    const CLIENTS: u8 = 200;
    let (server, _file) = with_users(&line(&["app"]), &[]);
    let mut owner = logged_in(&server, "app secret");
    if from_elsewhere(&server).is_none() {
        return;
    }
    // Each from a network of its own, or they would have to wait for another reason.
    let crowd: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            let stream = connect_from([127, 0, 1, number], &server).unwrap();
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            let mut client = Client::from_tcp(stream);
            client.send(token("app wrong"));
            client
        })
        .collect();
    wait_until("all have come", || owner.stat("auth_cmds") >= u64::from(CLIENTS));
    drop(crowd);
    wait_until("their places are free", || owner.stat("curr_connections") == 1);
    let judged = owner.stat("auth_errors");
    assert!(judged < u64::from(CLIENTS), "all passwords were compared");
}

#[test]
fn whoever_does_not_log_in_in_time_is_closed() {
    applies!();
    let (server, mut owner, _file) = guarded(&["-o", "login_timeout=10", "-t", "1"]);
    owner.expect("debugtime p\r\n", "OK\r\n");
    let (mut silent, mut begun, mut late) = (server.client(), server.client(), server.client());
    begun.send("set x 0 0 7\r\nfoo");
    late.expect_so_far("get k\r\n", "CLIENT_ERROR unauthenticated\r\n");
    owner.expect("debugtime 9\r\n", "OK\r\n");
    late.expect(token("foo bar"), "STORED\r\n");
    owner.expect("debugtime 3\r\n", "OK\r\n");
    silent.expect_close("", "");
    begun.expect_close("", "");
    wait_until("both are counted", || owner.stat("idle_kicks") == 2);
    owner.expect("debugtime 1000\r\n", "OK\r\n");
    late.expect("get k\r\n", "END\r\n");
    assert!(owner.stats("stats settings").contains(&("login_timeout".to_owned(), "10".to_owned())));
    wait_until("the log tells", || server.stderr().contains("it has not logged in within 10 s"));
}

#[test]
fn little_is_kept_of_those_who_have_not_logged_in() {
    applies!();
    let (server, mut owner, _file) = guarded(&["-t", "1", "-o", "read_buf_mem_limit=1"]);
    guess(&server, &mut owner);
    // What comes behind a login that is held back stays where it is, and is answered in the end.
    let behind = "get nothing\r\n".repeat(5000);
    let mut waiting: Vec<Client> = (0..HELD_MAX).map(|_| server.client()).collect();
    for client in &mut waiting {
        client.send(token("foo bar") + &behind);
    }
    wait_until("all have come", || owner.stat("auth_cmds") == 4 + HELD_MAX as u64);
    let kept = owner.stat("read_buf_bytes");
    assert!(kept <= HELD_MAX as u64 * (33 << 10), "{kept}");
    owner.expect("debugtime 2\r\n", "OK\r\n");
    for client in &mut waiting {
        client.expect("", "STORED\r\n".to_owned() + &"END\r\n".repeat(5000));
    }
    drop(waiting);
    // Of all of them together there is a limit.
    let half = format!("set x 0 0 16384\r\n{}", fill(b'x', 16000));
    let mut crowd: Vec<Client> = (0..100).map(|_| server.client()).collect();
    crowd.iter_mut().for_each(|client| client.send(&half));
    wait_until("some are closed", || owner.stat("response_obj_oom") > 0);
    assert!(owner.stat("read_buf_bytes") <= 1 << 20);
}

#[test]
fn what_is_kept_of_logins_that_wait_counts() {
    applies!();
    let (server, mut owner, _file) = guarded(&["-t", "1", "-o", "read_buf_mem_limit=1"]);
    guess(&server, &mut owner);
    if from_elsewhere(&server).is_none() {
        return;
    }
    let long = format!("foo {}", fill(b'x', 16_000));
    let mut crowd = Vec::new();
    'networks: for host in 1..=20 {
        // Three times it errs, then it waits.
        for number in 0..3 {
            let mut client = Client::from_tcp(connect_from([127, 0, 1, host], &server).unwrap());
            client.expect_so_far(token(&format!("foo {number}")), FAILURE);
        }
        for _ in 0..HELD_MAX {
            let mut client = Client::from_tcp(connect_from([127, 0, 1, host], &server).unwrap());
            client.send(token(&long));
            crowd.push(client);
        }
        let come =
            |owner: &mut Client| owner.stat("auth_cmds") >= 4 + u64::from(host) * (3 + HELD_MAX as u64);
        wait_until("all have come", || come(&mut owner));
        if owner.stat("response_obj_oom") > 0 {
            break 'networks;
        }
    }
    assert!(owner.stat("response_obj_oom") > 0, "{} logins of 16 KB wait", crowd.len());
    assert!(crowd.len() > 48, "{} logins of 16 KB are too many", crowd.len());
}

#[test]
fn rights_that_are_withdrawn_end_with_the_next_command() {
    applies!();
    let hashed = line(&["app"]);
    let hash = hashed.split(' ').nth(1).unwrap();
    let (server, file) = with_users(&format!("app {hash} all\nops nopass all\n"), &[]);
    let read_again = |text: String, times: usize| {
        fs::write(file.path(), text).unwrap();
        server.signal("HUP");
        let said = || server.stderr().matches("is read again, users").count();
        wait_until("the file is read again", || said() == times);
    };
    let (mut app, mut ops) = (logged_in(&server, "app secret"), logged_in(&server, "ops x"));
    let mut watcher = logged_in(&server, "app secret");
    watcher.expect_so_far("watch mutations\r\n", "OK\r\n");
    let mut upload = logged_in(&server, "app secret");
    upload.send("set k 0 0 9\r\nvalue");
    read_again(format!("app {hash} read\nops nopass all\n"), 1);
    app.expect("get k\r\nset k 0 0 1\r\n1\r\n", format!("END\r\n{DENIED}"));
    read_again("ops nopass all\n".to_owned(), 2);
    app.expect_close("get k\r\n", "");
    upload.expect_close("rest\r\n", "");
    ops.expect("set told 0 0 1\r\n1\r\nget k\r\n", "STORED\r\nEND\r\n");
    watcher.expect_close("", "");
    // Another proof is another user.
    read_again("ops certificate all\n".to_owned(), 3);
    ops.expect_close("get k\r\n", "");
}
