//! A connection on a stream that fails as it is told: short reads and writes, interruptions, "not now", resets.
//! Whatever the stream does, the replies are those of a stream that does not fail, and nothing is left over.
//!
//! Tests only. A schedule that failed is kept by proptest (`proptest-regressions`) and tried first from then on.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::base::clock::{Clock, Now, Seconds};
use crate::config::{Security, Settings};
use crate::protocol::memcached::{Address, Daemon, Hooks, Tag};
use crate::store::{Store, StoreOptions};

use super::complaints::Complaints;
use super::connection::{Buffers, Connection, Fate, Setting};
use super::pace::Pace;
use super::transport::{Newcomer, Readiness, Transport};

/// Turns after which a conversation should be over.
const TURNS_MAX: usize = 100_000;

/// What becomes of one read or write.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A signal comes first.
    Interrupted,
    /// Nothing goes at present.
    NotNow,
    /// No more than this.
    Bytes(usize),
    /// The connection breaks.
    Reset,
}

/// Both ends of a stream.
#[derive(Debug, Default)]
struct Wire {
    /// What the client sends before it ends its side, and how much of it has been read.
    sent: Vec<u8>,
    read: usize,
    /// What the client has received.
    received: Vec<u8>,
    /// Of reads and of writes; without one all goes.
    read_faults: VecDeque<Fault>,
    write_faults: VecDeque<Fault>,
    is_broken: bool,
}

impl Wire {
    /// How much of `bytes` goes, if anything does.
    fn go(is_broken: &mut bool, fault: Option<Fault>, bytes: usize) -> io::Result<usize> {
        match fault {
            _ if *is_broken => Err(ErrorKind::ConnectionReset.into()),
            None => Ok(bytes),
            Some(Fault::Bytes(most)) => Ok(bytes.min(most)),
            Some(Fault::Interrupted) => Err(ErrorKind::Interrupted.into()),
            Some(Fault::NotNow) => Err(ErrorKind::WouldBlock.into()),
            Some(Fault::Reset) => {
                *is_broken = true;
                Err(ErrorKind::ConnectionReset.into())
            }
        }
    }
}

/// The daemon's end of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Faulty(Arc<Mutex<Wire>>);

/// It has no events.
impl mio::event::Source for Faulty {
    fn register(&mut self, _: &mio::Registry, _: mio::Token, _: mio::Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &mio::Registry, _: mio::Token, _: mio::Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &mio::Registry) -> io::Result<()> {
        Ok(())
    }
}

impl Faulty {
    /// The first piece is filled, at most: a short read.
    pub fn read_vectored(&self, pieces: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        match pieces.iter_mut().find(|piece| !piece.is_empty()) {
            Some(piece) => self.read(piece),
            None => Ok(0),
        }
    }

    pub fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.lock();
        let Wire { sent, read, read_faults, is_broken, .. } = &mut *wire;
        let count = Wire::go(is_broken, read_faults.pop_front(), bytes.len())?.min(sent.len() - *read);
        bytes[..count].copy_from_slice(&sent[*read..*read + count]);
        *read += count;
        Ok(count)
    }

    pub fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = self.0.lock();
        let Wire { received, write_faults, is_broken, .. } = &mut *wire;
        let all = slices.iter().map(|slice| slice.len()).sum();
        let count = Wire::go(is_broken, write_faults.pop_front(), all)?;
        received.extend(slices.iter().flat_map(|slice| slice.iter()).take(count));
        Ok(count)
    }
}

/// A daemon without threads, and the buffers of its only worker.
struct Bench {
    daemon: Daemon,
    buffers: Buffers,
    now: Now,
}

/// What a conversation leaves behind, but for what was stored.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    bytes_read: u64,
    bytes_written: u64,
    unread_bytes: u64,
    unsent_bytes: u64,
}

impl Bench {
    fn new() -> Bench {
        let settings = Settings { threads: 1, ..Settings::default() };
        let store = StoreOptions {
            memory_limit_bytes: 16 << 20,
            workers: 1,
            hash_seed: Some(1),
            ..StoreOptions::default()
        };
        let daemon = Daemon::new(settings, Store::new(&store), Clock::start(), Hooks::default());
        let now = Now { seconds: Seconds(1000), unix: 1_700_000_000 };
        Bench { daemon, buffers: Buffers::new(), now }
    }

