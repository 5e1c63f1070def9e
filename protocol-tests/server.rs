//! The daemon under test as a child process: start, find its port, signal, wait, and never leave it behind.
//!
//! Owns processes and their temporary files. Knows the few options and variables that both larder and
//! memcached have; what they answer is the tests' business.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;

/// How long a condition may take to come true before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks at a condition that only polling can see.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Larder,
    /// memcached with the patch number of its 1.6 release.
    Memcached(u32),
}

/// How a daemon is started. `-u root` is added for root, which both daemons demand.
pub struct Launch {
    program: PathBuf,
    /// A line of the shell that starts it, if that is to be different from others.
    script: Option<&'static str>,
    options: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    listens: bool,
}

/// A running daemon, killed when dropped and also when the test process dies in any way.
pub struct Server {
    child: Child,
    guard: Option<Guard>,
    /// Where it listens on TCP, in its own order; empty with `-s`.
    pub addresses: Vec<SocketAddr>,
    /// Where it answers datagrams, in its own order.
    pub udp_addresses: Vec<SocketAddr>,
    /// The connection that proved that it accepts. The first client gets it, so that no test meets a
    /// connection that it did not open.
    first: Mutex<Option<Client>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    _directory: TempDir,
}

/// What a daemon left behind that ended by itself.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A small shell that kills `pid` as soon as its standard input ends without a word from us.
pub struct Guard {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Kind {
    /// Which daemon is tested: larder by the name of its program, memcached's release by `-V`.
    pub fn under_test() -> Kind {
        static KIND: OnceLock<Kind> = OnceLock::new();
        KIND.get_or_init(|| {
            let launch = Launch::new();
            let program = fs::canonicalize(launch.program()).unwrap_or_else(|_| launch.program.clone());
            if program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("larder")) {
                return Kind::Larder;
            }
            let ended = launch.options(["-V"]).run_to_end();
            let patch = ended.stdout.trim_end().strip_prefix("memcached 1.6.").map(str::parse);
            match patch {
                Some(Ok(patch)) => Kind::Memcached(patch),
                _ => panic!("neither larder nor memcached 1.6: {:?}", ended.stdout),
            }
        })
        .clone()
    }
}

impl Launch {
    /// The daemon under test.
    pub fn new() -> Launch {
        let program = std::env::var_os("LARDER_TEST_SERVER").map(PathBuf::from);
        let built = option_env!("CARGO_BIN_EXE_larder").map(PathBuf::from);
        let launch = Launch::of(program.or(built).expect("LARDER_TEST_SERVER names the daemon to test"));
        let options = std::env::var("LARDER_TEST_OPTIONS").unwrap_or_default();
        launch.options(options.split_whitespace())
    }

