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
    // A panic gives the terminal back as well: this sees to it, but for the cursor.
    let mut terminal = ratatui::try_init().map_err(of_terminal)?;
    let restore = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = execute!(io::stdout(), Show);
        restore(panic);
    }));
    let ended = show(&mut terminal, &mut app, &watch, &asked);
    let restored = ratatui::try_restore();
    ended.and(restored).map_err(of_terminal)
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
