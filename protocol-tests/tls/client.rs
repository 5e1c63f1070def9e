//! A client that speaks memcached's protocol through TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use crate::client::show;

/// How long a reply may take before the test fails.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection.
pub struct TlsClient {
    pub socket: TcpStream,
    pub tls: ClientConnection,
}

impl TlsClient {
    /// Connects, without the handshake.
    pub fn begin(address: SocketAddr, config: &Arc<ClientConfig>) -> TlsClient {
        TlsClient::around(TcpStream::connect(address).expect("somebody listens"), config)
    }

    pub fn around(socket: TcpStream, config: &Arc<ClientConfig>) -> TlsClient {
        socket.set_nodelay(true).expect("a socket");
        socket.set_read_timeout(Some(REPLY_TIMEOUT)).expect("a socket");
        socket.set_write_timeout(Some(REPLY_TIMEOUT)).expect("a socket");
        let name = "localhost".try_into().expect("a name");
        TlsClient { socket, tls: ClientConnection::new(config.clone(), name).expect("a client") }
    }

    /// Connects, and waits until the daemon has answered a question: only then is it sure that it takes a client
    /// with TLS 1.3.
    pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<TlsClient> {
        let mut client = TlsClient::begin(address, config);
        client.tls.writer().write_all(b"mn\r\n")?;
        let mut reply = [0; 4];
        client.read_exact(&mut reply)?;
        assert_eq!(&reply, b"MN\r\n");
        Ok(client)
    }

    /// Sends what is encrypted.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    pub fn send(&mut self, sent: impl AsRef<[u8]>) {
        let mut rest = sent.as_ref();
        while !rest.is_empty() {
            let taken = self.tls.writer().write(rest).expect("it is open");
            rest = &rest[taken..];
            self.flush().unwrap_or_else(|error| panic!("cannot send {}: {error}", show(sent.as_ref())));
        }
        self.flush().unwrap_or_else(|error| panic!("cannot send {}: {error}", show(sent.as_ref())));
    }

    /// Some bytes; 0 at an end that the daemon has announced.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.flush()?;
            match self.tls.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.tls.read_tls(&mut self.socket)?;
            if let Err(error) = self.tls.process_new_packets() {
                // The daemon is told why.
                let _ = self.flush();
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }

    pub fn read_exact(&mut self, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            match self.read(into)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => into = &mut into[count..],
            }
        }
        Ok(())
    }

    /// Sends `sent` and wants exactly `want`, and by `mn` nothing else.
    #[track_caller]
    pub fn expect(&mut self, sent: impl AsRef<[u8]>, want: impl AsRef<[u8]>) {
        self.send(&sent);
        self.want(want);
        self.send("mn\r\n");
        self.want("MN\r\n");
    }

    /// Wants the next bytes to be these.
    #[track_caller]
    pub fn want(&mut self, want: impl AsRef<[u8]>) {
        let want = want.as_ref();
        let mut got = vec![0; want.len()];
        if let Err(error) = self.read_exact(&mut got) {
            panic!("want {}, got {error}", show(want));
        }
        assert!(got == want, "want {}\ngot  {}", show(want), show(&got));
    }

    /// Everything up to the end that the daemon has announced.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        let mut bytes = vec![0; 64 << 10];
        loop {
            match self.read(&mut bytes) {
                Ok(0) => return got,
                Ok(count) => got.extend_from_slice(&bytes[..count]),
                Err(error) => panic!("{error} after {}", show(&got)),
            }
        }
    }

    /// The reply to `sent`, by `mn` behind it.
    #[track_caller]
    pub fn ask(&mut self, sent: &str) -> String {
        self.send(format!("{sent}mn\r\n"));
        let mut reply = Vec::new();
        let mut bytes = [0; 4096];
        while !reply.ends_with(b"MN\r\n") {
            let count = self.read(&mut bytes).expect("it is open");
            assert!(count > 0, "closed after {}", show(&reply));
            reply.extend_from_slice(&bytes[..count]);
        }
        reply.truncate(reply.len() - 4);
        String::from_utf8(reply).expect("text")
    }

    /// Says that it sends no more.
    pub fn end(&mut self) {
        self.tls.send_close_notify();
        self.flush().expect("it is open");
        // The daemon may have closed by now.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Whether an earlier session went on.
    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}
