//! Large values: the part of a value that does not fit its slab chunk, in blocks of a page each.
//!
//! Once complete, the blocks are never written again and are shared by reference count: a slow
//! reader keeps the version that it is being sent, whatever happens to the key meanwhile, and the
//! memory stays charged to the budget until the last reader lets go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::budget::{Budget, PageBytes};

/// The blocks of one large value, filled front to back, then frozen into [`LargeValue`].
pub(super) struct Blocks {
    pages: Vec<PageBytes>,
    /// Bytes of the value held here; the last block may be filled in part.
    len: usize,
    budget: Arc<Budget>,
    /// The store has no use for it any more, but a reader has.
    is_pinned: AtomicBool,
}

impl Blocks {
    /// Room for the first bytes of `len` in `pages`; more pages may follow by [`Self::extend`].
    pub fn new(pages: Vec<PageBytes>, len: usize, budget: Arc<Budget>) -> Blocks {
        Blocks { pages, len, budget, is_pinned: AtomicBool::new(false) }
    }

    /// Pages that are missing before `bytes` bytes can be written.
    pub fn pages_missing(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.budget.page_bytes()).saturating_sub(self.pages.len())
    }

    /// Adds room.
    pub fn extend(&mut self, pages: Vec<PageBytes>) {
        self.pages.extend(pages);
    }

    /// Pages that are there.
    #[cfg(test)]
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Bytes of the value held here once it is complete.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The longest run of bytes in one piece that starts at `at`; empty at the end.
    pub fn piece(&self, at: usize) -> &[u8] {
        let page_bytes = self.budget.page_bytes();
        if at >= self.len {
            return &[];
        }
        let (page, offset) = (at / page_bytes, at % page_bytes);
        let end = page_bytes.min(self.len - page * page_bytes);
        &self.pages[page][offset..end]
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len).step_by(self.budget.page_bytes()).map(|at| self.piece(at))
    }

    /// The room that there is from `at` on, up to `end`, in pieces.
    pub fn room(&mut self, at: usize, end: usize) -> impl Iterator<Item = &mut [u8]> {
        let page_bytes = self.budget.page_bytes();
        let first = at / page_bytes;
        self.pages.iter_mut().enumerate().skip(first).map(move |(number, page)| {
            let start = number * page_bytes;
            let (from, to) = (at.max(start) - start, end.clamp(start, start + page_bytes) - start);
            &mut page[from.min(to)..to]
        })
    }

    /// Gives the pages back that lie behind the first `bytes` bytes.
    pub fn give_back_behind(&mut self, bytes: usize) {
        for page in self.pages.drain(bytes.div_ceil(self.budget.page_bytes()).min(self.pages.len())..) {
            self.budget.give_back(page);
        }
    }

    /// Copies `bytes` to the place `at` bytes from the start.
    pub fn write(&mut self, at: usize, mut bytes: &[u8]) {
        debug_assert!(at + bytes.len() <= self.len);
        let page_bytes = self.budget.page_bytes();
        let (mut page, mut offset) = (at / page_bytes, at % page_bytes);
        while !bytes.is_empty() {
            let n = bytes.len().min(page_bytes - offset);
            self.pages[page][offset..offset + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            (page, offset) = (page + 1, 0);
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if *self.is_pinned.get_mut() {
            self.budget.unpin(self.pages.len());
        }
        for page in self.pages.drain(..) {
            self.budget.give_back(page);
        }
    }
}

/// A complete large value's blocks, readable without any lock for as long as a clone lives.
#[derive(Clone)]
pub struct LargeValue(Arc<Blocks>);

impl LargeValue {
    /// # Panics
    /// If pages are missing.
    pub(super) fn freeze(blocks: Blocks) -> LargeValue {
        assert_eq!(blocks.pages_missing(blocks.len), 0, "{} bytes", blocks.len);
        LargeValue(Arc::new(blocks))
    }

    /// Bytes held in the blocks.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// The longest run of bytes in one piece that starts at `at`; empty at the end.
    pub fn piece(&self, at: usize) -> &[u8] {
        self.0.piece(at)
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.0.pieces()
    }

    /// Whether nobody else has the value: where this one is a reader's, the store included.
    pub(super) fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub(super) fn pages(&self) -> usize {
        self.0.pages.len()
    }

    /// Ends the store's own use of it and returns its pages: they are pinned from now on if a reader has them still.
    pub(super) fn let_go(self) -> usize {
        let pages = self.pages();
        if !self.is_last() {
            // Whoever lets go last sees this: letting go is a release, and the last one acquires.
            self.0.is_pinned.store(true, Relaxed);
            self.0.budget.pin(pages);
        }
        pages
    }

    /// This reader's part of what the value takes, if it is there for its readers alone.
    pub fn pinned_bytes(&self) -> usize {
        if self.0.is_pinned.load(Relaxed) { self.0.len / Arc::strong_count(&self.0) } else { 0 }
    }

    /// Whether both are the same memory.
    pub(super) fn is_same(&self, other: &LargeValue) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for LargeValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LargeValue({} bytes)", self.0.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_written_in_pieces_read_back_whole() {
        let budget = Arc::new(Budget::new(8, 16, 0));
        let pages = (0..2).map(|_| budget.take().unwrap()).collect();
        let value: Vec<u8> = (0..40).collect();
        let mut blocks = Blocks::new(pages, value.len(), budget.clone());
        assert_eq!((blocks.pages_missing(32), blocks.pages_missing(33)), (0, 1));
        blocks.extend(vec![budget.take().unwrap()]);
        blocks.write(0, &value[..5]);
        blocks.write(5, &value[5..33]);
        blocks.write(33, &value[33..]);
        assert_eq!(blocks.pieces().flatten().copied().collect::<Vec<u8>>(), value);
        let large = LargeValue::freeze(blocks);
        assert_eq!(large.pieces().flatten().copied().collect::<Vec<u8>>(), value);
        assert_eq!(large.piece(15), &[15]);
        assert_eq!(large.piece(32).len(), 8);
        assert_eq!(large.piece(40), b"");
        let reader = large.clone();
        drop(large);
        assert_eq!(budget.used(), 3);
        drop(reader);
        assert_eq!(budget.used(), 0);
    }
}
