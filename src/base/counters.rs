//! Counters that one thread writes and any thread reads, without locks or locked instructions.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count with a single writer.
///
/// Adding is a plain load and store, so two threads that add to the same counter may lose one
/// of the two; every counter therefore belongs to one worker. Reading is open to all.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning thread may call it.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The count so far.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares a set of [`Counter`]s together with the plain struct that a reading of it gives.
///
/// The reading adds up over workers (`+=`) and subtracts a base line (`since`), which is how
/// `stats reset` works without writing to another thread's counters.
#[macro_export]
macro_rules! counters {
    ($(#[$doc:meta])* $cells:ident => $(#[$reading_doc:meta])* $reading:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $cells { $($(#[$field_doc])* pub $field: $crate::base::counters::Counter,)* }

        impl $cells {
            /// Reads every counter once.
            pub fn read(&self) -> $reading {
                $reading { $($field: self.$field.read(),)* }
            }
        }

        $crate::figures! { $(#[$reading_doc])* $reading { $($(#[$field_doc])* $field,)* } }
    };
}

/// Declares a struct of plain `u64` figures that add up and can be compared with a base line.
#[macro_export]
macro_rules! figures {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: u64,)* }

        impl $name {
            /// What has been counted since `base` was read.
            pub fn since(&self, base: &Self) -> Self {
                Self { $($field: self.$field.wrapping_sub(base.$field),)* }
            }
        }

        impl std::ops::AddAssign<&$name> for $name {
            fn add_assign(&mut self, other: &$name) {
                $(self.$field = self.$field.wrapping_add(other.$field);)*
            }
        }
    };
}

#[cfg(test)]
mod tests {
    counters! {
        /// Cells.
        Cells =>
        /// Reading.
        Reading {
            /// Apples.
            apples,
            /// Pears.
            pears,
        }
    }

    #[test]
    fn readings_add_up_and_subtract_a_base_line() {
        let (one, two) = (Cells::default(), Cells::default());
        one.apples.add(3);
        two.apples.add(4);
        two.pears.add(1);
        let mut sum = one.read();
        sum += &two.read();
        assert_eq!(sum, Reading { apples: 7, pears: 1 });
        assert_eq!(sum.since(&one.read()), Reading { apples: 4, pears: 1 });
    }
}
