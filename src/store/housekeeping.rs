//! What to evict, demote or hand on: decisions only, as pure functions from numbers to a verdict.
//! `eviction`, `segments` and `page_moves` gather the numbers and carry the verdicts out.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::item::Segment;
use crate::base::clock::Seconds;

/// How the items of a class are spread over its segments; memcached's `hot_lru_pct` and `warm_lru_pct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentShares {
    /// Most items of a class in HOT, in percent.
    pub hot_percent: u32,
    /// Most items of a class in WARM, in percent.
    pub warm_percent: u32,
}

impl Default for SegmentShares {
    fn default() -> Self {
        SegmentShares { hot_percent: 20, warm_percent: 40 }
    }
}

impl SegmentShares {
    /// Whether HOT holds more than its share of `total` items.
    pub fn hot_is_over(&self, hot: u32, total: u32) -> bool {
        is_over(hot, total, self.hot_percent)
    }

    /// Whether WARM holds more than its share of `total` items.
    pub fn warm_is_over(&self, warm: u32, total: u32) -> bool {
        is_over(warm, total, self.warm_percent)
    }
}

fn is_over(part: u32, total: u32, percent: u32) -> bool {
    u64::from(part) * 100 > u64::from(total) * u64::from(percent)
}

/// By which rules items move between segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LruRules {
    /// There is COLD alone, ordered by time of storing and, once a minute at most, of hits.
    Flat,
    /// HOT is on probation; WARM and COLD are one clock.
    Probation,
    /// memcached's: HOT and WARM are limited by share and by age.
    Classic,
}

/// Where a new item begins. `returns`: it was evicted a short while ago.
pub fn first_segment(rules: LruRules, is_temporary: bool, returns: bool) -> Segment {
    match (rules, is_temporary) {
        (LruRules::Flat, _) => Segment::Cold,
        (_, true) => Segment::Temp,
        (LruRules::Probation, false) if returns => Segment::Warm,
        _ => Segment::Hot,
    }
}

/// Where an item goes that was overwritten in its chunk; `None` if it keeps its place. To memcached it is
/// a new one; on probation it keeps what it has earned.
pub fn segment_after_rewrite(rules: LruRules, from: Segment, is_temporary: bool) -> Option<Segment> {
    match (rules, from, is_temporary) {
        (LruRules::Probation, Segment::Temp, true) => None,
        (LruRules::Probation, Segment::Hot | Segment::Warm | Segment::Cold, false) => None,
        _ => Some(first_segment(rules, is_temporary, false)),
    }
}

/// Whether an item in this segment should rather live on than go for another.
pub fn is_read(rules: LruRules, segment: Segment, heat: u8, is_active: bool) -> bool {
    match rules {
        // A short life is no longer for being read.
        _ if segment == Segment::Temp => false,
        LruRules::Flat => false,
        LruRules::Probation => heat > 0,
        LruRules::Classic => is_active,
    }
}

/// Whether an item of HOT or WARM is older than `factor` times the age of COLD's tail, which is 0 where
/// COLD is empty.
pub fn is_too_old(idle_seconds: u32, cold_age: u32, factor: f64) -> bool {
    f64::from(idle_seconds) > f64::from(cold_age) * factor
}

/// Where the oldest item of HOT or of WARM goes by memcached's rules; `None` if it stays.
pub fn classic_move(is_active: bool, is_over_share: bool, is_too_old: bool) -> Option<Segment> {
    match (is_active, is_over_share || is_too_old) {
        (true, _) => Some(Segment::Warm),
        (false, true) => Some(Segment::Cold),
        (false, false) => None,
    }
}

/// What becomes of the oldest item of COLD when its class needs a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its time is over: take the chunk back.
    Reclaim,
    /// It was hit lately: let it live on in WARM, cooler by one, and look at the next.
    Spare,
    /// It goes.
    Evict,
}

/// Judges the oldest item of COLD. `looks_left` bounds the work of one allocation.
pub fn fate(is_expired: bool, is_read: bool, looks_left: u32) -> Fate {
    match (is_expired, is_read && looks_left > 0) {
        (true, _) => Fate::Reclaim,
        (false, true) => Fate::Spare,
        (false, false) => Fate::Evict,
    }
}

