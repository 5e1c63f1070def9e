//! Putting items in: the storage commands, at once or piece by piece.
//!
//! A value that is there in full is stored under one lock by [`Partition::store`]. One that is still
//! arriving gets its memory first ([`Partition::reserve`]), is written to its final place as it comes,
//! and is linked at the end ([`Partition::commit`]), when the command's condition is judged.

use super::item::{ChunkId, Shape, state};
use super::large::{Blocks, LargeValue};
use super::memcached_item_bytes;
use super::partition::{Key, Partition, Provision, Shortage};
use super::slab::ClassId;
use crate::base::clock::{Deadline, Seconds};

/// Insertions' worth of index growth in one call of upkeep: some tens of microseconds.
const RESIZE_STEPS_PER_UPKEEP: usize = 16;

/// Under which condition a value is stored, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// Always.
    Set,
    /// If the key is absent.
    Add,
    /// If the key is present.
    Replace,
    /// Behind the present value.
    Append,
    /// Before the present value.
    Prepend,
    /// If the present item has this CAS unique.
    Cas(u64),
}

/// What became of a storage command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// The value is stored.
    Stored,
    /// The condition of the command does not hold.
    NotStored,
    /// The item has another CAS unique.
    Exists,
    /// There is no item to compare with.
    NotFound,
    /// Larger than the largest item allowed.
    TooLarge,
    /// Nothing could be evicted for it, or nothing may be.
    OutOfMemory,
}

/// A complete item to be stored.
#[derive(Clone, Copy, Debug)]
pub struct StoreRequest<'a> {
    /// Its key.
    pub key: Key<'a>,
    /// Under which condition.
    pub mode: StoreMode,
    /// The client's flags.
    pub client_flags: u32,
    /// When it ends.
    pub deadline: Deadline,
    /// Its value.
    pub value: &'a [u8],
}

/// An item whose value is being written: it has its memory and is not linked yet.
pub(super) struct Draft {
    pub id: ChunkId,
    /// The first part of a large value.
    pub blocks: Option<Blocks>,
    /// Bytes of the value that go there.
    pub block_bytes: usize,
}

/// What a command's condition comes to.
enum Verdict {
    Place,
    Concatenate,
    Refuse(StoreOutcome),
}

impl Partition {
    /// Judges the condition of `mode` against the present item and counts the outcome.
    fn judge(&mut self, mode: StoreMode, old: Option<ChunkId>, now: Seconds) -> Verdict {
        let Some(id) = old else {
            return match mode {
                StoreMode::Set | StoreMode::Add => Verdict::Place,
                StoreMode::Cas(_) => {
                    self.figures.cas_misses += 1;
                    Verdict::Refuse(StoreOutcome::NotFound)
                }
                _ => Verdict::Refuse(StoreOutcome::NotStored),
            };
        };
        match mode {
            StoreMode::Set | StoreMode::Replace => Verdict::Place,
            StoreMode::Append | StoreMode::Prepend => Verdict::Concatenate,
            StoreMode::Add => {
                // As in memcached, an item that an add finds counts as used.
                let mut item = self.slab.item_mut(id);
                item.set_accessed(now);
                item.set_heat(1);
                Verdict::Refuse(StoreOutcome::NotStored)
            }
            StoreMode::Cas(unique) => {
                let item = self.slab.item(id);
                let figures = &mut self.class_figures[usize::from(item.class())];
                if unique != 0 && item.cas() == unique {
                    figures.cas_hits += 1;
                    return Verdict::Place;
                }
                figures.cas_badval += 1;
                Verdict::Refuse(StoreOutcome::Exists)
            }
        }
    }

    /// The class whose LRU and figures an item of this shape belongs to.
    fn class_of_shape(&self, shape: &Shape) -> usize {
        let placement = self.placement(shape);
        let class = self.shared.sizes.class_for(placement.chunk_bytes);
        match (placement.block_bytes, class) {
            (0, Some(class)) => class.index(),
            _ => self.shared.large_class(),
        }
    }

