//! What the system does to a daemon: stops it, interrupts it, kills it, refuses it room on disk. Afterwards
//! values, counters and memory are what they were.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use socket2::SockRef;
use tempfile::TempDir;

use crate::client::{Client, fill};
use crate::differences::{applies, start};
use crate::server::{Guard, Kind, Launch, is_root, read_ports, wait_until};

/// What must be as it was once a fault is over.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    connections: u64,
    items: u64,
    bytes: u64,
    buffered: u64,
}

fn left(client: &mut Client) -> Left {
    Left {
        connections: client.stat("curr_connections"),
        items: client.stat("curr_items"),
        bytes: client.stat("bytes"),
        // memcached's are those that it keeps for reuse.
        buffered: match Kind::under_test() {
            Kind::Larder => client.stat("read_buf_bytes") + client.stat("response_obj_bytes"),
            Kind::Memcached(_) => 0,
        },
    }
}

/// Sets and reads so many items, each with a value of its own.
#[track_caller]
fn exchange(client: &mut Client, name: &str, count: usize) {
    for number in 0..count {
        let value = format!("{name}{number}");
        let bytes = value.len();
        client.expect(
            format!("set {value} 0 0 {bytes}\r\n{value}\r\nget {value}\r\n"),
            format!("STORED\r\nVALUE {value} 0 {bytes}\r\n{value}\r\nEND\r\n"),
        );
    }
}

#[test]
fn a_daemon_that_is_stopped_goes_on_where_it_was() {
    let server = start!(&["-t", "2"]);
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    exchange(&mut clients[0], "before", 10);
    // All of them have been accepted.
    clients.iter_mut().for_each(|client| client.expect("", ""));
    let before = left(&mut clients[0]);
    for round in 0..20 {
        server.signal("STOP");
        for client in &mut clients {
            client.send(format!("set k{round} 0 0 4\r\nhalf\r\nget k{round}\r\n"));
        }
        server.signal("CONT");
        for client in &mut clients {
            client.expect("", format!("STORED\r\nVALUE k{round} 0 4\r\nhalf\r\nEND\r\n"));
        }
        clients[0].expect(format!("delete k{round}\r\n"), "DELETED\r\n");
    }
    wait_until("all is as it was", || left(&mut clients[0]) == before);
}

#[test]
fn signals_in_the_midst_of_requests_change_nothing() {
    let server = start!(&["-t", "2"]);
    let mut client = server.client();
    let pid = server.pid().to_string();
    let script = "for i in $(seq 300); do kill -HUP $0; kill -STOP $0; kill -CONT $0; done";
    let before = left(&mut client);
    let mut signals = Command::new("sh").args(["-c", script, &pid]).spawn().expect("a shell");
    let value = fill(b'x', 300_000);
    let mut rounds = 0;
    while signals.try_wait().expect("a child of ours").is_none() || rounds < 20 {
        client.expect(
            format!("set large 0 0 300000\r\n{value}\r\nget large\r\n"),
            format!("STORED\r\nVALUE large 0 300000\r\n{value}\r\nEND\r\n"),
        );
        exchange(&mut client, "k", 10);
        rounds += 1;
    }
    assert_eq!(client.stat("curr_items"), 11);
    client.expect("delete large\r\n", "DELETED\r\n");
    (0..10).for_each(|number| client.expect(format!("delete k{number}\r\n"), "DELETED\r\n"));
    wait_until("all is as it was", || left(&mut client) == before);
}

