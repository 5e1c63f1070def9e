//! Places for clients of the HTTP listener. There are so many, and whoever comes gets one: a probe of the daemon's health
//! must not wait for those who are slow, whatever they are slow at.
//!
//! If all are taken, somebody of the network that has most of them goes, and of these the one who has asked for nothing
//! for longest. So a client can be kept out by none but his neighbours, and by these only if they come faster than he
//! is answered.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::task::AbortHandle;

use crate::base::network::network;

/// Clients at a time, on all addresses together.
pub const CLIENTS_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct Places {
    taken: RefCell<Vec<Taken>>,
    /// Counts what happens, which tells what was before what.
    events: Cell<u64>,
}

#[derive(Debug)]
struct Taken {
    /// The event by which it was taken, which is its name.
    id: u64,
    of: IpAddr,
    /// The event of its last request, or `id`.
    asked: u64,
    /// Ends the connection.
    task: Option<AbortHandle>,
}

/// One client's place, free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    id: u64,
    places: Rc<Places>,
}

impl Places {
    /// A place for `peer`, if need be another's.
    pub fn enter(self: &Rc<Places>, peer: IpAddr) -> Place {
        if self.taken.borrow().len() >= CLIENTS_MAX {
            self.push_out();
        }
        let id = self.next_event();
        self.taken.borrow_mut().push(Taken { id, of: network(peer), asked: id, task: None });
        Place { id, places: self.clone() }
    }

    /// Notes by what the connection with the place `id` is ended.
    pub fn is_served_by(&self, id: u64, task: AbortHandle) {
        if let Some(taken) = self.taken.borrow_mut().iter_mut().find(|taken| taken.id == id) {
            taken.task = Some(task);
        }
    }

    /// Whether so many are there that they should not stay longer than for one answer.
    pub fn are_short(&self) -> bool {
        self.taken.borrow().len() > CLIENTS_MAX / 2
    }

    fn push_out(&self) {
        let mut taken = self.taken.borrow_mut();
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        taken.iter().for_each(|one| *counts.entry(one.of).or_default() += 1);
        let most = counts.values().copied().max();
        let of_most = taken.iter().enumerate().filter(|(_, one)| counts.get(&one.of).copied() == most);
        let Some((at, _)) = of_most.min_by_key(|(_, one)| one.asked) else { return };
        let out = taken.swap_remove(at);
        log::debug!("metrics: a client of {} makes room for another", out.of);
        if let Some(task) = out.task {
            task.abort();
        }
    }

    fn next_event(&self) -> u64 {
        self.events.set(self.events.get() + 1);
        self.events.get()
    }
}

impl Place {
    /// Its name.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The client has asked for something.
    pub fn asks(&self) {
        let event = self.places.next_event();
        if let Some(taken) = self.places.taken.borrow_mut().iter_mut().find(|taken| taken.id == self.id) {
            taken.asked = event;
        }
    }

    /// [`Places::are_short`]
    pub fn are_short(&self) -> bool {
        self.places.are_short()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.borrow_mut().retain(|taken| taken.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_there(place: &Place) -> bool {
        place.places.taken.borrow().iter().any(|taken| taken.id == place.id)
    }

    fn enter(places: &Rc<Places>, peer: &str, count: usize) -> Vec<Place> {
        (0..count).map(|_| places.enter(peer.parse().unwrap())).collect()
    }

    #[test]
    fn a_network_that_takes_all_places_keeps_nobody_out() {
        let places = Rc::new(Places::default());
        let probe = enter(&places, "10.0.0.1", 1).remove(0);
        let crowd = enter(&places, "2001:db8::1", CLIENTS_MAX);
        assert!(is_there(&probe), "it has one place, and asked first");
        assert!(!is_there(&crowd[0]) && crowd[1..].iter().all(is_there));
        let second = enter(&places, "10.0.0.2", 1).remove(0);
        assert!(is_there(&probe) && is_there(&second) && !is_there(&crowd[1]));
        // All of one network of IPv6 are one.
        let more = enter(&places, "2001:db8::2", CLIENTS_MAX);
        assert!(crowd.iter().all(|place| !is_there(place)) && more[2..].iter().all(is_there));
        assert!(is_there(&probe) && is_there(&second));
        assert_eq!(places.taken.borrow().len(), CLIENTS_MAX);
    }

    #[test]
    fn of_neighbours_the_one_who_asked_for_nothing_for_longest_goes() {
        let places = Rc::new(Places::default());
        let crowd = enter(&places, "10.0.0.1", CLIENTS_MAX);
        crowd[0].asks();
        let newcomer = enter(&places, "10.0.0.1", 1).remove(0);
        assert!(is_there(&newcomer) && is_there(&crowd[0]) && !is_there(&crowd[1]));
    }

    #[test]
    fn who_leaves_makes_room() {
        let places = Rc::new(Places::default());
        let mut crowd = enter(&places, "10.0.0.1", CLIENTS_MAX);
        assert!(places.are_short());
        drop(crowd.pop());
        let _other = places.enter("10.0.0.1".parse().unwrap());
        assert!(crowd.iter().all(is_there));
        crowd.truncate(CLIENTS_MAX / 2 - 1);
        assert!(!places.are_short());
    }
}
