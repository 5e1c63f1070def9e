//! No request takes memory from the allocator, once its connection and the store have what they need.
//!
//! A session is served in this process as a worker does it, with the socket left out, and all that this thread
//! allocates is counted. `cargo test --test allocations`.

use std::fmt::Write as _;
use std::io;

use larder::base::clock::{Clock, Now, Seconds};
use larder::config::Settings;
use larder::protocol::memcached::{Daemon, Hooks, Next, Session, Tag, Turn};
use larder::protocol::output::Output;
use larder::store::{Store, StoreOptions};

const NOW: Now = Now { seconds: Seconds(100), unix: 1_700_000_000 };
/// Different keys; no request of a run is like the one before.
const KEYS: usize = 500;
/// Times that each of them is asked for while allocations are counted.
const ROUNDS: usize = 10;
const VALUE_BYTES: usize = 100;

/// A client that takes every reply at once and remembers the last ones.
#[derive(Default)]
struct Client {
    replies: Vec<u8>,
}

impl io::Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What does not fit any more would show as a wrong reply.
        let room = self.replies.capacity() - self.replies.len();
        self.replies.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A daemon with one connection.
struct Served {
    daemon: Daemon,
    session: Session,
    output: Output,
    client: Client,
}

impl Served {
    fn new() -> Served {
        // In one of many partitions a key may be alone on its page, which comes and goes with it: now and then the list
        // of spare pages grows then. Here no page does.
        let store = Store::new(&StoreOptions { partitions: Some(1), ..StoreOptions::default() });
        // An entry in the slow log takes memory, and a busy machine makes anything slow.
        let settings = Settings { slow_log_ms: 0, ..Settings::default() };
        Served {
            daemon: Daemon::new(settings, store, Clock::start(), Hooks::default()),
            session: Session::new(),
            output: Output::default(),
            client: Client { replies: Vec::with_capacity(1 << 16) },
        }
    }

    /// Serves all of `input`, turn after turn; the replies are in `client` then.
    fn serve(&mut self, input: &[u8]) {
        self.client.replies.clear();
        let mut consumed = 0;
        loop {
            let counters = self.daemon.counters(0, Tag::default());
            let commands = self.daemon.settings.requests_per_event;
            let mut turn = Turn::new(&self.daemon, counters, NOW, commands, 1, &mut self.output);
            turn.of_worker(0);
            let served = self.session.serve(&input[consumed..], &mut turn);
            consumed += served.consumed;
            while self.output.pending() > 0 {
                self.output.write_to(&mut self.client, usize::MAX).expect("it takes all");
            }
            match served.next {
                Next::NeedInput if consumed == input.len() => return,
                Next::Yield | Next::OutputFull => {}
                next => panic!("{next:?} after {consumed} of {} bytes", input.len()),
            }
        }
    }

    /// How often memory is allocated while each of `exchanges` is made [`ROUNDS`] times. Each was made before.
    fn allocations(&mut self, exchanges: &[(String, String)]) -> u64 {
        let mut wrong = None;
        let mut make = |served: &mut Served| {
            for (request, reply) in exchanges {
                served.serve(request.as_bytes());
                if served.client.replies != reply.as_bytes() {
                    wrong = wrong.or(Some(request));
                }
            }
        };
        make(self);
        let info = allocation_counter::measure(|| (0..ROUNDS).for_each(|_| make(self)));
        assert_eq!(wrong, None, "{:?}", String::from_utf8_lossy(&self.client.replies));
        info.count_total
    }
}

fn value(number: usize) -> String {
    format!("{number:0VALUE_BYTES$}")
}

/// For each key what is sent and what is answered. `parts` of them are sent at once.
fn exchanges(parts: usize, exchange: impl Fn(usize) -> (String, String)) -> Vec<(String, String)> {
    let numbers: Vec<usize> = (0..KEYS).collect();
    let joined =
        |numbers: &[usize]| numbers.iter().map(|&number| exchange(number)).unzip::<_, _, Vec<_>, Vec<_>>();
    let texts = |(requests, replies): (Vec<String>, Vec<String>)| (requests.concat(), replies.concat());
    numbers.chunks(parts).map(|numbers| texts(joined(numbers))).collect()
}

