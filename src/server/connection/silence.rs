//! Which connections nobody has to wait for any longer.

use crate::base::clock::Seconds;
use crate::protocol::memcached::{ConnectionState, Daemon};

use super::Connection;

impl Connection {
    /// Whether its client has left while its login waits: has ended its side while it is held back, or is gone
    /// altogether. Another that has ended its side, as scripts do, may wait for its answers.
    pub(super) fn is_given_up(&self) -> bool {
        self.is_reset || self.is_read_closed && self.session.is_held()
    }

    /// Whether its client has had more than `seconds` to log in, and has not. 0 for no limit.
    pub fn is_late(&self, seconds: u32, daemon: &Daemon, now: Seconds) -> bool {
        seconds > 0 && self.session.is_outside(daemon) && now.0.saturating_sub(self.began.0) > seconds
    }

    /// Whether it is silent for more than `seconds` over a network: between two commands, or within a value,
    /// which takes memory while it does not arrive. A handshake has a limit of its own. 0 for no limit.
    pub fn is_idle(&self, seconds: u32, now: Seconds) -> bool {
        if seconds == 0 || self.is_blocked || !self.transport.is_remote() || self.is_handshaking() {
            return false;
        }
        let silent_seconds = match self.session.state() {
            ConnectionState::Read => self.info.silent_seconds(now),
            ConnectionState::Value | ConnectionState::Swallow => now.0.saturating_sub(self.received_at.0),
            _ => return false,
        };
        silent_seconds > seconds
    }
}
