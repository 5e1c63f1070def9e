//! Requests that come in datagrams, and replies cut into datagrams: the protocol over UDP.
//!
//! Each datagram begins with a header of four numbers of 16 bits, big-endian: an id that the client chooses
//! and finds in the reply, the number of this datagram within its message, how many the message has, and 0.
//! A request is one datagram. The reply to each of its commands is a message of its own. Nothing is kept from
//! one request to the next: a command whose line or value is not all there gets no answer.
//!
//! A sender may be forged, and the reply then meets somebody who did not ask. So what is sent for one datagram
//! has a limit, and what looks like a reply is never answered: two servers would else talk for ever.

use crate::protocol::output::Output;

use super::reply;
use super::session::{BINARY_MAGIC, Carrier, Expecting, Next, Session, Turn};

/// Bytes of a datagram that is sent, at most, header included: as in memcached, so that with the headers
/// below it fits an Ethernet frame.
pub const FRAGMENT_BYTES: usize = 1400;
/// Bytes of the header.
const HEADER_BYTES: usize = 8;
/// Bytes of a reply in one datagram.
const PAYLOAD_BYTES: usize = FRAGMENT_BYTES - HEADER_BYTES;
/// Bytes of replies at which a list of keys, or a datagram with several commands, is broken off. A single item
/// may be longer. memcached has no such limit; far less than this gets lost in the receiver's buffer.
pub(super) const REPLY_BYTES_MAX: usize = 1 << 20;

/// A reply on its way: which of its datagrams is the next.
#[derive(Debug)]
pub struct Message {
    id: u16,
    /// `next <= total`
    next: u16,
    total: u16,
}

impl Message {
    /// `None` if so many bytes are too many for one message: its datagrams are counted in 16 bits.
    fn new(id: u16, bytes: usize) -> Option<Message> {
        let total = u16::try_from(bytes.div_ceil(PAYLOAD_BYTES)).ok()?;
        Some(Message { id, next: 0, total })
    }

    /// Whether there is a further datagram.
    pub fn has_next(&self) -> bool {
        self.next < self.total
    }

    /// Moves bytes from `output`, which holds this reply, to the next datagram and returns that.
    pub fn next<'a>(&mut self, output: &mut Output, into: &'a mut [u8; FRAGMENT_BYTES]) -> &'a [u8] {
        let (header, payload) = into.split_at_mut(HEADER_BYTES);
        let numbers = [self.id, self.next, self.total, 0];
        for (bytes, number) in header.chunks_exact_mut(2).zip(numbers) {
            bytes.copy_from_slice(&number.to_be_bytes());
        }
        let taken = output.take(payload);
        self.next = self.next.saturating_add(1);
        &into[..HEADER_BYTES + taken]
    }
}

/// The commands of one datagram.
#[derive(Debug)]
pub struct Exchange {
    id: u16,
    session: Session,
    /// Bytes of the datagram that are done with.
    at: usize,
    /// Bytes of the replies so far.
    answered: usize,
    is_over: bool,
}

impl Exchange {
    /// `None` if `datagram` is no request.
    pub fn begin(datagram: &[u8]) -> Option<Exchange> {
        let (header, payload) = datagram.split_first_chunk::<HEADER_BYTES>()?;
        let [id, _, total, _] = [0, 2, 4, 6].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
        // Commands are in small letters; replies begin with a capital one.
        let is_command = !matches!(payload.first()?, b'A'..=b'Z' | &BINARY_MAGIC);
        (total == 1 && is_command).then(|| Exchange {
            id,
            session: Session::new(),
            at: HEADER_BYTES,
            answered: 0,
            is_over: false,
        })
    }

