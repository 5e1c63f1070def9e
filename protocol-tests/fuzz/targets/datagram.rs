//! A request over UDP.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| larder::protocol::memcached::fuzzing::check_datagram(input));