#[test]
fn who_resets_in_any_state_leaves_nothing() {
    applies!();
    let mut server = start!(&["-t", "2"]);
    let mut client = server.client();
    let value = fill(b'x', 1_000_000);
    client.expect(format!("set large 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    let before = left(&mut client);
    let half = fill(b'h', 500_000);
    let states = [
        String::new(),
        "get lar".to_owned(),
        "get large large la".to_owned(),
        format!("get {}", "k ".repeat(3000)),
        "mg large v\r\nmg large v\r\nm".to_owned(),
        format!("set k 0 0 1000000\r\n{half}"),
        format!("set k 0 0 3000000\r\n{half}"),
        format!("append large 0 0 10000\r\n{}", &half[..5000]),
        format!("ms k 1000000\r\n{half}"),
        "get large\r\n".repeat(50),
        "watch fetchers\r\n".to_owned(),
        "lru_crawler metadump all\r\n".to_owned(),
        "stats\r\nstats conns\r\nstats settings\r\n".repeat(20),
        "x".repeat(1500),
    ];
    for round in 0..10 {
        for state in &states {
            let stream = TcpStream::connect(server.addresses[0]).expect("the backlog takes it");
            // A close is a reset then.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
            let mut broken = Client::from_tcp(stream);
            // The daemon may not take all of it.
            broken.send_until_blocked(state.as_bytes());
            if round % 2 == 0 {
                client.expect("touch large 0\r\n", "TOUCHED\r\n");
            }
        }
    }
    wait_until("all are closed and nothing of them is left", || left(&mut client) == before);
    client.expect("get large\r\n", format!("VALUE large 0 1000000\r\n{value}\r\nEND\r\n"));
    server.expect_served();
}

#[test]
fn after_a_kill_it_starts_again_where_it_was() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (socket, pid_file) = (path("socket"), path("pid"));
    for _ in 0..3 {
        let options = ["-s", socket.to_str().unwrap(), "-P", pid_file.to_str().unwrap()];
        let mut server = Launch::new().options(options).start_unix(&socket);
        exchange(&mut Client::unix(&socket), "k", 3);
        let pid = format!("{}\n", server.pid());
        wait_until("the pid file names it", || fs::read_to_string(&pid_file).is_ok_and(|text| text == pid));
        server.signal("KILL");
        server.wait_for_end();
        assert!(socket.exists() && pid_file.exists());
    }
}

#[test]
fn a_log_that_takes_nothing_stops_nobody() {
    applies!();
    let mut server = Launch::new().options(["-vv", "--log-file", "/dev/full"]).start();
    let mut client = server.client();
    exchange(&mut client, "k", 10);
    for _ in 0..50 {
        server.client().expect_close("get k\r\nquit\r\n", "END\r\n");
    }
    assert_eq!(client.stat("curr_items"), 10);
    server.expect_served();
    server.signal("TERM");
    assert_eq!(server.wait_for_end().code(), Some(0));
}

/// What `script` printed that ran with a full disk mounted at `$0`, the daemon's program as `$1`; `None` if that
/// cannot be had here.
fn with_full_disk(directory: &Path, script: &str) -> Option<(Option<i32>, String)> {
    let mount = "mount -t tmpfs -o size=4k none \"$0\" 2>/dev/null || exit 99; \
                 head -c 100000 /dev/zero >\"$0/filler\" 2>/dev/null; ";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &format!("{mount}{script}")])
        .arg(directory)
        .arg(Launch::new().program())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let is_there = output.status.code() != Some(99) && !output.stderr.starts_with(b"unshare");
    is_there.then(|| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn a_pid_file_for_which_the_disk_has_no_room_is_told_of() {
    applies!();
    let directory = TempDir::new().unwrap();
    let script = "exec \"$1\" -u root -l 127.0.0.1 -p -1 -P \"$0/pid\"";
    let Some((code, said)) = with_full_disk(directory.path(), script).filter(|_| is_root()) else {
        println!("left out: no file system can be mounted here");
        return;
    };
    assert_eq!(code, Some(71), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("cannot write the pid file") && last.contains("No space left"), "{said}");
}

/// The library that shifts the wall clock of one process, by a file that says by how much.
fn clock_shifter() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|file| file.exists())
}

/// Absolute exptimes are read by the wall clock of the moment; what is stored keeps the time that it has left.
#[test]
fn steps_of_the_wall_clock_by_hours_neither_end_an_item_nor_keep_one() {
    applies!();
    // A static program loads no library.
    let is_dynamic = |program: &Path| {
        fs::read(program).is_ok_and(|bytes| memchr::memmem::find(&bytes, b"/ld-linux").is_some())
    };
    let library = clock_shifter().filter(|_| is_dynamic(Launch::new().program()));
    let Some(library) = library else {
        println!("left out: libfaketime is not installed, or the daemon is a static program");
        return;
    };
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("shift");
    // Renamed, for the daemon may look at any time.
    let shift = |seconds: i64| {
        let new = file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).and_then(|()| fs::rename(&new, &file)).unwrap();
    };
    shift(0);
    let launch = Launch::new()
        .variable("LD_PRELOAD", library)
        .variable("FAKETIME_TIMESTAMP_FILE", &file)
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .variable("DONT_FAKE_MONOTONIC", "1");
    let mut server = launch.start();
    let mut client = server.client();
    let begun = client.stat("time");
    client.expect(
        format!(
            "set relative 0 1000 1\r\n1\r\nset absolute 0 {} 1\r\n1\r\nset never 0 0 1\r\n1\r\n",
            begun + 5000
        ),
        "STORED\r\nSTORED\r\nSTORED\r\n",
    );
    let left_of = |client: &mut Client, key: &str| -> i64 {
        let reply = String::from_utf8(client.ask(format!("mg {key} t\r\n"))).unwrap();
        reply.trim_end().strip_prefix("HD t").unwrap_or_else(|| panic!("{key}: {reply}")).parse().unwrap()
    };
    for hours in [5, -5, 0] {
        shift(hours * 3600);
        let now = begun.strict_add_signed(hours * 3600);
        wait_until("the step is noticed", || client.stat("time").abs_diff(now) < 600);
        let now = client.stat("time");
        client.expect(
            format!("set soon 0 {} 1\r\n1\r\nset gone 0 {} 1\r\n1\r\nget gone\r\n", now + 700, now - 700),
            "STORED\r\nSTORED\r\nEND\r\n",
        );
        for (key, wanted) in [("relative", 1000), ("absolute", 5000), ("soon", 700)] {
            let left = left_of(&mut client, key);
            assert!(left <= wanted && left > wanted - 100, "{hours} h, {key}: {left} s");
        }
        assert_eq!(left_of(&mut client, "never"), -1);
        assert!(client.stat("uptime") < 600);
    }
    assert_eq!(client.stat("curr_items"), 4);
    server.expect_served();
}

