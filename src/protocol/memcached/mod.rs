//! memcached's classic text protocol: command line to request, request to store, outcome to reply.
//!
//! [`Session`] is the front door: it is fed the bytes of one connection and fills an
//! [`Output`](super::output::Output). It does no I/O, so any transport can stand before it.

mod daemon;
mod execute;
mod number;
mod parse;
mod reply;
mod request;
mod session;
mod stats;
mod tuning;

pub use daemon::{ConnectionCounters, Daemon, WorkerCounters, WorkerFigures};
pub use reply::TOO_MANY_CONNECTIONS;
pub use session::{Next, Served, Session, Turn};

/// Parses one command line and tells whether it is a valid command. For the benchmarks alone.
#[doc(hidden)]
pub fn parses(line: &[u8]) -> bool {
    !matches!(
        parse::line(line, line.len() + 2),
        request::Request::Refused { .. } | request::Request::Hopeless
    )
}
