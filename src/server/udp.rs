//! One UDP socket of a worker: requests come in as datagrams, replies go out as such.
//!
//! Each worker has a socket of its own for an address, and the kernel gives all datagrams of one sender to the
//! same of them. Readiness is edge-triggered: a socket is read until it has no more, or put on the worker's
//! ready list. A datagram is read into the worker's buffer and answered from there; only one that takes longer
//! than a turn is kept. What the system does not take at once is dropped: the client asks again.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use crate::base::clock::Seconds;
use crate::protocol::memcached::{
    Address, ConnectionInfo, ConnectionState, Exchange, FRAGMENT_BYTES, Message, Tag, Turn,
};
use crate::protocol::output::Output;

use super::connection::{Buffers, Fate, INPUT_BYTES, Setting};

/// Bytes sent in one turn before others get theirs.
const SENT_BYTES_PER_TURN: usize = 64 << 10;
/// Memory that the worker's output keeps after a long reply.
const OUTPUT_KEPT_BYTES: usize = 128 << 10;
/// Bytes that one datagram can have over IPv4: 16 bits for all, less the headers of IP and UDP. Over IPv6
/// there are fewer.
const DATAGRAM_BYTES_MAX: usize = 65_535 - 20 - 8;
// Else the end of a datagram would be cut off.
const _: () = assert!(DATAGRAM_BYTES_MAX <= INPUT_BYTES);

/// See the module.
pub(super) struct UdpEndpoint {
    /// The number of its worker.
    worker: u16,
    socket: UdpSocket,
    /// What lists show of it.
    info: Arc<ConnectionInfo>,
    /// An event said that there is something to read and no read has found the end of it yet.
    is_readable: bool,
    /// It is in the worker's ready list.
    pub is_in_ready_list: bool,
    unfinished: Option<Box<Unfinished>>,
}

/// A datagram that takes longer than the turn in which it came.
struct Unfinished {
    dialogue: Dialogue,
    datagram: Vec<u8>,
    output: Output,
}

/// What goes on with the sender of one datagram.
struct Dialogue {
    peer: SocketAddr,
    exchange: Exchange,
    /// The reply that is being sent.
    message: Option<Message>,
}

/// What is left of a socket's share of a turn.
struct Share {
    /// Commands, and datagrams that hold none.
    steps: usize,
    bytes: usize,
}

impl Share {
    fn is_left(&self) -> bool {
        self.steps > 0 && self.bytes > 0
    }
}

impl UdpEndpoint {
    pub fn new(socket: UdpSocket, tag: Tag, worker: usize, now: Seconds) -> UdpEndpoint {
        let address = socket.local_addr().map_or(Address::Unknown, Address::Udp);
        UdpEndpoint {
            info: Arc::new(ConnectionInfo::new(socket.as_raw_fd(), address, None, tag, now)),
            worker: worker as u16,
            socket,
            is_readable: false,
            is_in_ready_list: false,
            unfinished: None,
        }
    }

    /// What lists show of it.
    pub fn info(&self) -> &Arc<ConnectionInfo> {
        &self.info
    }

    /// Asks to be told of datagrams; whether they can be sent is only tried.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Takes note of an event. Whether it calls for a turn.
    pub fn note(&mut self) -> bool {
        self.is_readable = true;
        !self.is_in_ready_list
    }

    /// One turn: goes on where the last one stopped, then takes datagrams and answers them.
    pub fn turn(&mut self, buffers: &mut Buffers, setting: Setting) -> Fate {
        let (input, output) = buffers.both();
        let steps = setting.daemon.settings.requests_per_event;
        let mut share = Share { steps, bytes: SENT_BYTES_PER_TURN };
        let fate = self.exchange(input, output, &mut share, setting);
        if fate == Fate::Again {
            setting.counters.conn_yields.add(1);
        }
        if share.steps < steps {
            self.info.note_command(setting.now.seconds);
        }
        setting.seen.note_end(steps - share.steps, 0, SENT_BYTES_PER_TURN - share.bytes);
        let is_busy = self.unfinished.is_some();
        self.info.note_state(if is_busy { ConnectionState::ParseCommand } else { ConnectionState::Read });
        output.shrink_to(OUTPUT_KEPT_BYTES);
        fate
    }

