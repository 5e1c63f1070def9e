//! Lines of the log that anybody can cause as often as he likes: one now and then, with a count of the others.

use std::cell::Cell;

use super::clock::Seconds;

/// Seconds between two lines.
const PERIOD_SECS: u32 = 10;

/// One kind of line.
#[derive(Debug, Default)]
pub struct Rationed {
    told: Cell<Option<Seconds>>,
    untold: Cell<u64>,
}

impl Rationed {
    /// If it is time for a line: the number of those not written since the last.
    pub fn next(&self, now: Seconds) -> Option<u64> {
        if self.told.get().is_some_and(|told| now.0.saturating_sub(told.0) < PERIOD_SECS) {
            self.untold.set(self.untold.get() + 1);
            return None;
        }
        self.told.set(Some(now));
        Some(self.untold.take())
    }

    /// Lets `tell` write a line if it is time for one, with the number of those not written since the last.
    pub fn tell(&self, now: Seconds, tell: impl FnOnce(u64)) {
        if let Some(untold) = self.next(now) {
            tell(untold);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_in_between_are_counted() {
        let rationed = Rationed::default();
        let told = [5, 5, 14, 15, 16, 100].map(|now| rationed.next(Seconds(now)));
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
