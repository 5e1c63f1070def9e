//! The daemon as a service manager has it: told of readiness, reloads and the end, petted as long as every thread is
//! alive, given sockets that are open already, and reading its files again on SIGHUP.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};

use tempfile::{NamedTempFile, TempDir};

use crate::client::Client;
use crate::differences::applies;
use crate::server::{Guard, Launch, PATIENCE, Server, free_port, is_root, wait_until};

/// The manager's end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    fn new() -> Manager {
        let directory = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, directory }
    }

    fn launch(&self) -> Launch {
        Launch::new().variable("NOTIFY_SOCKET", self.directory.path().join("notify"))
    }

    /// The next message that is not `WATCHDOG=1`.
    #[track_caller]
    fn next(&self) -> String {
        loop {
            let message = self.any();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    #[track_caller]
    fn any(&self) -> String {
        let mut bytes = [0; 1000];
        let count = self.socket.recv(&mut bytes).expect("a message");
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }
}

#[test]
fn the_manager_is_told_of_readiness_reloads_and_the_end() {
    applies!();
    for option in ["-v", "-o=drop_privileges"] {
        let manager = Manager::new();
        let mut server = manager.launch().options([option]).start();
        assert_eq!(manager.next(), "READY=1\n");
        server.expect_served();
        server.signal("HUP");
        let reloading = manager.next();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a reload");
        assert!(time.trim_end().parse::<u64>().is_ok_and(|time| time > 0), "{reloading:?}");
        assert_eq!(manager.next(), "READY=1\n");
        server.signal("TERM");
        assert_eq!(manager.next(), "STOPPING=1\n");
        assert_eq!(server.wait_for_end().code(), Some(0));
    }
}

#[test]
fn the_watchdog_is_told_only_while_all_threads_turn() {
    applies!();
    let manager = Manager::new();
    let launch =
        manager.launch().variable("WATCHDOG_USEC", "1000000").variable("MEMCACHED_DEBUG_COMMANDS", "1");
    let server = launch.options(["-t", "2"]).start();
    assert_eq!(manager.next(), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(manager.any(), "WATCHDOG=1\n");
    }
    server.client().send("misbehave hang\r\n");
    wait_until("a silent worker is told of", || server.stderr().contains("gives no sign of life"));
    // What was sent before is still to be read; behind it nothing may come for longer than the watchdog waits.
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 100]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    manager.socket.set_read_timeout(Some(std::time::Duration::from_millis(1500))).unwrap();
    assert!(manager.socket.recv(&mut [0; 100]).is_err(), "petted while a worker hangs");
    let said = server.stderr();
    assert_eq!(said.matches("gives no sign of life").count(), 1, "{said}");
}

#[test]
fn a_manager_that_is_not_there_is_warned_of_and_stops_nobody() {
    applies!();
    let mut server = Launch::new().variable("NOTIFY_SOCKET", "/no/such/socket").start();
    server.expect_served();
    assert!(server.stderr().contains("cannot reach the service manager"), "{}", server.stderr());
}

/// Starts the daemon with `socket` as the one that the manager has opened, and standard error in the directory's file
/// `stderr`.
pub fn activated(socket: OwnedFd, options: &[&str], directory: &TempDir) -> (std::process::Child, Guard) {
    let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
    let user: &[&str] = if is_root() { &["-u", "root"] } else { &[] };
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(Launch::new().program()).args(user).args(options);
    command.stdin(Stdio::from(socket)).stdout(Stdio::null());
    command.stderr(fs::File::create(directory.path().join("stderr")).unwrap());
    let child = command.spawn().unwrap();
    let guard = Guard::watch(child.id());
    (child, guard)
}

#[test]
fn sockets_of_the_manager_take_the_place_of_its_own() {
    applies!();
    let directory = TempDir::new().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    // Who connects before the daemon runs is served by it.
    let mut early = Client::tcp(address);
    let port = free_port().to_string();
    let (mut child, guard) = activated(tcp.into(), &["-p", &port], &directory);
    early.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    Client::tcp(address).expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
    TcpListener::bind(format!("127.0.0.1:{port}")).expect("-p is not listened on");
    child.kill().unwrap();
    child.wait().unwrap();
    guard.release();

    let path = directory.path().join("socket");
    let (mut child, guard) = activated(UnixListener::bind(&path).unwrap().into(), &[], &directory);
    Client::unix(&path).expect("mn\r\n", "MN\r\n");
    child.kill().unwrap();
    child.wait().unwrap();
    guard.release();
}

