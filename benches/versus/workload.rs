//! What a load asks of a server: how many connections, which requests over which keys, and when.
//!
//! Plain numbers; knows no socket and no server.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde_json::{Value, json};

use crate::table::thousands;

/// Bytes of key and value apart, what an item may cost a server, generously.
const ITEM_OVERHEAD_BYTES: f64 = 150.0;
/// Room that slab classes may waste, as a factor.
const MEMORY_SLACK: f64 = 1.5;
/// The least `-m` that servers are given, in MB.
const MEMORY_MB_MIN: usize = 1024;

/// A load.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// How many, over all load threads.
    pub connections: usize,
    /// Requests that a connection sends at once; it sends the next when all are answered.
    pub pipeline: usize,
    /// Keys of a get.
    pub multiget: usize,
    /// Keys that there are, all of them stored before the load.
    pub keys: u32,
    /// Length of a key.
    pub key_bytes: usize,
    /// How often each is asked for.
    pub popularity: Popularity,
    /// Lengths of values.
    pub value_bytes: ValueBytes,
    /// Of gets and sets.
    pub ratio: Ratio,
    /// Commands used.
    pub protocol: Protocol,
    /// Sockets used.
    pub transport: Transport,
    /// When requests are sent.
    pub arrivals: Arrivals,
}

impl Workload {
    /// Keys that a request reads or writes on average: figures are given per key.
    pub fn keys_per_request(&self) -> f64 {
        let Ratio { gets, sets } = self.ratio;
        (f64::from(gets) * self.multiget as f64 + f64::from(sets)) / f64::from(gets + sets)
    }

    /// `-m` under which no item is evicted.
    pub fn memory_mb(&self) -> usize {
        let item = self.key_bytes as f64 + self.value_bytes.mean() + ITEM_OVERHEAD_BYTES;
        let bytes = f64::from(self.keys) * item * MEMORY_SLACK;
        MEMORY_MB_MIN.max((bytes / (1 << 20) as f64) as usize)
    }

    /// All of it, for the file of results.
    pub fn json(&self) -> Value {
        json!({
            "connections": self.connections, "pipeline": self.pipeline, "multiget": self.multiget,
            "keys": self.keys, "key_bytes": self.key_bytes, "popularity": self.popularity.to_string(),
            "value_bytes": self.value_bytes.to_string(), "gets_to_sets": self.ratio.to_string(),
            "protocol": self.protocol.to_string(), "transport": self.transport.to_string(),
            "arrivals": self.arrivals.to_string(),
        })
    }
}

impl Display for Workload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections ({}), {}, pipeline {}, {} commands, gets to sets {}, keys per get {}; \
             {} keys of {} B, {}, values of {} B",
            self.connections,
            self.transport,
            self.arrivals,
            self.pipeline,
            self.protocol,
            self.ratio,
            self.multiget,
            thousands(self.keys.into()),
            self.key_bytes,
            self.popularity,
            self.value_bytes
        )
    }
}

/// How often each key is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Popularity {
    /// All alike.
    Uniform,
    /// By rank, with this exponent.
    Zipf(f64),
}

impl Display for Popularity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Popularity::Uniform => f.write_str("uniform"),
            Popularity::Zipf(exponent) => write!(f, "zipf {exponent}"),
        }
    }
}

/// Lengths of values: every length of the range is as frequent. Which one a key has is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueBytes {
    /// The shortest.
    pub min: usize,
    /// The longest.
    pub max: usize,
}

impl ValueBytes {
    /// All values of one length.
    pub const fn fixed(bytes: usize) -> ValueBytes {
        ValueBytes { min: bytes, max: bytes }
    }

    /// Length of the value of a key.
    #[inline]
    pub fn of(&self, id: u32) -> usize {
        // The high half of a product with an odd number spreads consecutive ids over all lengths.
        let spread = (u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        self.min + spread % (self.max - self.min + 1)
    }

    fn mean(&self) -> f64 {
        (self.min + self.max) as f64 / 2.0
    }
}

impl Display for ValueBytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.min == self.max {
            true => write!(f, "{}", self.min),
            false => write!(f, "{}-{}", self.min, self.max),
        }
    }
}

impl FromStr for ValueBytes {
    type Err = String;

    fn from_str(text: &str) -> Result<ValueBytes, String> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        match (min.parse(), max.parse()) {
            (Ok(min), Ok(max)) if 1 <= min && min <= max => Ok(ValueBytes { min, max }),
            _ => Err("a number of bytes above 0, or a range like 10-1000, is expected".to_owned()),
        }
    }
}

/// Gets and sets: so many of the one for so many of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// Retrievals.
    pub gets: u32,
    /// Stores.
    pub sets: u32,
}

impl Display for Ratio {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.gets, self.sets)
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Ratio, String> {
        let parts = text.split_once(':').and_then(|(gets, sets)| {
            let (gets, sets): (u16, u16) = (gets.parse().ok()?, sets.parse().ok()?);
            Some(Ratio { gets: gets.into(), sets: sets.into() })
        });
        parts
            .filter(|ratio| ratio.gets + ratio.sets > 0)
            .ok_or_else(|| "GETS:SETS is expected, like 10:1 or 0:1".to_owned())
    }
}

/// Commands used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `get` and `set`.
    Classic,
    /// `mg` and `ms`, with the key, the client flags and an opaque returned.
    Meta,
}

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Classic => "classic",
            Protocol::Meta => "meta",
        })
    }
}

/// Sockets used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// On the loopback interface.
    Tcp,
    /// A Unix socket.
    Unix,
}

impl Display for Transport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "TCP",
            Transport::Unix => "Unix socket",
        })
    }
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// Each connection sends when its last requests are answered.
    Closed,
    /// At random times (Poisson), whether answers are there or not. With a pipeline of n, n arrive at once
    /// on one connection.
    Open {
        /// Requests per second, over all connections.
        per_sec: f64,
    },
}

impl Display for Arrivals {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Arrivals::Closed => f.write_str("closed loop"),
            Arrivals::Open { per_sec } => write!(f, "open loop at {per_sec} requests/s"),
        }
    }
}

#[cfg(test)]
#[allow(unused, reason = "a benchmark without a harness has no tests")]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_ratios_are_read_and_shown_alike() {
        for text in ["100", "10-1000", "1-1"] {
            let read: ValueBytes = text.parse().unwrap();
            assert_eq!(read.to_string(), if text == "1-1" { "1" } else { text });
        }
        for text in ["", "0", "0-5", "9-5", "x", "5-", "-5"] {
            assert!(text.parse::<ValueBytes>().is_err(), "{text:?}");
        }
        assert_eq!("10:1".parse(), Ok(Ratio { gets: 10, sets: 1 }));
        for text in ["", "1", "0:0", "1:-1", ":", "70000:1"] {
            assert!(text.parse::<Ratio>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn lengths_of_a_range_are_alike_frequent_and_fixed_per_key() {
        let lengths = ValueBytes { min: 10, max: 19 };
        let mut seen = [0; 10];
        for id in 0..10_000 {
            assert_eq!(lengths.of(id), lengths.of(id));
            seen[lengths.of(id) - 10] += 1;
        }
        assert!(seen.iter().all(|&count| (900..1100).contains(&count)), "{seen:?}");
    }
}