/// No exchange allocates, neither alone nor 32 at a time.
#[track_caller]
fn check(exchange: impl Fn(usize) -> (String, String)) {
    let mut served = Served::new();
    let set = |n| (format!("set k{n} 5 0 {VALUE_BYTES}\r\n{}\r\n", value(n)), "STORED\r\n".to_owned());
    served.allocations(&exchanges(1, set));
    for parts in [1, 32] {
        let count = served.allocations(&exchanges(parts, &exchange));
        assert_eq!(count, 0, "allocations for {} requests, {parts} at a time", KEYS * ROUNDS);
    }
}

#[test]
fn gets_allocate_nothing() {
    let block = |n| format!("VALUE k{n} 5 {VALUE_BYTES}\r\n{}\r\n", value(n));
    check(|n| (format!("get k{n}\r\n"), block(n) + "END\r\n"));
    check(|n| (format!("get absent{n}\r\n"), "END\r\n".to_owned()));
    check(|n| (format!("get k{n} absent k{n}\r\n"), block(n).repeat(2) + "END\r\n"));
    check(|n| (format!("gat 0 k{n}\r\n"), block(n) + "END\r\n"));
    check(|n| {
        (format!("mg k{n} v s f t k Oq{n}\r\n"), {
            format!("VA {VALUE_BYTES} s{VALUE_BYTES} f5 t-1 kk{n} Oq{n}\r\n{}\r\n", value(n))
        })
    });
    check(|n| (format!("mg absent{n} v\r\n"), "EN\r\n".to_owned()));
}

#[test]
fn sets_allocate_nothing() {
    let set = |verb: &str, n: usize| format!("{verb} k{n} 0 0 {VALUE_BYTES}\r\n{}\r\n", value(n + 1));
    check(|n| (set("set", n), "STORED\r\n".to_owned()));
    check(|n| (set("replace", n), "STORED\r\n".to_owned()));
    check(|n| (set("add", n), "NOT_STORED\r\n".to_owned()));
    check(|n| (format!("ms k{n} {VALUE_BYTES} F3\r\n{}\r\n", value(n)), "HD\r\n".to_owned()));
    check(|n| (format!("ms k{n} {VALUE_BYTES} T3600\r\n{}\r\n", value(n)), "HD\r\n".to_owned()));
}

#[test]
fn touches_counts_and_deletions_allocate_nothing() {
    check(|n| (format!("touch k{n} 3600\r\n"), "TOUCHED\r\n".to_owned()));
    check(|n| (format!("touch absent{n} 3600\r\n"), "NOT_FOUND\r\n".to_owned()));
    check(|n| (format!("set n{n} 0 0 1\r\n5\r\nincr n{n} 3\r\n"), "STORED\r\n8\r\n".to_owned()));
    check(|n| (format!("ma absent{n}\r\n"), "NF\r\n".to_owned()));
    check(|n| (format!("delete absent{n}\r\n"), "NOT_FOUND\r\n".to_owned()));
    check(|n| {
        let mut requests = format!("delete k{n}\r\nset k{n} 0 0 {VALUE_BYTES}\r\n{}\r\n", value(n));
        write!(requests, "md k{n}\r\nadd k{n} 0 0 {VALUE_BYTES}\r\n{}\r\n", value(n)).expect("text");
        (requests, "DELETED\r\nSTORED\r\nHD\r\nSTORED\r\n".to_owned())
    });
}

#[test]
fn what_allocates_is_counted() {
    let mut served = Served::new();
    // A value in two pieces needs memory for what is known of it meanwhile.
    let count = allocation_counter::measure(|| {
        served.serve(b"set k 0 0 5\r\n12");
        served.serve(b"345\r\n");
    });
    assert!(count.count_total > 0);
    assert_eq!(served.client.replies, b"STORED\r\n");
}
