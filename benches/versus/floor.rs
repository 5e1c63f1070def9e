//! The floor: a server that reads requests and writes replies of the right form and length, and does nothing
//! between. What it costs is the price of the network and of the protocol's framing alone; no cache can be
//! cheaper.
//!
//! It runs in a process of its own, started by the runner from its own program. One thread per worker, each
//! with the connections that it was given in turn. It understands what the load sends and nothing else. It
//! keeps no key: every value is the beginning of one prepared value.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use memchr::memchr;
use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use crate::connection::{Address, Stream, unless_blocked};
use crate::load::allow_connections;
use crate::requests;
use crate::workload::ValueBytes;

/// Bytes that a read asks for.
const BUFFER_BYTES: usize = 64 << 10;
/// Values from here on are sent from where they are, shorter ones are copied to the other replies.
const SHARED_BYTES_MIN: usize = 16 << 10;
/// Pieces that one system call may send.
const PIECES_MAX: usize = 64;
/// Lengths that a range of them is cut into.
const LENGTHS: usize = 64;
/// Token of the waker; connections have their index.
const WAKER: Token = Token(usize::MAX - 1);
const EVENTS: usize = 1024;

/// What the floor is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub address: Address,
    /// Workers.
    pub threads: usize,
    /// Lengths of its values.
    pub value_bytes: ValueBytes,
    /// Of the bytes of its value.
    pub seed: u64,
    /// How many it may have.
    pub connections: usize,
}

/// Serves until the process is ended.
pub fn serve(options: &Options) -> io::Result<()> {
    allow_connections(options.connections)?;
    let mut prepared = Vec::with_capacity(options.value_bytes.max);
    let values = requests::values(options.seed, options.value_bytes);
    values.push_value(0, 0, options.value_bytes.max, &mut prepared);
    let replies = Replies { prepared: prepared.into(), value_bytes: options.value_bytes };
    let mut workers = Vec::new();
    for _ in 0..options.threads.max(1) {
        workers.push(Worker::start(replies.clone())?);
    }
    let workers = workers.iter().cycle();
    match &options.address {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(address)?;
            for (stream, worker) in listener.incoming().zip(workers) {
                let stream = stream?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                worker.give(Stream::Tcp(mio::net::TcpStream::from_std(stream)))?;
            }
        }
        Address::Unix(path) => {
            for (stream, worker) in UnixListener::bind(path)?.incoming().zip(workers) {
                let stream = stream?;
                stream.set_nonblocking(true)?;
                worker.give(Stream::Unix(mio::net::UnixStream::from_std(stream)))?;
            }
        }
    }
    Ok(())
}

/// A worker, seen by the listener.
struct Handle {
    streams: Sender<Stream>,
    waker: Waker,
}

impl Handle {
    fn give(&self, stream: Stream) -> io::Result<()> {
        self.streams.send(stream).map_err(|_| io::Error::other("a worker has ended"))?;
        self.waker.wake()
    }
}

struct Worker {
    poll: Poll,
    streams: Receiver<Stream>,
    connections: Slab<Connection>,
    buffer: Vec<u8>,
    replies: Replies,
}

impl Worker {
    fn start(replies: Replies) -> io::Result<Handle> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (sender, streams) = channel();
        let buffer = vec![0; BUFFER_BYTES];
        let mut worker = Worker { poll, streams, connections: Slab::new(), buffer, replies };
        thread::spawn(move || {
            let Err(error) = worker.run();
            eprintln!("floor: {error}");
            std::process::exit(1);
        });
        Ok(Handle { streams: sender, waker })
    }

    fn run(&mut self) -> io::Result<std::convert::Infallible> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                if event.token() == WAKER {
                    self.accept()?;
                } else if let Some(connection) = self.connections.get_mut(event.token().0)
                    && !connection.turn(&mut self.buffer, &self.replies)
                {
                    self.connections.remove(event.token().0);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Ok(mut stream) = self.streams.try_recv() {
            let vacant = self.connections.vacant_entry();
            stream.register(self.poll.registry(), Token(vacant.key()))?;
            vacant.insert(Connection { stream, out: Output::default(), input: Input::default() });
        }
        Ok(())
    }
}

struct Connection {
    stream: Stream,
    input: Input,
    out: Output,
}

