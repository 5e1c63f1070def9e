//! What an operation may need beyond its partition, found before that is locked.

use std::sync::Arc;

use super::budget::{Budget, PageBytes};
use super::joining::{Addition, Join};
use super::storing::StoreMode;

/// What was set aside for an operation before its partition was locked.
#[derive(Default)]
pub(super) struct Provision {
    pub pages: Vec<PageBytes>,
    /// The large value that an append or prepend makes.
    pub join: Join,
    /// How often that was planned.
    pub plans: u32,
    /// No other partition has anything to give.
    pub is_all: bool,
}

impl Provision {
    /// Begins anew with what an append or prepend makes.
    pub fn forget_join(&mut self) {
        (self.join, self.plans) = (Join::NotBegun, 0);
    }

    /// Joins a value with an addition, if that is planned and there are pages for it.
    pub fn carry_out(&mut self, mode: StoreMode, addition: Addition, budget: &Arc<Budget>) {
        let pages = match &self.join {
            Join::Planned(plan) => plan.placement.block_bytes.div_ceil(budget.page_bytes()),
            _ => return,
        };
        if let Some(left) = self.pages.len().checked_sub(pages)
            && let Join::Planned(plan) = std::mem::take(&mut self.join)
        {
            let pages = self.pages.split_off(left);
            self.join = Join::Done(Box::new(plan.carry_out(mode, addition, pages, budget.clone())));
        }
    }
}

/// The operation needs this many pages more than its partition and the budget can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    pub pages: usize,
}

impl Shortage {
    /// What nobody can give.
    pub const FINAL: Shortage = Shortage { pages: usize::MAX };
}
