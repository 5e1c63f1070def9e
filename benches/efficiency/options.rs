//! The command line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::trace::{DESCRIPTION, TraceName};

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Hits of the traces, through sockets.
    HitRatio,
    /// Items that fit.
    Capacity,
    /// How long a reader waits while another client loads.
    Stall,
    /// What larger memories would do.
    Scaling,
}

impl Part {
    /// In the order in which they run.
    pub const ALL: [Part; 4] = [Part::HitRatio, Part::Capacity, Part::Stall, Part::Scaling];

    fn as_str(self) -> &'static str {
        match self {
            Part::HitRatio => "hit-ratio",
            Part::Capacity => "capacity",
            Part::Stall => "stall",
            Part::Scaling => "scaling",
        }
    }
}

/// What was asked for.
pub struct Options {
    /// Which parts.
    pub parts: Vec<Part>,
    /// Which traces; `None` for all of a part.
    pub traces: Option<Vec<TraceName>>,
    /// Of the traces.
    pub seed: u64,
    /// `-m` of the servers.
    pub memory_mb: usize,
    /// `-t` of the servers.
    pub threads: usize,
    /// Runs of each measurement.
    pub repeat: usize,
    /// Factor on the requests of a trace.
    pub scale: f64,
    /// Factor on the keys of a trace.
    pub key_scale: f64,
    /// Requests per second of the paced trace.
    pub twitter_rate: f64,
    /// The store without sockets, instead of the parts.
    pub in_process: bool,
    /// In process: requests per simulated second.
    pub rate: f64,
    /// In process: numbers of partitions; `None` is the daemon's own.
    pub partitions: Vec<Option<usize>>,
    /// In process: bytes of a page.
    pub page_bytes: Option<usize>,
    /// In process: workers.
    pub workers: usize,
    /// Small sizes, for a check that all works.
    pub quick: bool,
    /// Only try the checker.
    pub self_test: bool,
    /// Items that the stall part loads.
    pub stall_items: u64,
    /// More arguments for larder.
    pub larder_args: Vec<String>,
    /// More arguments for memcached.
    pub memcached_args: Vec<String>,
    /// Where the single runs go.
    pub json: Option<PathBuf>,
}

impl Options {
    /// Reads the process's arguments; ends the process on `--help` and on mistakes.
    pub fn read() -> Options {
        let given = command().get_matches();
        let options = Options::from(&given);
        if options.quick { options.made_quick() } else { options }
    }
}

impl Options {
    /// The same at sizes that take half a minute in all. What comes out says nothing but that it works.
    fn made_quick(self) -> Options {
        Options {
            memory_mb: 8,
            repeat: 1,
            scale: 0.05,
            key_scale: 0.1,
            stall_items: 500_000,
            // 50 k paced requests take as long as the longest of the short TTLs with its grace.
            twitter_rate: 10e3,
            ..self
        }
    }
}

