//! Runs the cases: every server in turns, round after round, each time in a fresh process.

use std::io;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::cases::{Case, Part};
use crate::connection::Address;
use crate::cores::Cores;
use crate::failure::Failure;
use crate::figures::{self, Figures, Rounds, Sample};
use crate::load::{Load, Timing, allow_connections};
use crate::options::Options;
use crate::progress::Display;
use crate::reply::Content;
use crate::report::Report;
use crate::servers::{self, Name, Program, Server};
use crate::syscalls::{Calls, Strace};
use crate::value::Values;
use crate::{chart, process, requests};

/// How long requests are sent while system calls are counted, at most.
const COUNTED: std::time::Duration = std::time::Duration::from_secs(1);

/// What the rounds of a case came to, with the case.
type Results = Vec<(Case, Vec<Rounds>)>;

/// Compares the servers, or loads the one that was named.
pub fn run(options: &Options) -> Result<(), Failure> {
    let cores = Cores::split()?;
    println!("{}", cores.description);
    if let Some(address) = &options.server {
        return load_only(address, options, &cores);
    }
    let programs = servers::programs(options)?;
    let mut runner = Runner::new(options, &cores)?;
    let mut report = Report::new(options, &cores);
    let mut results = Results::new();
    for case in &options.cases {
        let servers = runner.run_case(case, &programs)?;
        figures::print_case(case, &servers);
        report.add(case, &servers, &runner.calls, &runner.versions)?;
        results.push((case.clone(), servers));
    }
    for part in Part::ALL {
        let of_part: Vec<(&Case, &[Rounds])> = results
            .iter()
            .filter(|(case, _)| case.part == part)
            .map(|(case, servers)| (case, &servers[..]))
            .collect();
        if !of_part.is_empty() {
            figures::print_summary(part.as_str(), &of_part);
        }
    }
    for (name, version) in &runner.versions {
        println!("{}: version {version}", name.as_str());
    }
    if let Some(path) = &options.svg {
        chart::draw(path, &results)?;
    }
    Ok(())
}

struct Runner<'a> {
    options: &'a Options,
    cores: &'a Cores,
    load_threads: usize,
    /// Whether system calls can be counted; no longer after it was said that they cannot.
    has_strace: bool,
    /// Of the last case.
    calls: Vec<(Name, Calls)>,
    versions: Vec<(Name, String)>,
}

