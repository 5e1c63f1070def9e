//! Passwords that wait to be compared with costly hashes: networks in turn, those of one network in the order of their
//! coming.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use super::check::Check;
use super::delays::Network;

/// Those of one network, at most: a crowd that was turned out at once comes back.
const OF_NETWORK_MAX: usize = 256;
/// All of them.
const ALL_MAX: usize = 1024;

/// See the module. Whoever leaves takes nobody's time: checks are looked for where they come from.
#[derive(Debug, Default)]
pub struct Waiting {
    networks: HashMap<Network, VecDeque<Weak<Check>>>,
    /// Each network that has any, once.
    turns: VecDeque<Network>,
    count: usize,
}

impl Waiting {
    /// Takes a check in; `false` if there is no room for it. Where all is full, the network that has most makes room.
    pub fn push(&mut self, check: &Arc<Check>) -> bool {
        let network = check.network();
        if self.count >= ALL_MAX {
            self.forget_those_that_left();
        }
        if self.count >= ALL_MAX && !self.make_room(network) {
            return false;
        }
        let queue = self.networks.entry(network).or_default();
        if queue.len() >= OF_NETWORK_MAX {
            let before = queue.len();
            queue.retain(|check| check.strong_count() > 0);
            self.count -= before - queue.len();
        }
        if queue.len() >= OF_NETWORK_MAX {
            return false;
        }
        if queue.is_empty() && !self.turns.contains(&network) {
            self.turns.push_back(network);
        }
        queue.push_back(Arc::downgrade(check));
        self.count += 1;
        true
    }

    /// The next that somebody still waits for.
    pub fn pop(&mut self) -> Option<Arc<Check>> {
        while let Some(network) = self.turns.pop_front() {
            let Some(queue) = self.networks.get_mut(&network) else { continue };
            let check = queue.pop_front();
            self.count -= usize::from(check.is_some());
            if queue.is_empty() {
                self.networks.remove(&network);
            } else {
                self.turns.push_back(network);
            }
            if let Some(check) = check.and_then(|check| check.upgrade()) {
                return Some(check);
            }
        }
        None
    }

    fn forget_those_that_left(&mut self) {
        self.networks.values_mut().for_each(|queue| queue.retain(|check| check.strong_count() > 0));
        self.networks.retain(|_, queue| !queue.is_empty());
        self.turns.retain(|network| self.networks.contains_key(network));
        self.count = self.networks.values().map(VecDeque::len).sum();
    }

    /// Gives up the latest of the network that has most, unless it is this one.
    fn make_room(&mut self, network: Network) -> bool {
        let of_this = self.networks.get(&network).map_or(0, VecDeque::len);
        let Some(queue) = self.networks.values_mut().max_by_key(|queue| queue.len()) else { return true };
        if queue.len() <= of_this + 1 {
            return false;
        }
        if let Some(check) = queue.pop_back().and_then(|check| check.upgrade()) {
            check.give_up();
        }
        self.count -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::check::Outcome;

    fn check(host: u32, number: usize) -> Arc<Check> {
        Arc::new(Check::for_test(Some(std::net::IpAddr::V4(host.into())), &number.to_string()))
    }

    fn name(check: Option<Arc<Check>>) -> String {
        String::from_utf8(check.unwrap().name().to_vec()).unwrap()
    }

    #[test]
    fn networks_take_turns() {
        let mut waiting = Waiting::default();
        let crowd: Vec<_> = (0..4).map(|number| check(1, number)).collect();
        let other = check(2, 9);
        assert!(crowd.iter().all(|check| waiting.push(check)) && waiting.push(&other));
        let order: Vec<_> = (0..5).map(|_| name(waiting.pop())).collect();
        assert_eq!(order, ["0", "9", "1", "2", "3"]);
        assert!(waiting.pop().is_none());
        assert_eq!((waiting.count, waiting.networks.len(), waiting.turns.len()), (0, 0, 0));
    }

    #[test]
    fn those_who_left_take_no_time_and_no_room() {
        let mut waiting = Waiting::default();
        for number in 0..OF_NETWORK_MAX {
            assert!(waiting.push(&check(1, number)));
        }
        let stays = check(1, 7);
        assert!(waiting.push(&stays));
        assert_eq!(name(waiting.pop()), "7");
        assert!(waiting.pop().is_none());
        assert_eq!(waiting.count, 0);
    }

    #[test]
    fn a_network_has_limits_and_the_greediest_makes_room_for_others() {
        let mut waiting = Waiting::default();
        let mut crowd = Vec::new();
        for host in 0..4 {
            for number in 0..OF_NETWORK_MAX {
                crowd.push(check(host, number));
                assert!(waiting.push(&crowd[crowd.len() - 1]));
            }
            assert!(!waiting.push(&check(host, 0)), "{host}");
        }
        assert_eq!(waiting.count, ALL_MAX);
        let other = check(9, 9);
        assert!(waiting.push(&other));
        assert_eq!(waiting.count, ALL_MAX);
        let given_up = crowd.iter().filter(|check| check.outcome() == Some(Outcome::GivenUp)).count();
        assert_eq!(given_up, 1);
        let order: Vec<_> = (0..5).map(|_| name(waiting.pop())).collect();
        assert_eq!(order, ["0", "0", "0", "0", "9"]);
    }
}