/// A daemon that may be told to panic.
fn fragile() -> Launch {
    Launch::new().variable("MEMCACHED_DEBUG_COMMANDS", "1")
}

#[test]
fn a_panic_ends_the_daemon_at_once_with_a_line_in_the_log() {
    applies!();
    let mut server = fragile().start();
    let mut other = server.client();
    other.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    server.client().expect_close("misbehave panic\r\n", "");
    let status = server.wait_for_end();
    assert!(!status.success() && status.code().is_none(), "{status}");
    assert_eq!(other.read_to_close(), b"");
    wait_until("the line is there", || server.stderr().contains("the daemon ends"));
    let said = server.stderr();
    let line = said.lines().find(|line| line.contains("the daemon ends")).unwrap_or_default();
    assert!(line.contains("ERROR worker ") && line.contains("panicked at src/server/process.rs:"), "{said}");
    assert!(line.contains(": a client asked for it; the daemon ends"), "{said}");
}

#[test]
fn a_panic_in_the_background_is_in_the_log_file() {
    applies!();
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (log, pid_file) = (path("log"), path("pid"));
    let options = ["-d", "-P", pid_file.to_str().unwrap(), "--log-file", log.to_str().unwrap()];
    let status = fragile().options(options).command(directory.path()).status().unwrap();
    assert!(status.success());
    wait_until("the daemon is there", || {
        path("ports").exists() && fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n'))
    });
    let pid = fs::read_to_string(&pid_file).unwrap().trim().parse().expect("a pid");
    let guard = Guard::watch(pid);
    Client::tcp(read_ports(&path("ports"))[0]).expect_close("misbehave panic\r\n", "");
    wait_until("the line is there", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("a client asked for it; the daemon ends"))
    });
    wait_until("it has ended", || {
        // A zombie has: nobody may be there to reap it.
        !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    });
    guard.release();
}

/// A daemon that may use so many MiB of address space.
fn cramped(mebibytes: usize, options: &[&str]) -> Launch {
    let launch = Launch::new().started_by("ulimit -v \"$LIMIT_KIB\"; exec \"$0\" \"$@\"");
    launch.variable("LIMIT_KIB", (mebibytes << 10).to_string()).options(options.iter().copied())
}

/// The limit of `-m` is far more than there is: the daemon makes do with less, and nothing is wrong.
#[test]
fn without_address_space_the_cache_is_smaller_and_serves_on() {
    applies!();
    // The limit may be there at the start, or come while it runs.
    for (mebibytes, comes_later) in [(450, false), (600, false), (600, true)] {
        let options = ["-m", "2048", "-t", "2"];
        let mut server = if comes_later {
            let server = start!(&options);
            let limit = format!("--as={}", mebibytes << 20);
            let status = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &limit]).status();
            assert!(status.expect("prlimit of util-linux").success());
            server
        } else {
            cramped(mebibytes, &options).start()
        };
        let mut client = server.client();
        let before = left(&mut client);
        let value = fill(b'v', 50_000);
        let all = (mebibytes << 20) / value.len();
        for number in 0..all {
            client.send(format!("set k{number} 0 0 50000 noreply\r\n{value}\r\n"));
        }
        client.expect("", "");
        assert!(client.stat("malloc_fails") > 0 && client.stat("evictions") > 0);
        // Others come, with values that are half there.
        let mut others: Vec<_> = (0..200).map(|_| server.client()).collect();
        for (number, other) in others.iter_mut().enumerate() {
            other.send(format!("set o{number} 0 0 50000\r\n{}", &value[..40_000]));
        }
        let end = format!("{}\r\n", &value[40_000..]);
        others.iter_mut().for_each(|other| other.expect(&end, "STORED\r\n"));
        // And with large ones, of which not all may be there.
        let mut large: Vec<_> = (0..300).map(|_| server.client()).collect();
        let half = fill(b'l', 300_000);
        for one in &mut large {
            one.send_until_blocked(format!("set l 0 0 500000\r\n{half}").as_bytes());
        }
        server.expect_served();
        drop(large);
        wait_until("they are gone", || client.stat("curr_connections") == 201);
        let last = format!("k{}", all - 1);
        client.expect(format!("set {last} 0 0 50000\r\n{value}\r\n"), "STORED\r\n");
        client.expect(format!("get {last}\r\n"), format!("VALUE {last} 0 50000\r\n{value}\r\nEND\r\n"));
        drop(others);
        client.expect("flush_all\r\n", "OK\r\n");
        wait_until("all is as it was", || left(&mut client) == before);
        server.expect_served();
        wait_until("the log tells of it", || server.stderr().contains("the system has no more memory"));
    }
}
