//! Part `hit-ratio`: the traces through sockets, against one server after the other.

use std::io;

use serde_json::json;

use crate::client::Connection;
use crate::ledger::{self, Faults};
use crate::options::Options;
use crate::replay::{Replay, Replayed};
use crate::report::Report;
use crate::server::{Program, Server};
use crate::table::{Table, median, spread};
use crate::trace::{Scale, Trace, TraceName};
use crate::value::Values;

/// What one run came to.
#[derive(Clone, Copy, Debug)]
struct Run {
    replayed: Replayed,
    peak_mib: f64,
    cpu_us: f64,
    evictions: u64,
}

impl Run {
    fn hit_percent(&self) -> f64 {
        self.replayed.scored_hits as f64 * 100.0 / self.replayed.scored_gets.max(1) as f64
    }

    fn cpu_us_per_command(&self) -> f64 {
        self.cpu_us / self.replayed.commands.max(1) as f64
    }

    fn json(&self, name: TraceName, program: &Program, options: &Options) -> serde_json::Value {
        let Replayed { faults, .. } = self.replayed;
        json!({
            "part": "hit-ratio", "trace": name.as_str(), "server": program.name, "seed": options.seed,
            "memory_mb": options.memory_mb, "threads": options.threads,
            "hit_percent": self.hit_percent(), "scored_gets": self.replayed.scored_gets,
            "peak_rss_mib": self.peak_mib, "cpu_us_per_command": self.cpu_us_per_command(),
            "commands": self.replayed.commands, "evictions": self.evictions,
            "late_secs": self.replayed.late_secs, "wrong": faults.wrong, "stale": faults.stale,
            "expired": faults.expired, "refused": faults.refused,
        })
    }
}

/// Runs every trace against every program and prints the comparison.
pub fn run_all(programs: &[Program], options: &Options, report: &mut Report) -> io::Result<Faults> {
    println!(
        "\nhit ratio: -m {} -t {}, seed {}, {} run(s) each; median (lowest-highest)",
        options.memory_mb, options.threads, options.seed, options.repeat
    );
    let values = ledger::values(options.seed);
    let mut faults = Faults::default();
    let headings = [
        "trace",
        "server",
        "hit ratio %",
        "points",
        "peak RSS MiB",
        "CPU us/command",
        "evictions",
        "refused",
        "stale",
        "expired",
        "wrong",
    ];
    let mut table = Table::new(&headings);
    for &name in options.traces.as_deref().unwrap_or(&TraceName::ALL) {
        let scale = Scale { keys: options.key_scale, requests: options.scale };
        let trace = Trace::new(name, options.seed, scale, options.twitter_rate);
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); programs.len()];
        for repetition in 0..options.repeat {
            for turn in 0..programs.len() {
                let which = (turn + repetition) % programs.len();
                report.announce("hit-ratio", name.as_str(), programs[which].name);
                let run = measure(&programs[which], &trace, options, &values)?;
                if run.replayed.late_secs > 0.5 {
                    println!(
                        "{} {}: the trace ended {:.1} s too late: this machine does not manage its rate",
                        name.as_str(),
                        programs[which].name,
                        run.replayed.late_secs
                    );
                }
                report.record(run.json(name, &programs[which], options));
                runs[which].push(run);
            }
        }
        for (program, of_program) in programs.iter().zip(&runs) {
            let sum = add_row(&mut table, name, program, of_program, &runs[0]);
            faults.add(&sum);
        }
    }
    table.print();
    Ok(faults)
}

fn measure(program: &Program, trace: &Trace, options: &Options, values: &Values) -> io::Result<Run> {
    let server = Server::start(program, options.memory_mb, options.threads)?;
    let cpu_before = server.cpu_us()?;
    let replayed = Replay::new(trace.clone(), server.address, options.threads, values)?.run()?;
    Ok(Run {
        replayed,
        cpu_us: server.cpu_us()? - cpu_before,
        peak_mib: server.peak_mib()?,
        evictions: Connection::open(server.address)?.stat("evictions")?,
    })
}

/// Adds the row of one server; `first` are the runs of the one that others are compared with. Returns
/// what was wrong in all of its runs.
fn add_row(table: &mut Table, name: TraceName, program: &Program, runs: &[Run], first: &[Run]) -> Faults {
    let all = |runs: &[Run], figure: fn(&Run) -> f64| runs.iter().map(figure).collect::<Vec<f64>>();
    let mut faults = Faults::default();
    runs.iter().for_each(|run| faults.add(&run.replayed.faults));
    let hits = all(runs, Run::hit_percent);
    let points = median(&hits) - median(&all(first, Run::hit_percent));
    table.row([
        name.as_str().to_owned(),
        program.name.to_owned(),
        spread(&hits, 2),
        format!("{points:+.2}"),
        spread(&all(runs, |run| run.peak_mib), 1),
        spread(&all(runs, Run::cpu_us_per_command), 2),
        spread(&all(runs, |run| run.evictions as f64), 0),
        faults.refused.to_string(),
        faults.stale.to_string(),
        faults.expired.to_string(),
        faults.wrong.to_string(),
    ]);
    faults
}
