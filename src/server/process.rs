//! What a daemon does to its own process at start-up and at the end: background, limits, user, pid
//! file.
//!
//! Knows no cache, no connection and no thread. Order of use: `root_check`, `enable_core_dumps`,
//! `raise_descriptor_limit`, `check_user`, `check_pid_file`, bind, `daemonize` (before any thread exists;
//! what can fail has been tried by then, while there is somebody to tell), `lock_memory`, `write_pid_file`,
//! `drop_privileges`, `settle_core_dumps`, `write_port_file`.

use std::ffi::{CString, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{self, Gid, Pid, Uid, User};

use crate::config::Settings;

/// Exit code for a wrong command line (`EX_USAGE`).
pub const EXIT_USAGE: i32 = 64;
/// Exit code for an unknown user (`EX_NOUSER`).
pub const EXIT_NOUSER: i32 = 67;
/// Exit code for what the system refuses (`EX_OSERR`).
pub const EXIT_OSERR: i32 = 71;

/// Bytes read from an existing pid file.
const PID_FILE_BYTES_MAX: u64 = 64;

/// Why the daemon cannot go on starting: one line, and the process's exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessError {
    message: String,
    exit_code: i32,
}

impl ProcessError {
    fn system(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self { message: format!("{what}: {cause}"), exit_code: EXIT_OSERR }
    }

    /// The process's exit code: 64, 67 or 71.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ProcessError {}

/// Whether these settings may be started by this user. As root and without `-u`, `memcached`
/// refuses, as scripts expect; `larder` starts, and the text returned says what is unwise about it.
///
/// # Errors
/// Exit code 64 when started as `memcached`, as root, without `-u`.
pub fn root_check(settings: &Settings) -> Result<Option<String>, ProcessError> {
    check_root(settings, unistd::geteuid())
}

fn check_root(settings: &Settings, uid: Uid) -> Result<Option<String>, ProcessError> {
    if !uid.is_root() || settings.user.is_some() {
        return Ok(None);
    }
    if settings.program_is_memcached {
        let message = "started as root without a user, expected -u with a user to become, or -u root to stay";
        return Err(ProcessError { message: message.to_owned(), exit_code: EXIT_USAGE });
    }
    Ok(Some("running as root, -u with another user is safer".to_owned()))
}

/// Lets the process dump core of any size, or as large as its hard limit allows.
///
/// # Errors
/// When not even one byte of core is allowed.
pub fn enable_core_dumps() -> Result<(), ProcessError> {
    if setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY).is_ok() {
        return Ok(());
    }
    let failed = |e: Errno| ProcessError::system("cannot allow core dumps", e.desc());
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).map_err(failed)?;
    setrlimit(Resource::RLIMIT_CORE, hard, hard).map_err(failed)?;
    match hard {
        0 => Err(ProcessError::system("cannot allow core dumps", "the hard limit is 0")),
        _ => Ok(()),
    }
}

/// Says for good whether the process's memory may be dumped. To be called when it has the user that it keeps:
/// becoming another one clears the mark. Where it may not be dumped, other processes of the same user cannot
/// read it either.
///
/// # Errors
/// When the system refuses.
pub fn settle_core_dumps(settings: &Settings) -> Result<(), ProcessError> {
    let failed = |e: Errno| ProcessError::system("cannot settle whether core may be dumped", e.desc());
    if !settings.core_dumps {
        setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed)?;
    }
    prctl::set_dumpable(settings.core_dumps).map_err(failed)
}

/// Raises the limit of open descriptors to `wanted` (connections and what the daemon needs for
/// itself), never lowers it. Returns the limit in force: less than `wanted` when the user may
/// not go beyond the hard limit.
///
/// # Errors
/// When the limit cannot be read or the hard limit not be used.
pub fn raise_descriptor_limit(wanted: u64) -> Result<u64, ProcessError> {
    let failed = |e: Errno| ProcessError::system("cannot raise the limit of open descriptors", e.desc());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    let wanted: rlim_t = wanted;
    if soft >= wanted {
        return Ok(soft);
    }
    // Only a privileged process gets beyond its hard limit.
    if wanted > hard && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    let reachable = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, reachable, hard).map_err(failed)?;
    Ok(reachable)
}

