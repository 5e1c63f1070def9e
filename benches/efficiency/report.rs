//! Every single run: announced on standard error as it begins, and as a line of JSON when it is done, for
//! those who want to work on the figures.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;

/// The file given with `--json`, if one was.
pub struct Report {
    file: Option<File>,
}

impl Report {
    /// Starts the file anew.
    pub fn create(path: Option<&Path>) -> io::Result<Report> {
        Ok(Report { file: path.map(File::create).transpose()? })
    }

    /// Says what runs now: some of it takes a minute.
    pub fn announce(&self, part: &str, what: &str, server: &str) {
        eprintln!("{part}: {what} {server}");
    }

    /// Adds a line. A file that cannot be written to any more is given up, and that is said.
    pub fn record(&mut self, run: Value) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = writeln!(file, "{run}") {
            eprintln!("efficiency: --json: {error}");
            self.file = None;
        }
    }
}