/// One shadow hit: a unit that can fade in steps, and of which a return from long ago is still a part.
const HIT: u32 = 1024;
/// A key counts in full that was evicted at most this many pages' worth of evictions ago: such a hit is
/// one that so many more pages would have brought. One evicted longer ago counts as much less as it would
/// have taken more pages.
const SHADOW_PAGES: u32 = 8;
/// Evictions of a class, in pages' worth of chunks, before it may ask for another class's page. It
/// bounds the rate of page moves: eager ones flap and lose more hits than they win.
const PAGES_EVICTED_BEFORE_MOVE: u32 = 2;
/// Shadow hits that a class must have beyond [`RATIO_UNIT`] / ratio times those of the class that is to give.
const SHADOW_HITS_MIN: u32 = 4 * HIT;
/// Requests for a page, of all classes and partitions, after which the demand of all classes fades.
const ASKED_BEFORE_FADE: u32 = 64;
/// At the default ratio of 0.8 a class must have twice the shadow hits of the one that gives; at 1 less.
const RATIO_UNIT: f64 = 1.6;

/// What one slab class evicts in one partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turnover {
    /// Chunks evicted, ever.
    evicted: u32,
    /// Chunks that had to be made free by eviction since the class last asked for a page.
    since_asked: u32,
}

impl Turnover {
    /// Notes evictions; `chunks` in the class's own chunks.
    pub fn note_evicted(&mut self, chunks: u32) {
        self.evicted = self.evicted.wrapping_add(chunks);
    }

    /// Evictions so far in epochs.
    pub fn epoch(&self, chunks_per_epoch: u32) -> u32 {
        self.evicted / chunks_per_epoch.max(1)
    }

    /// Counts a chunk that has to be made free. Whether the class may now ask for a page instead.
    pub fn may_ask(&mut self, chunks_per_page: u32) -> bool {
        self.since_asked += 1;
        let may = self.since_asked >= chunks_per_page.saturating_mul(PAGES_EVICTED_BEFORE_MOVE);
        if may {
            self.since_asked = 0;
        }
        may
    }
}

/// How much each slab class would gain by more memory: how many of its evicted keys were soon stored again,
/// in units of 1/[`HIT`]; old ones fade.
///
/// Of all partitions together, since keys fall to them at random: they are samples of one and the same
/// demand, and the more of them there are, the more would each by itself move pages on noise. Counts may
/// get lost where two workers meet; they are a tendency, not a sum.
#[derive(Debug)]
pub struct Demand {
    shadow_hits: Box<[AtomicU32]>,
    asked_since_fade: AtomicU32,
}

impl Demand {
    /// No demand of any of `classes` classes.
    pub fn new(classes: usize) -> Demand {
        Demand {
            shadow_hits: (0..classes).map(|_| AtomicU32::new(0)).collect(),
            asked_since_fade: AtomicU32::new(0),
        }
    }

    /// The shadow hits of a class.
    pub fn of(&self, class: usize) -> u32 {
        self.shadow_hits[class].load(Relaxed)
    }

    /// Notes that a key of `class` was stored again that was evicted `pages_ago` pages' worth of evictions
    /// earlier.
    pub fn note_return(&self, class: usize, pages_ago: u32) {
        let worth = HIT * SHADOW_PAGES / (pages_ago + 1).max(SHADOW_PAGES);
        self.shadow_hits[class].store(self.of(class).saturating_add(worth), Relaxed);
    }

    /// Notes that a class asks for a page, and lets the hits of all fade every so often.
    pub fn note_asked(&self) {
        if self.asked_since_fade.fetch_add(1, Relaxed) + 1 >= ASKED_BEFORE_FADE {
            self.asked_since_fade.store(0, Relaxed);
            (0..self.shadow_hits.len()).for_each(|class| self.fade(class));
        }
    }

    /// Lets the hits fade that called for a page, or were seen long ago.
    pub fn fade(&self, class: usize) {
        let hits = self.of(class);
        self.shadow_hits[class].store(hits - hits / 4, Relaxed);
    }
}

/// Whether a page should move to a class with `taker` shadow hits from one with `giver`, by memcached's
/// `slab_automove_ratio`.
pub fn is_worth_a_page(taker: u32, giver: u32, ratio: f64) -> bool {
    f64::from(taker) >= f64::from(giver) * (RATIO_UNIT / ratio) + f64::from(SHADOW_HITS_MIN)
}

/// When a class last gave a page away and last took one, by automove. Keeps pages from going to and fro.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageTimes {
    gave: Option<Seconds>,
    took: Option<Seconds>,
}

impl PageTimes {
    pub fn note_gave(&mut self, now: Seconds) {
        self.gave = Some(now);
    }

    pub fn note_took(&mut self, now: Seconds) {
        self.took = Some(now);
    }

    /// Whether the class may take a page: it gave none in the last `window` seconds.
    pub fn may_take(&self, now: Seconds, window: u32) -> bool {
        self.gave.is_none_or(|at| at.after(window) <= now)
    }

