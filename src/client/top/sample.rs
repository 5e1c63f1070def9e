//! One look at a server: its statistics at a moment, read tolerantly, since servers and releases differ.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::client::access::Access;
use crate::client::address::Address;
use crate::client::connection::Connection;
use crate::client::failure::Failure;
use crate::client::stats::{self, Answer};
use crate::client::text;

/// Hot keys of each kind that are asked for.
const HOT_KEYS: usize = 40;
/// Classes, kinds of latency and hot keys that are looked at, at most: more than any server has, and what is beyond costs
/// nothing.
const ROWS_MAX: usize = 512;
/// Operations that `stats slabs` counts for each class.
const CLASS_REQUESTS: [&str; 7] =
    ["get_hits", "cmd_set", "delete_hits", "incr_hits", "decr_hits", "cas_hits", "touch_hits"];

/// What was found. What the server does not tell is not there.
#[derive(Clone, Debug)]
pub(in crate::client) struct Sample {
    pub at: Instant,
    /// General statistics, by name.
    pub stats: HashMap<String, String>,
    pub classes: Vec<Class>,
    pub latency: Vec<Latency>,
    pub hot_keys: Vec<HotKey>,
}

/// A slab class.
#[derive(Clone, Debug, Default)]
pub(in crate::client) struct Class {
    pub number: u32,
    pub chunk_bytes: f64,
    pub chunks: f64,
    pub used_chunks: f64,
    pub requests: f64,
    pub items: f64,
    pub evicted: f64,
    /// How long ago the oldest item was used, in seconds.
    pub age: f64,
}

impl Class {
    pub fn bytes(&self) -> f64 {
        self.chunks * self.chunk_bytes
    }

    pub fn used_bytes(&self) -> f64 {
        self.used_chunks * self.chunk_bytes
    }
}

/// How long one kind of command takes, in microseconds.
#[derive(Clone, Debug, Default)]
pub(in crate::client) struct Latency {
    pub command: String,
    pub count: f64,
    /// p50, p90, p99, p999 and max.
    pub times: [Option<f64>; 5],
}

/// The names of [`Latency::times`].
pub(in crate::client) const TIMES: [&str; 5] = ["p50", "p90", "p99", "p999", "max"];

/// A key that is hot by some kind of figure.
#[derive(Clone, Debug)]
pub(in crate::client) struct HotKey {
    /// Such as `read_requests`.
    pub kind: String,
    /// As it was given, harmless to terminals.
    pub key: String,
    pub per_second: f64,
    pub error: Option<f64>,
    pub percent: Option<f64>,
}

impl Sample {
    /// A general statistic that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.stats.get(name)?.parse().ok()
    }
}

/// A server that is looked at again and again, and connected to again if need be.
pub(in crate::client) struct Source {
    address: Address,
    access: Access,
    connection: Option<Connection>,
}

impl Source {
    pub fn new(address: Address, access: Access) -> Source {
        Source { address, access, connection: None }
    }

    /// Asks for everything.
    ///
    /// # Errors
    /// When the server is not there, or does not tell its general statistics. The next look tries again.
    pub fn look(&mut self) -> Result<Sample, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address, &self.access)?,
        };
        let general = match stats::ask(&mut connection, "")? {
            Answer::Group(found) => found.pairs,
            Answer::Refused(line) => return Err(connection.refusal(&line)),
        };
        let at = Instant::now();
        let mut others = Vec::new();
        for group in ["slabs", "items", "latency", &format!("hotkeys {HOT_KEYS}")] {
            others.push(match stats::ask(&mut connection, group)? {
                Answer::Group(found) => found.pairs,
                Answer::Refused(_) => Vec::new(),
            });
        }
        self.connection = Some(connection);
        Ok(Sample {
            at,
            stats: general.into_iter().collect(),
            classes: classes(&others[0], &others[1]),
            latency: latency(&others[2]),
            hot_keys: hot_keys(&others[3]),
        })
    }
}

/// From `1:chunk_size 96` of `stats slabs`, and `items:1:number 7` of `stats items`.
fn classes(slabs: &[(String, String)], items: &[(String, String)]) -> Vec<Class> {
    let mut found: BTreeMap<u32, Class> = BTreeMap::new();
    let of_items = items.iter().filter_map(|(name, value)| Some((name.strip_prefix("items:")?, true, value)));
    for (name, is_of_items, value) in
        slabs.iter().map(|(name, value)| (&**name, false, value)).chain(of_items)
    {
        let Some((number, figure)) = name.split_once(':') else { continue };
        let (Ok(number), Ok(value)) = (number.parse::<u32>(), value.parse::<f64>()) else { continue };
        let class = found.entry(number).or_default();
        class.number = number;
        match (is_of_items, figure) {
            (false, "chunk_size") => class.chunk_bytes = value,
            (false, "total_chunks") => class.chunks = value,
            (false, "used_chunks") => class.used_chunks = value,
            (false, figure) if CLASS_REQUESTS.contains(&figure) => class.requests += value,
            (true, "number") => class.items = value,
            (true, "evicted") => class.evicted = value,
            (true, "age") => class.age = value,
            _ => {}
        }
    }
    found.into_values().filter(|class| class.chunks > 0.0).take(ROWS_MAX).collect()
}

