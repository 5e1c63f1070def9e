//! TLS, by rustls; nothing outside of this folder knows that crate.
//!
//! [`Certificates`] are the files, loaded, and loaded again while the daemon runs. [`TlsStream`] is a connection
//! whose bytes are encrypted.

mod certificates;
mod names;
mod stream;
mod watch;

pub(super) use certificates::{Certificates, TlsError};
pub(super) use stream::{Event, TlsStream};
pub(super) use watch::watch;

/// What connections of one kind of listener share.
pub(super) type TlsConfig = std::sync::Arc<rustls::ServerConfig>;

/// Bytes by which a client's greeting is known for TLS.
const HELLO_BYTES: usize = 6;

/// Whether bytes that a client sends first can still be, or are, the greeting of TLS: a handshake record of
/// version 3 that holds a ClientHello. `None` if more bytes must tell.
pub(super) fn is_hello(bytes: &[u8]) -> Option<bool> {
    const RECORD: [Option<u8>; HELLO_BYTES] = [Some(0x16), Some(3), None, None, None, Some(1)];
    let fits = bytes.iter().zip(RECORD).all(|(byte, wanted)| wanted.is_none_or(|wanted| *byte == wanted));
    if fits && bytes.len() < HELLO_BYTES { None } else { Some(fits) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_known_by_its_first_bytes() {
        for (bytes, expected) in [
            (b"".as_slice(), None),
            (b"\x16", None),
            (b"\x16\x03\x01\x02\x00", None),
            (b"\x16\x03\x01\x02\x00\x01", Some(true)),
            (b"\x16\x03\x03\x00\xff\x01\x00\x00", Some(true)),
            (b"\x16\x03\x01\x02\x00\x02", Some(false)),
            (b"\x16\x02", Some(false)),
            (b"get k\r\n", Some(false)),
            (b"g", Some(false)),
        ] {
            assert_eq!(is_hello(bytes), expected, "{bytes:?}");
        }
    }
}
