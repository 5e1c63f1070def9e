//! A trace through sockets: requests go out in batches over a few connections, every answer is judged.
//!
//! All requests for one key take the same connection, so the server sees them in the order of the ledger
//! and nothing that is still on its way can make a right answer look wrong.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Connection, Reply, is_stored, unexpected};
use crate::ledger::{Answer, Expected, Faults, GRACE_OF_A_SERVER_MS, Ledger, Verdict};
use crate::trace::{Action, Request, Trace};
use crate::value::Values;

/// Connections to a server for each of its threads.
const CONNECTIONS_PER_THREAD: usize = 2;
/// Requests that are sent before their answers are read, for each connection.
const BATCH: usize = 64;

/// What a trace came to on one server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replayed {
    /// Gets that count.
    pub scored_gets: u64,
    /// Of those: answered with the right value.
    pub scored_hits: u64,
    /// Answers that were not right, and stores refused.
    pub faults: Faults,
    /// Commands sent, fills included.
    pub commands: u64,
    /// By how much a paced trace ended too late, in seconds.
    pub late_secs: f64,
}

/// What was sent and has no answer yet.
struct Sent {
    request: Request,
    /// What may be answered to a get.
    expected: Expected,
}

/// A connection with what is on its way.
struct Lane {
    connection: Connection,
    sent: Vec<Sent>,
    /// What the last batch missed and the next one fills.
    missed: Vec<u32>,
}

