//! Part `stall`: how long a reader waits while another client loads millions of small items.
//!
//! The reader sends a get at fixed times, whether those before have been answered or not; waiting is counted
//! from when a get was to be sent, so a stall counts against all that fall into it. What machine and reader
//! add is seen twice: the same reader asks the loaded but idle server, and the longest wait is also counted
//! from when the get was really sent.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use crate::client::{Connection, Reply, unexpected};
use crate::ledger::{self, Answer, Faults, Ledger};
use crate::options::Options;
use crate::report::Report;
use crate::server::{Program, Server};
use crate::table::{Table, spread, thousands};
use crate::value::Values;

/// Time between two gets of the reader.
const INTERVAL: Duration = Duration::from_micros(500);
/// Waits in milliseconds beyond which one is counted as a stall.
const STALL_MS: [u64; 2] = [1, 2];
/// Longest wait that is told from longer ones, in nanoseconds: more than a connection has patience for.
const LONGEST_NS: u64 = 60_000_000_000;
/// Lengths of loaded keys and values.
pub const KEY_BYTES: usize = 14;
pub const VALUE_BYTES: usize = 8;
/// Sets without reply between two requests for one, which keeps what is under way bounded.
const SETS_PER_BATCH: u32 = 500;
/// Memory for a loaded item, more than any of the servers needs; so nothing is evicted.
const BYTES_PER_ITEM: u64 = 128;
/// Length of the value that is read.
const HOT_VALUE_BYTES: usize = 100;

/// What the reader saw.
struct Waits {
    /// In nanoseconds.
    histogram: Histogram<u64>,
    /// The longest wait from when a get was sent, not from when it was to be.
    longest_since_sent: Duration,
    /// Runs of answers that took longer than each of [`STALL_MS`].
    stalls: [u64; STALL_MS.len()],
    /// Whether such a run is under way.
    is_stalled: [bool; STALL_MS.len()],
    faults: Faults,
}

/// One run against one server.
struct Run {
    loading: Waits,
    idle: Waits,
    load_secs: f64,
    peak_mib: f64,
    evictions: u64,
}

/// Memory for what is loaded.
pub fn memory_mb(options: &Options) -> usize {
    ((options.stall_items * BYTES_PER_ITEM) >> 20) as usize + 64
}

/// Loads every program under a reader's eyes and prints the comparison.
pub fn run_all(programs: &[Program], options: &Options, report: &mut Report) -> io::Result<Faults> {
    let memory_mb = memory_mb(options);
    println!(
        "\nstall: a get every {} us while {} items of {KEY_BYTES}+{VALUE_BYTES} B are loaded, -m {memory_mb} -t {}, \
         {} run(s) each; waits in us",
        INTERVAL.as_micros(),
        thousands(options.stall_items),
        options.threads,
        options.repeat
    );
    let values = ledger::values(options.seed);
    let mut faults = Faults::default();
    let mut runs: Vec<Vec<Run>> = programs.iter().map(|_| Vec::new()).collect();
    for repetition in 0..options.repeat {
        for turn in 0..programs.len() {
            let which = (turn + repetition) % programs.len();
            report.announce("stall", "loading", programs[which].name);
            let run = measure(&programs[which], memory_mb, options, &values)?;
            for (server_is, waits) in [("loading", &run.loading), ("idle", &run.idle)] {
                faults.add(&waits.faults);
                report.record(json!({
                    "part": "stall", "server": programs[which].name, "server_is": server_is,
                    "items": options.stall_items, "memory_mb": memory_mb, "threads": options.threads,
                    "gets": waits.histogram.len(), "p50_us": waits.us(0.5), "p99_us": waits.us(0.99),
                    "p999_us": waits.us(0.999), "p9999_us": waits.us(0.9999), "longest_us": waits.us(1.0),
                    "longest_since_sent_us": waits.longest_since_sent.as_micros() as u64,
                    "stalls_over_1_ms": waits.stalls[0], "stalls_over_2_ms": waits.stalls[1],
                    "load_secs": run.load_secs, "peak_rss_mib": run.peak_mib, "evictions": run.evictions,
                    "bad_answers": waits.faults.bad(),
                }));
            }
            runs[which].push(run);
        }
    }
    print(programs, &runs, options);
    Ok(faults)
}

fn print(programs: &[Program], runs: &[Vec<Run>], options: &Options) {
    let headings = [
        "server",
        "which is",
        "p50",
        "p99",
        "p99.9",
        "p99.99",
        "longest",
        "since sent",
        "> 1 ms",
        "> 2 ms",
        "Kset/s",
        "peak RSS MiB",
        "evictions",
    ];
    let mut table = Table::new(&headings);
    for (program, runs) in programs.iter().zip(runs) {
        for server_is in ["loading", "idle"] {
            let waits = |run: &Run, figure: &dyn Fn(&Waits) -> f64| match server_is {
                "loading" => figure(&run.loading),
                _ => figure(&run.idle),
            };
            let all = |figure: &dyn Fn(&Waits) -> f64, digits| {
                spread(&runs.iter().map(|run| waits(run, figure)).collect::<Vec<f64>>(), digits)
            };
            let mut row = vec![program.name.to_owned(), server_is.to_owned()];
            row.extend([0.5, 0.99, 0.999, 0.9999, 1.0].map(|share| all(&|waits| waits.us(share), 0)));
            row.push(all(&|waits| waits.longest_since_sent.as_micros() as f64, 0));
            row.extend([0, 1].map(|which| all(&|waits| waits.stalls[which] as f64, 0)));
            if server_is == "loading" {
                let of_runs =
                    |figure: &dyn Fn(&Run) -> f64| spread(&runs.iter().map(figure).collect::<Vec<f64>>(), 0);
                row.push(of_runs(&|run| options.stall_items as f64 / run.load_secs / 1e3));
                row.push(of_runs(&|run| run.peak_mib));
                row.push(of_runs(&|run| run.evictions as f64));
            }
            table.row(row);
        }
    }
    table.print();
}

