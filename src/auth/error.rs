//! `AuthError`: one line that says which option, file and line, and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

/// Exit code for a file that cannot be used, as in memcached.
const EXIT_FAILURE: i32 = 1;

/// Why a file of users cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    option: &'static str,
    path: PathBuf,
    /// From 1; `None` for the file as a whole.
    line: Option<usize>,
    problem: String,
}

impl AuthError {
    /// Something about the file as a whole.
    pub(super) fn new(option: &'static str, path: &Path, problem: impl Into<String>) -> AuthError {
        AuthError { option, path: path.to_owned(), line: None, problem: problem.into() }
    }

    /// The same, about one of its lines.
    pub(super) fn at_line(self, line: usize) -> AuthError {
        AuthError { line: Some(line), ..self }
    }

    /// The process's exit code: memcached's.
    pub fn exit_code(&self) -> i32 {
        EXIT_FAILURE
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