/// From `get_count 17`, `get_p50_us 3.5` and so on, in the server's order.
fn latency(pairs: &[(String, String)]) -> Vec<Latency> {
    let mut found: Vec<Latency> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (name, value) in pairs {
        let Some((command, figure)) = name.strip_suffix("_us").unwrap_or(name).rsplit_once('_') else {
            continue;
        };
        let Ok(value) = value.parse::<f64>() else { continue };
        let place = TIMES.iter().position(|time| *time == figure);
        if place.is_none() && figure != "count" {
            continue;
        }
        let at = *places.entry(command).or_insert(found.len());
        if at == found.len() {
            if at == ROWS_MAX {
                places.remove(command);
                continue;
            }
            found.push(Latency { command: command.to_owned(), ..Latency::default() });
        }
        match place {
            Some(place) => found[at].times[place] = Some(value),
            None => found[at].count = value,
        }
    }
    found.retain(|one| one.times.iter().any(Option::is_some));
    found
}

/// From `read_requests:1 key=a%20b,per_second=12.5,error=1.0,percent=3.2`, in the server's order.
fn hot_keys(pairs: &[(String, String)]) -> Vec<HotKey> {
    let one = |(name, value): &(String, String)| {
        let (kind, _rank) = name.split_once(':')?;
        let field = |wanted: &str| {
            let mut fields = value.split(',').filter_map(|field| field.split_once('='));
            fields.find_map(|(name, value)| (name == wanted).then_some(value))
        };
        let number = |wanted: &str| field(wanted)?.parse::<f64>().ok();
        Some(HotKey {
            kind: kind.to_owned(),
            key: text::readable_key(field("key")?),
            per_second: number("per_second")?,
            error: number("error"),
            percent: number("percent"),
        })
    };
    pairs.iter().filter_map(one).take(ROWS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pair = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned()));
        text.lines().filter_map(pair).collect()
    }

    #[test]
    fn classes_are_put_together_from_both_groups() {
        let slabs = "1:chunk_size 96\n1:total_chunks 10\n1:used_chunks 4\n1:get_hits 3\n1:cmd_set 5\n1:cas_badval 9\n\
                     7:chunk_size 500\n7:total_chunks 0\nactive_slabs 1\nx:chunk_size 1\n1:total_pages oops";
        let found = classes(
            &pairs(slabs),
            &pairs("items:1:number 4\nitems:1:evicted 2\nitems:1:age 60\nitems:z:age 1"),
        );
        assert_eq!(found.len(), 1);
        let class = &found[0];
        assert_eq!((class.number, class.bytes(), class.used_bytes()), (1, 960.0, 384.0));
        assert_eq!((class.requests, class.items, class.evicted, class.age), (8.0, 4.0, 2.0, 60.0));
    }

    #[test]
    fn latencies_are_read_by_the_ends_of_their_names() {
        let text = "sampled_one_in 64\nget_count 17\nget_p50_us 1.5\nget_p999_us 20\nget_new_us 1\nslow_gets_max_us 9\nset_count 3";
        let found = latency(&pairs(text));
        let shown: Vec<_> = found.iter().map(|one| (one.command.as_str(), one.count, one.times)).collect();
        let none = None;
        assert_eq!(
            shown,
            [
                ("get", 17.0, [Some(1.5), none, none, Some(20.0), none]),
                ("slow_gets", 0.0, [none, none, none, none, Some(9.0)]),
            ]
        );
    }

    #[test]
    fn no_server_has_rows_without_end() {
        let many = |line: fn(u32) -> String| (0..70_000).map(line).collect::<Vec<String>>().join("\n");
        let times = many(|number| format!("c{number}_p50_us 1"));
        assert_eq!(latency(&pairs(&times)).len(), ROWS_MAX);
        let slabs = many(|number| format!("{number}:total_chunks 1"));
        assert_eq!(classes(&pairs(&slabs), &[]).len(), ROWS_MAX);
        let keys = many(|number| format!("reads:{number} key=k,per_second=1"));
        assert_eq!(hot_keys(&pairs(&keys)).len(), ROWS_MAX);
        // The figures of those that are there are still read.
        assert_eq!(latency(&pairs(&(times + "\nc0_count 7")))[0].count, 7.0);
    }

    #[test]
    fn hot_keys_are_read_and_made_harmless() {
        let text = "half_life_seconds 10\nread_requests_per_second 5\n\
            read_requests:1 key=a%20%1b[2J,per_second=12.5,error=1.0,percent=3.2,more=1\n\
            write_bytes:1 per_second=2,key=k\nwrite_bytes:2 key=k\nwrite_bytes:3 nonsense";
        let found = hot_keys(&pairs(text));
        let shown: Vec<_> =
            found.iter().map(|hot| (&*hot.kind, &*hot.key, hot.per_second, hot.percent)).collect();
        assert_eq!(
            shown,
            [("read_requests", "a \\x1b[2J", 12.5, Some(3.2)), ("write_bytes", "k", 2.0, None)]
        );
    }
}
