//! How an item lies in its chunk.
//!
//! ```text
//! byte  0       8        12      16         19      20       22      23      24
//!       | cas   | older  | newer | accessed | state | length | key    | heat, | ...
//!       | u64   | u32    | u32   | u24      | u8    | u16    | length | class |
//!
//!       ... [client flags u32, only if not 0] key [blocks u32, value length u32, only if large] value
//! ```
//!
//! A large value, which begins in blocks, has [`LENGTH_OF_LARGE`] for its length. An item whose value is
//! still arriving is in no list, and [`ChunkId::NO_LIST`] stands for its older neighbour: the state byte has
//! no bit to spare for either. Numbers are little endian. All of it is bytes in a page: reading and writing
//! needs no `unsafe`, and nothing is aligned. A chunk whose key length is 0 holds no item. When an item ends is
//! not written here but beside the page ([`super::deadlines`]): items without a deadline pay nothing for it.

use prefetch_index::prefetch_index;

use crate::base::clock::Seconds;

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;
/// Lines of a chunk that are brought ahead: header, key, and a value of some 100 bytes.
const LINES_AHEAD: usize = 3;
/// Bytes before the client flags.
pub const HEADER_BYTES: usize = 24;
/// Bytes of client flags, where an item has any.
const CLIENT_FLAGS_BYTES: usize = 4;
/// Bytes that tell of a large value where its blocks are and how long it is.
const LARGE_REF_BYTES: usize = 8;
/// What stands for the length of a large value; no other can be so long.
const LENGTH_OF_LARGE: u16 = u16::MAX;
/// Longest key in bytes (the protocol's limit).
pub const KEY_BYTES_MAX: usize = 250;
/// Longest value in bytes: as much as the largest `-I` allows.
pub const VALUE_BYTES_MAX: usize = 1 << 30;

/// `accessed` keeps 24 bits of seconds: an idle time is exact up to 194 days.
const ACCESSED_MASK: u32 = (1 << 24) - 1;

const CAS: usize = 0;
const OLDER: usize = CAS + size_of::<u64>();
const NEWER: usize = OLDER + size_of::<ChunkId>();
const ACCESSED: usize = NEWER + size_of::<ChunkId>();
const ACCESSED_BYTES: usize = 3;
const STATE: usize = ACCESSED + ACCESSED_BYTES;
const LENGTH: usize = STATE + 1;
const KEY_LENGTH: usize = LENGTH + size_of::<u16>();
const CLASS: usize = KEY_LENGTH + 1;
/// The class takes six bits of its byte, the heat the other two.
const HEAT_SHIFT: u32 = 6;
const CLASS_MASK: u8 = (1 << HEAT_SHIFT) - 1;
/// Greatest heat.
pub const HEAT_MAX: u8 = u8::MAX >> HEAT_SHIFT;
/// The segment takes two bits of the state byte, above the marks.
const SEGMENT_SHIFT: u32 = 5;
const SEGMENT_MASK: u8 = 0b11 << SEGMENT_SHIFT;

