//! memcached's text protocol, classic and meta: command line to request, request to store, outcome to reply.
//!
//! [`Session`] is the front door: it is fed the bytes of one connection and fills an
//! [`Output`](super::output::Output). It does no I/O, so any transport can stand before it.

mod ahead;
mod audit;
mod conns;
mod crawler;
mod daemon;
mod datagram;
mod debug;
mod detail;
mod encoding;
mod execute;
mod figures;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hotkeys;
mod job;
mod latency;
mod live;
mod login;
mod meta;
mod metric_names;
mod metrics;
mod number;
mod observe;
mod parse;
mod reply;
mod request;
mod rights;
mod session;
mod slow_log;
mod stats;
mod tags;
mod tls;
mod tuning;
mod watch;

pub use conns::{Address, ConnectionInfo, ConnectionState, Connections};
pub use daemon::{ConnectionCounters, Daemon, Hooks, WorkerCounters, WorkerFigures};
pub use datagram::{Exchange, FRAGMENT_BYTES, Message};
pub use figures::figures;
pub use latency::Timing;
pub use live::{Live, tuning};
pub use metric_names::Of as MetricName;
pub use metrics::{CONTENT_TYPE as METRICS_CONTENT_TYPE, Sample, metrics};
pub use reply::TOO_MANY_CONNECTIONS;
pub use session::{Next, Served, Session, Turn};
pub use slow_log::{SlowBatch, SlowLog};
pub use tags::{Tag, Tags};
pub use tls::{CertificateNames, Certificates};
pub use watch::{CloseReason, WatchHub};

/// Parses one command line and tells whether it is a valid command. For the benchmarks alone.
#[doc(hidden)]
pub fn parses(line: &[u8]) -> bool {
    !matches!(
        parse::line(line, line.len() + 2),
        request::Request::Refused { .. } | request::Request::Hopeless
    )
}
