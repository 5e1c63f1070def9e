//! Slab pages and the chunks that are cut from them, for one partition.
//!
//! A page belongs to one slab class at a time and is cut into chunks of that class's size. Free chunks
//! are found through their page: each class keeps a list of its pages that have any. So a page can be
//! emptied and handed on without searching the free chunks of its whole class.
//! What lies in a chunk is none of this module's business, but for the free-list link that it keeps there.

use super::budget::PageBytes;
use super::deadlines::Deadlines;
use super::item::{ChunkId, HEADER_BYTES, Item, ItemMut};
use crate::base::clock::{Deadline, Seconds};

/// Names a slab class: its index in the table of chunk sizes. Clients see it plus one, as in memcached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u8);

impl ClassId {
    /// As an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Most slab classes there can be: memcached numbers them 1 to 63, and the last number is for large items.
pub const CLASSES_MAX: usize = 62;
/// Every chunk size is a multiple of this, and chunk ids count in it.
const CHUNK_ALIGN: usize = 8;
/// Chunk of the smallest class where `-n` is not given: a header and 16 bytes for key and value.
const CHUNK_BYTES_MIN: usize = 40;
const NO_PAGE: u32 = u32::MAX;
/// Bits that hold the number of chunk id units in a page.
const PAGE_UNITS_BITS: u32 = (super::PAGE_BYTES_MAX / CHUNK_ALIGN).ilog2() + 1;
const _: () = assert!(2 * PAGE_UNITS_BITS < u32::BITS);

/// The chunk sizes of all slab classes, smallest first; the largest is a whole page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSizes(Vec<u32>);

impl ChunkSizes {
    /// Sizes for pages of `page_bytes`. `min_space` is memcached's `-n` (space for key, flags and value
    /// in the smallest chunk), `growth` its `-f`. Without a growth factor every multiple of 8 up to 256
    /// is a size, then there are eight to a doubling, above 1 KiB four, and the largest are whole fractions
    /// of a page.
    ///
    /// # Panics
    /// If pages of more than 64 KiB would need more than [`CLASSES_MAX`] classes.
    pub fn new(page_bytes: usize, min_space: Option<usize>, growth: Option<f64>) -> ChunkSizes {
        let first = min_space.map_or(CHUNK_BYTES_MIN, |space| align_up(HEADER_BYTES + space)).min(page_bytes);
        let mut sizes = match growth {
            Some(factor) => Self::geometric(first, factor, page_bytes),
            None => Self::even(first, page_bytes),
        };
        sizes.push(page_bytes as u32);
        assert!(sizes.len() <= CLASSES_MAX, "{} slab classes for pages of {page_bytes} bytes", sizes.len());
        ChunkSizes(sizes)
    }

    fn geometric(first: usize, factor: f64, page_bytes: usize) -> Vec<u32> {
        let mut sizes = Vec::new();
        let mut size = first;
        while (size as f64) < page_bytes as f64 / factor && sizes.len() < CLASSES_MAX - 1 {
            sizes.push(size as u32);
            size = align_up((size as f64 * factor) as usize).max(size + CHUNK_ALIGN);
        }
        sizes
    }

    fn even(first: usize, page_bytes: usize) -> Vec<u32> {
        let mut sizes = Vec::new();
        let mut size = first;
        while size < page_bytes / 8 {
            sizes.push(size);
            let power = 1 << size.ilog2();
            let step = match size {
                ..256 => CHUNK_ALIGN,
                256..1024 => power / 8,
                _ => power / 4,
            };
            size = (size / step + 1) * step;
        }
        let fraction = |n: usize| page_bytes / n / CHUNK_ALIGN * CHUNK_ALIGN;
        sizes.extend([8, 6, 5, 4, 3, 2].map(fraction).into_iter().filter(|&size| size >= first));
        // As large as chunks can be of which just as many fit the page: less is left over at its end.
        sizes.iter_mut().for_each(|size| *size = fraction(page_bytes / *size));
        sizes.dedup();
        sizes.into_iter().map(|size| size as u32).collect()
    }

    /// How many classes there are.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of a chunk of `class`.
    pub fn chunk_bytes(&self, class: ClassId) -> usize {
        self.0[class.index()] as usize
    }

