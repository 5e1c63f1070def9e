//! Memory for a value that is still arriving.
//!
//! The bytes go to their final place as they come (those of append and prepend to blocks, until they are
//! joined with the present value). Dropping a reservation frees the memory, on every path: the client
//! vanished, the data block was bad, the daemon stops.

use std::sync::Arc;

use super::Store;
use super::large::Blocks;
use super::partition::Key;
use super::storing::{Draft, StoreMode, StoreOutcome, StoreRequest};
use crate::base::clock::{Deadline, Seconds};

/// Why no memory was set aside. The client is already sending the value, so the caller has to skip it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveError {
    /// The item would be larger than the largest allowed.
    TooLarge,
    /// Nothing could be evicted for it, or nothing may be.
    OutOfMemory,
}

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
    /// Bytes of the value that are still to come.
    pub fn missing(&self) -> usize {
        self.value_bytes - self.written
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

    /// Stores the complete value, if the condition of its command holds.
    ///
    /// # Panics
    /// If bytes of the value are [`missing`](Self::missing).
    pub fn commit(mut self, now: Seconds) -> StoreOutcome {
        assert_eq!(self.missing(), 0, "the value is not complete");
        let key = Key { bytes: &self.key, hash: self.hash };
        match &mut self.place {
            Place::Draft(draft) => match draft.take() {
                Some(draft) => {
                    let mut partition = self.store.borrow(self.hash, now);
                    partition.commit(&key, self.mode, self.deadline, draft, now)
                }
                None => StoreOutcome::NotStored,
            },
            Place::Addition(blocks) => {
                let value = blocks.to_vec();
                let (client_flags, deadline) = (self.client_flags, self.deadline);
                let request = StoreRequest { key, mode: self.mode, client_flags, deadline, value: &value };
                self.store.store(&request, now)
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Place::Draft(Some(draft)) = &self.place {
            self.store.partition(self.hash).lock().abandon(draft.id);
        }
    }
}
