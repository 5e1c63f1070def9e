//! A login on its way: what the client said, and a password that is to be compared with a costly hash.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::delays::{Delays, Network, Place, Said};
use super::users::{Proof, User};
use crate::base::clock::Seconds;

/// What a client said to log in, and whose it is.
pub(super) struct Attempt {
    pub network: Network,
    pub name: Box<[u8]>,
    pub password: Zeroizing<Vec<u8>>,
}

impl Attempt {
    fn bytes(&self) -> usize {
        self.name.len() + self.password.capacity()
    }

    pub fn said(&self, generation: u32) -> Said<'_> {
        Said { name: &self.name, password: &self.password, generation }
    }
}

/// A login that has to wait before it is judged, since others of its network were wrong. Dropped, it was none.
pub struct Held {
    pub(super) attempt: Attempt,
    pub(super) until: Seconds,
    pub(super) _place: Place,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Held {
    /// When it is to be judged.
    pub fn until(&self) -> Seconds {
        self.until
    }

    /// Whom the client said to be.
    pub fn name(&self) -> &[u8] {
        &self.attempt.name
    }

    /// Bytes that are kept of what the client said.
    pub fn bytes(&self) -> usize {
        self.attempt.bytes()
    }
}

/// What came of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The password is the user's.
    Right,
    /// It is not.
    Wrong,
    /// It was not compared: others of its network were wrong meanwhile, so it is to wait first.
    NotYet,
    /// Nor was this one: there were too many.
    GivenUp,
}

/// A password to be compared with a costly hash: apart from the threads that serve clients. Whoever waits for the
/// outcome has it; if nobody does any more, it need not be made.
pub struct Check {
    pub(super) attempt: Attempt,
    pub(super) user: Arc<User>,
    pub(super) at: Seconds,
    pub(super) generation: u32,
    /// It has waited as long as it was to.
    pub(super) was_held: bool,
    pub(super) delays: Arc<Mutex<Delays>>,
    pub(super) outcome: OnceLock<Outcome>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl Check {
    /// Whose it is.
    pub(super) fn network(&self) -> Network {
        self.attempt.network
    }

    /// Whom the client said to be.
    pub fn name(&self) -> &[u8] {
        &self.attempt.name
    }

    /// Bytes that are kept of what the client said.
    pub fn bytes(&self) -> usize {
        self.attempt.bytes()
    }

    /// What came of it, once it is known.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.get().copied()
    }

    /// Leaves it at that.
    pub fn give_up(&self) {
        let _ = self.outcome.set(Outcome::GivenUp);
    }

    /// Compares, and notes a failure before the next of the network is compared.
    pub fn run(&self) {
        let network = self.attempt.network;
        let outcome = if !self.was_held && self.delays.lock().is_delayed(network) {
            Outcome::NotYet
        } else if matches!(&self.user.proof, Proof::Password(hash) if hash.verify(&self.attempt.password)) {
            Outcome::Right
        } else {
            self.delays.lock().note(network, self.attempt.said(self.generation), self.at);
            Outcome::Wrong
        };
        // Another may have given it up meanwhile; then that is what the client is told.
        let _ = self.outcome.set(outcome);
    }
}

#[cfg(test)]
impl Check {
    pub(super) fn for_test(network: Network, name: &str) -> Check {
        let hash = super::hashing::Hash::unknown((8, 1, 1)).unwrap();
        Check {
            attempt: Attempt { network, name: name.as_bytes().into(), password: Zeroizing::default() },
            user: Arc::new(User::nobody(Arc::new(hash))),
            at: Seconds(1),
            generation: 0,
            was_held: false,
            delays: Arc::default(),
            outcome: OnceLock::new(),
        }
    }
}
