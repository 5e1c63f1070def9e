//! The command line.

use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::cases::{self, Case, Part};
use crate::connection::Address;
use crate::floor;
use crate::load::Timing;
use crate::servers::Name;
use crate::value::KEY_BYTES_MAX;
use crate::workload::{Arrivals, Popularity, Protocol, Ratio, Transport, ValueBytes, Workload};

/// Least length of a key that tells it from all others.
const KEY_BYTES_MIN: usize = 11;
/// Of a quick run: the three servers together have two seconds for a load.
const QUICK_SECS: f64 = 0.7;

/// How it measures, behind the options.
const METHOD: &str = "\
What is compared: larder as it was built with this benchmark, memcached from PATH, and `floor`, a server in this
program that reads the same requests and writes replies of the same form and length without a store: no cache can
be cheaper. In each round every server is started anew, all keys are stored, the load warms up, and then counts. The
rounds go through the servers in turns. Tables show the median with the lowest and the highest round, and the ratio
of larder to the others round by round. CPU time is the server's alone (/proc/PID/stat). Where there are processors
enough, the server has its own and the load its own.

Closed loop: a connection sends as many requests at once as the pipeline is deep, and the next ones when all are
answered. Open loop (--rate): requests arrive at random times (Poisson) on any of the connections, whether others are
answered or not; latency counts from the time when a request was to be sent, so that waiting behind a slow reply is
part of it. Every reply is judged: key, client flags, length, opaque, each byte of the value, the order and the end.
A wrong one ends the run with status 1. Keys and values follow from --seed.

A figure per key is that of a request divided by its keys; where a request has one key, it is called per request.

Examples:
  cargo bench --bench versus
  cargo bench --bench versus -- --case pipeline-1,pipeline-32 --rounds 9 --json versus.json --svg versus.svg
  cargo bench --bench versus -- --part growth
  cargo bench --bench versus -- --case pipeline-32 --zipf 0.99 --value-bytes 10-1000 --larder target/before
  cargo bench --bench versus -- --server 10.0.0.7:11211 --case pipeline-1 --connections 500 --rate 50000";

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The loads.
    pub cases: Vec<Case>,
    /// Runs of each server and load.
    pub rounds: usize,
    /// Which servers.
    pub servers: Vec<Name>,
    /// The program; `None` for the one on `PATH`.
    pub memcached: Option<PathBuf>,
    /// The program.
    pub larder: PathBuf,
    /// More arguments for it.
    pub memcached_args: Vec<String>,
    /// More arguments for it.
    pub larder_args: Vec<String>,
    /// Of a server; `None` for one to each of its processors.
    pub threads: Option<usize>,
    /// Of the load; `None` for one to each of its processors.
    pub load_threads: Option<usize>,
    /// Of a run.
    pub timing: Timing,
    /// Of everything that is random.
    pub seed: u64,
    /// `-m`; `None` for what the load needs.
    pub memory_mb: Option<usize>,
    /// A server that runs already, in place of those that are compared.
    pub server: Option<Address>,
    /// Whether keys are stored first on it.
    pub is_filled: bool,
    /// Whether system calls are counted.
    pub has_strace: bool,
    /// Where the results go.
    pub json: Option<PathBuf>,
    /// Where the chart goes.
    pub svg: Option<PathBuf>,
    /// Only to print the command lines of other load generators.
    pub has_equivalents: bool,
    /// To be the floor server, and nothing else.
    pub floor: Option<floor::Options>,
}

impl Options {
    /// Reads the process's arguments; ends the process on `--help` and on mistakes.
    pub fn read() -> Options {
        Options::from(&command().get_matches())
    }
}

