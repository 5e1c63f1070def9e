//! A line on standard error that says what goes on, if somebody looks at it there.

use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};

/// Goes back to the beginning of the line and empties it.
const NEW_LINE: &str = "\r\x1b[K";

/// The line. It is gone when it is dropped.
pub struct Display {
    label: String,
    is_terminal: bool,
    is_shown: Cell<bool>,
}

impl Display {
    /// A line that begins with `label`.
    pub fn new(label: &str) -> Display {
        Display { label: label.to_owned(), is_terminal: stderr().is_terminal(), is_shown: Cell::new(false) }
    }

    /// Replaces what is shown.
    pub fn show(&self, text: &str) {
        if self.is_terminal {
            let _ = write!(stderr(), "{NEW_LINE}{}: {text}", self.label);
            self.is_shown.set(true);
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if self.is_shown.get() {
            let _ = write!(stderr(), "{NEW_LINE}");
        }
    }
}