/// Goes to the background: a new session, stdin, stdout and stderr on /dev/null unless
/// `verbosity` asks to see them, and `/` as the working directory unless core dumps should land
/// where the daemon was started. The calling process ends with 0 and the function returns in
/// its child. Must be called while there is only one thread.
///
/// # Errors
/// When the system cannot fork.
pub fn daemonize(core_dumps: bool, verbosity: u8) -> Result<(), ProcessError> {
    let keep_directory = core_dumps;
    let keep_stdio = verbosity > 0;
    unistd::daemon(keep_directory, keep_stdio)
        .map_err(|e| ProcessError::system("cannot go to the background", e.desc()))
}

/// Where whoever started a daemon reads what it says, which the daemon leaves when it goes to the background.
#[derive(Debug)]
pub struct Terminal(File);

impl Terminal {
    /// Standard error as it is now, if warnings do not get there by way of the log.
    pub fn to_be_left(settings: &Settings) -> Option<Terminal> {
        let is_logged_to = settings.log_file.is_none() && settings.verbosity > 0;
        let stderr = || io::stderr().as_fd().try_clone_to_owned().ok();
        (settings.daemonize && !is_logged_to).then(stderr).flatten().map(|fd| Terminal(fd.into()))
    }

    /// Says these things, each on a line of its own, and leaves.
    pub fn tell(mut self, warnings: &[String], program: &str) {
        // Whoever does not listen is not told.
        warnings.iter().for_each(|warning| drop(writeln!(self.0, "{program}: {warning}")));
    }
}

/// Keeps all memory, also that to come, out of swap, for a process that is to become `user` if it is root's. A
/// failure is no reason not to start: the text returned is worth a warning.
pub fn lock_memory(wanted: u64, user: Option<&str>) -> Option<String> {
    let is_root = unistd::geteuid().is_root();
    if is_root {
        // Root is not bound by the limit, but the user that it becomes is. Whether it could be raised is seen below.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    }
    let stays_root = is_root && user.is_none_or(|user| user == "root");
    // With less, locking may succeed and every later allocation fail, threads' stacks first.
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(RLIM_INFINITY, |(soft, _)| soft);
    if !stays_root && limit < wanted {
        return Some(format!(
            "cannot lock memory (-k): the limit of locked memory is {limit} bytes, expected {wanted} or more \
             (ulimit -l)"
        ));
    }
    let locked = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
    locked.err().map(|e| {
        format!(
            "cannot lock memory (-k): {}, the limit of locked memory may be too low",
            e.desc().to_lowercase()
        )
    })
}

/// Becomes `user`, with that user's groups, for good. Does nothing when not root.
///
/// # Errors
/// Exit code 67 for an unknown user; 71 when the system refuses, or lets the process have root back.
pub fn drop_privileges(user: &str) -> Result<(), ProcessError> {
    if !unistd::geteuid().is_root() {
        return Ok(());
    }
    let account = account(user)?;
    let failed = |e: Errno| ProcessError::system(format!("cannot become user {user:?} (-u)"), e.desc());
    let name = CString::new(account.name.as_str()).map_err(|_| failed(Errno::EINVAL))?;
    unistd::initgroups(&name, account.gid).map_err(failed)?;
    unistd::setgid(account.gid).map_err(failed)?;
    unistd::setuid(account.uid).map_err(failed)?;
    let became = identity() == (account.uid, account.uid, account.gid, account.gid);
    let regained = !account.uid.is_root() && unistd::setuid(Uid::from_raw(0)).is_ok();
    if !became || regained {
        return Err(failed(Errno::EPERM));
    }
    Ok(())
}

/// Real and effective user, real and effective group.
fn identity() -> (Uid, Uid, Gid, Gid) {
    (unistd::getuid(), unistd::geteuid(), unistd::getgid(), unistd::getegid())
}

/// Makes sure that `user` exists, so that a wrong name is told before the daemon goes to the background.
///
/// # Errors
/// Exit code 67 if there is no such user.
pub fn check_user(user: &str) -> Result<(), ProcessError> {
    if unistd::geteuid().is_root() { account(user).map(drop) } else { Ok(()) }
}

/// Makes sure that a pid file can be written at `path`, for the same reason. Leaves nothing behind.
///
/// # Errors
/// Exit code 71 if it cannot.
pub fn check_pid_file(path: &Path) -> Result<(), ProcessError> {
    let kind = fs::symlink_metadata(path).map(|metadata| metadata.file_type());
    if kind.is_ok_and(|kind| !kind.is_file() && !kind.is_symlink()) {
        // Writing would put a file in its place.
        return Err(ProcessError::system(
            format!("cannot write the pid file {path:?} (-P)"),
            "not a regular file",
        ));
    }
    let mut beside = OsString::from(path);
    beside.push(".check");
    let created = match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => File::create_new(&beside).map(drop).and_then(|()| fs::remove_file(&beside)),
    };
    created.map_err(|e| ProcessError::system(format!("cannot write the pid file {path:?} (-P)"), e))
}

