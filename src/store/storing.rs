//! Putting items in: the storage commands, at once or piece by piece.
//!
//! A value that is there in full is stored under one lock by [`Partition::store`]. One that is still
//! arriving gets its memory first ([`Partition::reserve`]), is written to its final place as it comes,
//! and is linked at the end ([`Partition::commit`]), when the command's condition is judged.

use super::index::Moves;
use super::item::{ChunkId, HEAT_MAX, Placement, Shape};
use super::joining::{Join, JoinRequest, Joined, PLANS_MAX, Plan, Present};
use super::large::{Blocks, LargeValue};
use super::memcached_item_bytes;
use super::partition::{Key, Partition};
use super::provision::{Provision, Shortage};
use super::slab::ClassId;
use super::upkeep::Slice;
use crate::base::clock::{Deadline, Seconds};

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

impl StoreMode {
    /// Whether the value is joined with the present one.
    pub fn joins(self) -> bool {
        matches!(self, StoreMode::Append | StoreMode::Prepend)
    }
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

impl Partition {
    /// Judges the condition of `mode` against the present item and counts the outcome. `Err` if the value is not to
    /// be stored. Not for append and prepend.
    fn judge(&mut self, mode: StoreMode, old: Option<ChunkId>, now: Seconds) -> Result<(), StoreOutcome> {
        debug_assert!(!mode.joins());
        let Some(id) = old else {
            return match mode {
                StoreMode::Set | StoreMode::Add => Ok(()),
                StoreMode::Cas(_) => {
                    self.figures.cas_misses += 1;
                    Err(StoreOutcome::NotFound)
                }
                _ => Err(StoreOutcome::NotStored),
            };
        };
        match mode {
            StoreMode::Set | StoreMode::Replace | StoreMode::Append | StoreMode::Prepend => Ok(()),
            StoreMode::Add => {
                // As in memcached, an item that an add finds counts as used.
                self.note_use(id, now);
                Err(StoreOutcome::NotStored)
            }
            StoreMode::Cas(unique) => {
                let item = self.slab.item(id);
                let figures = &mut self.class_figures[usize::from(item.class())];
                if unique != 0 && item.cas() == unique {
                    figures.cas_hits += 1;
                    return Ok(());
                }
                figures.cas_badval += 1;
                Err(StoreOutcome::Exists)
            }
        }
    }

