//! How many connections each address has, and the limit to it (`-o conns_per_address`).
//!
//! One client that opens connections without end, by mistake or on purpose, then keeps no other out. Addresses are
//! IPv4 addresses or /64 networks of IPv6, of which whoever has one address has all; all behind one translated address
//! are one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::clock::Seconds;
use crate::base::network::network;
use crate::base::rationed::Rationed;
use crate::protocol::memcached::Address;

type Counts = Mutex<HashMap<IpAddr, usize>>;

/// A connection's share of its address, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    counts: Arc<Counts>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

/// The address has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PerAddress {
    counts: Arc<Counts>,
    refusals: Rationed,
}

impl PerAddress {
    /// A place for one more connection of `peer`, of `limit`. Clients of a Unix socket need none, nor does anybody
    /// where the limit is 0; a limit that is set later counts those that come from then on.
    pub fn enter(&self, peer: &Address, limit: usize) -> Result<Option<Box<Place>>, TooMany> {
        let Address::Tcp(peer) = peer else { return Ok(None) };
        if limit == 0 {
            return Ok(None);
        }
        let ip = network(peer.ip());
        let mut counts = self.counts.lock();
        let count = counts.entry(ip).or_default();
        if *count >= limit {
            return Err(TooMany);
        }
        *count += 1;
        Ok(Some(Box::new(Place { counts: self.counts.clone(), ip })))
    }

    /// Tells the log, now and then, that `peer` is refused for it.
    pub fn tell(&self, peer: &Address, limit: usize, now: Seconds) {
        self.refusals.tell(now, "turned away", |untold| {
            log::warn!(
                event = "connection_rejected", peer:% = peer;
                "{peer} is turned away: its address has {limit} connections (-o conns_per_address){untold}"
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    #[test]
    fn each_address_has_its_places_and_gets_them_back() {
        let limited = PerAddress::default();
        let (one, other) = (peer("10.0.0.1:5"), peer("[2001:db8::1]:5"));
        let first = limited.enter(&one, 2).unwrap();
        let _second = limited.enter(&peer("10.0.0.1:6"), 2).unwrap();
        assert_eq!(limited.enter(&one, 2).unwrap_err(), TooMany);
        let _third = limited.enter(&other, 2).unwrap();
        let _neighbour = limited.enter(&peer("[2001:db8::2]:5"), 2).unwrap();
        assert_eq!(limited.enter(&peer("[2001:db8::3]:5"), 2).unwrap_err(), TooMany);
        assert!(limited.enter(&Address::Unknown, 2).unwrap().is_none());
        drop(first);
        let again = limited.enter(&one, 2).unwrap();
        assert_eq!(limited.enter(&one, 2).unwrap_err(), TooMany);
        drop((again, _second, _third, _neighbour));
        assert!(limited.counts.lock().is_empty());
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let unlimited = PerAddress::default();
        assert!(unlimited.enter(&peer("10.0.0.1:5"), 0).unwrap().is_none());
        assert!(unlimited.counts.lock().is_empty());
    }
}
