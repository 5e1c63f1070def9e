//! Passwords from the terminal, asked for where nobody sees them; whatever signal comes meanwhile, the terminal shows
//! again what is typed.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

/// Signals that end or stop a process, unless it says otherwise.
const SIGNALS: [Signal; 5] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];

/// Asks at the terminal that the process belongs to, whatever its standard input is. To be called while there is one
/// thread alone: signals find any that does not block them.
///
/// # Errors
/// When there is no such terminal, or nothing comes from it.
pub fn ask_password(prompt: &str) -> io::Result<String> {
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let shown = tcgetattr(&terminal)?;
    let signals: SigSet = SIGNALS.into_iter().collect();
    let heeded = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
    let (until, answered) = io::pipe()?;
    let (its_terminal, its_shown) = (terminal.try_clone()?, shown.clone());
    // Blocked, they come to the thread that reads them, and what they do by default is left as it was.
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let heeding = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || heed(&heeded, &until, &its_terminal, &its_shown).map_err(io::Error::from));
    let answer = heeding.and_then(|heeding| {
        let answer = rpassword::prompt_password(prompt);
        drop(answered);
        let heeded = heeding.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        // A pause that ended just with the answer has hidden again what is typed.
        let restored = tcsetattr(&terminal, SetArg::TCSANOW, &shown).map_err(io::Error::from);
        heeded.and(restored).and(answer)
    });
    before.thread_set_mask()?;
    answer
}

/// Has each signal do what it does by default, with the terminal as it was, until `until` ends.
fn heed(signals: &SignalFd, until: &PipeReader, terminal: &File, shown: &Termios) -> nix::Result<()> {
    loop {
        let mut polled =
            [PollFd::new(until.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        if polled[0].any().unwrap_or(true) {
            return Ok(());
        }
        let Some(signal) = signals.read_signal()? else { continue };
        let Ok(signal) = Signal::try_from(signal.ssi_signo.cast_signed()) else { continue };
        let unseen = tcgetattr(terminal)?;
        tcsetattr(terminal, SetArg::TCSANOW, shown)?;
        let alone = SigSet::from(signal);
        alone.thread_unblock()?;
        raise(signal)?;
        // It was ignored, or it stopped us and we go on.
        alone.thread_block()?;
        tcsetattr(terminal, SetArg::TCSANOW, &unseen)?;
    }
}
