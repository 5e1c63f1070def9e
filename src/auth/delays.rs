//! How long an address waits for the answer to a login that failed, and which failures the log is told of.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::base::clock::Seconds;
use crate::base::network::network;
use crate::base::rationed::Rationed;

/// Failures that are answered at once: people and programs err.
const FREE_FAILURES: u32 = 3;
/// The longest delay.
const DELAY_SECS_MAX: u32 = 8;
/// A failure is forgotten after so many seconds without another.
const MEMORY_SECS: u32 = 60;
/// Addresses that are remembered at a time.
const ADDRESSES_MAX: usize = 4096;

/// See the module. `None` stands for clients without an address: those of a Unix socket.
#[derive(Debug, Default)]
pub(super) struct Delays {
    failures: HashMap<Option<IpAddr>, (u32, Seconds)>,
    told: Rationed,
}

impl Delays {
    /// Notes a failure; seconds until it should be answered.
    pub fn note(&mut self, address: Option<IpAddr>, now: Seconds) -> u32 {
        let address = address.map(network);
        if self.failures.len() >= ADDRESSES_MAX && !self.failures.contains_key(&address) {
            self.failures.retain(|_, (_, at)| now.0.saturating_sub(at.0) <= MEMORY_SECS);
            if self.failures.len() >= ADDRESSES_MAX {
                // So many at a time are an attack: nobody is answered quickly.
                return DELAY_SECS_MAX;
            }
        }
        let (count, at) = self.failures.entry(address).or_insert((0, now));
        if now.0.saturating_sub(at.0) > MEMORY_SECS {
            *count = 0;
        }
        (*count, *at) = (count.saturating_add(1), now);
        match *count {
            0..=FREE_FAILURES => 0,
            count => 1_u32.checked_shl(count - FREE_FAILURES - 1).unwrap_or(u32::MAX).min(DELAY_SECS_MAX),
        }
    }

    /// Whether the log is to be told of a failure, and of how many it was not told before.
    pub fn tell(&self, now: Seconds) -> Option<u64> {
        self.told.next(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn delays_grow_by_address_and_are_forgotten() {
        let mut delays = Delays::default();
        let mut note = |text: &str, now| delays.note(address(text), Seconds(now));
        let noted: Vec<u32> = (0..9).map(|second| note("10.0.0.1", 100 + second)).collect();
        assert_eq!(noted, [0, 0, 0, 1, 2, 4, 8, 8, 8]);
        assert_eq!(note("10.0.0.2", 109), 0);
        assert_eq!(note("10.0.0.1", 168), 8);
        assert_eq!(note("10.0.0.1", 229), 0);
        for host in 0..3 {
            assert_eq!(note(&format!("fe80::{host}"), 300), 0);
        }
        assert_eq!(note("fe80::99", 300), 1);
        assert_eq!(note("fe80:1::99", 300), 0);
    }

    #[test]
    fn a_crowd_of_addresses_does_not_fill_the_memory() {
        let mut delays = Delays::default();
        for host in 0..ADDRESSES_MAX as u32 {
            assert_eq!(delays.note(Some(IpAddr::V4(host.into())), Seconds(1)), 0);
        }
        assert_eq!(delays.note(address("255.0.0.1"), Seconds(2)), DELAY_SECS_MAX);
        assert_eq!(delays.failures.len(), ADDRESSES_MAX);
        assert_eq!(delays.note(address("255.0.0.1"), Seconds(70)), 0);
        assert_eq!(delays.failures.len(), 1);
    }

    #[test]
    fn the_log_is_told_now_and_then() {
        let delays = Delays::default();
        let told = [1, 1, 10, 11, 30].map(|now| delays.tell(Seconds(now)));
        assert_eq!(told, [Some(0), None, None, Some(2), Some(0)]);
    }
}
