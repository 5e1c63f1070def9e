//! Part `capacity`: how many items of one size stay in a given memory.
//!
//! Twice as many items are set as the memory could hold if they had no overhead at all; then every key is
//! read back and verified, and what is there is counted.

use std::io;

use serde_json::json;

use crate::client::{Connection, Reply, is_stored, unexpected};
use crate::ledger::{self, Answer, Faults, Ledger, Verdict};
use crate::options::Options;
use crate::report::Report;
use crate::server::{Program, Server};
use crate::table::{Table, median, spread};
use crate::value::Values;

/// Length of the keys.
const KEY_BYTES: usize = 20;
/// Lengths of the values.
const VALUE_BYTES: [usize; 3] = [32, 100, 200];
/// Sets that are sent before their answers are read.
const SETS_PER_BATCH: u32 = 256;
/// Keys in one get.
const KEYS_PER_GET: u32 = 64;

/// What one run came to.
#[derive(Clone, Copy, Debug)]
struct Run {
    sets: u32,
    resident: u64,
    peak_mib: f64,
    faults: Faults,
}

/// Fills every program with items of every length and prints the comparison.
pub fn run_all(programs: &[Program], options: &Options, report: &mut Report) -> io::Result<Faults> {
    println!(
        "\ncapacity: -m {} -t {}, keys of {KEY_BYTES} B, {} run(s) each; overhead is what -m has for an item, \
         over key and value",
        options.memory_mb, options.threads, options.repeat
    );
    let values = ledger::values(options.seed);
    let mut faults = Faults::default();
    let headings = [
        "value",
        "server",
        "resident items",
        "ratio",
        "overhead B/item",
        "key and value %",
        "peak RSS MiB",
        "refused",
        "bad",
    ];
    let mut table = Table::new(&headings);
    for value_bytes in VALUE_BYTES {
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); programs.len()];
        for repetition in 0..options.repeat {
            for turn in 0..programs.len() {
                let which = (turn + repetition) % programs.len();
                report.announce("capacity", &format!("{value_bytes} B"), programs[which].name);
                let run = measure(&programs[which], value_bytes, options, &values)?;
                report.record(json!({
                    "part": "capacity", "server": programs[which].name, "memory_mb": options.memory_mb,
                    "threads": options.threads, "key_bytes": KEY_BYTES, "value_bytes": value_bytes,
                    "sets": run.sets, "resident": run.resident, "peak_rss_mib": run.peak_mib,
                    "bad_answers": run.faults.bad(), "refused": run.faults.refused,
                }));
                faults.add(&run.faults);
                runs[which].push(run);
            }
        }
        for (program, of_program) in programs.iter().zip(&runs) {
            add_row(&mut table, program, value_bytes, options, of_program, &runs[0]);
        }
    }
    table.print();
    Ok(faults)
}

fn measure(program: &Program, value_bytes: usize, options: &Options, values: &Values) -> io::Result<Run> {
    let server = Server::start(program, options.memory_mb, options.threads)?;
    let mut connection = Connection::open(server.address)?;
    let sets = (2 * (options.memory_mb << 20) / (KEY_BYTES + value_bytes)) as u32;
    let mut fill =
        Fill { values, ledger: Ledger::new(sets as usize, 0), value_bytes, faults: Faults::default() };
    for first in (0..sets).step_by(SETS_PER_BATCH as usize) {
        fill.set(&mut connection, first..sets.min(first + SETS_PER_BATCH))?;
    }
    let mut resident = 0;
    for first in (0..sets).step_by(KEYS_PER_GET as usize) {
        resident += fill.count(&mut connection, first..sets.min(first + KEYS_PER_GET))?;
    }
    Ok(Run { sets, resident, peak_mib: server.peak_mib()?, faults: fill.faults })
}

/// Items of one size.
struct Fill<'a> {
    values: &'a Values,
    ledger: Ledger,
    value_bytes: usize,
    faults: Faults,
}

impl Fill<'_> {
    fn set(&mut self, connection: &mut Connection, ids: std::ops::Range<u32>) -> io::Result<()> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for id in ids.clone() {
            let version = self.ledger.fill(id, 0, 0);
            key.clear();
            self.values.push_key(id, KEY_BYTES, &mut key);
            value.clear();
            self.values.push_value(id, version, self.value_bytes, &mut value);
            connection.push_set(&key, self.values.flags(id), 0, &value, "");
        }
        connection.send()?;
        for _ in ids {
            self.faults.refused += u64::from(!is_stored(&connection.reply()?)?);
        }
        Ok(())
    }

    /// How many of these items are there.
    fn count(&mut self, connection: &mut Connection, ids: std::ops::Range<u32>) -> io::Result<u64> {
        let mut key = Vec::new();
        connection.push(b"get");
        for id in ids.clone() {
            key.clear();
            key.push(b' ');
            self.values.push_key(id, KEY_BYTES, &mut key);
            connection.push(&key);
        }
        connection.push(b"\r\n");
        connection.send()?;
        let mut resident = 0;
        let mut asked = ids;
        loop {
            let verdict = match connection.reply()? {
                Reply::Line(b"END") => return Ok(resident),
                Reply::Value { key: found, flags, value } => {
                    // Values come in the order of the keys; those that are missing are passed over.
                    let id = asked.find(|&id| {
                        key.clear();
                        self.values.push_key(id, KEY_BYTES, &mut key);
                        key == found
                    });
                    id.map_or(Verdict::Wrong, |id| {
                        let answer = Answer { id, value_bytes: self.value_bytes, flags, value };
                        self.ledger.judge(&answer, self.ledger.expected(id), 0, self.values)
                    })
                }
                other => return Err(unexpected(&other)),
            };
            resident += u64::from(self.faults.count(verdict));
        }
    }
}

fn add_row(
    table: &mut Table,
    program: &Program,
    value_bytes: usize,
    options: &Options,
    runs: &[Run],
    first: &[Run],
) {
    let residents = |runs: &[Run]| runs.iter().map(|run| run.resident as f64).collect::<Vec<f64>>();
    let resident = median(&residents(runs));
    let limit_bytes = (options.memory_mb << 20) as f64;
    let payload_bytes = (KEY_BYTES + value_bytes) as f64;
    let peaks: Vec<f64> = runs.iter().map(|run| run.peak_mib).collect();
    table.row([
        value_bytes.to_string(),
        program.name.to_owned(),
        spread(&residents(runs), 0),
        format!("{:.3}", resident / median(&residents(first))),
        format!("{:.1}", limit_bytes / resident - payload_bytes),
        format!("{:.1}", resident * payload_bytes / limit_bytes * 100.0),
        spread(&peaks, 1),
        runs.iter().map(|run| run.faults.refused).sum::<u64>().to_string(),
        runs.iter().map(|run| run.faults.bad()).sum::<u64>().to_string(),
    ]);
}
