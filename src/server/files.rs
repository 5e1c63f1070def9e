//! Files that are read again, long after the start: found whatever directory the process is in by then, and told of if
//! the user that it became cannot read them.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::config::Settings;

/// Lets files be found from the directory that a process in the background has.
///
/// # Errors
/// If the present directory is not known.
pub(super) fn make_absolute(settings: &mut Settings) -> io::Result<()> {
    if settings.daemonize {
        for file in all(settings) {
            *file = std::path::absolute(&file)?;
        }
    }
    Ok(())
}

/// A warning for each file that could be read at the start, and that the user that the process is by now cannot read.
pub(super) fn unreadable(settings: &mut Settings) -> Vec<String> {
    let Some(user) = settings.user.clone() else { return Vec::new() };
    let unreadable = all(settings).into_iter().filter(|file| !is_readable(file));
    unreadable.map(|file| format!("user {user:?} cannot read {file:?}: it will not be read again")).collect()
}

/// Without opening it, which may wait for a writer.
fn is_readable(file: &Path) -> bool {
    access(file, AccessFlags::R_OK).is_ok()
}

fn all(settings: &mut Settings) -> Vec<&mut PathBuf> {
    let Settings { config_file, auth_file, users_file, tls, .. } = settings;
    let mut files: Vec<_> = [config_file, auth_file, users_file].into_iter().flatten().collect();
    if tls.enabled {
        files.extend([&mut tls.chain_cert, &mut tls.key, &mut tls.ca_cert].into_iter().flatten());
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_background_all_files_are_found_from_anywhere() {
        let here = std::env::current_dir().unwrap();
        let mut settings = Settings {
            config_file: Some("c".into()),
            auth_file: Some("/a".into()),
            users_file: Some("u".into()),
            ..Settings::default()
        };
        settings.tls.key = Some("k".into());
        make_absolute(&mut settings).unwrap();
        assert_eq!(settings.users_file, Some("u".into()));
        settings.daemonize = true;
        settings.tls.enabled = true;
        make_absolute(&mut settings).unwrap();
        let found = [settings.config_file, settings.auth_file, settings.users_file, settings.tls.key];
        assert_eq!(found, [here.join("c"), "/a".into(), here.join("u"), here.join("k")].map(Some));
    }

    #[test]
    fn files_that_cannot_be_read_again_are_told_of_where_there_is_a_user() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("users");
        let mut settings = Settings { users_file: Some(missing.clone()), ..Settings::default() };
        assert!(unreadable(&mut settings).is_empty());
        settings.user = Some("nobody".to_owned());
        let told = format!("user \"nobody\" cannot read {missing:?}: it will not be read again");
        assert_eq!(unreadable(&mut settings), [told]);
        std::fs::write(&missing, "").unwrap();
        assert!(unreadable(&mut settings).is_empty());
    }
}
