//! Tries the checker: a benchmark that takes any answer for a hit would flatter every cache.
//!
//! First single answers, each with the verdict it must get; then whole traces against servers that lie.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::ledger::{self, Answer, Ledger, Verdict};
use crate::replay::{Replay, Replayed};
use crate::trace::{Scale, Trace, TraceName};

/// Length of the value that is judged.
const VALUE_BYTES: usize = 100;
/// Grace of the ledger, and TTL of what is judged.
const GRACE_MS: u32 = 500;
const TTL_SECS: u16 = 2;

/// Tries all of it. The error says what was taken for something else.
pub fn run() -> io::Result<()> {
    judge_answers()?;
    replay_against_liars()?;
    println!("self-test: wrong, stale and expired answers are told from right ones");
    Ok(())
}

fn check(what: &str, is_right: bool) -> io::Result<()> {
    if is_right { Ok(()) } else { Err(io::Error::other(format!("self-test: {what}: misjudged"))) }
}

fn judge_answers() -> io::Result<()> {
    let values = ledger::values(1);
    let value = |id: u32, version: u8| {
        let mut value = Vec::new();
        values.push_value(id, version, VALUE_BYTES, &mut value);
        value
    };
    let (id, other) = (5, 6);
    let mut ledger = Ledger::new(10, GRACE_MS);
    let first = ledger.fill(id, TTL_SECS, 0);
    let judged = |ledger: &Ledger, value: &[u8], flags: u32, now_ms: u32| {
        ledger.judge(
            &Answer { id, value_bytes: VALUE_BYTES, flags, value },
            ledger.expected(id),
            now_ms,
            &values,
        )
    };
    let flags = values.flags(id);
    let right = value(id, first);
    let over_ms = u32::from(TTL_SECS) * 1000 + GRACE_MS;
    check("the right value", judged(&ledger, &right, flags, over_ms - 1) == Verdict::Hit)?;
    check("an expired value", judged(&ledger, &right, flags, over_ms) == Verdict::Expired)?;
    check("other flags", judged(&ledger, &right, flags ^ 1, 0) == Verdict::Wrong)?;
    check("another item's value", judged(&ledger, &value(other, first), flags, 0) == Verdict::Wrong)?;
    check("a value cut short", judged(&ledger, &right[..VALUE_BYTES - 1], flags, 0) == Verdict::Wrong)?;
    check("an empty value", judged(&ledger, &[], flags, 0) == Verdict::Wrong)?;
    for bit in 0..8 * VALUE_BYTES {
        let mut flipped = right.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check("a value with a flipped bit", judged(&ledger, &flipped, flags, 0) == Verdict::Wrong)?;
    }
    let second = ledger.overwrite(id, 0, 0);
    check("an overwritten value", judged(&ledger, &right, flags, 0) == Verdict::Stale)?;
    check("the value that overwrote it", judged(&ledger, &value(id, second), flags, 0) == Verdict::Hit)?;
    ledger.delete(id);
    check("a deleted value", judged(&ledger, &value(id, second), flags, 0) == Verdict::Stale)?;
    let third = ledger.fill(id, 0, 0);
    check("a deleted value after a fill", judged(&ledger, &value(id, second), flags, 0) == Verdict::Stale)?;
    check("the value of the fill", judged(&ledger, &value(id, third), flags, 0) == Verdict::Hit)
}

/// How a server lies.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// Not at all: it must not be accused.
    Not,
    /// It flips a bit in every value.
    FlippedBit,
    /// It says that it stores, and keeps what it had.
    OldValue,
    /// It answers every get with the value that was stored last, whatever the key.
    OtherKey,
}

fn replay_against_liars() -> io::Result<()> {
    let replayed = Lie::Not.replay()?;
    check("an honest server", replayed.faults.bad() == 0 && replayed.scored_hits > 0)?;
    let replayed = Lie::FlippedBit.replay()?;
    check("a server that flips bits", replayed.faults.wrong > 0 && replayed.scored_hits == 0)?;
    let replayed = Lie::OtherKey.replay()?;
    check("a server that mixes keys up", replayed.faults.wrong > 0)?;
    let replayed = Lie::OldValue.replay()?;
    check("a server that keeps old values", replayed.faults.stale > 0)
}

impl Lie {
    /// A short trace against a server that lies so.
    fn replay(self) -> io::Result<Replayed> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address: SocketAddr = listener.local_addr()?;
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || self.serve(stream));
            }
        });
        // This trace overwrites, and has no value so short that one could well pass for another.
        let trace = Trace::new(TraceName::Varied, 1, Scale { keys: 0.001, requests: 0.01 }, 1.0);
        Replay::new(trace, address, 1, &ledger::values(1))?.run()
    }

    fn serve(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut output = stream.try_clone()?;
        let mut input = BufReader::new(stream);
        let mut items: HashMap<String, (String, Vec<u8>)> = HashMap::new();
        let mut last = None;
        let mut line = String::new();
        while input.read_line(&mut line)? > 0 {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["set", key, flags, _, bytes] => {
                    let mut value = vec![0; bytes.parse::<usize>().unwrap_or(0) + 2];
                    input.read_exact(&mut value)?;
                    let item = (flags.to_owned(), value);
                    last = Some(item.clone());
                    match self {
                        Lie::OldValue => items.entry(key.to_owned()).or_insert(item),
                        _ => items.entry(key.to_owned()).insert_entry(item).into_mut(),
                    };
                    output.write_all(b"STORED\r\n")?;
                }
                ["get", key] => {
                    let item = if matches!(self, Lie::OtherKey) { last.as_ref() } else { items.get(key) };
                    if let Some((flags, value)) = item {
                        let mut value = value.clone();
                        value[0] ^= u8::from(matches!(self, Lie::FlippedBit));
                        write!(output, "VALUE {key} {flags} {}\r\n", value.len() - 2)?;
                        output.write_all(&value)?;
                    }
                    output.write_all(b"END\r\n")?;
                }
                ["delete", key] => {
                    if !matches!(self, Lie::OldValue) {
                        items.remove(key);
                    }
                    output.write_all(b"DELETED\r\n")?;
                }
                _ => output.write_all(b"ERROR\r\n")?,
            }
            line.clear();
        }
        Ok(())
    }
}
