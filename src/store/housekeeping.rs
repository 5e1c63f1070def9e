//! What to evict, demote or hand on: decisions only, as pure functions from numbers to a verdict.
//! `eviction` gathers the numbers and carries the verdicts out.

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
pub fn fate(is_expired: bool, heat: u8, looks_left: u32) -> Fate {
    match (is_expired, heat > 0 && looks_left > 0) {
        (true, _) => Fate::Reclaim,
        (false, true) => Fate::Spare,
        (false, false) => Fate::Evict,
    }
}

/// How much a slab class would gain by more memory: it counts evictions, and how many of the evicted keys
/// were soon stored again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// Chunks evicted, ever.
    evicted: u32,
    /// Chunks that had to be made free by eviction since the class last asked for a page.
    since_asked: u32,
    /// Keys stored again that a few more pages would have kept, in units of 1/[`HIT`]; old ones fade.
    shadow_hits: u32,
}

/// One shadow hit: a unit that can fade in steps.
const HIT: u32 = 16;
/// A key counts in full that was evicted at most this many pages' worth of evictions ago: such a hit is
/// one that so many more pages would have brought. One evicted longer ago counts as much less as it would
/// have taken more pages.
const SHADOW_PAGES: u32 = 8;
/// Evictions of a class, in pages' worth of chunks, before it may ask for another class's page. It
/// bounds the rate of page moves: eager ones flap and lose more hits than they win.
const PAGES_EVICTED_BEFORE_MOVE: u32 = 2;
/// Shadow hits that a class must have, beyond twice those of the class that is to give.
const SHADOW_HITS_MIN: u32 = 4 * HIT;

impl Demand {
    /// Notes evictions; `chunks` in the class's own chunks.
    pub fn note_evicted(&mut self, chunks: u32) {
        self.evicted = self.evicted.wrapping_add(chunks);
    }

    /// Evictions so far in pages' worth of chunks.
    pub fn epoch(&self, chunks_per_page: u32) -> u32 {
        self.evicted / chunks_per_page.max(1)
    }

    /// Notes that a key was stored again which was evicted in `epoch`, of which the lowest
    /// `epochs` values are told apart.
    pub fn note_return(&mut self, epoch: u32, epochs: u32, chunks_per_page: u32) {
        let pages_ago = self.epoch(chunks_per_page).wrapping_sub(epoch) % epochs;
        let worth = HIT * SHADOW_PAGES / (pages_ago + 1).max(SHADOW_PAGES);
        self.shadow_hits = self.shadow_hits.saturating_add(worth);
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

    /// Lets old hits fade.
    pub fn fade(&mut self) {
        self.shadow_hits -= self.shadow_hits / 4;
    }

    /// Whether a page should move here from a class with the demand `giver`. If so, the hits that called
    /// for it fade.
    pub fn claims_from(&mut self, giver: &Demand) -> bool {
        let claims = self.shadow_hits >= giver.shadow_hits.saturating_mul(2).saturating_add(SHADOW_HITS_MIN);
        if claims {
            self.fade();
        }
        claims
    }
}

/// A class that could give a page away.
#[derive(Clone, Copy, Debug)]
pub struct Giver {
    /// Index of the class.
    pub class: usize,
    /// Pages it has.
    pub pages: u32,
    /// What it would gain by more.
    pub demand: Demand,
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
        (giver.demand.shadow_hits, giver.is_hot, most(giver.pages), most(giver.idle_seconds))
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
        assert_eq!(fate(true, 3, 5), Fate::Reclaim);
        assert_eq!(fate(false, 1, 1), Fate::Spare);
        assert_eq!(fate(false, 3, 0), Fate::Evict);
        assert_eq!(fate(false, 0, 5), Fate::Evict);
    }

    #[test]
    fn a_return_counts_less_the_longer_ago_the_eviction_was() {
        let mut demand = Demand::default();
        demand.note_evicted(1000);
        assert_eq!(demand.epoch(10), 100);
        for (epoch, worth) in [(100, HIT), (93, HIT), (85, HIT / 2), (37, HIT / 8)] {
            let before = demand.shadow_hits;
            demand.note_return(epoch, 256, 10);
            assert_eq!(demand.shadow_hits - before, worth, "evicted in epoch {epoch}");
        }
    }

    #[test]
    fn a_class_asks_after_two_pages_of_evictions() {
        let mut demand = Demand::default();
        let asked = (0..100).filter(|_| demand.may_ask(10)).count();
        assert_eq!(asked, 5);
    }

    #[test]
    fn a_page_moves_only_for_a_clear_difference() {
        let with = |hits: u32| Demand { shadow_hits: hits * HIT, ..Demand::default() };
        assert!(!with(3).claims_from(&with(0)) && with(4).claims_from(&with(0)));
        assert!(!with(23).claims_from(&with(10)) && with(24).claims_from(&with(10)));
        let mut eager = with(8);
        assert!(eager.claims_from(&with(0)) && eager.claims_from(&with(0)) && eager.claims_from(&with(0)));
        assert!(!eager.claims_from(&with(0)), "the hits that moved pages have faded");
    }

    #[test]
    fn the_class_without_demand_gives_and_the_larger_among_equals() {
        let with = |class, pages, hits: u32| Giver {
            class,
            pages,
            demand: Demand { shadow_hits: hits * HIT, ..Demand::default() },
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