    /// The smallest class whose chunks hold `bytes`, if any does.
    pub fn class_for(&self, bytes: usize) -> Option<ClassId> {
        let index = self.0.partition_point(|&size| (size as usize) < bytes);
        (index < self.0.len()).then_some(ClassId(index as u8))
    }
}

fn align_up(bytes: usize) -> usize {
    bytes.next_multiple_of(CHUNK_ALIGN)
}

/// One page and what is known of its chunks.
struct Page {
    bytes: PageBytes,
    deadlines: Deadlines,
    /// Finds the number of a chunk, see [`Page::chunk`].
    reciprocal: u32,
    class: ClassId,
    /// Chunks that hold an item or are reserved.
    used: u32,
    /// Chunks that hold a reserved item, one whose value is still arriving. At most `used`.
    reserved: u32,
    /// Chunks ever handed out; those from here on were never used.
    carved: u32,
    /// First of the chunks that were freed, linked through [`Item::older`].
    first_free: ChunkId,
    /// Neighbours in the class's list of pages with free chunks.
    previous: u32,
    next: u32,
    /// It is in no such list, although it has free chunks, since it is going to be removed.
    is_sealed: bool,
}

impl Page {
    /// The number of the chunk that begins `units` chunk id units into the page: division by the chunk's
    /// size as a multiplication, exact for what has at most [`PAGE_UNITS_BITS`] bits.
    #[inline]
    fn chunk(&self, units: u32) -> usize {
        ((u64::from(units) * u64::from(self.reciprocal)) >> (2 * PAGE_UNITS_BITS)) as usize
    }
}

/// What a slab class has in this partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    pub chunk_bytes: u32,
    pub chunks_per_page: u32,
    pub pages: u32,
    pub used_chunks: u32,
    /// First page with a free chunk.
    first_open: u32,
}

impl Class {
    /// Whether a page's worth of chunks is free: any of its pages could go without losing an item.
    pub fn has_free_page(&self) -> bool {
        self.pages * self.chunks_per_page - self.used_chunks >= self.chunks_per_page
    }
}

/// The pages of one partition.
pub(super) struct Slab {
    page_bytes: usize,
    /// log2 of the chunk ids per page.
    page_shift: u32,
    /// By page number; `None` where the page went elsewhere.
    pages: Vec<Option<Page>>,
    /// By page number: no item in the page ends before this second; `u32::MAX` if none ends at all.
    earliest: Vec<u32>,
    /// Where the search for pages with expired items goes on.
    search_from: usize,
    /// Bytes of all pages' tables of deadlines.
    deadline_bytes: usize,
    /// Pages have their tables of deadlines from the start.
    with_tables: bool,
    /// Pages that chunk ids can name.
    pages_max: usize,
    vacant: Vec<u32>,
    classes: Vec<Class>,
}

impl Slab {
    /// A slab without pages. Those that come have their tables of deadlines from the start if `with_tables`, else
    /// from the first deadline on.
    ///
    /// # Panics
    /// If `page_bytes` is not a power of two from 1 KiB to [`super::PAGE_BYTES_MAX`].
    pub fn new(sizes: &ChunkSizes, page_bytes: usize, with_tables: bool) -> Slab {
        let is_legal = page_bytes.is_power_of_two() && (1024..=super::PAGE_BYTES_MAX).contains(&page_bytes);
        assert!(is_legal, "page of {page_bytes} bytes");
        let class = |&chunk_bytes: &u32| Class {
            chunk_bytes,
            chunks_per_page: page_bytes as u32 / chunk_bytes,
            pages: 0,
            used_chunks: 0,
            first_open: NO_PAGE,
        };
        let page_shift = (page_bytes / CHUNK_ALIGN).ilog2();
        Slab {
            page_bytes,
            page_shift,
            pages: Vec::new(),
            earliest: Vec::new(),
            search_from: 0,
            deadline_bytes: 0,
            with_tables,
            // The last id means no chunk.
            pages_max: (u32::MAX >> page_shift) as usize,
            vacant: Vec::new(),
            classes: sizes.0.iter().map(class).collect(),
        }
    }

    pub fn class(&self, class: ClassId) -> &Class {
        &self.classes[class.index()]
    }

    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The page number of a chunk.
    pub fn page_of(&self, id: ChunkId) -> u32 {
        id.0 >> self.page_shift
    }

    #[inline]
    fn page(&self, page: u32) -> &Page {
        self.pages[page as usize].as_ref().expect("a chunk id names a present page")
    }

    #[inline]
    fn page_mut(&mut self, page: u32) -> &mut Page {
        self.pages[page as usize].as_mut().expect("a chunk id names a present page")
    }

