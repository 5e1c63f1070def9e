//! The store's books as a whole, for tests and fuzzing: whether what is charged is what is held.

use super::Store;

impl Store {
    /// Checks every partition, and that pages charged and pages held are the same number. `apart`: pages in the
    /// hands of readers of values that are no longer linked, and of values that are arriving.
    ///
    /// # Panics
    /// If the books do not balance.
    pub fn check_books(&self, apart: usize) {
        let mut pages = apart;
        for partition in &self.partitions {
            let partition = partition.lock();
            partition.check();
            pages += partition.slab.pages(None).count() + partition.index.segments();
            pages += partition.ghosts.charged_pages(&self.shared.budget);
            pages += partition.slab.deadline_bytes().div_ceil(self.shared.budget.page_bytes());
            pages += partition.large.iter().map(|(_, value)| value.pages()).sum::<usize>();
        }
        assert_eq!(pages, self.shared.budget.used(), "pages that are charged and pages that are held");
    }
}
