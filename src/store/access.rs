//! Looking at an item and changing it in one step, under one lock.
//!
//! A caller who needs more than [`Store::get`], [`Store::touch`] and [`Store::arithmetic`] tell is shown the
//! item by an [`Access`]: how long it has left, whether anybody read it, whether its value is outdated and who
//! was asked to renew it. The item may come into being by being asked for.

use super::Store;
use super::item::{ChunkId, Shape, state};
use super::memcached_item_bytes;
use super::partition::{Arithmetic, Direction, ItemView, Key, Partition};
use super::provision::{Provision, Shortage};
use super::storing::{StoreMode, StoreRequest};
use crate::base::clock::{Deadline, Seconds};

/// An item, shown while its partition is locked.
pub struct Access<'a> {
    partition: &'a mut Partition,
    id: ChunkId,
    now: Seconds,
    is_new: bool,
}

impl Access<'_> {
    /// Its value and what belongs to that.
    pub fn view(&self) -> ItemView<'_> {
        self.partition.view(self.id)
    }

    /// Whether it was created because it was asked for.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// When it ends.
    pub fn deadline(&self) -> Deadline {
        self.partition.slab.deadline(self.id)
    }

    /// Gives it another deadline.
    pub fn set_deadline(&mut self, deadline: Deadline) {
        let class = usize::from(self.partition.slab.item(self.id).class());
        self.partition.set_deadline(self.id, deadline);
        self.partition.leave_temp(self.id, class, deadline, self.now);
    }

    /// Seconds since it was stored or last counted as accessed.
    pub fn idle_seconds(&self) -> u32 {
        self.partition.slab.item(self.id).idle_seconds(self.now)
    }

    /// Whether it was read since it was stored, this time not counted.
    pub fn is_fetched(&self) -> bool {
        self.has(state::FETCHED)
    }

    /// Whether its key came encoded, and is to be shown so.
    pub fn has_encoded_key(&self) -> bool {
        self.has(state::ENCODED_KEY)
    }

    /// Whether a client said that the value is outdated.
    pub fn is_stale(&self) -> bool {
        self.has(state::STALE)
    }

    /// Whether a client was already asked to bring a new value.
    pub fn is_token_given(&self) -> bool {
        self.has(state::TOKEN_GIVEN)
    }

    /// Notes that a client is asked to bring a new value.
    pub fn give_token(&mut self) {
        self.partition.slab.item_mut(self.id).mark(state::TOKEN_GIVEN);
    }

    /// The number by which clients know its slab class.
    pub fn class_number(&self) -> u64 {
        u64::from(self.partition.slab.item(self.id).class()) + 1
    }

    /// Bytes of header, flags, key and value.
    pub fn total_bytes(&self) -> usize {
        self.partition.slab.item(self.id).total_bytes()
    }

    fn has(&self, mark: u8) -> bool {
        self.partition.slab.item(self.id).has(mark)
    }
}

/// What an item is made with that comes into being by being asked for.
#[derive(Clone, Copy, Debug)]
pub struct Creation {
    /// When it ends.
    pub deadline: Deadline,
    /// Its CAS unique, if not the next one.
    pub cas: Option<u64>,
    /// Whether its key came encoded.
    pub has_encoded_key: bool,
}

/// How an item is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct LookUp {
    /// Counts as a touch, not as a get.
    pub counts_as_touch: bool,
    /// Leaves no trace: no hit mark, no move in the LRU. Counted it is.
    pub is_unnoticed: bool,
    /// Creates an empty item if there is none.
    pub create: Option<Creation>,
}

/// A step of counting.
#[derive(Clone, Copy, Debug)]
pub struct Counting {
    /// Which way.
    pub direction: Direction,
    /// How far.
    pub delta: u64,
    /// The CAS unique that the item must have, if not 0.
    pub compare: u64,
    /// Its CAS unique afterwards, if not the next one.
    pub cas: Option<u64>,
    /// Creates an item with this number if there is none.
    pub create: Option<(u64, Creation)>,
}

