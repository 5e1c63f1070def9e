//! larder beside memcached, and beside a server without a store, under the same load: throughput, processor
//! time, latency, system calls, memory.
//!
//! `cargo bench --bench versus -- --help` says what it does and how. Linux only, for `/proc`, timers that are
//! descriptors and processors that threads are kept on.

mod cases;
mod chart;
mod connection;
mod cores;
mod driver;
mod equivalents;
mod failure;
mod figures;
mod floor;
mod load;
mod options;
#[path = "../fixture/process.rs"]
mod process;
mod progress;
mod reply;
mod report;
mod requests;
mod runner;
mod schedule;
mod servers;
mod syscalls;
#[path = "../fixture/table.rs"]
mod table;
#[path = "../fixture/value.rs"]
mod value;
mod workload;

use std::process::ExitCode;

use cores::Cores;
use failure::Failure;
use options::Options;

fn main() -> ExitCode {
    match run(&Options::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure @ (Failure::Wrong(_) | Failure::Other)) => {
            eprintln!("versus: {failure}");
            ExitCode::FAILURE
        }
        Err(Failure::Io(error)) => {
            eprintln!("versus: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    if let Some(floor) = &options.floor {
        return Ok(floor::serve(floor)?);
    }
    if options.has_equivalents {
        equivalents::print(options, &Cores::split()?);
        return Ok(());
    }
    runner::run(options)
}