    fn exchange(
        &mut self,
        input: &mut [u8],
        output: &mut Output,
        share: &mut Share,
        setting: Setting,
    ) -> Fate {
        if let Some(mut unfinished) = self.unfinished.take() {
            output.restore(std::mem::take(&mut unfinished.output));
            if !self.answer(&unfinished.datagram, &mut unfinished.dialogue, output, share, setting) {
                unfinished.output = output.split_off();
                self.unfinished = Some(unfinished);
                return Fate::Again;
            }
        }
        while share.is_left() {
            let Some((bytes, peer)) = self.receive(input, setting) else { return Fate::Wait };
            let datagram = &input[..bytes];
            let Some(exchange) = Exchange::begin(datagram) else {
                setting.counters.udp_dropped.add(1);
                share.steps -= 1;
                continue;
            };
            setting.counters.udp_requests.add(1);
            let mut dialogue = Dialogue { peer, exchange, message: None };
            if !self.answer(datagram, &mut dialogue, output, share, setting) {
                let (datagram, output) = (datagram.to_vec(), output.split_off());
                self.unfinished = Some(Box::new(Unfinished { dialogue, datagram, output }));
            }
        }
        Fate::Again
    }

    /// Carries out the commands of a datagram and sends the replies. `false` if the share is used up before
    /// all is done.
    fn answer(
        &self,
        datagram: &[u8],
        dialogue: &mut Dialogue,
        output: &mut Output,
        share: &mut Share,
        setting: Setting,
    ) -> bool {
        let Setting { daemon, counters, now, timing, woken, .. } = setting;
        setting.seen.note_commands(Exchange::commands(datagram), datagram.len());
        loop {
            if let Some(message) = &mut dialogue.message {
                if !self.send(message, dialogue.peer, output, share, setting) {
                    return false;
                }
                dialogue.message = None;
            }
            if dialogue.exchange.is_over() {
                return true;
            }
            if !share.is_left() {
                return false;
            }
            share.steps -= 1;
            let turn = Turn::new(daemon, counters, now, 1, self.info.fd, output);
            let mut turn = turn.timed_by(timing, woken);
            turn.of_worker(self.worker);
            dialogue.message = dialogue.exchange.go_on(datagram, &mut turn);
        }
    }

    /// Sends the rest of a reply, or gives it up if the system does not take it. `false` if the share is used
    /// up before.
    fn send(
        &self,
        message: &mut Message,
        peer: SocketAddr,
        output: &mut Output,
        share: &mut Share,
        setting: Setting,
    ) -> bool {
        let mut fragment = [0; FRAGMENT_BYTES];
        while message.has_next() {
            if share.bytes == 0 {
                return false;
            }
            let fragment = message.next(output, &mut fragment);
            share.bytes = share.bytes.saturating_sub(fragment.len());
            if let Err(error) = self.send_datagram(fragment, peer) {
                log::debug!("a reply over UDP is given up: {error}");
                setting.counters.udp_unsent.add(1);
                output.clear();
                return true;
            }
            setting.counters.bytes_written.add(fragment.len() as u64);
        }
        true
    }

    fn send_datagram(&self, datagram: &[u8], peer: SocketAddr) -> io::Result<()> {
        loop {
            match self.socket.send_to(datagram, peer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }

    /// The next datagram: its length, and who sent it. `None` if there is none at present.
    fn receive(&mut self, into: &mut [u8], setting: Setting) -> Option<(usize, SocketAddr)> {
        // An event may have been waited for in vain: the ready list calls for a turn all the same.
        if !self.is_readable {
            return None;
        }
        loop {
            match self.socket.recv_from(into) {
                Ok((bytes, peer)) => {
                    setting.counters.bytes_read.add(bytes as u64);
                    return Some((bytes, peer));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        log::warn!("cannot receive over UDP for the moment: {error}");
                    }
                    // Any later datagram is an event.
                    self.is_readable = false;
                    return None;
                }
            }
        }
    }
}
