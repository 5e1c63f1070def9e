//! The text of keys, the flags and the bytes of values, all functions of an item's number and version.
//!
//! Values are cut from one pattern of random bytes, so that making and comparing them costs a copy; a
//! stamp of item and version before it makes each different.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// Bytes of the pattern that values are cut from. Its length is that, and the longest value more.
const PATTERN_BYTES: usize = 1 << 16;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 14;
/// Bytes that tell a value from all others.
const STAMP_BYTES: usize = 8;
/// Characters of a key that tell it from all others: 11 of 6 bits hold a mixed number.
const NAME_CHARS: usize = 11;
/// What the characters are taken from.
const ALPHABET: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
/// What a key goes on with, to its length.
const FILLER: &[u8; 32] = b":efficiency:of:a:cache:by:items:";
/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = NAME_CHARS + FILLER.len();

/// Maker and judge of keys and values.
pub struct Values {
    pattern: Vec<u8>,
    salt: u64,
}

impl Values {
    /// Keys and values of this seed.
    pub fn new(seed: u64) -> Values {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut pattern = vec![0; PATTERN_BYTES + VALUE_BYTES_MAX];
        rng.fill_bytes(&mut pattern);
        Values { pattern, salt: rng.next_u64() }
    }

    /// Appends the key of an item, `bytes` long.
    ///
    /// # Panics
    /// If that is not between 11 and [`KEY_BYTES_MAX`].
    #[inline]
    pub fn push_key(&self, id: u32, bytes: usize, into: &mut Vec<u8>) {
        let mut rest = mix(u64::from(id) ^ self.salt);
        let mut name = [0; NAME_CHARS];
        for place in &mut name {
            *place = ALPHABET[rest as usize % ALPHABET.len()];
            rest /= ALPHABET.len() as u64;
        }
        into.extend_from_slice(&name);
        into.extend_from_slice(&FILLER[..bytes - NAME_CHARS]);
    }

    /// The client flags of an item: few have any, as in practice.
    pub fn flags(&self, id: u32) -> u32 {
        if id % 16 == 5 { id | 1 } else { 0 }
    }

    /// Stamp, and the rest from where in the pattern.
    #[inline]
    fn parts(&self, id: u32, version: u8, bytes: usize) -> ([u8; STAMP_BYTES], usize, &[u8]) {
        let stamp = mix(u64::from(id) | u64::from(version) << 32 ^ self.salt.rotate_left(21));
        let start = (stamp >> 40) as usize % PATTERN_BYTES;
        let stamp_bytes = bytes.min(STAMP_BYTES);
        (stamp.to_le_bytes(), stamp_bytes, &self.pattern[start..start + bytes - stamp_bytes])
    }

    /// Appends a version of an item's value, `bytes` long.
    #[inline]
    pub fn push_value(&self, id: u32, version: u8, bytes: usize, into: &mut Vec<u8>) {
        let (stamp, stamp_bytes, rest) = self.parts(id, version, bytes);
        into.extend_from_slice(&stamp[..stamp_bytes]);
        into.extend_from_slice(rest);
    }

    /// Whether `value` is that version of the item's value, byte for byte.
    #[inline]
    pub fn is_value(&self, value: &[u8], id: u32, version: u8, bytes: usize) -> bool {
        let (stamp, stamp_bytes, rest) = self.parts(id, version, bytes);
        value.len() == bytes && value[..stamp_bytes] == stamp[..stamp_bytes] && value[stamp_bytes..] == *rest
    }
}

/// Mixes 64 bits, no two numbers to the same one (the finalizer of SplitMix64).
#[inline]
fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