/// What came of counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted<R> {
    /// There is a new number, and this is what was made of it.
    Value(R),
    /// No such key.
    NotFound,
    /// The item has another CAS unique.
    Exists,
    /// The value is not a decimal number of 64 bits.
    NonNumeric,
    /// The longer number found no memory.
    OutOfMemory,
    /// The new item found no memory.
    NoMemoryToCreate,
}

impl Partition {
    /// Gives an item the CAS unique that a client chose.
    pub fn override_cas(&mut self, id: ChunkId, cas: u64) {
        let cas = if self.shared.cas_enabled { cas } else { 0 };
        self.slab.item_mut(id).set_cas(cas);
    }

    fn access<R>(
        &mut self,
        key: &Key,
        look_up: &LookUp,
        now: Seconds,
        show: impl FnOnce(&mut Access) -> R,
    ) -> Option<R> {
        let Some(id) = self.lookup(key, now) else {
            self.count_miss(look_up);
            return None;
        };
        let result = show(&mut Access { partition: self, id, now, is_new: false });
        if !look_up.is_unnoticed {
            self.mark_hit(id, now);
        }
        self.count_hit(id, look_up);
        Some(result)
    }

    fn count_miss(&mut self, look_up: &LookUp) {
        match look_up.counts_as_touch {
            true => self.figures.touch_misses += 1,
            false => self.figures.get_misses += 1,
        }
    }

    fn count_hit(&mut self, id: ChunkId, look_up: &LookUp) {
        if look_up.counts_as_touch {
            self.class_figures[usize::from(self.slab.item(id).class())].touch_hits += 1;
        } else {
            let class = self.count_segment_hit(id);
            self.class_figures[class].get_hits += 1;
        }
    }

