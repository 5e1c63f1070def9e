//! The daemon as a process: signals, exit codes, messages, pid file, going into the background, config file.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use crate::client::Client;
use crate::differences::{applies, start};
use crate::server::{Guard, Launch, Server, free_port, is_root, read_ports, signal, wait_until};

#[test]
fn sigterm_and_sigint_end_with_0() {
    for name in ["TERM", "INT"] {
        let mut server = Server::start();
        let mut client = server.client();
        client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
        server.signal(name);
        assert_eq!(server.wait_for_end().code(), Some(0), "SIG{name}");
        assert_eq!(client.read_to_close(), b"");
    }
}

#[test]
fn sigterm_ends_it_while_clients_are_busy() {
    let mut server = Server::start();
    let value = "x".repeat(1_000_000);
    let mut lazy = server.client();
    lazy.expect(format!("set k 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    lazy.send("get k\r\n".repeat(100));
    let mut half = server.client();
    half.send("set h 0 0 100\r\nhalf");
    server.signal("TERM");
    assert_eq!(server.wait_for_end().code(), Some(0));
}

#[test]
fn no_warning_is_printed_when_all_is_well() {
    let mut server = Server::start();
    server.client().expect("bogus\r\n", "ERROR\r\n");
    server.signal("TERM");
    assert_eq!(server.wait_for_end().code(), Some(0));
    // memcached names the signal, larder says that it starts and stops.
    let said = server.stderr();
    let said: Vec<_> =
        said.lines().filter(|line| !line.contains("Signal handled") && !line.contains(" INFO ")).collect();
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn peers_that_close_while_replies_are_pending_do_no_harm() {
    let mut server = start!();
    let value = "x".repeat(500_000);
    server.client().expect(format!("set k 0 0 500000\r\n{value}\r\n"), "STORED\r\n");
    for _ in 0..30 {
        let mut client = server.client();
        client.send("get k\r\n".repeat(20));
        client.read(100);
        drop(client);
    }
    server.signal("PIPE");
    server.expect_served();
}

#[test]
fn an_unknown_option_is_refused() {
    for option in ["--bogus", "--bogus=1", "-o=bogus"] {
        let ended = Launch::new().options([option]).run_to_end();
        assert!(matches!(ended.code, Some(1 | 64)), "{option}: {:?}", ended.code);
        assert!(ended.stderr.contains("bogus"), "{option}: {}", ended.stderr);
    }
}

#[test]
fn a_bad_option_ends_with_64_and_one_line_that_names_it() {
    applies!();
    let rows: [(&[&str], &str); 10] = [
        (&["--bogus"], "bogus"),
        (&["-m", "x"], "memory-limit"),
        (&["-t", "0"], "threads"),
        (&["-t", "x"], "threads"),
        (&["-f", "0.5"], "slab-growth-factor"),
        (&["-I", "10"], "max-item-size"),
        (&["-I", "2g"], "max-item-size"),
        (&["-p", "99999"], "port"),
        (&["-c", "0"], "conn-limit"),
        (&["-o", "bogus"], "bogus"),
    ];
    for (options, name) in rows {
        let ended = Launch::new().options(options.iter().copied()).run_to_end();
        assert_eq!(ended.code, Some(64), "{options:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{options:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(name), "{options:?}: {}", ended.stderr);
    }
}

#[test]
fn bad_values_are_refused() {
    let rows: [&[&str]; 7] = [
        &["-t", "0"],
        &["-f", "0.5"],
        &["-I", "10"],
        &["-I", "2g"],
        &["-p", "99999"],
        &["-c", "0"],
        &["-o", "bogus"],
    ];
    for options in rows {
        let ended = Launch::new().options(options.iter().copied()).run_to_end();
        assert!(matches!(ended.code, Some(1 | 64)), "{options:?}: {:?} {}", ended.code, ended.stderr);
        assert!(!ended.stderr.is_empty(), "{options:?}");
    }
}

#[test]
fn root_must_name_an_existing_user() {
    if !is_root() {
        println!("left out: only root is asked for a user");
        return;
    }
    let ended = Launch::new().options(["-u", "nobody-of-this-name"]).run_to_end();
    assert_eq!(ended.code, Some(67), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("nobody-of-this-name"), "{}", ended.stderr);
}

#[test]
fn version_and_help_name_memcached_when_started_under_that_name() {
    let server = Server::start();
    let version = server.client().ask_text("version\r\n");
    let version = version.trim_end().strip_prefix("VERSION ").expect("a version").to_string();
    let directory = TempDir::new().unwrap();
    let link = directory.path().join("memcached");
    symlink(fs::canonicalize(Launch::new().program()).unwrap(), &link).unwrap();
    for option in ["-V", "--version", "-h", "--help"] {
        let ended = Launch::of(link.clone()).options([option]).run_to_end();
        assert_eq!(ended.code, Some(0), "{option}: {}", ended.stderr);
        let first = ended.stdout.lines().next().unwrap_or_default();
        assert_eq!(first, format!("memcached {version}"), "{option}");
    }
    let help = Launch::of(link).options(["-h"]).run_to_end().stdout;
    for option in [
        "--port",
        "--memory-limit",
        "--listen",
        "--conn-limit",
        "--threads",
        "--user",
        "--max-item-size",
        "--daemon",
        "--pidfile",
    ] {
        assert!(help.contains(option), "help does not name {option}");
    }
}

#[test]
fn the_pid_file_holds_the_pid() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pid");
    let server = Launch::new().options(["-P", path.to_str().unwrap()]).start();
    wait_until("the pid file is written", || {
        fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", server.pid()));
}

/// The pid in a pid file, once it is there.
#[track_caller]
fn pid_in(path: &Path) -> u32 {
    wait_until("the pid file is written", || fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
    fs::read_to_string(path).unwrap().trim().parse().expect("a pid")
}

fn runs(pid: u32) -> bool {
    // A zombie counts as ended: nobody may be there to reap it.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn as_a_daemon_it_goes_on_in_the_background_until_its_pid_is_signalled() {
    let directory = TempDir::new().unwrap();
    let (pid_file, ports) = (directory.path().join("pid"), directory.path().join("ports"));
    let launch = Launch::new().options(["-d", "-P", pid_file.to_str().unwrap()]);
    let status = launch.command(directory.path()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let pid = pid_in(&pid_file);
    let guard = Guard::watch(pid);
    wait_until("the port file is written", || ports.exists());
    let mut client = Client::tcp(read_ports(&ports)[0]);
    client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    assert_eq!(client.stat("pid"), u64::from(pid));
    signal(pid, "TERM");
    wait_until("the daemon ends", || !runs(pid));
    guard.release();
    wait_until("the pid file is removed", || !pid_file.exists());
}

#[test]
fn as_a_daemon_it_tells_what_is_wrong_before_it_leaves() {
    applies!();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let on_taken_port = ["-d", "-p", &port];
    let mut rows: Vec<(&[&str], i32, &str)> =
        vec![(&on_taken_port, 71, &port), (&["-d", "-P", "/no/such/folder/pid"], 71, "/no/such/folder/pid")];
    if is_root() {
        rows.push((&["-d", "-u", "nobody-of-this-name"], 67, "nobody-of-this-name"));
    }
    for (options, code, named) in rows {
        let ended = Launch::new().options(options.iter().copied()).run_to_end();
        assert_eq!(ended.code, Some(code), "{options:?}: {}", ended.stderr);
        assert!(
            ended.stderr.lines().count() == 1 && ended.stderr.contains(named),
            "{options:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn as_a_daemon_it_warns_before_it_leaves() {
    applies!();
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let rows: [&[&str]; 3] = [&[], &["--log-file", log.to_str().unwrap()], &["-v"]];
    for (number, options) in rows.into_iter().enumerate() {
        let [pid_file, said] = ["pid", "said"].map(|name| folder.path().join(format!("{name}{number}")));
        let launch = Launch::new().own_addresses().options(["-d", "-l", "0.0.0.0", "-p", "-1", "-P"]);
        let launch = launch.options([&pid_file]).options(options.iter().copied());
        let status = launch.command(folder.path()).stderr(File::create(&said).unwrap()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{options:?}");
        let pid = pid_in(&pid_file);
        let guard = Guard::watch(pid);
        let text = || fs::read_to_string(&said).unwrap();
        wait_until("there is a warning", || text().contains("anybody who can reach 0.0.0.0:"));
        signal(pid, "TERM");
        wait_until("the daemon ends", || !runs(pid));
        guard.release();
        assert_eq!(text().matches("anybody who can reach").count(), 1, "{options:?}: {}", text());
    }
    assert!(fs::read_to_string(&log).unwrap().contains("WARN  anybody who can reach 0.0.0.0:"));
}

#[test]
fn files_that_the_user_cannot_read_again_are_told_of() {
    applies!();
    if !is_root() {
        println!("left out: only root becomes another user");
        return;
    }
    for (mode, is_told) in [(0o600, true), (0o644, false)] {
        let directory = TempDir::new().unwrap();
        // The port file is written by the user.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        let [config, users] = ["config", "users"].map(|name| directory.path().join(name));
        for (path, text) in [(&config, "-u nobody\n"), (&users, "a:b\n")] {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let options = ["--config".as_ref(), config.as_os_str(), "-Y".as_ref(), users.as_os_str()];
        let server = Launch::new().options(options).spawn(directory);
        wait_until("it serves", || server.stderr().contains("serves memcached's"));
        for path in [config, users] {
            let told = format!("user \"nobody\" cannot read {path:?}: it will not be read again");
            assert_eq!(server.stderr().contains(&told), is_told, "{told}: {}", server.stderr());
        }
    }
}

#[test]
fn debians_config_file_is_understood() {
    applies!();
    let directory = TempDir::new().unwrap();
    let (config, pid_file) = (directory.path().join("memcached.conf"), directory.path().join("pid"));
    let port = free_port();
    let user = if is_root() { "-u root" } else { "# -u memcache" };
    fs::write(&config, debian_config(port, user, &pid_file)).unwrap();
    let launch = Launch::new().own_addresses().options(["--config", config.to_str().unwrap()]);
    let mut child = launch.command(directory.path()).spawn().unwrap();
    let first = Guard::watch(child.id());
    let pid = pid_in(&pid_file);
    let second = Guard::watch(pid);
    let mut client = Client::tcp(([127, 0, 0, 1], port).into());
    assert_eq!(client.stat("pid"), u64::from(pid));
    assert_eq!(client.stat("limit_maxbytes"), 48 << 20);
    assert_eq!(client.stat("max_connections"), 512);
    let settings = client.stats("stats settings");
    assert!(settings.contains(&("item_size_max".to_string(), "2097152".to_string())));
    signal(pid, "TERM");
    wait_until("the daemon ends", || child.try_wait().is_ok_and(|status| status.is_some()) && !runs(pid));
    first.release();
    second.release();
}

/// The file in the words of Debian's package: comments, a `logfile` line, options with and without values.
fn debian_config(port: u16, user: &str, pid_file: &Path) -> String {
    format!(
        "# memcached default config file\n\n# Run as a daemon. This command is implied.\n-d\n\n\
         # Where the init script puts the log\nlogfile /var/log/memcached.log\n\n# Be verbose\n# -v\n\n\
         -m 48\n\n-p {port}\n\n{user}\n\n-l 127.0.0.1\n\n# Limit the number of connections\n-c 512\n\n# -k\n# -M\n# -r\n\n\
         -I 2m # larger items\n\n-P {}\n",
        pid_file.display()
    )
}

#[test]
fn an_option_may_shut_it_down_by_command() {
    let mut server = start!(&["-A"]);
    let mut client = server.client();
    client.expect_close("shutdown\r\n", "");
    assert_eq!(server.wait_for_end().code(), Some(0));
}
