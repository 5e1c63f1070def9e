//! `larder ping`: whether a server answers, and how soon.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use super::access::Access;
use super::connection::Connection;
use super::failure::Failure;
use super::options::PingOptions;
use super::text;

/// Longest time that is told apart from longer ones, in nanoseconds.
const NANOSECONDS_MAX: u64 = 60_000_000_000;

/// `larder ping`.
///
/// # Errors
/// As [`Failure`] has them; the first question without an answer ends it.
pub(super) fn run(options: &PingOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let mut connection = Connection::open(&options.server, &Access::new(&options.connect)?)?;
    let server = connection.server().to_owned();
    let mut times = histogram()?;
    let mut version = String::new();
    for number in 0..options.count {
        if number > 0 {
            thread::sleep(options.interval);
        }
        let start = Instant::now();
        // Every server has this command, however old, and it changes nothing.
        connection.send(b"version\r\n")?;
        let line = text::printable(connection.line()?);
        let time = start.elapsed();
        match line.strip_prefix("VERSION ") {
            Some(told) => version = told.to_owned(),
            None => return Err(connection.refusal(&line)),
        }
        times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        if !options.json {
            writeln!(out, "{server} answers, version {version}, in {}", shown(time))?;
            out.flush()?;
        }
    }
    let at = |quantile| Duration::from_nanos(times.value_at_quantile(quantile));
    if options.json {
        let microseconds = |quantile| at(quantile).as_nanos() as f64 / 1000.0;
        let object = json!({
            "server": server, "version": version, "count": options.count,
            "min_us": microseconds(0.0), "p50_us": microseconds(0.5),
            "p99_us": microseconds(0.99), "max_us": microseconds(1.0),
        });
        writeln!(out, "{}", text::json(&object))?;
    } else if options.count > 1 {
        let (low, middle, high) = (shown(at(0.0)), shown(at(0.5)), shown(at(1.0)));
        writeln!(out, "{} answers: shortest {low}, median {middle}, longest {high}", options.count)?;
    }
    Ok(())
}

/// For times in nanoseconds, to three digits.
pub(super) fn histogram() -> Result<Histogram<u64>, Failure> {
    let made = Histogram::new_with_max(NANOSECONDS_MAX, 3);
    made.map_err(|error| Failure::Failed(format!("no place for times: {error}")))
}

/// A time for people.
pub(super) fn shown(time: Duration) -> String {
    match time.as_nanos() as f64 {
        nanoseconds if nanoseconds < 1e6 => format!("{:.0} us", nanoseconds / 1e3),
        nanoseconds if nanoseconds < 1e9 => format!("{:.2} ms", nanoseconds / 1e6),
        nanoseconds => format!("{:.2} s", nanoseconds / 1e9),
    }
}
