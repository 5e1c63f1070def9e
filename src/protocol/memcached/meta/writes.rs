//! ms, md and ma.

use super::{
    Flags, TOKENS_BEFORE_FLAGS, push_echo, push_figure, push_key, push_time_left, push_token, tell_looked_up,
    with_key,
};
use crate::base::clock::{Deadline, Now};
use crate::protocol::memcached::execute::deadline;
use crate::protocol::memcached::number;
use crate::protocol::memcached::observe::{self, OF_REQUESTS};
use crate::protocol::memcached::parse::next_token;
use crate::protocol::memcached::reply;
use crate::protocol::memcached::session::{Answer, Expecting, Session, Step, Turn};
use crate::protocol::output::Output;
use crate::store::{
    Access, Counted, Counting, Creation, Direction, Receipt, Removal, Removed, Reservation, ReserveError,
    StoreMode, StoreOutcome, StoreRequest, Terms,
};

/// The parts of an ms line that are right.
pub struct SetLine<'a> {
    pub sent_key: &'a [u8],
    pub flags: Flags<'a>,
    mode: StoreMode,
    pub value_bytes: usize,
}

/// An ms line that is wrong: what to answer, and how many bytes of the value to skip.
pub struct Refused {
    line: &'static [u8],
    skip: usize,
}

/// `<key> <datalen> <flags>*`. As long as the length cannot be read nobody knows what follows, so nothing is
/// skipped. Any later error skips the announced value.
pub fn set_line(arguments: &[u8]) -> Result<SetLine<'_>, Refused> {
    let no_length = Refused { line: reply::BAD_FORMAT, skip: 0 };
    let Some((sent_key, rest)) = next_token(arguments) else { return Err(no_length) };
    let Some((length, rest)) = next_token(rest) else { return Err(no_length) };
    let Some(value_bytes) = number::value_bytes(length) else { return Err(no_length) };
    let refused = |line| Refused { line, skip: value_bytes + reply::LINE_END.len() };
    let flags = Flags::parse(sent_key, rest, TOKENS_BEFORE_FLAGS + 1).map_err(refused)?;
    let mode = match (flags.mode, flags.compare) {
        (None | Some(b'S' | b'R'), Some(unique)) => StoreMode::Cas(unique),
        (None | Some(b'S'), None) => StoreMode::Set,
        (Some(b'R'), None) => StoreMode::Replace,
        (Some(b'E'), _) => StoreMode::Add,
        (Some(b'A'), _) => StoreMode::Append,
        (Some(b'P'), _) => StoreMode::Prepend,
        _ => return Err(refused(reply::BAD_SET_MODE)),
    };
    Ok(SetLine { sent_key, flags, mode, value_bytes })
}

impl Flags<'_> {
    /// What they say beyond a plain storage command.
    fn terms(&self, turn: &Turn) -> Terms {
        Terms {
            compare: self.compare.unwrap_or(0),
            cas: self.cas,
            takes_older: self.invalidates,
            create: self.vivify.map(|exptime| deadline(exptime.into(), turn.now)),
            has_encoded_key: self.is_base64,
        }
    }

    /// Whether a plain storage command does, and tells, all that is wanted.
    fn is_plain_set(&self, mode: StoreMode) -> bool {
        let joins = matches!(mode, StoreMode::Append | StoreMode::Prepend);
        !joins && !self.is_base64 && !self.wants_cas && !self.invalidates && self.cas.is_none()
    }

    fn deadline(&self, turn: &Turn) -> Deadline {
        deadline(self.exptime.unwrap_or(0).into(), turn.now)
    }
}

impl Session {
    /// `ms <key> <datalen> <flags>*`, and the value
    pub(super) fn meta_set(
        &mut self,
        arguments: &[u8],
        input: &[u8],
        line_end: usize,
        turn: &mut Turn,
    ) -> Step {
        let line = match set_line(arguments) {
            Ok(line) => line,
            Err(Refused { line, skip }) => {
                turn.output.push(line);
                self.expect_refused(skip);
                return Step::Taken(line_end);
            }
        };
        let arrived = &input[line_end..];
        with_key(line.sent_key, line.flags.is_base64, |key| {
            let value_bytes = line.value_bytes;
            match arrived.get(value_bytes..value_bytes + reply::LINE_END.len()) {
                Some(end) => {
                    store(key, &line, &arrived[..value_bytes], end == reply::LINE_END, turn);
                    Step::Taken(line_end + value_bytes + reply::LINE_END.len())
                }
                None => {
                    self.reserve(key, &line, arguments, turn);
                    Step::Taken(line_end)
                }
            }
        })
    }

    /// Skips so many bytes of a value and its line end.
    pub(in crate::protocol::memcached) fn expect_refused(&mut self, bytes: usize) {
        if bytes > 0 {
            self.expecting = Expecting::RefusedValue(bytes);
        }
    }

