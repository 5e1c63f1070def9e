//! In which segment of the LRU an item is, and when it moves to another.
//!
//! There are three sets of rules ([`LruRules`]), and they may change while the store runs: whatever a segment
//! holds then moves on under the new ones, a few items for each that is linked and the rest by upkeep.
//! Which item moves is decided in `housekeeping`; what goes for another's sake is in `eviction`.

use super::housekeeping::{self, LruRules};
use super::item::{ChunkId, Segment, state};
use super::partition::Partition;
use super::upkeep::Slice;
use crate::base::clock::{Deadline, Seconds};

/// In flat mode an item that is hit again within this time stays where it is, as in memcached.
const BUMP_INTERVAL_SECS: u32 = 60;
/// Moves out of each segment for one item that is linked: more than comes in, so that a segment shrinks.
const MOVES_PER_LINK: u32 = 2;

impl Partition {
    /// The rules in force.
    #[inline]
    pub fn rules(&self) -> LruRules {
        self.shared.tunables.rules()
    }

    /// Whether an item that ends at `deadline` belongs in TEMP.
    fn is_temporary(&self, deadline: Deadline, now: Seconds) -> bool {
        let left = deadline.left(now);
        left.is_some_and(|left| self.shared.tunables.temporary_ttl().is_some_and(|ttl| left <= ttl))
    }

    /// Where an item begins that is stored under a key with this hash.
    pub fn first_segment(&mut self, hash: u64, class: usize, deadline: Deadline, now: Seconds) -> Segment {
        let returns = self.returns(hash, class);
        housekeeping::first_segment(self.rules(), self.is_temporary(deadline, now), returns)
    }

    /// Puts an item that was overwritten in its chunk where one with its new deadline belongs.
    pub fn place_rewritten(&mut self, id: ChunkId, class: usize, deadline: Deadline, now: Seconds) {
        let is_temporary = self.is_temporary(deadline, now);
        let from = self.slab.item(id).segment();
        if let Some(to) = housekeeping::segment_after_rewrite(self.rules(), from, is_temporary) {
            self.lru[class].shift(&mut self.slab, id, to);
        }
    }

    /// Lets an item leave TEMP that was given a deadline too far away for it.
    pub fn leave_temp(&mut self, id: ChunkId, class: usize, deadline: Deadline, now: Seconds) {
        if self.slab.item(id).segment() == Segment::Temp && !self.is_temporary(deadline, now) {
            let to = housekeeping::first_segment(self.rules(), false, false);
            self.lru[class].shift(&mut self.slab, id, to);
        }
    }

    /// A hit in flat mode.
    pub fn mark_hit_flat(&mut self, id: ChunkId, now: Seconds) {
        if !self.slab.item(id).has(state::FETCHED) {
            self.slab.item_mut(id).mark(state::FETCHED);
        }
        self.bump_flat(id, now);
    }

    /// A use in flat mode.
    pub fn bump_flat(&mut self, id: ChunkId, now: Seconds) {
        let item = self.slab.item(id);
        let (class, idle_seconds) = (usize::from(item.class()), item.idle_seconds(now));
        if idle_seconds > BUMP_INTERVAL_SECS {
            self.slab.item_mut(id).set_accessed(now);
            self.lru[class].shift(&mut self.slab, id, Segment::Cold);
        }
    }

    /// Moves an item by memcached's rules, which takes its mark away. Counted.
    pub fn move_classic(&mut self, id: ChunkId, class: usize, to: Segment) {
        let figures = &mut self.class_figures[class];
        match (self.slab.item(id).segment(), to) {
            (Segment::Warm, Segment::Warm) => figures.moves_within_lru += 1,
            (_, Segment::Warm) => figures.moves_to_warm += 1,
            _ => figures.moves_to_cold += 1,
        }
        let mut item = self.slab.item_mut(id);
        item.unmark(state::ACTIVE);
        item.set_heat(0);
        self.lru[class].shift(&mut self.slab, id, to);
    }

    /// Lets a class's segments come nearer to what the rules want. Done for every item that is linked, so
    /// that COLD is there before anything has to go.
    pub fn demote(&mut self, class: usize, now: Seconds) {
        match self.rules() {
            LruRules::Probation => self.demote_probation(class),
            rules => {
                for _ in 0..MOVES_PER_LINK {
                    self.step(rules, class, now);
                }
            }
        }
    }

