//! Moving a page from one slab class to another because somebody asked for it.
//!
//! The page stays in its partition. One partition is locked at a time.

use super::page_moves::Release;
use super::slab::ClassId;
use super::{Relaxed, Store};
use crate::base::clock::Seconds;

/// Least pages that a class must have in the whole store to give one away.
const PAGES_TO_SPARE: u32 = 2;

/// Who has a page, or is to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOwner {
    /// Whichever class has most; only to take one from.
    AnyClass,
    /// No class: the page is free for whoever needs it next.
    Pool,
    /// The class with this index.
    Class(usize),
}

/// Why no page was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReassignError {
    /// There is no such class, or it has no pages by its nature: large items have blocks.
    BadClass,
    /// The source has no page that it can do without.
    NoSpare,
}

impl Store {
    /// Moves one page. Items in it find free chunks of their class or are evicted; where nothing may be
    /// evicted, only a page moves whose items all find one.
    ///
    /// # Errors
    /// See [`ReassignError`]; nothing has changed then.
    pub fn reassign(&self, from: PageOwner, to: PageOwner, now: Seconds) -> Result<(), ReassignError> {
        let to = match to {
            PageOwner::Pool => None,
            PageOwner::AnyClass => return Err(ReassignError::BadClass),
            PageOwner::Class(class) => Some(self.class_id(class)?),
        };
        let from = match from {
            PageOwner::Pool => return self.page_from_pool(to, now),
            PageOwner::Class(class) => self.class_id(class)?,
            PageOwner::AnyClass => self.class_with_most_pages(to, now).ok_or(ReassignError::BadClass)?,
        };
        let pages = self.pages_by_partition(from, now);
        if pages.iter().sum::<u32>() < PAGES_TO_SPARE {
            return Err(ReassignError::NoSpare);
        }
        let mut order: Vec<usize> = (0..pages.len()).filter(|&number| pages[number] > 0).collect();
        order.sort_by_key(|&number| std::cmp::Reverse(pages[number]));
        for number in order {
            let mut partition = self.borrow_partition(&self.partitions[number], now);
            if !self.shared.evict && !partition.slab.class(from).has_free_page() {
                continue;
            }
            let Release::Page(page) = partition.release_slab_page(Some(from), to, now) else {
                continue;
            };
            match to {
                // With -M there may be no memory for its deadlines; then it is in the pool, and no other is taken.
                Some(class) => drop(partition.add_page(class, page)),
                None => self.shared.budget.give_back(page),
            }
            return Ok(());
        }
        Err(ReassignError::NoSpare)
    }

    /// Gives a class a page that was used before and belongs to none.
    fn page_from_pool(&self, to: Option<ClassId>, now: Seconds) -> Result<(), ReassignError> {
        let Some(class) = to else { return Err(ReassignError::BadClass) };
        if self.shared.budget.spare() < PAGES_TO_SPARE as usize {
            return Err(ReassignError::NoSpare);
        }
        let page = self.shared.budget.take().ok_or(ReassignError::NoSpare)?;
        let number = self.next_giver.fetch_add(1, Relaxed) & (self.partitions.len() - 1);
        let mut partition = self.borrow_partition(&self.partitions[number], now);
        if !partition.add_page(class, page) {
            return Err(ReassignError::NoSpare);
        }
        partition.figures.slabs_moved += 1;
        if let Some(listener) = self.upkeep_listener() {
            listener.note_page_moved(None, Some(class.index()));
        }
        Ok(())
    }

    fn class_id(&self, class: usize) -> Result<ClassId, ReassignError> {
        let has_pages = class < self.shared.large_class();
        if has_pages { Ok(ClassId(class as u8)) } else { Err(ReassignError::BadClass) }
    }

    fn pages_by_partition(&self, class: ClassId, now: Seconds) -> Vec<u32> {
        let pages = |partition| self.borrow_partition(partition, now).slab.class(class).pages;
        self.partitions.iter().map(|partition| pages(partition)).collect()
    }

    /// The class with most pages, if it can spare one; not the one that is to have it.
    fn class_with_most_pages(&self, other_than: Option<ClassId>, now: Seconds) -> Option<ClassId> {
        let mut pages = vec![0; self.shared.large_class()];
        for partition in &self.partitions {
            let partition = self.borrow_partition(partition, now);
            for (sum, class) in pages.iter_mut().zip(partition.slab.classes()) {
                *sum += class.pages;
            }
        }
        let classes = (0..pages.len()).filter(|&class| other_than.is_none_or(|other| other.index() != class));
        let most = classes.max_by_key(|&class| pages[class])?;
        (pages[most] >= PAGES_TO_SPARE).then_some(ClassId(most as u8))
    }
}