    /// One client that sends `sent` and ends its side, on a stream with these faults. Gives what it received.
    fn converse(&mut self, sent: &[u8], reads: &[Fault], writes: &[Fault]) -> Vec<u8> {
        let wire = Wire {
            sent: sent.to_vec(),
            read_faults: reads.to_vec().into(),
            write_faults: writes.to_vec().into(),
            ..Wire::default()
        };
        let stream = Faulty(Arc::new(Mutex::new(wire)));
        let newcomer = Newcomer {
            transport: Transport::Faulty(stream.clone()),
            peer: Address::Unknown,
            tag: Tag::default(),
            security: Security::Plain,
            listen_address: None,
            place: None,
        };
        let mut connection = Connection::new(newcomer, 0, self.now.seconds);
        let counters = self.daemon.counters(0, Tag::default());
        let complaints = Complaints::default();
        let pace = Pace::new(std::time::Instant::now());
        let setting = Setting {
            daemon: &self.daemon,
            counters,
            now: self.now,
            woken: std::time::Instant::now(),
            timing: self.daemon.timing(0),
            seen: pace.begin_turn(),
            turns_are_long: false,
            complaints: &complaints,
        };
        for _ in 0..TURNS_MAX {
            // All readiness is told of each time: that is what edges come to.
            let event =
                Readiness { is_readable: true, is_read_closed: false, is_writable: true, is_broken: false };
            assert!(connection.note(event), "there is nothing to do, and it is not over");
            let mut fate = Fate::Again;
            while fate == Fate::Again {
                fate = connection.turn(&mut self.buffers, setting);
            }
            if fate == Fate::Close {
                connection.forget_kept(counters);
                drop(connection);
                let wire = stream.0.lock();
                assert_eq!(Arc::strong_count(&stream.0), 1);
                return wire.received.clone();
            }
        }
        panic!("it goes on for ever: {:?}", stream.0.lock().read);
    }

    fn left(&self) -> Left {
        let figures = self.daemon.counters(0, Tag::default()).read();
        Left {
            bytes_read: figures.bytes_read,
            bytes_written: figures.bytes_written,
            unread_bytes: figures.unread_bytes,
            unsent_bytes: figures.unsent_bytes,
        }
    }

    /// Items, and the bytes that they take.
    fn stored(&self) -> (u64, u64) {
        let stats = self.daemon.store.stats(self.now.seconds);
        (stats.items, stats.bytes)
    }

    /// What a client without faults is told of all keys of these tests.
    fn values(&mut self) -> Vec<u8> {
        let keys: String = (0..KEYS).map(|key| format!(" k{key}")).collect();
        self.converse(format!("gets{keys}\r\n").as_bytes(), &[], &[])
    }
}

const KEYS: usize = 6;

/// Commands whose replies depend on nothing but each other.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let key = || 0..KEYS;
    let size = prop_oneof![4 => 0_usize..200, 2 => 2000_usize..20_000, 1 => 60_000_usize..300_000];
    let text = |text: String| text.into_bytes();
    prop_oneof![
        4 => (key(), size, any::<bool>()).prop_map(move |(key, size, noreply)| {
            let (noreply, fill) = (if noreply { " noreply" } else { "" }, (b'a' + key as u8) as char);
            let value: String = std::iter::repeat_n(fill, size).collect();
            text(format!("set k{key} {size} 0 {size}{noreply}\r\n{value}\r\n"))
        }),
        3 => vec(key(), 1..30).prop_map(move |keys| {
            let keys: String = keys.iter().map(|key| format!(" k{key}")).collect();
            text(format!("get{keys}\r\n"))
        }),
        1 => key().prop_map(move |key| text(format!("append k{key} 0 0 5\r\nafter\r\n"))),
        1 => key().prop_map(move |key| text(format!("ms k{key} 3 T0\r\nabc\r\nmg k{key} v s k O1\r\nmn\r\n"))),
        1 => key().prop_map(move |key| text(format!("set k{key} 0 0 1\r\n7\r\nincr k{key} 5\r\n"))),
        1 => key().prop_map(move |key| text(format!("delete k{key}\r\n"))),
        1 => Just(text("bogus\r\nget\r\nset x 0 0 -1\r\nincr k0 x\r\n".to_owned())),
        1 => Just(text(format!("set k0 0 0 1500000\r\n{}\r\n", "x".repeat(1_500_000)))),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        1 => Just(Fault::Interrupted),
        2 => Just(Fault::NotNow),
        4 => (1_usize..40).prop_map(Fault::Bytes),
        2 => (40_usize..70_000).prop_map(Fault::Bytes),
    ]
}

/// One conversation with everything in it, 200 bytes each way or so.
const SHORT: &[u8] = b"set k0 1 0 5\r\nhello\r\nget k0 k1\r\nms k1 3\r\nabc\r\nmg k1 v s\r\nbogus\r\nset k2 0 0 2\r\n10\r\n\
    incr k2 5\r\nappend k0 0 0 1\r\n!\r\ngets k0 k2\r\nset k3 0 0 1\r\ntoo long\r\ndelete k1 noreply\r\nget k0 k1 k2 k3\r\nmn\r\n";

