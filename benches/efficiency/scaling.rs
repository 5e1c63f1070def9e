//! Part `scaling`: what much larger memories would do, from a row of small ones.
//!
//! Trace `etc` runs in process with its keys, its requests and the memory enlarged together. If requests
//! follow Zipf's law with exponent 1, an ideal cache of a fixed share of n keys misses 1 / (a + b log n):
//! so a line is laid through the inverses of the miss ratios, and prolonged.

use serde_json::json;

use crate::in_process::{self, Outcome, Variant};
use crate::ledger::{self, Faults};
use crate::options::Options;
use crate::report::Report;
use crate::table::{Table, thousands};
use crate::trace::{Scale, Trace, TraceName};

/// Memory in MB at which the trace has its own size.
const OWN_SIZE_MB: f64 = 64.0;
/// Sizes of memory that are measured.
const SIZES_MB: [usize; 5] = [16, 32, 64, 128, 256];
/// The same for a quick run.
const QUICK_SIZES_MB: [usize; 2] = [4, 8];
/// Sizes of memory that are extrapolated to, in MB.
const FAR_SIZES_MB: [(&str, f64); 2] = [("64 GiB", 65_536.0), ("1 TiB", 1_048_576.0)];

/// What the extrapolation takes for granted.
const ASSUMPTIONS: &str = "  Extrapolated, not measured. It assumes: popularity keeps its shape (exponent 1) and the keys grow with the
  memory; lengths keep their distribution; requests per key stay the same, so first requests for a key miss as
  often as here; partitions of 16 MB and more behave alike, however many there are, also where pages of 64 KiB
  are a smaller share of them than pages of 16 KiB are here; chunk ids keep their 32 bits (partitions of up to
  32 GiB), so that an item's overhead does not grow.";

/// What one size of memory came to.
struct Point {
    memory_mb: f64,
    outcome: Outcome,
}

impl Point {
    fn items_per_mb(&self) -> f64 {
        self.outcome.stats.items as f64 / self.memory_mb
    }
}

/// Measures the small sizes and prints them with what follows for the large ones.
pub fn run_all(options: &Options, report: &mut Report) -> Faults {
    let sizes = if options.quick { QUICK_SIZES_MB.as_slice() } else { SIZES_MB.as_slice() };
    let values = ledger::values(options.seed);
    println!(
        "\nscaling: trace etc in process, keys and requests grow with the memory, seed {}",
        options.seed
    );
    let mut faults = Faults::default();
    let mut points = Vec::new();
    for &memory_mb in sizes {
        report.announce("scaling", &format!("{memory_mb} MB"), "larder, in process");
        let factor = memory_mb as f64 / OWN_SIZE_MB;
        let scale = Scale { keys: factor, requests: factor };
        let trace = Trace::new(TraceName::Etc, options.seed, scale, options.twitter_rate);
        let variant = Variant {
            memory_bytes: memory_mb << 20,
            workers: options.workers,
            partitions: None,
            page_bytes: options.page_bytes,
        };
        // Requests per second grow as well, so that the trace takes the same simulated time.
        let outcome = in_process::run(trace, &variant, options.rate * factor, &values);
        faults.add(&outcome.faults);
        report.record(json!({
            "part": "scaling", "memory_mb": memory_mb, "seed": options.seed,
            "partitions": outcome.stats.partitions, "page_bytes": outcome.stats.page_bytes,
            "hit_ratio": outcome.hit_ratio(), "items": outcome.stats.items,
            "index_bytes": outcome.stats.index_bytes, "bad_answers": outcome.faults.bad(),
        }));
        points.push(Point { memory_mb: memory_mb as f64, outcome });
    }
    print(&points);
    faults
}

fn print(points: &[Point]) {
    let line = Line::through(points);
    let headings = ["memory", "partitions", "page", "hit ratio", "line", "items", "B/item", "index B/item"];
    let mut table = Table::new(&headings);
    for point in points {
        let stats = &point.outcome.stats;
        table.row([
            format!("{} MB", point.memory_mb),
            stats.partitions.to_string(),
            stats.page_bytes.to_string(),
            format!("{:.4}", point.outcome.hit_ratio()),
            format!("{:.4}", line.hit_ratio(point.memory_mb)),
            thousands(stats.items),
            format!("{:.1}", (1 << 20) as f64 / point.items_per_mb()),
            format!("{:.2}", stats.index_bytes as f64 / stats.items.max(1) as f64),
        ]);
    }
    table.print();
    let error =
        points.iter().map(|point| (line.hit_ratio(point.memory_mb) - point.outcome.hit_ratio()).abs());
    println!(
        "  The line fits {} points from {} to {} MB to {:.4}; it gains {:.4} from the first to the last.",
        points.len(),
        points.first().map_or(0.0, |point| point.memory_mb),
        points.last().map_or(0.0, |point| point.memory_mb),
        error.fold(0.0, f64::max),
        points.last().map_or(0.0, |last| line.hit_ratio(last.memory_mb))
            - points.first().map_or(0.0, |first| line.hit_ratio(first.memory_mb)),
    );
    for (name, memory_mb) in FAR_SIZES_MB {
        let items = points.last().map_or(0.0, Point::items_per_mb) * memory_mb;
        println!(
            "  EXTRAPOLATION to {name}: hit ratio {:.3}, {:.0} million items",
            line.hit_ratio(memory_mb),
            items / 1e6
        );
    }
    println!("{ASSUMPTIONS}");
}

/// The inverse of the miss ratio, as a line over the logarithm of the memory.
struct Line {
    intercept: f64,
    slope: f64,
}

impl Line {
    /// The line of least squares.
    fn through(points: &[Point]) -> Line {
        let count = points.len() as f64;
        let places: Vec<(f64, f64)> = points
            .iter()
            .map(|point| (point.memory_mb.log2(), 1.0 / (1.0 - point.outcome.hit_ratio())))
            .collect();
        let mean_x = places.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = places.iter().map(|(_, y)| y).sum::<f64>() / count;
        let covariance = places.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
        let variance = places.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
        let slope = covariance / variance;
        Line { intercept: mean_y - slope * mean_x, slope }
    }

    fn hit_ratio(&self, memory_mb: f64) -> f64 {
        1.0 - 1.0 / (self.intercept + self.slope * memory_mb.log2())
    }
}
