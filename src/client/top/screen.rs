//! The terminal of `larder top`: taken over, drawn to, listened to, and given back: at the end, at a panic, at every signal
//! that ends or stops a process and can be heeded, and taken over again when it goes on.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use std::{process, thread};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::low_level::emulate_default_handler;

use crate::client::failure::Failure;

use super::app::{App, Wish};
use super::sample::Source;
use super::view;
use super::watch::Watch;

/// How long what has come may wait to be shown, and a signal to be heeded.
const TICK: Duration = Duration::from_millis(50);

/// What signals ask for.
#[derive(Default)]
struct Asked {
    to_end: Arc<AtomicBool>,
    to_stop: Arc<AtomicBool>,
}

/// Shows the servers until somebody quits, or a signal ends it.
///
/// # Errors
/// When the terminal cannot be used. Servers that are not there are shown as such.
pub(super) fn run(mut app: App, sources: Vec<Source>) -> Result<(), Failure> {
    let asked = Asked::default();
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked.to_end)).map_err(of_terminal)?;
    }
    signal_hook::flag::register(SIGTSTP, Arc::clone(&asked.to_stop)).map_err(of_terminal)?;
    end_with_terminal().map_err(of_terminal)?;
    let watch = Watch::start(sources, app.interval)?;
    let mut terminal = take_over().map_err(of_terminal)?;
    let ended = show(&mut terminal, &mut app, &watch, &asked);
    let restored = ratatui::try_restore();
    ended.and(restored).map_err(of_terminal)
}

/// Takes the terminal over. From then on a panic of any thread gives it back.
fn take_over() -> io::Result<DefaultTerminal> {
    // This sees to it, but for the cursor.
    let terminal = ratatui::try_init()?;
    let restore = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = execute!(io::stdout(), Show);
        restore(panic);
    }));
    Ok(terminal)
}

/// Ends the process when its terminal goes away, whether or not a signal tells of that: crossterm would read its end
/// again and again.
fn end_with_terminal() -> io::Result<()> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Ok(());
    }
    let wait = move || {
        // Asked for nothing, it still tells of a hang-up.
        let mut watched = [PollFd::new(input.as_fd(), PollFlags::empty())];
        while poll(&mut watched, PollTimeout::NONE).is_err() {}
        process::exit(1)
    };
    thread::Builder::new().name("terminal".to_owned()).spawn(wait).map(drop)
}

fn of_terminal(error: io::Error) -> Failure {
    Failure::Failed(format!("the terminal cannot be used: {error}"))
}

fn show(terminal: &mut DefaultTerminal, app: &mut App, watch: &Watch, asked: &Asked) -> io::Result<()> {
    let mut is_new = true;
    while !asked.to_end.load(Relaxed) {
        if asked.to_stop.swap(false, Relaxed) {
            stop(terminal)?;
            is_new = true;
        }
        for (server, look) in watch.looks() {
            app.take(server, look);
            is_new = true;
        }
        if std::mem::take(&mut is_new) {
            terminal.draw(|frame| view::draw(frame, app))?;
        }
        if !event::poll(TICK)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if is_control(key, 'z') => asked.to_stop.store(true, Relaxed),
            Event::Key(key) if key.kind != KeyEventKind::Release => match wish(key) {
                Some(wish) if app.fulfil(wish) => return Ok(()),
                Some(_) => watch.set_pace(app.interval, app.is_paused),
                // Ctrl-L, or whatever else somebody presses who sees something wrong.
                None => redraw(terminal)?,
            },
            _ => {}
        }
        is_new = true;
    }
    Ok(())
}

/// Gives the terminal back and stops, as Ctrl-Z is to do everywhere. Returns when the shell has us go on.
fn stop(terminal: &mut DefaultTerminal) -> io::Result<()> {
    ratatui::try_restore()?;
    execute!(io::stdout(), Show)?;
    emulate_default_handler(SIGTSTP)?;
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    redraw(terminal)
}

/// Has everything drawn anew. `Terminal::clear` would ask the terminal for its cursor, and not all of them answer.
fn redraw(terminal: &mut DefaultTerminal) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(size.into())
}

fn is_control(key: KeyEvent, letter: char) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char(letter)
}

fn wish(key: KeyEvent) -> Option<Wish> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        // crossterm's name for Ctrl-\ is Ctrl-4, and the byte is the same.
        return ['c', '\\', '4'].iter().any(|&letter| is_control(key, letter)).then_some(Wish::Quit);
    }
    Some(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        KeyCode::Char('p' | ' ') => Wish::Pause,
        KeyCode::Char('s') => Wish::Sort,
        KeyCode::Char('k') => Wish::HotKeys,
        KeyCode::Char('+') => Wish::Faster,
        KeyCode::Char('-') => Wish::Slower,
        KeyCode::Tab | KeyCode::Right => Wish::NextServer,
        KeyCode::BackTab | KeyCode::Left => Wish::PreviousServer,
        KeyCode::Char('?' | 'h') => Wish::Help,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::process::{Command, Stdio};

    use nix::pty::{Winsize, openpty};
    use nix::sys::termios::tcgetattr;

    use super::*;

    /// Set where a test is to panic while it has the terminal.
    const PANICS: &str = "LARDER_TEST_PANICS";
    const THIS: &str = "client::top::screen::tests::a_panic_gives_the_terminal_back";

    /// Takes a terminal over, hides the cursor, and panics, in a thread of its own if `is_elsewhere`.
    fn panic_in_terminal(is_elsewhere: bool) {
        let mut terminal = take_over().unwrap();
        terminal.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
        if is_elsewhere {
            let _ = thread::spawn(|| panic!("on purpose")).join();
            process::exit(101);
        }
        panic!("on purpose");
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if let Some(place) = std::env::var_os(PANICS) {
            panic_in_terminal(place == "elsewhere");
        }
        for place in ["here", "elsewhere"] {
            let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
            let pty = openpty(&size, None).unwrap();
            let its = || Stdio::from(pty.slave.try_clone().unwrap());
            let mut ours = File::from(pty.master);
            let before = tcgetattr(&ours).unwrap();
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", THIS, "--nocapture"])
                .env(PANICS, place)
                .stdin(its())
                .stdout(its())
                .stderr(its())
                .spawn()
                .unwrap();
            drop(pty.slave);
            let (mut shown, mut bytes) = (String::new(), [0; 4096]);
            // Once nobody has the other end there is an error.
            while let Ok(count) = ours.read(&mut bytes) {
                shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            assert_eq!(child.wait().unwrap().code(), Some(101), "{shown}");
            assert!(tcgetattr(&ours).unwrap() == before, "{place}: {shown:?}");
            let at =
                |what: &str| shown.rfind(what).unwrap_or_else(|| panic!("{place}: no {what:?} in {shown:?}"));
            assert!(at("\x1b[?1049h") < at("drawn") && at("drawn") < at("\x1b[?1049l"), "{place}: {shown:?}");
            assert!(at("\x1b[?25l") < at("\x1b[?25h"), "{place}: {shown:?}");
            // What went wrong is said where it stays to be seen.
            assert!(at("\x1b[?1049l") < at("on purpose"), "{place}: {shown:?}");
        }
    }
}
