//! A TCP connection whose bytes are encrypted: handshake and records in steps that never block.
//!
//! What is read is decrypted inside the buffer of the reader, what is written waits here at most as long as the
//! client does not take it: see [`TlsStream::write`].

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use crate::protocol::memcached::CertificateNames;

use super::names;

/// Room at the beginning of a reader's buffer that a read leaves free, for what the rest of a record sets free that
/// has come in part before: a record with all that belongs to it.
const RECORD_BYTES: usize = 20 << 10;
/// Read at a time into a buffer that is too small for that. rustls takes less of it near the end of a long record.
const SMALL_READ_BYTES: usize = 4 << 10;

/// What has become of the handshake.
#[derive(Debug)]
pub(in crate::server) enum Event {
    /// It is done.
    Established {
        /// An earlier session went on.
        is_resumed: bool,
        /// What the client's certificate says, if it has shown one.
        client: Option<CertificateNames>,
    },
    /// It, or what followed it, has failed.
    Failed(Failure),
}

/// Why TLS with a client has failed.
#[derive(Debug)]
pub(in crate::server) struct Failure {
    /// Before anything else could be said.
    pub is_handshake: bool,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// What came first was not TLS.
    PlainText,
    /// The client left in the middle of the handshake.
    Ended,
    Tls(rustls::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::PlainText => f.write_str("the client does not speak TLS, which this address expects"),
            Cause::Ended => f.write_str("the client left during the handshake"),
            Cause::Tls(error) => write!(f, "{error}"),
        }
    }
}

/// See the module.
pub(in crate::server) struct TlsStream {
    pub socket: TcpStream,
    tls: ServerConnection,
    event: Option<Event>,
    is_handshaking: bool,
    /// Anything has been received.
    has_begun: bool,
    /// The client may not be talked to any more, not even to say good-bye.
    has_failed: bool,
    /// The client has said that it sends no more.
    has_peer_closed: bool,
    /// The last read has perhaps left something to read.
    may_have_more: bool,
    /// Bytes that are encrypted and that the client has not taken.
    sealed_bytes: usize,
    /// Received, and not taken by rustls yet: less than [`SMALL_READ_BYTES`].
    unopened: Vec<u8>,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl TlsStream {
    /// # Errors
    /// If the configuration cannot be used; it was tried when it was made.
    pub fn new(socket: TcpStream, config: Arc<ServerConfig>) -> Result<TlsStream, rustls::Error> {
        Ok(TlsStream {
            socket,
            tls: ServerConnection::new(config)?,
            event: None,
            is_handshaking: true,
            has_begun: false,
            has_failed: false,
            has_peer_closed: false,
            may_have_more: false,
            sealed_bytes: 0,
            unopened: Vec::new(),
        })
    }

    /// Whether the handshake is still to be done.
    pub fn is_handshaking(&self) -> bool {
        self.is_handshaking
    }

    /// What has happened since it was last asked.
    pub fn take_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// Whether there may be more to read without an event that tells of it.
    pub fn may_have_more(&self) -> bool {
        self.may_have_more
    }

    /// Bytes kept here because the client does not take them.
    pub fn sealed_bytes(&self) -> usize {
        self.sealed_bytes
    }

    /// Reads from the socket once. `WouldBlock` as well if what has come is no whole record, or none with data.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.may_have_more = false;
        let kept = self.take_data(into)?;
        if kept > 0 {
            // Only a small buffer leaves some behind.
            self.may_have_more = true;
            return Ok(kept);
        }
        if self.has_peer_closed {
            return Ok(0);
        }
        if !self.unopened.is_empty() {
            let sealed = std::mem::take(&mut self.unopened);
            let data = self.open_small(&sealed, into)?;
            return if data == 0 && !self.has_peer_closed {
                Err(ErrorKind::WouldBlock.into())
            } else {
                Ok(data)
            };
        }
        let mut small = [0; SMALL_READ_BYTES];
        let has_room = into.len() > 2 * RECORD_BYTES;
        let room = if has_room { &mut into[RECORD_BYTES..] } else { &mut small[..] };
        let came = self.socket.read(room)?;
        if came == 0 {
            return self.end();
        }
        self.may_have_more = came == room.len();
        let data =
            if has_room { self.open_in_place(into, came)? } else { self.open_small(&small[..came], into)? };
        if data == 0 && !self.has_peer_closed {
            // What came was not asked for by the reader, so the end may be behind it, of which no event tells again.
            self.may_have_more = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.may_have_more |= self.has_peer_closed;
        Ok(data)
    }

    /// Decrypts what rustls takes of `sealed` to `into`, and keeps the rest of it for the next read.
    fn open_small(&mut self, sealed: &[u8], into: &mut [u8]) -> io::Result<usize> {
        self.may_have_more = true;
        let mut rest = sealed;
        self.open(&mut rest)?;
        if !self.has_peer_closed {
            self.unopened = rest.to_vec();
        }
        self.take_data(into)
    }

    /// Decrypts the `came` bytes behind the first [`RECORD_BYTES`] to the beginning of `into`. What is decrypted is
    /// never more than what was received before and these bytes up to the same place, so it does not get in their
    /// way.
    fn open_in_place(&mut self, into: &mut [u8], came: usize) -> io::Result<usize> {
        let (mut data, mut at) = (0, RECORD_BYTES);
        let end = RECORD_BYTES + came;
        while at < end {
            let mut sealed = &into[at..end];
            let before = sealed.len();
            self.open(&mut sealed)?;
            let taken = before - sealed.len();
            if taken == 0 {
                // Nothing counts any more after a good-bye.
                break;
            }
            at += taken;
            data += self.take_data(&mut into[data..at])?;
        }
        Ok(data)
    }

    /// Lets rustls have the beginning of `sealed`, and does what follows from it.
    fn open(&mut self, sealed: &mut &[u8]) -> io::Result<()> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_first && super::is_hello(sealed) == Some(false) {
            return Err(self.fail(Cause::PlainText));
        }
        self.tls.read_tls(sealed)?;
        match self.tls.process_new_packets() {
            Ok(state) => self.has_peer_closed = state.peer_has_closed(),
            Err(error) => {
                // The client is told why, if it can be.
                let _ = self.send_sealed();
                return Err(self.fail(Cause::Tls(error)));
            }
        }
        if self.is_handshaking && !self.tls.is_handshaking() {
            self.is_handshaking = false;
            let client = self.tls.peer_certificates().and_then(<[_]>::first).map(names::names);
            let is_resumed = self.tls.handshake_kind() == Some(HandshakeKind::Resumed);
            self.event = Some(Event::Established { is_resumed, client });
        }
        match self.send_sealed() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves what is decrypted.
    fn take_data(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.tls.reader().read(into) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::UnexpectedEof) => Ok(0),
            taken => taken,
        }
    }

    /// The client has ended its side. It need not have said so: what counts is what commands say of their length.
    fn end(&mut self) -> io::Result<usize> {
        if self.is_handshaking && self.has_begun { Err(self.fail(Cause::Ended)) } else { Ok(0) }
    }

    fn fail(&mut self, cause: Cause) -> io::Error {
        self.has_failed = true;
        self.event = Some(Event::Failed(Failure { is_handshake: self.is_handshaking, cause }));
        ErrorKind::InvalidData.into()
    }

    /// Sends what is encrypted.
    ///
    /// # Errors
    /// `WouldBlock` if the client does not take all of it.
    pub fn send_sealed(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let state = self.tls.process_new_packets();
                    self.sealed_bytes = state.map_or(0, |state| state.tls_bytes_to_write());
                    return Err(error);
                }
            }
        }
        self.sealed_bytes = 0;
        Ok(())
    }

    /// Encrypts with `encrypt`, which takes no more than rustls keeps, some 64 KiB, and sends as much as the client
    /// takes.
    fn send(
        &mut self,
        encrypt: impl FnOnce(&mut rustls::Writer<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // Nothing is encrypted before everything has gone that was: so there is a limit to what waits.
        self.send_sealed()?;
        let taken = encrypt(&mut self.tls.writer())?;
        match self.send_sealed() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }
}