#[test]
fn a_socket_that_does_not_fit_is_refused() {
    applies!();
    let directory = TempDir::new().unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut child, guard) = activated(udp.into(), &[], &directory);
    assert_eq!(child.wait().unwrap().code(), Some(71));
    guard.release();
    let said = fs::read_to_string(directory.path().join("stderr")).unwrap();
    assert!(said.contains("LISTEN_FDS") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_socket_of_the_manager_has_the_tag_of_its_address_and_must_have_one_that_is_named() {
    applies!();
    let directory = TempDir::new().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let tagged = format!("tag[mine]:{address},127.0.0.2:1");
    let (mut child, guard) = activated(tcp.try_clone().unwrap().into(), &["-l", &tagged], &directory);
    let mut client = Client::tcp(address);
    client.expect("get k\r\n", "END\r\n");
    let tags = client.stats("stats tags");
    assert!(tags.contains(&("mine:cmd_get".to_owned(), "1".to_owned())), "{tags:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    guard.release();
    for (listen, wanted) in [
        (
            "tag[mine]:127.0.0.2:1".to_owned(),
            format!("(LISTEN_FDS) is at {address}: expected --listen to name it"),
        ),
        (format!("tag[mine]:127.0.0.2:1,{address}"), "--listen '127.0.0.2:1': expected a socket".to_owned()),
    ] {
        let (mut child, guard) = activated(tcp.try_clone().unwrap().into(), &["-l", &listen], &directory);
        assert_eq!(child.wait().unwrap().code(), Some(64), "{listen}");
        guard.release();
        let said = fs::read_to_string(directory.path().join("stderr")).unwrap();
        assert!(said.contains(&wanted) && said.lines().count() == 1, "{listen}: {said}");
    }
}

#[test]
fn the_memory_limit_may_be_a_part_of_what_there_is() {
    applies!();
    let server = Server::with(&["-m", "10%"]);
    let limit = server.client().stat("limit_maxbytes");
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let total: u64 = total.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(
        limit >= 1 << 20 && limit <= total * 1024 / 10 && limit.is_multiple_of(1 << 20),
        "{limit} of {total} kB"
    );
    let ended = Launch::new().options(["-m", "100%"]).run_to_end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
}

/// A daemon with this config file, and the file.
fn with_config(text: &str) -> (Server, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    let user = if is_root() { "-u root\n" } else { "" };
    fs::write(file.path(), format!("{user}{text}")).unwrap();
    let server = Launch::new().options(["--config", file.path().to_str().unwrap()]).start();
    (server, file)
}

/// Replaces the text of the file behind its first lines, and waits for the log to tell of `told`.
#[track_caller]
fn reload(server: &Server, file: &NamedTempFile, text: &str, told: &str) {
    let user = if is_root() { "-u root\n" } else { "" };
    fs::write(file.path(), format!("{user}{text}")).unwrap();
    server.signal("HUP");
    wait_until(told, || server.stderr().contains(told));
}

#[test]
fn sighup_brings_what_may_change_and_tells_what_may_not() {
    applies!();
    let (server, file) = with_config("-m 64\n-c 100\n-M\n");
    let mut client = server.client();
    reload(
        &server,
        &file,
        "-m 128\n-c 2\n-vv\n-o idle_timeout=3600,slab_automove=0,hot_lru_pct=30\n",
        "-o idle_timeout is 3600 now, it was 0",
    );
    assert_eq!(client.stat("limit_maxbytes"), 128 << 20);
    assert_eq!(client.stat("max_connections"), 2);
    let settings = client.stats("stats settings");
    for (name, value) in [
        ("maxbytes", "134217728"),
        ("maxconns", "2"),
        ("verbosity", "2"),
        ("idle_timeout", "3600"),
        ("slab_automove", "0"),
        ("hot_lru_pct", "30"),
        ("evictions", "off"),
    ] {
        assert!(settings.contains(&(name.to_owned(), value.to_owned())), "{name} {value}: {settings:?}");
    }
    for line in [
        "SIGHUP: --memory-limit is 128 now, it was 64",
        "SIGHUP: --conn-limit is 2 now, it was 100",
        "SIGHUP: --verbose is 2 now, it was 0",
        "WARN  SIGHUP: --disable-evictions changes from on to off with the next start, not before",
    ] {
        assert_eq!(server.stderr().matches(line).count(), 1, "{line}: {}", server.stderr());
    }
    // The new limit is in force.
    let second = server.client();
    let mut third = server.client();
    assert_eq!(third.read_to_close(), b"ERROR Too many open connections\r\n");
    drop(second);
    // What a command has changed meanwhile stays, unless its line changes.
    client.expect("cache_memlimit 100\r\n", "OK\r\n");
    reload(&server, &file, "-m 128\n-c 7\n-vv\n", "--conn-limit is 7 now, it was 2");
    assert_eq!(client.stat("limit_maxbytes"), 100 << 20);
    assert_eq!(client.stat("max_connections"), 7);
}

#[test]
fn what_could_not_be_changed_is_not_taken_for_done() {
    applies!();
    let (server, file) = with_config("-m 64\n-t 1\n");
    // More than the partitions that there are can name.
    let line = "SIGHUP: --memory-limit stays 64, it cannot be 16777216";
    reload(&server, &file, "-m 16777216\n-t 1\n", line);
    server.signal("HUP");
    wait_until("it says so again", || server.stderr().matches(line).count() == 2);
    reload(&server, &file, "-m 128\n-t 1\n", "SIGHUP: --memory-limit is 128 now, it was 64");
    assert_eq!(server.client().stat("limit_maxbytes"), 128 << 20);
}

#[test]
fn more_connections_come_with_descriptors_for_them_also_under_the_filter() {
    applies!();
    for option in ["", "-o drop_privileges\n"] {
        let file = NamedTempFile::new().unwrap();
        let user = if is_root() { "-u root\n" } else { "" };
        fs::write(file.path(), format!("{user}{option}-c 50\n-t 1\n")).unwrap();
        // A shell starts it with few descriptors; it may have more.
        let script = "ulimit -Sn 200; exec \"$0\" \"$@\"";
        let server =
            Launch::new().started_by(script).options(["--config", file.path().to_str().unwrap()]).start();
        let limit = || -> u64 {
            let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
            let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
            line.split_whitespace().nth(3).unwrap().parse().unwrap()
        };
        assert!(limit() < 400, "{option}: {}", limit());
        reload(&server, &file, &format!("{option}-c 400\n-t 1\n"), "--conn-limit is 400 now, it was 50");
        wait_until("it may have as many descriptors", || limit() > 400);
        assert!(!server.stderr().contains("WARN  SIGHUP"), "{option}: {}", server.stderr());
    }
}

#[test]
fn a_config_file_with_an_error_changes_nothing() {
    applies!();
    let (mut server, file) = with_config("-m 64\n");
    reload(&server, &file, "-m 128\n-c x\n", "the options stay as they were");
    assert_eq!(server.client().stat("limit_maxbytes"), 64 << 20);
    let said = server.stderr();
    let line = said.lines().find(|line| line.contains("the options stay")).unwrap();
    assert!(line.contains(" ERROR SIGHUP: ") && line.contains("--conn-limit 'x'"), "{line}");
    fs::remove_file(file.path()).unwrap();
    server.signal("HUP");
    wait_until("it says so", || server.stderr().contains("cannot read the config file"));
    server.expect_served();
}

#[test]
fn sighup_reads_the_users_again_as_well() {
    applies!();
    let users = NamedTempFile::new().unwrap();
    fs::write(users.path(), "anna nopass all\n").unwrap();
    let server = Server::with(&["--users-file", users.path().to_str().unwrap()]);
    let login = |name: &str| format!("set x 0 0 {}\r\n{name} secret\r\n", name.len() + 7);
    server.client().expect_so_far(login("berta"), "CLIENT_ERROR authentication failure\r\n");
    fs::write(users.path(), "berta nopass all\n").unwrap();
    server.signal("HUP");
    wait_until("the users are read", || server.stderr().contains("INFO  SIGHUP: "));
    server.client().expect_so_far(login("berta"), "STORED\r\n");
}
