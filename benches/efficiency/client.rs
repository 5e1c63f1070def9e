//! A client connection: commands are collected and sent at once, replies are read one by one.
//!
//! Knows the protocol's text, not what the values ought to be.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

/// How long a server may keep us waiting before the run is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of the buffer for replies at first.
const BUFFER_BYTES: usize = 256 << 10;

/// A connection to a server.
pub struct Connection {
    stream: TcpStream,
    /// Commands that are not sent yet.
    out: Vec<u8>,
    /// Received bytes; those of `unread` are not yet taken.
    buffer: Vec<u8>,
    unread: Range<usize>,
}

/// One piece of what a server answers. A get is answered with a value for each key that is there, and
/// with an `END` line.
#[derive(Debug)]
pub enum Reply<'a> {
    /// An item.
    Value {
        /// Its key.
        key: &'a [u8],
        /// Its flags.
        flags: u32,
        /// Its value.
        value: &'a [u8],
    },
    /// A line, without its end.
    Line(&'a [u8]),
}

/// Where in the buffer a reply lies.
enum Found {
    Value { key: Range<usize>, flags: u32, value: Range<usize> },
    Line(Range<usize>),
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { stream, out: Vec::new(), buffer: vec![0; BUFFER_BYTES], unread: 0..0 })
    }

    /// The same connection, for another thread to send on.
    pub fn second_handle(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Adds bytes to what is sent next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Adds a get of one key.
    pub fn push_get(&mut self, key: &[u8]) {
        self.push(b"get ");
        self.push(key);
        self.push(b"\r\n");
    }

    /// Adds a set. `options` is empty or ` noreply`.
    pub fn push_set(&mut self, key: &[u8], flags: u32, ttl_secs: u16, value: &[u8], options: &str) {
        self.push(b"set ");
        self.push(key);
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, " {flags} {ttl_secs} {}{options}\r\n", value.len());
        self.push(value);
        self.push(b"\r\n");
    }

    /// Sends what was added.
    pub fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next reply.
    pub fn reply(&mut self) -> io::Result<Reply<'_>> {
        let found = loop {
            match self.find()? {
                Some(found) => break found,
                None => self.receive()?,
            }
        };
        Ok(match found {
            Found::Line(line) => Reply::Line(&self.buffer[line]),
            Found::Value { key, flags, value } => {
                Reply::Value { key: &self.buffer[key], flags, value: &self.buffer[value] }
            }
        })
    }

    /// Takes a reply that is complete.
    fn find(&mut self) -> io::Result<Option<Found>> {
        let start = self.unread.start;
        let Some(length) = memchr::memchr(b'\n', &self.buffer[self.unread.clone()]) else { return Ok(None) };
        let behind_line = start + length + 1;
        let line = start..behind_line - if length > 0 { 2 } else { 1 };
        let Some(header) = self.buffer[line.clone()].strip_prefix(b"VALUE ") else {
            self.unread.start = behind_line;
            return Ok(Some(Found::Line(line)));
        };
        let header = String::from_utf8_lossy(header);
        let mut words = header.split(' ');
        let key_bytes = words.next().map_or(0, str::len);
        let numbers: Vec<u32> = words.filter_map(|word| word.parse().ok()).collect();
        let [flags, value_bytes] = numbers[..] else {
            return Err(io::Error::other(format!("not understood: VALUE {header}")));
        };
        let value = behind_line..behind_line + value_bytes as usize;
        if self.unread.end < value.end + 2 {
            return Ok(None);
        }
        if self.buffer[value.end..value.end + 2] != *b"\r\n" {
            return Err(io::Error::other(format!("no line end behind VALUE {header}")));
        }
        self.unread.start = value.end + 2;
        let key_start = line.start + "VALUE ".len();
        Ok(Some(Found::Value { key: key_start..key_start + key_bytes, flags, value }))
    }

    /// Waits for more bytes.
    fn receive(&mut self) -> io::Result<()> {
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.unread.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        match self.stream.read(&mut self.buffer[self.unread.end..])? {
            0 => Err(io::Error::other("the server closed the connection")),
            received => {
                self.unread.end += received;
                Ok(())
            }
        }
    }

    /// Reads a reply that has to be this line.
    pub fn expect(&mut self, expected: &[u8]) -> io::Result<()> {
        match self.reply()? {
            Reply::Line(line) if line == expected => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// What `stats` says.
    pub fn stats(&mut self) -> io::Result<HashMap<String, String>> {
        self.push(b"stats\r\n");
        self.send()?;
        let mut stats = HashMap::new();
        loop {
            match self.reply()? {
                Reply::Line(b"END") => return Ok(stats),
                Reply::Line(line) => {
                    let line = String::from_utf8_lossy(line);
                    if let Some((name, value)) =
                        line.strip_prefix("STAT ").and_then(|rest| rest.split_once(' '))
                    {
                        stats.insert(name.to_owned(), value.to_owned());
                    }
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// One number of `stats`; 0 if there is none of that name.
    pub fn stat(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.stats()?.get(name).and_then(|value| value.parse().ok()).unwrap_or(0))
    }
}

/// A reply that ends the run.
pub fn unexpected(reply: &Reply) -> io::Error {
    io::Error::other(match reply {
        Reply::Line(line) => format!("unexpected reply: {}", String::from_utf8_lossy(line)),
        Reply::Value { key, .. } => format!("unexpected value of {}", String::from_utf8_lossy(key)),
    })
}

/// Whether the reply to a set says that it was stored; `false` if there was no memory for it.
pub fn is_stored(reply: &Reply) -> io::Result<bool> {
    match reply {
        Reply::Line(b"STORED") => Ok(true),
        Reply::Line(line) if line.starts_with(b"SERVER_ERROR out of memory") => Ok(false),
        other => Err(unexpected(other)),
    }
}
