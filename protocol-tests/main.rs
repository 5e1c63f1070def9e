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
//! | `LARDER_TEST_OPTIONS` | further options for every start of it, such as `-o drop_privileges` |
//! | `LARDER_TEST_CASES` | cases of the differential test; default 48 |
//! | `LARDER_TEST_SOAK_SECS` | how long random bytes are thrown at the daemon, and a mixed load runs; default: a moment |
//! | `LARDER_TEST_CONNECTS` | short connections of the test of them; default 20000 |
//!
//! Knows nothing of larder's code: only its binary, its options and its sockets.

mod client;
mod client_bench;
mod client_commands;
mod client_signals;
mod client_waits;
mod differences;
mod server;

mod accounting;
mod arithmetic;
mod auth;
mod conns;
mod crawler;
mod debug;
mod deletion;
mod error_lines;
mod expiry;
mod flush;
mod hotkeys;
mod large_values;
mod latency;
mod lines;
mod logins;
mod meta_get;
mod meta_keys;
mod meta_leases;
mod meta_lines;
mod meta_set;
mod meta_writes;
mod noreply;
mod numbers;
mod pipelining;
mod prompts;
mod retrieval;
mod simple;
mod splitting;
mod stats;
mod storage;
mod tags;
mod top;
mod tuning;
mod users;
mod value_limits;
mod watch;

mod bad_input;
mod crowds;
mod differential;
mod fairness;
mod faults;
mod hostile_clients;
mod http;
mod slow_clients;

mod concurrency;
mod listening;
mod logs;
mod memory;
mod process;
mod rights;
mod service;
mod soak;
mod tls;
mod udp;
