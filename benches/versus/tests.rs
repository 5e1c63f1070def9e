//! The unit tests of the load generator: the benchmark has a `main` of its own, so that its tests need a
//! program of theirs. `cargo test --test load_generator`.
#![allow(dead_code, reason = "what only the benchmark uses is compiled here as well")]

mod cases;
mod connection;
mod cores;
mod driver;
mod failure;
mod floor;
mod load;
mod progress;
mod reply;
mod requests;
mod schedule;
mod syscalls;
#[path = "../fixture/table.rs"]
mod table;
#[path = "../fixture/value.rs"]
mod value;
mod workload;