    /// Links a new item under a key that has none. Not counted as a command to store one.
    fn create(
        &mut self,
        key: &Key,
        value: &[u8],
        creation: &Creation,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<Option<ChunkId>, Shortage> {
        let Creation { deadline, cas, has_encoded_key } = *creation;
        let shape = Shape { key_bytes: key.bytes.len(), client_flags: 0, value_bytes: value.len() };
        let request = StoreRequest { key: *key, mode: StoreMode::Set, client_flags: 0, deadline, value };
        self.store_again(&request, &shape, now, provision)?;
        let id = self.find(key);
        if let Some(id) = id {
            if let Some(cas) = cas {
                self.override_cas(id, cas);
            }
            if has_encoded_key {
                self.slab.item_mut(id).mark(state::ENCODED_KEY);
            }
        }
        Ok(id)
    }

    /// [`Self::access`] to an item that is created if it is not there. `show` is taken when it is called.
    fn access_or_create<R, F: FnOnce(&mut Access) -> R>(
        &mut self,
        key: &Key,
        (look_up, creation): (&LookUp, &Creation),
        now: Seconds,
        provision: &mut Provision,
        show: &mut Option<F>,
    ) -> Result<Option<R>, Shortage> {
        if self.lookup(key, now).is_some() {
            return Ok(show.take().and_then(|show| self.access(key, look_up, now, show)));
        }
        let Some(id) = self.create(key, b"", creation, now, provision)? else {
            self.count_miss(look_up);
            return Ok(None);
        };
        let result = show.take().map(|show| show(&mut Access { partition: self, id, now, is_new: true }));
        if !look_up.is_unnoticed {
            self.slab.item_mut(id).mark(state::FETCHED);
        }
        self.count_hit(id, look_up);
        Ok(result)
    }

    fn count<R, F: FnOnce(&mut Access, u64) -> R>(
        &mut self,
        key: &Key,
        counting: &Counting,
        now: Seconds,
        provision: &mut Provision,
        show: &mut Option<F>,
    ) -> Result<Counted<R>, Shortage> {
        let old = self.lookup(key, now);
        if let (None, Some((number, creation))) = (old, &counting.create) {
            let mut digits = itoa::Buffer::new();
            let text = digits.format(*number);
            let id = self.create(key, text.as_bytes(), creation, now, provision)?;
            return Ok(self.show_number(id, *number, true, now, show));
        }
        if let Some(id) = old
            && self.slab.item(id).value_bytes() > 0
            && counting.compare != 0
            && counting.compare != self.slab.item(id).cas()
        {
            return Ok(Counted::Exists);
        }
        let Counting { direction, delta, .. } = *counting;
        Ok(match self.arithmetic(key, direction, delta, now, provision)? {
            Arithmetic::Value(number) => {
                let id = self.find(key);
                if let (Some(id), Some(cas)) = (id, counting.cas) {
                    self.override_cas(id, cas);
                }
                self.show_number(id, number, false, now, show)
            }
            Arithmetic::NotFound => Counted::NotFound,
            Arithmetic::NonNumeric => Counted::NonNumeric,
            Arithmetic::OutOfMemory => Counted::OutOfMemory,
        })
    }

    fn show_number<R, F: FnOnce(&mut Access, u64) -> R>(
        &mut self,
        id: Option<ChunkId>,
        number: u64,
        is_new: bool,
        now: Seconds,
        show: &mut Option<F>,
    ) -> Counted<R> {
        // None if the index had no room for the item: it is as if it had been evicted at once.
        match (id, show.take()) {
            (Some(id), Some(show)) => {
                Counted::Value(show(&mut Access { partition: self, id, now, is_new }, number))
            }
            _ => Counted::NotFound,
        }
    }
}

impl Store {
    /// Shows a key's item to `show`, which may change it, under the lock. `None` if there is none, nor any to
    /// be created.
    #[inline]
    pub fn access<R>(
        &self,
        key: &Key,
        look_up: &LookUp,
        now: Seconds,
        show: impl FnOnce(&mut Access) -> R,
    ) -> Option<R> {
        let Some(creation) = &look_up.create else {
            return self.borrow(key.hash, now).access(key, look_up, now, show);
        };
        let mut show = Some(show);
        let shown = self.with_pages(key.hash, now, |partition, provision| {
            partition.access_or_create(key, (look_up, creation), now, provision, &mut show)
        });
        if shown.is_none() {
            self.borrow(key.hash, now).count_miss(look_up);
        }
        shown.flatten()
    }

    /// Shows a key's item to `show` as if nobody had looked: nothing is marked or counted.
    pub fn inspect<R>(&self, key: &Key, now: Seconds, show: impl FnOnce(&mut Access) -> R) -> Option<R> {
        let mut partition = self.borrow(key.hash, now);
        let id = partition.lookup(key, now)?;
        Some(show(&mut Access { partition: &mut partition, id, now, is_new: false }))
    }

    /// Counts with the number in a key's item, and shows it with the new number to `show`, under one lock.
    pub fn count<R>(
        &self,
        key: &Key,
        counting: &Counting,
        now: Seconds,
        show: impl FnOnce(&mut Access, u64) -> R,
    ) -> Counted<R> {
        let mut show = Some(show);
        let mut exists = false;
        let counted = self.with_pages(key.hash, now, |partition, provision| {
            exists = partition.lookup(key, now).is_some();
            partition.count(key, counting, now, provision, &mut show)
        });
        counted.unwrap_or(if exists { Counted::OutOfMemory } else { Counted::NoMemoryToCreate })
    }

    /// Removes a key's item because a newer value for it was refused; counted as nothing.
    pub fn discard(&self, key: &Key, now: Seconds) {
        self.borrow(key.hash, now).discard(key, now);
    }

    /// Bytes of an item as memcached counts them against `-I`.
    pub(super) fn counted_bytes(&self, key: &Key, client_flags: u32, value_bytes: usize) -> usize {
        memcached_item_bytes(key.bytes.len(), client_flags, value_bytes, self.shared.cas_enabled)
    }
}
