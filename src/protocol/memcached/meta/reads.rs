//! mg and me.

use super::{
    Flags, LINE_BYTES, base64, push_echo, push_figure, push_key, push_time_left, push_token, tell_looked_up,
    with_key,
};
use crate::auth::Rights;
use crate::base::clock::{Deadline, Now};
use crate::protocol::memcached::execute::{deadline, push_value};
use crate::protocol::memcached::hotkeys::{self, SAMPLED};
use crate::protocol::memcached::parse::next_token;
use crate::protocol::memcached::reply;
use crate::protocol::memcached::session::Turn;
use crate::protocol::output::Output;
use crate::store::{Access, Creation, KEY_BYTES_MAX, LookUp};

/// `mg <key> <flags>*`
#[inline]
pub fn get(key: &[u8], flags: &Flags, turn: &mut Turn) {
    if turn.observed != 0 {
        get_observed(key, flags, turn);
    } else {
        look_up::<true>(key, flags, turn);
    }
}

/// The same where somebody wants to know.
#[inline(never)]
fn get_observed(key: &[u8], flags: &Flags, turn: &mut Turn) {
    tell_looked_up(key, turn);
    let before = turn.output.pending();
    let is_found = match turn.may(Rights::WRITE, key) {
        true => look_up::<true>(key, flags, turn),
        false => look_up::<false>(key, flags, turn),
    };
    if turn.observed & SAMPLED != 0 {
        hotkeys::count_read(key, turn.output.pending() - before, turn);
    }
    if flags.exptime.is_none() {
        turn.count_get(is_found);
    }
}

/// Whether there is an item. Part of both callers, so that the first is not slower for the second. Only a client that
/// `RENEWS` can be the one that is asked for a new value.
#[inline(always)]
fn look_up<const RENEWS: bool>(key: &[u8], flags: &Flags, turn: &mut Turn) -> bool {
    let (store, now) = (&turn.daemon.store, turn.now);
    let look_up = LookUp {
        counts_as_touch: flags.exptime.is_some(),
        is_unnoticed: flags.is_unnoticed,
        create: flags.vivify.map(|exptime| Creation {
            deadline: deadline(exptime.into(), now),
            cas: flags.cas,
            has_encoded_key: flags.is_base64,
        }),
    };
    if look_up.counts_as_touch {
        turn.counters.cmd_touch.add(1);
    }
    let output = &mut *turn.output;
    let found = store.access(&store.key(key), &look_up, now.seconds, |item| {
        hit::<RENEWS>(key, flags, now, item, output);
    });
    if found.is_none() && !flags.is_quiet {
        turn.output.push(b"EN");
        push_echo(turn.output, key, flags);
        turn.output.push(reply::LINE_END);
    }
    found.is_some()
}

/// `HD` or `VA <bytes>`, what the flags ask for, and the value.
fn hit<const RENEWS: bool>(key: &[u8], flags: &Flags, now: Now, item: &mut Access, output: &mut Output) {
    let view = item.view();
    let shows_value = flags.wants_value && flags.compare != Some(view.cas);
    if shows_value {
        output.reserve(LINE_BYTES + key.len() + view.tail.len());
        output.push(b"VA ");
        output.push_number(view.value_bytes as u64);
    } else {
        output.push(b"HD");
    }
    if flags.is_plain() && !item.is_token_given() && !item.is_stale() {
        output.push(reply::LINE_END);
        if shows_value {
            push_value(output, &view);
        }
        return;
    }
    let tokens = push_flags(key, flags, now, item, output);
    push_lease::<RENEWS>(tokens, item, output);
    output.push(reply::LINE_END);
    if shows_value {
        push_value(output, &item.view());
    }
}

/// Goes through the flags in order, and returns whether one of them makes this client the one to bring a new
/// value. A new item gets its time to live where the flag for that stands, too.
fn push_flags(key: &[u8], flags: &Flags, now: Now, item: &mut Access, output: &mut Output) -> bool {
    let mut ends = if item.is_new() { Deadline::NEVER } else { item.deadline() };
    let mut wins = false;
    for token in flags.tokens() {
        match token[0] {
            b'T' => ends = deadline(flags.exptime.unwrap_or_default().into(), now),
            b'N' if item.is_new() => {
                ends = deadline(flags.vivify.unwrap_or_default().into(), now);
                wins = true;
            }
            b'R' => {
                let limit = deadline(flags.recache.unwrap_or_default().into(), now).left(now.seconds);
                let left = ends.left(now.seconds);
                wins |= !item.is_new() && !item.is_token_given() && left.is_some() && left < limit;
            }
            b's' => push_figure(output, b's', item.view().value_bytes as u64),
            b't' => push_time_left(output, ends, now.seconds),
            b'c' => push_figure(output, b'c', item.view().cas),
            b'f' => push_figure(output, b'f', item.view().client_flags.into()),
            b'l' => push_figure(output, b'l', item.idle_seconds().into()),
            b'h' => push_figure(output, b'h', item.is_fetched().into()),
            b'O' => push_token(output, token),
            b'k' => push_key(output, key, item.has_encoded_key()),
            _ => {}
        }
    }
    if ends != item.deadline() {
        item.set_deadline(ends);
    }
    wins
}

/// ` Z`: another client was asked for a new value. ` X`: this one is outdated. ` W`: you are asked.
fn push_lease<const RENEWS: bool>(mut wins: bool, item: &mut Access, output: &mut Output) {
    let is_given = item.is_token_given();
    if is_given {
        output.push(b" Z");
    }
    if item.is_stale() {
        output.push(b" X");
        wins |= RENEWS && !is_given;
    }
    if wins {
        output.push(b" W");
        item.give_token();
    }
}

/// Whether a b is among what follows the key of an me.
pub fn asks_for_base64(mut rest: &[u8]) -> bool {
    let mut is_base64 = false;
    while let Some((token, behind)) = next_token(rest) {
        is_base64 |= token == b"b";
        rest = behind;
    }
    is_base64
}

/// `me <key> [b]`: what is known of an item, for people.
pub fn debug(arguments: &[u8], turn: &mut Turn) {
    let Some((sent_key, rest)) = next_token(arguments).filter(|(key, _)| key.len() <= KEY_BYTES_MAX) else {
        turn.output.push(reply::BAD_FORMAT);
        return;
    };
    let is_base64 = asks_for_base64(rest);
    if is_base64 && base64::decoded_bytes(sent_key).is_none() {
        turn.output.push(reply::BAD_BASE64);
        return;
    }
    turn.counters.cmd_meta.add(1);
    with_key(sent_key, is_base64, |key| {
        let (store, now) = (&turn.daemon.store, turn.now.seconds);
        let output = &mut *turn.output;
        let shown = store.inspect(&store.key(key), now, |item| {
            output.push(b"ME ");
            match is_base64 {
                true => base64::push_encoded(output, key),
                false => output.push(key),
            }
            match item.deadline().left(now) {
                None => output.push(b" exp=-1"),
                Some(left) => push_named(output, b" exp=", left.into()),
            }
            push_named(output, b" la=", item.idle_seconds().into());
            push_named(output, b" cas=", item.view().cas);
            output.push(if item.is_fetched() { b" fetch=yes" } else { b" fetch=no" });
            push_named(output, b" cls=", item.class_number());
            push_named(output, b" size=", item.total_bytes() as u64);
            output.push(reply::LINE_END);
        });
        if shown.is_none() {
            turn.output.push(reply::META_MISS);
        }
    });
}

fn push_named(output: &mut Output, name: &[u8], number: u64) {
    output.push(name);
    output.push_number(number);
}
