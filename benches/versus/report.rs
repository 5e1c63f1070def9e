//! The file of results: one JSON document, written anew after each case, so that one that is interrupted
//! leaves what it has.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::cases::Case;
use crate::cores::Cores;
use crate::failure::Failure;
use crate::figures::{self, Rounds};
use crate::options::Options;
use crate::servers::Name;
use crate::syscalls::Calls;

/// The file, if one was asked for.
pub struct Report {
    path: Option<PathBuf>,
    head: Map<String, Value>,
    cases: Vec<Value>,
}

impl Report {
    /// Without a case so far.
    pub fn new(options: &Options, cores: &Cores) -> Report {
        let head = json!({
            "machine": {
                "processor": processor(),
                "kernel": read("/proc/sys/kernel/osrelease"),
                "memory": read("/proc/meminfo").lines().next().unwrap_or_default(),
                "server_processors": cores.server, "load_processors": cores.load,
            },
            "rounds": options.rounds,
            "warm_up_secs": options.timing.warm_up.as_secs_f64(),
            "measured_secs": options.timing.measured.as_secs_f64(),
            "server_threads": options.threads.unwrap_or(cores.server_threads()),
            "load_threads": options.load_threads.unwrap_or(cores.load_threads()),
            "seed": options.seed,
        });
        let Value::Object(head) = head else { unreachable!("it is written as an object") };
        Report { path: options.json.clone(), head, cases: Vec::new() }
    }

    /// Adds a case and writes the file.
    pub fn add(
        &mut self,
        case: &Case,
        servers: &[Rounds],
        calls: &[(Name, Calls)],
        versions: &[(Name, String)],
    ) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let by_name = |of: &dyn Fn(&Rounds) -> Value| -> Value {
            servers.iter().map(|rounds| (rounds.name.as_str(), of(rounds))).collect()
        };
        let ratios = |to: Name| {
            let pair = figures::find(servers, Name::Larder).zip(figures::find(servers, to));
            pair.map(|(larder, other)| larder.ratio_summary(other))
        };
        self.cases.push(json!({
            "case": case.name,
            "part": case.part.as_str(),
            "workload": case.workload.json(),
            "runs": by_name(&|rounds| rounds.runs.iter().map(figures::Figures::json).collect()),
            "summary": by_name(&|rounds| rounds.summary()),
            "larder_to_memcached": ratios(Name::Memcached),
            "larder_to_floor": ratios(Name::Floor),
            "syscalls": calls.iter().map(|(name, calls)| (name.as_str(), json!(calls.0))).collect::<Value>(),
        }));
        let versions: Value =
            versions.iter().map(|(name, version)| (name.as_str(), Value::from(version.as_str()))).collect();
        self.head.insert("versions".to_owned(), versions);
        let mut all = self.head.clone();
        all.insert("cases".to_owned(), self.cases.clone().into());
        let text = format!("{:#}\n", Value::Object(all));
        fs::write(path, text)
            .map_err(|error| io::Error::other(format!("--json {}: {error}", path.display())).into())
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The first processor's name, where the system has one.
fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(String::new, |(_, name)| name.trim().to_owned())
}