fn measure(program: &Program, memory_mb: usize, options: &Options, values: &Values) -> io::Result<Run> {
    let server = Server::start(program, memory_mb, options.threads)?;
    let mut loader = Connection::open(server.address)?;
    let idle_secs = if options.quick { 1 } else { 10 };
    let is_loading = AtomicBool::new(true);
    let (loading, load_secs) = thread::scope(|scope| {
        let reader = scope.spawn(|| read(server.address, values, || is_loading.load(Relaxed)));
        let started = Instant::now();
        let loaded = load(&mut loader, options.stall_items, values);
        is_loading.store(false, Relaxed);
        let waits = reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader panicked")));
        loaded.and(waits).map(|waits| (waits, started.elapsed().as_secs_f64()))
    })?;
    let until = Instant::now() + Duration::from_secs(idle_secs);
    let idle = read(server.address, values, || Instant::now() < until)?;
    let (peak_mib, evictions) = (server.peak_mib()?, loader.stat("evictions")?);
    Ok(Run { loading, idle, load_secs, peak_mib, evictions })
}

/// Sets the items of numbers 1 to `items`.
fn load(connection: &mut Connection, items: u64, values: &Values) -> io::Result<()> {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for id in 1..=items as u32 {
        key.clear();
        values.push_key(id, KEY_BYTES, &mut key);
        value.clear();
        values.push_value(id, 0, VALUE_BYTES, &mut value);
        connection.push_set(&key, 0, 0, &value, " noreply");
        if id % SETS_PER_BATCH == 0 || u64::from(id) == items {
            connection.push(b"mn\r\n");
            connection.send()?;
            connection.expect(b"MN")?;
        }
    }
    Ok(())
}

/// A get that was sent.
struct Sent {
    /// When it was to be sent.
    due: Instant,
    /// When it really was.
    at: Instant,
}

/// Asks for one item at fixed times while `goes_on`, without waiting for answers, and takes them.
fn read(address: SocketAddr, values: &Values, goes_on: impl Fn() -> bool + Send) -> io::Result<Waits> {
    let mut connection = Connection::open(address)?;
    // Number 0 is not loaded.
    let mut ledger = Ledger::new(1, 0);
    let version = ledger.fill(0, 0, 0);
    let (mut key, mut value) = (Vec::new(), Vec::new());
    values.push_key(0, KEY_BYTES, &mut key);
    values.push_value(0, version, HOT_VALUE_BYTES, &mut value);
    connection.push_set(&key, values.flags(0), 0, &value, "");
    connection.send()?;
    connection.expect(b"STORED")?;
    let get = [b"get ", key.as_slice(), b"\r\n"].concat();
    let stream = connection.second_handle()?;
    let (note, sent) = mpsc::channel();
    let mut waits = Waits::new();
    thread::scope(|scope| {
        let sender = scope.spawn(|| send_in_time(stream, &get, note, goes_on));
        for sent in sent {
            match connection.reply()? {
                Reply::Value { flags, value, .. } => {
                    let answer = Answer { id: 0, value_bytes: HOT_VALUE_BYTES, flags, value };
                    let verdict = ledger.judge(&answer, ledger.expected(0), 0, values);
                    waits.faults.count(verdict);
                }
                other => return Err(unexpected(&other)),
            }
            connection.expect(b"END")?;
            waits.note(&sent);
        }
        sender.join().unwrap_or_else(|_| Err(io::Error::other("the sender panicked")))
    })?;
    Ok(waits)
}

/// Sends `get` at fixed times while `goes_on`, and notes each.
fn send_in_time(
    mut stream: TcpStream,
    get: &[u8],
    note: mpsc::Sender<Sent>,
    goes_on: impl Fn() -> bool,
) -> io::Result<()> {
    let mut due = Instant::now();
    while goes_on() {
        due += INTERVAL;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if note.send(Sent { due, at: Instant::now() }).is_err() {
            // Who takes the answers has given up and says why.
            break;
        }
        stream.write_all(get)?;
    }
    Ok(())
}

impl Waits {
    fn new() -> Waits {
        let histogram = Histogram::new_with_max(LONGEST_NS, 3).expect("a valid histogram");
        Waits {
            histogram,
            longest_since_sent: Duration::ZERO,
            stalls: [0; 2],
            is_stalled: [false; 2],
            faults: Faults::default(),
        }
    }

    /// Notes that a get is answered now.
    fn note(&mut self, sent: &Sent) {
        let wait = sent.due.elapsed();
        self.longest_since_sent = self.longest_since_sent.max(sent.at.elapsed());
        self.histogram.saturating_record(wait.as_nanos() as u64);
        // One stall makes several answers late: it counts once.
        for (at, stall_ms) in STALL_MS.into_iter().enumerate() {
            let is_late = wait > Duration::from_millis(stall_ms);
            self.stalls[at] += u64::from(is_late && !self.is_stalled[at]);
            self.is_stalled[at] = is_late;
        }
    }

    /// The wait that this share of the gets did not exceed, in microseconds.
    fn us(&self, share: f64) -> f64 {
        self.histogram.value_at_quantile(share) as f64 / 1e3
    }
}
