//! A config file.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| larder::config::fuzzing::check_file(input));
