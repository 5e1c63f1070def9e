//! A memcached client for tests: whole bytes in, whole bytes out, compared exactly.
//!
//! Owns one connection and how a mismatch is shown. Knows no command but `mn`, which is the sentinel that
//! proves that nothing else was answered.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How long a reply may take before the test fails. Long, because the machine may be busy.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to collect further bytes once a reply is known to be wrong, for the message only.
const REST_TIMEOUT: Duration = Duration::from_millis(100);

/// Requests above this size are written beside the reading, else both sides could wait for each other.
const WRITE_ALONE_MAX: usize = 32 * 1024;

/// Bytes of a request or reply that a failure message shows at each end.
const SHOWN: usize = 200;

/// One connection to the daemon. Dropping it closes the connection.
pub struct Client {
    socket: File,
}

impl Client {
    /// Connects over TCP. Panics if nobody listens there.
    #[track_caller]
    pub fn tcp(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Client::from_tcp(stream)
    }

    pub fn from_tcp(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(REPLY_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(REPLY_TIMEOUT)).unwrap();
        Client { socket: File::from(OwnedFd::from(stream)) }
    }

    /// Connects to a Unix socket. Panics if nobody listens there.
    #[track_caller]
    pub fn unix(path: &Path) -> Client {
        let stream = UnixStream::connect(path)
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error}", path.display()));
        stream.set_read_timeout(Some(REPLY_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(REPLY_TIMEOUT)).unwrap();
        Client { socket: File::from(OwnedFd::from(stream)) }
    }

    /// Sends `sent` and wants exactly `want` back, then proves by `mn` that nothing else was answered.
    #[track_caller]
    pub fn expect(&mut self, sent: impl AsRef<[u8]>, want: impl AsRef<[u8]>) {
        let sent = sent.as_ref();
        self.converse(sent, sent, want.as_ref());
        self.converse(sent, b"mn\r\n", b"MN\r\n");
    }

    /// [`Client::expect`] for each row of a table, in order, over this connection.
    #[track_caller]
    pub fn expect_all<S: AsRef<[u8]>, W: AsRef<[u8]>>(&mut self, rows: &[(S, W)]) {
        for (sent, want) in rows {
            self.expect(sent, want);
        }
    }

    /// Like [`Client::expect`] without the sentinel: for states in which `mn` would be read as data.
    #[track_caller]
    pub fn expect_so_far(&mut self, sent: impl AsRef<[u8]>, want: impl AsRef<[u8]>) {
        let sent = sent.as_ref();
        self.converse(sent, sent, want.as_ref());
    }

    /// Sends `sent` and wants `want`, then the end of the connection.
    #[track_caller]
    pub fn expect_close(&mut self, sent: impl AsRef<[u8]>, want: impl AsRef<[u8]>) {
        let (sent, want) = (sent.as_ref(), want.as_ref());
        // The daemon may close before it has taken everything, so a failing write is no failure.
        let _ = self.socket.write_all(sent);
        let got = self.read_to_close();
        assert!(got == want, "sent  {}\nwant  {} and the end\ngot   {}", show(sent), show(want), show(&got));
    }

    /// Sends without waiting for anything.
    #[track_caller]
    pub fn send(&mut self, sent: impl AsRef<[u8]>) {
        let sent = sent.as_ref();
        self.socket.write_all(sent).unwrap_or_else(|error| panic!("cannot send {}: {error}", show(sent)));
    }

