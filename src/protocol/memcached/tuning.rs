//! The commands that change how the store keeps its items: `lru` and `slabs`.
//!
//! Syntax, conditions and replies are those of memcached 1.6.45; what the values do is the store's affair.

use super::number;
use super::observe;
use super::parse::{Tokens, refuse};
use super::reply;
use super::request::{Request, TuneOrder};
use super::session::Turn;
use crate::store::{Automove, LruMode, PageOwner, ReassignError};

/// Most that HOT and WARM may take together, in percent.
const HOT_AND_WARM_PERCENT_MAX: u64 = 80;
/// Tokens of `slabs reassign <source> <target>`.
const REASSIGN_TOKENS: usize = 4;

/// Reads `lru tune|mode|temp_ttl ...`.
pub(super) fn parse_lru<'a>(tokens: &Tokens<'a>, noreply: bool) -> Request<'a> {
    let value = tokens.get(2).unwrap_or_default();
    let order = match tokens.get(1).unwrap_or_default() {
        b"tune" => match parse_tune(tokens) {
            Ok(order) => Some(order),
            Err(line) => return refuse(line, noreply),
        },
        b"mode" => match value {
            b"flat" => Some(TuneOrder::LruMode(LruMode::Flat)),
            b"segmented" => Some(TuneOrder::LruMode(LruMode::Segmented)),
            _ => None,
        },
        b"temp_ttl" => number::strict_i32(value).map(|ttl| TuneOrder::TemporaryTtl(u32::try_from(ttl).ok())),
        _ => None,
    };
    order.map_or(refuse(reply::ERROR, noreply), |order| Request::Tune { order, noreply })
}

fn parse_tune(tokens: &Tokens) -> Result<TuneOrder, &'static [u8]> {
    let percent = |at| tokens.get(at).and_then(number::strict_u32);
    let factor = |at| tokens.get(at).and_then(number::decimal);
    let (Some(hot_percent), Some(warm_percent), Some(hot_max_factor), Some(warm_max_factor)) =
        (percent(2), percent(3), factor(4), factor(5))
    else {
        return Err(reply::ERROR);
    };
    if u64::from(hot_percent) + u64::from(warm_percent) > HOT_AND_WARM_PERCENT_MAX {
        return Err(reply::PERCENTS_TOO_HIGH);
    }
    if hot_max_factor <= 0.0 || warm_max_factor <= 0.0 {
        return Err(reply::FACTORS_TOO_LOW);
    }
    Ok(TuneOrder::Segments { hot_percent, warm_percent, hot_max_factor, warm_max_factor })
}

/// Reads `slabs reassign|automove ...`.
pub(super) fn parse_slabs<'a>(tokens: &Tokens<'a>, noreply: bool) -> Request<'a> {
    let given = tokens.len() - usize::from(noreply);
    let number_at = |at| tokens.get(at).and_then(number::strict_i32);
    let order = match tokens.get(1).unwrap_or_default() {
        b"reassign" if given == REASSIGN_TOKENS => {
            Ok(TuneOrder::Reassign(number_at(2).zip(number_at(3)).map(|(from, to)| [from, to])))
        }
        b"automove" if tokens.len() >= 3 => {
            parse_automove(tokens.get(2).unwrap_or_default(), tokens.get(3).unwrap_or_default())
        }
        _ => Err(reply::ERROR),
    };
    match order {
        Ok(order) => Request::Tune { order, noreply },
        Err(line) => refuse(line, noreply),
    }
}

fn parse_automove(what: &[u8], value: &[u8]) -> Result<TuneOrder, &'static [u8]> {
    match what {
        b"ratio" => match number::decimal(value) {
            Some(ratio) if ratio > 0.0 && ratio <= 1.0 => Ok(TuneOrder::AutomoveRatio(ratio)),
            _ => Err(reply::ERROR),
        },
        b"window" => match number::strict_u32(value) {
            Some(seconds @ 3..=1800) => Ok(TuneOrder::AutomoveWindow(seconds)),
            Some(_) => Err(reply::BAD_WINDOW),
            None => Err(reply::ERROR),
        },
        level => match number::strict_u32(level) {
            Some(0) => Ok(TuneOrder::Automove(Automove::Off)),
            Some(1) => Ok(TuneOrder::Automove(Automove::Gentle)),
            Some(2) => Ok(TuneOrder::Automove(Automove::Eager)),
            Some(_) => Err(reply::ERROR),
            None => Err(reply::BAD_FORMAT),
        },
    }
}

/// Carries an order out. Gives the reply.
pub(super) fn execute(order: TuneOrder, turn: &Turn) -> &'static [u8] {
    let (store, settings) = (&turn.daemon.store, &turn.daemon.settings);
    match order {
        TuneOrder::Reassign(classes) => return reassign(classes, turn),
        TuneOrder::LruMode(_) | TuneOrder::TemporaryTtl(_) if !settings.lru_maintainer => {
            return reply::ERROR;
        }
        _ => {}
    }
    store.tune(|tuning| match order {
        TuneOrder::Segments { hot_percent, warm_percent, hot_max_factor, warm_max_factor } => {
            tuning.segment_shares.hot_percent = hot_percent;
            tuning.segment_shares.warm_percent = warm_percent;
            tuning.hot_max_factor = hot_max_factor;
            tuning.warm_max_factor = warm_max_factor;
        }
        TuneOrder::LruMode(mode) => tuning.lru_mode = mode,
        TuneOrder::TemporaryTtl(ttl) => {
            tuning.temp_lru = ttl.is_some();
            tuning.temporary_ttl = ttl.unwrap_or(tuning.temporary_ttl);
        }
        TuneOrder::Automove(level) => tuning.automove = level,
        TuneOrder::AutomoveRatio(ratio) => tuning.automove_ratio = ratio,
        TuneOrder::AutomoveWindow(seconds) => tuning.automove_window = seconds,
        TuneOrder::Reassign(_) => {}
    });
    reply::OK
}

