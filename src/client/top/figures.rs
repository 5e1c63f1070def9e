//! What is shown of a server, made of two looks at it: rates between them, totals of the later one.

use serde_json::{Map, Value, json};

use super::sample::{Class, Sample, TIMES};

/// Commands whose hits and misses are requests. Storage commands are counted by `cmd_set`, cas among them.
const HIT_AND_MISS: [&str; 5] = ["get", "touch", "delete", "incr", "decr"];
/// Statistics that never fall unless they are set back.
const RISING: [&str; 4] = ["uptime", "total_connections", "bytes_read", "cmd_set"];

/// A server's figures. Rates are per second, and not there unless two looks allow them.
#[derive(Clone, Debug, Default)]
pub(in crate::client) struct Figures {
    /// memcached's version, and larder's if it is one.
    pub version: String,
    pub larder_version: Option<String>,
    pub uptime: Option<f64>,
    pub threads: Option<f64>,
    pub requests: Option<f64>,
    pub gets: Option<f64>,
    pub sets: Option<f64>,
    pub deletes: Option<f64>,
    /// Of the time between the looks, and since counting began: 0 to 1.
    pub hit_ratio: Option<f64>,
    pub hit_ratio_in_all: Option<f64>,
    pub received: Option<f64>,
    pub sent: Option<f64>,
    pub evictions: Option<f64>,
    pub evicted_in_all: Option<f64>,
    /// Cores that are busy.
    pub cpu: Option<f64>,
    pub items: Option<f64>,
    pub item_bytes: Option<f64>,
    /// What the limit is used for, in bytes, and the limit.
    pub memory: Option<f64>,
    pub memory_limit: Option<f64>,
    pub connections: Option<f64>,
    pub connections_max: Option<f64>,
    pub new_connections: Option<f64>,
    pub rejected: Option<f64>,
    pub refused: Option<f64>,
    pub classes: Vec<ClassFigures>,
}

/// A class, and its rates.
#[derive(Clone, Debug)]
pub(in crate::client) struct ClassFigures {
    pub class: Class,
    pub requests: Option<f64>,
    pub evictions: Option<f64>,
}

impl Figures {
    /// `before` is the look before, if there was one.
    pub fn new(now: &Sample, before: Option<&Sample>) -> Figures {
        let before = before.filter(|before| goes_on(now, before));
        let seconds =
            before.map(|before| (now.at - before.at).as_secs_f64()).filter(|seconds| *seconds > 0.0);
        let change =
            |figure: &dyn Fn(&Sample) -> Option<f64>| Some((figure(now)? - figure(before?)?).max(0.0));
        let per_second = |figure: &dyn Fn(&Sample) -> Option<f64>| Some(change(figure)? / seconds?);
        let rate = |name: &str| per_second(&|sample| sample.number(name));
        let ratio = |hits: Option<f64>, misses: Option<f64>| {
            let (hits, misses) = (hits?, misses?);
            (hits + misses > 0.0).then(|| hits / (hits + misses))
        };
        let change_of = |name: &str| change(&|sample| sample.number(name));
        let of_class = |class: &Class, figure: fn(&Class) -> f64| {
            let old = before?.classes.iter().find(|old| old.number == class.number).map_or(0.0, figure);
            Some((figure(class) - old).max(0.0) / seconds?)
        };
        let classes = now.classes.iter().map(|class| ClassFigures {
            requests: of_class(class, |class| class.requests),
            evictions: of_class(class, |class| class.evicted),
            class: class.clone(),
        });
        Figures {
            version: now.stats.get("version").cloned().unwrap_or_default(),
            larder_version: now.stats.get("larder_version").cloned(),
            uptime: now.number("uptime"),
            threads: now.number("threads"),
            requests: per_second(&requests),
            gets: per_second(&|sample| both(sample, "get")),
            sets: rate("cmd_set"),
            deletes: per_second(&|sample| both(sample, "delete")),
            hit_ratio: ratio(change_of("get_hits"), change_of("get_misses")),
            hit_ratio_in_all: ratio(now.number("get_hits"), now.number("get_misses")),
            received: rate("bytes_read"),
            sent: rate("bytes_written"),
            evictions: rate("evictions"),
            evicted_in_all: now.number("evictions"),
            cpu: per_second(&|sample| Some(sample.number("rusage_user")? + sample.number("rusage_system")?)),
            items: now.number("curr_items"),
            item_bytes: now.number("bytes"),
            // Only larder tells what the limit is used for; of others the items are known.
            memory: now.number("used_bytes").or_else(|| now.number("bytes")),
            memory_limit: now.number("limit_maxbytes"),
            connections: now.number("curr_connections"),
            connections_max: now.number("max_connections"),
            new_connections: rate("total_connections"),
            rejected: now.number("rejected_connections"),
            refused: now.number("store_no_memory"),
            classes: classes.collect(),
        }
    }

    /// All of them together, for a row of totals.
    pub fn total(all: &[&Figures]) -> Figures {
        let sum = |figure: fn(&Figures) -> Option<f64>| {
            let known: Vec<f64> = all.iter().filter_map(|one| figure(one)).collect();
            (!known.is_empty()).then(|| known.iter().sum())
        };
        // Each ratio weighs as many gets as it stands for.
        let gets = all.iter().filter_map(|one| Some((one.gets?, one.hit_ratio?)));
        let (asked, hit) =
            gets.fold((0.0, 0.0), |(asked, hit), (gets, ratio)| (asked + gets, hit + gets * ratio));
        Figures {
            requests: sum(|one| one.requests),
            hit_ratio: (asked > 0.0).then(|| hit / asked),
            items: sum(|one| one.items),
            memory: sum(|one| one.memory),
            memory_limit: sum(|one| one.memory_limit),
            evictions: sum(|one| one.evictions),
            connections: sum(|one| one.connections),
            sent: sum(|one| one.sent),
            received: sum(|one| one.received),
            cpu: sum(|one| one.cpu),
            ..Figures::default()
        }
    }

