//! larder: a multithreaded cache daemon that speaks memcached's protocol.
//!
//! Layers, bottom to top; a module uses those before it and never those behind it.

pub mod base;

pub mod auth;
pub mod config;
pub mod store;

pub mod protocol;

pub mod server;

// Beside the layers, and used by none of them.
pub mod client;

#[cfg(test)]
mod tidy;
