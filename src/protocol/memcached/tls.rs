//! What sessions know of TLS: the daemon's certificates as commands and statistics ask for them, and the names in
//! a client's.

use std::fmt::Display;

use super::daemon::{Daemon, WorkerFigures};
use super::encoding;
use super::reply;
use super::session::Turn;
use super::stats::Lines;
use super::watch::CONNEVENTS;

/// The daemon's certificates.
pub trait Certificates: Send + Sync {
    /// Reads the files again. What they held stays in use if they cannot be used.
    ///
    /// # Errors
    /// Which file cannot be used and why, in one line that begins `Error`, as memcached answers it.
    fn refresh(&self) -> Result<(), String>;

    /// Seconds since the files were last read.
    fn age_seconds(&self) -> u64;

    /// Whole days until the first of them is over; negative once it is.
    fn days_left(&self) -> i64;
}

/// The names in the certificate that a client has shown and that was found good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Its other names: of DNS, mail addresses and URIs, in the order of the certificate.
    pub alternative_names: Vec<String>,
}

impl CertificateNames {
    /// The name to show: the common name, or the first of the others.
    pub fn main(&self) -> Option<&str> {
        self.all().next()
    }

    /// All names, the common name first.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.common_name.iter().chain(&self.alternative_names).map(String::as_str)
    }
}

/// Answers `refresh_certs`.
pub(super) fn refresh_certs(noreply: bool, turn: &mut Turn) {
    match turn.daemon.certificates.as_ref().map(|certificates| certificates.refresh()) {
        None => turn.reply(reply::NO_TLS, noreply),
        Some(Ok(())) => turn.reply(reply::OK, noreply),
        Some(Err(line)) => {
            turn.reply(line.as_bytes(), noreply);
            turn.reply(b"\r\n", noreply);
        }
    }
}

/// The lines of `stats` that memcached has as well.
pub(super) fn stats(lines: &mut Lines, daemon: &Daemon, workers: &WorkerFigures) {
    let Some(certificates) = &daemon.certificates else { return };
    if daemon.settings.tls.session_cache {
        lines.add("ssl_new_sessions", workers.tls_full_handshakes);
    }
    lines.add("ssl_handshake_errors", workers.tls_handshake_errors);
    lines.add("ssl_proto_errors", workers.tls_record_errors);
    lines.add("time_since_server_cert_refresh", certificates.age_seconds());
}

/// Those that only larder has.
pub(super) fn own_stats(lines: &mut Lines, daemon: &Daemon, workers: &WorkerFigures) {
    let Some(certificates) = &daemon.certificates else { return };
    lines.add("ssl_full_handshakes", workers.tls_full_handshakes);
    lines.add("ssl_resumed_handshakes", workers.tls_resumed_handshakes);
    lines.add("ssl_handshake_timeouts", workers.tls_handshake_timeouts);
    lines.add("ssl_cert_days_left", certificates.days_left());
}

/// The name in a client's certificate as lists show it, without blanks and line ends.
pub(super) fn shown(names: &CertificateNames) -> String {
    encoding::uri(names.main().unwrap_or_default().as_bytes()).collect()
}

impl Daemon {
    /// Tells watchers that TLS with the client of the connection `fd` has failed.
    pub fn note_tls_failed(&self, fd: i32, why: impl Display) {
        self.watch.tell(CONNEVENTS, |line| {
            line.extend_from_slice(format!("type=conntlserr fd={fd} msg={why}").as_bytes());
        });
    }
}
