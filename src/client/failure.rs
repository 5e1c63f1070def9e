//! Why a client command did not do what it was asked for, and the exit code of that.

use std::fmt;
use std::io;

use super::text;

/// Exit codes, those of memcached's tools and of sysexits.
const EXIT_FAILED: i32 = 1;
const EXIT_USAGE: i32 = 64;
const EXIT_UNAVAILABLE: i32 = 69;
const EXIT_OSERR: i32 = 71;

/// Displays as one line.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line, or a file that it names, is wrong; the text says what would be right.
    Usage(String),
    /// A file that the command line names cannot be read.
    Unreadable(String),
    /// The server cannot be reached, or does not answer (any more).
    Unreachable(String),
    /// The server answered and would not, or what it answered is wrong.
    Failed(String),
    /// Whoever read the output has gone away.
    ReaderGone,
}

impl Failure {
    pub fn exit_code(&self) -> i32 {
        match self {
            Failure::Usage(_) => EXIT_USAGE,
            Failure::Unreachable(_) => EXIT_UNAVAILABLE,
            Failure::Unreadable(_) => EXIT_OSERR,
            Failure::Failed(_) | Failure::ReaderGone => EXIT_FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text)
            | Failure::Unreadable(text)
            | Failure::Unreachable(text)
            | Failure::Failed(text) => {
                // Parts of it may be a server's, such as the names in its certificate.
                f.write_str(&text::printable(text.as_bytes()))
            }
            Failure::ReaderGone => f.write_str("nobody reads the output"),
        }
    }
}

/// Of the output. What goes wrong with sockets and files is told with their names, where it happens.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Failed(format!("cannot write the output: {error}")),
        }
    }
}