const _: () = assert!(CLASS + 1 == HEADER_BYTES, "the fields fill the header");
const _: () = assert!(ACCESSED_MASK >> (8 * ACCESSED_BYTES) == 0);
const _: () = assert!(KEY_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(super::slab::CLASSES_MAX <= CLASS_MASK as usize, "one more is for large items");
const _: () = assert!(Segment::ALL.len() <= (SEGMENT_MASK >> SEGMENT_SHIFT) as usize + 1);
const _: () = assert!(state::ALL & SEGMENT_MASK == 0, "marks and segment share a byte");
const _: () = assert!(
    super::PAGE_BYTES_MAX - HEADER_BYTES - 1 < LENGTH_OF_LARGE as usize,
    "the longest value that is not large has a length of 16 bits, and not that of all large ones"
);
const _: () = assert!(VALUE_BYTES_MAX <= u32::MAX as usize, "a large value has a length of 32 bits");

/// Marks in the state byte.
pub mod state {
    /// A client has read the item since it was stored.
    pub const FETCHED: u8 = 1;
    /// Read again since, which counts as an access.
    pub const ACTIVE: u8 = 2;
    /// Client flags follow the header.
    pub const CLIENT_FLAGS: u8 = 4;
    /// A client said that the value is outdated.
    pub const STALE: u8 = 8;
    /// A client was asked to bring a new value.
    pub const TOKEN_GIVEN: u8 = 16;
    /// The client sent the key encoded, since it holds bytes that a line of text may not.
    pub const ENCODED_KEY: u8 = 128;
    /// What a client may learn of an item beside its value; gone with the value that it belongs to, but for
    /// [`ENCODED_KEY`], which belongs to the key.
    pub const TOLD: u8 = STALE | TOKEN_GIVEN | ENCODED_KEY;
    /// Every mark.
    pub const ALL: u8 = FETCHED | ACTIVE | CLIENT_FLAGS | TOLD;
}

/// Names a chunk within its partition: its distance from the first page, in units of 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkId(pub u32);

impl ChunkId {
    /// No chunk.
    pub const NONE: ChunkId = ChunkId(u32::MAX);
    /// Stands for a neighbour of what is in no list.
    const NO_LIST: ChunkId = ChunkId(u32::MAX - 1);

    /// Whether it names a chunk.
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// The lists of a slab class's LRU, with the numbers that are kept in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Segment {
    /// New items.
    Hot = 0,
    /// Items read more than once.
    Warm = 1,
    /// What is evicted next.
    Cold = 2,
    /// Items with a short life: they expire, and go for another only where there is nothing else.
    Temp = 3,
}

impl Segment {
    /// Every segment, by its number.
    pub const ALL: [Segment; 4] = [Segment::Hot, Segment::Warm, Segment::Cold, Segment::Temp];
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn write_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// What a new item is made of, but for its value.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of the key, 1 to [`KEY_BYTES_MAX`].
    pub key_bytes: usize,
    /// Client flags; 0 takes no space.
    pub client_flags: u32,
    /// Bytes of the value, at most [`VALUE_BYTES_MAX`].
    pub value_bytes: usize,
}

impl Shape {
    /// Bytes in the chunk before the value.
    fn before_value(&self) -> usize {
        let flags = if self.client_flags == 0 { 0 } else { CLIENT_FLAGS_BYTES };
        HEADER_BYTES + flags + self.key_bytes
    }

    /// How the value is split at a largest chunk of `chunk_max` bytes, with `page_bytes` a block.
    pub fn placement(&self, chunk_max: usize, page_bytes: usize) -> Placement {
        let whole = self.before_value() + self.value_bytes;
        if whole <= chunk_max {
            return Placement { chunk_bytes: whole, block_bytes: 0, tail_bytes: self.value_bytes };
        }
        let head = self.before_value() + LARGE_REF_BYTES;
        let tail = self.value_bytes % page_bytes;
        // A tail of more than half a page would take a whole page in the slab as well.
        if head + tail > page_bytes / 2 {
            return Placement { chunk_bytes: head, block_bytes: self.value_bytes, tail_bytes: 0 };
        }
        Placement { chunk_bytes: head + tail, block_bytes: self.value_bytes - tail, tail_bytes: tail }
    }
}

/// Where the bytes of an item go: the first `block_bytes` of the value in blocks, the rest in the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Bytes needed in one chunk.
    pub chunk_bytes: usize,
    /// Bytes of the value in blocks; 0 if the item is not large.
    pub block_bytes: usize,
    /// Bytes of the value in the chunk.
    pub tail_bytes: usize,
}

/// Reads an item. The slice starts at the chunk and may run past it.
#[derive(Clone, Copy)]
pub struct Item<'a>(&'a [u8]);

impl<'a> Item<'a> {
    pub fn new(chunk: &'a [u8]) -> Item<'a> {
        // One check here spares the ones below.
        Item(&chunk[..chunk.len().max(HEADER_BYTES)])
    }

    /// Has the beginning of the chunk brought from memory.
    #[inline]
    pub fn prefetch(self) {
        for line in 0..LINES_AHEAD {
            prefetch_index(self.0, line * LINE_BYTES);
        }
    }

    pub fn cas(self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[CAS..CAS + 8]);
        u64::from_le_bytes(bytes)
    }

    pub fn older(self) -> ChunkId {
        ChunkId(read_u32(self.0, OLDER))
    }

    pub fn newer(self) -> ChunkId {
        ChunkId(read_u32(self.0, NEWER))
    }

    /// Seconds since the item was stored or last counted as accessed, for up to 97 days. 0 if that was by a worker
    /// whose clock is a little ahead.
    pub fn idle_seconds(self, now: Seconds) -> u32 {
        let idle = now.0.wrapping_sub(read_u32(self.0, ACCESSED)) & ACCESSED_MASK;
        if idle > ACCESSED_MASK / 2 { 0 } else { idle }
    }

    pub fn state(self) -> u8 {
        self.0[STATE]
    }

    pub fn has(self, mark: u8) -> bool {
        self.state() & mark != 0
    }

