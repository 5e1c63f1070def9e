//! Telling of what the store does by itself, for whoever wants to know: evictions, pages that move, expired items
//! that are taken away.

use super::Store;
use super::item::ChunkId;
use super::partition::Partition;
use super::slab::ClassId;
use super::walk::ItemDetails;
use crate::base::clock::Seconds;

/// Why an item had to go that was not over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionCause {
    /// Its chunk was needed for another item of its class.
    Chunk,
    /// Its page or its blocks were needed for another class or partition, or for the memory limit.
    Page,
}

impl EvictionCause {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            EvictionCause::Chunk => "chunk",
            EvictionCause::Page => "page",
        }
    }
}

/// An item that is being evicted.
#[derive(Clone, Copy, Debug)]
pub struct Evicted<'a> {
    /// The item.
    pub item: ItemDetails<'a>,
    /// Seconds that it would have lived on; `None` without an end.
    pub seconds_left: Option<u32>,
    /// Why.
    pub cause: EvictionCause,
}

/// What a worker's search for expired items came to in one class since it was last told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrawlReport {
    /// Index of the class.
    pub class: usize,
    /// Seconds that it is about.
    pub seconds: u32,
    /// Items looked at.
    pub examined: u64,
    /// Those that were over and were taken away.
    pub reclaimed: u64,
}

/// Who may want to know. Called under the lock of a partition: it must be quick and must not call the store.
pub trait EventListener: Send + Sync {
    /// Whether it wants to know of evictions at present.
    fn wants_evictions(&self) -> bool;
    /// An item is being evicted.
    fn note_evicted(&self, evicted: &Evicted);
    /// Whether it wants to know at present of what the two below tell.
    fn wants_upkeep(&self) -> bool;
    /// A page has moved from one class to another; `None` is the pool of pages that belong to no class.
    fn note_page_moved(&self, from: Option<usize>, to: Option<usize>);
    /// Items were looked at for their deadlines. No lock is held here.
    fn note_crawled(&self, report: &CrawlReport);
}

impl Store {
    /// Sets who is told. Only the first call counts.
    pub fn tell_events_to(&self, listener: Box<dyn EventListener>) {
        // A second listener has nothing to do with the first, so there is nothing to report.
        let _ = self.shared.listener.set(listener);
    }

    /// Who wants to know of what goes on behind the requests, if anybody does.
    pub(super) fn upkeep_listener(&self) -> Option<&dyn EventListener> {
        let listener = self.shared.listener.get()?;
        listener.wants_upkeep().then_some(&**listener)
    }
}

impl Partition {
    /// Tells of an item that is about to be evicted.
    #[inline]
    pub fn report_eviction(&self, id: ChunkId, cause: EvictionCause, now: Seconds) {
        if let Some(listener) = self.shared.listener.get()
            && listener.wants_evictions()
        {
            let deadline = self.slab.deadline(id);
            let item = ItemDetails::new(self.slab.item(id), deadline, now);
            listener.note_evicted(&Evicted { item, seconds_left: deadline.left(now), cause });
        }
    }

    /// Tells of a page, or of blocks, that a class has given; `to` is `None` if they are for whoever needs them next.
    pub fn report_move(&self, from: usize, to: Option<ClassId>) {
        if let Some(listener) = self.shared.listener.get()
            && listener.wants_upkeep()
        {
            listener.note_page_moved(Some(from), to.map(ClassId::index));
        }
    }
}
