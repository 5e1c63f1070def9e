//! The system calls that are left to the process once it runs (`-o drop_privileges`).
//!
//! Two filters, one inside the other: the main thread and those of the allocator keep what starting and stopping take
//! beside serving; all others keep what serving takes, be it commands, HTTP or logins. Neither can open a socket, run a program or write to a file that is not open yet. Any other call fails with `EPERM`, as if the
//! user had no right to it: a call that was overlooked, on another system, costs an error and not the cache.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// What serving takes.
const SERVING: &[i64] = &[
    // Clients.
    libc::SYS_accept4,
    libc::SYS_close,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_fcntl,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Locks, time, chance, and figures.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    // Files that are read again; they are opened by a rule.
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat, // musl's, for newfstatat
    libc::SYS_statx,
    // Signals, and the end.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_tkill, // musl's, for tgkill
];

/// What starting threads, and the end of the process, take beside it.
const STARTING: &[i64] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_eventfd2,
    libc::SYS_prctl,
    libc::SYS_rseq,
    libc::SYS_seccomp,
    libc::SYS_set_robust_list,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    libc::SYS_unlinkat,
];

/// Leaves to every thread that there is, and to all that are started later, what running takes.
///
/// # Errors
/// If the system has no filters, or there is none for this processor.
pub(super) fn confine_process() -> io::Result<()> {
    let limits = (libc::SYS_prlimit64, vec![own_descriptors()?]);
    let program = program([SERVING, STARTING].concat(), Some(limits))?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}

/// Leaves to this thread what serving takes.
///
/// # Errors
/// As [`confine_process`].
pub(super) fn confine_thread() -> io::Result<()> {
    let program = program(SERVING.to_vec(), None)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

fn program(calls: Vec<i64>, limits: Option<(i64, Vec<SeccompRule>)>) -> io::Result<BpfProgram> {
    let rules = calls.into_iter().map(|call| (call, Vec::new())).chain(limits);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = rules.collect();
    rules.insert(libc::SYS_openat, vec![reading_only(2)?]);
    // musl's, for openat.
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![reading_only(1)?]);
    let (otherwise, listed) = (SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow);
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, otherwise, listed, architecture).map_err(io::Error::other)?;
    filter.try_into().map_err(io::Error::other)
}

/// The process's own limit of descriptors may be read and set, since SIGHUP may bring a higher limit of connections.
fn own_descriptors() -> io::Result<SeccompRule> {
    const PID: u8 = 0;
    const RESOURCE: u8 = 1;
    let is = |argument, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
            .map_err(io::Error::other)
    };
    let conditions = vec![is(PID, 0)?, is(RESOURCE, libc::RLIMIT_NOFILE as u64)?];
    SeccompRule::new(conditions).map_err(io::Error::other)
}

/// Files are opened for reading, if at all. `flags` is the place of the flags among the call's arguments.
fn reading_only(flags: u8) -> io::Result<SeccompRule> {
    let writing = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;
    let none_of_them = SeccompCmpOp::MaskedEq(writing as u64);
    SeccompCondition::new(flags, SeccompCmpArgLen::Dword, none_of_them, 0)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::ErrorKind;
    use std::net::TcpListener;
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn a_confined_thread_reads_and_does_nothing_else_to_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::write(&old, "old").unwrap();
        let thread = thread::spawn(move || {
            if let Err(error) = confine_thread() {
                println!("left out: there are no filters here: {error}");
                return;
            }
            let refused = |error: io::Error| error.kind() == ErrorKind::PermissionDenied;
            assert_eq!(std::fs::read(&old).unwrap(), b"old");
            assert!(OpenOptions::new().append(true).open(&old).is_err_and(refused));
            assert!(File::create(&new).is_err_and(refused));
            assert!(std::fs::remove_file(&old).is_err_and(refused));
            assert!(TcpListener::bind("127.0.0.1:0").is_err_and(refused));
            assert!(Command::new("/bin/true").status().is_err_and(refused));
        });
        thread.join().unwrap();
    }
}
