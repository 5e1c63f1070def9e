//! Who may log in, and what for: the files that tell, and the guard that judges by them.
//!
//! Layer 1. Knows no protocol word, socket or thread. What it compares it compares in constant time, and what
//! it tells of a file names lines, never what they hold.

mod check;
mod delays;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod hashing;
mod password_file;
mod users;
mod waiting;

pub use check::{Check, Held, Outcome};
pub use error::AuthError;
pub use guard::{Admitted, Guard, Judged, Kind};
pub use users::{Rights, User, line};
pub use waiting::Waiting;