/// Classes are numbered from 1; 0 is the pool of free pages, -1 as a source any class.
fn reassign(classes: Option<[i32; 2]>, turn: &Turn) -> &'static [u8] {
    if !turn.daemon.settings.slab_reassign {
        return reply::REASSIGN_DISABLED;
    }
    let Some([from, to]) = classes else { return reply::BAD_FORMAT };
    if from == to {
        return reply::REASSIGN_SAME;
    }
    let owner = |number: i32| match number {
        -1 => Some(PageOwner::AnyClass),
        0 => Some(PageOwner::Pool),
        _ => usize::try_from(number).ok().map(|number| PageOwner::Class(number - 1)),
    };
    let (Some(from), Some(to)) = (owner(from), owner(to)) else { return reply::REASSIGN_BAD_CLASS };
    let outcome = turn.daemon.store.reassign(from, to, turn.now.seconds);
    if outcome.is_err() {
        observe::page_stayed(classes.unwrap_or_default(), turn);
    }
    match outcome {
        Ok(()) => reply::OK,
        Err(ReassignError::BadClass) => reply::REASSIGN_BAD_CLASS,
        Err(ReassignError::NoSpare) => reply::REASSIGN_NO_SPARE,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<TuneOrder, &'static [u8]>) {
        let request = |noreply| match expected {
            Ok(order) => Request::Tune { order, noreply },
            Err(reply) => Request::Refused { reply: (!noreply).then_some(reply), skip: 0 },
        };
        assert_eq!(parse::line(text.as_bytes(), text.len() + 2), request(false), "{text:?}");
        let quiet = format!("{text} noreply");
        assert_eq!(parse::line(quiet.as_bytes(), quiet.len() + 2), request(true), "{quiet:?}");
    }

    #[test]
    fn lru_reads_its_orders() {
        let segments = TuneOrder::Segments {
            hot_percent: 10,
            warm_percent: 25,
            hot_max_factor: 0.1,
            warm_max_factor: 2.0,
        };
        check("lru tune 10 25 0.1 2.0", Ok(segments));
        check("lru mode flat", Ok(TuneOrder::LruMode(LruMode::Flat)));
        check("lru mode segmented", Ok(TuneOrder::LruMode(LruMode::Segmented)));
        check("lru temp_ttl 0", Ok(TuneOrder::TemporaryTtl(Some(0))));
        check("lru temp_ttl -1", Ok(TuneOrder::TemporaryTtl(None)));
        for text in [
            "lru",
            "lru x",
            "lru mode",
            "lru mode x",
            "lru temp_ttl",
            "lru temp_ttl x",
            "lru tune",
            "lru tune 1 2 3",
            "lru tune x 40 0.2 2.0",
            "lru tune 20 -1 0.2 2.0",
            "lru tune 20 40 0.2 nan",
        ] {
            check(text, Err(reply::ERROR));
        }
        check("lru tune 41 40 0.2 2.0", Err(reply::PERCENTS_TOO_HIGH));
        check("lru tune 4294967295 4294967295 0.2 2.0", Err(reply::PERCENTS_TOO_HIGH));
        check("lru tune 20 40 0 2.0", Err(reply::FACTORS_TOO_LOW));
    }

    #[test]
    fn slabs_reads_its_orders() {
        check("slabs reassign -1 0", Ok(TuneOrder::Reassign(Some([-1, 0]))));
        check("slabs reassign x 1", Ok(TuneOrder::Reassign(None)));
        check("slabs automove 2", Ok(TuneOrder::Automove(Automove::Eager)));
        check("slabs automove 0 x", Ok(TuneOrder::Automove(Automove::Off)));
        check("slabs automove ratio 0.5", Ok(TuneOrder::AutomoveRatio(0.5)));
        check("slabs automove window 1800", Ok(TuneOrder::AutomoveWindow(1800)));
        for text in [
            "slabs",
            "slabs x",
            "slabs reassign",
            "slabs reassign 1",
            "slabs reassign 1 2 3",
            "slabs automove 3",
            "slabs automove ratio",
            "slabs automove ratio x",
            "slabs automove ratio 0",
            "slabs automove ratio 1.1",
            "slabs automove window",
            "slabs automove window x",
        ] {
            check(text, Err(reply::ERROR));
        }
        check("slabs automove x", Err(reply::BAD_FORMAT));
        check("slabs automove window 2", Err(reply::BAD_WINDOW));
        check("slabs automove window 1801", Err(reply::BAD_WINDOW));
    }
}
