//! The lowest layer: time, hashing, addresses, counters and what ration the log has. Knows nothing of items, protocols or sockets.

pub mod cgroup;
pub mod clock;
pub mod counters;
pub mod hash;
pub mod network;
pub mod rationed;
pub mod sys;