    /// Whether the value begins in blocks and ends in the chunk.
    pub fn is_large(self) -> bool {
        read_u16(self.0, LENGTH) == LENGTH_OF_LARGE
    }

    /// Whether index and LRU know the item. A chunk with a key that they do not know is reserved.
    pub fn is_linked(self) -> bool {
        self.key_bytes() != 0 && self.older() != ChunkId::NO_LIST
    }

    pub fn segment(self) -> Segment {
        Segment::ALL[usize::from((self.state() & SEGMENT_MASK) >> SEGMENT_SHIFT)]
    }

    /// The class whose LRU the item is in.
    pub fn class(self) -> u8 {
        self.0[CLASS] & CLASS_MASK
    }

    /// How often the item was hit since it last moved in the LRU: 0 to [`HEAT_MAX`].
    pub fn heat(self) -> u8 {
        self.0[CLASS] >> HEAT_SHIFT
    }

    pub fn key_bytes(self) -> usize {
        usize::from(self.0[KEY_LENGTH])
    }

    /// Bytes of the whole value, wherever it lies.
    pub fn value_bytes(self) -> usize {
        match read_u16(self.0, LENGTH) {
            LENGTH_OF_LARGE => read_u32(self.0, self.key_at() + self.key_bytes() + size_of::<u32>()) as usize,
            bytes => usize::from(bytes),
        }
    }

    fn key_at(self) -> usize {
        if self.has(state::CLIENT_FLAGS) { HEADER_BYTES + CLIENT_FLAGS_BYTES } else { HEADER_BYTES }
    }

    pub fn client_flags(self) -> u32 {
        if self.has(state::CLIENT_FLAGS) { read_u32(self.0, HEADER_BYTES) } else { 0 }
    }

    pub fn key(self) -> &'a [u8] {
        let at = self.key_at();
        &self.0[at..at + self.key_bytes()]
    }

    /// The slot of the blocks of a large value.
    pub fn large(self) -> Option<u32> {
        self.is_large().then(|| read_u32(self.0, self.key_at() + self.key_bytes()))
    }

    /// Where the part of the value that is in the chunk begins.
    pub fn tail_at(self) -> usize {
        let large = if self.is_large() { LARGE_REF_BYTES } else { 0 };
        self.key_at() + self.key_bytes() + large
    }

    /// The whole value of an item that is not large.
    pub fn value(self) -> &'a [u8] {
        debug_assert!(!self.is_large());
        let at = self.key_at() + self.key_bytes();
        &self.0[at..at + self.value_bytes()]
    }

    /// The last `bytes` of a large item's value.
    pub fn tail(self, bytes: usize) -> &'a [u8] {
        let at = self.tail_at();
        &self.0[at..at + bytes]
    }

    /// Bytes of header, flags, key and value, without the rounding to chunks and pages.
    pub fn total_bytes(self) -> usize {
        self.tail_at() + self.value_bytes()
    }
}

/// Writes an item.
pub struct ItemMut<'a>(&'a mut [u8]);