    /// As programs read it, with the hot keys and latencies of `now`.
    pub fn json(&self, server: &str, now: &Sample) -> Value {
        let classes = self.classes.iter().map(|one| {
            let class = &one.class;
            json!({
                "class": class.number, "chunk_bytes": class.chunk_bytes, "chunks": class.chunks,
                "used_chunks": class.used_chunks, "items": class.items, "age_seconds": class.age,
                "evicted": class.evicted, "requests_per_second": one.requests, "evictions_per_second": one.evictions,
            })
        });
        let latency = now.latency.iter().map(|one| {
            let mut times: Map<String, Value> = Map::new();
            for (name, time) in TIMES.iter().zip(one.times) {
                times.insert(format!("{name}_us"), time.into());
            }
            times.insert("count".to_owned(), one.count.into());
            (one.command.clone(), Value::from(times))
        });
        let hot_keys = now.hot_keys.iter().map(|hot| {
            json!({
                "kind": hot.kind, "key": hot.key, "per_second": hot.per_second, "error": hot.error,
                "percent": hot.percent,
            })
        });
        json!({
            "server": server, "version": self.version, "larder_version": self.larder_version,
            "uptime_seconds": self.uptime, "threads": self.threads,
            "requests_per_second": self.requests, "gets_per_second": self.gets, "sets_per_second": self.sets,
            "deletes_per_second": self.deletes, "hit_ratio": self.hit_ratio, "hit_ratio_in_all": self.hit_ratio_in_all,
            "received_bytes_per_second": self.received, "sent_bytes_per_second": self.sent,
            "evictions_per_second": self.evictions, "evictions": self.evicted_in_all,
            "cpu_cores": self.cpu, "items": self.items, "item_bytes": self.item_bytes,
            "memory_bytes": self.memory, "memory_limit_bytes": self.memory_limit,
            "connections": self.connections, "connections_max": self.connections_max,
            "connections_per_second": self.new_connections, "connections_rejected": self.rejected,
            "values_refused": self.refused,
            "classes": classes.collect::<Vec<_>>(),
            "latency": latency.collect::<Map<_, _>>(),
            "hot_keys": hot_keys.collect::<Vec<_>>(),
        })
    }
}

/// Hits and misses of a command.
fn both(sample: &Sample, name: &str) -> Option<f64> {
    Some(sample.number(&format!("{name}_hits"))? + sample.number(&format!("{name}_misses"))?)
}

fn requests(sample: &Sample) -> Option<f64> {
    let counted = HIT_AND_MISS.iter().filter_map(|name| both(sample, name)).sum::<f64>();
    let others = ["cmd_flush", "cmd_meta"].iter().filter_map(|name| sample.number(name)).sum::<f64>();
    Some(sample.number("cmd_set")? + counted + others)
}

/// Whether it is the same server, and nothing has set its statistics back.
fn goes_on(now: &Sample, before: &Sample) -> bool {
    now.stats.get("pid") == before.stats.get("pid")
        && RISING.iter().all(|name| match (now.number(name), before.number(name)) {
            (Some(now), Some(before)) => now >= before,
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn sample(at: Instant, seconds: u64, text: &str) -> Sample {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        let stats = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let class = Class { number: 1, requests: 10.0 * seconds as f64, ..Class::default() };
        let at = at + Duration::from_secs(seconds);
        Sample { at, stats, classes: vec![class], latency: Vec::new(), hot_keys: Vec::new() }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let start = Instant::now();
        let first = sample(start, 0, "pid=1 uptime=5 cmd_set=100 get_hits=10 get_misses=10 evictions=7");
        let second = sample(start, 2, "pid=1 uptime=7 cmd_set=150 get_hits=40 get_misses=20 evictions=9");
        let figures = Figures::new(&second, Some(&first));
        assert_eq!((figures.sets, figures.gets, figures.requests), (Some(25.0), Some(20.0), Some(45.0)));
        assert_eq!((figures.hit_ratio, figures.hit_ratio_in_all), (Some(0.75), Some(40.0 / 60.0)));
        assert_eq!((figures.evictions, figures.evicted_in_all), (Some(1.0), Some(9.0)));
        assert_eq!(figures.classes[0].requests, Some(10.0));
        assert_eq!((figures.cpu, figures.connections), (None, None));
    }

    #[test]
    fn there_are_no_rates_over_a_restart_or_a_reset() {
        let start = Instant::now();
        let first = sample(start, 0, "pid=1 uptime=5 cmd_set=100");
        for text in ["pid=2 uptime=9 cmd_set=300", "pid=1 uptime=1 cmd_set=300", "pid=1 uptime=9 cmd_set=1"] {
            let figures = Figures::new(&sample(start, 2, text), Some(&first));
            assert_eq!(
                (figures.sets, figures.requests, figures.classes[0].requests),
                (None, None, None),
                "{text}"
            );
        }
        assert_eq!(Figures::new(&first, None).requests, None);
    }

    #[test]
    fn totals_weigh_ratios_by_gets() {
        let one =
            Figures { requests: Some(1.0), gets: Some(30.0), hit_ratio: Some(1.0), ..Figures::default() };
        let other = Figures { gets: Some(10.0), hit_ratio: Some(0.0), ..Figures::default() };
        let total = Figures::total(&[&one, &other, &Figures::default()]);
        assert_eq!((total.requests, total.hit_ratio, total.items), (Some(1.0), Some(0.75), None));
    }
}
