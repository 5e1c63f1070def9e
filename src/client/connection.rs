//! One connection to a server: lines and bytes in both directions, with an end to every wait.

use std::io::{self, Write};

use nix::poll::PollFlags;

use super::access::{Access, Login};
use super::address::Address;
use super::failure::Failure;
use super::text;
use super::wire::{Wire, unreachable};

/// Bytes of a line at most; memcached's own are 2,048 at most, and larder's little longer.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a value at most, as many as memcached allows.
pub(super) const VALUE_BYTES_MAX: usize = 1 << 30;
/// Bytes that are kept of what a server says, at most.
pub(super) const KEPT_BYTES_MAX: usize = 64 << 20;
/// Bytes that are asked for at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// What a server says to whoever must log in first, whatever he asks.
pub(super) const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated";

/// How TLS begins to complain, and what to say to that.
const TLS_ALERT: &[u8] = b"\x15\x03";
const WANTS_TLS: &str = " (does it want --tls?)";

/// A connection that is logged in, if there is to be a login.
pub(super) struct Connection {
    wire: Wire,
    /// For messages.
    server: String,
    /// Received; what lies before `start` is used up.
    received: Vec<u8>,
    start: usize,
    /// Whether anything at all was received.
    has_heard: bool,
    is_unix: bool,
}

impl Connection {
    /// Connects, greets in TLS and logs in, as `access` has it.
    ///
    /// # Errors
    /// Whichever of these did not work.
    pub fn open(address: &Address, access: &Access) -> Result<Connection, Failure> {
        let server = address.to_string();
        let wire = Wire::connect(address, access, &server)?;
        let is_unix = matches!(address, Address::Unix(_));
        let mut connection =
            Connection { wire, server, received: Vec::new(), start: 0, has_heard: false, is_unix };
        if let Some(login) = &access.login {
            connection.log_in(login)?;
        }
        Ok(connection)
    }

    /// The server, as messages name it.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A login looks like an item, and whoever wants none would store it, for all to read. So it is not sent before the
    /// server has said that it wants one.
    fn log_in(&mut self, login: &Login) -> Result<(), Failure> {
        let user = text::printable(login.user.as_bytes());
        self.send(b"version\r\n")?;
        let line = text::printable(self.line()?);
        if line != UNAUTHENTICATED {
            let server = &self.server;
            return Err(Failure::Failed(match line.starts_with("VERSION ") {
                true => format!("{server} wants no login, so '{user}' was not sent: is --user meant for it?"),
                false => format!("{server} answers: {line}"),
            }));
        }
        self.send(format!("set login 0 0 {}\r\n{}\r\n", login.token.len(), login.token.as_str()).as_bytes())?;
        let line = self.line()?;
        if line == b"STORED" {
            return Ok(());
        }
        let answer = text::printable(line);
        Err(Failure::Failed(format!("{} does not let '{user}' in: {answer}", self.server)))
    }

    /// Sends all of it, and then gives the server all its time for the answer. What it says meanwhile is taken: it may
    /// read no further before that.
    ///
    /// # Errors
    /// When the server does not take it in time.
    pub fn send(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        self.wire.renew_patience();
        loop {
            let sent = match bytes.is_empty() {
                true => self.wire.flush_now().map(|()| 0),
                false => self.wire.write_now(bytes),
            };
            match sent {
                Ok(_) if bytes.is_empty() => break,
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_to_send()?,
                Err(error) => return Err(self.broken(&error)),
            }
        }
        self.wire.renew_patience();
        Ok(())
    }

    fn wait_to_send(&mut self) -> Result<(), Failure> {
        let has_place = self.received.len() - self.start < KEPT_BYTES_MAX;
        let wanted = if has_place { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLOUT };
        let found = self.wire.wait(wanted).map_err(|error| self.broken(&error))?;
        match found.intersects(PollFlags::POLLIN) {
            true => self.take(Wire::read_now),
            false => Ok(()),
        }
    }

