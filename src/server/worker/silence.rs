//! Closing connections that do not go on: a worker's looks at its clock that are not about requests.

use crate::protocol::memcached::CloseReason;

use mio::Token;

use super::{Connection, Worker};

/// Connections closed because they are silent, before those who are not have their turns again.
const CLOSED_PER_ROUND: usize = 64;
/// Seconds for a TLS handshake.
const HANDSHAKE_SECS: u32 = 10;
/// Seconds between two looks for those that have not logged in, at most: the limit may become a shorter one.
const LOGINS_LOOK_SECS: u32 = 60;

impl Worker {
    /// Closes connections whose TLS handshake is not done in time.
    pub(super) fn close_slow_handshakes(&mut self) {
        let limit = match self.daemon.live.idle_timeout() {
            0 => HANDSHAKE_SECS,
            idle_timeout => idle_timeout.min(HANDSHAKE_SECS),
        };
        let now = self.now.seconds;
        while let Some((token, began)) = self.handshakes.take_late(limit, now) {
            // Its place may be taken by a newer one, which has a later entry.
            let connection = self.connections.get(token.0);
            let is_slow = |connection: &Connection| connection.is_handshaking() && connection.began <= began;
            if let Some(connection) = connection.filter(|connection| is_slow(connection)) {
                let counters = self.daemon.counters(self.number, connection.info().tag);
                counters.tls_handshake_errors.add(1);
                counters.tls_handshake_timeouts.add(1);
                self.daemon.note_tls_failed(connection.info().fd, "the handshake takes too long");
                let address = &connection.info().address;
                self.complaints.tls.tell(now, "closed", |untold| {
                    log::warn!(
                        event = "tls_failed", peer:% = address;
                        "{address} is closed: TLS: the handshake takes more than {limit} s{untold}"
                    );
                });
                self.close(token, CloseReason::Error);
            }
        }
    }

    /// Looks once a second for connections that are silent for too long, or have not logged in for too long, and closes
    /// some of them.
    pub(super) fn close_idle(&mut self) {
        let (idle_timeout, now) = (self.daemon.live.idle_timeout(), self.now.seconds);
        let login_timeout = match self.daemon.guard {
            Some(_) => self.daemon.live.login_timeout(),
            None => 0,
        };
        if idle_timeout == 0 && login_timeout == 0 {
            return;
        }
        let is_due = idle_timeout > 0 || self.logins_due <= now;
        if is_due && self.idle.is_empty() && self.idle_looked_for != now {
            self.idle_looked_for = now;
            self.find_idle(idle_timeout, login_timeout);
        }
        for token in self.idle.split_off(self.idle.len().saturating_sub(CLOSED_PER_ROUND)) {
            // It may have sent something meanwhile, or be gone and its place taken.
            let Some(connection) = self.connections.get(token.0) else { continue };
            let is_late = connection.is_late(login_timeout, &self.daemon, now);
            if !is_late && !connection.is_idle(idle_timeout, now) {
                continue;
            }
            if is_late {
                let address = &connection.info().address;
                self.complaints.no_login.tell(now, "closed", |untold| {
                    log::warn!(
                        event = "connection_rejected", peer:% = address;
                        "{address} is closed: it has not logged in within {login_timeout} s (-o login_timeout){untold}"
                    );
                });
            }
            self.daemon.counters(self.number, connection.info().tag).idle_kicks.add(1);
            self.close(token, CloseReason::IdleTimeout);
        }
    }

    fn find_idle(&mut self, idle_timeout: u32, login_timeout: u32) {
        let now = self.now.seconds;
        self.logins_due = now.after(login_timeout.clamp(1, LOGINS_LOOK_SECS));
        for (place, connection) in &self.connections {
            if connection.is_idle(idle_timeout, now) || connection.is_late(login_timeout, &self.daemon, now) {
                self.idle.push(Token(place));
            } else if login_timeout > 0 && connection.session().is_outside(&self.daemon) {
                self.logins_due =
                    self.logins_due.min(connection.began.after(login_timeout.saturating_add(1)));
            }
        }
    }
}
