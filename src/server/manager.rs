//! The service manager, if there is one that wants to know (`NOTIFY_SOCKET`): that the daemon is ready, reads its
//! files again, ends, and is alive.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// Names the socket of the service manager.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// See the module. Its socket is opened at the start: later the daemon may have lost the right to open one
/// (`-o drop_privileges`), which is why `sd_notify::notify` will not do.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<UnixDatagram>,
    /// How long the daemon may be silent.
    watchdog: Option<Duration>,
}

impl Manager {
    /// What the environment says; and a warning, if it names a manager that cannot be reached.
    pub fn from_environment() -> (Manager, Option<String>) {
        let Some(name) = std::env::var_os(SOCKET_VARIABLE) else {
            return (Manager { socket: None, watchdog: None }, None);
        };
        match connected(&name) {
            Ok(socket) => (Manager { socket: Some(socket), watchdog: sd_notify::watchdog_enabled() }, None),
            Err(error) => {
                let warning = format!("cannot reach the service manager at {name:?}: {error}");
                (Manager { socket: None, watchdog: None }, Some(warning))
            }
        }
    }

    /// How long the daemon may be silent before the manager takes it for dead; `None` if it does not care.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|period| !period.is_zero())
    }

    /// Clients are served.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// Files are read again; [`Manager::ready`] is to follow.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => log::warn!("cannot tell the service manager of a reload: {error}"),
        }
    }

    /// The daemon ends.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// The daemon is alive.
    pub fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    fn tell(&self, states: &[NotifyState]) {
        let Some(socket) = &self.socket else { return };
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = socket.send(lines.as_bytes()) {
            log::warn!("cannot tell the service manager {:?}: {error}", lines.trim_end());
        }
    }
}

/// A socket connected to a path, or to an abstract name, which begins with `@`.
fn connected(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not listen must not stop the daemon.
    socket.set_nonblocking(true)?;
    Ok(socket)
}