fn account(user: &str) -> Result<User, ProcessError> {
    match User::from_name(user) {
        Ok(Some(account)) => Ok(account),
        // A name with a NUL is no user's either.
        Ok(None) | Err(Errno::EINVAL) => {
            let message = format!("no user {user:?} on this system, expected one for -u");
            Err(ProcessError { message, exit_code: EXIT_NOUSER })
        }
        Err(e) => Err(ProcessError::system(format!("cannot look up user {user:?}"), e.desc())),
    }
}

/// Runs `bind` with the process's file mode mask set so that a Unix socket is created with at
/// most `mode`, then sets the mask back. No other thread may create files meanwhile.
pub fn with_socket_mode<T>(mode: u32, bind: impl FnOnce() -> T) -> T {
    let closed = Mode::from_bits_truncate(!mode & 0o777);
    let before = umask(closed);
    let bound = bind();
    umask(before);
    bound
}

/// A pid file that is in place. Not removed on drop: memcached keeps it unless it is a daemon,
/// so the caller says when.
#[derive(Debug)]
#[must_use = "remove() takes the file away at the end"]
pub struct PidFile {
    path: PathBuf,
    pid: u32,
}

impl PidFile {
    /// Removes the file, if it still is this process's.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(self) -> Result<(), ProcessError> {
        if pid_in(&self.path) != i32::try_from(self.pid).ok() {
            return Ok(());
        }
        fs::remove_file(&self.path)
            .map_err(|e| ProcessError::system(format!("cannot remove the pid file {:?}", self.path), e))
    }
}

/// Writes this process's id and a line end to `path`, replacing the file as a whole. The text
/// returned beside the guard is a warning: the file named another process that is alive.
///
/// # Errors
/// When the file cannot be written.
pub fn write_pid_file(path: &Path) -> Result<(PidFile, Option<String>), ProcessError> {
    let pid = process::id();
    let other = pid_in(path).filter(|other| i64::from(*other) != i64::from(pid) && is_alive(*other));
    let warning = other.map(|other| format!("pid file {path:?} named process {other}, which is running"));
    replace(path, ".tmp", &format!("{pid}\n"))
        .map_err(|e| ProcessError::system(format!("cannot write the pid file {path:?} (-P)"), e))?;
    Ok((PidFile { path: path.to_owned(), pid }, warning))
}

