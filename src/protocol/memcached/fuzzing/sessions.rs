//! Whole conversations with a store: cut at any place, answered in the protocol's forms, and with nothing left
//! behind.

use std::sync::Arc;

use super::shape;
use crate::base::clock::{Clock, Now};
use crate::config::Settings;
use crate::protocol::memcached::session::Expecting;
use crate::protocol::memcached::{Daemon, Hooks, Next, Session, Tag, Turn};
use crate::protocol::output::Output;
use crate::store::{LruMode, Store, StoreOptions};

/// Bytes of input that say how the rest is to be taken.
const HEADER_BYTES: usize = 2;
/// Bytes that a session may leave unread: a line that is too long for a command is not waited for.
const UNREAD_BYTES_MAX: usize = 2048;
/// Steps that a session may take at most for the bytes of one piece.
const STEPS_MAX: usize = 100_000;
/// Wall clock at the start, so that runs repeat.
const UNIX_AT_START: i64 = 1_800_000_000;
/// Words of commands whose answer depends on more than the commands before it, and on how they were cut.
const UNREPEATABLE: [&[u8]; 9] =
    [b"stats", b"watch", b"dump", b"me ", b"debug", b"lru", b"slabs", b"memlimit", b"flush_prefix"];

/// How a stream is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Not at all.
    Whole,
    /// Behind each line end.
    Lines,
    /// Anywhere, in pieces of at most so many bytes.
    Anywhere(usize),
}

/// What came of a stream.
struct Transcript {
    replies: Vec<u8>,
    evicted: u64,
}

/// A daemon for these settings, its clock standing.
pub(super) fn daemon(choices: u8) -> Daemon {
    let mut options = StoreOptions {
        memory_limit_bytes: if choices & 1 == 0 { 1 << 20 } else { 8 << 20 },
        workers: 1,
        partitions: Some(1 << (choices >> 1 & 1)),
        evict: choices & 4 == 0,
        cas_enabled: choices & 8 == 0,
        item_bytes_max: if choices & 16 == 0 { 1 << 20 } else { 4 << 10 },
        hash_seed: Some(7),
        ..StoreOptions::default()
    };
    if choices & 32 != 0 {
        options.tuning.lru_mode = LruMode::Flat;
    }
    let store = Store::new(&options);
    let settings = Settings { threads: 1, detail_enabled: choices & 64 != 0, ..Settings::default() };
    let hooks = Hooks { debug_commands: choices & 128 != 0, ..Hooks::default() };
    let daemon = Daemon::new(settings, store, Clock::start(), hooks);
    daemon.clock.stop();
    daemon
}

/// The time of a daemon's next turn.
pub(super) fn now(daemon: &Daemon) -> Now {
    let seconds = daemon.clock.now().seconds;
    Now { seconds, unix: UNIX_AT_START + i64::from(seconds.0) }
}

/// Takes the first two bytes as settings and a way to cut, and the rest as what a client sends.
pub fn check_session(input: &[u8]) {
    let Some((&[choices, cut], stream)) = input.split_first_chunk::<HEADER_BYTES>() else { return };
    let cut = match cut {
        0 => Cut::Whole,
        1..128 => Cut::Lines,
        _ => Cut::Anywhere(usize::from(cut - 127)),
    };
    let cut_up = run(choices, stream, cut);
    shape::all(&cut_up.replies);
    let is_unrepeatable =
        |stream: &[u8]| UNREPEATABLE.iter().any(|word| memchr::memmem::find(stream, word).is_some());
    let has_long_line = stream.split(|&byte| byte == b'\n').any(|line| line.len() + 1 >= UNREAD_BYTES_MAX);
    if matches!(cut, Cut::Whole) || has_long_line || is_unrepeatable(stream) {
        return;
    }
    let whole = run(choices, stream, Cut::Whole);
    // Where memory is short, it matters what was held when.
    let is_short = [&cut_up, &whole].iter().any(|one| {
        let refused = |line: &[u8]| memchr::memmem::find(&one.replies, line).is_some();
        one.evicted > 0 || refused(b"SERVER_ERROR ")
    });
    if !is_short {
        assert!(
            cut_up.replies == whole.replies,
            "cut {cut:?}:\n{}\nin one:\n{}",
            cut_up.replies.escape_ascii(),
            whole.replies.escape_ascii()
        );
    }
}

