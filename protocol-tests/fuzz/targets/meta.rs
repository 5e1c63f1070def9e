//! A meta command, from behind its name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| larder::protocol::memcached::fuzzing::check_meta_line(input));
