//! The loads that have a name.

use crate::workload::{Arrivals, Popularity, Protocol, Ratio, Transport, ValueBytes, Workload};

/// Requests per second of the case at low load.
const LOW_LOAD_PER_SEC: f64 = 8000.0;
/// Bytes of all values together where their length grows.
const GROWTH_BYTES: usize = 256 << 20;
/// Keys where the number of connections grows.
const FEW_KEYS: u32 = 10_000;
/// Keys of a quick run at most, and its other bounds.
const QUICK_KEYS_MAX: u32 = 2000;
const QUICK_BYTES_MAX: usize = 4 << 20;
const QUICK_CONNECTIONS_MAX: usize = 500;
const QUICK_PER_SEC: f64 = 2000.0;

/// Which table a case belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Loads of different kinds.
    Cases,
    /// How the cost grows with keys, lengths of values and connections.
    Growth,
}

impl Part {
    /// In the order in which they run.
    pub const ALL: [Part; 2] = [Part::Cases, Part::Growth];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Cases => "cases",
            Part::Growth => "growth",
        }
    }
}

/// A load with a name.
#[derive(Clone, Debug)]
pub struct Case {
    /// As it is given on the command line.
    pub name: &'static str,
    /// Which table it belongs to.
    pub part: Part,
    /// Whether it runs if none is named.
    pub is_default: bool,
    /// Whether a quick run has it.
    pub is_quick: bool,
    /// What it asks.
    pub workload: Workload,
}

/// What the cases are variants of.
pub fn base() -> Workload {
    Workload {
        connections: 50,
        pipeline: 1,
        multiget: 1,
        keys: 1_000_000,
        key_bytes: 20,
        popularity: Popularity::Uniform,
        value_bytes: ValueBytes::fixed(100),
        ratio: Ratio { gets: 10, sets: 1 },
        protocol: Protocol::Classic,
        transport: Transport::Tcp,
        arrivals: Arrivals::Closed,
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = different();
    cases.extend(growing());
    cases
}

fn different() -> Vec<Case> {
    let gets = Ratio { gets: 1, sets: 0 };
    let sets = Ratio { gets: 0, sets: 1 };
    let low_load = Arrivals::Open { per_sec: LOW_LOAD_PER_SEC };
    let defaults = [
        ("pipeline-1", base()),
        ("pipeline-32", Workload { pipeline: 32, ..base() }),
        ("multiget-20", Workload { multiget: 20, ratio: gets, ..base() }),
        ("sets", Workload { ratio: sets, ..base() }),
        ("meta", Workload { protocol: Protocol::Meta, ratio: gets, ..base() }),
        ("unix", Workload { transport: Transport::Unix, ..base() }),
        ("low-load", Workload { connections: 20, arrivals: low_load, ..base() }),
    ];
    let others = [
        ("multiget-100", Workload { multiget: 100, ratio: gets, ..base() }),
        ("meta-32", Workload { protocol: Protocol::Meta, pipeline: 32, ..base() }),
        ("meta-multiget-20", Workload { protocol: Protocol::Meta, multiget: 20, ratio: gets, ..base() }),
        ("zipf", Workload { popularity: Popularity::Zipf(0.99), pipeline: 32, ..base() }),
        ("mixed-values", Workload { value_bytes: ValueBytes { min: 10, max: 4000 }, ..base() }),
    ];
    let case = |is_default: bool| {
        move |(name, workload): (&'static str, Workload)| Case {
            name,
            part: Part::Cases,
            is_default,
            is_quick: is_default,
            workload,
        }
    };
    defaults.map(case(true)).into_iter().chain(others.map(case(false))).collect()
}

fn growing() -> Vec<Case> {
    let gets = Workload { ratio: Ratio { gets: 1, sets: 0 }, ..base() };
    let mut cases = Vec::new();
    let mut add = |name: &'static str, is_quick: bool, workload: Workload| {
        cases.push(Case { name, part: Part::Growth, is_default: true, is_quick, workload });
    };
    for (name, keys) in [
        ("keys-10000", 10_000),
        ("keys-100000", 100_000),
        ("keys-1000000", 1_000_000),
        ("keys-10000000", 10_000_000),
    ] {
        add(name, false, Workload { keys, pipeline: 32, ..gets.clone() });
    }
    for (name, bytes) in [
        ("value-10", 10),
        ("value-100", 100),
        ("value-1000", 1_000),
        ("value-10000", 10_000),
        ("value-100000", 100_000),
        ("value-1000000", 1_000_000),
    ] {
        let keys = gets.keys.min((GROWTH_BYTES / bytes) as u32);
        let value_bytes = ValueBytes::fixed(bytes);
        add(name, bytes == 1_000_000, Workload { keys, value_bytes, ..gets.clone() });
    }
    for (name, connections) in [
        ("connections-1", 1),
        ("connections-10", 10),
        ("connections-100", 100),
        ("connections-1000", 1_000),
        ("connections-10000", 10_000),
    ] {
        // So few keys that the memory is that of the connections.
        let keys = FEW_KEYS;
        add(name, connections == 1_000, Workload { connections, keys, ..gets.clone() });
    }
    cases
}

/// The same load, so small that it is over at once.
pub fn quick(workload: Workload) -> Workload {
    let fitting = (QUICK_BYTES_MAX / workload.value_bytes.max) as u32;
    let arrivals = match workload.arrivals {
        Arrivals::Open { .. } => Arrivals::Open { per_sec: QUICK_PER_SEC },
        Arrivals::Closed => Arrivals::Closed,
    };
    Workload {
        keys: workload.keys.min(QUICK_KEYS_MAX).min(fitting).max(1),
        connections: workload.connections.min(QUICK_CONNECTIONS_MAX),
        arrivals,
        ..workload
    }
}
