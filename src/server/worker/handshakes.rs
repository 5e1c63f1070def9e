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
    /// Those that are ready for a step, the longest first, and with which ticket. They may be gone.
    waiting: VecDeque<(Token, u64)>,
    /// By a connection's place the ticket it waits with, 0 for none: whoever takes the place of one that is gone has
    /// not its turn.
    tickets: Vec<u64>,
    /// The last one that was given.
    last_ticket: u64,
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
        self.last_ticket += 1;
        if self.tickets.len() <= token.0 {
            self.tickets.resize(token.0 + 1, 0);
        }
        self.tickets[token.0] = self.last_ticket;
        self.waiting.push_back((token, self.last_ticket));
    }

    /// The next of those that wait, if there is a step left, which this does not take.
    pub fn next(&mut self) -> Option<Token> {
        while self.steps_left > 0 {
            let (token, ticket) = self.waiting.pop_front()?;
            if self.tickets[token.0] == ticket {
                self.tickets[token.0] = 0;
                return Some(token);
            }
        }
        None
    }

    /// A connection is gone, whether it waited or not.
    pub fn forget(&mut self, token: Token) {
        if let Some(ticket) = self.tickets.get_mut(token.0) {
            *ticket = 0;
        }
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
    fn whoever_takes_the_place_of_one_that_is_gone_waits_at_the_end() {
        let mut handshakes = Handshakes::default();
        (1..=3).for_each(|place| handshakes.wait(Token(place)));
        (1..=2).for_each(|place| handshakes.forget(Token(place)));
        // A new one in place 1 waits as well, that in place 2 does not.
        handshakes.wait(Token(1));
        handshakes.begin_round();
        assert_eq!([(); 3].map(|()| handshakes.next()), [Some(Token(3)), Some(Token(1)), None]);
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
