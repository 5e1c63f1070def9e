//! How much a connection may do in one turn.

use super::connection::Setting;

/// Bytes read in one turn, and bytes sent, before others get theirs, however fast the client is.
const BYTES_PER_TURN: usize = 256 << 10;
/// The same while all who have turns send or get large values, see [`Setting::turns_are_long`]: the largest value
/// there is by default takes one write, and not four with others' turns between them, which cost a sixth more.
const BYTES_PER_LONG_TURN: usize = (1 << 20) + (64 << 10);
/// A turn that moves so many bytes is not short.
const SHORT_TURN_BYTES: usize = 64 << 10;

/// What is left of a connection's share of a turn.
pub(super) struct Share {
    pub commands_left: usize,
    pub read_bytes_left: usize,
    pub sent_bytes_left: usize,
}

impl Share {
    /// All of it.
    pub fn new(setting: Setting) -> Share {
        let bytes = if setting.turns_are_long { BYTES_PER_LONG_TURN } else { BYTES_PER_TURN };
        let commands_left = setting.daemon.settings.requests_per_event;
        Share { commands_left, read_bytes_left: bytes, sent_bytes_left: bytes }
    }

    /// Whether the turn moves few bytes.
    pub fn is_little(&self, setting: Setting) -> bool {
        let Share { read_bytes_left, sent_bytes_left, .. } = Share::new(setting);
        (read_bytes_left - self.read_bytes_left) + (sent_bytes_left - self.sent_bytes_left) < SHORT_TURN_BYTES
    }

    /// Tells what the turn took of it.
    pub fn note_end(&self, setting: Setting) {
        let whole = Share::new(setting);
        let commands = whole.commands_left.saturating_sub(self.commands_left);
        let bytes_in = whole.read_bytes_left - self.read_bytes_left;
        setting.seen.note_end(commands, bytes_in, whole.sent_bytes_left - self.sent_bytes_left);
    }
}