/// One conversation that is under way.
struct Conversation<'a> {
    daemon: &'a Daemon,
    session: Session,
    output: Output,
    replies: Vec<u8>,
    unread: Vec<u8>,
    is_closed: bool,
}

impl Conversation<'_> {
    fn is_between_commands(&self) -> bool {
        matches!(self.session.expecting, Expecting::Command | Expecting::FirstByte) && self.unread.is_empty()
    }

    /// Feeds `piece` and does all that can be done then.
    fn feed(&mut self, piece: &[u8]) {
        self.unread.extend_from_slice(piece);
        for _ in 0..STEPS_MAX {
            let counters = self.daemon.counters(0, Tag::default());
            let mut turn = Turn::new(self.daemon, counters, now(self.daemon), 20, 7, &mut self.output);
            let served = self.session.serve(&self.unread, &mut turn);
            self.unread.drain(..served.consumed);
            let answered = self.output.pending();
            let start = self.replies.len();
            self.replies.resize(start + answered, 0);
            assert_eq!(self.output.take(&mut self.replies[start..]), answered);
            match served.next {
                Next::NeedInput => {
                    assert!(self.unread.len() <= UNREAD_BYTES_MAX, "{} bytes unread", self.unread.len());
                    return;
                }
                Next::Yield | Next::OutputFull => {
                    self.daemon.store.upkeep(0, now(self.daemon).seconds);
                }
                Next::Wait => panic!("nobody has to log in here"),
                Next::Close | Next::Refuse => {
                    self.is_closed = true;
                    return;
                }
            }
        }
        panic!("no end after {STEPS_MAX} steps");
    }
}

fn run(choices: u8, stream: &[u8], cut: Cut) -> Transcript {
    let daemon = daemon(choices);
    let mut conversation = Conversation {
        daemon: &daemon,
        session: Session::new(),
        output: Output::default(),
        replies: Vec::new(),
        unread: Vec::new(),
        is_closed: false,
    };
    let mut rest = stream;
    let mut random = stream.len() as u32 | 1;
    // The last command line, where the replies to it begin, and where in the stream it ends.
    let mut command: Option<(&[u8], usize, usize)> = None;
    while !rest.is_empty() && !conversation.is_closed {
        let bytes = match cut {
            Cut::Whole => rest.len(),
            Cut::Lines => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1),
            Cut::Anywhere(longest) => {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                1 + (random >> 16) as usize % longest
            }
        };
        let (piece, behind) = rest.split_at(bytes.min(rest.len()));
        rest = behind;
        if conversation.is_between_commands() {
            let end = stream.len() - rest.len();
            command = piece.strip_suffix(b"\n").map(|line| (line, conversation.replies.len(), end));
        }
        conversation.feed(piece);
        if let (Cut::Lines, Some((line, start, end))) =
            (cut, command.filter(|_| conversation.is_between_commands()))
        {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let value_bytes = stream.len() - rest.len() - end;
            if shape::is_alone(line, value_bytes) {
                shape::check_answer(line, &shape::all(&conversation.replies[start..]));
            }
            assert!(line != b"quit" || conversation.is_closed, "quit leaves the connection open");
        }
        daemon.store.upkeep(0, now(&daemon).seconds);
    }
    let Conversation { session, replies, .. } = conversation;
    drop(session);
    let seconds = now(&daemon).seconds;
    let evicted = daemon.store.stats(seconds).sum(|class| class.evicted);
    let store = Arc::clone(&daemon.store);
    daemon.held.let_all_go(&store, seconds);
    drop(daemon);
    store.check_books(0);
    Transcript { replies, evicted }
}