impl From<&ArgMatches> for Options {
    fn from(given: &ArgMatches) -> Options {
        let words = |name: &str| {
            let text = given.get_one::<String>(name).map(String::as_str).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        let is_named = |name: Name| {
            let mut names = given.get_many::<String>("servers").into_iter().flatten().peekable();
            names.peek().is_none() || names.any(|text| text == name.as_str())
        };
        let is_quick = given.get_flag("quick");
        let secs = |name: &str, usual: f64, quick: f64| {
            let secs = if is_quick { quick } else { usual };
            Duration::from_secs_f64(given.get_one(name).copied().unwrap_or(secs))
        };
        let timing =
            Timing { warm_up: secs("warm-up", 1.0, 0.05), measured: secs("duration", 5.0, QUICK_SECS) };
        let larder = given.get_one("larder").cloned();
        let seed = given.get_one("seed").copied().unwrap_or(1);
        Options {
            cases: chosen(given, is_quick),
            rounds: given.get_one("rounds").copied().unwrap_or(if is_quick { 1 } else { 5 }),
            servers: Name::ALL.into_iter().filter(|&name| is_named(name)).collect(),
            memcached: given.get_one("memcached").cloned(),
            larder: larder.unwrap_or_else(|| env!("CARGO_BIN_EXE_larder").into()),
            memcached_args: words("memcached-args"),
            larder_args: words("larder-args"),
            threads: given.get_one("threads").copied(),
            load_threads: given.get_one("load-threads").copied(),
            timing,
            seed,
            memory_mb: given.get_one("memory").copied(),
            server: given.get_one("server").cloned(),
            is_filled: !given.get_flag("no-fill"),
            has_strace: !given.get_flag("no-strace"),
            json: given.get_one("json").cloned(),
            svg: given.get_one("svg").cloned(),
            has_equivalents: given.get_flag("equivalents"),
            floor: given.get_one::<Address>("serve-floor").map(|address| floor::Options {
                address: address.clone(),
                threads: given.get_one("threads").copied().unwrap_or(1),
                value_bytes: given.get_one("value-bytes").copied().unwrap_or(cases::base().value_bytes),
                seed,
                connections: given.get_one("connections").copied().unwrap_or(cases::base().connections),
            }),
        }
    }
}

/// The cases that were named, else those that belong to the parts, each changed as was asked for.
fn chosen(given: &ArgMatches, is_quick: bool) -> Vec<Case> {
    let all = |name: &str| -> Vec<&String> { given.get_many(name).into_iter().flatten().collect() };
    let (names, mut parts) = (all("case"), all("part"));
    let both = Part::ALL.map(|part| part.as_str().to_owned());
    if parts.is_empty() {
        parts.extend(if is_quick { &both[..] } else { &both[..1] });
    }
    let is_chosen = |case: &Case| match names.is_empty() {
        true => {
            let is_usual = if is_quick { case.is_quick } else { case.is_default };
            is_usual && parts.iter().any(|part| *part == case.part.as_str())
        }
        false => names.iter().any(|name| *name == case.name),
    };
    let mut cases: Vec<Case> = cases::all().into_iter().filter(is_chosen).collect();
    for case in &mut cases {
        let workload = if is_quick { cases::quick(case.workload.clone()) } else { case.workload.clone() };
        case.workload = changed(workload, given);
    }
    cases
}

/// A load with what was given on the command line in place of its own.
fn changed(of_case: Workload, given: &ArgMatches) -> Workload {
    let number = |name: &str, usual: usize| given.get_one(name).copied().unwrap_or(usual);
    let is = |name: &str, word: &str| given.get_one::<String>(name).is_some_and(|given| given == word);
    let mut load = Workload {
        connections: number("connections", of_case.connections),
        pipeline: number("pipeline", of_case.pipeline),
        multiget: number("multiget", of_case.multiget),
        keys: number("keys", of_case.keys as usize) as u32,
        key_bytes: number("key-bytes", of_case.key_bytes),
        value_bytes: given.get_one("value-bytes").copied().unwrap_or(of_case.value_bytes),
        ratio: given.get_one("ratio").copied().unwrap_or(of_case.ratio),
        ..of_case
    };
    if let Some(&exponent) = given.get_one("zipf") {
        load.popularity = Popularity::Zipf(exponent);
    } else if given.get_flag("uniform") {
        load.popularity = Popularity::Uniform;
    }
    if let Some(&per_sec) = given.get_one("rate") {
        load.arrivals = Arrivals::Open { per_sec };
    } else if given.get_flag("closed") {
        load.arrivals = Arrivals::Closed;
    }
    if given.value_source("protocol") == Some(ValueSource::CommandLine) {
        load.protocol = if is("protocol", "meta") { Protocol::Meta } else { Protocol::Classic };
    }
    if given.value_source("transport") == Some(ValueSource::CommandLine) {
        load.transport = if is("transport", "unix") { Transport::Unix } else { Transport::Tcp };
    }
    if let Some(address) = given.get_one::<Address>("server") {
        load.transport = address.transport();
    }
    load
}

fn command() -> Command {
    let about = "larder beside memcached and beside a server without a store: throughput, CPU time, latency, \
                 system calls and memory under the same load";
    Command::new("versus")
        .about(about)
        .after_help(METHOD)
        .args(what_runs())
        .args(load_options())
        .args(outcome_options())
}

fn what_runs() -> Vec<Arg> {
    let names = PossibleValuesParser::new(cases::all().into_iter().map(|case| case.name));
    let servers = PossibleValuesParser::new(Name::ALL.map(Name::as_str));
    vec![
        value(
            "part",
            "NAMES",
            "Tables: loads of different kinds, or growth with keys, values, connections [cases]",
        )
        .value_delimiter(',')
        .value_parser(Part::ALL.map(Part::as_str)),
        value("case", "NAMES", "Only these loads [all up to low-load, or all of growth]")
            .value_delimiter(',')
            .value_parser(names),
        value("servers", "NAMES", "Only these servers [all]").value_delimiter(',').value_parser(servers),
        value("rounds", "N", "Runs of each server under each load [5]").value_parser(count),
        value("duration", "SECS", "That count, of each run [5]").value_parser(positive),
        value("warm-up", "SECS", "Before them [1]").value_parser(positive),
        value("threads", "N", "Of a server [one to each of its processors, up to 4]").value_parser(count),
        value("load-threads", "N", "Of the load [one to each of its processors, up to 4]")
            .value_parser(count),
        value("memory", "MB", "-m of the servers [so much that nothing is evicted]").value_parser(count),
        value("seed", "N", "Of keys, values and times [1]").value_parser(value_parser!(u64)),
        value("memcached", "PATH", "The program [memcached on PATH]").value_parser(value_parser!(PathBuf)),
        value("larder", "PATH", "The program: another build to compare with [this build's]")
            .value_parser(value_parser!(PathBuf)),
        value("memcached-args", "ARGS", "More arguments for memcached").allow_hyphen_values(true),
        value("larder-args", "ARGS", "More arguments for larder").allow_hyphen_values(true),
        value("server", "ADDRESS", "Only load the server at HOST:PORT or at the file of a Unix socket")
            .value_parser(address),
        flag("no-fill", "With --server: the keys are there already (of the same --seed, --keys and lengths)"),
    ]
}

fn load_options() -> Vec<Arg> {
    let heading = "Loads (each in place of the case's own)";
    let args = vec![
        value("connections", "N", "Over all load threads").value_parser(count),
        value("pipeline", "N", "Requests sent at once on a connection").value_parser(count),
        value("multiget", "N", "Keys of a get").value_parser(count),
        value("keys", "N", "Keys that there are").value_parser(keys),
        value("key-bytes", "N", "Length of a key, 11 to 43").value_parser(key_bytes),
        value("zipf", "EXPONENT", "Keys are asked for by zipf's law").value_parser(positive),
        flag("uniform", "Keys are asked for alike").conflicts_with("zipf"),
        value("value-bytes", "N|MIN-MAX", "Length of the values, or a range")
            .value_parser(parse::<ValueBytes>),
        value("ratio", "GETS:SETS", "So many gets to so many sets").value_parser(parse::<Ratio>),
        value("protocol", "NAME", "get and set, or mg and ms").value_parser(["classic", "meta"]),
        value("transport", "NAME", "Sockets").value_parser(["tcp", "unix"]).conflicts_with("server"),
        value("rate", "N", "Open loop: requests per second").value_parser(positive),
        flag("closed", "Closed loop").conflicts_with("rate"),
    ];
    args.into_iter().map(|arg| arg.help_heading(heading)).collect()
}

fn outcome_options() -> Vec<Arg> {
    let heading = "What comes of it";
    let file = |name, help| value(name, "FILE", help).value_parser(value_parser!(PathBuf));
    let args = vec![
        file("json", "Write every run, the medians and the machine there"),
        file("svg", "Draw the ratios to memcached there, of part cases if it runs, else of growth"),
        flag("no-strace", "Do not count system calls, which takes a short run more"),
        flag("equivalents", "Only print memtier_benchmark's and memcaslap's command lines for these loads"),
        flag("quick", "Every load for a moment, to see that it works: the figures say nothing"),
        value("serve-floor", "ADDRESS", "").value_parser(address).hide(true),
        // cargo bench adds it.
        flag("bench", "").hide(true),
    ];
    args.into_iter().map(|arg| arg.help_heading(heading)).collect()
}

fn value(name: &'static str, what: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(what).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn parse<T: std::str::FromStr<Err = String>>(text: &str) -> Result<T, String> {
    text.parse()
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "a number above 0 is expected".to_owned())
}

fn keys(text: &str) -> Result<usize, String> {
    let keys = count(text)?;
    if keys < u32::MAX as usize { Ok(keys) } else { Err(format!("fewer than {} are expected", u32::MAX)) }
}

fn key_bytes(text: &str) -> Result<usize, String> {
    let bytes = count(text)?;
    let is_usable = (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&bytes);
    if is_usable { Ok(bytes) } else { Err(format!("{KEY_BYTES_MIN} to {KEY_BYTES_MAX} are expected")) }
}

fn positive(text: &str) -> Result<f64, String> {
    let is_usable = |number: &f64| number.is_finite() && *number > 0.0;
    text.parse().ok().filter(is_usable).ok_or_else(|| "a number above 0 is expected".to_owned())
}

fn address(text: &str) -> Result<Address, String> {
    if text.contains('/') {
        return Ok(Address::Unix(text.into()));
    }
    let found = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.map(Address::Tcp).ok_or_else(|| "HOST:PORT or a path with a / is expected".to_owned())
}