/// Tries what a cache has no need to do once it runs: to open a socket and to run another program. Whether it could
/// do either, that is, whether no sandbox prevents it.
pub fn misbehave() -> bool {
    std::net::UdpSocket::bind("127.0.0.1:0").is_ok() || Command::new("/bin/true").status().is_ok()
}

/// Panics as no thread should, so that a test can see what becomes of the daemon.
pub fn panic_for_a_test() {
    panic!("a client asked for it");
}

/// Does nothing for ever, so that a test can see whether anybody notices.
pub fn hang_for_a_test() {
    loop {
        std::thread::park();
    }
}

/// Writes the ports in use to the file that `MEMCACHED_PORT_FILENAME` names, one line each.
///
/// # Errors
/// When the file cannot be written.
pub fn write_port_file(path: &Path, tcp: &[SocketAddr], udp: &[SocketAddr]) -> Result<(), ProcessError> {
    let mut text = String::new();
    for (transport, addresses) in [("TCP", tcp), ("UDP", udp)] {
        for address in addresses {
            let family = if address.is_ipv4() { "INET" } else { "INET6" };
            text.push_str(&format!("{transport} {family}: {}\n", address.port()));
        }
    }
    replace(path, ".lck", &text)
        .map_err(|e| ProcessError::system(format!("cannot write the port file {path:?}"), e))
}

/// Writes beside `path` and renames, so that a reader sees the old file or the new one.
fn replace(path: &Path, suffix: &str, text: &str) -> io::Result<()> {
    let mut beside = OsString::from(path);
    beside.push(suffix);
    // Left over from a crash, or a link laid by somebody else: never written through.
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    File::create_new(&beside)?.write_all(text.as_bytes())?;
    fs::rename(&beside, path).inspect_err(|_| {
        // Best effort: the rename's error is the one to report.
        let _ = fs::remove_file(&beside);
    })
}

/// The process that a pid file names; `None` if there is no such file or it names none.
fn pid_in(path: &Path) -> Option<i32> {
    let size = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
    if size > PID_FILE_BYTES_MAX {
        return None;
    }
    let pid = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (pid > 0).then_some(pid)
}

