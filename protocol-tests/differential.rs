//! Random sequences of commands, sent to the daemon under test and to memcached: every reply must be equal.
//!
//! Owns the generator, which stays within what all releases of memcached and larder agree on (see
//! `differences.rs` for the rest): no times that could pass meanwhile, no lines under four bytes, no
//! surplus or missing tokens, no unreadable flags or exptimes in storage commands. cas uniques are compared
//! by their order of appearance. Meta commands are in [`meta`].

mod meta;

use std::cell::RefCell;
use std::collections::HashMap;
use std::env;
use std::fmt;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::client::{Client, show};
use crate::server::{Launch, Server};

/// The first ones are never counted with, the last two never appended to: whether memcached pads the result of
/// `decr` with blanks depends on what its other threads are doing.
const KEYS: [&str; 7] = ["a", "bb", "c:c", "d\u{1}\u{e9}\t", LONG_KEY, "n", "mm"];
const TEXT_KEYS: usize = 5;

/// 250 bytes.
const LONG_KEY: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\
    kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\
    kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";

/// exptimes that cannot change a reply while the test runs.
const EXPTIMES: [&str; 6] = ["0", "0", "-1", "1000", "2592000", "2000000000"];

/// Values and deltas. None reaches 2^63: above it, older releases of memcached look for a minus sign beyond
/// the end of the item and may find one there.
const NUMBERS: [&str; 10] =
    ["0", "1", "9", "10", "99", "007", "12345", "123456789012345", "18446744073709551616", "4294967295"];

/// One command. Keys are positions in [`KEYS`].
#[derive(Clone)]
enum Step {
    /// Complete bytes of one command, as all daemons read them.
    Plain(Vec<u8>),
    /// `cas` with the unique the key had when the batch began, moved by `off`.
    Cas { key: usize, off: u64, value: Vec<u8>, noreply: bool },
    /// A meta command that compares: what stands before the unique of `key` moved by `off`, and behind it.
    Compare { key: &'static str, off: u64, before: String, after: Vec<u8> },
}

/// What goes over one connection, cut into pieces at these fractions of 1000.
#[derive(Clone, Debug)]
struct Batch {
    steps: Vec<Step>,
    cuts: Vec<usize>,
}

/// As bytes, so that a failing sequence can be read.
impl fmt::Debug for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Plain(bytes) => formatter.write_str(&show(bytes)),
            Step::Cas { key, off, value, noreply } => {
                write!(
                    formatter,
                    "cas {} unique+{off}<<32 noreply={noreply} {}",
                    KEYS[*key].escape_debug(),
                    show(value)
                )
            }
            Step::Compare { off, before, after, .. } => {
                write!(formatter, "{} unique+{off}<<32 {}", before.escape_debug(), show(after))
            }
        }
    }
}

/// No daemon comes to give this unique out; small numbers are the first to be given.
const UNIQUE_OF_NOTHING: u64 = u64::MAX >> 1;

/// A daemon together with the uniques seen from it, per key, in order of appearance.
struct Side {
    server: Server,
    uniques: HashMap<Vec<u8>, Vec<u64>>,
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(KEYS.to_vec())
}

fn text_key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(KEYS[..TEXT_KEYS].to_vec())
}

fn number_key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(KEYS[TEXT_KEYS..].to_vec())
}

fn noreply() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(""), 1 => Just(" noreply")]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let number = || prop::sample::select(NUMBERS.to_vec());
    prop_oneof![
        4 => number().prop_map(|text| text.as_bytes().to_vec()),
        1 => (number(), 0..4usize).prop_map(|(text, blanks)| [text, &" ".repeat(blanks)].concat().into_bytes()),
        1 => number().prop_map(|text| format!(" {text} x").into_bytes()),
        3 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 0..6000),
        1 => (any::<u8>(), 0..60_000usize).prop_map(|(byte, count)| vec![byte; count]),
        1 => Just(b"get a\r\nset a 0 0 1\r\nx".to_vec()),
    ]
    .prop_filter("white space alone is no number to some", |value: &Vec<u8>| {
        value.is_empty() || !value.iter().all(u8::is_ascii_whitespace)
    })
    .prop_filter("a number of many pages is none to larder", |value: &Vec<u8>| {
        value.len() <= 6000 || !value.iter().all(u8::is_ascii_digit)
    })
}

fn flags() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("0".to_string()),
        any::<u32>().prop_map(|flags| flags.to_string()),
        any::<u64>().prop_map(|flags| flags.to_string())
    ]
}

/// Blanks between tokens and the end of the line, in all the forms that mean the same.
fn dressed(line: String) -> impl Strategy<Value = Vec<u8>> {
    (0..10u8).prop_map(move |form| {
        let wide = line.replace(' ', "   ");
        match form {
            0 => format!("{wide}\r\n"),
            1 => format!("{line}  \r\n"),
            2 => format!("{line}\n"),
            _ => format!("{line}\r\n"),
        }
        .into_bytes()
    })
}