impl<'a> Runner<'a> {
    fn new(options: &'a Options, cores: &'a Cores) -> io::Result<Runner<'a>> {
        let has_strace = options.has_strace && process::find("strace").is_some();
        if options.has_strace && !has_strace {
            println!("strace is not there: system calls are not counted");
        }
        let load_threads = options.load_threads.unwrap_or(cores.load_threads());
        Ok(Runner { options, cores, load_threads, has_strace, calls: Vec::new(), versions: Vec::new() })
    }

    fn run_case(&mut self, case: &Case, programs: &[Program]) -> Result<Vec<Rounds>, Failure> {
        // The servers inherit the limit, and need as many.
        allow_connections(case.workload.connections)?;
        let mut servers: Vec<Rounds> = programs
            .iter()
            .map(|program| Rounds { name: program.name, runs: Vec::new(), calls_per_key: f64::NAN })
            .collect();
        let rounds = self.options.rounds;
        for round in 0..rounds {
            for turn in 0..programs.len() {
                // Another one is first each time.
                let which = (turn + round) % programs.len();
                let name = programs[which].name.as_str();
                let label = format!("{}, round {} of {rounds}, {name}", case.name, round + 1);
                let run = self.measure(case, &programs[which], &label);
                servers[which].runs.push(run.map_err(|failure| failure.in_the_course_of(&label))?);
            }
        }
        self.calls.clear();
        for (program, rounds) in programs.iter().zip(&mut servers) {
            if !self.has_strace {
                break;
            }
            let label = format!("{}, system calls, {}", case.name, program.name.as_str());
            match self.count_calls(case, program, &label) {
                Ok((calls, keys)) => {
                    rounds.calls_per_key = calls.total() as f64 / keys as f64;
                    self.calls.push((program.name, calls));
                }
                Err(Failure::Io(error)) => {
                    println!("{label}: not counted: {error}");
                    self.has_strace = false;
                }
                Err(failure) => return Err(failure.in_the_course_of(&label)),
            }
        }
        Ok(servers)
    }

    fn values(&self, case: &Case) -> Values {
        requests::values(self.options.seed, case.workload.value_bytes)
    }

    /// A fresh server with all keys stored.
    fn server(&mut self, case: &Case, program: &Program, display: &Display) -> Result<Server, Failure> {
        let server = Server::start(program, &case.workload, self.options, self.cores)?;
        if self.versions.iter().all(|(name, _)| *name != program.name) {
            self.versions.push((program.name, server.version.clone()));
        }
        if program.name != Name::Floor {
            let (workload, values) = (&case.workload, self.values(case));
            Load::fill(&server.address, workload, &values, self.load_threads, self.cores, display)?;
        }
        Ok(server)
    }

    fn load<'l>(
        &self,
        server: &Server,
        case: &'l Case,
        values: &'l Values,
        content: Content,
    ) -> Result<Load<'l>, Failure>
    where
        'a: 'l,
    {
        let seed = self.options.seed;
        let (address, workload) = (&server.address, &case.workload);
        Load::connect(address, workload, values, content, self.load_threads, seed, self.cores)
    }

    fn measure(&mut self, case: &Case, program: &Program, label: &str) -> Result<Figures, Failure> {
        let display = Display::new(label);
        let server = self.server(case, program, &display)?;
        let values = self.values(case);
        let mut load = self.load(&server, case, &values, program.name.content())?;
        let mut resident_mib = f64::NAN;
        let outcome = load.run(self.options.timing, &display, || {
            resident_mib = server.resident_mib()?;
            Ok(Sample { server: Some(server.cpu_time()?), load_us: own_cpu_us()? })
        })?;
        if outcome.tally.misses > 0 && self.options.memory_mb.is_none() {
            return Err(Failure::Wrong(format!("{} keys that were stored are gone", outcome.tally.misses)));
        }
        Ok(Figures::new(&outcome, resident_mib))
    }

    /// Counts the system calls of a short run; returns them, and the keys of the requests that they served.
    fn count_calls(&mut self, case: &Case, program: &Program, label: &str) -> Result<(Calls, u64), Failure> {
        let display = Display::new(label);
        let server = self.server(case, program, &display)?;
        let values = self.values(case);
        let mut load = self.load(&server, case, &values, program.name.content())?;
        let strace = Strace::attach(server.pid())?;
        let timing = Timing {
            warm_up: std::time::Duration::ZERO,
            measured: self.options.timing.measured.min(COUNTED),
        };
        let outcome = load.run(timing, &display, || Ok(()))?;
        Ok((strace.finish()?, outcome.tally.all_keys.max(1)))
    }
}

/// Processor time that this process has used, in microseconds.
fn own_cpu_us() -> io::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64)
}

/// Loads a server that runs already; nothing is known of its process.
fn load_only(address: &Address, options: &Options, cores: &Cores) -> Result<(), Failure> {
    let threads = options.load_threads.unwrap_or(cores.load_threads());
    for case in &options.cases {
        let values = requests::values(options.seed, case.workload.value_bytes);
        let display = Display::new(case.name);
        let workload = &case.workload;
        if options.is_filled {
            Load::fill(address, workload, &values, threads, cores, &display)?;
        }
        println!("\n{}: {workload}", case.name);
        let mut runs = Vec::new();
        for _ in 0..options.rounds {
            let mut load =
                Load::connect(address, workload, &values, Content::OfItems, threads, options.seed, cores)?;
            let sample = || Ok(Sample { server: None, load_us: own_cpu_us()? });
            let outcome = load.run(options.timing, &display, sample)?;
            runs.push(Figures::new(&outcome, f64::NAN));
        }
        drop(display);
        figures::print_load(case, &runs);
    }
    Ok(())
}
