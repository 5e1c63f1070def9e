//! larder's hand-over between threads, with loom's atomics in place of the system's: loom runs each test once for
//! every order of steps that the memory model allows.

#![cfg(test)]

use loom::sync::atomic;

#[path = "../../../src/base/handover.rs"]
mod handover;

use handover::{Bell, Places};
use loom::sync::{Arc, Mutex, Notify};
use loom::thread;

/// A worker with its channel and its waker, as far as threads meet there.
struct Worker {
    incoming: Mutex<Vec<u32>>,
    bell: Bell,
    waker: Notify,
}

/// Hands `numbers` over one by one, as the listener does.
fn hand_over(worker: &Worker, numbers: impl Iterator<Item = u32>) {
    for number in numbers {
        worker.incoming.lock().unwrap().push(number);
        if worker.bell.ring() {
            worker.waker.notify();
        }
    }
}

#[test]
fn nothing_that_was_handed_over_is_left_lying() {
    loom::model(|| {
        let (incoming, bell, waker) = (Mutex::new(Vec::new()), Bell::default(), Notify::new());
        let worker = Arc::new(Worker { incoming, bell, waker });
        let hands = {
            let worker = worker.clone();
            thread::spawn(move || hand_over(&worker, 0..3))
        };
        let mut taken = Vec::new();
        // It sleeps for ever, which loom calls a deadlock, if nobody wakes it for what is there.
        while taken.len() < 3 {
            worker.waker.wait();
            if worker.bell.answer() {
                taken.append(&mut worker.incoming.lock().unwrap());
            }
        }
        hands.join().unwrap();
        assert_eq!(taken, [0, 1, 2]);
    });
}

/// Takes the only place, or waits until it is given up, as the listener does.
fn wait_for_place(places: &Places, freed: &Notify) {
    if places.taken() > 0 {
        let mut taken = places.wait();
        while taken > 0 {
            freed.wait();
            taken = places.taken();
        }
        places.wait_no_more();
    }
    places.take();
}

#[test]
fn who_waits_for_a_place_is_woken_when_there_is_one() {
    loom::model(|| {
        let places = Arc::new(Places::default());
        let freed = Arc::new(Notify::new());
        places.take();
        let leaves = {
            let (places, freed) = (places.clone(), freed.clone());
            thread::spawn(move || {
                if places.give_up() {
                    freed.notify();
                }
            })
        };
        wait_for_place(&places, &freed);
        leaves.join().unwrap();
        assert_eq!(places.taken(), 1);
        assert!(!places.is_awaited());
    });
}

#[test]
fn of_two_that_leave_one_at_least_wakes() {
    loom::model(|| {
        let places = Arc::new(Places::default());
        let freed = Arc::new(Notify::new());
        places.take();
        places.take();
        let leave = || {
            let (places, freed) = (places.clone(), freed.clone());
            thread::spawn(move || {
                if places.give_up() {
                    freed.notify();
                }
            })
        };
        let leaving = [leave(), leave()];
        wait_for_place(&places, &freed);
        leaving.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(places.taken(), 1);
    });
}
