//! How long replies take: the output alone, and whole sessions from request bytes to sent replies.
//!
//! A session is served as a connection does it, with the socket left out: replies go to a sink. Values
//! have 100 bytes, keys 16; the few items are in the processor's caches.
//!
//! `cargo bench --bench reply`; only some of it: `cargo bench --bench reply -- session`. Compare two
//! versions with `-- --save-baseline before`, then `-- --baseline before`.

mod fixture;

use std::io::{self, IoSlice};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fixture::{KeyText, NOW, VALUE, empty_store, fill, keys};
use larder::base::clock::Clock;
use larder::config::Settings;
use larder::protocol::memcached::{Daemon, Hooks, Next, Session, Tag, Turn};
use larder::protocol::output::Output;

/// Commands that a client sends in one go.
const PIPELINED: usize = 32;
/// Keys of one multiget.
const MULTIGET_KEYS: usize = 100;
/// Bytes of a value that is sent from where it is stored.
const LARGE_VALUE_BYTES: usize = 256 << 10;

/// A socket whose client is always ready. Counts what it takes.
#[derive(Default)]
struct Sink {
    bytes: usize,
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        self.bytes += bytes;
        Ok(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A daemon that holds `keys`.
fn daemon(keys: &[KeyText]) -> Daemon {
    let store = empty_store(64);
    fill(&store, keys);
    Daemon::new(Settings::default(), store, Clock::start(), Hooks::default())
}

fn send(output: &mut Output, sink: &mut Sink) {
    while output.pending() > 0 {
        output.write_to(sink, usize::MAX).expect("a sink takes all");
    }
}

/// Lets `session` take the whole of `input`, sending what it answers. Returns how much that was.
fn serve(daemon: &Daemon, session: &mut Session, output: &mut Output, input: &[u8]) -> usize {
    let mut sink = Sink::default();
    let mut consumed = 0;
    loop {
        let counters = daemon.counters(0, Tag::default());
        let mut turn = Turn::new(daemon, counters, NOW, PIPELINED, 1, output);
        let served = session.serve(&input[consumed..], &mut turn);
        consumed += served.consumed;
        send(output, &mut sink);
        match served.next {
            Next::NeedInput if consumed == input.len() => return sink.bytes,
            Next::OutputFull | Next::Yield => {}
            next => panic!("{next:?} after {consumed} of {} bytes", input.len()),
        }
    }
}

fn text(key: &KeyText) -> &str {
    std::str::from_utf8(key).expect("keys are text")
}

fn value_text() -> &'static str {
    std::str::from_utf8(&VALUE).expect("the value is text")
}

/// What the client is answered when it gets one of `keys`, without the end.
fn value_block(key: &KeyText) -> String {
    format!("VALUE {} 0 {}\r\n{}\r\n", text(key), VALUE.len(), value_text())
}

fn outputs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply/output");
    let block = value_block(&keys("key", 1)[0]);
    let (line, value) = block.split_at(block.len() - VALUE.len() - 2);
    let mut output = Output::default();
    group.throughput(Throughput::Elements(PIPELINED as u64));
    group.bench_function("32 small values", |bencher| {
        bencher.iter(|| {
            for _ in 0..PIPELINED {
                output.push(line.as_bytes());
                output.push_number(VALUE.len() as u64);
                output.push(value.as_bytes());
            }
            let mut sink = Sink::default();
            send(&mut output, &mut sink);
            sink.bytes
        });
    });
    group.finish();
}

fn sessions(criterion: &mut Criterion) {
    let present = keys("key", MULTIGET_KEYS);
    let absent = keys("none", PIPELINED);
    let daemon = daemon(&present);
    let get = |key| format!("get {}\r\n", text(key));
    let set = |key| format!("set {} 0 0 {}\r\n{}\r\n", text(key), VALUE.len(), value_text());
    let hits: usize = present.iter().map(|key| value_block(key).len()).sum();
    let block = hits / MULTIGET_KEYS;
    let pipelined = &present[..PIPELINED];
    let multiget = format!("get {}\r\n", present.iter().map(text).collect::<Vec<_>>().join(" "));
    let large = format!("set large 0 0 {LARGE_VALUE_BYTES}\r\n{}\r\n", "v".repeat(LARGE_VALUE_BYTES));
    let large_reply = format!("VALUE large 0 {LARGE_VALUE_BYTES}\r\n\r\nEND\r\n").len() + LARGE_VALUE_BYTES;
    // Name, what the client sends, bytes that it is answered, commands or keys in it.
    let exchanges = [
        ("32 gets, hits", pipelined.iter().map(get).collect(), PIPELINED * (block + 5), PIPELINED),
        ("32 gets, misses", absent.iter().map(get).collect(), PIPELINED * 5, PIPELINED),
        ("multiget of 100", multiget, hits + 5, MULTIGET_KEYS),
        ("32 sets", pipelined.iter().map(set).collect::<String>(), PIPELINED * 8, PIPELINED),
        ("set of 256 KB", large, 8, 1),
        ("get of 256 KB", "get large\r\n".to_owned(), large_reply, 1),
    ];
    let mut group = criterion.benchmark_group("reply/session");
    let (mut session, mut output) = (Session::new(), Output::default());
    for (name, input, answered, elements) in exchanges {
        let input = input.as_bytes();
        assert_eq!(serve(&daemon, &mut session, &mut output, input), answered, "{name}");
        group.throughput(Throughput::Elements(elements as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| serve(&daemon, &mut session, &mut output, input));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = outputs, sessions
}
criterion_main!(benches);
