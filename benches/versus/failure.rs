//! Why a run ended early.

use std::fmt::{self, Display, Formatter};
use std::io;

use crate::reply::Wrong;

/// Why a run ended early.
#[derive(Debug)]
pub enum Failure {
    /// A server answered wrong, or not at all: its fault.
    Wrong(String),
    /// The run could not be made.
    Io(io::Error),
    /// Another thread of the same load failed.
    Other,
}

impl Failure {
    /// The same, with what was going on before it.
    pub fn in_the_course_of(self, what: &str) -> Failure {
        match self {
            Failure::Wrong(why) => Failure::Wrong(format!("{what}: {why}")),
            Failure::Io(error) => Failure::Io(io::Error::other(format!("{what}: {error}"))),
            Failure::Other => Failure::Other,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl From<Wrong> for Failure {
    fn from(Wrong(why): Wrong) -> Failure {
        Failure::Wrong(format!("wrong reply: {why}"))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Wrong(why) => f.write_str(why),
            Failure::Io(error) => error.fmt(f),
            Failure::Other => f.write_str("another thread failed"),
        }
    }
}
