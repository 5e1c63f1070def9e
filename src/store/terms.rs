//! Storing and removing on terms that plain commands do not know: a CAS unique of the client's own, a value
//! that is older than the present one but better than none, an item that is kept but marked as stale.

use std::sync::Arc;

use super::item::{Shape, state};
use super::joining::{Addition, Join, JoinRequest};
use super::partition::{Key, Partition};
use super::provision::{Provision, Shortage};
use super::reservation::Reservation;
use super::storing::{Draft, StoreMode, StoreOutcome, StoreRequest};
use super::{ATTEMPTS_MAX, Store};
use crate::base::clock::{Deadline, Seconds};

/// Attempts to join a value with one that others create and delete meanwhile.
const JOINS_MAX: usize = 8;

/// What a client wants beside what a [`StoreRequest`] says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// The CAS unique that the present item of an append or prepend must have, if not 0.
    pub compare: u64,
    /// The CAS unique of what is stored, if not the next one.
    pub cas: Option<u64>,
    /// Where `cas` compares with a unique older than the item's: store, keep its deadline, mark it stale.
    pub takes_older: bool,
    /// Lets an append or prepend create what is not there, with this deadline.
    pub create: Option<Deadline>,
    /// The key came encoded.
    pub has_encoded_key: bool,
}

/// What became of a value that was stored on terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whether it is stored.
    pub outcome: StoreOutcome,
    /// The CAS unique that it has; 0 if it is not stored.
    pub cas: u64,
    /// Bytes of the whole value; as sent if it is not stored.
    pub value_bytes: usize,
}

/// An item that is in nobody's way any more: deleted, emptied, or kept as stale.
#[derive(Clone, Copy, Debug, Default)]
pub struct Removal {
    /// The CAS unique that the item must have.
    pub compare: Option<u64>,
    /// The CAS unique of what stays.
    pub cas: Option<u64>,
    /// Puts an empty value with these client flags in its place.
    pub empty: Option<u32>,
    /// Marks what is there as stale, so that the next reader is asked for a new value.
    pub invalidates: bool,
    /// The deadline of what stays: else a stale item keeps its own, and an emptied one has none.
    pub deadline: Option<Deadline>,
}

/// What came of a [`Removal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is done.
    Done,
    /// No such key.
    NotFound,
    /// The item has another CAS unique.
    Exists,
    /// Not even the empty value found memory.
    OutOfMemory,
}

/// What stays of an item whose value an older one replaces.
struct Newer {
    class: usize,
    deadline: Deadline,
    marks: u8,
}

impl Partition {
    /// The marks of a key's present item, which a change of a part of its value does not take away.
    pub fn marks_told(&self, key: &Key) -> u8 {
        self.find(key).map_or(0, |id| self.slab.item(id).state() & state::TOLD)
    }

    /// Gives marks to a key's item that was made anew.
    pub fn mark_again(&mut self, key: &Key, marks: u8) {
        if marks != 0
            && let Some(id) = self.find(key)
        {
            self.slab.item_mut(id).mark(marks);
        }
    }

    /// Whether a value may go in the place of a newer one, and what stays of that.
    fn welcome_older(&mut self, key: &Key, mode: StoreMode, terms: &Terms, now: Seconds) -> Option<Newer> {
        let StoreMode::Cas(unique) = mode else { return None };
        if !terms.takes_older || unique == 0 {
            return None;
        }
        let id = self.lookup(key, now)?;
        let item = self.slab.item(id);
        (unique < item.cas()).then(|| Newer {
            class: usize::from(item.class()),
            deadline: self.slab.deadline(id),
            marks: state::STALE | item.state() & state::TOKEN_GIVEN,
        })
    }

