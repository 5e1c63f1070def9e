//! What a run came to, in figures, and the tables of them.

use serde_json::{Map, Value, json};

use crate::cases::Case;
use crate::driver::Tally;
use crate::load::Outcome;
use crate::process::CpuTime;
use crate::servers::Name;
use crate::table::{Table, median, spread};

/// Taken of the processes before and after a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Of the server; `None` if it is not ours.
    pub server: Option<CpuTime>,
    /// Of the load, in microseconds.
    pub load_us: f64,
}

/// What a run came to. What was not measured is NaN.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Keys read or written per second.
    pub keys_per_sec: f64,
    /// Requests answered per second.
    pub requests_per_sec: f64,
    /// Processor time of the server per key, in microseconds.
    pub user_us: f64,
    /// Of it in the kernel.
    pub system_us: f64,
    /// Median latency of a request, in microseconds.
    pub p50_us: f64,
    /// That of the slowest hundredth.
    pub p99_us: f64,
    /// That of the slowest thousandth.
    pub p999_us: f64,
    /// Resident memory of the server at the end.
    pub resident_mib: f64,
    /// Of its processors' time, what the server used, in per cent of one processor.
    pub server_busy_percent: f64,
    /// The same of the load.
    pub load_busy_percent: f64,
    /// How late the load was with a request, but for a hundredth of them, in microseconds.
    pub lateness_p99_us: f64,
    /// Share of keys that were not there.
    pub miss_percent: f64,
}

/// A figure that is shown.
struct Shown {
    name: &'static str,
    /// Whether it is per key, or a number of keys.
    is_per_key: bool,
    key: &'static str,
    digits: usize,
    of: fn(&Figures) -> f64,
}

impl Shown {
    /// As it stands in a table of figures per `unit`.
    fn title(&self, unit: &str) -> String {
        match (self.is_per_key, self.name) {
            (true, "per second") => format!("{unit}s per second"),
            (true, name) => format!("{name} per {unit}"),
            (false, name) => name.to_owned(),
        }
    }
}

/// What tables and the file of results show of a run.
const SHOWN: [Shown; 11] = [
    shown("per second", true, "keys_per_sec", 0, |run| run.keys_per_sec),
    shown("CPU us", true, "cpu_us", 3, Figures::cpu_us),
    shown("  user", true, "user_us", 3, |run| run.user_us),
    shown("  system", true, "system_us", 3, |run| run.system_us),
    shown("p50 us", false, "p50_us", 0, |run| run.p50_us),
    shown("p99 us", false, "p99_us", 0, |run| run.p99_us),
    shown("p99.9 us", false, "p999_us", 0, |run| run.p999_us),
    shown("RSS MiB", false, "rss_mib", 1, |run| run.resident_mib),
    shown("server busy %", false, "server_busy_percent", 0, |run| run.server_busy_percent),
    shown("load busy %", false, "load_busy_percent", 0, |run| run.load_busy_percent),
    shown("misses %", false, "miss_percent", 2, |run| run.miss_percent),
];

const fn shown(
    name: &'static str,
    is_per_key: bool,
    key: &'static str,
    digits: usize,
    of: fn(&Figures) -> f64,
) -> Shown {
    Shown { name, is_per_key, key, digits, of }
}

impl Figures {
    /// The figures of a load that is over.
    pub fn new(outcome: &Outcome<Sample>, resident_mib: f64) -> Figures {
        let [first, last] = &outcome.samples;
        let (keys, secs) = (outcome.keys as f64, outcome.secs);
        let (user_us, system_us) = match (first.server, last.server) {
            (Some(first), Some(last)) => (last.user_us - first.user_us, last.system_us - first.system_us),
            _ => (f64::NAN, f64::NAN),
        };
        let Tally { latency, lateness, misses, .. } = &outcome.tally;
        let us = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
        Figures {
            keys_per_sec: keys / secs,
            requests_per_sec: outcome.requests as f64 / secs,
            user_us: user_us / keys,
            system_us: system_us / keys,
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            resident_mib,
            server_busy_percent: (user_us + system_us) / secs / 1e4,
            load_busy_percent: (last.load_us - first.load_us) / secs / 1e4,
            lateness_p99_us: match lateness.is_empty() {
                true => f64::NAN,
                false => lateness.value_at_quantile(0.99) as f64 / 1e3,
            },
            miss_percent: *misses as f64 / keys * 100.0,
        }
    }

    /// Processor time of the server per key, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }

    /// For the file of results.
    pub fn json(&self) -> Value {
        let mut all: Map<String, Value> =
            SHOWN.iter().map(|shown| (shown.key.to_owned(), json!((shown.of)(self)))).collect();
        all.insert("requests_per_sec".to_owned(), json!(self.requests_per_sec));
        all.insert("lateness_p99_us".to_owned(), json!(self.lateness_p99_us));
        Value::Object(all)
    }
}

/// What the rounds of one server came to.
#[derive(Clone, Debug)]
pub struct Rounds {
    /// Which server.
    pub name: Name,
    /// Of each round.
    pub runs: Vec<Figures>,
    /// System calls per key; NaN if they were not counted.
    pub calls_per_key: f64,
}

impl Rounds {
    /// A figure of each round.
    pub fn all(&self, of: fn(&Figures) -> f64) -> Vec<f64> {
        self.runs.iter().map(of).collect()
    }

    /// A figure of each round in relation to another server's of the same round.
    pub fn ratios(&self, to: &Rounds, of: fn(&Figures) -> f64) -> Vec<f64> {
        self.runs.iter().zip(&to.runs).map(|(own, other)| of(own) / of(other)).collect()
    }

