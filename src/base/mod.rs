//! The lowest layer: time, hashing and counters. Knows nothing of items, protocols or sockets.

pub mod clock;
pub mod counters;
pub mod hash;
pub mod sys;
