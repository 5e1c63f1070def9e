//! When the items of one page end: a number for each chunk, beside the page and not in it.
//!
//! Side by side the deadlines of a whole page are a few cache lines, so finding what has expired costs no
//! look at the items. A page whose items have no deadline has no such table and pays nothing.

use crate::base::clock::{Deadline, Seconds};

/// The deadlines in one page, by chunk. What stands for a chunk without a linked item means nothing.
#[derive(Debug, Default)]
pub(super) struct Deadlines(Option<Box<[Deadline]>>);

impl Deadlines {
    /// A table for `chunks` chunks before there is a deadline, so that none of them needs memory later.
    pub fn with_table(chunks: usize) -> Deadlines {
        Deadlines(Some(vec![Deadline::NEVER; chunks].into_boxed_slice()))
    }

    /// When the item in `chunk` ends.
    #[inline]
    pub fn get(&self, chunk: usize) -> Deadline {
        self.0.as_ref().map_or(Deadline::NEVER, |table| table[chunk])
    }

    /// Notes when the item in `chunk` ends; `chunks` is how many the page has. Returns the bytes that this
    /// took: none but for the page's first deadline.
    #[inline]
    pub fn set(&mut self, chunk: usize, deadline: Deadline, chunks: usize) -> usize {
        match &mut self.0 {
            Some(table) => table[chunk] = deadline,
            None if deadline == Deadline::NEVER => {}
            None => {
                let mut table = vec![Deadline::NEVER; chunks].into_boxed_slice();
                table[chunk] = deadline;
                self.0 = Some(table);
                return self.bytes();
            }
        }
        0
    }

    /// Bytes of the table.
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |table| size_of_val(&**table))
    }

    /// The first chunk from `from` on whose deadline has passed.
    pub fn next_passed(&self, from: usize, now: Seconds) -> Option<usize> {
        let rest = self.0.as_ref()?.get(from..)?;
        rest.iter().position(|deadline| deadline.has_passed(now)).map(|offset| from + offset)
    }

    /// The first second in which a chunk's deadline passes, if any ever does.
    pub fn earliest(&self) -> Option<Seconds> {
        let finite = self.0.iter().flat_map(|table| table.iter()).filter(|&&at| at != Deadline::NEVER);
        finite.map(|at| Seconds(at.0)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_deadline_costs_a_table_and_the_others_nothing() {
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.set(3, Deadline::NEVER, 10), 0);
        assert_eq!((deadlines.bytes(), deadlines.earliest()), (0, None));
        assert_eq!(deadlines.set(3, Deadline(9), 10), 40);
        assert_eq!(deadlines.set(7, Deadline(5), 10), 0);
        assert_eq!((deadlines.get(3), deadlines.get(4)), (Deadline(9), Deadline::NEVER));
        assert_eq!(deadlines.earliest(), Some(Seconds(5)));
    }

    #[test]
    fn with_a_table_from_the_start_no_deadline_costs_any() {
        let mut deadlines = Deadlines::with_table(10);
        assert_eq!((deadlines.bytes(), deadlines.earliest()), (40, None));
        assert_eq!(deadlines.set(3, Deadline(9), 10), 0);
        assert_eq!((deadlines.bytes(), deadlines.earliest()), (40, Some(Seconds(9))));
    }

    #[test]
    fn what_has_passed_is_found_in_order() {
        let mut deadlines = Deadlines::default();
        for (chunk, at) in [(1, 5), (4, 9), (6, 5), (9, 6)] {
            deadlines.set(chunk, Deadline(at), 10);
        }
        let passed = |from, now| deadlines.next_passed(from, Seconds(now));
        assert_eq!((passed(0, 4), passed(0, 5), passed(2, 5), passed(7, 5)), (None, Some(1), Some(6), None));
        assert_eq!((passed(7, 6), passed(10, 9)), (Some(9), None));
    }
}
