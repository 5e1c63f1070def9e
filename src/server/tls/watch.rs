//! Looks after the certificates while the daemon runs: loads them again when a file has changed, and warns before
//! they end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError};

use super::certificates::Certificates;

/// How often the files are looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// A certificate with fewer days left is worth a warning.
const WARNING_DAYS: i64 = 30;
/// The warning comes again after this long.
const WARNING_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Goes on until nobody holds the other end of `stop`.
pub(in crate::server) fn watch(certificates: &Arc<Certificates>, stop: &Receiver<()>) {
    let mut warned: Option<Instant> = None;
    loop {
        let days = certificates.days_left();
        let is_due = warned.is_none_or(|at| at.elapsed() >= WARNING_PERIOD);
        if days >= WARNING_DAYS {
            // The next one may be as short-lived, and then it is news.
            warned = None;
        } else if is_due {
            warned = Some(Instant::now());
            warn(certificates, days);
        }
        match stop.recv_timeout(LOOK_PERIOD) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        certificates.reload_if_changed();
    }
}

fn warn(certificates: &Certificates, days: i64) {
    let path = certificates.chain_path();
    if days < 0 {
        log::warn!("-o ssl_chain_cert '{path}': a certificate is over, clients will refuse it");
    } else {
        log::warn!("-o ssl_chain_cert '{path}': a certificate is over soon, days left: {days}");
    }
}
