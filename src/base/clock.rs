//! Time as the cache sees it: whole seconds since the daemon started.
//!
//! Inside, time is monotonic, so a step of the wall clock neither kills an item nor makes it
//! immortal. The wall clock is looked at once a second, and only to read absolute exptimes.
//! A reading is taken once per turn of an event loop and passed down; nothing below reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Seconds on the monotonic scale. The daemon starts at [`Seconds::START`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub u32);

impl Seconds {
    /// The reading at start. It is 2, as memcached's uptime is, so that 0 and 1 stay free for
    /// "never" and "already over" in a [`Deadline`].
    pub const START: Seconds = Seconds(2);

    /// `seconds` later, or the end of the scale.
    pub fn after(self, seconds: u32) -> Seconds {
        Seconds(self.0.saturating_add(seconds))
    }
}

/// When an item ends, on the same scale as [`Seconds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deadline(pub u32);

impl Deadline {
    /// The item has no end.
    pub const NEVER: Deadline = Deadline(0);
    /// The item is over before it is stored: it is accepted and never returned.
    pub const PASSED: Deadline = Deadline(1);

    /// The deadline at `at`. A reading before [`Seconds::START`] has passed by definition.
    pub fn at(at: Seconds) -> Deadline {
        Deadline(at.0.max(Self::PASSED.0))
    }

    /// Whether an item with this deadline is over at `now`.
    pub fn has_passed(self, now: Seconds) -> bool {
        self != Self::NEVER && self.0 <= now.0
    }

    /// Seconds that are left at `now`: `None` if it never ends, 0 if it is over.
    pub fn left(self, now: Seconds) -> Option<u32> {
        (self != Self::NEVER).then(|| self.0.saturating_sub(now.0))
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic seconds.
    pub seconds: Seconds,
    /// Wall clock, as a Unix time in seconds.
    pub unix: i64,
}

impl Now {
    /// Translates a Unix time to the monotonic scale, by the wall clock of this reading.
    pub fn deadline_at_unix(self, unix: i64) -> Deadline {
        let from_now = unix.saturating_sub(self.unix);
        if from_now <= 0 {
            return Deadline::PASSED;
        }
        let from_now = u32::try_from(from_now).unwrap_or(u32::MAX);
        Deadline::at(self.seconds.after(from_now))
    }
}

/// The daemon's clock: where zero is. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that reads [`Seconds::START`] now.
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// `instant` on this clock's scale.
    fn seconds_at(&self, instant: Instant) -> Seconds {
        let elapsed = instant.saturating_duration_since(self.origin).as_secs();
        Seconds::START.after(u32::try_from(elapsed).unwrap_or(u32::MAX))
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        Now { seconds: self.seconds_at(Instant::now()), unix: unix_seconds() }
    }

    /// Brings `now` up to date with `instant`; looks at the wall clock only when the second has changed.
    pub fn refresh(&self, now: &mut Now, instant: Instant) {
        let seconds = self.seconds_at(instant);
        if seconds != now.seconds {
            *now = Now { seconds, unix: unix_seconds() };
        }
    }
}

/// The wall clock as a Unix time; before 1970 it reads 0.
fn unix_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_when_the_clock_reaches_it() {
        let deadline = Deadline::at(Seconds(10));
        assert!(!deadline.has_passed(Seconds(9)));
        assert!(deadline.has_passed(Seconds(10)));
        assert!(!Deadline::NEVER.has_passed(Seconds(u32::MAX)));
        assert!(Deadline::PASSED.has_passed(Seconds::START));
    }

    #[test]
    fn a_unix_time_is_read_by_the_wall_clock_of_the_moment() {
        let now = Now { seconds: Seconds(100), unix: 1_000_000 };
        assert_eq!(now.deadline_at_unix(1_000_030), Deadline(130));
        assert_eq!(now.deadline_at_unix(1_000_000), Deadline::PASSED);
        assert_eq!(now.deadline_at_unix(-5), Deadline::PASSED);
        assert_eq!(now.deadline_at_unix(i64::MAX), Deadline(u32::MAX));
    }

    #[test]
    fn seconds_left_counts_down_to_zero() {
        assert_eq!(Deadline(130).left(Seconds(100)), Some(30));
        assert_eq!(Deadline(130).left(Seconds(200)), Some(0));
        assert_eq!(Deadline::NEVER.left(Seconds(200)), None);
    }
}
