//! Meta commands for the differential test, as far as memcached 1.6.18 knows them and is right.
//!
//! Left out are what is newer (E, x, C with mg, N with append, long modes), and what memcached forgets when it
//! makes an item anew (the marks of stale items and of base64 keys): items with marks have a key of their own,
//! whose value is only replaced as a whole. Nor is it asked whether a number was read: that memcached forgets, too,
//! when it makes the item anew, and whether it does depends on its other threads.

use proptest::prelude::*;

use super::{EXPTIMES, NUMBERS, Step, key, number, number_key, text_key, value, without_padding};

/// The key of the item that is leased. No command changes a part of its value.
pub const LEASED: &str = "leased";

/// Some of `all`, each once, in any order.
fn flags(all: &[&'static str], most: usize) -> impl Strategy<Value = String> + use<> {
    let all = all.to_vec();
    let most = most.min(all.len());
    let some = prop::sample::subsequence(all, 0..=most).prop_shuffle();
    some.prop_map(|flags| flags.iter().map(|flag| format!(" {flag}")).collect())
}

/// Some flag with an exptime, or none.
fn exptime(letter: char) -> impl Strategy<Value = String> {
    let exptimes: Vec<&str> = EXPTIMES.into_iter().filter(|exptime| *exptime != "-1").collect();
    prop_oneof![
        2 => Just(String::new()),
        1 => prop::sample::select(exptimes).prop_map(move |exptime| format!(" {letter}{exptime}")),
    ]
}

/// Something wrong, now and then.
fn mistake() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just(""), 1 => prop::sample::select(vec![" m", " 5", " k k", " Tx", " noreply"])]
}

fn line(text: String) -> Step {
    Step::Plain(format!("{text}\r\n").into_bytes())
}

fn get() -> impl Strategy<Value = Step> {
    let numbers = (number_key(), flags(&["v", "t", "f", "k", "Oo1", "q", "u", "Pp", "c"], 6));
    let texts = (text_key(), flags(&["v", "t", "f", "k", "Oo1", "q", "h", "u", "s", "Ll", "c"], 7));
    (prop_oneof![numbers, texts], exptime('T'), mistake(), any::<bool>()).prop_map(
        |((key, flags), exptime, mistake, in_front)| match in_front {
            true => line(format!("mg {key}{exptime}{flags}{mistake}")),
            false => line(format!("mg {key}{flags}{exptime}{mistake}")),
        },
    )
}

fn set() -> impl Strategy<Value = Step> {
    let storing = (key(), prop::sample::select(vec!["", "", " MS", " ME", " MR"]));
    let extending = (text_key(), prop::sample::select(vec![" MA", " MP"]));
    let flags = flags(&["k", "Oo1", "q", "c", "I", "F7", "F4294967295", "v"], 4);
    (prop_oneof![4 => storing, 1 => extending], flags, exptime('T'), mistake(), value()).prop_map(
        |((key, mode), flags, exptime, mistake, value)| {
            // A flag may be there once.
            let flags = if flags.matches(" F").count() > 1 { String::new() } else { flags };
            let head = format!("ms {key} {}{mode}{flags}{exptime}{mistake}\r\n", value.len());
            Step::Plain([head.as_bytes(), &value, b"\r\n"].concat())
        },
    )
}

fn delete() -> impl Strategy<Value = Step> {
    (key(), flags(&["k", "Oo1", "q", "v", "T30"], 4))
        .prop_map(|(key, flags)| line(format!("md {key}{flags}")))
}

fn arithmetic() -> impl Strategy<Value = Step> {
    let modes = prop::sample::select(vec!["", " MI", " M+", " MD", " M-", " Mx"]);
    let numbers: Vec<&str> = NUMBERS.into_iter().filter(|number| *number != "18446744073709551616").collect();
    let delta = prop_oneof![
        Just(String::new()),
        prop::sample::select(numbers.clone()).prop_map(|number| format!(" D{number}")),
    ];
    let create = prop_oneof![
        2 => Just(String::new()),
        1 => prop::sample::select(numbers).prop_map(|number| format!(" N0 J{number}")),
        1 => Just(" q".to_string()),
    ];
    (number_key(), modes, delta, create, flags(&["v", "k", "Oo1", "t", "c"], 5), mistake()).prop_map(
        |(key, mode, delta, create, flags, mistake)| {
            line(format!("ma {key}{mode}{delta}{create}{flags}{mistake}"))
        },
    )
}

