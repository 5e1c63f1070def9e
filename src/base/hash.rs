//! The hash of a key: seeded at start, so that no client can aim keys at one bucket.

/// Hashes keys with a seed of its own. Clones share the seed.
#[derive(Clone, Debug)]
pub struct KeyHasher(ahash::RandomState);

impl KeyHasher {
    /// A hasher with a random seed from the system.
    pub fn new() -> KeyHasher {
        KeyHasher(ahash::RandomState::new())
    }

    /// A hasher with a fixed seed, for runs that must repeat.
    pub fn with_seed(seed: u64) -> KeyHasher {
        KeyHasher(ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 0x9e37_79b9_7f4a_7c15))
    }

    /// 64 well mixed bits of `key`.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.0.hash_one(key)
    }
}

impl Default for KeyHasher {
    fn default() -> Self {
        Self::new()
    }
}