    fn placement(&self, shape: &Shape) -> super::item::Placement {
        let page_bytes = self.slab.page_bytes();
        shape.placement(page_bytes, page_bytes)
    }

    /// Stores a complete value that needs no blocks, if the command's condition holds.
    pub fn store(
        &mut self,
        request: &StoreRequest,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<StoreOutcome, Shortage> {
        let StoreRequest { key, mode, client_flags, deadline, value } = *request;
        let shape = Shape { key_bytes: key.bytes.len(), client_flags, value_bytes: value.len() };
        let class = ClassId(self.class_of_shape(&shape) as u8);
        let old = self.lookup(&key, now);
        // Known before anything is evicted for room: the old item may be among it.
        let old_class = old.map(|id| usize::from(self.slab.item(id).class()));
        let verdict = self.judge(mode, old, now);
        self.class_figures[class.index()].cmd_set += 1;
        match verdict {
            Verdict::Refuse(outcome) => return Ok(outcome),
            Verdict::Concatenate => {
                let result = self.concatenate(&key, mode, value, now, provision);
                if result.is_err() {
                    self.class_figures[class.index()].cmd_set -= 1;
                }
                return result;
            }
            Verdict::Place => {}
        }
        if let Some(old) = old
            && self.rewrite(old, &shape, request, now)
        {
            return Ok(StoreOutcome::Stored);
        }
        let id = match self.allocate(class, now, provision) {
            Ok(id) => id,
            Err(shortage) => {
                self.take_back_counts(class.index(), mode, old_class);
                return Err(shortage);
            }
        };
        let mut item = self.slab.item_mut(id);
        item.lay_out(&shape, key.bytes, class.0, false);
        item.write_tail(0, value);
        self.link(id, &key, deadline, old.is_some(), now);
        Ok(StoreOutcome::Stored)
    }

    /// Undoes the counting of an attempt that is going to be repeated with more memory.
    fn take_back_counts(&mut self, class: usize, mode: StoreMode, old_class: Option<usize>) {
        self.class_figures[class].cmd_set -= 1;
        if let (StoreMode::Cas(_), Some(old_class)) = (mode, old_class) {
            self.class_figures[old_class].cas_hits -= 1;
        }
    }

    /// Overwrites an item where it lies, if the new one fits its chunk as well as any. On probation it keeps
    /// its place in the LRU and its heat.
    fn rewrite(&mut self, id: ChunkId, shape: &Shape, request: &StoreRequest, now: Seconds) -> bool {
        let item = self.slab.item(id);
        let class = item.class();
        if usize::from(class) != self.class_of_shape(shape) || item.has(state::LARGE) {
            return false;
        }
        let (older, newer, segment, old_bytes) =
            (item.older(), item.newer(), item.segment(), item.total_bytes());
        let heat = item.heat();
        let cas = self.next_cas();
        let mut item = self.slab.item_mut(id);
        item.lay_out(shape, request.key.bytes, class, false);
        item.write_tail(0, request.value);
        item.set_older(older);
        item.set_newer(newer);
        item.set_segment(segment);
        item.set_cas(cas);
        item.set_accessed(now);
        item.set_heat(heat);
        item.mark(state::LINKED);
        self.set_deadline(id, request.deadline);
        let bytes = &mut self.class_bytes[usize::from(class)];
        *bytes = *bytes - old_bytes as u64 + self.slab.item(id).total_bytes() as u64;
        self.place_rewritten(id, usize::from(class), request.deadline, now);
        self.figures.total_items += 1;
        true
    }

    /// Links a laid-out item in the place of whatever the key had.
    fn link(&mut self, id: ChunkId, key: &Key, deadline: Deadline, may_replace: bool, now: Seconds) {
        if may_replace {
            // Looked up again: making room may have evicted it.
            let slab = &self.slab;
            let old = self.index.find(key.hash, |other| slab.item(other).key() == key.bytes);
            if let Some(old) = old {
                self.unlink(old, key.hash);
            }
        }
        let cas = self.next_cas();
        let mut item = self.slab.item_mut(id);
        item.set_cas(cas);
        item.set_accessed(now);
        item.mark(state::LINKED);
        let item = self.slab.item(id);
        let (class, bytes) = (usize::from(item.class()), item.total_bytes());
        self.set_deadline(id, deadline);
        self.class_bytes[class] += bytes as u64;
        let segment = self.first_segment(key.hash, class, deadline, now);
        self.lru[class].push(&mut self.slab, id, segment);
        self.demote(class, now);
        self.figures.total_items += 1;
        self.grow_index();
        if !self.index.insert(key.hash, id) {
            self.figures.index_drops += 1;
            self.forget(id);
        }
    }

    /// Does the index's share of growth for one more item.
    fn grow_index(&mut self) {
        let (slab, hasher) = (&self.slab, &self.shared.hasher);
        let lost = self.index.work(&self.shared.budget, |id| hasher.hash(slab.item(id).key()));
        for id in lost {
            self.figures.index_drops += 1;
            self.forget(id);
        }
    }

    /// Gives the index its right size where no insertion does. `true` if that takes more than one call.
    pub fn tend_index(&mut self) -> bool {
        if self.index.len() == 0 && self.index.segments() > 1 {
            self.index.clear(&self.shared.budget);
        }
        for _ in 0..RESIZE_STEPS_PER_UPKEEP {
            self.grow_index();
            if !self.index.is_resizing() {
                return false;
            }
        }
        true
    }

    /// Counts a refusal for want of memory in the class that wanted it.
    pub fn count_no_memory(&mut self, shape: &Shape) {
        self.figures.store_no_memory += 1;
        let class = self.class_of_shape(shape);
        self.class_figures[class].outofmemory += 1;
    }

    /// Sets memory aside for an item. `blocks` holds what [`super::item::Placement`] wants in blocks.
    pub fn reserve(
        &mut self,
        key: &Key,
        shape: &Shape,
        blocks: Option<Blocks>,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<Draft, (Shortage, Option<Blocks>)> {
        let placement = self.placement(shape);
        let Some(class) = self.shared.sizes.class_for(placement.chunk_bytes) else {
            return Err((Shortage { pages: usize::MAX }, blocks));
        };
        let id = match self.allocate(class, now, provision) {
            Ok(id) => id,
            Err(shortage) => return Err((shortage, blocks)),
        };
        let lru_class = if blocks.is_some() { self.shared.large_class() } else { class.index() };
        self.slab.item_mut(id).lay_out(shape, key.bytes, lru_class as u8, blocks.is_some());
        self.slab.hold(id);
        Ok(Draft { id, blocks, block_bytes: placement.block_bytes })
    }

    /// Copies the part of a value that belongs in the chunk; `at` counts from the start of the value.
    pub fn write_tail(&mut self, draft: &Draft, at: usize, bytes: &[u8]) {
        self.slab.item_mut(draft.id).write_tail(at - draft.block_bytes, bytes);
    }

    /// Frees the memory of an item that was never linked.
    pub fn abandon(&mut self, id: ChunkId) {
        self.slab.release(id);
        self.free_chunk(id);
    }

    /// Links a reserved item whose value is complete, if the command's condition holds, else frees it.
    /// Not for append and prepend.
    pub fn commit(
        &mut self,
        key: &Key,
        mode: StoreMode,
        deadline: Deadline,
        mut draft: Draft,
        now: Seconds,
    ) -> StoreOutcome {
        let old = self.lookup(key, now);
        let verdict = self.judge(mode, old, now);
        let class = usize::from(self.slab.item(draft.id).class());
        self.class_figures[class].cmd_set += 1;
        if let Verdict::Refuse(outcome) = verdict {
            self.abandon(draft.id);
            return outcome;
        }
        self.slab.release(draft.id);
        if let Some(blocks) = draft.blocks.take() {
            let slot = self.large.insert(LargeValue::freeze(blocks));
            self.slab.item_mut(draft.id).set_large(slot as u32);
        }
        self.link(draft.id, key, deadline, old.is_some(), now);
        StoreOutcome::Stored
    }

    /// Stores the present value of a key with `value` behind or before it. Flags and deadline stay.
    pub fn concatenate(
        &mut self,
        key: &Key,
        mode: StoreMode,
        value: &[u8],
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<StoreOutcome, Shortage> {
        let Some(old) = self.lookup(key, now) else { return Ok(StoreOutcome::NotStored) };
        let (item, deadline) = (self.slab.item(old), self.slab.deadline(old));
        let (client_flags, old_bytes) = (item.client_flags(), item.value_bytes());
        let key_bytes = key.bytes.len();
        let value_bytes = old_bytes + value.len();
        if memcached_item_bytes(key_bytes, client_flags, value_bytes, self.shared.cas_enabled)
            > self.shared.item_bytes_max
        {
            return Ok(StoreOutcome::NotStored);
        }
        let whole = self.whole_value(old, mode, value);
        let shape = Shape { key_bytes, client_flags, value_bytes };
        let placement = self.placement(&shape);
        if placement.block_bytes == 0 {
            let request =
                StoreRequest { key: *key, mode: StoreMode::Set, client_flags, deadline, value: &whole };
            return self.store_again(&request, &shape, now, provision);
        }
        let pages = placement.block_bytes.div_ceil(self.slab.page_bytes());
        while provision.0.len() < pages + 1 {
            match self.shared.budget.take() {
                Some(page) => provision.0.push(page),
                None => return Err(Shortage { pages: pages + 1 - provision.0.len() }),
            }
        }
        let taken = provision.0.split_off(provision.0.len() - pages);
        let mut blocks = Blocks::new(taken, placement.block_bytes, self.shared.budget.clone());
        blocks.write(0, &whole[..placement.block_bytes]);
        let draft = self
            .reserve(key, &shape, Some(blocks), now, provision)
            .map_err(|(shortage, _)| Shortage { pages: shortage.pages.saturating_add(pages) })?;
        self.write_tail(&draft, placement.block_bytes, &whole[placement.block_bytes..]);
        let outcome = self.commit(key, StoreMode::Set, deadline, draft, now);
        self.class_figures[self.shared.large_class()].cmd_set -= 1;
        Ok(outcome)
    }

    /// [`Self::store`] for a value that was already counted.
    fn store_again(
        &mut self,
        request: &StoreRequest,
        shape: &Shape,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<StoreOutcome, Shortage> {
        let outcome = self.store(request, now, provision)?;
        let class = self.class_of_shape(shape);
        self.class_figures[class].cmd_set -= 1;
        Ok(outcome)
    }

    /// The present value with `value` at one of its ends.
    fn whole_value(&self, id: ChunkId, mode: StoreMode, value: &[u8]) -> Vec<u8> {
        let item = self.slab.item(id);
        let mut whole = Vec::with_capacity(item.value_bytes() + value.len());
        if mode == StoreMode::Prepend {
            whole.extend_from_slice(value);
        }
        match item.large().and_then(|slot| self.large.get(slot as usize)) {
            None => whole.extend_from_slice(item.value()),
            Some(large) => {
                large.pieces().for_each(|piece| whole.extend_from_slice(piece));
                whole.extend_from_slice(item.tail(item.value_bytes() - large.len()));
            }
        }
        if mode != StoreMode::Prepend {
            whole.extend_from_slice(value);
        }
        whole
    }

    /// Stores the text of a number in the place of a shorter one; flags and deadline stay.
    pub fn store_number(
        &mut self,
        id: ChunkId,
        key: &Key,
        text: &[u8],
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<(), Shortage> {
        let (client_flags, deadline) = (self.slab.item(id).client_flags(), self.slab.deadline(id));
        let shape = Shape { key_bytes: key.bytes.len(), client_flags, value_bytes: text.len() };
        let request = StoreRequest { key: *key, mode: StoreMode::Set, client_flags, deadline, value: text };
        self.store_again(&request, &shape, now, provision).map(drop)
    }
}
