//! What the daemon is told: command line, config file, defaults, as checked [`Settings`].
//!
//! Layer 1. Opens no socket, starts no thread, logs nothing, prints nothing, never exits: `load`
//! returns what to do. One table (`options.rs`, `extended.rs`) says what options there are.

mod command_line;
mod error;
#[cfg(test)]
mod example;
mod extended;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod help;
mod listen;
#[cfg(test)]
mod manual;
mod options;
mod reload;
mod settings;
mod tls;
mod values;

pub use command_line::{Action, load};
pub use error::ConfigError;
pub use listen::Interface;
pub use reload::{Change, Reader, live_options};
pub use settings::{
    BindingProtocol, HashAlgorithm, ListenAddress, LogFormat, LruPolicy, Port, Settings, Udp,
};
pub use tls::{KeyFormat, Security, TlsSettings, TlsVersion, VerifyMode};
