//! How long logins of a network wait before they are judged, once others of it were wrong, and which failures the log
//! is told of.
//!
//! The wait comes first, so that nobody learns anything by giving up early and trying again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::clock::Seconds;
use crate::base::rationed::Rationed;

/// Failures without a consequence: people and programs err.
const FREE_FAILURES: u32 = 3;
/// The longest wait.
const DELAY_SECS_MAX: u32 = 8;
/// Logins of a network that wait at a time: with the longest delay, a guess in a second.
const HELD_MAX: u32 = 8;
/// A failure is forgotten after so many seconds without another.
const MEMORY_SECS: u32 = 60;
/// Networks that are remembered at a time.
const NETWORKS_MAX: usize = 4096;
/// Failures of a network that are known when they come again: who repeats what was wrong has guessed nothing, as a
/// program with an old password does that tries again and again.
const REPEATED_MAX: usize = 4;

/// Whose a login is, see [`crate::base::network::network`]. `None` stands for the clients of a Unix socket.
pub(super) type Network = Option<IpAddr>;

/// What a client said to log in, by which reading of the file it was or is to be judged.
#[derive(Clone, Copy, Hash)]
pub(super) struct Said<'a> {
    pub name: &'a [u8],
    pub password: &'a [u8],
    /// What was wrong may be right in the next.
    pub generation: u32,
}

/// What is remembered of a network.
#[derive(Debug)]
struct Failures {
    count: u32,
    at: Seconds,
    held: u32,
    /// What was wrong lately, as keyed hashes.
    wrong: [Option<u64>; REPEATED_MAX],
}

