//! Statistics in Prometheus' text format.
//!
//! What memcached has goes by the names, labels and meanings of prometheus/memcached_exporter 0.16, so that its
//! dashboards and alerts work; what only larder has is called `larder_...`. The figures are those of `stats`,
//! `stats items`, `stats slabs` and `stats settings`, read here as the exporter reads them from outside: what they
//! say, this says, and `stats reset` is seen in both.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use crate::base::clock::Now;
use crate::protocol::output::Output;

use super::daemon::{Daemon, WorkerCounters};
use super::encoding;
use super::hotkeys::{self, Kind};
use super::latency::{self, BOUNDS, Timed, Times};
use super::metric_names::{
    BUSIEST_PARTITION, CERTIFICATE_LEFT, COMMANDS, DURATIONS, EVICTION_AGE, FULLEST_PARTITION, GENERAL,
    HOT_BYTES, HOT_REQUESTS, ITEMS, Known, MEMORY, MEMORY_BY_USE, OF_CLASS, OWN, OWN_ITEMS, Of, SEGMENT_HITS,
    SETTINGS, SLABS, SLOW, SWITCHES, WAITS, WORKER_CONNECTIONS,
};
use super::session::Turn;
use super::stats;

/// The `Content-Type` of what [`metrics`] gives.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// Statistics by name.
pub(super) type Figures = BTreeMap<String, String>;

/// One figure of somebody else's.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it is called.
    pub of: Of,
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

/// Everything there is to be scraped, with `samples` and `others` behind it.
pub fn metrics(daemon: &Daemon, now: Now, samples: &[Sample], others: Vec<MetricFamily>) -> String {
    let mut page = Page::default();
    let general = statistics(daemon, now, b"");
    let (settings, classes) = (statistics(daemon, now, b"settings"), Classes::read(daemon, now));
    page.add(&Of::gauge("memcached_up", "Whether the server could be asked."), &[], 1.0);
    let version = general.get("version").map_or("", String::as_str);
    page.add(
        &Of::gauge("memcached_version", "The version of memcached that this is like."),
        &[("version", version)],
        1.0,
    );
    page.add_known(&GENERAL, &general, &[]);
    page.add_known(&GENERAL, &classes.totals, &[]);
    page.add_known(&SETTINGS, &settings, &[]);
    for known in &SWITCHES {
        if let Some(value) = settings.get(known.stat) {
            page.add(&known.of, &[], f64::from(value == "yes"));
        }
    }
    page.add_commands(&COMMANDS, &general, &[]);
    for (class, figures) in &classes.by_number {
        let class = [("slab", class.as_str())];
        page.add_known(&ITEMS, figures, &class);
        page.add_known(&SLABS, figures, &class);
        page.add_known(&OWN_ITEMS, figures, &class);
        for (stat, lru) in SEGMENT_HITS {
            page.add_if_there(
                &Of::counter("memcached_slab_lru_hits_total", "Hits by segment of the LRU."),
                figures.get(stat),
                &[class[0], ("lru", lru)],
            );
        }
        page.add_commands(&OF_CLASS, figures, &class);
    }
    page.add_known(&OWN, &general, &[]);
    page.add_memory(&general, &classes);
    page.add_pressure(daemon, now, &classes);
    if let Some(days) = general.get("ssl_cert_days_left").and_then(|days| days.parse::<f64>().ok()) {
        page.add(&CERTIFICATE_LEFT, &[], days * SECONDS_PER_DAY);
    }
    for (worker, figures) in daemon.figures_by_worker().iter().enumerate() {
        let worker = worker.to_string();
        page.add(&WORKER_CONNECTIONS, &[("worker", &worker)], figures.curr_connections as f64);
    }
    for Sample { of, labels, value } in samples {
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        page.add(of, &labels, *value);
    }
    page.add_latency(&latency::sums(&daemon.timings));
    page.add(&SLOW, &[], daemon.slow_log.count() as f64);
    let own_version = general.get("larder_version").map_or("", String::as_str);
    page.add(&Of::gauge("larder_build_info", "The version of larder."), &[("version", own_version)], 1.0);
    page.add_hot_keys(daemon, now);
    page.families.extend(others);
    page.text()
}