    /// Any memcached-compatible daemon.
    pub fn of(program: PathBuf) -> Launch {
        Launch { program, script: None, options: Vec::new(), variables: Vec::new(), listens: true }
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    pub fn options<O: Into<OsString>>(mut self, options: impl IntoIterator<Item = O>) -> Launch {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Launch {
        self.variables.push((name, value.into()));
        self
    }

    /// Has a shell start it, which is to replace itself by `"$0" "$@"`.
    pub fn started_by(mut self, script: &'static str) -> Launch {
        self.script = Some(script);
        self
    }

    /// Leaves the choice of addresses and ports to the options.
    pub fn own_addresses(mut self) -> Launch {
        self.listens = false;
        self
    }

    /// The command without standard streams, its port file in `directory`.
    pub fn command(&self, directory: &Path) -> Command {
        let mut command =
            Command::new(if self.script.is_some() { "sh".as_ref() } else { self.program.as_path() });
        if let Some(script) = self.script {
            command.args(["-c", script]).arg(&self.program);
        }
        if is_root() && !self.options.iter().any(|option| option == "-u" || option == "--config") {
            command.args(["-u", "root"]);
        }
        if self.listens {
            command.args(["-l", "127.0.0.1", "-p", "-1"]);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(&self.options).env("MEMCACHED_PORT_FILENAME", directory.join("ports"));
        command
    }

    /// Starts the daemon and waits until it accepts. Panics if it ends or does not listen in time.
    #[track_caller]
    pub fn start(self) -> Server {
        let directory = TempDir::new().expect("a temporary directory");
        let ports = directory.path().join("ports");
        let is_guarded = self.options.iter().any(|option| option == "-Y" || option == "--users-file");
        let mut server = self.spawn(directory);
        wait_until("the daemon writes its port file", || server.alive() && ports.exists());
        server.addresses = read_ports(&ports);
        server.udp_addresses = ports_of("UDP", &ports);
        let address = server.addresses[0];
        let mut accepted = None;
        wait_until("the daemon accepts", || {
            accepted = TcpStream::connect(address).ok();
            server.alive() && accepted.is_some()
        });
        let mut first = accepted.map(Client::from_tcp);
        // Whoever has to log in is not told more than that.
        first.iter_mut().filter(|_| !is_guarded).for_each(|client| client.expect("", ""));
        server.first = Mutex::new(first);
        server
    }

    /// Starts a daemon that listens on a Unix socket only, and waits until it accepts.
    #[track_caller]
    pub fn start_unix(self, path: &Path) -> Server {
        let mut server = self.own_addresses().spawn(TempDir::new().expect("a temporary directory"));
        let connect = || std::os::unix::net::UnixStream::connect(path).is_ok();
        wait_until("the daemon accepts", || server.alive() && connect());
        server
    }

    /// Starts the daemon without waiting for anything.
    #[track_caller]
    pub fn spawn(self, directory: TempDir) -> Server {
        let mut command = self.command(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        let guard = Some(Guard::watch(child.id()));
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let mut pipe = child.stderr.take().expect("stderr is piped");
        let collected = Arc::clone(&stderr);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                collected.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        let first = Mutex::new(None);
        let (addresses, udp_addresses) = (Vec::new(), Vec::new());
        Server { child, guard, addresses, udp_addresses, first, stderr, _directory: directory }
    }

    /// Runs a daemon that is expected to end by itself, and gives its exit code and output.
    #[track_caller]
    pub fn run_to_end(self) -> Ended {
        let directory = TempDir::new().expect("a temporary directory");
        let files = ["out", "err"].map(|name| directory.path().join(name));
        let [out, err] = files.each_ref().map(|path| fs::File::create(path).expect("an output file"));
        let mut child = self
            .command(directory.path())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        let guard = Guard::watch(child.id());
        let status = wait_for_end(&mut child);
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        guard.release();
        let [stdout, stderr] = files.map(|path| fs::read_to_string(path).expect("text"));
        let status = status.unwrap_or_else(|| panic!("the daemon does not end; stderr: {stderr}"));
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Server {
    /// The daemon under test with default options.
    #[track_caller]
    pub fn start() -> Server {
        Launch::new().start()
    }

    /// The daemon under test with further options.
    #[track_caller]
    pub fn with(options: &[&str]) -> Server {
        Launch::new().options(options.iter().copied()).start()
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        let first = self.first.lock().unwrap().take();
        first.unwrap_or_else(|| Client::tcp(self.addresses[0]))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a VmRSS line");
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number");
        kilobytes * 1024
    }

    /// What the daemon has written to stderr up to now.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the end of the daemon. Panics if it goes on.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let status = wait_for_end(&mut self.child);
        status.unwrap_or_else(|| panic!("the daemon does not end; stderr: {}", self.stderr()))
    }

    /// Proves that the daemon still serves a fresh client.
    #[track_caller]
    pub fn expect_served(&mut self) {
        assert!(self.alive());
        self.client()
            .expect("set alive 0 0 3\r\nyes\r\nget alive\r\n", "STORED\r\nVALUE alive 0 3\r\nyes\r\nEND\r\n");
    }

    /// Always `true`; panics with the daemon's last words if it has ended.
    #[track_caller]
    fn alive(&mut self) -> bool {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("the daemon ended ({status}); stderr: {}", self.stderr());
        }
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(guard) = self.guard.take() {
            guard.release();
        }
        if thread::panicking() {
            eprintln!("stderr of the daemon: {}", self.stderr());
        }
    }
}

impl Guard {
    /// Kills process `pid` when this value is dropped or the test process ends, unless released.
    pub fn watch(pid: u32) -> Guard {
        let mut shell = Command::new("sh")
            .args(["-c", "read -r word || kill -9 \"$1\" 2>/dev/null", "guard", &pid.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let input = shell.stdin.take();
        Guard { shell, input }
    }

    /// The process has ended and its id may belong to somebody else by now.
    pub fn release(mut self) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(b"ended\n");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.shell.wait();
    }
}

/// Sends a signal by its name without `SIG`.
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("a shell");
    assert!(status.success(), "cannot send {name} to {pid}");
}

/// [`PATIENCE`], or what `LARDER_TEST_PATIENCE_SECS` says: for daemons that are made slow.
fn patience() -> Duration {
    let seconds = std::env::var("LARDER_TEST_PATIENCE_SECS").ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(PATIENCE, Duration::from_secs)
}

/// Looks until `holds` is true. Panics when [`patience`] ends.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// A TCP port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

pub fn is_root() -> bool {
    fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t0")))
}

fn wait_for_end(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Lines `TCP INET: 1234` and `TCP INET6: 1234`; the listeners of these tests are all on loopback.
pub fn read_ports(path: &Path) -> Vec<SocketAddr> {
    let addresses = ports_of("TCP", path);
    assert!(!addresses.is_empty(), "no TCP port in {:?}", fs::read_to_string(path));
    addresses
}

/// The addresses of one transport in such a file.
fn ports_of(transport: &str, path: &Path) -> Vec<SocketAddr> {
    let text = fs::read_to_string(path).expect("a port file");
    let address = |line: &str| {
        let (family, port) = line.strip_prefix(transport)?.split_once(": ")?;
        let ip: IpAddr = match family {
            " INET" => Ipv4Addr::LOCALHOST.into(),
            " INET6" => Ipv6Addr::LOCALHOST.into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port.trim().parse().ok()?))
    };
    text.lines().filter_map(address).collect()
}