    /// Gives the server all its time anew: for lists, which may take as long as their lines come.
    pub fn go_on_waiting(&mut self) {
        self.wire.renew_patience();
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// When it does not come in time, or is no line of a server like memcached.
    pub fn line(&mut self) -> Result<&[u8], Failure> {
        let mut searched = 0;
        let length = loop {
            let rest = &self.received[self.start..];
            let found = memchr::memchr(b'\n', &rest[searched..]).map(|at| searched + at);
            searched = found.unwrap_or(rest.len());
            if searched > LINE_BYTES_MAX {
                let text = format!("{} sends lines without an end: is it a memcached?", self.server);
                return Err(Failure::Failed(text));
            }
            match found {
                Some(length) => break length,
                None => self.receive()?,
            }
        };
        let line = &self.received[self.start..self.start + length];
        self.start += length + 1;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The next `count` bytes, a value, and the line end behind them, which is not given.
    ///
    /// # Errors
    /// When they do not come in time, no line end follows, or they are too many to be kept.
    pub fn value(&mut self, count: usize) -> Result<&[u8], Failure> {
        self.check_length(count, KEPT_BYTES_MAX)?;
        while self.received.len() - self.start < count + 2 {
            self.receive()?;
        }
        let start = self.start;
        self.start += count + 2;
        match self.received[start + count..].starts_with(b"\r\n") {
            true => Ok(&self.received[start..start + count]),
            false => Err(Failure::Failed(format!("{} sends a value without its end", self.server))),
        }
    }

    /// The same, given to `out` behind `head`. One that is too long to be kept goes there as it comes.
    ///
    /// # Errors
    /// Those of [`Connection::value`]; it has none that is too long.
    pub fn value_to(&mut self, count: usize, head: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
        if count <= KEPT_BYTES_MAX {
            let value = self.value(count)?;
            out.write_all(head)?;
            return Ok(out.write_all(value)?);
        }
        self.check_length(count, VALUE_BYTES_MAX)?;
        out.write_all(head)?;
        let mut left = count;
        while left > 0 {
            if self.start == self.received.len() {
                self.receive()?;
            }
            let part = &self.received[self.start..];
            let part = &part[..part.len().min(left)];
            out.write_all(part)?;
            self.start += part.len();
            left -= part.len();
        }
        self.value(0).map(drop)
    }

    fn check_length(&self, count: usize, most: usize) -> Result<(), Failure> {
        match count > most {
            true => Err(Failure::Failed(format!(
                "{} announces a value of {count} bytes, more than the {most} that can be taken",
                self.server
            ))),
            false => Ok(()),
        }
    }

    fn receive(&mut self) -> Result<(), Failure> {
        self.take(Wire::read)
    }

    /// Takes by `read` what has come.
    fn take(&mut self, read: fn(&mut Wire, &mut [u8]) -> io::Result<usize>) -> Result<(), Failure> {
        self.received.drain(..self.start);
        self.start = 0;
        let length = self.received.len();
        self.received.resize(length + CHUNK_BYTES, 0);
        let read = read(&mut self.wire, &mut self.received[length..]);
        self.received.truncate(length + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(self.broken(&io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {
                self.has_heard = true;
                Ok(())
            }
            // It was a part of a record of TLS.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(())
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// What has become of the connection.
    fn broken(&self, error: &io::Error) -> Failure {
        match unreachable(&self.server, error) {
            // So does a server that speaks TLS, and takes our words for its greeting.
            Failure::Unreachable(text)
                if text.ends_with("closed the connection")
                    && !(self.is_unix || self.wire.is_tls())
                    && (!self.has_heard || self.received[self.start..].starts_with(TLS_ALERT)) =>
            {
                Failure::Unreachable(format!("{text}{WANTS_TLS}"))
            }
            failure => failure,
        }
    }

    /// The failure that an unexpected `line` is.
    pub fn refusal(&self, line: &str) -> Failure {
        let hint = match line {
            UNAUTHENTICATED => " (--user NAME logs in)",
            _ if line.starts_with(&text::printable(TLS_ALERT)) => WANTS_TLS,
            _ => "",
        };
        Failure::Failed(format!("{} answers: {line}{hint}", self.server))
    }
}