/// Whether there is such a process, ours to signal or not.
fn is_alive(pid: i32) -> bool {
    matches!(signal::kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Output, Stdio};

    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    use super::*;

    /// Names the act that a copy of this test program carries out on itself.
    const ACT: &str = "LARDER_TEST_ACT";

    /// Runs one act of `child` in a process of its own, since it changes the process for good.
    fn in_child(act: &str) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server::process::tests::child", "--nocapture", "--test-threads=1"])
            .env(ACT, act)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The act ran to its end and every assertion in it held.
    #[track_caller]
    fn check_child(act: &str) {
        let output = in_child(act);
        assert!(output.status.success(), "{act}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("done: {act}")), "{output:?}");
    }

    /// Does nothing unless `in_child` started it.
    #[test]
    fn child() {
        let Ok(act) = std::env::var(ACT) else { return };
        match act.as_str() {
            "drop" => child_drops_privileges(),
            "limit" => child_raises_the_limit(),
            "core" => child_enables_core_dumps(),
            "mode" => child_binds_with_a_mode(),
            "background" => child_goes_to_the_background(false, 0),
            "background with core dumps and -v" => child_goes_to_the_background(true, 1),
            "lock" => child_locks_memory(),
            "dumpable" => child_settles_core_dumps(),
            other => panic!("{other}"),
        }
        println!("done: {act}");
    }

    fn child_drops_privileges() {
        let before = identity();
        if !unistd::geteuid().is_root() {
            drop_privileges("no-such-user").unwrap();
            assert_eq!(identity(), before);
            return;
        }
        let error = drop_privileges("no-such-user").unwrap_err();
        assert_eq!(error.exit_code(), EXIT_NOUSER);
        assert_eq!(error.to_string(), "no user \"no-such-user\" on this system, expected one for -u");
        assert_eq!(drop_privileges("a\0b").unwrap_err().exit_code(), EXIT_NOUSER);
        drop_privileges("root").unwrap();
        assert_eq!(identity(), before);
        let roots_groups = [0, 12_345].map(Gid::from_raw);
        unistd::setgroups(&roots_groups).unwrap();
        drop_privileges("nobody").unwrap();
        let nobody = User::from_name("nobody").unwrap().unwrap();
        assert_eq!(identity(), (nobody.uid, nobody.uid, nobody.gid, nobody.gid));
        assert!(unistd::getgroups().unwrap().iter().all(|group| !roots_groups.contains(group)));
    }

    fn child_raises_the_limit() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 64, hard.min(512)).unwrap();
        assert_eq!(raise_descriptor_limit(32), Ok(64), "never lowered");
        assert_eq!(raise_descriptor_limit(100), Ok(100));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE), Ok((100, 512)));
        let reached = raise_descriptor_limit(600).unwrap();
        assert!(reached == 600 || reached == 512, "{reached}");
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, reached);
    }

    fn child_enables_core_dumps() {
        match enable_core_dumps() {
            Ok(()) => {
                let (soft, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
                assert!(soft > 0 && soft == hard, "{soft} {hard}");
            }
            Err(error) => {
                assert_eq!(error.exit_code(), EXIT_OSERR);
                assert!(error.to_string().starts_with("cannot allow core dumps: "), "{error}");
            }
        }
    }

    fn child_settles_core_dumps() {
        settle_core_dumps(&Settings { core_dumps: true, ..Settings::default() }).unwrap();
        assert_eq!(prctl::get_dumpable(), Ok(true));
        settle_core_dumps(&Settings::default()).unwrap();
        assert_eq!(prctl::get_dumpable(), Ok(false));
        assert_eq!(getrlimit(Resource::RLIMIT_CORE), Ok((0, 0)));
    }

    fn child_locks_memory() {
        let said = lock_memory(64 << 20, None);
        assert_eq!(said.as_ref().filter(|text| text.contains('\n')), None);
        if unistd::geteuid().is_root() {
            // Whoever it becomes is not bound by a limit that root is not.
            let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
            assert!(limit == RLIM_INFINITY || lock_memory(u64::MAX, Some("nobody")).is_some(), "{limit}");
        } else {
            let said = lock_memory(u64::MAX - 1, None);
            let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
            assert!(
                limit == RLIM_INFINITY || said.unwrap().contains("expected 18446744073709551614 or more")
            );
        }
    }

    fn child_binds_with_a_mode() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o700, 0o770, 0o777, 0o600] {
            let path = folder.path().join(format!("{mode:o}"));
            let _socket = with_socket_mode(mode, || UnixListener::bind(&path)).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        let before = umask(Mode::from_bits_truncate(0o027));
        with_socket_mode(0o777, || ());
        assert_eq!(umask(before), Mode::from_bits_truncate(0o027), "put back");
    }

    /// Reports through a copy of stdout, which stays the test's pipe whatever becomes of stdout.
    fn child_goes_to_the_background(core_dumps: bool, verbosity: u8) {
        let mut report = File::from(io::stdout().as_fd().try_clone_to_owned().unwrap());
        let (before, started_in) = (process::id(), std::env::current_dir().unwrap());
        daemonize(core_dumps, verbosity).unwrap();
        let leads = unistd::getsid(None) == Ok(unistd::getpid());
        let moved = std::env::current_dir().unwrap() != started_in;
        let silent = fs::read_link("/proc/self/fd/1").unwrap() == Path::new("/dev/null");
        let forked = process::id() != before;
        writeln!(report, "forked {forked}, leads {leads}, moved {moved}, silent {silent}").unwrap();
        process::exit(0);
    }

    #[test]
    fn a_daemon_leaves_session_directory_and_stdio_behind() {
        let report = |act| String::from_utf8(in_child(act).stdout).unwrap();
        let text = report("background");
        assert!(text.contains("forked true, leads true, moved true, silent true\n"), "{text}");
        let text = report("background with core dumps and -v");
        assert!(text.contains("forked true, leads true, moved false, silent false\n"), "{text}");
    }

    #[test]
    fn privileges_are_dropped_for_good() {
        check_child("drop");
    }

    #[test]
    fn the_descriptor_limit_is_raised_as_far_as_allowed() {
        check_child("limit");
    }

    #[test]
    fn core_dumps_are_enabled_or_the_failure_is_named() {
        check_child("core");
    }

    #[test]
    fn core_is_dumped_only_where_asked_for() {
        check_child("dumpable");
    }

    #[test]
    fn a_socket_gets_the_mode_asked_for() {
        check_child("mode");
    }

    #[test]
    fn memory_is_locked_or_there_is_a_warning() {
        check_child("lock");
    }

    #[test]
    fn root_must_name_a_user_only_under_memcacheds_name() {
        let settings = |as_memcached, user: Option<&str>| Settings {
            program_is_memcached: as_memcached,
            user: user.map(str::to_owned),
            ..Settings::default()
        };
        let root = Uid::from_raw(0);
        let error = check_root(&settings(true, None), root).unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert!(error.to_string().contains("-u root"), "{error}");
        assert!(check_root(&settings(false, None), root).unwrap().is_some());
        assert_eq!(check_root(&settings(true, Some("root")), root), Ok(None));
        assert_eq!(check_root(&settings(false, Some("nobody")), root), Ok(None));
        assert_eq!(check_root(&settings(true, None), Uid::from_raw(1000)), Ok(None));
    }

    #[test]
    fn the_pid_file_names_this_process_until_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("larder.pid");
        let (file, warning) = write_pid_file(&path).unwrap();
        assert_eq!(warning, None);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no .tmp left");
        file.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_pid_file_of_a_live_process_gives_a_warning_a_stale_one_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("larder.pid");
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&path, format!("{}\n", other.id())).unwrap();
        let (_, warning) = write_pid_file(&path).unwrap();
        assert!(warning.is_some_and(|text| text.contains(&other.id().to_string())));
        fs::write(&path, format!("{}\n", other.id())).unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(write_pid_file(&path).unwrap().1, None);
        for odd in ["", "x", "-1", "0", "99999999999999"] {
            fs::write(&path, odd).unwrap();
            assert_eq!(write_pid_file(&path).unwrap().1, None, "{odd:?}");
        }
    }

    #[test]
    fn a_pid_file_that_another_process_took_over_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("larder.pid");
        let (file, _) = write_pid_file(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        file.remove().unwrap();
        assert!(path.exists());
        let (file, _) = write_pid_file(&path).unwrap();
        fs::remove_file(&path).unwrap();
        file.remove().unwrap();
    }

    #[test]
    fn a_link_laid_in_the_way_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join("larder.pid.tmp")).unwrap();
        let (file, _) = write_pid_file(&folder.path().join("larder.pid")).unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
        file.remove().unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = write_pid_file(Path::new("/no/such/larder.pid")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write the pid file \"/no/such/larder.pid\" (-P): "));
        assert_eq!(error.exit_code(), 71);
        let error = check_pid_file(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.to_string(), "cannot write the pid file \"/dev/null\" (-P): not a regular file");
        assert_eq!(error.exit_code(), 71);
        assert_eq!(write_port_file(Path::new("/no/such/ports"), &[], &[]).unwrap_err().exit_code(), 71);
    }

    #[test]
    fn the_port_file_has_a_line_per_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports");
        let addresses = ["127.0.0.1:40000", "[::1]:40001"].map(|a| a.parse().unwrap());
        write_port_file(&path, &addresses, &addresses[1..]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "TCP INET: 40000\nTCP INET6: 40001\nUDP INET6: 40001\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no .lck left");
    }
}