/// A metric with these labels and no value.
fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |&(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

/// As the decimal fraction that is meant.
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// What `stats` answers to `what`.
pub(super) fn statistics(daemon: &Daemon, now: Now, what: &[u8]) -> Figures {
    let (counters, mut output) = (WorkerCounters::default(), Output::default());
    let mut turn = Turn::new(daemon, &counters, now, 1, 0, &mut output);
    stats::answer(what, [b"", b""], &mut turn);
    let mut text = vec![0; output.pending()];
    output.take(&mut text);
    let text = String::from_utf8_lossy(&text);
    let named = |line: &str| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(named).collect()
}

/// `stats items` and `stats slabs`.
#[derive(Default)]
struct Classes {
    /// By number of the class.
    by_number: BTreeMap<String, Figures>,
    /// What belongs to no class.
    totals: Figures,
}

impl Classes {
    fn read(daemon: &Daemon, now: Now) -> Classes {
        let mut classes = Classes::default();
        for (what, prefix) in [(&b"items"[..], "items:"), (b"slabs", "")] {
            for (name, value) in statistics(daemon, now, what) {
                let name = name.strip_prefix(prefix).unwrap_or(&name);
                match name.split_once(':') {
                    Some((class, name)) => {
                        let class = classes.by_number.entry(class.to_owned()).or_default();
                        class.insert(name.to_owned(), value);
                    }
                    None => drop(classes.totals.insert(name.to_owned(), value)),
                }
            }
        }
        classes
    }
}

/// Metrics by name, in the order in which they were first added.
#[derive(Default)]
struct Page {
    families: Vec<MetricFamily>,
}

impl Page {
    fn add(&mut self, of: &Of, labels: &[(&str, &str)], value: f64) {
        let mut metric = labelled(labels);
        if of.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.family(of).mut_metric().push(metric);
    }

    /// Memory by what it is for.
    fn add_memory(&mut self, general: &Figures, classes: &Classes) {
        let figure =
            |figures: &Figures, name: &str| figures.get(name).and_then(|value| value.parse::<f64>().ok());
        let known = |name: &str| figure(general, name).unwrap_or(0.0);
        for (stat, used_for) in MEMORY {
            self.add(&MEMORY_BY_USE, &[("use", used_for)], known(stat));
        }
        // With the blocks of large items.
        let pages = figure(&classes.totals, "total_malloced").unwrap_or(0.0) - known("large_bytes");
        let has_chunks = |class: &&Figures| figure(class, "chunks_per_page") != Some(1.0);
        let in_chunks = classes.by_number.values().filter(has_chunks);
        let items = in_chunks.filter_map(|class| figure(class, "mem_requested")).sum::<f64>().min(pages);
        let charged = ["large_bytes", "index_bytes", "deadline_bytes", "ghost_bytes"];
        let rest = known("used_bytes") - pages - charged.iter().map(|name| known(name)).sum::<f64>();
        for (used_for, bytes) in [("items", items), ("slab_overhead", pages - items), ("pinned", rest)] {
            // The figures were not read in the same moment.
            self.add(&MEMORY_BY_USE, &[("use", used_for)], bytes.max(0.0));
        }
    }

    /// How hard the store is pressed, and how evenly.
    fn add_pressure(&mut self, daemon: &Daemon, now: Now, classes: &Classes) {
        let evicting =
            classes.by_number.values().filter(|class| class.get("evicted").is_some_and(|n| n != "0"));
        let ages = evicting.filter_map(|class| class.get("evicted_time")?.parse::<u32>().ok());
        if let Some(age) = ages.min() {
            self.add(&EVICTION_AGE, &[], age.into());
        }
        let store = daemon.store.stats(now.seconds);
        self.add(&FULLEST_PARTITION, &[], store.fullest_partition_items as f64);
        self.add(&BUSIEST_PARTITION, &[], store.busiest_partition_requests as f64);
    }

    /// The metrics of this name so far.
    fn family(&mut self, of: &Of) -> &mut MetricFamily {
        match self.families.iter_mut().position(|family| family.name() == of.name) {
            Some(at) => &mut self.families[at],
            None => {
                let mut family = MetricFamily::default();
                family.set_name(of.name.to_owned());
                family.set_help(of.help.to_owned());
                family.set_field_type(of.kind);
                self.families.push(family);
                let last = self.families.len() - 1;
                &mut self.families[last]
            }
        }
    }

    /// Times of commands, and how long these waited for their worker.
    fn add_latency(&mut self, sums: &[Times]) {
        for (&(what, name), times) in Timed::ALL.iter().zip(sums) {
            let mut metric = match what {
                Timed::Wait => labelled(&[]),
                _ => labelled(&[("command", name)]),
            };
            let mut histogram = Histogram::default();
            histogram.set_sample_count(times.count());
            histogram.set_sample_sum(times.sum().as_secs_f64());
            let bucket = |(bound, count)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(seconds(bound));
                bucket.set_cumulative_count(count);
                bucket
            };
            histogram.set_bucket(BOUNDS.into_iter().zip(times.up_to()).map(bucket).collect());
            metric.set_histogram(histogram);
            let of = if what == Timed::Wait { &WAITS } else { &DURATIONS };
            self.family(of).mut_metric().push(metric);
        }
    }

    /// Keys may be secret: there are none unless the operator wants some.
    fn add_hot_keys(&mut self, daemon: &Daemon, now: Now) {
        for (kind, ranking) in hotkeys::public(daemon, now) {
            let (of, operation) = match kind {
                Kind::ReadRequests => (&HOT_REQUESTS, "read"),
                Kind::ReadBytes => (&HOT_BYTES, "read"),
                Kind::WriteRequests => (&HOT_REQUESTS, "write"),
                Kind::WriteBytes => (&HOT_BYTES, "write"),
            };
            for hot in ranking.keys {
                let key = encoding::readable(&hot.key);
                self.add(of, &[("operation", operation), ("key", &key)], hot.per_second);
            }
        }
    }

    fn add_if_there(&mut self, of: &Of, value: Option<&String>, labels: &[(&str, &str)]) {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            self.add(of, labels, value);
        }
    }

    fn add_known(&mut self, all: &[Known], figures: &Figures, labels: &[(&str, &str)]) {
        for known in all {
            self.add_if_there(&known.of, figures.get(known.stat), labels);
        }
    }

    /// Commands by what came of them. Storage commands other than cas are those that remain of `cmd_set`.
    fn add_commands(&mut self, of: &Of, figures: &Figures, class: &[(&str, &str)]) {
        let count = |stat: &str| figures.get(stat).and_then(|value| value.parse::<f64>().ok());
        let mut add = |command: &str, status: &str, value: Option<f64>| {
            if let Some(value) = value {
                let labels = [class, &[("command", command), ("status", status)]].concat();
                self.add(of, &labels, value);
            }
        };
        for command in ["get", "delete", "incr", "decr", "cas", "touch"] {
            add(command, "hit", count(&format!("{command}_hits")));
            add(command, "miss", count(&format!("{command}_misses")));
        }
        add("cas", "badval", count("cas_badval"));
        add("flush", "hit", count("cmd_flush"));
        let cas = ["cas_hits", "cas_misses", "cas_badval"].into_iter().filter_map(count).sum::<f64>();
        add("set", "hit", count("cmd_set").map(|all| (all - cas).max(0.0)));
    }

    fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.families, &mut text) {
            // It fails where a family is empty or a name is bad, and none of these is.
            log::error!("metrics: {error}");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