    /// [`Self::join`] on terms. `None` if there is nothing to join the value with, and it is to be created.
    fn join_on_terms(
        &mut self,
        request: &JoinRequest,
        terms: &Terms,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<Option<Receipt>, Shortage> {
        let JoinRequest { key, client_flags, addition, .. } = *request;
        let value_bytes = addition.len();
        match self.lookup(&key, now) {
            None if terms.create.is_some() => return Ok(None),
            Some(id) if terms.compare != 0 && terms.compare != self.slab.item(id).cas() => {
                let shape = Shape { key_bytes: key.bytes.len(), client_flags, value_bytes };
                let class = self.class_of_shape(&shape);
                self.class_figures[class].cmd_set += 1;
                return Ok(Some(Receipt { outcome: StoreOutcome::Exists, cas: 0, value_bytes }));
            }
            _ => {}
        }
        let outcome = self.join(request, now, provision)?;
        // The mark of an encoded key stays with the item as it was.
        Ok(Some(self.receipt((&key, value_bytes), outcome, terms, 0)))
    }

    /// [`Self::store`] on terms.
    fn store_on_terms(
        &mut self,
        request: &StoreRequest,
        terms: &Terms,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<Receipt, Shortage> {
        let mut request = *request;
        let key = request.key;
        let mut marks = encoded_key(terms);
        let older = self.welcome_older(&key, request.mode, terms, now);
        if let Some(older) = &older {
            (request.mode, request.deadline) = (StoreMode::Set, older.deadline);
            marks |= older.marks;
        }
        let outcome = self.store(&request, now, provision)?;
        if let Some(older) = older {
            self.class_figures[older.class].cas_hits += 1;
        }
        Ok(self.receipt((&key, request.value.len()), outcome, terms, marks))
    }

    /// [`Self::commit`] on terms; not for append and prepend.
    pub fn commit_on_terms(
        &mut self,
        key: &Key,
        (mut mode, mut deadline): (StoreMode, Deadline),
        draft: Draft,
        terms: &Terms,
        now: Seconds,
    ) -> Receipt {
        let mut marks = encoded_key(terms);
        if let Some(older) = self.welcome_older(key, mode, terms, now) {
            (mode, deadline) = (StoreMode::Set, older.deadline);
            marks |= older.marks;
            self.class_figures[older.class].cas_hits += 1;
        }
        let outcome = self.commit(key, mode, deadline, draft, now);
        self.receipt((key, 0), outcome, terms, marks)
    }

    /// Marks what was stored, and reads back what the client may want to know of it.
    fn receipt(
        &mut self,
        (key, value_bytes): (&Key, usize),
        outcome: StoreOutcome,
        terms: &Terms,
        marks: u8,
    ) -> Receipt {
        let stored = if outcome == StoreOutcome::Stored { self.find(key) } else { None };
        let Some(id) = stored else { return Receipt { outcome, cas: 0, value_bytes } };
        if let Some(cas) = terms.cas {
            self.override_cas(id, cas);
        }
        self.slab.item_mut(id).mark(marks);
        let item = self.slab.item(id);
        Receipt { outcome, cas: item.cas(), value_bytes: item.value_bytes() }
    }

    fn remove(
        &mut self,
        key: &Key,
        removal: &Removal,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<Removed, Shortage> {
        let Some(mut id) = self.lookup(key, now) else {
            self.figures.delete_misses += 1;
            return Ok(Removed::NotFound);
        };
        let item = self.slab.item(id);
        let (class, old_cas) = (usize::from(item.class()), item.cas());
        let has_encoded_key = item.state() & state::ENCODED_KEY;
        if removal.compare.is_some_and(|unique| unique != old_cas) {
            self.figures.delete_misses += 1;
            return Ok(Removed::Exists);
        }
        if let Some(client_flags) = removal.empty {
            let deadline = removal.deadline.unwrap_or(Deadline::NEVER);
            let shape = Shape { key_bytes: key.bytes.len(), client_flags, value_bytes: 0 };
            let request =
                StoreRequest { key: *key, mode: StoreMode::Set, client_flags, deadline, value: b"" };
            self.store_again(&request, &shape, now, provision)?;
            match self.find(key) {
                Some(empty) => id = empty,
                None => return Ok(Removed::Done),
            }
            self.override_cas(id, removal.cas.unwrap_or(old_cas));
            self.slab.item_mut(id).mark(has_encoded_key);
        }
        if removal.invalidates {
            self.invalidate(id, removal, now);
            return Ok(Removed::Done);
        }
        self.class_figures[class].delete_hits += 1;
        if removal.empty.is_none() {
            self.unlink(id, key.hash);
        }
        Ok(Removed::Done)
    }

    fn invalidate(&mut self, id: super::item::ChunkId, removal: &Removal, now: Seconds) {
        if let Some(deadline) = removal.deadline {
            let class = usize::from(self.slab.item(id).class());
            self.set_deadline(id, deadline);
            self.leave_temp(id, class, deadline, now);
        }
        let cas = removal.cas.unwrap_or_else(|| self.next_cas());
        self.override_cas(id, cas);
        let mut item = self.slab.item_mut(id);
        item.mark(state::STALE);
        item.unmark(state::TOKEN_GIVEN);
    }
}

fn encoded_key(terms: &Terms) -> u8 {
    if terms.has_encoded_key { state::ENCODED_KEY } else { 0 }
}

impl Store {
    /// Stores a complete value on terms, if the condition of its command holds.
    pub fn store_on_terms(self: &Arc<Self>, request: &StoreRequest, terms: &Terms, now: Seconds) -> Receipt {
        let StoreRequest { key, mode, client_flags, deadline, value } = *request;
        if mode.joins() {
            let request = JoinRequest { key, mode, client_flags, addition: Addition::Bytes(value) };
            return self.join(&request, terms, now);
        }
        let refused = |outcome| Receipt { outcome, cas: 0, value_bytes: value.len() };
        if self.counted_bytes(&key, client_flags, value.len()) > self.shared.budget.page_bytes() {
            let store = |mut reservation: Reservation| {
                reservation.write(value, now)?;
                Ok(reservation.commit_on_terms(terms, now))
            };
            let stored = self.reserve(key, mode, client_flags, deadline, value.len(), now).and_then(store);
            return stored.unwrap_or_else(|error| refused(error.into()));
        }
        if self.refuses_size(&key, mode, client_flags, value.len(), now) {
            return refused(StoreOutcome::TooLarge);
        }
        let stored = self.with_pages(key.hash, now, |partition, provision| {
            partition.store_on_terms(request, terms, now, provision)
        });
        stored.unwrap_or_else(|| {
            self.refuse_no_memory(&key, mode, client_flags, value.len(), now);
            refused(StoreOutcome::OutOfMemory)
        })
    }

    /// Stores a key's present value joined with an addition, if the condition of the command holds.
    pub(super) fn join(self: &Arc<Self>, request: &JoinRequest, terms: &Terms, now: Seconds) -> Receipt {
        let JoinRequest { key, mode, client_flags, addition } = *request;
        let refused = |outcome| Receipt { outcome, cas: 0, value_bytes: addition.len() };
        if self.refuses_size(&key, mode, client_flags, addition.len(), now) {
            return refused(StoreOutcome::TooLarge);
        }
        for _ in 0..JOINS_MAX {
            match (self.try_join(request, terms, now), terms.create) {
                (Some(Some(receipt)), _) => return receipt,
                (Some(None), Some(deadline)) => {
                    let receipt = self.create(request, deadline, terms, now);
                    if receipt.outcome != StoreOutcome::NotStored {
                        return receipt;
                    }
                }
                _ => {
                    self.refuse_no_memory(&key, mode, client_flags, addition.len(), now);
                    return refused(StoreOutcome::NotStored);
                }
            }
        }
        refused(StoreOutcome::NotStored)
    }

    /// Joins as [`Self::with_pages`] does anything. A large value is copied between two attempts, while nobody waits
    /// for the partition. `None` if there is no memory, `Some(None)` if there is nothing to join the addition with.
    fn try_join(&self, request: &JoinRequest, terms: &Terms, now: Seconds) -> Option<Option<Receipt>> {
        let hash = request.key.hash;
        let mut provision = Provision::default();
        let mut turn = None;
        for _ in 0..ATTEMPTS_MAX {
            let attempt = self.borrow(hash, now).join_on_terms(request, terms, now, &mut provision);
            let shortage = match attempt {
                Ok(receipt) => {
                    self.take_back(provision);
                    return Some(receipt);
                }
                Err(shortage) => shortage,
            };
            if matches!(provision.join, Join::Planned(_)) && turn.is_none() {
                let joins = &self.joins[self.partition_number(hash)];
                turn = joins.try_lock();
                if turn.is_none() {
                    // Another is at it, perhaps with the same value: what was planned would be out of date.
                    turn = Some(joins.lock());
                    provision.forget_join();
                    continue;
                }
            }
            if !self.remedy(&mut provision, shortage, now) {
                break;
            }
            provision.carry_out(request.mode, request.addition, &self.shared.budget);
        }
        self.take_back(provision);
        None
    }

    /// Stores the addition itself, if there is still nothing to join it with.
    fn create(
        self: &Arc<Self>,
        request: &JoinRequest,
        deadline: Deadline,
        terms: &Terms,
        now: Seconds,
    ) -> Receipt {
        let JoinRequest { key, client_flags, addition, .. } = *request;
        let blocks = match addition {
            Addition::Bytes(value) => {
                let request = StoreRequest { key, mode: StoreMode::Add, client_flags, deadline, value };
                return self.store_on_terms(&request, terms, now);
            }
            Addition::Blocks(blocks) => blocks,
        };
        let store = |mut reservation: Reservation| {
            blocks.pieces().try_for_each(|piece| reservation.write(piece, now))?;
            Ok(reservation.commit_on_terms(terms, now))
        };
        let stored =
            self.reserve(key, StoreMode::Add, client_flags, deadline, blocks.len(), now).and_then(store);
        stored.unwrap_or_else(|error| Receipt { outcome: error.into(), cas: 0, value_bytes: blocks.len() })
    }

    /// Deletes a key's item, empties it or marks it as stale.
    pub fn remove(&self, key: &Key, removal: &Removal, now: Seconds) -> Removed {
        let removed = self
            .with_pages(key.hash, now, |partition, provision| partition.remove(key, removal, now, provision));
        removed.unwrap_or(Removed::OutOfMemory)
    }
}