impl Connection {
    /// Reads, answers and writes until nothing is left to do; `false` if the client has gone.
    fn turn(&mut self, buffer: &mut [u8], replies: &Replies) -> bool {
        loop {
            match self.out.send(&mut self.stream, &replies.prepared) {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
            let bytes = match self.stream.read(buffer) {
                Ok(0) => return false,
                read => unless_blocked(read),
            };
            match bytes {
                Ok(Some(bytes)) => {
                    self.input.take(&buffer[..bytes], replies, &mut self.out);
                    if 0 < bytes && bytes < buffer.len() {
                        return self.out.send(&mut self.stream, &replies.prepared).is_ok();
                    }
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }
}

/// What of a request is still to come.
#[derive(Default)]
struct Input {
    /// The beginning of a line.
    line: Vec<u8>,
    /// Bytes of a value, with its CR LF, and what is answered when they are there.
    value_bytes: usize,
    stored: Vec<u8>,
}

impl Input {
    /// Answers what is complete in `bytes`, and keeps the rest in mind.
    fn take(&mut self, mut bytes: &[u8], replies: &Replies, out: &mut Output) {
        loop {
            let skipped = self.value_bytes.min(bytes.len());
            bytes = &bytes[skipped..];
            self.value_bytes -= skipped;
            if self.value_bytes > 0 {
                return;
            }
            out.bytes.append(&mut self.stored);
            let Some(end) = memchr(b'\n', bytes) else {
                self.line.extend_from_slice(bytes);
                return;
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.line.is_empty() {
                self.value_bytes = replies.answer(line, out, &mut self.stored);
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.value_bytes = replies.answer(&line, out, &mut self.stored);
            }
        }
    }
}

/// What is answered.
#[derive(Clone)]
struct Replies {
    prepared: Arc<[u8]>,
    value_bytes: ValueBytes,
}

impl Replies {
    /// Answers a line. Of a command with a value, returns how many bytes follow, and what to answer then.
    fn answer(&self, line: &[u8], out: &mut Output, stored: &mut Vec<u8>) -> usize {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let (command, rest) = line.split_at(memchr(b' ', line).unwrap_or(line.len()));
        let rest = rest.get(1..).unwrap_or_default();
        match command {
            b"get" => {
                for key in rest.split(|&byte| byte == b' ') {
                    out.bytes.extend_from_slice(b"VALUE ");
                    out.bytes.extend_from_slice(key);
                    out.bytes.extend_from_slice(b" 0 ");
                    self.push_value(key, b"", out);
                }
                out.bytes.extend_from_slice(b"END\r\n");
            }
            b"mg" => {
                let key = &rest[..memchr(b' ', rest).unwrap_or(rest.len())];
                out.bytes.extend_from_slice(b"VA ");
                self.push_value(key, last_word(rest), out);
            }
            b"mn" => out.bytes.extend_from_slice(b"MN\r\n"),
            b"set" => {
                stored.extend_from_slice(b"STORED\r\n");
                return decimal(last_word(rest)) + 2;
            }
            b"ms" => {
                stored.extend_from_slice(b"HD ");
                stored.extend_from_slice(last_word(rest));
                stored.extend_from_slice(b"\r\n");
                return decimal(rest.split(|&byte| byte == b' ').nth(1).unwrap_or_default()) + 2;
            }
            b"version" => out.bytes.extend_from_slice(b"VERSION floor\r\n"),
            _ => out.bytes.extend_from_slice(b"ERROR\r\n"),
        }
        0
    }

    /// The length of a value, what comes behind it in its line, and the value. Which of the lengths it is,
    /// the key tells, so that all come about.
    fn push_value(&self, key: &[u8], opaque: &[u8], out: &mut Output) {
        let ValueBytes { min, max } = self.value_bytes;
        let step = key.first().map_or(0, |&byte| usize::from(byte) % LENGTHS);
        let bytes = min + (max - min) * step / (LENGTHS - 1);
        out.bytes.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
        if !opaque.is_empty() {
            out.bytes.extend_from_slice(b" k");
            out.bytes.extend_from_slice(key);
            out.bytes.extend_from_slice(b" f0 ");
            out.bytes.extend_from_slice(opaque);
        }
        out.bytes.extend_from_slice(b"\r\n");
        if bytes < SHARED_BYTES_MIN {
            out.bytes.extend_from_slice(&self.prepared[..bytes]);
        } else {
            out.values.push_back((out.bytes.len(), bytes));
        }
        out.bytes.extend_from_slice(b"\r\n");
    }
}

fn last_word(text: &[u8]) -> &[u8] {
    text.rsplit(|&byte| byte == b' ').next().unwrap_or_default()
}

fn decimal(text: &[u8]) -> usize {
    text.iter().fold(0, |number, &digit| number * 10 + usize::from(digit.wrapping_sub(b'0')))
}

/// Replies that are not sent yet.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// Before which place in `bytes` so many bytes of the prepared value belong.
    values: VecDeque<(usize, usize)>,
    /// Of `bytes`.
    sent: usize,
    /// Of the first of `values`.
    value_sent: usize,
}

impl Output {
    /// Sends what the socket takes; `true` if that is all.
    fn send(&mut self, stream: &mut Stream, prepared: &[u8]) -> io::Result<bool> {
        while self.sent < self.bytes.len() || !self.values.is_empty() {
            let result = if self.values.is_empty() {
                stream.write(&self.bytes[self.sent..])
            } else {
                stream.write_vectored(&self.pieces(prepared))
            };
            match unless_blocked(result)? {
                Some(bytes) => self.advance(bytes),
                None => return Ok(false),
            }
        }
        self.bytes.clear();
        self.sent = 0;
        Ok(true)
    }

    fn pieces<'a>(&'a self, prepared: &'a [u8]) -> Vec<IoSlice<'a>> {
        let mut pieces = Vec::with_capacity(PIECES_MAX);
        let (mut start, mut value_start) = (self.sent, self.value_sent);
        for &(place, bytes) in self.values.iter().take(PIECES_MAX / 2 - 1) {
            pieces.push(IoSlice::new(&self.bytes[start..place]));
            pieces.push(IoSlice::new(&prepared[value_start..bytes]));
            (start, value_start) = (place, 0);
        }
        if self.values.len() < PIECES_MAX / 2 {
            pieces.push(IoSlice::new(&self.bytes[start..]));
        }
        pieces
    }

    fn advance(&mut self, mut bytes: usize) {
        while let Some(&(place, length)) = self.values.front() {
            let before = bytes.min(place - self.sent);
            self.sent += before;
            bytes -= before;
            let of_value = bytes.min(length - self.value_sent);
            self.value_sent += of_value;
            bytes -= of_value;
            if self.value_sent < length {
                return;
            }
            self.value_sent = 0;
            self.values.pop_front();
        }
        self.sent += bytes;
    }
}

#[cfg(test)]
#[allow(unused, reason = "a benchmark without a harness has no tests")]
mod tests {
    use super::*;

    fn replies(min: usize, max: usize) -> Replies {
        let prepared: Vec<u8> = (0..max).map(|at| b'a' + (at % 26) as u8).collect();
        Replies { prepared: prepared.into(), value_bytes: ValueBytes { min, max } }
    }

    /// All that is answered to `input`, in whatever pieces it comes.
    #[track_caller]
    fn check(input: &[u8], expected: &str) {
        for piece_bytes in [1, 3, input.len()] {
            let (mut state, mut out) = (Input::default(), Output::default());
            let replies = replies(3, 3);
            input.chunks(piece_bytes).for_each(|piece| state.take(piece, &replies, &mut out));
            assert_eq!(String::from_utf8(out.bytes).unwrap(), expected);
        }
    }

    #[test]
    fn replies_have_the_form_of_right_ones() {
        check(b"get a bc\r\n", "VALUE a 0 3\r\nabc\r\nVALUE bc 0 3\r\nabc\r\nEND\r\n");
        check(b"set k 0 0 4\r\n\r\n\r\n\r\nget a\r\n", "STORED\r\nVALUE a 0 3\r\nabc\r\nEND\r\n");
        check(b"mg k k v f q O7\r\nmn\r\n", "VA 3 kk f0 O7\r\nabc\r\nMN\r\n");
        check(b"ms k 2 F0 O8\r\nxx\r\nversion\r\n", "HD O8\r\nVERSION floor\r\n");
        check(b"gets k\r\n", "ERROR\r\n");
    }

    #[test]
    fn long_values_are_sent_from_where_they_are() {
        let replies = replies(SHARED_BYTES_MIN, SHARED_BYTES_MIN);
        let (mut state, mut out) = (Input::default(), Output::default());
        state.take(b"get a b\r\n", &replies, &mut out);
        let value = String::from_utf8(replies.prepared.to_vec()).unwrap();
        let bytes = SHARED_BYTES_MIN;
        let expected = format!("VALUE a 0 {bytes}\r\n{value}\r\nVALUE b 0 {bytes}\r\n{value}\r\nEND\r\n");
        // Whatever the socket takes of it each time.
        let mut sent = Vec::new();
        for step in [1, 17, 1000, 17_000].into_iter().cycle() {
            let pieces = out.pieces(&replies.prepared);
            let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            if all.is_empty() {
                break;
            }
            let taken = step.min(all.len());
            sent.extend_from_slice(&all[..taken]);
            out.advance(taken);
        }
        assert!(sent == expected.as_bytes());
    }
}
