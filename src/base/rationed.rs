//! Lines of the log that anybody can cause as often as he likes: one now and then, with a count of the others.

use std::cell::Cell;
use std::fmt;

use super::clock::Seconds;

/// Seconds that a ration of lines is for.
const PERIOD_SECS: u32 = 10;

/// One kind of line.
#[derive(Debug)]
pub struct Rationed {
    lines_per_period: u32,
    /// When the period began.
    began: Cell<Option<Seconds>>,
    /// Lines that it may still have.
    lines_left: Cell<u32>,
    untold: Cell<u64>,
}

impl Default for Rationed {
    /// One line in each period.
    fn default() -> Rationed {
        Rationed::of(1)
    }
}

impl Rationed {
    /// So many lines in each period, one at least.
    pub fn of(lines_per_period: u32) -> Rationed {
        Rationed { lines_per_period, began: Cell::new(None), lines_left: Cell::new(0), untold: Cell::new(0) }
    }

    /// If there may be a line: the number of those not written since the last.
    pub fn next(&self, now: Seconds) -> Option<u64> {
        if self.began.get().is_none_or(|began| now.0.saturating_sub(began.0) >= PERIOD_SECS) {
            self.began.set(Some(now));
            self.lines_left.set(self.lines_per_period.max(1));
        }
        match self.lines_left.get().checked_sub(1) {
            Some(left) => {
                self.lines_left.set(left);
                Some(self.untold.take())
            }
            None => {
                self.untold.set(self.untold.get() + 1);
                None
            }
        }
    }

    /// Lets `tell` write a line if it is time for one, which should end in what is said of those not written since the
    /// last: `what` has befallen so many.
    pub fn tell(&self, now: Seconds, what: &'static str, tell: impl FnOnce(Untold)) {
        if let Some(untold) = self.next(now) {
            tell(Untold(what, untold));
        }
    }
}

/// The end of a line, if others came before it without one: of what, and how many.
pub struct Untold(pub &'static str, pub u64);

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 => Ok(()),
            count => write!(f, "; {} before without a line: {count}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_came_before_only_if_any_did() {
        assert_eq!(Untold("failures", 0).to_string(), "");
        assert_eq!(Untold("failures", 2).to_string(), "; failures before without a line: 2");
    }

    #[test]
    fn those_in_between_are_counted() {
        let rationed = Rationed::default();
        let told = [5, 5, 14, 15, 16, 100].map(|now| rationed.next(Seconds(now)));
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn a_ration_may_be_of_several_lines() {
        let rationed = Rationed::of(2);
        let told = [5, 14, 14, 15, 24, 25].map(|now| rationed.next(Seconds(now)));
        assert_eq!(told, [Some(0), Some(0), None, Some(1), Some(0), Some(0)]);
    }
}