    /// What is behind the header of a request.
    pub fn commands(datagram: &[u8]) -> &[u8] {
        datagram.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// Whether all that the datagram holds is done.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Carries out the next command of `datagram`, the one it was begun with, or a part of it. The reply is
    /// then in the turn's output, which was empty, and to be sent as the message that is returned, if any.
    pub fn go_on(&mut self, datagram: &[u8], turn: &mut Turn) -> Option<Message> {
        if self.answered >= REPLY_BYTES_MAX {
            return self.break_off(turn.output);
        }
        turn.carrier = Carrier::Datagram;
        // None behind a job that is under way: its reply is a message of its own.
        turn.commands_left = usize::from(!matches!(self.session.expecting, Expecting::Job(_)));
        let served = self.session.serve(datagram.get(self.at..).unwrap_or_default(), turn);
        self.at += served.consumed;
        let is_done = matches!(self.session.expecting, Expecting::Command);
        match served.next {
            Next::Yield | Next::OutputFull if is_done => {}
            // A job that takes several turns.
            Next::Yield if !turn.output_is_full() => return None,
            Next::Yield | Next::OutputFull => return self.break_off(turn.output),
            Next::NeedInput => {
                self.is_over = true;
                // A refusal stands, however much of what was refused is here.
                if !is_done && !matches!(self.session.expecting, Expecting::RefusedValue(_)) {
                    turn.output.clear();
                }
            }
            Next::Close | Next::Refuse | Next::Wait => self.is_over = true,
        }
        let bytes = turn.output.pending();
        self.answered += bytes;
        match Message::new(self.id, bytes) {
            Some(message) => Some(message).filter(Message::has_next),
            None => self.break_off(turn.output),
        }
    }

    /// Answers with an error in place of what is in `output`, and nothing more.
    fn break_off(&mut self, output: &mut Output) -> Option<Message> {
        self.is_over = true;
        output.clear();
        output.push(reply::TOO_LONG_FOR_UDP);
        Message::new(self.id, output.pending())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::Clock;
    use crate::config::Settings;
    use crate::protocol::memcached::{Daemon, Hooks, Tag};
    use crate::store::{Store, StoreOptions};

    fn daemon() -> Daemon {
        let store = Store::new(&StoreOptions { workers: 1, ..StoreOptions::default() });
        Daemon::new(Settings { threads: 1, ..Settings::default() }, store, Clock::start(), Hooks::default())
    }

    fn request(payload: impl AsRef<[u8]>) -> Vec<u8> {
        [b"\x12\x34\0\0\0\x01\0\0", payload.as_ref()].concat()
    }

    /// The messages that answer one datagram, each put together; `None` if it is no request.
    fn answers(daemon: &Daemon, datagram: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut exchange = Exchange::begin(datagram)?;
        let mut output = Output::default();
        let mut messages = Vec::new();
        while !exchange.is_over() {
            let now = daemon.clock.now();
            let mut turn = Turn::new(daemon, daemon.counters(0, Tag::default()), now, 1, 7, &mut output);
            match exchange.go_on(datagram, &mut turn) {
                Some(mut message) => messages.push(put_together(&mut message, &mut output)),
                None => assert!(!exchange.is_over() || output.pending() == 0),
            }
        }
        Some(messages)
    }

    /// The bytes of a message, whose datagrams must be numbered, full but for the last, and not empty.
    fn put_together(message: &mut Message, output: &mut Output) -> Vec<u8> {
        let total = message.total;
        let mut whole = Vec::new();
        for number in 0..total {
            assert!(message.has_next());
            let mut bytes = [0xee; FRAGMENT_BYTES];
            let fragment = message.next(output, &mut bytes);
            let header = [message.id, number, total, 0].map(u16::to_be_bytes).concat();
            assert_eq!(fragment[..HEADER_BYTES], header);
            assert!(fragment.len() > HEADER_BYTES);
            assert!(number == total - 1 || fragment.len() == FRAGMENT_BYTES);
            whole.extend_from_slice(&fragment[HEADER_BYTES..]);
        }
        assert!(!message.has_next());
        assert_eq!(output.pending(), 0);
        whole
    }

    #[track_caller]
    fn check(daemon: &Daemon, payload: impl AsRef<[u8]>, expected: &[&str]) {
        let got = answers(daemon, &request(&payload)).expect("a request");
        let got: Vec<_> = got.iter().map(|message| String::from_utf8_lossy(message)).collect();
        assert_eq!(got, expected, "{}", payload.as_ref().escape_ascii());
    }

    #[test]
    fn a_message_is_cut_where_datagrams_are_full() {
        for bytes in [1, 2, 1391, 1392, 1393, 2784, 2785, 100_000] {
            let reply: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
            let mut output = Output::default();
            output.push(&reply);
            let mut message = Message::new(0xfffe, bytes).unwrap();
            assert_eq!(usize::from(message.total), bytes.div_ceil(1392));
            assert!(put_together(&mut message, &mut output) == reply, "{bytes}");
        }
        assert_eq!(Message::new(1, 65_535 * 1392).map(|message| message.total), Some(65_535));
        assert!(Message::new(1, 65_535 * 1392 + 1).is_none());
        assert!(!Message::new(1, 0).unwrap().has_next());
    }

    #[test]
    fn a_request_is_one_datagram_and_no_reply() {
        let id = |datagram: &[u8]| Exchange::begin(datagram).map(|exchange| exchange.id);
        assert_eq!(id(b"\x12\x34\0\0\0\x01\0\0x"), Some(0x1234));
        assert_eq!(id(b"\xff\xff\0\x05\0\x01\0\x07\n"), Some(0xffff), "memcached looks at no more either");
        for datagram in [
            &b""[..],
            b"\0",
            b"\0\x01\0\0\0\x01\0",
            b"\0\x01\0\0\0\x01\0\0",
            b"\0\x01\0\0\0\0\0\0get a\r\n",
            b"\0\x01\0\0\0\x02\0\0get a\r\n",
            b"\0\x01\0\0\x01\x01\0\0get a\r\n",
            b"\0\x01\0\0\0\x01\0\0\x80\0\0\0",
            b"\0\x01\0\0\0\x01\0\0ERROR\r\n",
            b"\0\x01\0\0\0\x01\0\0VALUE k 0 7\r\nget k\r\n\r\nEND\r\n",
        ] {
            assert_eq!(id(datagram), None, "{}", datagram.escape_ascii());
        }
    }

    #[test]
    fn no_reply_is_answered() {
        let daemon = daemon();
        check(&daemon, "set k 0 0 7\r\nget k\r\n\r\nset n 0 0 1\r\n7\r\n", &["STORED\r\n", "STORED\r\n"]);
        for command in [
            "get k\r\n",
            "mg k v\r\n",
            "mg k\r\n",
            "mg none\r\n",
            "me k\r\n",
            "mn\r\n",
            "bogus\r\n",
            "x\r\n",
            "stats\r\n",
            "stats conns\r\n",
            "version\r\n",
            "set k 0 0 x\r\n",
            "watch\r\n",
            "delete none\r\n",
            "set k 0 0 2000000\r\n",
            "verbosity 1\r\n",
            "refresh_certs\r\n",
        ] {
            for reply in answers(&daemon, &request(command)).unwrap() {
                assert!(Exchange::begin(&request(&reply)).is_none(), "{command:?}: {}", reply.escape_ascii());
            }
        }
        // A number is no command: what that is answered with is not answered any more.
        check(&daemon, "incr n 1\r\n", &["8\r\n"]);
        check(&daemon, "8\r\n", &["CLIENT_ERROR bad command line format\r\n"]);
    }

    #[test]
    fn each_command_has_a_message() {
        let daemon = daemon();
        check(
            &daemon,
            "set a 0 0 1\r\nx\r\nget a a b a\r\nget b\r\n",
            &["STORED\r\n", "VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n", "END\r\n"],
        );
        check(
            &daemon,
            "set b 0 0 1 noreply\r\ny\r\nmg none q\r\nmg b v q\r\nbogus\r\nmn\r\n",
            &["VA 1\r\ny\r\n", "ERROR\r\n", "MN\r\n"],
        );
        check(&daemon, "quit\r\nget a\r\n", &[]);
        check(&daemon, "mn\r\n".repeat(50), &["MN\r\n"; 50]);
    }

    #[test]
    fn what_is_not_all_there_is_not_answered_nor_kept() {
        let daemon = daemon();
        for payload in [
            "get a",
            "set a 0 0 3\r\nxy",
            "set a 0 0 3\r\nxyz",
            "set a 0 0 3\r\n",
            "ms a 3\r\nxyz\r",
            "x",
            &"x".repeat(3000),
            &"get a a a ".repeat(1000),
        ] {
            check(&daemon, payload, &[]);
            check(&daemon, "get a\r\n", &["END\r\n"]);
        }
        check(&daemon, "mn\r\nset a 0 0 3\r\nx", &["MN\r\n"]);
        assert_eq!(daemon.store.stats(daemon.clock.now().seconds).used_bytes, used_bytes_of_nothing());
        check(&daemon, "set a 0 0 2000000\r\nx", &["SERVER_ERROR object too large for cache\r\n"]);
        check(&daemon, "set a 0 0 1\r\nxyzxyzxyz\r\n", &["CLIENT_ERROR bad data chunk\r\n", "ERROR\r\n"]);
    }

    /// What a store holds in which nothing is stored any more.
    fn used_bytes_of_nothing() -> u64 {
        let daemon = daemon();
        check(&daemon, "set a 0 0 3\r\nxyz\r\ndelete a\r\n", &["STORED\r\n", "DELETED\r\n"]);
        daemon.store.stats(daemon.clock.now().seconds).used_bytes
    }

    #[test]
    fn commands_that_take_long_are_refused() {
        let daemon = daemon();
        check(&daemon, "set a 0 0 1\r\nx\r\n", &["STORED\r\n"]);
        let refused = &["CLIENT_ERROR not available over UDP\r\n"];
        for command in ["watch", "watch mutations", "lru_crawler metadump all", "lru_crawler mgdump all"] {
            check(&daemon, format!("{command}\r\n"), refused);
        }
        check(&daemon, "flush_prefix a\r\n", refused);
        check(&daemon, "shutdown\r\n", refused);
        let both = "get a\r\nlru_crawler metadump all\r\n";
        check(&daemon, both, &["VALUE a 0 1\r\nx\r\nEND\r\n", refused[0]]);
        assert_eq!(daemon.watch.watchers(), 0);
        check(&daemon, "stats conns\r\n", &["END\r\n"]);
    }

    #[test]
    fn the_replies_to_one_datagram_are_bounded() {
        let daemon = daemon();
        let value = "v".repeat(50_000);
        for key in ["a", "b"] {
            check(&daemon, format!("set {key} 0 0 50000\r\n{value}\r\n"), &["STORED\r\n"]);
        }
        let total = |payload: String| answers(&daemon, &request(payload)).unwrap();
        let list = total(format!("get{}\r\n", " a".repeat(20)));
        assert_eq!(list.len(), 1);
        assert!(list[0].len() > 1_000_000 && list[0].ends_with(b"\r\nEND\r\n"));
        let too_long = format!("get{}\r\nget a\r\n", " a".repeat(10_000));
        assert_eq!(total(too_long), [reply::TOO_LONG_FOR_UDP]);
        let many = total("get a b\r\n".repeat(5000));
        assert_eq!(many.len(), REPLY_BYTES_MAX.div_ceil(100_000) + 1);
        assert_eq!(many.last().unwrap(), reply::TOO_LONG_FOR_UDP);
    }

    #[test]
    fn a_list_of_connections_is_one_message_or_an_error() {
        use crate::protocol::memcached::{Address, ConnectionInfo};
        let daemon = daemon();
        for (connections, is_told) in [(200, true), (20_000, false)] {
            for fd in 0..connections {
                let info = ConnectionInfo::new(
                    fd,
                    Address::Unknown,
                    None,
                    Tag::default(),
                    daemon.clock.now().seconds,
                );
                daemon.registry.enter(std::sync::Arc::new(info));
            }
            let list = answers(&daemon, &request("stats conns\r\nmn\r\n")).unwrap();
            assert_eq!(list.len(), if is_told { 2 } else { 1 });
            assert_eq!(list[0].ends_with(b"END\r\n"), is_told);
            assert_eq!(list[0] == reply::TOO_LONG_FOR_UDP, !is_told);
        }
    }

    /// Pieces of which datagrams are made that reach deeper than random bytes.
    const PIECES: [&str; 24] = [
        "get a b\r\n",
        "get ",
        "set a 0 0 5\r\n",
        "hello\r\n",
        "ms b 3 q\r\n",
        "abc\r\n",
        "mg a v q k\r\n",
        "mn\r\n",
        "\r\n",
        "\n",
        "incr a 1\r\n",
        "set a 0 0 99999999\r\n",
        "stats\r\n",
        "stats conns\r\n",
        "quit\r\n",
        "append a 0 0 2 noreply\r\n",
        "xy\r\n",
        "watch\r\n",
        "flush_all\r\n",
        "\u{80}",
        "key",
        " ",
        "verbosity\r\n",
        "lru_crawler metadump all\r\n",
    ];

    proptest! {
        #[test]
        fn whatever_comes_is_done_with_in_bounded_steps(
            header in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..9),
            pieces in prop::collection::vec((0..PIECES.len() + 3, prop::collection::vec(any::<u8>(), 0..40)), 0..60),
            is_request in prop::bool::weighted(0.9),
        ) {
            let mut datagram = if is_request { request("") } else { header };
            for (number, bytes) in pieces {
                datagram.extend(PIECES.get(number).map_or(bytes.as_slice(), |piece| piece.as_bytes()));
            }
            let daemon = daemon();
            if let Some(messages) = answers(&daemon, &datagram) {
                prop_assert!(messages.len() <= datagram.len());
                let bytes: usize = messages.iter().map(Vec::len).sum();
                prop_assert!(bytes <= 2 * REPLY_BYTES_MAX + (1 << 20));
            }
            // Nothing is left of it for the next one.
            let last = answers(&daemon, &request("mn\r\n"));
            prop_assert_eq!(last, Some(vec![b"MN\r\n".to_vec()]));
        }
    }
}
