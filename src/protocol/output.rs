//! What waits to be sent to one client: reply bytes, with large values spliced in by reference.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use crate::store::LargeValue;

/// Pieces handed to one vectored write: Linux takes up to 1024, more than 64 gain nothing.
const SLICES_MAX: usize = 64;

/// A large value and where among the reply bytes it belongs.
#[derive(Debug)]
struct Splice {
    /// It is sent before the byte with this index.
    at: usize,
    value: LargeValue,
}

/// Replies in the order of their commands, partly sent perhaps.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// `sent <= bytes.len()`.
    sent: usize,
    /// By `at`, none of them before `sent`.
    splices: VecDeque<Splice>,
    /// Bytes of the first splice that are sent.
    splice_sent: usize,
    /// Bytes in `splices` that are not sent.
    splice_bytes: usize,
}

/// A place in an [`Output`] to which it can be taken back.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    splices: usize,
}

impl Output {
    /// Bytes that are not sent yet.
    #[inline]
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.sent + self.splice_bytes
    }

    /// Appends reply bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a number in decimal.
    #[inline]
    pub fn push_number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Makes sure that `bytes` more can be appended in one go.
    #[inline]
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Appends a large value without copying it.
    pub fn push_large(&mut self, value: LargeValue) {
        self.splice_bytes += value.len();
        self.splices.push_back(Splice { at: self.bytes.len(), value });
    }

    /// The present end, for [`Self::rewind`].
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), splices: self.splices.len() }
    }

    /// Takes back what was appended since `mark`; nothing of it may have been sent.
    pub fn rewind(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        for splice in self.splices.drain(mark.splices..) {
            self.splice_bytes -= splice.value.len();
        }
    }

    /// Writes once, as much as `writer` takes, by way of `write` for one piece or `write_vectored` for
    /// several. Returns how many bytes went.
    ///
    /// # Errors
    /// The writer's own.
    pub fn write_to(&mut self, writer: &mut impl io::Write) -> io::Result<usize> {
        let written = if self.splices.is_empty() {
            writer.write(&self.bytes[self.sent..])?
        } else {
            let mut slices = Vec::with_capacity(SLICES_MAX);
            self.fill_slices(&mut slices);
            writer.write_vectored(&slices)?
        };
        self.advance(written);
        Ok(written)
    }

    fn fill_slices<'a>(&'a self, slices: &mut Vec<IoSlice<'a>>) {
        let mut from = self.sent;
        let mut skip = self.splice_sent;
        for splice in &self.splices {
            if splice.at > from {
                slices.push(IoSlice::new(&self.bytes[from..splice.at]));
                from = splice.at;
            }
            while skip < splice.value.len() && slices.len() < SLICES_MAX {
                let piece = splice.value.piece(skip);
                slices.push(IoSlice::new(piece));
                skip += piece.len();
            }
            skip = 0;
            if slices.len() >= SLICES_MAX {
                return;
            }
        }
        if from < self.bytes.len() {
            slices.push(IoSlice::new(&self.bytes[from..]));
        }
    }

    /// Notes that `written` bytes went, and forgets everything once all has gone.
    fn advance(&mut self, mut written: usize) {
        while let Some(splice) = self.splices.front() {
            let before = (splice.at - self.sent).min(written);
            self.sent += before;
            written -= before;
            if self.sent < splice.at {
                return;
            }
            let of_splice = (splice.value.len() - self.splice_sent).min(written);
            self.splice_sent += of_splice;
            self.splice_bytes -= of_splice;
            written -= of_splice;
            if self.splice_sent < splice.value.len() {
                return;
            }
            self.splices.pop_front();
            self.splice_sent = 0;
        }
        self.sent += written;
        if self.sent == self.bytes.len() {
            self.clear();
        }
    }

    /// Forgets everything, sent or not. Keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.splices.clear();
        (self.sent, self.splice_sent, self.splice_bytes) = (0, 0, 0);
    }

    /// Moves what is not sent into an output of just that size, and leaves this one empty.
    pub fn split_off(&mut self) -> Output {
        if !self.splices.is_empty() {
            return std::mem::take(self);
        }
        let rest = Output { bytes: self.bytes[self.sent..].to_vec(), ..Output::default() };
        self.clear();
        rest
    }

    /// Puts what [`Self::split_off`] gave back into this output, which is empty.
    pub fn restore(&mut self, rest: Output) {
        debug_assert_eq!(self.pending(), 0);
        if rest.splices.is_empty() {
            self.push(&rest.bytes[rest.sent..]);
        } else {
            *self = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Deadline, Seconds};
    use crate::store::{Store, StoreMode, StoreOptions, StoreRequest};
    use proptest::prelude::*;

    /// Takes at most so many bytes at a time.
    struct Narrow {
        width: usize,
        taken: Vec<u8>,
    }

    impl io::Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.width);
            self.taken.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.write(&all)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn large_value(len: usize) -> (LargeValue, Vec<u8>) {
        let store = Store::new(&StoreOptions { workers: 1, ..StoreOptions::default() });
        let value: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let key = store.key(b"k");
        let request = StoreRequest {
            key,
            mode: StoreMode::Set,
            client_flags: 0,
            deadline: Deadline::NEVER,
            value: &value,
        };
        store.store(&request, Seconds::START);
        let large = store.get(&key, Seconds::START, |item| item.large.cloned()).flatten().unwrap();
        let len = large.len();
        (large, value[..len].to_vec())
    }

    proptest! {
        #[test]
        fn everything_goes_once_and_in_order(
            parts in prop::collection::vec((0usize..3, 0usize..300), 1..20),
            width in 1usize..70_000,
        ) {
            let (large, large_bytes) = large_value(50_000);
            let mut output = Output::default();
            let mut expected = Vec::new();
            for (kind, len) in parts {
                if kind == 0 {
                    output.push_large(large.clone());
                    expected.extend_from_slice(&large_bytes);
                } else {
                    let bytes = vec![b'a' + kind as u8; len];
                    output.push(&bytes);
                    expected.extend_from_slice(&bytes);
                }
            }
            prop_assert_eq!(output.pending(), expected.len());
            let mut narrow = Narrow { width: width.max(expected.len() / 500), taken: Vec::new() };
            while output.pending() > 0 {
                let before = output.pending();
                if before % 3 == 0 {
                    let rest = output.split_off();
                    prop_assert_eq!(output.pending(), 0);
                    output.restore(rest);
                }
                let written = output.write_to(&mut narrow).unwrap();
                prop_assert_eq!(before - written, output.pending());
            }
            prop_assert_eq!(narrow.taken, expected);
        }
    }

    #[test]
    fn a_rewind_takes_back_bytes_and_values() {
        let (large, _) = large_value(50_000);
        let mut output = Output::default();
        output.push(b"kept");
        let mark = output.mark();
        output.push(b"not kept");
        output.push_large(large);
        output.rewind(mark);
        let mut narrow = Narrow { width: 100, taken: Vec::new() };
        output.write_to(&mut narrow).unwrap();
        assert_eq!((narrow.taken, output.pending()), (b"kept".to_vec(), 0));
    }
}