    /// The same for all classes, where no item is linked, as far as `slice` goes.
    pub fn tend_lru(&mut self, slice: &mut Slice, now: Seconds) {
        let rules = self.rules();
        for class in 0..self.lru.len() {
            while slice.is_left() && self.step(rules, class, now) {
                slice.spend(1);
            }
        }
    }

    /// Moves at most one item out of each segment of a class. `false` if nothing has to move; the rules of
    /// probation act on what is linked alone.
    fn step(&mut self, rules: LruRules, class: usize, now: Seconds) -> bool {
        match rules {
            LruRules::Probation => false,
            LruRules::Classic => self.demote_classic(class, now),
            LruRules::Flat => self.drain(class),
        }
    }

    /// Moves one item each out of HOT and WARM where they hold more than their share.
    ///
    /// HOT is on probation: what was hit there moves to WARM; what was not goes to the oldest end of COLD,
    /// to be evicted next, unless what is there was never read either: then the older goes first. What
    /// leaves WARM goes to the newest end of COLD and may earn its way back.
    fn demote_probation(&mut self, class: usize) {
        let (lru, shares) = (&self.lru[class], self.shared.tunables.shares());
        let hot = lru.list(Segment::Hot);
        if shares.hot_is_over(hot.len, lru.lasting()) {
            let id = hot.oldest;
            let was_hit = self.slab.item(id).heat() > 0;
            self.slab.item_mut(id).set_heat(0);
            let figures = &mut self.class_figures[class];
            if was_hit {
                figures.moves_to_warm += 1;
                self.lru[class].shift(&mut self.slab, id, Segment::Warm);
            } else {
                figures.moves_to_cold += 1;
                let coldest = lru.list(Segment::Cold).oldest;
                let is_unread = coldest.is_some() && !self.slab.item(coldest).has(state::FETCHED);
                self.lru[class].remove(&mut self.slab, id);
                if is_unread {
                    self.lru[class].push(&mut self.slab, id, Segment::Cold);
                } else {
                    self.lru[class].push_oldest(&mut self.slab, id, Segment::Cold);
                }
            }
        }
        let lru = &self.lru[class];
        let warm = lru.list(Segment::Warm);
        if shares.warm_is_over(warm.len, lru.lasting()) {
            self.class_figures[class].moves_to_cold += 1;
            let oldest = warm.oldest;
            self.lru[class].shift(&mut self.slab, oldest, Segment::Cold);
        }
    }

    /// Judges the oldest of HOT and the oldest of WARM by memcached's rules. `false` if both stay.
    fn demote_classic(&mut self, class: usize, now: Seconds) -> bool {
        let shares = self.shared.tunables.shares();
        let [hot_factor, warm_factor] = self.shared.tunables.age_factors();
        let mut has_moved = false;
        for (segment, factor) in [(Segment::Hot, hot_factor), (Segment::Warm, warm_factor)] {
            let lru = &self.lru[class];
            let list = lru.list(segment);
            let id = list.oldest;
            if !id.is_some() {
                continue;
            }
            let is_over = match segment {
                Segment::Hot => shares.hot_is_over(list.len, lru.lasting()),
                _ => shares.warm_is_over(list.len, lru.lasting()),
            };
            let coldest = lru.list(Segment::Cold).oldest;
            let cold_age = if coldest.is_some() { self.slab.item(coldest).idle_seconds(now) } else { 0 };
            let item = self.slab.item(id);
            let is_too_old = housekeeping::is_too_old(item.idle_seconds(now), cold_age, factor);
            if let Some(to) = housekeeping::classic_move(item.has(state::ACTIVE), is_over, is_too_old) {
                self.move_classic(id, class, to);
                has_moved = true;
            }
        }
        has_moved
    }

    /// Moves one item each out of the segments that flat mode has no use for. `false` if there is none.
    fn drain(&mut self, class: usize) -> bool {
        let mut has_moved = false;
        for segment in [Segment::Hot, Segment::Warm, Segment::Temp] {
            let oldest = self.lru[class].list(segment).oldest;
            if oldest.is_some() {
                self.class_figures[class].moves_to_cold += 1;
                self.lru[class].shift(&mut self.slab, oldest, Segment::Cold);
                has_moved = true;
            }
        }
        has_moved
    }
}
