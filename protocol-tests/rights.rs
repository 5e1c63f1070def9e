//! What the daemon may do to the system, and who may do how much to it: the filter of system calls, core dumps,
//! connections per address, and places where it cannot listen.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use crate::client::{Client, fill};
use crate::differences::{applies, start};
use crate::hostile_clients::admitted;
use crate::server::{Launch, Server, is_root, wait_until};

/// A daemon with the filter, where there can be one.
fn confined() -> Option<Server> {
    let status = fs::read_to_string("/proc/self/status").expect("of this process");
    if !status.lines().any(|line| line.starts_with("Seccomp:")) {
        println!("left out: there are no filters here");
        return None;
    }
    let launch = Launch::new().options(["-o", "drop_privileges"]);
    Some(launch.variable("MEMCACHED_DEBUG_COMMANDS", "1").start())
}

#[test]
fn with_the_filter_it_serves_and_can_do_nothing_else() {
    applies!();
    let Some(mut server) = confined() else { return };
    let mut client = server.client();
    client.expect("misbehave\r\n", "OK\r\n");
    let value = fill(b'x', 1_000_000);
    for number in 0..100 {
        client.expect(
            format!("set k{number} 0 0 1000000\r\n{value}\r\nget k{number}\r\n"),
            format!("STORED\r\nVALUE k{number} 0 1000000\r\n{value}\r\nEND\r\n"),
        );
    }
    client.expect("misbehave\r\n", "OK\r\n");
    for thread in fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs") {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).expect("a thread");
        assert!(status.contains("Seccomp:\t2\n") && status.contains("NoNewPrivs:\t1\n"), "{status}");
    }
    server.signal("TERM");
    assert_eq!(server.wait_for_end().code(), Some(0));
}

#[test]
fn each_thread_that_meets_bytes_of_others_has_the_narrow_filter() {
    applies!();
    let Some(_) = confined() else { return };
    let users = tempfile::NamedTempFile::new().unwrap();
    fs::write(users.path(), "anna nopass all\n").unwrap();
    let options = ["-o", "drop_privileges", "-t", "2", "--metrics-listen", "127.0.0.1:0"];
    let launch = Launch::new().options(options).options(["--users-file", users.path().to_str().unwrap()]);
    let server = launch.start();
    let filters = || -> Vec<(String, String)> {
        let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
        let lines = threads.filter_map(|thread| {
            let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
            let of = |name| status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
            // Older kernels do not count them.
            Some((of("Name:")?, of("Seccomp_filters:")?))
        });
        lines.collect()
    };
    if filters().is_empty() {
        println!("left out: this kernel does not count filters");
        return;
    }
    for name in ["worker 0", "worker 1", "listener", "lookout", "logins", "metrics"] {
        let wanted = (name.to_owned(), "2".to_owned());
        wait_until(name, || filters().contains(&wanted));
    }
}

#[test]
fn without_the_filter_there_is_none() {
    applies!();
    let mut server =
        Launch::new().options(["-o", "no_drop_privileges"]).variable("MEMCACHED_DEBUG_COMMANDS", "1").start();
    server.client().expect("misbehave\r\n", "ERROR\r\n");
    server.expect_served();
}

#[test]
fn core_is_not_dumped_unless_asked_for() {
    applies!();
    let limit = |server: &Server| {
        let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("it runs");
        limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit").to_owned()
    };
    let server = Server::start();
    assert_eq!(limit(&server).split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"]);
    if is_root() {
        let server = Server::with(&["-r"]);
        assert!(limit(&server).contains("unlimited"), "{}", limit(&server));
    }
}

#[test]
fn an_address_has_as_many_connections_as_it_may() {
    applies!();
    let server = start!(&["-o", "conns_per_address=5", "-t", "2"]);
    let mut first = server.client();
    let mut others: Vec<_> = std::iter::from_fn(|| admitted(&server)).take(5).collect();
    assert_eq!(others.len(), 4);
    assert_eq!(admitted(&server).map(drop), None);
    assert_eq!((first.stat("rejected_by_address"), first.stat("rejected_connections")), (2, 2));
    let lines = || server.stderr().lines().filter(|line| line.contains("conns_per_address")).count();
    wait_until("the log tells", || lines() == 1);
    // Whoever leaves makes room, as often as that happens.
    for _ in 0..20 {
        drop(others.pop());
        wait_until("there is room", || match admitted(&server) {
            Some(client) => {
                others.push(client);
                true
            }
            None => false,
        });
        assert!(admitted(&server).is_none());
    }
    assert_eq!(lines(), 1);
    assert_eq!(first.stat("curr_connections"), 5);
    for client in &mut others {
        client.expect("get k\r\n", "END\r\n");
    }
    let settings = first.stats("stats settings");
    assert!(settings.contains(&("conns_per_address".to_owned(), "5".to_owned())), "{settings:?}");
    // Another address has its own.
    let from_elsewhere = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into())?;
        socket.connect(&server.addresses[0].into()).map(|()| TcpStream::from(socket))
    };
    match from_elsewhere() {
        Ok(stream) => Client::from_tcp(stream).expect("get k\r\n", "END\r\n"),
        Err(error) => println!("left out: there is no second address here: {error}"),
    }
}

#[test]
fn clients_of_a_unix_socket_have_no_address() {
    applies!();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let options = ["-s", path.to_str().unwrap(), "-o", "conns_per_address=1"];
    let _server = Launch::new().options(options).start_unix(&path);
    let mut clients: Vec<_> = (0..5).map(|_| Client::unix(&path)).collect();
    for client in &mut clients {
        client.expect("get k\r\n", "END\r\n");
    }
    assert_eq!(clients[0].stat("rejected_by_address"), 0);
}

#[test]
fn a_unix_socket_takes_nobodys_place() {
    applies!();
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("file"), "kept").unwrap();
    let _listening = UnixListener::bind(path("taken")).unwrap();
    let rows = [
        ("folder", "a directory is there"),
        ("file", "a file that is no socket is there"),
        ("taken", "in use by a running server"),
        ("no/such/folder", "No such file or directory"),
    ];
    for (name, why) in rows {
        let ended = Launch::new().own_addresses().options(["-s", path(name).to_str().unwrap()]).run_to_end();
        assert_eq!(ended.code, Some(71), "{name}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{name}: {}", ended.stderr);
        let place = format!("cannot listen on unix:{}: {why}", path(name).display());
        assert!(ended.stderr.contains(&place), "{name}: {}", ended.stderr);
    }
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "kept");
}

#[test]
fn a_pid_file_takes_no_devices_place() {
    applies!();
    let ended = Launch::new().options(["-P", "/dev/null"]).run_to_end();
    assert_eq!(ended.code, Some(71), "{}", ended.stderr);
    assert!(ended.stderr.contains("\"/dev/null\" (-P): not a regular file"), "{}", ended.stderr);
}

#[test]
fn where_nobody_can_connect_it_starts_and_says_so() {
    applies!();
    let mut server = Launch::new().own_addresses().options(["-p", "0"]).spawn(TempDir::new().unwrap());
    wait_until("it says so", || server.stderr().contains("nobody can connect: expected a port"));
    wait_until("it has started", || server.stderr().contains("serves memcached's protocol on no address"));
    server.signal("TERM");
    assert_eq!(server.wait_for_end().code(), Some(0));
}
