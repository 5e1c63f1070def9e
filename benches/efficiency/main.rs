//! How well larder uses its memory, and how evenly it answers, beside memcached in the same run.
//!
//! `cargo bench --bench efficiency -- --help` names the parts and describes the traces; `run` beside this
//! file installs memcached first. `-- --in-process` runs the traces against the store alone.

mod capacity;
mod client;
mod hit_ratio;
mod in_process;
mod ledger;
mod options;
mod pattern;
mod replay;
mod report;
mod scaling;
mod self_test;
mod server;
mod sizes;
mod stall;
mod table;
mod trace;
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
        return Ok(in_process::run_all(options, &mut report));
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
        faults.add(&in_process::run_all(options, &mut report));
    }
    Ok(faults)
}