    /// Sends as much as the daemon takes within `timeout` per write; `true` if that was everything.
    pub fn send_until_blocked(&mut self, sent: &[u8]) -> bool {
        let mut rest = sent;
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads once. A signal, as there are when a daemon is stopped, is no answer.
    fn receive(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.socket.read(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Sends `sent` and gives what is answered, which must be followed by the answer to `mn`.
    #[track_caller]
    pub fn ask(&mut self, sent: impl AsRef<[u8]>) -> Vec<u8> {
        let mut request = sent.as_ref().to_vec();
        request.extend_from_slice(b"mn\r\n");
        self.send(&request);
        let mut reply = Vec::new();
        while !reply.ends_with(b"MN\r\n") {
            let mut bytes = [0; 16 * 1024];
            let count = self.receive(&mut bytes).unwrap_or_else(|error| {
                panic!("sent {}, got {} and then: {error}", show(&request), show(&reply))
            });
            assert!(count > 0, "sent {}, got {} and the end", show(&request), show(&reply));
            reply.extend_from_slice(&bytes[..count]);
        }
        reply.truncate(reply.len() - 4);
        reply
    }

    /// [`Client::ask`] for replies that are text.
    #[track_caller]
    pub fn ask_text(&mut self, sent: impl AsRef<[u8]>) -> String {
        String::from_utf8(self.ask(sent)).expect("the reply is text")
    }

    /// The pairs of a `stats` reply, in order.
    #[track_caller]
    pub fn stats(&mut self, command: &str) -> Vec<(String, String)> {
        let reply = self.ask_text(format!("{command}\r\n"));
        let body = reply.strip_suffix("END\r\n").unwrap_or_else(|| panic!("{command} answers {reply:?}"));
        let pair = |line: &str| {
            let mut words = line.splitn(3, ' ');
            assert_eq!(words.next(), Some("STAT"), "{line:?}");
            let name = words.next().unwrap_or_else(|| panic!("no name in {line:?}"));
            (name.to_string(), words.next().unwrap_or("").to_string())
        };
        body.lines().map(pair).collect()
    }

    /// One number out of `stats`.
    #[track_caller]
    pub fn stat(&mut self, name: &str) -> u64 {
        let stats = self.stats("stats");
        let value = stats.iter().find(|(other, _)| other == name);
        let (_, value) = value.unwrap_or_else(|| panic!("stats has no {name}"));
        value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, not a number"))
    }

    /// Reads exactly `count` bytes.
    #[track_caller]
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).expect("the reply goes on");
        bytes
    }

    /// What has come, at least one byte.
    #[track_caller]
    pub fn read_some(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 64 * 1024];
        let count = self.receive(&mut bytes).expect("the reply goes on");
        assert!(count > 0, "closed by the daemon");
        bytes.truncate(count);
        bytes
    }

    /// Everything up to the end of the connection; a reset counts as an end.
    #[track_caller]
    pub fn read_to_close(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        match self.socket.read_to_end(&mut got) {
            Ok(_) => got,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => got,
            Err(error) => panic!("still open ({error}) after {}", show(&got)),
        }
    }

    /// `shown` is the request that a failure message names.
    #[track_caller]
    fn converse(&mut self, shown: &[u8], sent: &[u8], want: &[u8]) {
        if sent.len() <= WRITE_ALONE_MAX {
            self.send(sent);
            return self.compare(shown, want);
        }
        let mut writer = Client { socket: self.socket.try_clone().unwrap() };
        thread::scope(|scope| {
            scope.spawn(move || writer.send(sent));
            self.compare(shown, want);
        });
    }

    #[track_caller]
    fn compare(&mut self, sent: &[u8], want: &[u8]) {
        let mut got = Vec::new();
        while got.len() < want.len() {
            let start = got.len();
            let end = want.len().min(start + 64 * 1024);
            got.resize(end, 0);
            let outcome = self.receive(&mut got[start..]);
            got.truncate(start + outcome.as_ref().copied().unwrap_or(0));
            let ended = got.len() == start;
            if ended || got[start..] != want[start..got.len()] {
                self.fail(sent, want, got, outcome);
            }
        }
    }

    #[track_caller]
    fn fail(&mut self, sent: &[u8], want: &[u8], mut got: Vec<u8>, outcome: std::io::Result<usize>) -> ! {
        let stopped = match outcome {
            Ok(0) => "closed by the daemon".to_string(),
            Ok(_) => "different bytes".to_string(),
            Err(error) => error.to_string(),
        };
        let stream = TcpStream::from(OwnedFd::from(self.socket.try_clone().unwrap()));
        let _ = stream.set_read_timeout(Some(REST_TIMEOUT));
        let mut rest = [0; 4096];
        if let Ok(count) = self.socket.read(&mut rest) {
            got.extend_from_slice(&rest[..count]);
        }
        let at = got.iter().zip(want).take_while(|(a, b)| a == b).count();
        let from = at.saturating_sub(40);
        panic!(
            "sent  {}\nwant  {}\ngot   {}\n({stopped}; first difference at byte {at}: want ..{}, got ..{})",
            show(sent),
            show(want),
            show(&got),
            show(want.get(from..want.len().min(at + 80)).unwrap_or(b"")),
            show(got.get(from..got.len().min(at + 80)).unwrap_or(b"")),
        );
    }
}

/// Bytes as Rust would write them, the middle of long ones left out.
pub fn show(bytes: &[u8]) -> String {
    if bytes.len() <= 2 * SHOWN {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let (head, tail) = (&bytes[..SHOWN], &bytes[bytes.len() - SHOWN..]);
    format!("\"{}\" .. {} bytes in all .. \"{}\"", head.escape_ascii(), bytes.len(), tail.escape_ascii())
}

/// `count` times the same byte.
pub fn fill(byte: u8, count: usize) -> String {
    char::from(byte).to_string().repeat(count)
}
