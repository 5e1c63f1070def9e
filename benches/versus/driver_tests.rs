//! Loads against servers in this process: right ones, wrong ones, and one that stands still for a while.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::*;
use crate::cases;
use crate::cores::Cores;
use crate::floor;
use crate::load::{Load, Timing};
use crate::progress::Display;
use crate::reply::Content;
use crate::requests;
use crate::workload::{Protocol, Workload};

/// What a server does with the requests of a connection, which it reads for itself.
type Serve = fn(TcpStream) -> io::Result<()>;

fn server(serve: Serve) -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    Address::Tcp(address)
}

fn gets() -> Workload {
    Workload { connections: 3, keys: 50, ratio: "1:0".parse().unwrap(), ..cases::base() }
}

fn load(address: &Address, workload: &Workload, ms: u64) -> Result<crate::load::Outcome<()>, Failure> {
    let values = requests::values(1, workload.value_bytes);
    let cores = Cores::split().unwrap();
    let timing = Timing { warm_up: Duration::ZERO, measured: Duration::from_millis(ms) };
    let mut load = Load::connect(address, workload, &values, Content::Prepared, 2, 1, &cores)?;
    load.run(timing, &Display::new("test"), || Ok(()))
}

/// Answers each get with the value that the floor would send, after `before` was called.
fn answer(mut stream: TcpStream, mut before: impl FnMut(usize)) -> io::Result<()> {
    let values = requests::values(1, gets().value_bytes);
    let mut input = Vec::new();
    let mut answered = 0;
    loop {
        let mut piece = [0; 4096];
        let bytes = stream.read(&mut piece)?;
        if bytes == 0 {
            return Ok(());
        }
        input.extend_from_slice(&piece[..bytes]);
        while let Some(end) = input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = input.drain(..=end).collect();
            let key = line["get ".len()..].trim_ascii_end();
            let mut reply = [b"VALUE ", key, b" 0 100\r\n"].concat();
            values.push_value(0, 0, 100, &mut reply);
            reply.extend_from_slice(b"\r\nEND\r\n");
            before(answered);
            stream.write_all(&reply)?;
            answered += 1;
        }
    }
}

#[track_caller]
fn fails(serve: Serve, because: &str) {
    match load(&server(serve), &gets(), 10_000) {
        Err(Failure::Wrong(why)) => assert!(why.contains(because), "{why}"),
        other => panic!("{:?} is not what was expected", other.map(|_| ())),
    }
}

#[test]
fn right_replies_are_counted_once() {
    for pipeline in [1, 7] {
        let address = server(|stream| answer(stream, |_| {}));
        let outcome = load(&address, &Workload { pipeline, ..gets() }, 200).unwrap();
        assert!(outcome.requests > 0 && outcome.tally.all_keys >= outcome.keys);
        assert_eq!(outcome.tally.latency.len(), outcome.tally.all_keys, "all were sent in time");
        assert_eq!(outcome.tally.misses, 0);
    }
}

#[test]
fn wrong_replies_end_the_run() {
    fails(|mut stream| stream.write_all(b"END\r\nEND\r\nEND\r\n"), "expected nothing");
    fails(
        |mut stream| {
            let _ = stream.read(&mut [0; 100])?;
            stream.write_all(b"SERVER_ERROR out of memory\r\n")?;
            stream.read(&mut [0; 100]).map(drop)
        },
        "SERVER_ERROR",
    );
    // A reply cut short by the end of the connection.
    fails(
        |mut stream| {
            let _ = stream.read(&mut [0; 100])?;
            stream.write_all(b"EN")
        },
        "closed a connection that 1 requests",
    );
}

#[test]
fn an_open_loop_counts_from_when_a_request_was_due() {
    // The server stands still for 200 ms once. A load that waits for it would see one slow request; here
    // those that fell due meanwhile are slow as well, by 100 ms on average.
    let address = server(|stream| {
        answer(stream, |answered| {
            if answered == 100 {
                thread::sleep(Duration::from_millis(200));
            }
        })
    });
    let arrivals = Arrivals::Open { per_sec: 1000.0 };
    let outcome = load(&address, &Workload { connections: 1, arrivals, ..gets() }, 600).unwrap();
    let latency = &outcome.tally.latency;
    let slow = latency.len() - latency.count_between(0, 50_000_000);
    // 600 are due in all, and 150 of them in the first 150 ms of the pause.
    assert!((450..750).contains(&latency.len()), "{}", latency.len());
    assert!(slow > 75, "{slow}");
}

#[test]
fn the_floor_stands_any_load() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let base = Workload { connections: 20, keys: 100, ..cases::base() };
    let loads = [
        base.clone(),
        Workload { pipeline: 32, ..base.clone() },
        Workload { multiget: 20, protocol: Protocol::Meta, ..base.clone() },
        Workload { value_bytes: "10-30000".parse().unwrap(), pipeline: 5, ..base.clone() },
        Workload { value_bytes: "500000".parse().unwrap(), multiget: 3, ..base },
    ];
    for (at, workload) in loads.into_iter().enumerate() {
        let port = free.port();
        let address = Address::Tcp((Ipv4Addr::from([127, 0, 1, at as u8 + 1]), port).into());
        let options = floor::Options {
            address: address.clone(),
            threads: 2,
            value_bytes: workload.value_bytes,
            seed: 1,
            connections: 50,
        };
        thread::spawn(move || floor::serve(&options));
        while address.version().is_err() {
            thread::sleep(Duration::from_millis(1));
        }
        let outcome = load(&address, &workload, 100).unwrap();
        assert!(outcome.tally.all_keys > 0);
    }
}
