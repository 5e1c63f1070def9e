//! Servers under test: a fresh process for each run, and what the system knows about it.
//!
//! Linux only, for `/proc`.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Connection;
use crate::options::Options;

/// How long a server may take to answer its first request.
const START_SECS: u64 = 10;
/// Ticks per second in `/proc/PID/stat`: the same on every Linux machine.
const TICKS_PER_SEC: f64 = 100.0;

/// A program that speaks the protocol.
#[derive(Clone, Debug)]
pub struct Program {
    /// What it is called in the tables.
    pub name: &'static str,
    path: PathBuf,
    args: Vec<String>,
}

/// larder, and memcached if it is installed; if not, that is said.
pub fn programs(options: &Options) -> Vec<Program> {
    let larder = Program {
        name: "larder",
        path: env!("CARGO_BIN_EXE_larder").into(),
        args: options.larder_args.clone(),
    };
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&search).map(|folder| folder.join("memcached")).find(|path| path.is_file());
    let Some(path) = found else {
        println!("memcached is not on PATH: larder runs alone (benches/efficiency/run installs it)");
        return vec![larder];
    };
    vec![Program { name: "memcached", path, args: options.memcached_args.clone() }, larder]
}

/// A process under test. Dropping it ends it.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `program` with `-m` and `-t` and waits until it answers.
    pub fn start(program: &Program, memory_mb: usize, threads: usize) -> io::Result<Server> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut log = tempfile::tempfile()?;
        let mut command = Command::new(&program.path);
        command.args(["-l", "127.0.0.1", "-p", &address.port().to_string()]);
        command.args(["-m", &memory_mb.to_string(), "-t", &threads.to_string()]);
        if nix::unistd::geteuid().is_root() {
            command.args(["-u", "root"]);
        }
        command.args(&program.args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        let failed = |error| io::Error::other(format!("{}: {error}", program.path.display()));
        let child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let mut server = Server { child, address };
        server.wait_until_it_answers().map_err(|error| failed(format!("{error}; {}", text(&mut log))))?;
        Ok(server)
    }

    fn wait_until_it_answers(&mut self) -> io::Result<()> {
        let started = Instant::now();
        loop {
            match Connection::open(self.address).and_then(|mut connection| connection.stats()) {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed().as_secs() >= START_SECS => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended at once with {status}")));
            }
        }
    }

    /// The most memory it ever had resident, in MiB.
    pub fn peak_mib(&self) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| io::Error::other("no VmHWM in /proc/PID/status"))
    }

    /// Processor time it has used, in microseconds.
    pub fn cpu_us(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Counted from behind the name, which may hold anything: utime and stime.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok((user + system) / TICKS_PER_SEC * 1e6),
            _ => Err(io::Error::other("no times in /proc/PID/stat")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing that is worth a polite end. If it is gone already, so much the better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server has said.
fn text(log: &mut File) -> String {
    let mut text = String::new();
    let _ = log.rewind().and_then(|()| log.read_to_string(&mut text));
    text
}
