//! larder's wire behaviour, proved through sockets against a running daemon.
//!
//! The same suite runs against memcached, which is how it is kept honest:
//! `LARDER_TEST_SERVER=/usr/bin/memcached cargo test --test protocol`. What differs on purpose, and what
//! older releases of memcached do differently, is listed with reasons in `differences.rs`.
//!
//! | variable | effect |
//! |---|---|
//! | `LARDER_TEST_SERVER` | daemon under test; default: the `larder` of this build |
//! | `LARDER_TEST_REFERENCE` | memcached for the differential test; default: `/usr/bin/memcached` if there |
//! | `LARDER_TEST_CASES` | cases of the differential test; default 48 |
//! | `LARDER_TEST_SOAK_SECS` | how long random bytes are thrown at the daemon; default: a fixed small count |
//!
//! Knows nothing of larder's code: only its binary, its options and its sockets.

mod client;
mod differences;
mod server;

mod arithmetic;
mod deletion;
mod expiry;
mod flush;
mod lines;
mod noreply;
mod numbers;
mod pipelining;
mod retrieval;
mod simple;
mod splitting;
mod stats;
mod storage;
mod tuning;
mod value_limits;

mod bad_input;
mod differential;
mod hostile_clients;

mod concurrency;
mod listening;
mod memory;
mod process;
