//! `ConfigError`: one line that says where, which option, which value, and what would be right.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// Exit code for a wrong command line, or for a wrong line in a file that it names (`EX_USAGE`).
const EXIT_USAGE: i32 = 64;
/// Exit code for a file that cannot be read (`EX_OSERR`).
const EXIT_OSERR: i32 = 71;
/// Characters of a value that an error line repeats; the rest is cut.
const VALUE_SHOWN_MAX: usize = 80;

/// Where an option was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    CommandLine,
    /// A line of a config file; 0 means the file as a whole.
    File {
        path: PathBuf,
        line: usize,
    },
}

/// Why a value does not do; the caller adds where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Wrong; the text says what would be right.
    Expected(String),
    /// Right for memcached, but larder cannot do it; the text says what to give instead.
    NotYet(&'static str),
    /// Anything else, said in full.
    Other(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::NotYet(instead) => write!(f, "not supported yet, {instead}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Why the daemon cannot start with these options. Displays as exactly one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    source: Source,
    option: Option<String>,
    value: Option<String>,
    problem: Problem,
    exit_code: i32,
}

impl ConfigError {
    pub(super) fn new(source: Source, problem: Problem) -> Self {
        Self { source, option: None, value: None, problem, exit_code: EXIT_USAGE }
    }

    /// What is wrong is not what was given, but what the system says to it.
    pub(super) fn of_the_system(self) -> Self {
        Self { exit_code: EXIT_OSERR, ..self }
    }

    pub(super) fn in_file(path: &Path, line: usize, problem: impl Into<String>) -> Self {
        let source = Source::File { path: path.to_owned(), line };
        Self::new(source, Problem::Other(problem.into()))
    }

    /// Names the option, and its value if it had one.
    pub(super) fn about(mut self, option: impl Into<String>, value: Option<&OsStr>) -> Self {
        self.option = Some(option.into());
        self.value = value.map(|value| printable(&value.to_string_lossy()));
        self
    }

    /// The process's exit code: 64, or 71 for a file that cannot be read.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Source::File { path, line } = &self.source {
            write!(f, "{}:", printable(&path.to_string_lossy()))?;
            match line {
                0 => f.write_str(" ")?,
                line => write!(f, "{line}: ")?,
            }
        }
        if let Some(option) = &self.option {
            f.write_str(option)?;
            if let Some(value) = &self.value {
                write!(f, " '{value}'")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}", self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// Text from outside, fit for one line: control characters escaped, length bounded.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == VALUE_SHOWN_MAX {
            shown.push_str("...");
            break;
        }
        let risky = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        if risky {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: ConfigError, expected: &str) {
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.exit_code(), 64);
    }

    #[test]
    fn names_place_option_value_and_remedy() {
        let expected = || Problem::Expected("a number".to_owned());
        let file = Source::File { path: "m.conf".into(), line: 12 };
        check(ConfigError::new(Source::CommandLine, expected()), "expected a number");
        check(
            ConfigError::new(file, expected()).about("--port", Some(OsStr::new("7x"))),
            "m.conf:12: --port '7x': expected a number",
        );
        check(
            ConfigError::new(Source::CommandLine, Problem::NotYet("leave it out")).about("-D", None),
            "-D: not supported yet, leave it out",
        );
        check(ConfigError::in_file(Path::new("m.conf"), 0, "is a directory"), "m.conf: is a directory");
    }

    #[test]
    fn a_hostile_value_stays_on_one_line() {
        assert_eq!(printable("a\nb\u{2028}c\x1b[1m"), "a\\nb\\u{2028}c\\u{1b}[1m");
        assert_eq!(printable(&"x".repeat(500)).len(), VALUE_SHOWN_MAX + 3);
    }
}