    /// Sets memory aside for a value that is still coming.
    fn reserve(&mut self, key: &[u8], line: &SetLine, arguments: &[u8], turn: &mut Turn) {
        turn.time_long_value(line.value_bytes);
        tell_looked_up(key, turn);
        let (store, now) = (&turn.daemon.store, turn.now.seconds);
        let key = store.key(key);
        let SetLine { flags, mode, value_bytes, .. } = line;
        let deadline = flags.deadline(turn);
        match store.reserve(key, *mode, flags.client_flags, deadline, *value_bytes, now) {
            Ok(reservation) => {
                let (reservation, answer) = (Box::new(reservation), Answer::Meta(arguments.into()));
                self.expecting = Expecting::Value { reservation, answer };
            }
            Err(error) => {
                store.discard(&key, now);
                let (outcome, answer) = match error {
                    ReserveError::TooLarge => (StoreOutcome::TooLarge, reply::TOO_LARGE),
                    ReserveError::OutOfMemory => (StoreOutcome::OutOfMemory, reply::NO_MEMORY_TO_STORE),
                };
                tell_stored(key.bytes(), line, *value_bytes, outcome, turn);
                turn.output.push(answer);
                self.expect_refused(value_bytes + reply::LINE_END.len());
            }
        }
    }
}

/// Stores a value that is all there.
fn store(key: &[u8], line: &SetLine, value: &[u8], is_whole: bool, turn: &mut Turn) {
    tell_looked_up(key, turn);
    let (store, now) = (&turn.daemon.store, turn.now.seconds);
    let hashed = store.key(key);
    let SetLine { flags, mode, .. } = line;
    let (mode, client_flags) = (*mode, flags.client_flags);
    if !is_whole {
        let is_refused = store.refuses_size(&hashed, mode, client_flags, value.len(), now);
        turn.output.push(if is_refused { reply::TOO_LARGE } else { reply::BAD_DATA_CHUNK });
        return;
    }
    let request = StoreRequest { key: hashed, mode, client_flags, deadline: flags.deadline(turn), value };
    let receipt = if flags.is_plain_set(mode) {
        Receipt { outcome: store.store(&request, now), cas: 0, value_bytes: value.len() }
    } else {
        store.store_on_terms(&request, &flags.terms(turn), now)
    };
    tell_stored(key, line, value.len(), receipt.outcome, turn);
    answer_set(key, flags, receipt, turn);
}

/// Tells those who watch how an ms ended.
fn tell_stored(key: &[u8], line: &SetLine, value_bytes: usize, outcome: StoreOutcome, turn: &Turn) {
    if turn.observed != 0 {
        observe::stored(key, line.mode, outcome, line.flags.deadline(turn), value_bytes, turn);
    }
}

/// Stores a value that came in pieces; `arguments` is its command line without the name.
pub fn finish(reservation: Reservation, arguments: &[u8], turn: &mut Turn) {
    // The line was read before: it cannot be wrong now.
    let Ok(line) = set_line(arguments) else { return };
    let receipt = reservation.commit_on_terms(&line.flags.terms(turn), turn.now.seconds);
    with_key(line.sent_key, line.flags.is_base64, |key| {
        tell_stored(key, &line, line.value_bytes, receipt.outcome, turn);
        answer_set(key, &line.flags, receipt, turn);
    });
}

fn answer_set(key: &[u8], flags: &Flags, receipt: Receipt, turn: &mut Turn) {
    let code = match receipt.outcome {
        StoreOutcome::Stored if flags.is_quiet => return,
        StoreOutcome::Stored => b"HD",
        StoreOutcome::NotStored => b"NS",
        StoreOutcome::Exists => b"EX",
        StoreOutcome::NotFound => b"NF",
        StoreOutcome::TooLarge | StoreOutcome::OutOfMemory => {
            // In no mode may the old value stay: the client meant to change it.
            let store = &turn.daemon.store;
            store.discard(&store.key(key), turn.now.seconds);
            let is_too_large = receipt.outcome == StoreOutcome::TooLarge;
            turn.output.push(if is_too_large { reply::TOO_LARGE } else { reply::NO_MEMORY_TO_STORE });
            return;
        }
    };
    let output = &mut *turn.output;
    output.push(code);
    for token in flags.tokens() {
        match token[0] {
            b'O' => push_token(output, token),
            b'k' => push_key(output, key, flags.is_base64),
            b'c' => push_figure(output, b'c', receipt.cas),
            b's' => push_figure(output, b's', receipt.value_bytes as u64),
            _ => {}
        }
    }
    output.push(reply::LINE_END);
}