#[test]
fn reads_and_writes_of_every_length_make_no_difference() {
    let mut clean = Bench::new();
    let wanted = clean.converse(SHORT, &[], &[]);
    let values = clean.values();
    let (left, stored) = (clean.left(), clean.stored());
    let check = |reads: &[Fault], writes: &[Fault]| {
        let mut bench = Bench::new();
        let received = bench.converse(SHORT, reads, writes);
        assert_eq!(
            String::from_utf8_lossy(&received),
            String::from_utf8_lossy(&wanted),
            "{reads:?} {writes:?}"
        );
        assert_eq!(bench.values(), values);
        assert_eq!(bench.left(), left);
        assert_eq!(bench.stored(), stored);
    };
    for length in 1..=SHORT.len().max(wanted.len()) {
        let each = vec![Fault::Bytes(length); 2000];
        check(&each, &[]);
        check(&[], &each);
        // All that comes behind is for later.
        let once = [Fault::Bytes(length), Fault::NotNow, Fault::Interrupted];
        check(&once, &once);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_a_stream_does_the_replies_are_the_same(
        commands in vec(command(), 1..20),
        reads in vec(fault(), 0..300),
        writes in vec(fault(), 0..300),
    ) {
        let sent = commands.concat();
        let (mut clean, mut faulty) = (Bench::new(), Bench::new());
        let wanted = clean.converse(&sent, &[], &[]);
        prop_assert!(faulty.converse(&sent, &reads, &writes) == wanted);
        prop_assert!(faulty.values() == clean.values());
        prop_assert_eq!(faulty.left(), clean.left());
        prop_assert_eq!(faulty.stored(), clean.stored());
        prop_assert_eq!((clean.left().unread_bytes, clean.left().unsent_bytes), (0, 0));
    }

    #[test]
    fn a_stream_that_breaks_has_told_no_lie_and_leaves_nothing(
        commands in vec(command(), 1..20),
        mut reads in vec(fault(), 0..40),
        mut writes in vec(fault(), 0..40),
        is_in_write in any::<bool>(),
    ) {
        if is_in_write { writes.push(Fault::Reset) } else { reads.push(Fault::Reset) }
        let sent = commands.concat();
        let (mut clean, mut faulty) = (Bench::new(), Bench::new());
        let wanted = clean.converse(&sent, &[], &[]);
        prop_assert!(wanted.starts_with(&faulty.converse(&sent, &reads, &writes)));
        let left = faulty.left();
        prop_assert_eq!((left.unread_bytes, left.unsent_bytes), (0, 0));
        // Nothing holds memory any more: all of it can be had again, and the next client is served like the first.
        faulty.converse(b"flush_all\r\n", &[], &[]);
        prop_assert_eq!(faulty.stored(), (0, 0));
        let stats = faulty.daemon.store.stats(faulty.now.seconds);
        prop_assert_eq!(stats.used_bytes, stats.index_bytes + stats.deadline_bytes + stats.ghost_bytes);
        prop_assert!(faulty.converse(&sent, &[], &[]) == wanted);
    }
}

#[test]
fn steps_of_the_wall_clock_change_no_item_that_is_stored() {
    const HOURS: i64 = 5 * 3600;
    let mut bench = Bench::new();
    let unix = bench.now.unix;
    let absolute = format!("set k0 0 100 1\r\na\r\nset k1 0 {} 1\r\nb\r\nset k2 0 0 1\r\nc\r\n", unix + 100);
    assert_eq!(bench.converse(absolute.as_bytes(), &[], &[]), b"STORED\r\nSTORED\r\nSTORED\r\n");
    let all = b"VALUE k0 0 1\r\na\r\nVALUE k1 0 1\r\nb\r\nVALUE k2 0 1\r\nc\r\nEND\r\n";
    for step in [HOURS, -HOURS, 0, 1000 * HOURS, -unix] {
        bench.now = Now { seconds: bench.now.seconds.after(10), unix: unix + step };
        assert_eq!(bench.converse(b"get k0 k1 k2\r\n", &[], &[]), all, "{step}");
        // What comes now is read by the clock as it is now.
        let text = format!("set k3 0 {} 1\r\nd\r\nmg k3 t\r\n", unix + step + 3_000_000);
        assert_eq!(bench.converse(text.as_bytes(), &[], &[]), b"STORED\r\nHD t3000000\r\n", "{step}");
    }
    bench.now = Now { seconds: Seconds(1100), unix: 0 };
    assert_eq!(bench.converse(b"get k0 k1 k2\r\n", &[], &[]), b"VALUE k2 0 1\r\nc\r\nEND\r\n");
}
