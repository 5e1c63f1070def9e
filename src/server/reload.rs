//! SIGHUP: the config file, the users and the certificates are read again, and the log is told what has come of it.

use crate::config::{Change, Reader, Settings};
use crate::protocol::memcached::Daemon;

use super::{descriptors_wanted, process, too_few};

/// Reads the options again and brings about what has changed and may change. With an error nothing changes.
pub(super) fn options(daemon: &Daemon, reader: &mut Reader) {
    let (settings, changes) = match reader.read_again() {
        Ok(again) => again,
        Err(error) => {
            log::error!(event = "reload"; "SIGHUP: the options stay as they were: {error}");
            return;
        }
    };
    if changes.is_empty() {
        log::info!(event = "reload"; "SIGHUP: no option has changed");
    }
    for change in &changes {
        if bring_about(change, &settings, daemon) {
            reader.note(change);
        }
    }
}

/// Whether it could be done.
fn bring_about(change: &Change, settings: &Settings, daemon: &Daemon) -> bool {
    let Change { option, label, from, to, is_live } = change;
    let is_done = *is_live && daemon.change(option, settings);
    if !is_live {
        log::warn!(
            event = "restart_needed", option = label.as_str();
            "SIGHUP: {label} changes from {from} to {to} with the next start, not before"
        );
    } else if is_done {
        log::info!(event = "change", option = label.as_str(); "SIGHUP: {label} is {to} now, it was {from}");
    } else {
        log::error!(event = "change", option = label.as_str(); "SIGHUP: {label} stays {from}, it cannot be {to}");
    }
    if is_done && *option == "conn-limit" {
        let wanted = descriptors_wanted(settings.max_connections, &daemon.settings) as u64;
        match process::raise_descriptor_limit(wanted) {
            Ok(reached) if reached < wanted => {
                log::warn!("SIGHUP: {}", too_few(reached, settings.max_connections));
            }
            Ok(_) => {}
            Err(error) => log::warn!("SIGHUP: {error}: there may be too few for the connections"),
        }
    }
    is_done
}
