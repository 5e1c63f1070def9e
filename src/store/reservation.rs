//! Memory for a value that is still arriving.
//!
//! The bytes go to their final place as they come (those of append and prepend to blocks, until they are
//! joined with the present value). Dropping a reservation frees the memory, on every path: the client
//! vanished, the data block was bad, the daemon stops.

use std::io::{self, IoSliceMut, Read};
use std::sync::Arc;

use super::Store;
use super::joining::{Addition, JoinRequest};
use super::large::Blocks;
use super::partition::Key;
use super::storing::{Draft, StoreMode, StoreOutcome};
use super::terms::{Receipt, Terms};
use crate::base::clock::{Deadline, Seconds};

/// Why no memory was set aside. The client is already sending the value, so the caller has to skip it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveError {
    /// The item would be larger than the largest allowed.
    TooLarge,
    /// Nothing could be evicted for it, or nothing may be.
    OutOfMemory,
}

impl From<ReserveError> for StoreOutcome {
    fn from(error: ReserveError) -> StoreOutcome {
        match error {
            ReserveError::TooLarge => StoreOutcome::TooLarge,
            ReserveError::OutOfMemory => StoreOutcome::OutOfMemory,
        }
    }
}

/// What one read brought, see [`Reservation::read_from`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes in all.
    pub bytes: usize,
    /// Those of them that are not of the value's first part, and lie in the buffer.
    pub behind: usize,
    /// The reader filled all that there was room for: it may have more.
    pub is_all: bool,
}

/// Pieces handed to one vectored read, blocks and the buffer: more than 1 MiB of the smallest blocks.
const PIECES_MAX: usize = 72;

/// Where the bytes of the value go.
enum Place {
    /// To the item's own memory; `None` once it is linked or freed.
    Draft(Option<Draft>),
    /// To blocks of their own, to be joined with the present value at the end (append, prepend).
    Addition(Blocks),
}

/// An item on its way in.
pub struct Reservation {
    store: Arc<Store>,
    key: Box<[u8]>,
    hash: u64,
    mode: StoreMode,
    client_flags: u32,
    deadline: Deadline,
    value_bytes: usize,
    written: usize,
    place: Place,
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reservation({} of {} bytes)", self.written, self.value_bytes)
    }
}

impl Store {
    /// Sets memory aside for a value of `value_bytes` bytes, evicting if it must. When a `set` is refused
    /// the old value of the key goes too, so that no client reads what another meant to replace.
    ///
    /// # Errors
    /// [`ReserveError`] if the item is too large or there is no memory for it.
    pub fn reserve(
        self: &Arc<Self>,
        key: Key,
        mode: StoreMode,
        client_flags: u32,
        deadline: Deadline,
        value_bytes: usize,
        now: Seconds,
    ) -> Result<Reservation, ReserveError> {
        if self.refuses_size(&key, mode, client_flags, value_bytes, now) {
            return Err(ReserveError::TooLarge);
        }
        let place = if matches!(mode, StoreMode::Append | StoreMode::Prepend) {
            Place::Addition(Blocks::new(Vec::new(), value_bytes, self.shared.budget.clone()))
        } else {
            match self.draft(&key, client_flags, value_bytes, now) {
                Some(draft) => Place::Draft(Some(draft)),
                None => {
                    self.refuse_no_memory(&key, mode, client_flags, value_bytes, now);
                    return Err(ReserveError::OutOfMemory);
                }
            }
        };
        Ok(Reservation {
            store: self.clone(),
            key: key.bytes.into(),
            hash: key.hash,
            mode,
            client_flags,
            deadline,
            value_bytes,
            written: 0,
            place,
        })
    }
}

impl Reservation {
    /// Under which key, in which mode, with which end and of how many bytes the value is to be stored.
    pub fn terms(&self) -> (&[u8], StoreMode, Deadline, usize) {
        (&self.key, self.mode, self.deadline, self.value_bytes)
    }

    /// Bytes of the value that are still to come.
    pub fn missing(&self) -> usize {
        self.value_bytes - self.written
    }

    /// Pages of the budget that it holds beside its chunk.
    #[cfg(test)]
    pub(super) fn pages(&self) -> usize {
        match &self.place {
            Place::Addition(blocks) => blocks.pages(),
            Place::Draft(draft) => draft.iter().flat_map(|draft| &draft.blocks).map(Blocks::pages).sum(),
        }
    }

