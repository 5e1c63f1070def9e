//! A file of users, of either kind.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| larder::auth::fuzzing::check_users(input));
