//! The lowest layer: time, hashing, addresses, counters and what ration the log has. Knows nothing of items, protocols or sockets.

/// Those that `handover` uses; where its interleavings are tried it is given others.
use std::sync::atomic;

pub mod cgroup;
pub mod clock;
pub mod counters;
pub mod handover;
pub mod hash;
pub mod heavy_hitters;
pub mod network;
pub mod rationed;
pub mod sys;
