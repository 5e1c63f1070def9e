//! The servers that are compared: found, started on their processors, and ended.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::connection::Address;
use crate::cores::Cores;
use crate::options::Options;
use crate::process::{self, CpuTime, Process};
use crate::reply::Content;
use crate::workload::{Transport, Workload};

/// Connections that a server may have beyond those of the load.
const OTHER_CONNECTIONS: usize = 64;

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// What larder is measured against.
    Memcached,
    /// This project.
    Larder,
    /// Replies without a store.
    Floor,
}

impl Name {
    /// In the order of the tables.
    pub const ALL: [Name; 3] = [Name::Memcached, Name::Larder, Name::Floor];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Name::Memcached => "memcached",
            Name::Larder => "larder",
            Name::Floor => "floor",
        }
    }

    /// What its values are held against.
    pub fn content(self) -> Content {
        if self == Name::Floor { Content::Prepared } else { Content::OfItems }
    }
}

/// A program that can be started as a server.
#[derive(Clone, Debug)]
pub struct Program {
    /// Which one.
    pub name: Name,
    path: PathBuf,
    args: Vec<String>,
}

/// What was asked for and can be had; what cannot is said.
pub fn programs(options: &Options) -> io::Result<Vec<Program>> {
    let mut programs = Vec::new();
    for &name in &options.servers {
        let (path, args) = match name {
            Name::Memcached => (options.memcached.clone(), options.memcached_args.clone()),
            Name::Larder => (Some(options.larder.clone()), options.larder_args.clone()),
            Name::Floor => (Some(std::env::current_exe()?), Vec::new()),
        };
        let path = path.or_else(|| process::find(name.as_str()));
        match path.filter(|path| path.is_file()) {
            Some(path) => programs.push(Program { name, path, args }),
            None => println!(
                "{} is not there: the others run without it, and there are no ratios to it. Install Debian's \
                 package (apt-get install memcached) or name a program (--memcached PATH)",
                name.as_str()
            ),
        }
    }
    Ok(programs)
}

/// A server that runs. Dropping it ends it.
pub struct Server {
    process: Process,
    /// Where it listens.
    pub address: Address,
    /// What it says its version is.
    pub version: String,
    /// Where its socket lies.
    _folder: Option<TempDir>,
}

impl Server {
    /// Starts a server that has room for the load's items and connections, and waits until it answers.
    pub fn start(
        program: &Program,
        workload: &Workload,
        options: &Options,
        cores: &Cores,
    ) -> io::Result<Server> {
        let (address, folder) = match workload.transport {
            Transport::Tcp => {
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
                (Address::Tcp(free), None)
            }
            Transport::Unix => {
                let folder = tempfile::tempdir()?;
                (Address::Unix(folder.path().join("socket")), Some(folder))
            }
        };
        let threads = options.threads.unwrap_or(cores.server_threads());
        let mut args = match program.name {
            Name::Floor => floor_args(&address, workload, threads, options.seed),
            _ => cache_args(&address, workload, threads, options.memory_mb),
        };
        args.extend_from_slice(&program.args);
        let mut process = cores.on_server(|| Process::start(&program.path, &args))?;
        let mut version = String::new();
        process.wait_until(|| {
            version = address.version()?;
            Ok(())
        })?;
        Ok(Server { process, address, version, _folder: folder })
    }

    /// Memory that it has resident, in MiB.
    pub fn resident_mib(&self) -> io::Result<f64> {
        self.process.memory_mib("VmRSS")
    }

    /// Processor time it has used.
    pub fn cpu_time(&self) -> io::Result<CpuTime> {
        self.process.cpu_time()
    }

    /// Of its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

fn owned<const COUNT: usize>(args: [&str; COUNT]) -> Vec<String> {
    args.map(str::to_owned).to_vec()
}

fn file(path: &Path) -> String {
    path.display().to_string()
}

/// Options that larder and memcached have in common.
fn cache_args(
    address: &Address,
    workload: &Workload,
    threads: usize,
    memory_mb: Option<usize>,
) -> Vec<String> {
    let mut args = match address {
        Address::Tcp(address) => owned(["-l", &address.ip().to_string(), "-p", &address.port().to_string()]),
        Address::Unix(path) => owned(["-s", &file(path)]),
    };
    let connections = workload.connections + OTHER_CONNECTIONS;
    let memory_mb = memory_mb.unwrap_or(workload.memory_mb());
    args.extend(owned(["-c", &connections.to_string(), "-t", &threads.to_string()]));
    args.extend(owned(["-m", &memory_mb.to_string()]));
    if nix::unistd::geteuid().is_root() {
        args.extend(owned(["-u", "root"]));
    }
    args
}

fn floor_args(address: &Address, workload: &Workload, threads: usize, seed: u64) -> Vec<String> {
    let address = match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => file(path),
    };
    let connections = (workload.connections + OTHER_CONNECTIONS).to_string();
    let mut args = owned(["--serve-floor", &address, "--connections", &connections]);
    args.extend(owned(["--threads", &threads.to_string(), "--seed", &seed.to_string()]));
    args.extend(owned(["--value-bytes", &workload.value_bytes.to_string()]));
    args
}