/// A replay that is under way.
pub struct Replay<'a> {
    trace: Trace,
    values: &'a Values,
    ledger: Ledger,
    lanes: Vec<Lane>,
    replayed: Replayed,
    started: Instant,
    /// When the paced part of the trace began.
    paced_from: Option<Instant>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> Replay<'a> {
    /// A replay of `trace` to a server with this many threads.
    pub fn new(
        trace: Trace,
        address: SocketAddr,
        threads: usize,
        values: &'a Values,
    ) -> io::Result<Replay<'a>> {
        let lane =
            |_| Ok(Lane { connection: Connection::open(address)?, sent: Vec::new(), missed: Vec::new() });
        Ok(Replay {
            ledger: Ledger::new(trace.items.len(), GRACE_OF_A_SERVER_MS),
            trace,
            values,
            lanes: (0..CONNECTIONS_PER_THREAD * threads).map(lane).collect::<io::Result<_>>()?,
            replayed: Replayed::default(),
            started: Instant::now(),
            paced_from: None,
            key: Vec::new(),
            value: Vec::new(),
        })
    }

    /// Runs it to its end.
    pub fn run(mut self) -> io::Result<Replayed> {
        let batch = BATCH * self.lanes.len();
        loop {
            let now_ms = self.started.elapsed().as_millis() as u32;
            for lane in 0..self.lanes.len() {
                for id in std::mem::take(&mut self.lanes[lane].missed) {
                    self.push_fill(id, now_ms);
                }
            }
            for _ in 0..batch {
                if !self.is_due() {
                    break;
                }
                let Some(request) = self.trace.next() else { break };
                self.push(request, now_ms);
            }
            if self.lanes.iter().all(|lane| lane.sent.is_empty()) {
                if self.trace.is_over() {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            self.lanes.iter_mut().try_for_each(|lane| lane.connection.send())?;
            for lane in 0..self.lanes.len() {
                self.take_answers(lane, now_ms)?;
            }
        }
        if let Some(paced_from) = self.paced_from {
            let planned_secs = f64::from(self.trace.elapsed_ms(1.0)) / 1000.0;
            self.replayed.late_secs = (paced_from.elapsed().as_secs_f64() - planned_secs).max(0.0);
        }
        Ok(self.replayed)
    }

    /// Whether it is time for the next request.
    fn is_due(&mut self) -> bool {
        if !self.trace.is_paced_now() {
            return true;
        }
        let paced_from = self.paced_from.get_or_insert_with(Instant::now);
        u128::from(self.trace.elapsed_ms(1.0)) <= paced_from.elapsed().as_millis()
    }

    fn lane(&self, id: u32) -> usize {
        id as usize % self.lanes.len()
    }

    fn push(&mut self, request: Request, now_ms: u32) {
        let id = request.id;
        let item = self.trace.items[id as usize];
        match request.action {
            Action::Get | Action::GetOnly => {}
            Action::Set => {
                let version = self.ledger.overwrite(id, item.ttl_secs, now_ms);
                return self.push_set(request, version);
            }
            Action::Delete => self.ledger.delete(id),
        }
        self.key.clear();
        self.values.push_key(id, item.key_bytes.into(), &mut self.key);
        let expected = self.ledger.expected(id);
        let lane = self.lane(id);
        let lane = &mut self.lanes[lane];
        match request.action {
            Action::Delete => {
                lane.connection.push(b"delete ");
                lane.connection.push(&self.key);
                lane.connection.push(b"\r\n");
            }
            _ => lane.connection.push_get(&self.key),
        }
        lane.sent.push(Sent { request, expected });
        self.replayed.commands += 1;
    }

    fn push_fill(&mut self, id: u32, now_ms: u32) {
        let version = self.ledger.fill(id, self.trace.items[id as usize].ttl_secs, now_ms);
        self.push_set(Request { action: Action::Set, id, is_scored: false }, version);
    }

    fn push_set(&mut self, request: Request, version: u8) {
        let id = request.id;
        let item = self.trace.items[id as usize];
        self.key.clear();
        self.values.push_key(id, item.key_bytes.into(), &mut self.key);
        self.value.clear();
        self.values.push_value(id, version, item.value_bytes.into(), &mut self.value);
        let expected = self.ledger.expected(id);
        let lane = self.lane(id);
        let lane = &mut self.lanes[lane];
        lane.connection.push_set(&self.key, self.values.flags(id), item.ttl_secs, &self.value, "");
        lane.sent.push(Sent { request, expected });
        self.replayed.commands += 1;
    }

    /// Reads and judges the answers to what was sent on one connection at `now_ms`.
    fn take_answers(&mut self, lane: usize, now_ms: u32) -> io::Result<()> {
        let sent = std::mem::take(&mut self.lanes[lane].sent);
        for Sent { request, expected } in &sent {
            match request.action {
                Action::Set => {
                    let is_stored = is_stored(&self.lanes[lane].connection.reply()?)?;
                    self.replayed.faults.refused += u64::from(!is_stored);
                }
                Action::Delete => match self.lanes[lane].connection.reply()? {
                    Reply::Line(b"DELETED" | b"NOT_FOUND") => {}
                    other => return Err(unexpected(&other)),
                },
                Action::Get | Action::GetOnly => self.take_value(lane, request, *expected, now_ms)?,
            }
        }
        // The allocation serves the next batch.
        self.lanes[lane].sent = sent;
        self.lanes[lane].sent.clear();
        Ok(())
    }

    fn take_value(
        &mut self,
        lane: usize,
        request: &Request,
        expected: Expected,
        now_ms: u32,
    ) -> io::Result<()> {
        let id = request.id;
        let item = self.trace.items[id as usize];
        self.replayed.scored_gets += u64::from(request.is_scored);
        let lane = &mut self.lanes[lane];
        let verdict = match lane.connection.reply()? {
            Reply::Value { key, flags, value } => {
                self.key.clear();
                self.values.push_key(id, item.key_bytes.into(), &mut self.key);
                let answer = Answer { id, value_bytes: item.value_bytes.into(), flags, value };
                if key == self.key {
                    self.ledger.judge(&answer, expected, now_ms, self.values)
                } else {
                    Verdict::Wrong
                }
            }
            Reply::Line(b"END") => {
                if request.action == Action::Get && !lane.missed.contains(&id) {
                    lane.missed.push(id);
                }
                return Ok(());
            }
            other => return Err(unexpected(&other)),
        };
        let is_hit = self.replayed.faults.count(verdict);
        self.replayed.scored_hits += u64::from(is_hit && request.is_scored);
        lane.connection.expect(b"END")
    }
}