/// Commands on the item with marks.
fn lease() -> impl Strategy<Value = Step> {
    let all = ["v", "t", "f", "k", "s", "q", "h", "u"];
    let get =
        (flags(&all, 6), exptime('T'), exptime('N'), prop::sample::select(vec!["", " R30", " R2000", " R0"]));
    let get = get.prop_map(|(flags, touch, create, recache)| {
        line(format!("mg {LEASED}{touch}{flags}{recache}{create}"))
    });
    let plain = vec![
        format!("md {LEASED} I\r\n"),
        format!("md {LEASED} I T1000 k\r\n"),
        format!("md {LEASED} q\r\n"),
        format!("delete {LEASED}\r\n"),
        format!("get {LEASED}\r\n"),
        format!("touch {LEASED} 1000\r\n"),
        format!("set {LEASED} 3 1000 2\r\nhi\r\n"),
        format!("ms {LEASED} 2 T1000 F9 k\r\nho\r\n"),
        format!("ms {LEASED} 2 ME\r\nhe\r\n"),
    ];
    let plain = prop::sample::select(plain).prop_map(|text| Step::Plain(text.into_bytes()));
    prop_oneof![3 => get, 2 => plain]
}

/// Commands that compare a CAS unique.
fn compare() -> impl Strategy<Value = Step> {
    let off = prop_oneof![3 => Just(0u64), 1 => 1..1000u64];
    let set = (key(), off.clone(), value(), flags(&["k", "q", "MR", "T0"], 3)).prop_map(
        |(key, off, value, flags)| {
            let before = format!("ms {key} {}{flags} C", value.len());
            Step::Compare { key, off, before, after: [b"\r\n", value.as_slice(), b"\r\n"].concat() }
        },
    );
    let delete = (key(), off.clone(), flags(&["k", "q"], 2)).prop_map(|(key, off, flags)| Step::Compare {
        key,
        off,
        before: format!("md {key}{flags} C"),
        after: b"\r\n".to_vec(),
    });
    let count = (number_key(), off.clone(), flags(&["k", "q", "v"], 3)).prop_map(|(key, off, flags)| {
        Step::Compare { key, off, before: format!("ma {key}{flags} C"), after: b"\r\n".to_vec() }
    });
    let leased = off.prop_map(|off| Step::Compare {
        key: LEASED,
        off,
        before: format!("ms {LEASED} 2 T900 I C"),
        after: b"\r\nhu\r\n".to_vec(),
    });
    prop_oneof![2 => set, 1 => delete, 1 => count, 1 => leased]
}

/// Any of them.
pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![4 => get(), 4 => set(), 2 => delete(), 3 => arithmetic(), 4 => lease(), 2 => compare()]
}

/// Appends a reply to a meta command to `result`, without what may differ: CAS uniques, the exact time left, and
/// blanks behind numbers. Returns what follows it, or `None` if `line` is none.
pub fn normalised<'a>(
    line: &[u8],
    words: &[&[u8]],
    rest: &'a [u8],
    result: &mut Vec<u8>,
) -> Option<&'a [u8]> {
    let (flags, data, rest) = match words {
        [b"VA", length, flags @ ..] => {
            let (data, rest) = rest.split_at(rest.len().min(number(length) as usize + 2));
            (flags, Some(without_padding(data)), rest)
        }
        [b"HD" | b"EN" | b"NF" | b"NS" | b"EX", flags @ ..] => (flags, None, rest),
        _ => return None,
    };
    result.extend_from_slice(&line[..2]);
    for flag in flags {
        match flag {
            [b'c', ..] => result.extend_from_slice(b" c"),
            [b't', left @ ..] if *left != *b"-1" => result.extend_from_slice(b" t"),
            _ => result.extend([b" ", *flag].concat()),
        }
    }
    if let Some(data) = data {
        result.extend([b"|", data].concat());
    }
    result.push(b'\n');
    Some(rest)
}