    /// Whether the class may give a page: it took none in the last `window` seconds.
    pub fn may_give(&self, now: Seconds, window: u32) -> bool {
        self.took.is_none_or(|at| at.after(window) <= now)
    }
}

/// A class that could give a page away.
#[derive(Clone, Copy, Debug)]
pub struct Giver {
    /// Index of the class.
    pub class: usize,
    /// Pages it has.
    pub pages: u32,
    /// Its shadow hits: what it would gain by more.
    pub shadow_hits: u32,
    /// Whether its coldest item was hit lately.
    pub is_hot: bool,
    /// Seconds since its coldest item was last used.
    pub idle_seconds: u32,
}

/// Who gives a page: of the classes with at least `floor` pages the one with the fewest shadow hits;
/// among equals one whose coldest item is not hot, then the one with the most pages, then the one whose
/// coldest item is idle the longest.
pub fn giver(candidates: impl Iterator<Item = Giver>, floor: u32) -> Option<Giver> {
    let candidates = candidates.filter(|giver| giver.pages >= floor);
    candidates.min_by_key(|giver| {
        let most = |number| std::cmp::Reverse(number);
        (giver.shadow_hits, giver.is_hot, most(giver.pages), most(giver.idle_seconds))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_over_only_beyond_its_share() {
        let shares = SegmentShares::default();
        assert!(!shares.hot_is_over(20, 100) && shares.hot_is_over(21, 100));
        assert!(!shares.warm_is_over(40, 100) && shares.warm_is_over(41, 100));
        assert!(!shares.hot_is_over(0, 0));
    }

    #[test]
    fn a_hot_item_is_spared_while_looks_are_left() {
        assert_eq!(fate(true, true, 5), Fate::Reclaim);
        assert_eq!(fate(false, true, 1), Fate::Spare);
        assert_eq!(fate(false, true, 0), Fate::Evict);
        assert_eq!(fate(false, false, 5), Fate::Evict);
    }

    #[test]
    fn what_was_read_is_told_by_each_policys_own_mark_and_never_in_temp() {
        use LruRules::{Classic, Flat, Probation};
        for (rules, segment, heat, is_active, expected) in [
            (Flat, Segment::Cold, 3, true, false),
            (Probation, Segment::Cold, 1, false, true),
            (Probation, Segment::Cold, 0, true, false),
            (Classic, Segment::Cold, 3, false, false),
            (Classic, Segment::Hot, 0, true, true),
            (Probation, Segment::Temp, 3, true, false),
            (Classic, Segment::Temp, 3, true, false),
        ] {
            assert_eq!(is_read(rules, segment, heat, is_active), expected, "{rules:?} {segment:?} {heat}");
        }
    }

    #[test]
    fn a_new_item_begins_where_its_rules_say() {
        use LruRules::{Classic, Flat, Probation};
        for (rules, is_temporary, returns, expected) in [
            (Flat, true, true, Segment::Cold),
            (Flat, false, false, Segment::Cold),
            (Probation, false, false, Segment::Hot),
            (Probation, false, true, Segment::Warm),
            (Probation, true, true, Segment::Temp),
            (Classic, false, true, Segment::Hot),
            (Classic, true, false, Segment::Temp),
        ] {
            assert_eq!(first_segment(rules, is_temporary, returns), expected, "{rules:?}");
        }
    }

    #[test]
    fn an_overwritten_item_begins_anew_but_on_probation() {
        use LruRules::{Classic, Flat, Probation};
        for (rules, from, is_temporary, expected) in [
            (Flat, Segment::Cold, false, Some(Segment::Cold)),
            (Flat, Segment::Temp, true, Some(Segment::Cold)),
            (Probation, Segment::Warm, false, None),
            (Probation, Segment::Warm, true, Some(Segment::Temp)),
            (Probation, Segment::Temp, true, None),
            (Probation, Segment::Temp, false, Some(Segment::Hot)),
            (Classic, Segment::Warm, false, Some(Segment::Hot)),
            (Classic, Segment::Cold, true, Some(Segment::Temp)),
        ] {
            assert_eq!(segment_after_rewrite(rules, from, is_temporary), expected, "{rules:?} {from:?}");
        }
    }

    #[test]
    fn memcacheds_tails_move_by_mark_share_and_age() {
        for (is_active, is_over, is_too_old, expected) in [
            (false, false, false, None),
            (false, true, false, Some(Segment::Cold)),
            (false, false, true, Some(Segment::Cold)),
            (true, true, true, Some(Segment::Warm)),
            (true, false, false, Some(Segment::Warm)),
        ] {
            assert_eq!(classic_move(is_active, is_over, is_too_old), expected);
        }
        for (idle, cold_age, factor, expected) in [
            (0, 0, 0.2, false),
            (1, 0, 0.2, true),
            (2, 10, 0.2, false),
            (3, 10, 0.2, true),
            (20, 10, 2.0, false),
            (21, 10, 2.0, true),
        ] {
            assert_eq!(is_too_old(idle, cold_age, factor), expected, "{idle} of {cold_age} x {factor}");
        }
    }

    #[test]
    fn a_class_that_gave_does_not_take_for_a_while_and_the_other_way_around() {
        let mut times = PageTimes::default();
        assert!(times.may_take(Seconds(5), 10) && times.may_give(Seconds(5), 10));
        times.note_gave(Seconds(5));
        assert!(!times.may_take(Seconds(14), 10) && times.may_take(Seconds(15), 10));
        assert!(times.may_give(Seconds(5), 10), "one that gives may go on giving");
        times.note_took(Seconds(20));
        assert!(!times.may_give(Seconds(22), 3) && times.may_give(Seconds(23), 3));
    }

    #[test]
    fn a_return_counts_less_the_longer_ago_the_eviction_was() {
        let demand = Demand::new(2);
        for (pages_ago, worth) in [(0, HIT), (7, HIT), (15, HIT / 2), (63, HIT / 8)] {
            let before = demand.of(1);
            demand.note_return(1, pages_ago);
            assert_eq!(demand.of(1) - before, worth, "evicted {pages_ago} pages ago");
        }
        assert_eq!(demand.of(0), 0);
    }

    #[test]
    fn an_epoch_is_a_pages_worth_of_evictions() {
        let mut turnover = Turnover::default();
        turnover.note_evicted(995);
        assert_eq!((turnover.epoch(10), turnover.epoch(1)), (99, 995));
    }

    #[test]
    fn a_class_asks_after_two_pages_of_evictions() {
        let mut turnover = Turnover::default();
        let asked = (0..100).filter(|_| turnover.may_ask(10)).count();
        assert_eq!(asked, 5);
    }

    #[test]
    fn a_page_moves_only_for_a_clear_difference() {
        // What the giver has, the ratio, and what the taker has to have.
        for (giver, ratio, taker) in
            [(0, 0.8, 4), (10, 0.8, 24), (10, 1.0, 20), (10, 0.5, 36), (0, 0.1, 4), (1000, 0.8, 2004)]
        {
            assert!(!is_worth_a_page((taker - 1) * HIT, giver * HIT, ratio), "{giver} at {ratio}");
            assert!(is_worth_a_page(taker * HIT, giver * HIT, ratio), "{giver} at {ratio}");
        }
    }

    #[test]
    fn hits_fade_with_the_pages_that_they_called_for_and_with_time() {
        let demand = Demand::new(2);
        (0..16).for_each(|_| demand.note_return(0, 0));
        (0..8).for_each(|_| demand.note_return(1, 0));
        demand.fade(0);
        assert_eq!((demand.of(0), demand.of(1)), (12 * HIT, 8 * HIT));
        (0..ASKED_BEFORE_FADE).for_each(|_| demand.note_asked());
        assert_eq!((demand.of(0), demand.of(1)), (9 * HIT, 6 * HIT));
    }

    #[test]
    fn the_class_without_demand_gives_and_the_larger_among_equals() {
        let with = |class, pages, hits: u32| Giver {
            class,
            pages,
            shadow_hits: hits * HIT,
            is_hot: false,
            idle_seconds: 0,
        };
        let hot = |giver| Giver { is_hot: true, ..giver };
        let idle = |giver| Giver { idle_seconds: 9, ..giver };
        let pick = |givers: &[Giver], floor| giver(givers.iter().copied(), floor).map(|giver| giver.class);
        assert_eq!(pick(&[with(0, 9, 5), with(1, 2, 4)], 2), Some(1));
        assert_eq!(pick(&[with(0, 9, 5), with(1, 2, 5)], 2), Some(0));
        assert_eq!(pick(&[with(0, 9, 5), with(1, 1, 0)], 2), Some(0));
        assert_eq!(pick(&[with(0, 0, 0)], 1), None);
        assert_eq!(pick(&[hot(with(0, 9, 5)), with(1, 2, 5)], 1), Some(1));
        assert_eq!(pick(&[with(0, 2, 5), idle(with(1, 2, 5))], 1), Some(1));
    }
}
