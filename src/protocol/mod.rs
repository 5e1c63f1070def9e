//! Protocols: bytes in, bytes out.
//!
//! Knows the store and the settings; knows no socket, no thread and no clock.

pub mod memcached;
pub mod output;
