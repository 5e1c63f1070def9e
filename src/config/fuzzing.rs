//! What must hold of any config file, for the fuzzer and the tests.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{Action, load};

/// Reads `content` as a config file: it is understood, or refused in one line that names the file.
///
/// # Panics
/// If neither.
pub fn check_file(content: &[u8]) {
    let mut file = File::from(memfd_create(c"config", MFdFlags::empty()).expect("a file in memory"));
    file.write_all(content).expect("a few bytes");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match load("larder", vec!["--config".into(), path.clone().into()]) {
        Ok(Action::Run(settings)) => {
            assert!(settings.threads > 0 && settings.memory_limit_bytes > 0);
            assert!(!settings.rows().is_empty());
        }
        Ok(Action::Print(text)) => panic!("a file makes it print: {text}"),
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with(&path), "does not name the file: {line}");
            assert!(!line.contains(['\n', '\r']), "more than one line: {line:?}");
            assert_ne!(error.exit_code(), 0);
        }
    }
}
