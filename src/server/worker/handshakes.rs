//! A worker's TLS handshakes: how many steps of them it takes between the turns of others, and whose turn it is.
//!
//! A step may take a millisecond, a request some microseconds, and anybody who can connect may begin handshakes: so a
//! round takes few steps, and whoever has to wait for one waits in a queue, which new ones join at its end.

use std::collections::VecDeque;

use mio::Token;

use crate::base::clock::Seconds;

/// Steps taken before those who are connected have their turns again.
pub(super) const STEPS_PER_ROUND: usize = 2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// Connections that began with a handshake, and when, in that order. It may be over.
    begun: VecDeque<(Token, Seconds)>,
    /// Those that are ready for a step, the longest first. They may be gone, and their places taken.
    waiting: VecDeque<Token>,
    /// Steps that may still be taken in this round.
    steps_left: usize,
}

impl Handshakes {
    /// A connection begins with a handshake.
    pub fn begin(&mut self, token: Token, now: Seconds) {
        self.begun.push_back((token, now));
    }

    /// Gives a connection that began `limit` seconds ago or earlier, each once.
    pub fn take_late(&mut self, limit: u32, now: Seconds) -> Option<(Token, Seconds)> {
        self.begun.pop_front_if(|(_, began)| now.0.saturating_sub(began.0) > limit)
    }

    /// All have had their turns.
    pub fn begin_round(&mut self) {
        self.steps_left = STEPS_PER_ROUND;
    }

    /// Whether there are any that wait.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether one that is ready now may take its step. Else it is to [wait](Self::wait).
    pub fn may_step(&mut self) -> bool {
        // Were it let in before those who wait, a crowd that keeps coming would keep them waiting until they are late.
        self.waiting.is_empty() && self.take_step()
    }

    /// Lets one wait for its step.
    pub fn wait(&mut self, token: Token) {
        self.waiting.push_back(token);
    }

    /// The next of those that wait, if there is a step left, which this does not take.
    pub fn next(&mut self) -> Option<Token> {
        if self.steps_left == 0 { None } else { self.waiting.pop_front() }
    }

    /// Takes a step, if one is left.
    pub fn take_step(&mut self) -> bool {
        let is_left = self.steps_left > 0;
        self.steps_left = self.steps_left.saturating_sub(1);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_comes_before_whoever_came_later() {
        let mut handshakes = Handshakes::default();
        let mut stepped = Vec::new();
        for round in 0..20 {
            handshakes.begin_round();
            let before = stepped.len();
            // One more than a round takes.
            for number in 0..=STEPS_PER_ROUND {
                let token = Token(round * (STEPS_PER_ROUND + 1) + number);
                if handshakes.may_step() {
                    stepped.push(token);
                } else {
                    handshakes.wait(token);
                }
            }
            while let Some(token) = handshakes.next() {
                assert!(handshakes.take_step());
                stepped.push(token);
            }
            assert_eq!(stepped.len() - before, STEPS_PER_ROUND);
        }
        assert!(handshakes.has_waiting());
        assert_eq!(stepped, (0..20 * STEPS_PER_ROUND).map(Token).collect::<Vec<_>>());
    }

    #[test]
    fn those_that_take_too_long_are_given_once() {
        let mut handshakes = Handshakes::default();
        for (number, began) in [(1, 5), (2, 6), (1, 9)] {
            handshakes.begin(Token(number), Seconds(began));
        }
        for (now, expected) in [(8, vec![]), (9, vec![1]), (9, vec![]), (13, vec![2, 1]), (99, vec![])] {
            let late = std::iter::from_fn(|| handshakes.take_late(3, Seconds(now)));
            let late: Vec<usize> = late.map(|(token, _)| token.0).collect();
            assert_eq!(late, expected, "at {now}");
        }
    }
}
