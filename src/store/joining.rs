//! Append and prepend where the whole value is a large one: the copy is made without a partition's lock.
//!
//! Under the lock the present value is noted ([`Present`]), with the memory that the whole needs; without it both
//! are copied to blocks ([`Plan::carry_out`]); under the lock again these are linked, if the value is still the one
//! that was copied. Where others change it again and again, the copy is made under the lock in the end.

use std::sync::Arc;

use super::budget::{Budget, PageBytes};
use super::item::{ChunkId, Placement};
use super::large::{Blocks, LargeValue};
use super::partition::{Key, Partition};
use super::storing::StoreMode;

/// Plans that may come to nothing before a value is joined under the lock.
pub(super) const PLANS_MAX: u32 = 3;

/// What an append or prepend adds.
#[derive(Clone, Copy)]
pub(super) enum Addition<'a> {
    Bytes(&'a [u8]),
    /// One that arrived in pieces and is complete.
    Blocks(&'a Blocks),
}

impl Addition<'_> {
    pub fn len(self) -> usize {
        match self {
            Addition::Bytes(bytes) => bytes.len(),
            Addition::Blocks(blocks) => blocks.len(),
        }
    }

    /// Shows all bytes in order.
    pub fn for_each_piece(self, mut show: impl FnMut(&[u8])) {
        match self {
            Addition::Bytes(bytes) => show(bytes),
            Addition::Blocks(blocks) => blocks.pieces().for_each(show),
        }
    }
}

/// An append or prepend.
#[derive(Clone, Copy)]
pub(super) struct JoinRequest<'a> {
    pub key: Key<'a>,
    pub mode: StoreMode,
    /// For what is created where there is nothing to join; else the present ones stay.
    pub client_flags: u32,
    pub addition: Addition<'a>,
}

/// A key's value as an append or prepend found it.
pub(super) struct Present {
    large: Option<LargeValue>,
    /// What lies in the chunk: the whole value, or the end of a large one.
    tail: Box<[u8]>,
}

impl Present {
    pub fn of(partition: &Partition, id: ChunkId) -> Present {
        let (large, tail) = partition.value_of(id);
        Present { large: large.cloned(), tail: tail.into() }
    }

    /// Whether an item has this value. Blocks are told by where they are: this one keeps them from being freed, and
    /// they are never written again.
    fn is_of(&self, partition: &Partition, id: ChunkId) -> bool {
        let (large, tail) = partition.value_of(id);
        let is_same_large = match (&self.large, large) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_same(other),
            _ => false,
        };
        is_same_large && *self.tail == *tail
    }

    /// Pages that it holds, also where its item is evicted meanwhile.
    pub fn pages(&self) -> usize {
        self.large.as_ref().map_or(0, LargeValue::pages)
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.large.iter().flat_map(LargeValue::pieces).chain([&*self.tail])
    }
}

/// What is to be joined with an addition, and how the whole is laid out.
pub(super) struct Plan {
    pub present: Present,
    pub placement: Placement,
    pub client_flags: u32,
}

impl Plan {
    /// Copies both to blocks of `pages`, which are as many as the placement needs.
    pub fn carry_out(
        self,
        mode: StoreMode,
        addition: Addition,
        pages: Vec<PageBytes>,
        budget: Arc<Budget>,
    ) -> Joined {
        let Plan { present, placement, client_flags } = self;
        let mut blocks = Blocks::new(pages, placement.block_bytes, budget);
        let mut tail = Vec::with_capacity(placement.tail_bytes);
        let mut at = 0;
        let mut write = |piece: &[u8]| {
            let (to_blocks, to_tail) = piece.split_at(piece.len().min(placement.block_bytes - at));
            blocks.write(at, to_blocks);
            tail.extend_from_slice(to_tail);
            at += to_blocks.len();
        };
        if mode == StoreMode::Prepend {
            addition.for_each_piece(&mut write);
        }
        present.pieces().for_each(&mut write);
        if mode != StoreMode::Prepend {
            addition.for_each_piece(&mut write);
        }
        Joined { present, client_flags, blocks, tail }
    }
}

/// A whole value that is ready to take the place of the one that it was made of.
pub(super) struct Joined {
    pub present: Present,
    pub client_flags: u32,
    pub blocks: Blocks,
    /// What belongs in the chunk.
    pub tail: Vec<u8>,
}

impl Joined {
    /// Whether it was made of what an item holds.
    pub fn is_of(&self, partition: &Partition, id: ChunkId) -> bool {
        self.client_flags == partition.slab.item(id).client_flags() && self.present.is_of(partition, id)
    }
}

/// How far an append or prepend has come.
#[derive(Default)]
pub(super) enum Join {
    #[default]
    NotBegun,
    Planned(Box<Plan>),
    Done(Box<Joined>),
}

impl Join {
    /// Whether the value that is to be joined is no longer stored, so that memory is sought for nothing. (Where it
    /// is being read as well, that is noticed later.)
    pub fn is_in_vain(&self) -> bool {
        matches!(self, Join::Planned(plan) if plan.present.large.as_ref().is_some_and(LargeValue::is_last))
    }
}