impl Failures {
    fn are_old(&self, now: Seconds) -> bool {
        now.0.saturating_sub(self.at.0) > MEMORY_SECS
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Delays {
    networks: HashMap<Network, Failures>,
    hashes: RandomState,
    told: Rationed,
}

impl Delays {
    /// Seconds that a login has to wait which comes now.
    pub fn delay(&mut self, network: Network, now: Seconds) -> u32 {
        let Some(failures) = self.networks.get_mut(&network) else { return 0 };
        if failures.are_old(now) {
            failures.count = 0;
        }
        match failures.count.checked_sub(FREE_FAILURES) {
            Some(more) => 1_u32.checked_shl(more).unwrap_or(u32::MAX).min(DELAY_SECS_MAX),
            None => 0,
        }
    }

    /// Whether a login has to wait for which nobody knows the time: in doubt it has.
    pub fn is_delayed(&self, network: Network) -> bool {
        self.networks.get(&network).is_some_and(|failures| failures.count >= FREE_FAILURES)
    }

    /// Whether this was wrong a moment ago.
    pub fn is_repeated(&self, network: Network, said: Said, now: Seconds) -> bool {
        self.networks.get(&network).is_some_and(|failures| {
            !failures.are_old(now) && failures.wrong.contains(&Some(self.hashes.hash_one(said)))
        })
    }

    /// Notes a failure.
    pub fn note(&mut self, network: Network, said: Said, now: Seconds) {
        self.make_room(network, now);
        let wrong = self.hashes.hash_one(said);
        let fresh = Failures { count: 0, at: now, held: 0, wrong: [None; REPEATED_MAX] };
        let failures = self.networks.entry(network).or_insert(fresh);
        failures.count = if failures.are_old(now) { 1 } else { failures.count.saturating_add(1) };
        failures.at = now;
        failures.wrong.rotate_right(1);
        failures.wrong[0] = Some(wrong);
    }

    /// Makes room for a network that is new. If there are too many of them, those go first whose logins do not wait,
    /// then the one that has erred longest ago: whoever goes on guessing is remembered.
    fn make_room(&mut self, network: Network, now: Seconds) {
        if self.networks.len() < NETWORKS_MAX || self.networks.contains_key(&network) {
            return;
        }
        self.networks.retain(|_, failures| failures.held > 0 || !failures.are_old(now));
        if self.networks.len() >= NETWORKS_MAX {
            self.networks.retain(|_, failures| failures.count >= FREE_FAILURES || failures.held > 0);
        }
        if self.networks.len() >= NETWORKS_MAX {
            let oldest = self.networks.iter().min_by_key(|(_, failures)| (failures.held > 0, failures.at));
            if let Some(oldest) = oldest.map(|(network, _)| *network) {
                self.networks.remove(&oldest);
            }
        }
    }

    /// Whether the log is to be told of a failure, and of how many it was not told before.
    pub fn tell(&self, now: Seconds) -> Option<u64> {
        self.told.next(now)
    }
}

/// A place among the logins of a network that wait; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    delays: Arc<Mutex<Delays>>,
    network: Network,
}

impl Place {
    /// `None` if all are taken.
    pub fn take(delays: &Arc<Mutex<Delays>>, network: Network) -> Option<Place> {
        if let Some(failures) = delays.lock().networks.get_mut(&network) {
            if failures.held >= HELD_MAX {
                return None;
            }
            failures.held += 1;
        }
        Some(Place { delays: delays.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(failures) = self.delays.lock().networks.get_mut(&self.network) {
            failures.held = failures.held.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Some(text.parse().unwrap())
    }

    fn said(password: &str) -> Said<'_> {
        Said { name: b"app", password: password.as_bytes(), generation: 0 }
    }

    /// Notes a failure that was not there before.
    fn fail(delays: &mut Delays, of: Network, now: u32) {
        let password = format!("{now} {}", delays.networks.get(&of).map_or(0, |failures| failures.count));
        delays.note(of, said(&password), Seconds(now));
    }

    #[test]
    fn delays_grow_by_network_and_are_forgotten() {
        let mut delays = Delays::default();
        let one = network("10.0.0.1");
        let mut seen = Vec::new();
        for second in 100..109 {
            seen.push(delays.delay(one, Seconds(second)));
            fail(&mut delays, one, second);
        }
        assert_eq!(seen, [0, 0, 0, 1, 2, 4, 8, 8, 8]);
        assert!(delays.is_delayed(one));
        assert_eq!(delays.delay(network("10.0.0.2"), Seconds(109)), 0);
        assert_eq!(delays.delay(None, Seconds(109)), 0);
        assert_eq!(delays.delay(one, Seconds(168)), 8);
        assert_eq!(delays.delay(one, Seconds(169)), 0);
        assert!(!delays.is_delayed(one));
        fail(&mut delays, one, 169);
        fail(&mut delays, one, 300);
        assert_eq!(delays.networks[&one].count, 1);
    }

    #[test]
    fn what_was_wrong_a_moment_ago_is_known_until_the_users_change() {
        let mut delays = Delays::default();
        let one = network("10.0.0.1");
        delays.note(one, said("old"), Seconds(1));
        assert!(delays.is_repeated(one, said("old"), Seconds(2)));
        for (of, other, now) in [
            (one, said("new"), 2),
            (one, Said { name: b"ap", password: b"pold", generation: 0 }, 2),
            (one, Said { name: b"other", ..said("old") }, 2),
            (one, Said { generation: 1, ..said("old") }, 2),
            (None, said("old"), 2),
            (one, said("old"), 100),
        ] {
            assert!(!delays.is_repeated(of, other, Seconds(now)), "{of:?} {now}");
        }
        (0..REPEATED_MAX as u32).for_each(|second| fail(&mut delays, one, second));
        assert!(!delays.is_repeated(one, said("old"), Seconds(2)));
    }

    #[test]
    fn few_logins_of_a_network_wait_at_a_time() {
        let delays = Arc::new(Mutex::new(Delays::default()));
        let one = network("10.0.0.1");
        fail(&mut delays.lock(), one, 1);
        let mut places: Vec<_> = (0..HELD_MAX).map(|_| Place::take(&delays, one).unwrap()).collect();
        assert!(Place::take(&delays, one).is_none());
        // Nor are they forgotten while they wait.
        assert_eq!(delays.lock().delay(one, Seconds(1000)), 0);
        assert!(Place::take(&delays, one).is_none());
        places.pop();
        assert!(Place::take(&delays, one).is_some());
        assert!(Place::take(&delays, network("10.0.0.2")).is_some());
    }

    #[test]
    fn a_crowd_of_networks_does_not_fill_the_memory() {
        let mut delays = Delays::default();
        for host in 0..NETWORKS_MAX as u32 {
            fail(&mut delays, Some(IpAddr::V4(host.into())), 1);
        }
        let late = network("255.0.0.1");
        (0..4).for_each(|_| fail(&mut delays, late, 2));
        assert_eq!((delays.networks.len(), delays.delay(late, Seconds(2))), (1, 2));
        for host in 0..NETWORKS_MAX as u32 - 1 {
            (0..3).for_each(|_| fail(&mut delays, Some(IpAddr::V4(host.into())), 3));
        }
        // A crowd in which each is delayed hides nobody.
        let latest = network("255.0.0.2");
        (0..4).for_each(|_| fail(&mut delays, latest, 4));
        assert_eq!((delays.networks.len(), delays.delay(latest, Seconds(4))), (NETWORKS_MAX, 2));
        assert_eq!(delays.delay(late, Seconds(4)), 0);
        fail(&mut delays, network("255.0.0.3"), 100);
        assert_eq!(delays.networks.len(), 1);
    }

    #[test]
    fn the_log_is_told_now_and_then() {
        let delays = Delays::default();
        let told = [1, 1, 10, 11, 30].map(|now| delays.tell(Seconds(now)));
        assert_eq!(told, [Some(0), None, None, Some(2), Some(0)]);
    }
}
