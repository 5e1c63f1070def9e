//! What to evict, demote or hand on: decisions only, as pure functions from numbers to a verdict.
//! `partition` gathers the numbers and carries the verdicts out.

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
    /// It was read while in COLD: let it live on in WARM and look at the next.
    Spare,
    /// It goes.
    Evict,
}

/// Judges the oldest item of COLD. `looks_left` bounds the work of one allocation.
pub fn fate(is_expired: bool, is_active: bool, looks_left: u32) -> Fate {
    match (is_expired, is_active && looks_left > 0) {
        (true, _) => Fate::Reclaim,
        (false, true) => Fate::Spare,
        (false, false) => Fate::Evict,
    }
}

/// A class that could give a page away.
#[derive(Clone, Copy, Debug)]
pub struct Donor {
    /// Index of the class.
    pub class: usize,
    /// Pages it has.
    pub pages: u32,
    /// Seconds since its coldest item was last used.
    pub idle_seconds: u32,
}

/// Who gives a page: the class whose coldest item is idle the longest, among equals the one with the
/// most pages.
pub fn page_donor(candidates: impl Iterator<Item = Donor>) -> Option<Donor> {
    candidates.filter(|donor| donor.pages > 0).max_by_key(|donor| (donor.idle_seconds, donor.pages))
}

/// Evictions of a class, in pages' worth of chunks, before it may ask for another class's page. It
/// bounds the rate of page moves: eager ones flap and lose more hits than they win.
const PAGES_EVICTED_BEFORE_MOVE: u32 = 2;
/// By how much the coldest item of another class must be idle longer, as a ratio of 5 to 4.
const IDLE_RATIO: (u64, u64) = (5, 4);

/// Whether a class has evicted enough to look for a page elsewhere.
pub fn may_ask_for_page(evicted_chunks: u32, chunks_per_page: u32) -> bool {
    evicted_chunks >= chunks_per_page.saturating_mul(PAGES_EVICTED_BEFORE_MOVE)
}

/// Whether a page should move to a class that would have to evict an item idle for `own_idle` seconds
/// from one whose coldest item is idle for `donor_idle`.
pub fn should_move_page(own_idle: u32, donor_idle: u32) -> bool {
    u64::from(donor_idle) * IDLE_RATIO.1 > (u64::from(own_idle) + 1) * IDLE_RATIO.0
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
    fn an_active_item_is_spared_while_looks_are_left() {
        assert_eq!(fate(true, true, 5), Fate::Reclaim);
        assert_eq!(fate(false, true, 1), Fate::Spare);
        assert_eq!(fate(false, true, 0), Fate::Evict);
        assert_eq!(fate(false, false, 5), Fate::Evict);
    }

    #[test]
    fn a_page_moves_only_for_a_clear_difference_and_not_too_often() {
        assert!(!may_ask_for_page(199, 100) && may_ask_for_page(200, 100));
        assert!(!should_move_page(0, 0) && !should_move_page(0, 1) && should_move_page(0, 2));
        assert!(!should_move_page(100, 126) && should_move_page(100, 127));
    }

    #[test]
    fn the_coldest_class_gives_and_the_larger_among_equals() {
        let donor = |class, pages, idle_seconds| Donor { class, pages, idle_seconds };
        let pick = |donors: &[Donor]| page_donor(donors.iter().copied()).map(|donor| donor.class);
        assert_eq!(pick(&[donor(0, 9, 5), donor(1, 1, 6)]), Some(1));
        assert_eq!(pick(&[donor(0, 9, 5), donor(1, 1, 5)]), Some(0));
        assert_eq!(pick(&[donor(0, 0, 50)]), None);
    }
}