fn storage() -> impl Strategy<Value = Step> {
    let storing = (prop::sample::select(vec!["set", "set", "set", "add", "replace"]), key());
    let extending = (prop::sample::select(vec!["append", "prepend"]), text_key());
    (
        prop_oneof![5 => storing, 2 => extending],
        flags(),
        prop::sample::select(EXPTIMES.to_vec()),
        value(),
        noreply(),
    )
        .prop_flat_map(|((verb, key), flags, exptime, value, noreply)| {
            dressed(format!("{verb} {key} {flags} {exptime} {}{noreply}", value.len()))
                .prop_map(move |line| Step::Plain([&line, value.as_slice(), b"\r\n"].concat()))
        })
}

/// Data that is longer or shorter than announced, arranged so that the next command starts cleanly.
fn wrong_length() -> impl Strategy<Value = Step> {
    let verb = prop::sample::select(vec!["set", "add", "append"]);
    (verb, text_key(), 0..3000usize, 1..50usize, any::<bool>(), noreply()).prop_map(
        |(verb, key, length, off, longer, noreply)| {
            let line = format!("{verb} {key} 0 0 {length}{noreply}\r\n");
            let data = if longer {
                // The two bytes where CRLF should be, then a line of its own.
                format!("{}XX{}junk\r\n", "v".repeat(length), "j".repeat(off))
            } else {
                let short = length.saturating_sub(off);
                format!("{}\r\n{}", "v".repeat(short), "f".repeat(length - short))
            };
            let exact = !longer && length == 0;
            Step::Plain(if exact { format!("{line}\r\n") } else { line + &data }.into_bytes())
        },
    )
}

fn cas() -> impl Strategy<Value = Step> {
    (0..KEYS.len(), prop_oneof![3 => Just(0u64), 1 => 1..1000u64], value(), any::<bool>())
        .prop_map(|(key, off, value, noreply)| Step::Cas { key, off, value, noreply })
}

fn retrieval() -> impl Strategy<Value = Step> {
    let verb = prop::sample::select(vec!["get", "get", "gets", "gat 0", "gat 1000", "gats 0", "gat -1"]);
    (verb, prop::collection::vec(key(), 1..8))
        .prop_flat_map(|(verb, keys)| dressed(format!("{verb} {}", keys.join(" "))))
        .prop_map(Step::Plain)
}

fn one_key() -> impl Strategy<Value = Step> {
    let deltas: Vec<&str> = NUMBERS.into_iter().chain(["-1", "x", "1.5"]).collect();
    let arithmetic =
        (prop::sample::select(vec!["incr", "decr"]), number_key(), prop::sample::select(deltas), noreply())
            .prop_map(|(verb, key, delta, noreply)| format!("{verb} {key} {delta}{noreply}"));
    let exptimes: Vec<&str> = EXPTIMES.into_iter().chain(["x", "1.5", "0x1"]).collect();
    let touch = (key(), prop::sample::select(exptimes), noreply())
        .prop_map(|(key, exptime, noreply)| format!("touch {key} {exptime}{noreply}"));
    let delete = (key(), noreply()).prop_map(|(key, noreply)| format!("delete {key}{noreply}"));
    prop_oneof![3 => arithmetic, 1 => touch, 2 => delete].prop_flat_map(dressed).prop_map(Step::Plain)
}

fn odd() -> impl Strategy<Value = Step> {
    let lines = vec![
        "mn",
        "mn x",
        "bogus",
        "GET a",
        "gett a",
        "set a 0 0 abc",
        "set a 0 0 -1",
        "cas a 0 0 -5 1",
        "flush_all",
        "flush_all noreply",
        "flush_all x",
        "verbosity 0",
        "verbosity 1 noreply",
        "touch a abc",
        "gat abc a",
        "incr a abc",
        "stats reset",
        "stats x",
        "get\ta",
    ];
    prop::sample::select(lines).prop_map(|line| Step::Plain(format!("{line}\r\n").into_bytes()))
}

fn too_long_key() -> impl Strategy<Value = Step> {
    let forms: Vec<fn(&str) -> String> =
        vec![|key| format!("delete {key}\r\n"), |key| format!("incr {key} 1\r\n"), |key| {
            format!("touch {key} 0\r\n")
        }];
    (prop::sample::select(forms), 251..1500usize)
        .prop_map(|(form, length)| Step::Plain(form(&"k".repeat(length)).into_bytes()))
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let step = prop_oneof![8 => storage(), 6 => retrieval(), 6 => one_key(), 3 => cas(), 2 => wrong_length(), 2 => odd(), 1 => too_long_key(), 14 => meta::step()];
    let batch = (prop::collection::vec(step, 1..25), prop::collection::vec(0..1000usize, 0..8))
        .prop_map(|(steps, cuts)| Batch { steps, cuts });
    prop::collection::vec(batch, 1..8)
}

impl Side {
    /// Forgets all items and uniques.
    fn clear(&mut self) {
        let keys = KEYS.iter().chain([&meta::LEASED]);
        let deletes: String = keys.map(|key| format!("delete {key} noreply\r\n")).collect();
        self.server.client().expect(deletes, "");
        self.uniques.clear();
    }

