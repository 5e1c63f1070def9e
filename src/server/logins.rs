//! Logins as far as files and threads are concerned: users are read at the start and again on SIGHUP, passwords
//! are compared with hashes by a thread of their own, and a daemon that lets anybody in says so.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

use crate::auth::{AuthError, Check, Guard, Kind, Waiting};
use crate::config::Settings;
use crate::protocol::memcached::Daemon;

use super::worker::WorkerHandle;
use super::{confined, end_with};

/// Passwords that wait to be compared, some 20 ms each, and whoever waits for them.
#[derive(Default)]
struct Checks {
    waiting: Mutex<Waiting>,
    is_there: Condvar,
}

impl Checks {
    fn push(&self, check: &Arc<Check>) -> bool {
        let is_taken = self.waiting.lock().push(check);
        self.is_there.notify_one();
        is_taken
    }

    fn next(&self) -> Arc<Check> {
        let mut waiting = self.waiting.lock();
        loop {
            match waiting.pop() {
                Some(check) => return check,
                None => self.is_there.wait(&mut waiting),
            }
        }
    }
}

/// Whoever lets clients in, if they have to log in, and what is unwise about it.
///
/// # Errors
/// If the file cannot be used.
pub(super) fn guard(settings: &Settings) -> Result<(Option<Guard>, Vec<String>), AuthError> {
    let (kind, path) = match (&settings.auth_file, &settings.users_file) {
        (Some(path), _) => (Kind::Passwords, path),
        (None, Some(path)) => (Kind::Users, path),
        (None, None) => return Ok((None, Vec::new())),
    };
    let (guard, warnings) = Guard::open(kind, path)?;
    Ok((Some(guard), warnings))
}

/// Starts the thread that compares passwords with hashes, if there are hashes. It ends with the process.
///
/// # Errors
/// If the system gives no thread.
pub(super) fn start_checking(daemon: &Daemon, workers: Arc<[WorkerHandle]>) -> io::Result<()> {
    let guard = daemon.guard.as_ref().filter(|guard| guard.kind() == Kind::Users);
    let Some(guard) = guard else { return Ok(()) };
    let is_confined = daemon.settings.drop_privileges;
    let checks = Arc::new(Checks::default());
    let taken = checks.clone();
    guard.check_by(Box::new(move |check| taken.push(check)));
    let check_all = move || {
        loop {
            checks.next().run();
            // Logins are few, and which worker waits is not worth knowing.
            if let Err(error) = workers.iter().try_for_each(WorkerHandle::wake) {
                log::error!("cannot wake a worker: {error}");
            }
        }
    };
    let run = move || end_with(confined(is_confined).map(|()| check_all()));
    thread::Builder::new().name("logins".to_owned()).spawn(run).map(drop)
}

/// Reads the users again. If that cannot be done, those that there are stay.
pub(super) fn read_again(guard: &Guard) {
    match guard.reload() {
        Ok((done, warnings)) => {
            log::info!("SIGHUP: {done}");
            warnings.iter().for_each(|warning| log::warn!("{warning}"));
        }
        Err(error) => log::error!("SIGHUP: the users stay as they were: {error}"),
    }
}

/// A warning if others than this machine can connect and nobody has to log in.
pub(super) fn exposure(settings: &Settings, tcp: &[SocketAddr], udp: &[SocketAddr]) -> Option<String> {
    let exposed: Vec<String> = exposed(settings, tcp, udp).map(SocketAddr::to_string).collect();
    (!exposed.is_empty()).then(|| {
        format!(
            "anybody who can reach {} may read, change and delete everything: nobody has to log in; use \
             --auth-file or --users-file, or --listen 127.0.0.1, or a firewall",
            exposed.join(", ")
        )
    })
}

/// The addresses that are open to others and ask for no login.
fn exposed<'a>(
    settings: &Settings,
    tcp: &'a [SocketAddr],
    udp: &'a [SocketAddr],
) -> impl Iterator<Item = &'a SocketAddr> {
    let is_guarded = settings.auth_file.is_some() || settings.users_file.is_some();
    tcp.iter().chain(udp).filter(move |address| !is_guarded && !address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_addresses_without_logins_are_exposed() {
        let addresses: Vec<SocketAddr> = ["127.0.0.1:1", "[::1]:2", "0.0.0.0:3", "[::]:4", "10.0.0.1:5"]
            .map(|at| at.parse().unwrap())
            .into();
        let open = Settings::default();
        assert_eq!(exposed(&open, &addresses, &[]).map(|at| at.port()).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(exposed(&open, &[], &addresses[2..]).count(), 3);
        for guarded in [
            Settings { auth_file: Some("x".into()), ..Settings::default() },
            Settings { users_file: Some("x".into()), ..Settings::default() },
        ] {
            assert_eq!(exposed(&guarded, &addresses, &addresses).count(), 0);
        }
    }
}
