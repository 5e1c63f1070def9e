//! `AuthError`: one line that says which option, file and line, and what would be right.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Exit code for a line that is wrong (`EX_USAGE`).
const EXIT_USAGE: i32 = 64;
/// Exit code for a file that cannot be read (`EX_OSERR`).
const EXIT_OSERR: i32 = 71;

/// Why a file of users cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    option: &'static str,
    path: PathBuf,
    /// From 1; `None` for the file as a whole.
    line: Option<usize>,
    problem: String,
    exit_code: i32,
}

impl AuthError {
    /// Something about the file as a whole.
    pub(super) fn new(option: &'static str, path: &Path, problem: impl Into<String>) -> AuthError {
        let (path, problem) = (path.to_owned(), problem.into());
        AuthError { option, path, line: None, problem, exit_code: EXIT_USAGE }
    }

    /// The file cannot be read.
    pub(super) fn unreadable(option: &'static str, path: &Path, error: &io::Error) -> AuthError {
        let of_the_system = error.raw_os_error().is_some();
        AuthError {
            exit_code: if of_the_system { EXIT_OSERR } else { EXIT_USAGE },
            ..AuthError::new(option, path, format!("cannot be read: {error}"))
        }
    }

    /// The same, about one of its lines.
    pub(super) fn at_line(self, line: usize) -> AuthError {
        AuthError { line: Some(line), ..self }
    }

    /// The process's exit code: 64, or 71 if the system does not let the file be read.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.option, self.path)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for AuthError {}