    /// The unique of a key now; one that is never given out if it is absent.
    fn unique(&self, client: &mut Client, key: &str) -> u64 {
        let reply = client.ask(format!("gets {key}\r\n"));
        let line = reply.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).unwrap_or(UNIQUE_OF_NOTHING)
    }

    fn bytes_of(&self, steps: &[Step]) -> Vec<u8> {
        let mut client = self.server.client();
        let mut bytes = Vec::new();
        for step in steps {
            match step {
                Step::Plain(plain) => bytes.extend_from_slice(plain),
                Step::Cas { key, off, value, noreply } => {
                    let key = KEYS[*key];
                    let unique = self.unique(&mut client, key).wrapping_add(off << 32);
                    let noreply = if *noreply { " noreply" } else { "" };
                    bytes.extend(format!("cas {key} 3 0 {} {unique}{noreply}\r\n", value.len()).bytes());
                    bytes.extend_from_slice(value);
                    bytes.extend_from_slice(b"\r\n");
                }
                Step::Compare { key, off, before, after } => {
                    let unique = self.unique(&mut client, key).wrapping_add(off << 32);
                    bytes.extend(format!("{before}{unique}").bytes());
                    bytes.extend_from_slice(after);
                }
            }
        }
        bytes
    }

    /// Sends a batch over a connection of its own and gives all replies, uniques replaced by their order.
    fn run(&mut self, batch: &Batch) -> Vec<u8> {
        let bytes = self.bytes_of(&batch.steps);
        let mut cuts: Vec<_> = batch.cuts.iter().map(|cut| cut * bytes.len() / 1000).collect();
        cuts.sort_unstable();
        let mut stream = TcpStream::connect(self.server.addresses[0]).expect("the daemon accepts");
        let mut client = Client::from_tcp(stream.try_clone().unwrap());
        let reply = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut start = 0;
                for end in cuts.into_iter().chain([bytes.len()]) {
                    stream.write_all(&bytes[start..end]).expect("the daemon reads");
                    start = end;
                }
                stream.shutdown(Shutdown::Write).expect("still connected");
            });
            client.read_to_close()
        });
        self.normalised(&reply)
    }

    fn normalised(&mut self, mut reply: &[u8]) -> Vec<u8> {
        let mut result = Vec::new();
        while let Some(end) = reply.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = reply.split_at(end + 1);
            reply = rest;
            let words: Vec<&[u8]> = line.trim_ascii_end().split(|byte| *byte == b' ').collect();
            if let Some(rest) = meta::normalised(line, &words, reply, &mut result) {
                reply = rest;
                continue;
            }
            let [b"VALUE", key, flags, length, unique @ ..] = words.as_slice() else {
                result.extend_from_slice(line);
                continue;
            };
            let (data, rest) = reply.split_at(reply.len().min(number(length) as usize + 2));
            reply = rest;
            let data = without_padding(data);
            result.extend([*key, b"|", flags, b"|", data.len().to_string().as_bytes()].concat());
            if let [unique] = unique {
                let unique = number(unique);
                let seen = self.uniques.entry(key.to_vec()).or_default();
                let at = seen.iter().position(|other| *other == unique).unwrap_or_else(|| {
                    seen.push(unique);
                    seen.len() - 1
                });
                result.extend(format!("|unique {at}").bytes());
            }
            result.extend([b"|", data, b"\n"].concat());
        }
        result.extend_from_slice(reply);
        result
    }
}

/// The digits of a value that is a number, with or without blanks behind; any other value as it is.
fn without_padding(data: &[u8]) -> &[u8] {
    let end = data.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(data.len());
    if data[end..].trim_ascii_end().is_empty() { &data[..end] } else { data }
}

fn number(word: &[u8]) -> u64 {
    let text = std::str::from_utf8(word).unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("{} in a VALUE line", show(word)))
}

/// The real memcached, if there is one.
pub fn reference() -> Option<PathBuf> {
    let named = env::var_os("LARDER_TEST_REFERENCE").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from("/usr/bin/memcached")).filter(|path| Path::exists(path)))
}

#[test]
fn random_commands_are_answered_as_memcached_does() {
    let Some(reference) = reference() else {
        println!("left out: there is no memcached; LARDER_TEST_REFERENCE may name one");
        return;
    };
    let side = |launch: Launch| Side { server: launch.start(), uniques: HashMap::new() };
    let (tested, reference) = (side(Launch::new()), side(Launch::of(reference)));
    let (tested, reference) = (RefCell::new(tested), RefCell::new(reference));
    let cases = env::var("LARDER_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&batches(), |batches| {
        let (mut tested, mut reference) = (tested.borrow_mut(), reference.borrow_mut());
        tested.clear();
        reference.clear();
        for (at, batch) in batches.iter().enumerate() {
            let (got, want) = (tested.run(batch), reference.run(batch));
            if got != want {
                let from = got.iter().zip(&want).take_while(|(a, b)| a == b).count().saturating_sub(60);
                let (got, want) = (&got[from..], &want[from..]);
                let message = format!(
                    "batch {at}: {:#?}\nmemcached ..{}\nanswers   ..{}",
                    batch.steps,
                    show(want),
                    show(got)
                );
                return Err(TestCaseError::fail(message));
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