    #[inline]
    fn offset(&self, id: ChunkId) -> usize {
        self.units(id) as usize * CHUNK_ALIGN
    }

    /// The item in a chunk.
    #[inline]
    pub fn item(&self, id: ChunkId) -> Item<'_> {
        Item::new(&self.page(self.page_of(id)).bytes[self.offset(id)..])
    }

    /// The item in a chunk, to write. The slice ends with the chunk's page.
    #[inline]
    pub fn item_mut(&mut self, id: ChunkId) -> ItemMut<'_> {
        let offset = self.offset(id);
        ItemMut::new(&mut self.page_mut(id.0 >> self.page_shift).bytes[offset..])
    }

    /// The class of the page that a chunk lies in.
    pub fn class_of(&self, id: ChunkId) -> ClassId {
        self.page(self.page_of(id)).class
    }

    /// A chunk of `class` that was free, or `None` if none of its pages has one.
    pub fn take_chunk(&mut self, class: ClassId) -> Option<ChunkId> {
        let number = self.classes[class.index()].first_open;
        if number == NO_PAGE {
            return None;
        }
        let chunk_bytes = self.classes[class.index()].chunk_bytes;
        let chunks_per_page = self.classes[class.index()].chunks_per_page;
        let free = self.page(number).first_free;
        let next_free = if free.is_some() { self.item(free).older() } else { ChunkId::NONE };
        let first_id = number << self.page_shift;
        let page = self.page_mut(number);
        let id = if free.is_some() {
            page.first_free = next_free;
            free
        } else {
            page.carved += 1;
            ChunkId(first_id + (page.carved - 1) * (chunk_bytes / CHUNK_ALIGN as u32))
        };
        page.used += 1;
        let is_full = page.used == chunks_per_page;
        self.classes[class.index()].used_chunks += 1;
        if is_full {
            self.close_page(number);
        }
        Some(id)
    }

    /// Makes a chunk free.
    pub fn free_chunk(&mut self, id: ChunkId) {
        let number = self.page_of(id);
        let page = self.page_mut(number);
        let (class, first_free) = (page.class, page.first_free);
        page.first_free = id;
        page.used -= 1;
        let was_full = page.used + 1 == self.classes[class.index()].chunks_per_page;
        let mut item = self.item_mut(id);
        item.erase();
        item.set_older(first_free);
        self.classes[class.index()].used_chunks -= 1;
        if was_full {
            self.open_page(number);
        }
    }

    /// Notes that a chunk holds an item whose value is still arriving: its page must stay.
    pub fn hold(&mut self, id: ChunkId) {
        let number = self.page_of(id);
        self.page_mut(number).reserved += 1;
    }

    /// Ends one [`Self::hold`].
    pub fn release(&mut self, id: ChunkId) {
        let number = self.page_of(id);
        self.page_mut(number).reserved -= 1;
    }

    /// Whether the chunks of one more page could be named.
    pub fn can_name_a_page(&self) -> bool {
        !self.vacant.is_empty() || self.pages.len() < self.pages_max
    }

    /// Bytes of the tables of deadlines once `class` has one more page.
    pub fn deadline_bytes_with(&self, class: ClassId) -> usize {
        let chunks = if self.with_tables { self.class(class).chunks_per_page } else { 0 };
        self.deadline_bytes + chunks as usize * size_of::<Deadline>()
    }

    /// Lets no more than `pages` pages be named.
    #[cfg(test)]
    pub fn set_pages_max(&mut self, pages: usize) {
        self.pages_max = pages;
    }

    /// Gives `class` a page, all of its chunks free.
    ///
    /// # Panics
    /// In debug builds, if its chunks cannot be named.
    pub fn add_page(&mut self, class: ClassId, bytes: PageBytes) {
        debug_assert!(self.can_name_a_page());
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.pages.push(None);
            self.earliest.push(u32::MAX);
            (self.pages.len() - 1) as u32
        });
        self.earliest[number as usize] = u32::MAX;
        let Class { chunk_bytes, chunks_per_page, .. } = self.classes[class.index()];
        let chunk_units = chunk_bytes / CHUNK_ALIGN as u32;
        let deadlines = if self.with_tables {
            Deadlines::with_table(chunks_per_page as usize)
        } else {
            Deadlines::default()
        };
        self.deadline_bytes += deadlines.bytes();
        self.pages[number as usize] = Some(Page {
            bytes,
            deadlines,
            reciprocal: (1 << (2 * PAGE_UNITS_BITS)) / chunk_units + 1,
            class,
            used: 0,
            reserved: 0,
            carved: 0,
            first_free: ChunkId::NONE,
            previous: NO_PAGE,
            next: NO_PAGE,
            is_sealed: false,
        });
        self.classes[class.index()].pages += 1;
        self.open_page(number);
    }

    /// Lets no more chunks be taken from a page, which is going to be removed.
    pub fn seal_page(&mut self, number: u32) {
        let page = self.page(number);
        if !page.is_sealed && page.used < self.class(page.class).chunks_per_page {
            self.close_page(number);
            self.page_mut(number).is_sealed = true;
        }
    }

    /// Copies what is in one chunk to another of the same class, in another page.
    ///
    /// # Panics
    /// If both are in the same page.
    pub fn copy_chunk(&mut self, from: ChunkId, to: ChunkId) {
        let (from_at, to_at) = (self.offset(from), self.offset(to));
        let numbers = [self.page_of(from) as usize, self.page_of(to) as usize];
        let pages = self.pages.get_disjoint_mut(numbers).expect("chunks of two pages");
        let [Some(source), Some(target)] = pages else { panic!("a chunk id names a present page") };
        let bytes = self.classes[source.class.index()].chunk_bytes as usize;
        target.bytes[to_at..to_at + bytes].copy_from_slice(&source.bytes[from_at..from_at + bytes]);
    }

    /// Takes a page away from its class, with all that is in it.
    ///
    /// # Panics
    /// If a chunk of it is reserved.
    pub fn remove_page(&mut self, number: u32) -> PageBytes {
        assert!(self.is_movable(number), "page {number} holds a reserved chunk");
        let class = self.page(number).class;
        self.seal_page(number);
        let page = self.pages[number as usize].take().expect("looked at above");
        let class = &mut self.classes[class.index()];
        class.pages -= 1;
        class.used_chunks -= page.used;
        self.vacant.push(number);
        self.earliest[number as usize] = u32::MAX;
        self.deadline_bytes -= page.deadlines.bytes();
        page.bytes
    }

    /// The units from the start of its page at which a chunk begins.
    #[inline]
    fn units(&self, id: ChunkId) -> u32 {
        id.0 & ((1 << self.page_shift) - 1)
    }

    /// When the linked item in a chunk ends.
    #[inline]
    pub fn deadline(&self, id: ChunkId) -> Deadline {
        let page = self.page(self.page_of(id));
        page.deadlines.get(page.chunk(self.units(id)))
    }

    /// Gives the item in a chunk a deadline. `true` if [`Self::deadline_bytes`] have changed.
    #[inline]
    pub fn set_deadline(&mut self, id: ChunkId, deadline: Deadline) -> bool {
        let (number, units) = (self.page_of(id), self.units(id));
        if deadline != Deadline::NEVER {
            let earliest = &mut self.earliest[number as usize];
            *earliest = deadline.0.min(*earliest);
        }
        let chunks = self.class(self.page(number).class).chunks_per_page;
        let page = self.page_mut(number);
        let bytes = page.deadlines.set(page.chunk(units), deadline, chunks as usize);
        self.deadline_bytes += bytes;
        bytes > 0
    }

    /// Bytes of the tables of deadlines, which lie beside the pages.
    pub fn deadline_bytes(&self) -> usize {
        self.deadline_bytes
    }

    /// The first chunk of a page, from the one numbered `from` on, whose deadline has passed, and its number.
    pub fn next_passed(&self, number: u32, from: usize, now: Seconds) -> Option<(usize, ChunkId)> {
        let page = self.pages[number as usize].as_ref()?;
        let chunk = page.deadlines.next_passed(from, now)?;
        let units = self.classes[page.class.index()].chunk_bytes / CHUNK_ALIGN as u32;
        Some((chunk, ChunkId((number << self.page_shift) + chunk as u32 * units)))
    }

    /// The next page that may hold an item that is over at `now`, in a round over all pages.
    pub fn next_page_due(&mut self, now: Seconds) -> Option<u32> {
        let is_due = |earliest: &u32| *earliest <= now.0;
        let (before, behind) = self.earliest.split_at(self.search_from);
        let found = match behind.iter().position(is_due) {
            Some(offset) => self.search_from + offset,
            None => before.iter().position(is_due)?,
        };
        self.search_from = found + 1;
        Some(found as u32)
    }

    /// Finds out anew when the first of a page's items ends.
    pub fn renew_earliest(&mut self, number: u32) {
        let earliest = self.page(number).deadlines.earliest();
        self.earliest[number as usize] = earliest.map_or(u32::MAX, |at| at.0);
    }

    /// Whether the page with this number is here.
    pub fn has_page(&self, number: u32) -> bool {
        self.pages[number as usize].is_some()
    }

    /// How many pages there are.
    pub fn page_count(&self) -> usize {
        self.pages.len() - self.vacant.len()
    }

    /// Whether there is no page at all.
    pub fn is_bare(&self) -> bool {
        self.page_count() == 0
    }

    /// Whether no chunk of a page is in use and the page need not stay.
    pub fn is_empty(&self, number: u32) -> bool {
        let page = self.page(number);
        page.used == 0 && page.reserved == 0
    }

    /// The class that has a page.
    pub fn class_of_page(&self, number: u32) -> ClassId {
        self.page(number).class
    }

    /// Whether a page can be emptied: none of its chunks is reserved.
    pub fn is_movable(&self, number: u32) -> bool {
        self.page(number).reserved == 0
    }

    /// The numbers of all pages of a class; of all classes if `None`.
    pub fn pages(&self, class: Option<ClassId>) -> impl Iterator<Item = u32> + '_ {
        let belongs = move |page: &Page| class.is_none_or(|class| page.class == class);
        let present = self.pages.iter().enumerate();
        present.filter_map(move |(number, page)| page.as_ref().is_some_and(belongs).then_some(number as u32))
    }

    /// The chunks of a page that were ever used, free ones included.
    pub fn chunks(&self, number: u32) -> impl Iterator<Item = ChunkId> + use<> {
        let page = self.page(number);
        let step = self.classes[page.class.index()].chunk_bytes / CHUNK_ALIGN as u32;
        let first = number << self.page_shift;
        (0..page.carved).map(move |chunk| ChunkId(first + chunk * step))
    }

    /// Puts a page at the head of its class's list of pages with free chunks.
    fn open_page(&mut self, number: u32) {
        let class = self.page(number).class.index();
        let head = std::mem::replace(&mut self.classes[class].first_open, number);
        let page = self.page_mut(number);
        page.previous = NO_PAGE;
        page.next = head;
        if head != NO_PAGE {
            self.page_mut(head).previous = number;
        }
    }

    /// Takes a page out of its class's list of pages with free chunks.
    fn close_page(&mut self, number: u32) {
        let page = self.page(number);
        let (class, previous, next) = (page.class.index(), page.previous, page.next);
        match previous {
            NO_PAGE => self.classes[class].first_open = next,
            previous => self.page_mut(previous).next = next,
        }
        if next != NO_PAGE {
            self.page_mut(next).previous = previous;
        }
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Checks that every chunk is counted once, free or used.
    ///
    /// # Panics
    /// If the books do not balance.
    #[cfg(any(test, fuzzing))]
    pub fn check(&self) {
        for (index, class) in self.classes.iter().enumerate() {
            let id = ClassId(index as u8);
            let (mut pages, mut used, mut open) = (0, 0, 0);
            for number in self.pages(Some(id)) {
                let page = self.page(number);
                let held = self.chunks(number).filter(|&id| self.item(id).key_bytes() != 0).count() as u32;
                assert_eq!(held, page.used, "used chunks of page {number}");
                assert!(page.reserved <= page.used);
                let mut free = 0;
                let mut next = page.first_free;
                while next.is_some() {
                    assert_eq!(self.page_of(next), number);
                    free += 1;
                    next = self.item(next).older();
                }
                assert_eq!(free + page.used, page.carved, "free chunks of page {number}");
                for id in self.chunks(number).filter(|&id| self.item(id).is_linked()) {
                    let deadline = self.deadline(id);
                    let earliest = self.earliest[number as usize];
                    assert!(
                        deadline == Deadline::NEVER || earliest <= deadline.0,
                        "earliest of page {number}"
                    );
                }
                pages += 1;
                used += page.used;
                open += u32::from(page.used < class.chunks_per_page);
            }
            assert_eq!((pages, used), (class.pages, class.used_chunks), "class {index}");
            let mut next = class.first_open;
            while next != NO_PAGE {
                assert!(self.page(next).used < class.chunks_per_page && self.page(next).class == id);
                open -= 1;
                next = self.page(next).next;
            }
            assert_eq!(open, 0, "open pages of class {index}");
        }
        let tables = self.pages.iter().flatten().map(|page| page.deadlines.bytes());
        assert_eq!(tables.sum::<usize>(), self.deadline_bytes, "bytes of deadlines");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::item::Shape;
    use proptest::prelude::*;

    const PAGE: usize = 1024;

    fn occupy(slab: &mut Slab, id: ChunkId) {
        let shape = Shape { key_bytes: 1, client_flags: 0, value_bytes: 0 };
        slab.item_mut(id).lay_out(&shape, b"k", 0, false);
    }

    #[test]
    fn chunk_sizes_grow_to_a_whole_page() {
        for page in [4 << 10, 16 << 10, 64 << 10] {
            for (space, growth) in
                [(None, None), (Some(48), Some(1.25)), (Some(1), Some(1.01)), (None, Some(3.0))]
            {
                let sizes = ChunkSizes::new(page, space, growth);
                assert!(sizes.0.is_sorted_by(|a, b| a < b), "{sizes:?}");
                assert!(sizes.0.iter().all(|size| size % 8 == 0), "{sizes:?}");
                assert!(sizes.len() <= CLASSES_MAX, "{} classes", sizes.len());
                assert_eq!(*sizes.0.last().unwrap() as usize, page);
            }
        }
        let sizes = ChunkSizes::new(16384, None, None);
        assert_eq!(sizes.chunk_bytes(sizes.class_for(149).unwrap()), 152);
        assert_eq!(sizes.chunk_bytes(sizes.class_for(48).unwrap()), 48);
        assert_eq!(sizes.chunk_bytes(sizes.class_for(1).unwrap()), CHUNK_BYTES_MIN);
        assert_eq!(sizes.class_for(16385), None);
    }

    #[test]
    fn every_chunk_has_its_own_deadline() {
        for page_bytes in [1 << 10, 16 << 10, super::super::PAGE_BYTES_MAX] {
            let sizes = ChunkSizes::new(page_bytes, None, None);
            let mut slab = Slab::new(&sizes, page_bytes, false);
            for class in (0..sizes.len()).map(|class| ClassId(class as u8)) {
                slab.add_page(class, vec![0; page_bytes].into());
                let chunks = slab.class(class).chunks_per_page;
                let ids: Vec<ChunkId> = (0..chunks).map(|_| slab.take_chunk(class).unwrap()).collect();
                for (n, &id) in ids.iter().enumerate() {
                    assert_eq!(slab.set_deadline(id, Deadline(n as u32 + 1)), n == 0);
                }
                for (n, &id) in ids.iter().enumerate() {
                    assert_eq!(slab.deadline(id), Deadline(n as u32 + 1));
                    let page = slab.page_of(id);
                    assert_eq!(slab.next_passed(page, n, Seconds(n as u32 + 1)), Some((n, id)));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn chunks_never_overlap_and_pages_move_on(steps in prop::collection::vec((0u8..4, 0usize..64), 1..300)) {
            let sizes = ChunkSizes::new(PAGE, None, None);
            let mut slab = Slab::new(&sizes, PAGE, false);
            let mut held: Vec<(ChunkId, u8)> = Vec::new();
            for (action, pick) in steps {
                let class = ClassId((pick % sizes.len()) as u8);
                match action {
                    0 => slab.add_page(class, vec![0; PAGE].into()),
                    1 => if let Some(id) = slab.take_chunk(class) {
                        occupy(&mut slab, id);
                        prop_assert_eq!(slab.class_of(id), class);
                        let (start, bytes) = (id.0 as usize * 8, sizes.chunk_bytes(class));
                        for &(other, other_class) in &held {
                            let (other, other_bytes) = (other.0 as usize * 8, sizes.chunk_bytes(ClassId(other_class)));
                            prop_assert!(start + bytes <= other || other + other_bytes <= start);
                        }
                        held.push((id, class.0));
                    },
                    2 => if !held.is_empty() {
                        slab.free_chunk(held.swap_remove(pick % held.len()).0);
                    },
                    _ => {
                        let empty = slab.pages(None).find(|&page| slab.page(page).used == 0);
                        if let Some(page) = empty {
                            prop_assert_eq!(slab.remove_page(page).len(), PAGE);
                        }
                    }
                }
                slab.check();
            }
        }
    }
}