impl From<&ArgMatches> for Options {
    fn from(given: &ArgMatches) -> Options {
        let words = |name: &str| {
            let text = given.get_one::<String>(name).map(String::as_str).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        let all = |name: &str| given.get_many::<String>(name).into_iter().flatten();
        let part = |text: &String| Part::ALL.into_iter().find(|part| part.as_str() == text);
        let trace = |text: &String| TraceName::ALL.into_iter().find(|trace| trace.as_str() == text);
        let traces: Vec<TraceName> = all("trace").filter_map(trace).collect();
        let parts: Vec<Part> = all("part").filter_map(part).collect();
        let partitions = given.get_many::<usize>("partitions").into_iter().flatten();
        let partitions: Vec<Option<usize>> = partitions.copied().map(Some).collect();
        Options {
            parts: if parts.is_empty() { Part::ALL.to_vec() } else { parts },
            traces: Some(traces).filter(|traces| !traces.is_empty()),
            seed: given.get_one("seed").copied().unwrap_or(1),
            memory_mb: given.get_one("memory").copied().unwrap_or(64),
            threads: given.get_one("threads").copied().unwrap_or(1),
            repeat: given.get_one("repeat").copied().unwrap_or(1),
            scale: given.get_one("scale").copied().unwrap_or(1.0),
            key_scale: given.get_one("key-scale").copied().unwrap_or(1.0),
            twitter_rate: given.get_one("twitter-rate").copied().unwrap_or(60e3),
            in_process: given.get_flag("in-process"),
            rate: given.get_one("rate").copied().unwrap_or(100e3),
            partitions: if partitions.is_empty() { vec![None] } else { partitions },
            page_bytes: given.get_one("page-bytes").copied(),
            workers: given.get_one("workers").copied().unwrap_or(1),
            quick: given.get_flag("quick"),
            self_test: given.get_flag("self-test"),
            stall_items: given.get_one("stall-items").copied().unwrap_or(20_000_000),
            larder_args: words("larder-args"),
            memcached_args: words("memcached-args"),
            json: given.get_one("json").cloned(),
        }
    }
}

fn command() -> Command {
    let names = |of: &[&'static str]| clap::builder::PossibleValuesParser::new(of.iter().copied());
    let parts = Part::ALL.map(Part::as_str);
    let traces = TraceName::ALL.map(TraceName::as_str);
    Command::new("efficiency")
        .about(
            "Hit ratio, items per memory, stalls and scaling of larder, beside memcached where it is there",
        )
        .after_help(DESCRIPTION)
        .args([
            value("part", "NAMES", "Only these parts").value_delimiter(',').value_parser(names(&parts)),
            value("trace", "NAMES", "Only these traces").value_delimiter(',').value_parser(names(&traces)),
            value("seed", "N", "Seed of the traces [1]").value_parser(value_parser!(u64)),
            value("memory", "MB", "-m of the servers [64]").value_parser(value_parser!(usize)),
            value("threads", "N", "-t of the servers [1]").value_parser(value_parser!(usize)),
            value("repeat", "N", "Runs of each measurement; medians are shown [1]").value_parser(count),
            value("scale", "FACTOR", "On the number of requests of the traces [1]").value_parser(positive),
            value("key-scale", "FACTOR", "On the number of keys of the traces [1]").value_parser(positive),
            value("twitter-rate", "N", "Requests/s of the trace in real time [60000]").value_parser(positive),
            value("stall-items", "N", "Items that the stall part loads [20000000]")
                .value_parser(value_parser!(u64)),
            value("larder-args", "ARGS", "More arguments for larder").allow_hyphen_values(true),
            value("memcached-args", "ARGS", "More arguments for memcached").allow_hyphen_values(true),
            value("json", "FILE", "Write every single run there, as a line of JSON")
                .value_parser(value_parser!(PathBuf)),
            flag("quick", "Everything at a small size, to see that it works"),
            flag("self-test", "Only try the checker against wrong answers"),
            flag("in-process", "hit-ratio and stall straight against the store: no sockets, simulated time"),
            value(
                "partitions",
                "LIST",
                "In process: numbers of partitions, for stall the first [the daemon's]",
            )
            .value_delimiter(',')
            .value_parser(power_of_two),
            value("page-bytes", "N", "In process: bytes of a page [the daemon's]").value_parser(power_of_two),
            value("workers", "N", "In process: workers [1]").value_parser(count),
            value("rate", "N", "In process: requests per simulated second [100000]").value_parser(positive),
            // cargo bench adds it.
            flag("bench", "").hide(true),
        ])
}

fn value(name: &'static str, what: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(what).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "a number above 0 is expected".to_owned())
}

fn power_of_two(text: &str) -> Result<usize, String> {
    let number = count(text)?;
    if number.is_power_of_two() { Ok(number) } else { Err("a power of two is expected".to_owned()) }
}

fn positive(text: &str) -> Result<f64, String> {
    let is_usable = |number: &f64| number.is_finite() && *number > 0.0;
    text.parse().ok().filter(is_usable).ok_or_else(|| "a number above 0 is expected".to_owned())
}
