//! Time as the cache sees it: whole seconds since the daemon started.
//!
//! Inside, time is monotonic, so a step of the wall clock neither kills an item nor makes it
//! immortal. The wall clock is looked at once a second, and only to read absolute exptimes.
//! A reading is taken once per turn of an event loop and passed down; nothing below reads a clock.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};
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

/// The daemon's clock: where zero is. For tests it can be stopped and moved on.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    /// Seconds that it was moved on by.
    shift: AtomicI64,
    /// The reading at which it stands; 0 if it goes.
    stopped_at: AtomicU32,
}

impl Clock {
    /// A clock that reads [`Seconds::START`] now.
    pub fn start() -> Clock {
        Clock { origin: Instant::now(), shift: AtomicI64::new(0), stopped_at: AtomicU32::new(0) }
    }

    /// Seconds on the monotonic scale at `instant`, whatever was done to this clock.
    fn true_seconds_at(&self, instant: Instant) -> Seconds {
        let elapsed = instant.saturating_duration_since(self.origin).as_secs();
        Seconds::START.after(u32::try_from(elapsed).unwrap_or(u32::MAX))
    }

    /// What this clock shows at `instant`.
    fn seconds_at(&self, instant: Instant) -> Seconds {
        let stopped_at = self.stopped_at.load(Relaxed);
        if stopped_at != 0 {
            return Seconds(stopped_at);
        }
        moved(self.true_seconds_at(instant), self.shift.load(Relaxed))
    }

    /// Reads both clocks. A wall clock is moved with this one.
    fn read_at(&self, instant: Instant) -> Now {
        let seconds = self.seconds_at(instant);
        let ahead = i64::from(seconds.0) - i64::from(self.true_seconds_at(instant).0);
        Now { seconds, unix: unix_seconds() + ahead }
    }

    /// Stops the clock where it is.
    pub fn stop(&self) {
        self.stopped_at.store(self.now().seconds.0, Relaxed);
    }

    /// Lets the clock go again, at the time that it would show had it not been stopped.
    pub fn go(&self) {
        self.stopped_at.store(0, Relaxed);
    }

    /// Moves the clock by `seconds`; one that stands is moved as well.
    pub fn shift(&self, seconds: i64) {
        self.shift.fetch_add(seconds, Relaxed);
        let stopped_at = self.stopped_at.load(Relaxed);
        if stopped_at != 0 {
            self.stopped_at.store(moved(Seconds(stopped_at), seconds).0, Relaxed);
        }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        self.read_at(Instant::now())
    }

    /// Brings `now` up to date with `instant`; looks at the wall clock only when the second has changed.
    pub fn refresh(&self, now: &mut Now, instant: Instant) {
        if self.seconds_at(instant) != now.seconds {
            *now = self.read_at(instant);
        }
    }
}

/// `seconds` moved by `shift`, but not to before the start.
fn moved(seconds: Seconds, shift: i64) -> Seconds {
    let moved = i64::from(seconds.0).saturating_add(shift);
    Seconds(moved.clamp(Seconds::START.0.into(), u32::MAX.into()) as u32)
}

/// The wall clock in microseconds since 1970, for lines of a log.
pub fn unix_micros() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
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
    fn a_clock_can_be_stopped_and_moved() {
        let clock = Clock::start();
        clock.shift(100);
        let moved = clock.now().seconds;
        assert!((102..110).contains(&moved.0), "{moved:?}");
        assert!((95..105).contains(&(clock.now().unix - unix_seconds())));
        clock.stop();
        let stopped = clock.now().seconds;
        clock.shift(5);
        assert_eq!(clock.now().seconds, stopped.after(5));
        clock.go();
        assert!(clock.now().seconds >= stopped.after(5));
        clock.shift(i64::MIN / 2);
        assert_eq!(clock.now().seconds, Seconds::START);
    }

    #[test]
    fn seconds_left_counts_down_to_zero() {
        assert_eq!(Deadline(130).left(Seconds(100)), Some(30));
        assert_eq!(Deadline(130).left(Seconds(200)), Some(0));
        assert_eq!(Deadline::NEVER.left(Seconds(200)), None);
    }
}
