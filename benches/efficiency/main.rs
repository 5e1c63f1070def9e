//! How well larder uses its memory, and how evenly it answers, beside memcached in the same run.
//!
//! `cargo bench --bench efficiency -- --help` names the parts and describes the traces; `run` beside this
//! file installs memcached first. `-- --in-process` runs the traces against the store alone.

mod in_process;
mod ledger;
mod options;
mod pattern;
mod report;
mod sizes;
mod table;
mod trace;
mod value;

use std::process::ExitCode;

use options::Options;
use report::Report;

fn main() -> ExitCode {
    let options = Options::read();
    let mut report = match Report::create(options.json.as_deref()) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("efficiency: --json: {error}");
            return ExitCode::from(2);
        }
    };
    let faults = in_process::run_all(&options, &mut report);
    if faults.bad() > 0 {
        println!("{} bad answers: {faults:?}", faults.bad());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
