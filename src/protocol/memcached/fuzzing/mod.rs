//! What must hold whatever a client sends: the fuzzer's checks, which the tests repeat over the inputs that
//! fuzzing found worth keeping (`protocol-tests/fuzz/corpus`).
//!
//! [`check_classic_line`] and [`check_meta_line`] are about the parsers, [`check_session`] about whole
//! conversations with a store, [`check_datagram`] about requests over UDP. All panic where something is wrong.

mod datagrams;
mod lines;
mod sessions;
mod shape;

#[cfg(test)]
mod tests;

pub use datagrams::check_datagram;
pub use lines::{check_classic_line, check_meta_line};
pub use sessions::check_session;
