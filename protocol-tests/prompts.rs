//! What larder asks for in a terminal: passwords, which are not shown, and whether a flush is really meant.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use tempfile::NamedTempFile;

use crate::differences::applies;
use crate::server::{Server, wait_until};

/// Milliseconds without a sign of life before a test fails.
const SILENCE_MS: u16 = 30_000;

/// larder in a terminal of its own.
struct Terminal {
    child: Child,
    ours: File,
    shown: String,
}

impl Terminal {
    #[track_caller]
    fn start(words: &[&str]) -> Terminal {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        let its = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        // A password is asked for at the terminal of the session, whatever the standard streams are.
        let child = Command::new("setsid")
            .args(["--ctty", env!("CARGO_BIN_EXE_larder")])
            .args(words)
            .env_remove("LARDER_PASSWORD")
            .stdin(its())
            .stdout(its())
            .stderr(its())
            .spawn()
            .expect("setsid of util-linux");
        Terminal { child, ours: File::from(pty.master), shown: String::new() }
    }

    /// Reads some of what is shown; whether there will be more.
    #[track_caller]
    fn look(&mut self) -> bool {
        let mut watched = [PollFd::new(self.ours.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut watched, SILENCE_MS).expect("a terminal");
        assert!(ready > 0, "nothing comes after {:?}", self.shown);
        let mut bytes = [0; 4096];
        // Once nobody has the other end it says so by an error.
        let count = self.ours.read(&mut bytes).unwrap_or(0);
        self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        while !self.shown.contains(text) {
            assert!(self.look(), "{text:?} is not in {:?}", self.shown);
        }
    }

    fn press(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Whether lines are put together, and what is typed is shown.
    fn is_as_usual(&self) -> bool {
        let usual = LocalFlags::ICANON | LocalFlags::ECHO;
        tcgetattr(&self.ours).expect("a terminal").local_flags.contains(usual)
    }

    /// Waits for the end, wants the terminal to be as it was before, and gives the exit code and everything that was
    /// shown.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String) {
        while self.look() {}
        let ended = self.child.wait().expect("it has been started");
        assert!(self.is_as_usual(), "{}", self.shown);
        (ended.code(), self.shown)
    }
}

/// A daemon with the user `foo`, whose password is `verysecret`.
fn guarded() -> (Server, NamedTempFile) {
    let file = NamedTempFile::new().expect("a file");
    fs::write(file.path(), "foo:verysecret\n").expect("a file");
    let server = Server::with(&["-Y", file.path().to_str().expect("text")]);
    (server, file)
}

#[test]
fn a_flush_is_carried_out_only_if_it_is_meant() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let mut client = server.client();
    client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
    let question = format!("Delete all items of {address}? (yes or no) ");
    // The last is the end of input.
    for answer in ["no\n", "\n", "yess\n", "\x04"] {
        let mut terminal = Terminal::start(&["flush", &address]);
        terminal.wait_for(&question);
        terminal.press(answer);
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(1), "{answer:?}: {shown}");
        assert!(shown.contains("nothing was deleted"), "{answer:?}: {shown}");
        client.expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
    }
    for answer in ["yes\n", " Y \n"] {
        client.expect("set k 0 0 1\r\n1\r\n", "STORED\r\n");
        let mut terminal = Terminal::start(&["flush", &address]);
        terminal.wait_for(&question);
        client.expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
        terminal.press(answer);
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(0), "{answer:?}: {shown}");
        client.expect("get k\r\n", "END\r\n");
    }
    let (code, shown) = Terminal::start(&["flush", &address, "--yes"]).end();
    assert_eq!((code, shown.contains("yes or no")), (Some(0), false), "{shown}");
}

#[test]
fn the_question_before_a_flush_names_the_prefix() {
    applies!();
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let mut client = server.client();
    client.expect("set a:1 0 0 1\r\n1\r\nset b:1 0 0 1\r\n1\r\n", "STORED\r\nSTORED\r\n");
    let mut terminal = Terminal::start(&["flush", &address, "--prefix", "a:"]);
    terminal.wait_for(&format!("Delete all items whose keys begin with 'a:' of {address}? (yes or no) "));
    terminal.press("yes\n");
    let (code, shown) = terminal.end();
    assert_eq!((code, shown.contains("1 deleted")), (Some(0), true), "{shown}");
    client.expect("get a:1 b:1\r\n", "VALUE b:1 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let (server, _file) = guarded();
    let address = server.addresses[0].to_string();
    for (typed, wanted_code, wanted) in
        [("verysecret", 0, "curr_items"), ("alsosecret", 1, "larder: "), ("", 1, "larder: ")]
    {
        let mut terminal = Terminal::start(&["stats", &address, "--user", "foo"]);
        terminal.wait_for("Password of foo: ");
        wait_until("nothing is shown that is typed", || !terminal.is_as_usual());
        terminal.press(&format!("{typed}\n"));
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(wanted_code), "{typed:?}: {shown}");
        assert!(shown.contains(wanted) && !shown.contains("secret"), "{typed:?}: {shown}");
    }
}

#[test]
fn whoever_watches_logs_in_before_the_terminal_is_taken_over() {
    let (server, _file) = guarded();
    let address = server.addresses[0].to_string();
    let mut terminal = Terminal::start(&["top", &address, "--user", "foo"]);
    terminal.wait_for("Password of foo: ");
    wait_until("nothing is shown that is typed", || !terminal.is_as_usual());
    assert!(!terminal.shown.contains("\x1b[?1049h"), "{}", terminal.shown);
    terminal.press("verysecret\n");
    terminal.wait_for("Requests");
    assert!(!terminal.is_as_usual());
    terminal.press("q");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
    let (taken, given_back) = (shown.rfind("\x1b[?1049h"), shown.rfind("\x1b[?1049l"));
    assert!(taken.is_some() && taken < given_back, "{shown:?}");
}
