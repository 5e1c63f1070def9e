//! What waits to be sent to one client: reply bytes, with large values spliced in by reference.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use crate::store::LargeValue;

/// Pieces handed to one vectored write, so that the largest value by default takes one: it has up to 64 blocks.
const SLICES_MAX: usize = 128;

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

/// Pieces for one vectored write.
struct Slices<'a> {
    list: [IoSlice<'a>; SLICES_MAX],
    count: usize,
    /// Bytes that may still be added.
    bytes_left: usize,
}

impl<'a> Slices<'a> {
    /// Adds a piece, or the beginning of it. Whether it was added whole.
    fn add(&mut self, piece: &'a [u8]) -> bool {
        if piece.is_empty() {
            return true;
        }
        let taken = &piece[..piece.len().min(self.bytes_left)];
        let Some(slot) = self.list.get_mut(self.count).filter(|_| !taken.is_empty()) else { return false };
        *slot = IoSlice::new(taken);
        self.count += 1;
        self.bytes_left -= taken.len();
        taken.len() == piece.len()
    }
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

    /// Bytes that are not sent and held here alone: without those of large values, which are the store's.
    pub fn own_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Its part of what large values take that the cache has no use for any more.
    pub fn pinned_bytes(&self) -> usize {
        self.splices.iter().map(|splice| splice.value.pinned_bytes()).sum()
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

    /// Writes once, as much as `writer` takes of at most `bytes_max` bytes, by way of `write` for one piece
    /// or `write_vectored` for several. Returns how many bytes went.
    ///
    /// # Errors
    /// The writer's own.
    pub fn write_to(&mut self, writer: &mut impl io::Write, bytes_max: usize) -> io::Result<usize> {
        let written = if self.splices.is_empty() {
            let end = self.bytes.len().min(self.sent.saturating_add(bytes_max));
            writer.write(&self.bytes[self.sent..end])?
        } else {
            let mut slices =
                Slices { list: [IoSlice::new(&[]); SLICES_MAX], count: 0, bytes_left: bytes_max };
            self.fill(&mut slices);
            writer.write_vectored(&slices.list[..slices.count])?
        };
        self.advance(written);
        Ok(written)
    }

    fn fill<'a>(&'a self, slices: &mut Slices<'a>) {
        let mut from = self.sent;
        let mut skip = self.splice_sent;
        for splice in &self.splices {
            if !slices.add(&self.bytes[from..splice.at]) {
                return;
            }
            from = splice.at;
            while skip < splice.value.len() {
                let piece = splice.value.piece(skip);
                if !slices.add(piece) {
                    return;
                }
                skip += piece.len();
            }
            skip = 0;
        }
        slices.add(&self.bytes[from..]);
    }

    /// Moves the next bytes to `into`, as many as there are and fit. Returns how many.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        let mut taken = 0;
        while taken < into.len() && self.pending() > 0 {
            let piece = match self.splices.front() {
                Some(splice) if splice.at == self.sent => splice.value.piece(self.splice_sent),
                Some(splice) => &self.bytes[self.sent..splice.at],
                None => &self.bytes[self.sent..],
            };
            let count = piece.len().min(into.len() - taken);
            into[taken..taken + count].copy_from_slice(&piece[..count]);
            self.advance(count);
            taken += count;
        }
        taken
    }

    /// Gives memory back, if there is nothing to send, down to what `bytes` need.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.bytes.shrink_to(bytes);
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
        let mut splices = std::mem::take(&mut self.splices);
        splices.iter_mut().for_each(|splice| splice.at -= self.sent);
        splices.shrink_to_fit();
        let rest = Output {
            bytes: self.bytes[self.sent..].to_vec(),
            sent: 0,
            splices,
            splice_sent: self.splice_sent,
            splice_bytes: self.splice_bytes,
        };
        self.clear();
        rest
    }

    /// Puts what [`Self::split_off`] gave back into this output, which is empty.
    pub fn restore(&mut self, rest: Output) {
        debug_assert_eq!(self.pending(), 0);
        debug_assert_eq!(rest.sent, 0);
        let Output { bytes, sent: _, splices, splice_sent, splice_bytes } = rest;
        self.clear();
        // Its own memory stays, to be used again.
        self.push(&bytes);
        (self.splices, self.splice_sent, self.splice_bytes) = (splices, splice_sent, splice_bytes);
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
            bytes_max in 1usize..200_000,
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
                let bytes_max = bytes_max.max(expected.len() / 500);
                let written = output.write_to(&mut narrow, bytes_max).unwrap();
                prop_assert!(written <= bytes_max);
                prop_assert_eq!(before - written, output.pending());
            }
            prop_assert_eq!(narrow.taken, expected);
        }
    }

    #[test]
    fn bytes_are_taken_in_pieces_of_any_size() {
        let (large, large_bytes) = large_value(50_000);
        let expected = [b"before".as_slice(), &large_bytes, b"between", &large_bytes, b"after"].concat();
        for size in [1, 7, 1392, 100_000, expected.len(), 1 << 20] {
            let mut output = Output::default();
            output.push(b"before");
            output.push_large(large.clone());
            output.push(b"between");
            output.push_large(large.clone());
            output.push(b"after");
            let mut got = Vec::new();
            let mut piece = vec![0; size];
            while output.pending() > 0 {
                let before = output.pending();
                let taken = output.take(&mut piece);
                assert_eq!(taken, size.min(before));
                assert_eq!(output.pending(), before - taken);
                got.extend_from_slice(&piece[..taken]);
            }
            assert!(got == expected, "in pieces of {size}");
            assert_eq!(output.take(&mut piece), 0);
            output.shrink_to(0);
            assert_eq!(output.bytes.capacity(), 0);
        }
    }

    #[test]
    fn what_is_split_off_is_as_large_as_it_has_to_be() {
        let (large, large_bytes) = large_value(50_000);
        let mut output = Output::default();
        output.push(&[b'x'; 40_000]);
        output.push_large(large);
        output.push(b"after");
        let mut narrow = Narrow { width: 39_995, taken: Vec::new() };
        output.write_to(&mut narrow, usize::MAX).unwrap();
        let buffer = output.bytes.capacity();
        let rest = output.split_off();
        assert_eq!((rest.bytes.capacity(), rest.own_bytes()), (10, 10));
        assert_eq!(rest.pending(), 10 + large_bytes.len());
        output.restore(rest);
        assert_eq!(output.bytes.capacity(), buffer);
        narrow.width = usize::MAX;
        output.write_to(&mut narrow, usize::MAX).unwrap();
        assert!(narrow.taken == [[b'x'; 40_000].as_slice(), &large_bytes, b"after"].concat());
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
        output.write_to(&mut narrow, usize::MAX).unwrap();
        assert_eq!((narrow.taken, output.pending()), (b"kept".to_vec(), 0));
    }
}