    /// The class whose LRU and figures an item of this shape belongs to.
    pub fn class_of_shape(&self, shape: &Shape) -> usize {
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

    /// Stores a complete value that needs no blocks, if the command's condition holds. Not for append and prepend.
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
        if let Err(outcome) = verdict {
            return Ok(outcome);
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
        if usize::from(class) != self.class_of_shape(shape) || item.is_large() {
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
            if let Some(old) = self.find(key) {
                self.unlink(old, key.hash);
            }
        }
        let cas = self.next_cas();
        let mut item = self.slab.item_mut(id);
        item.set_cas(cas);
        item.set_accessed(now);
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

    /// Does the index's share of growth for one more item. How many items that took.
    fn grow_index(&mut self) -> usize {
        let (slab, hasher) = (&self.slab, &self.shared.hasher);
        let hash_all = |ids: &[ChunkId], hashes: &mut [u64]| {
            // The items lie anywhere. Looked at one after another, without anything that waits for the answer,
            // they come from memory at the same time; it takes a third off the time to load 20 million items.
            std::hint::black_box(ids.iter().fold(0, |seen, &id| seen ^ slab.item(id).key_bytes()));
            hashes.iter_mut().zip(ids).for_each(|(hash, &id)| *hash = hasher.hash(slab.item(id).key()));
        };
        let Moves { items, lost } = self.index.work(&self.shared.budget, hash_all);
        for id in lost {
            self.figures.index_drops += 1;
            self.forget(id);
        }
        items
    }

    /// Gives the index its right size where no insertion does, as far as `slice` goes.
    pub fn tend_index(&mut self, slice: &mut Slice) {
        if self.index.len() == 0 && self.index.segments() > 1 {
            self.index.clear(&self.shared.budget);
        }
        while slice.is_left() {
            let items = self.grow_index();
            if !self.index.is_resizing() {
                return;
            }
            slice.spend(items + 1);
        }
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
            return Err((Shortage::FINAL, blocks));
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
        if let Err(outcome) = verdict {
            self.abandon(draft.id);
            return outcome;
        }
        self.slab.release(draft.id);
        if let Some(blocks) = draft.blocks.take() {
            let large = LargeValue::freeze(blocks);
            self.large_pages += large.pages();
            let slot = self.large.insert(large);
            self.slab.item_mut(draft.id).set_large(slot as u32);
        }
        self.link(draft.id, key, deadline, old.is_some(), now);
        StoreOutcome::Stored
    }

    /// Stores the present value of a key with another behind or before it. Flags, deadline and marks stay.
    pub fn join(
        &mut self,
        request: &JoinRequest,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<StoreOutcome, Shortage> {
        let JoinRequest { key, client_flags, addition, .. } = *request;
        let shape = Shape { key_bytes: key.bytes.len(), client_flags, value_bytes: addition.len() };
        let class = self.class_of_shape(&shape);
        let marks = self.marks_told(&key);
        let outcome = match self.lookup(&key, now) {
            Some(old) => self.concatenate(old, request, now, provision)?,
            None => StoreOutcome::NotStored,
        };
        self.class_figures[class].cmd_set += 1;
        self.mark_again(&key, marks);
        Ok(outcome)
    }

    fn concatenate(
        &mut self,
        old: ChunkId,
        request: &JoinRequest,
        now: Seconds,
        provision: &mut Provision,
    ) -> Result<StoreOutcome, Shortage> {
        let JoinRequest { key, addition, .. } = *request;
        let (item, deadline) = (self.slab.item(old), self.slab.deadline(old));
        let (client_flags, old_bytes) = (item.client_flags(), item.value_bytes());
        let key_bytes = key.bytes.len();
        let value_bytes = old_bytes + addition.len();
        if memcached_item_bytes(key_bytes, client_flags, value_bytes, self.shared.cas_enabled)
            > self.shared.item_bytes_max
        {
            return Ok(StoreOutcome::NotStored);
        }
        let shape = Shape { key_bytes, client_flags, value_bytes };
        let placement = self.placement(&shape);
        if placement.block_bytes == 0 {
            let whole = self.whole_value(old, request);
            let request = StoreRequest { key, mode: StoreMode::Set, client_flags, deadline, value: &whole };
            return self.store_again(&request, &shape, now, provision);
        }
        let Joined { present, blocks, tail, .. } = self.joined(old, request, placement, provision)?;
        let draft = match self.reserve(&key, &shape, Some(blocks), now, provision) {
            Ok(draft) => draft,
            Err((shortage, blocks)) => {
                if let Some(blocks) = blocks {
                    let joined = Joined { present, client_flags, blocks, tail };
                    provision.join = Join::Done(Box::new(joined));
                }
                return Err(shortage);
            }
        };
        self.write_tail(&draft, placement.block_bytes, &tail);
        let outcome = self.commit(&key, StoreMode::Set, deadline, draft, now);
        self.class_figures[self.shared.large_class()].cmd_set -= 1;
        Ok(outcome)
    }

    /// The value of an item joined with an addition. The first attempts only plan that, so that it is done without
    /// the lock and found here by the next.
    fn joined(
        &mut self,
        id: ChunkId,
        request: &JoinRequest,
        placement: Placement,
        provision: &mut Provision,
    ) -> Result<Joined, Shortage> {
        match std::mem::take(&mut provision.join) {
            Join::Done(joined) if joined.is_of(self, id) => return Ok(*joined),
            _ => {}
        }
        let present = Present::of(self, id);
        // One more for the chunk.
        let pages = placement.block_bytes.div_ceil(self.slab.page_bytes()) + 1;
        let elsewhere = self.index.segments() + self.ghosts.charged_pages(&self.shared.budget);
        if pages + present.pages() + (elsewhere << self.shared.partition_bits) > self.shared.budget.limit() {
            // All else would be evicted for it, and in the end the value itself.
            return Err(Shortage::FINAL);
        }
        // What is evicted to make room for the whole value should not be the present one.
        let (class, segment) = (usize::from(self.slab.item(id).class()), self.slab.item(id).segment());
        self.lru[class].shift(&mut self.slab, id, segment);
        let plan = Plan { present, placement, client_flags: self.slab.item(id).client_flags() };
        if provision.plans < PLANS_MAX {
            provision.plans += 1;
            provision.join = Join::Planned(Box::new(plan));
            return Err(Shortage { pages: pages.saturating_sub(provision.pages.len()) });
        }
        while provision.pages.len() < pages {
            match self.shared.budget.take() {
                Some(page) => provision.pages.push(page),
                None => return Err(Shortage { pages: pages - provision.pages.len() }),
            }
        }
        let taken = provision.pages.split_off(provision.pages.len() + 1 - pages);
        Ok(plan.carry_out(request.mode, request.addition, taken, self.shared.budget.clone()))
    }

    /// [`Self::store`] for a value that was already counted.
    pub fn store_again(
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

    /// The blocks of an item's value, if it is large, and what lies in the chunk.
    pub fn value_of(&self, id: ChunkId) -> (Option<&LargeValue>, &[u8]) {
        let item = self.slab.item(id);
        match item.large().and_then(|slot| self.large.get(slot as usize)) {
            None => (None, item.value()),
            Some(large) => (Some(large), item.tail(item.value_bytes() - large.len())),
        }
    }

    /// The present value with an addition at one of its ends.
    fn whole_value(&self, id: ChunkId, request: &JoinRequest) -> Vec<u8> {
        let JoinRequest { mode, addition, .. } = *request;
        let mut whole = Vec::with_capacity(self.slab.item(id).value_bytes() + addition.len());
        if mode == StoreMode::Prepend {
            addition.for_each_piece(|piece| whole.extend_from_slice(piece));
        }
        let (large, tail) = self.value_of(id);
        large.iter().flat_map(|large| large.pieces()).for_each(|piece| whole.extend_from_slice(piece));
        whole.extend_from_slice(tail);
        if mode != StoreMode::Prepend {
            addition.for_each_piece(|piece| whole.extend_from_slice(piece));
        }
        whole
    }

    /// Stores the text of a number in the place of a shorter one; flags, deadline and marks stay.
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
        let (marks, heat) = (self.marks_told(key), self.slab.item(id).heat());
        self.store_again(&request, &shape, now, provision)?;
        self.mark_again(key, marks);
        if let Some(id) = self.find(key) {
            self.slab.item_mut(id).set_heat(HEAT_MAX.min(heat + 1));
        }
        Ok(())
    }
}
