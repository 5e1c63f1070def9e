//! Answers that take many turns, so that none of them stands in anybody's way or needs much memory.

use super::conns::ConnectionList;
use super::crawler::ItemsJob;
use super::detail::PrefixList;
use super::session::Turn;

/// What a session does over many turns. Commands behind it wait for its end.
#[derive(Debug)]
pub(super) enum Job {
    /// A walk over items.
    Items(ItemsJob),
    /// `stats conns`
    Connections(ConnectionList),
    /// `stats detail dump`
    Prefixes(PrefixList),
}

impl Job {
    /// Does one slice. `false` once everything is done.
    pub fn go_on(&mut self, turn: &mut Turn) -> bool {
        if turn.output_is_full() {
            return true;
        }
        match self {
            Job::Items(job) => job.go_on(turn),
            Job::Connections(list) => list.go_on(turn),
            Job::Prefixes(list) => list.go_on(turn),
        }
    }
}
