//! A command line of the classic protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| larder::protocol::memcached::fuzzing::check_classic_line(input));
