//! The meta commands: mg, ms, md, ma, me. (mn needs nothing from here.)
//!
//! Each reads its [`Flags`], asks the store once, and writes its reply while it still has the item. What the
//! flags ask for comes in their order, with values as they are at that point.

pub(super) mod base64;
mod flags;
mod reads;
mod writes;

use super::observe::{self, OF_REQUESTS};
use super::parse::next_token;
use super::reply;
use super::request::MetaCommand;
use super::session::{Session, Step, Turn};
use crate::auth::Rights;
use crate::base::clock::{Deadline, Seconds};
use crate::protocol::output::Output;
use crate::store::KEY_BYTES_MAX;
pub(super) use flags::Flags;

pub(super) use writes::finish;

/// Tokens of a command before its flags: name and key.
const TOKENS_BEFORE_FLAGS: usize = 2;
/// Bytes that a reply line may well have beside key and value, to be made room for at once.
const LINE_BYTES: usize = 128;

impl Session {
    /// Carries out a meta command; `arguments` is what follows its name. The line ends `line_end` bytes into
    /// `input`.
    pub(super) fn meta(
        &mut self,
        command: MetaCommand,
        arguments: &[u8],
        input: &[u8],
        line_end: usize,
        turn: &mut Turn,
    ) -> Step {
        match command {
            MetaCommand::Get => with_flags(arguments, turn, reads::get),
            MetaCommand::Set => return self.meta_set(arguments, input, line_end, turn),
            MetaCommand::Delete => with_flags(arguments, turn, writes::delete),
            MetaCommand::Arithmetic => writes::arithmetic(arguments, turn),
            MetaCommand::Debug => reads::debug(arguments, turn),
        }
        Step::Taken(line_end)
    }
}

/// Reads key and flags and hands them to `run`, the key decoded; or answers what is wrong with them.
#[inline]
fn with_flags(arguments: &[u8], turn: &mut Turn, run: impl FnOnce(&[u8], &Flags, &mut Turn)) {
    let Some((sent_key, rest)) = next_token(arguments) else {
        turn.output.push(reply::BAD_FORMAT);
        return;
    };
    match Flags::parse(sent_key, rest, TOKENS_BEFORE_FLAGS) {
        Ok(flags) => with_key(sent_key, flags.is_base64, |key| run(key, &flags, turn)),
        Err(line) => turn.output.push(line),
    }
}

/// Tells those who watch that a key is about to be looked up.
#[inline]
fn tell_looked_up(key: &[u8], turn: &Turn) {
    if turn.observed & OF_REQUESTS != 0 {
        observe::looked_up(key, false, turn);
    }
}

/// Hands the key's own bytes to `run`.
#[inline]
fn with_key<R>(sent_key: &[u8], is_base64: bool, run: impl FnOnce(&[u8]) -> R) -> R {
    if is_base64 { run(base64::decode(sent_key, &mut [0; KEY_BYTES_MAX])) } else { run(sent_key) }
}

/// ` k<key>`, as base64 and with ` b` behind if it is to be.
fn push_key(output: &mut Output, key: &[u8], is_base64: bool) {
    output.push(b" k");
    if is_base64 {
        base64::push_encoded(output, key);
        output.push(b" b");
    } else {
        output.push(key);
    }
}

/// ` <letter><number>`
fn push_figure(output: &mut Output, letter: u8, number: u64) {
    output.push(&[b' ', letter]);
    output.push_number(number);
}

/// ` t<seconds left>`, -1 for ever.
fn push_time_left(output: &mut Output, deadline: Deadline, now: Seconds) {
    match deadline.left(now) {
        None => output.push(b" t-1"),
        Some(left) => push_figure(output, b't', left.into()),
    }
}

/// What goes with every reply if it is asked for: the opaque token and the key, in the order of the flags.
fn push_echo(output: &mut Output, key: &[u8], flags: &Flags) {
    for token in flags.tokens() {
        match token[0] {
            b'O' => push_token(output, token),
            b'k' => push_key(output, key, flags.is_base64),
            _ => {}
        }
    }
}

fn push_token(output: &mut Output, token: &[u8]) {
    output.push(b" ");
    output.push(token);
}

/// What a meta command needs: rights, a key, and how much of a value follows its line.
pub struct Target<'a> {
    pub rights: Rights,
    /// Bytes of the value and its line end.
    pub skip: usize,
    sent_key: &'a [u8],
    is_base64: bool,
}

impl Target<'_> {
    /// Hands the key's own bytes to `run`.
    pub fn with_key<R>(&self, run: impl FnOnce(&[u8]) -> R) -> R {
        with_key(self.sent_key, self.is_base64, run)
    }
}

/// Reads what a command needs; `None` if something is wrong with it, which it will answer itself.
pub fn target(command: MetaCommand, arguments: &[u8]) -> Option<Target<'_>> {
    if command == MetaCommand::Set {
        let line = writes::set_line(arguments).ok()?;
        let skip = line.value_bytes + reply::LINE_END.len();
        let is_base64 = line.flags.is_base64;
        return Some(Target { rights: Rights::WRITE, skip, sent_key: line.sent_key, is_base64 });
    }
    let (sent_key, rest) = next_token(arguments)?;
    if command == MetaCommand::Debug {
        let is_base64 = reads::asks_for_base64(rest);
        let is_readable =
            sent_key.len() <= KEY_BYTES_MAX && (!is_base64 || base64::decoded_bytes(sent_key).is_some());
        return is_readable.then_some(Target { rights: Rights::READ, skip: 0, sent_key, is_base64 });
    }
    let flags = Flags::parse(sent_key, rest, TOKENS_BEFORE_FLAGS).ok()?;
    let update = Rights::READ.and(Rights::WRITE);
    let rights = match command {
        // They create an item, or change when it ends or who is to renew it.
        MetaCommand::Get if flags.exptime.or(flags.vivify).or(flags.recache).is_some() => update,
        MetaCommand::Get | MetaCommand::Debug => Rights::READ,
        MetaCommand::Set | MetaCommand::Delete => Rights::WRITE,
        MetaCommand::Arithmetic => update,
    };
    Some(Target { rights, skip: 0, sent_key, is_base64: flags.is_base64 })
}
