//! Servers under test: a fresh process for each run, and what the system knows about it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use crate::client::Connection;
use crate::options::Options;
use crate::process::{self, Process};

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
    let Some(path) = process::find("memcached") else {
        println!("memcached is not on PATH: larder runs alone (benches/efficiency/run installs it)");
        return vec![larder];
    };
    vec![Program { name: "memcached", path, args: options.memcached_args.clone() }, larder]
}

/// A process under test. Dropping it ends it.
pub struct Server {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `program` with `-m` and `-t` and waits until it answers.
    pub fn start(program: &Program, memory_mb: usize, threads: usize) -> io::Result<Server> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let listen = ["-l", "127.0.0.1", "-p", &address.port().to_string()].map(str::to_owned);
        let size = ["-m", &memory_mb.to_string(), "-t", &threads.to_string()].map(str::to_owned);
        let mut args = [listen, size].concat();
        if nix::unistd::geteuid().is_root() {
            args.extend(["-u", "root"].map(str::to_owned));
        }
        args.extend_from_slice(&program.args);
        let mut process = Process::start(&program.path, &args)?;
        process.wait_until(|| Connection::open(address)?.stats().map(drop))?;
        Ok(Server { process, address })
    }

    /// The most memory it ever had resident, in MiB.
    pub fn peak_mib(&self) -> io::Result<f64> {
        self.process.memory_mib("VmHWM")
    }

    /// Processor time it has used, in microseconds.
    pub fn cpu_us(&self) -> io::Result<f64> {
        self.process.cpu_time().map(|time| time.user_us + time.system_us)
    }
}
