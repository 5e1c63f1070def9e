//! How well larder uses its memory, and how evenly it answers, beside memcached in the same run.
//!
//! `cargo bench --bench efficiency -- --help` names the parts and describes the traces; `run` beside this
//! file installs memcached first. `-- --in-process` runs traces and stalls against the store alone.

mod capacity;
mod client;
mod hit_ratio;
mod in_process;
mod in_process_stall;
mod ledger;
mod options;
mod pattern;
#[path = "../fixture/process.rs"]
mod process;
mod replay;
mod report;
mod scaling;
mod self_test;
mod server;
mod sizes;
mod stall;
#[path = "../fixture/table.rs"]
mod table;
mod trace;
#[path = "../fixture/value.rs"]
mod value;

use std::io;
use std::process::ExitCode;

use ledger::Faults;
use options::{Options, Part};
use report::Report;

fn main() -> ExitCode {
    let options = Options::read();
    match run(&options) {
        Ok(faults) if faults.bad() == 0 => ExitCode::SUCCESS,
        Ok(faults) => {
            println!("{} bad answers: {faults:?}", faults.bad());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("efficiency: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs what was asked for; returns what was wrong with the answers.
fn run(options: &Options) -> io::Result<Faults> {
    if options.self_test || options.quick {
        self_test::run()?;
    }
    if options.self_test {
        return Ok(Faults::default());
    }
    let mut report = Report::create(options.json.as_deref())?;
    if options.in_process {
        return Ok(run_in_process(options, &mut report));
    }
    let programs = server::programs(options);
    let mut faults = Faults::default();
    for part in &options.parts {
        let of_part = match part {
            Part::HitRatio => hit_ratio::run_all(&programs, options, &mut report)?,
            Part::Capacity => capacity::run_all(&programs, options, &mut report)?,
            Part::Stall => stall::run_all(&programs, options, &mut report)?,
            Part::Scaling => scaling::run_all(options, &mut report),
        };
        faults.add(&of_part);
    }
    if options.quick {
        faults.add(&run_in_process(options, &mut report));
    }
    Ok(faults)
}

/// The parts that there are without a server.
fn run_in_process(options: &Options, report: &mut Report) -> Faults {
    let mut faults = Faults::default();
    for part in &options.parts {
        match part {
            Part::HitRatio => faults.add(&in_process::run_all(options, report)),
            Part::Stall => faults.add(&in_process_stall::run(options, report)),
            Part::Capacity | Part::Scaling => {}
        }
    }
    faults
}