    /// Medians, lowest and highest of all figures.
    pub fn summary(&self) -> Value {
        let mut all = Map::new();
        for shown in &SHOWN {
            all.insert(shown.key.to_owned(), three(&self.all(shown.of)));
        }
        all.insert("syscalls_per_key".to_owned(), json!(self.calls_per_key));
        Value::Object(all)
    }

    /// The same of the ratios to another server.
    pub fn ratio_summary(&self, to: &Rounds) -> Value {
        let all: Map<String, Value> =
            SHOWN.iter().map(|shown| (shown.key.to_owned(), three(&self.ratios(to, shown.of)))).collect();
        Value::Object(all)
    }
}

/// Median, lowest and highest.
fn three(figures: &[f64]) -> Value {
    let lowest = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    json!({ "median": median(figures), "lowest": lowest, "highest": highest })
}

/// Median and spread, or a dash for what could not be measured.
fn cell(figures: &[f64], digits: usize) -> String {
    match figures.iter().all(|figure| figure.is_finite()) && !figures.is_empty() {
        true => spread(figures, digits),
        false => "-".to_owned(),
    }
}

/// The rounds of one server.
pub fn find(servers: &[Rounds], name: Name) -> Option<&Rounds> {
    servers.iter().find(|rounds| rounds.name == name)
}

/// Prints all figures of a case, and larder's in relation to the others.
pub fn print_case(case: &Case, servers: &[Rounds]) {
    let unit = if case.workload.keys_per_request() > 1.0 { "key" } else { "request" };
    let larder = find(servers, Name::Larder);
    let others: Vec<&Rounds> =
        servers.iter().filter(|rounds| rounds.name != Name::Larder && larder.is_some()).collect();
    let mut headings = vec![case.name.to_owned()];
    headings.extend(servers.iter().map(|rounds| rounds.name.as_str().to_owned()));
    headings.extend(others.iter().map(|rounds| format!("larder : {}", rounds.name.as_str())));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(&headings);
    for shown in &SHOWN {
        let mut row = vec![shown.title(unit)];
        row.extend(servers.iter().map(|rounds| cell(&rounds.all(shown.of), shown.digits)));
        row.extend(others.iter().filter_map(|other| Some(cell(&larder?.ratios(other, shown.of), 2))));
        table.row(row);
    }
    let mut row = vec![format!("system calls per {unit}")];
    row.extend(servers.iter().map(|rounds| cell(&[rounds.calls_per_key], 3)));
    let ratio = |other: &&Rounds| Some(cell(&[larder?.calls_per_key / other.calls_per_key], 2));
    row.extend(others.iter().filter_map(ratio));
    table.row(row);
    println!("\n{}: {}", case.name, case.workload);
    table.print();
    print_lateness(servers.iter().flat_map(|rounds| &rounds.runs));
}

/// Of an open loop: what of the latencies is the load's own.
fn print_lateness<'a>(runs: impl Iterator<Item = &'a Figures>) {
    let late = runs.map(|run| run.lateness_p99_us).filter(|late| late.is_finite());
    let worst = late.fold(f64::NEG_INFINITY, f64::max);
    if worst.is_finite() {
        println!(
            "  The load itself was late by {worst:.0} us (p99 of its worst run), which latencies include."
        );
    }
}

/// Prints what larder comes to beside the others, a line to each case.
pub fn print_summary(title: &str, cases: &[(&Case, &[Rounds])]) {
    let mut table = Table::new(&[
        title,
        "CPU us: memcached",
        "larder",
        "floor",
        "CPU ratio",
        "CPU to floor",
        "throughput",
        "throughput to floor",
        "p99",
        "RSS",
        "system calls",
    ]);
    for (case, servers) in cases {
        let cpu = |name: Name| {
            find(servers, name)
                .map_or_else(|| "-".to_owned(), |rounds| cell(&[median(&rounds.all(Figures::cpu_us))], 2))
        };
        let larder = find(servers, Name::Larder);
        let ratio = |to: Name, of: fn(&Figures) -> f64| match (larder, find(servers, to)) {
            (Some(larder), Some(other)) => cell(&larder.ratios(other, of), 2),
            _ => "-".to_owned(),
        };
        let calls = match (larder, find(servers, Name::Memcached)) {
            (Some(larder), Some(other)) => cell(&[larder.calls_per_key / other.calls_per_key], 2),
            _ => "-".to_owned(),
        };
        table.row([
            case.name.to_owned(),
            cpu(Name::Memcached),
            cpu(Name::Larder),
            cpu(Name::Floor),
            ratio(Name::Memcached, Figures::cpu_us),
            ratio(Name::Floor, Figures::cpu_us),
            ratio(Name::Memcached, |run| run.keys_per_sec),
            ratio(Name::Floor, |run| run.keys_per_sec),
            ratio(Name::Memcached, |run| run.p99_us),
            ratio(Name::Memcached, |run| run.resident_mib),
            calls,
        ]);
    }
    println!("\nlarder in relation to memcached (to the floor where it says so), median (lowest-highest):");
    table.print();
}

/// Prints the figures of a load on a server of which no more is known.
pub fn print_load(case: &Case, runs: &[Figures]) {
    let unit = if case.workload.keys_per_request() > 1.0 { "key" } else { "request" };
    let mut table = Table::new(&[case.name, "median (lowest-highest)"]);
    for shown in &SHOWN {
        let figures: Vec<f64> = runs.iter().map(shown.of).collect();
        if figures.iter().all(|figure| figure.is_finite()) {
            table.row([shown.title(unit), cell(&figures, shown.digits)]);
        }
    }
    table.print();
    print_lateness(runs.iter());
}
