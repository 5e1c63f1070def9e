//! Requests over UDP: what is answered is numbered, bounded, in the protocol's forms, and no request itself.

use super::sessions::{daemon, now};
use super::shape;
use crate::protocol::memcached::{Exchange, FRAGMENT_BYTES, Tag, Turn};
use crate::protocol::output::Output;

/// Bytes of a datagram's header.
const HEADER_BYTES: usize = 8;
/// Steps that one datagram may take.
const STEPS_MAX: usize = 100_000;
/// Bytes that one datagram may be answered with: the limit, and the item that goes beyond it.
const ANSWER_BYTES_MAX: usize = 3 << 20;

/// Takes the first byte as settings and the rest as a datagram.
pub fn check_datagram(input: &[u8]) {
    let Some((&choices, datagram)) = input.split_first() else { return };
    let daemon = daemon(choices);
    let Some(mut exchange) = Exchange::begin(datagram) else { return };
    let mut output = Output::default();
    let mut bytes = 0;
    for _ in 0..STEPS_MAX {
        if exchange.is_over() {
            assert_eq!(output.pending(), 0);
            drop(exchange);
            let store = daemon.store.clone();
            daemon.held.let_all_go(&store, now(&daemon).seconds);
            drop(daemon);
            return store.check_books(0);
        }
        let counters = daemon.counters(0, Tag::default());
        let mut turn = Turn::new(&daemon, counters, now(&daemon), 1, 7, &mut output);
        let Some(mut message) = exchange.go_on(datagram, &mut turn) else { continue };
        let mut whole = Vec::new();
        let mut count: u16 = 0;
        let mut total = 0;
        while message.has_next() {
            let mut place = [0; FRAGMENT_BYTES];
            let fragment = message.next(&mut output, &mut place);
            let field = |at: usize| u16::from_be_bytes([fragment[at], fragment[at + 1]]);
            assert_eq!(fragment[..2], datagram[..2], "the client's id");
            assert_eq!((field(2), field(6)), (count, 0));
            assert!(fragment.len() > HEADER_BYTES && (count == 0 || field(4) == total));
            total = field(4);
            assert!(count + 1 == total || fragment.len() == FRAGMENT_BYTES);
            assert!(
                Exchange::begin(fragment).is_none() || total > 1 || !whole.is_empty() || is_number(fragment)
            );
            whole.extend_from_slice(&fragment[HEADER_BYTES..]);
            count += 1;
        }
        assert_eq!(count, total);
        shape::all(&whole);
        bytes += whole.len();
        assert!(bytes <= ANSWER_BYTES_MAX, "{bytes} bytes for one datagram");
    }
    panic!("no end after {STEPS_MAX} steps");
}

/// The answer to incr, which is a request for nothing.
fn is_number(fragment: &[u8]) -> bool {
    fragment[HEADER_BYTES..].first().is_some_and(u8::is_ascii_digit)
}