    /// Takes the next bytes of the value. A large one gets its memory here, as it comes.
    ///
    /// # Errors
    /// If there is no memory for them: the reservation is of no use then, and the rest of the value is to
    /// be skipped. As when a `set` is refused at once, the old value of its key is gone.
    ///
    /// # Panics
    /// If they are more than are [`missing`](Self::missing).
    pub fn write(&mut self, bytes: &[u8], now: Seconds) -> Result<(), ReserveError> {
        assert!(bytes.len() <= self.missing(), "more bytes than announced");
        let at = self.written;
        self.written += bytes.len();
        let (blocks, to_blocks) = match &mut self.place {
            Place::Addition(blocks) => (Some(blocks), bytes.len()),
            Place::Draft(None) => (None, 0),
            Place::Draft(Some(draft)) => {
                (draft.blocks.as_mut(), bytes.len().min(draft.block_bytes.saturating_sub(at)))
            }
        };
        if let Some(blocks) = blocks
            && to_blocks > 0
        {
            if !self.store.extend(blocks, at + to_blocks, now) {
                let key = Key { bytes: &self.key, hash: self.hash };
                self.store.refuse_no_memory(&key, self.mode, self.client_flags, self.value_bytes, now);
                return Err(ReserveError::OutOfMemory);
            }
            blocks.write(at, &bytes[..to_blocks]);
        }
        if let Place::Draft(Some(draft)) = &self.place
            && to_blocks < bytes.len()
        {
            let mut partition = self.store.partition(self.hash).lock();
            partition.write_tail(draft, at + to_blocks, &bytes[to_blocks..]);
        }
        Ok(())
    }

    /// Bytes that are still to come of the part of the value that goes to blocks.
    pub fn missing_in_blocks(&self) -> usize {
        let in_blocks = match &self.place {
            Place::Addition(_) => self.value_bytes,
            Place::Draft(draft) => draft.as_ref().map_or(0, |draft| draft.block_bytes),
        };
        in_blocks.saturating_sub(self.written)
    }

    /// Reads once, up to `bytes_max` bytes, to where the value lies, so that they need not be copied. If that is
    /// all that blocks are to hold, what follows goes to `buffer` in the same read. `None`, and nothing is read,
    /// if there is no memory.
    pub fn read_from(
        &mut self,
        reader: &mut impl Read,
        buffer: &mut [u8],
        bytes_max: usize,
        now: Seconds,
    ) -> Option<io::Result<Arrived>> {
        let at = self.written;
        let wanted = self.missing_in_blocks().min(bytes_max);
        let is_last = wanted == self.missing_in_blocks();
        let blocks = match &mut self.place {
            Place::Addition(blocks) => blocks,
            Place::Draft(draft) => draft.as_mut()?.blocks.as_mut()?,
        };
        if !self.store.extend(blocks, at + wanted, now) {
            return None;
        }
        let mut pieces: [IoSliceMut; PIECES_MAX] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let (mut count, mut room) = (0, 0);
        let behind = is_last.then_some(buffer);
        for piece in blocks.room(at, at + wanted).chain(behind).take(PIECES_MAX) {
            room += piece.len();
            pieces[count] = IoSliceMut::new(piece);
            count += 1;
        }
        let read = reader.read_vectored(&mut pieces[..count]);
        let bytes = *read.as_ref().unwrap_or(&0);
        self.written += bytes.min(wanted);
        // Who sends little is charged for little.
        blocks.give_back_behind(self.written);
        Some(read.map(|bytes| Arrived { bytes, behind: bytes.saturating_sub(wanted), is_all: bytes == room }))
    }

    /// The key that the value is for.
    pub fn key(&self) -> Key<'_> {
        Key { bytes: &self.key, hash: self.hash }
    }

    /// Stores the complete value on terms, if the condition of its command holds.
    ///
    /// # Panics
    /// If bytes of the value are [`missing`](Self::missing).
    pub fn commit_on_terms(mut self, terms: &Terms, now: Seconds) -> Receipt {
        assert_eq!(self.missing(), 0, "the value is not complete");
        let key = Key { bytes: &self.key, hash: self.hash };
        let value_bytes = self.value_bytes;
        match &mut self.place {
            Place::Draft(draft) => match draft.take() {
                Some(draft) => {
                    let mut partition = self.store.borrow(self.hash, now);
                    let receipt =
                        partition.commit_on_terms(&key, (self.mode, self.deadline), draft, terms, now);
                    Receipt { value_bytes, ..receipt }
                }
                None => Receipt { outcome: StoreOutcome::NotStored, cas: 0, value_bytes },
            },
            Place::Addition(blocks) => {
                let (mode, client_flags) = (self.mode, self.client_flags);
                let request = JoinRequest { key, mode, client_flags, addition: Addition::Blocks(blocks) };
                self.store.join(&request, terms, now)
            }
        }
    }

    /// Stores the complete value, if the condition of its command holds.
    ///
    /// # Panics
    /// If bytes of the value are [`missing`](Self::missing).
    pub fn commit(self, now: Seconds) -> StoreOutcome {
        self.commit_on_terms(&Terms::default(), now).outcome
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Place::Draft(Some(draft)) = &self.place {
            self.store.partition(self.hash).lock().abandon(draft.id);
        }
    }
}