impl<'a> ItemMut<'a> {
    pub fn new(chunk: &'a mut [u8]) -> ItemMut<'a> {
        ItemMut(chunk)
    }

    /// Lays out a new item that is neither linked nor in a list; the value is still to be written.
    pub fn lay_out(&mut self, shape: &Shape, key: &[u8], class: u8, is_large: bool) {
        debug_assert!(!key.is_empty() && key.len() <= KEY_BYTES_MAX && shape.value_bytes <= VALUE_BYTES_MAX);
        self.0[..HEADER_BYTES].fill(0);
        write_u32(self.0, OLDER, ChunkId::NO_LIST.0);
        write_u32(self.0, NEWER, ChunkId::NONE.0);
        self.0[KEY_LENGTH] = key.len() as u8;
        self.0[CLASS] = class;
        let mut at = HEADER_BYTES;
        if shape.client_flags != 0 {
            self.0[STATE] |= state::CLIENT_FLAGS;
            write_u32(self.0, at, shape.client_flags);
            at += CLIENT_FLAGS_BYTES;
        }
        self.0[at..at + key.len()].copy_from_slice(key);
        at += key.len();
        let length = if is_large { LENGTH_OF_LARGE } else { shape.value_bytes as u16 };
        self.0[LENGTH..LENGTH + 2].copy_from_slice(&length.to_le_bytes());
        if is_large {
            write_u32(self.0, at, 0);
            write_u32(self.0, at + size_of::<u32>(), shape.value_bytes as u32);
        }
    }

    /// Names the blocks of a large item.
    pub fn set_large(&mut self, slot: u32) {
        let item = Item(self.0);
        let at = item.key_at() + item.key_bytes();
        write_u32(self.0, at, slot);
    }

    /// Copies `bytes` to `at` bytes from the start of the part of the value that is in the chunk.
    pub fn write_tail(&mut self, at: usize, bytes: &[u8]) {
        let at = Item(self.0).tail_at() + at;
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn set_cas(&mut self, cas: u64) {
        self.0[CAS..CAS + 8].copy_from_slice(&cas.to_le_bytes());
    }

    pub fn set_older(&mut self, id: ChunkId) {
        write_u32(self.0, OLDER, id.0);
    }

    pub fn set_newer(&mut self, id: ChunkId) {
        write_u32(self.0, NEWER, id.0);
    }

    pub fn set_accessed(&mut self, now: Seconds) {
        self.0[ACCESSED..STATE].copy_from_slice(&now.0.to_le_bytes()[..ACCESSED_BYTES]);
    }

    pub fn set_segment(&mut self, segment: Segment) {
        self.0[STATE] = self.0[STATE] & !SEGMENT_MASK | (segment as u8) << SEGMENT_SHIFT;
    }

    pub fn set_heat(&mut self, heat: u8) {
        debug_assert!(heat <= HEAT_MAX);
        self.0[CLASS] = heat << HEAT_SHIFT | self.0[CLASS] & CLASS_MASK;
    }

    pub fn mark(&mut self, mark: u8) {
        self.0[STATE] |= mark;
    }

    pub fn unmark(&mut self, mark: u8) {
        self.0[STATE] &= !mark;
    }

    /// Forgets the item: the chunk holds none.
    pub fn erase(&mut self) {
        self.0[KEY_LENGTH] = 0;
        self.0[STATE] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(key: &[u8], client_flags: u32, value_bytes: usize) -> Shape {
        Shape { key_bytes: key.len(), client_flags, value_bytes }
    }

    #[test]
    fn every_field_reads_back_and_none_overlaps_another() {
        for client_flags in [0, 0xdead_beef] {
            for large in [None, Some(0x0102_0304)] {
                let mut chunk = vec![0xaa; 128];
                let mut item = ItemMut::new(&mut chunk);
                item.lay_out(&shape(b"a key", client_flags, 9), b"a key", 63, large.is_some());
                if let Some(slot) = large {
                    item.set_large(slot);
                }
                item.write_tail(0, b"the value");
                assert!(!Item::new(&chunk).is_linked(), "it is in no list yet");
                let mut item = ItemMut::new(&mut chunk);
                item.set_cas(u64::MAX - 1);
                item.set_older(ChunkId(1));
                item.set_newer(ChunkId(2));
                item.set_accessed(Seconds(0x01ff_fff0));
                item.set_segment(Segment::Temp);
                item.mark(state::FETCHED | state::ENCODED_KEY);
                item.set_heat(2);
                let item = Item::new(&chunk);
                assert_eq!((item.key(), item.tail(9)), (&b"a key"[..], &b"the value"[..]));
                assert_eq!((item.client_flags(), item.large()), (client_flags, large));
                assert_eq!(item.cas(), u64::MAX - 1);
                assert_eq!((item.older(), item.newer()), (ChunkId(1), ChunkId(2)));
                assert_eq!(item.idle_seconds(Seconds(0x0200_0000)), 16, "across the wrap of 24 bits");
                assert_eq!((item.segment(), item.class(), item.value_bytes()), (Segment::Temp, 63, 9));
                assert_eq!(item.heat(), 2);
                assert!(item.has(state::FETCHED) && item.has(state::ENCODED_KEY) && !item.has(state::STALE));
                assert!(item.is_linked() && item.is_large() == large.is_some());
            }
        }
    }

    #[test]
    fn a_value_is_split_only_where_it_must_be() {
        let page = 16384;
        let place = |value| shape(b"k", 0, value).placement(page, page);
        assert_eq!(place(100), Placement { chunk_bytes: 125, block_bytes: 0, tail_bytes: 100 });
        let most = page - HEADER_BYTES - 1;
        assert_eq!(place(most).block_bytes, 0);
        assert_eq!(place(page + 10), Placement { chunk_bytes: 43, block_bytes: page, tail_bytes: 10 });
        assert_eq!(place(2 * page), Placement { chunk_bytes: 33, block_bytes: 2 * page, tail_bytes: 0 });
        let long_tail = page + page / 2 + 1;
        assert_eq!(place(long_tail), Placement { chunk_bytes: 33, block_bytes: long_tail, tail_bytes: 0 });
    }
}