/// `md <key> <flags>*`
pub fn delete(key: &[u8], flags: &Flags, turn: &mut Turn) {
    if turn.observed & OF_REQUESTS != 0 {
        observe::to_be_deleted(key, "md", turn);
    }
    let store = &turn.daemon.store;
    let removal = Removal {
        compare: flags.compare,
        cas: flags.cas,
        empty: flags.empties.then_some(flags.client_flags),
        invalidates: flags.invalidates,
        deadline: flags.exptime.map(|exptime| deadline(exptime.into(), turn.now)),
    };
    let code = match store.remove(&store.key(key), &removal, turn.now.seconds) {
        Removed::Done if flags.is_quiet => return,
        Removed::Done => b"HD",
        Removed::NotFound => b"NF",
        Removed::Exists => b"EX",
        Removed::OutOfMemory => {
            turn.output.push(reply::NO_MEMORY);
            return;
        }
    };
    push_status(code, key, flags, turn);
}

/// A reply of two letters and what goes with every reply.
fn push_status(code: &[u8; 2], key: &[u8], flags: &Flags, turn: &mut Turn) {
    turn.output.push(code);
    push_echo(turn.output, key, flags);
    turn.output.push(reply::LINE_END);
}

/// `ma <key> <flags>*`. Whatever is wrong with the line, memcached has but one answer to it.
pub fn arithmetic(arguments: &[u8], turn: &mut Turn) {
    let Some((sent_key, rest)) = next_token(arguments) else {
        turn.output.push(reply::BAD_FORMAT);
        return;
    };
    match Flags::parse(sent_key, rest, TOKENS_BEFORE_FLAGS) {
        Err(reply::OPAQUE_TOO_LONG) => turn.output.push(reply::OPAQUE_TOO_LONG),
        Err(_) => turn.output.push(reply::BAD_ARITHMETIC_FLAGS),
        Ok(flags) => with_key(sent_key, flags.is_base64, |key| count(key, &flags, turn)),
    }
}

fn count(key: &[u8], flags: &Flags, turn: &mut Turn) {
    let direction = match flags.mode {
        None | Some(b'I' | b'+') => Direction::Incr,
        Some(b'D' | b'-') => Direction::Decr,
        _ => {
            turn.output.push(reply::BAD_ARITHMETIC_MODE);
            return;
        }
    };
    let creation = |exptime: i32| Creation {
        deadline: deadline(exptime.into(), turn.now),
        cas: flags.cas,
        has_encoded_key: flags.is_base64,
    };
    let counting = Counting {
        direction,
        delta: flags.delta,
        compare: flags.compare.unwrap_or(0),
        cas: flags.cas,
        create: flags.vivify.map(|exptime| (flags.initial, creation(exptime))),
    };
    tell_looked_up(key, turn);
    let start = turn.output.mark();
    let store = &turn.daemon.store;
    let now = turn.now;
    let output = &mut *turn.output;
    let counted = store.count(&store.key(key), &counting, now.seconds, |item, number| {
        push_counted(key, flags, now, (item, number), output);
    });
    match counted {
        // The deadline was set all the same.
        Counted::Value(()) if flags.is_quiet => turn.output.rewind(start),
        Counted::Value(()) => {}
        Counted::NotFound => push_status(b"NF", key, flags, turn),
        Counted::Exists => push_status(b"EX", key, flags, turn),
        Counted::NonNumeric => turn.output.push(reply::NON_NUMERIC),
        Counted::OutOfMemory => turn.output.push(reply::NO_MEMORY),
        Counted::NoMemoryToCreate => turn.output.push(reply::NO_MEMORY_TO_CREATE),
    }
}

/// `HD` or `VA <bytes>`, what the flags ask for, and the number. Sets the time to live where its flag stands.
fn push_counted(
    key: &[u8],
    flags: &Flags,
    now: Now,
    (item, number): (&mut Access, u64),
    output: &mut Output,
) {
    let mut digits = itoa::Buffer::new();
    let text = digits.format(number).as_bytes();
    if flags.wants_value {
        output.push(b"VA ");
        output.push_number(text.len() as u64);
    } else {
        output.push(b"HD");
    }
    let mut ends = if item.is_new() { Deadline::NEVER } else { item.deadline() };
    for token in flags.tokens() {
        match token[0] {
            b'T' => ends = deadline(flags.exptime.unwrap_or_default().into(), now),
            b'N' if item.is_new() => ends = deadline(flags.vivify.unwrap_or_default().into(), now),
            b't' => push_time_left(output, ends, now.seconds),
            b'c' => push_figure(output, b'c', item.view().cas),
            b'O' => push_token(output, token),
            b'k' => push_key(output, key, flags.is_base64),
            _ => {}
        }
    }
    if ends != item.deadline() {
        item.set_deadline(ends);
    }
    output.push(reply::LINE_END);
    if flags.wants_value {
        output.push(text);
        output.push(reply::LINE_END);
    }
}