impl Read for TlsStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.receive(into)
    }
}

/// What is taken need not have gone: `flush` tells.
impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(|writer| writer.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send(|writer| writer.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_sealed()
    }
}

/// Says good-bye, as the protocol demands, to whoever takes it at once.
impl Drop for TlsStream {
    fn drop(&mut self) {
        if !self.is_handshaking && !self.has_failed {
            self.tls.send_close_notify();
            let _ = self.send_sealed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use rustls::crypto::ring::default_provider;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn configurations() -> (ServerConfig, ClientConfig) {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
        let chain = vec![issued.cert.der().clone()];
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let provider = Arc::new(default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone());
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        (server.with_single_cert(chain, key).unwrap(), client.with_no_client_auth())
    }

    /// Sends a lot to a reader whose buffer has `room` bytes.
    fn check(room: usize) {
        let sent: Vec<u8> =
            (0..300_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (server, client) = configurations();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut socket = std::net::TcpStream::connect(address).unwrap();
                let mut tls =
                    ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
                rustls::Stream::new(&mut tls, &mut socket).write_all(&sent).unwrap();
                // A close with tickets unread would be a reset, which takes along what is under way.
                let _ = socket.read_to_end(&mut Vec::new());
            });
            let (socket, _) = listener.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut stream = TlsStream::new(TcpStream::from_std(socket), Arc::new(server)).unwrap();
            let (mut got, mut buffer) = (Vec::new(), vec![0; room]);
            while got.len() < sent.len() {
                match stream.read(&mut buffer) {
                    Ok(0) => panic!("the end after {} bytes", got.len()),
                    Ok(bytes) => got.extend_from_slice(&buffer[..bytes]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                    Err(error) => panic!("{error} after {} bytes: {:?}", got.len(), stream.take_event()),
                }
            }
            assert!(got == sent, "room of {room}");
        });
    }

    #[test]
    fn readers_get_all_whatever_room_they_have() {
        for room in [100, 5000, 30_000, 2 * RECORD_BYTES, 2 * RECORD_BYTES + 1, 100_000] {
            check(room);
        }
    }
}
