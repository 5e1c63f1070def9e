//! Signals and keys that end or stop larder's client commands in a terminal, which is as before whenever they do not have
//! it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::libc::{SIGINT, SIGTERM};
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::tcgetpgrp;
use tempfile::TempDir;

use crate::client_commands::{larder, refused};
use crate::server::{Server, signal, wait_until};

/// Milliseconds without a sign of life before a test fails.
const SILENCE_MS: u16 = 30_000;

/// A program in a terminal of its own.
struct Terminal {
    child: Child,
    ours: File,
    shown: String,
}

impl Terminal {
    #[track_caller]
    fn start(words: &[&str]) -> Terminal {
        Terminal::of(&[&[env!("CARGO_BIN_EXE_larder")], words].concat())
    }

    #[track_caller]
    fn of(words: &[&str]) -> Terminal {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        let its = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let child = Command::new("setsid")
            .arg("--ctty")
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

    /// Waits for `text`, and forgets what was shown up to its end.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
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

    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a process");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Waits for the end, and wants the terminal to be as it was before.
    #[track_caller]
    fn end(mut self) -> (ExitStatus, String) {
        while self.look() {}
        let ended = self.child.wait().expect("it has been started");
        assert!(self.is_as_usual(), "{}", self.shown);
        (ended, self.shown)
    }
}

/// A daemon with the user `foo`, whose password is `verysecret`, and the folder with the file that says so.
fn guarded() -> (Server, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("users");
    fs::write(&file, "foo:verysecret\n").expect("a file");
    (Server::with(&["-Y", file.to_str().expect("text")]), folder)
}

#[test]
fn whoever_ends_the_question_for_a_password_sees_again_what_he_types() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    for (key, wanted) in [(Some("\x03"), SIGINT), (None, SIGTERM)] {
        for words in [&["ping", &address, "--user", "foo"][..], &["passwd", "foo"]] {
            let mut terminal = Terminal::start(words);
            terminal.wait_for("Password");
            wait_until("nothing is shown that is typed", || !terminal.is_as_usual());
            match key {
                Some(key) => terminal.press(key),
                None => signal(terminal.child.id(), "TERM"),
            }
            let (ended, shown) = terminal.end();
            assert_eq!(ended.signal(), Some(wanted), "{shown}");
        }
    }
}

#[test]
fn a_question_for_a_password_goes_on_after_a_pause() {
    let (server, _folder) = guarded();
    // SIGTSTP stops nobody whose parent is in no other group of the session: a shell that controls jobs is such a parent.
    let script = "set -m; \"$0\" \"$@\"; echo paused; read -r line; fg";
    let program = env!("CARGO_BIN_EXE_larder");
    let address = server.addresses[0].to_string();
    let mut terminal = Terminal::of(&["sh", "-c", script, program, "ping", &address, "--user", "foo"]);
    terminal.wait_for("Password of foo: ");
    wait_until("nothing is shown that is typed", || !terminal.is_as_usual());
    let asking = tcgetattr(&terminal.ours).expect("a terminal");
    // From outside: while a password is asked for Ctrl-Z is a character like any other.
    let group = tcgetpgrp(&terminal.ours).expect("a group in front");
    signal(u32::try_from(group.as_raw()).expect("a process"), "TSTP");
    terminal.wait_for("paused");
    assert!(terminal.is_as_usual());
    terminal.press("go\n");
    wait_until("all is as it was while it asked", || {
        tcgetattr(&terminal.ours).expect("a terminal").local_flags == asking.local_flags
    });
    terminal.press("verysecret\n");
    let (ended, shown) = terminal.end();
    assert!(ended.success() && shown.contains("answers, version"), "{shown}");
    assert!(!shown.contains("verysecret"), "{shown}");
}

#[test]
fn a_password_is_asked_for_while_a_file_is_the_value() {
    let (server, folder) = guarded();
    let (address, value) = (server.addresses[0].to_string(), folder.path().join("value"));
    fs::write(&value, "from a file").unwrap();
    let script = "exec \"$0\" set \"$1\" k --user foo < \"$2\"";
    let program = env!("CARGO_BIN_EXE_larder");
    let mut terminal = Terminal::of(&["sh", "-c", script, program, &address, value.to_str().unwrap()]);
    terminal.wait_for("Password of foo: ");
    wait_until("nothing is shown that is typed", || !terminal.is_as_usual());
    terminal.press("verysecret\n");
    let (ended, shown) = terminal.end();
    assert!(ended.success(), "{shown}");
    let mut client = server.client();
    client.expect("set login 0 0 14\r\nfoo verysecret\r\n", "STORED\r\n");
    client.expect("get k\r\n", "VALUE k 0 11\r\nfrom a file\r\nEND\r\n");
}

#[test]
fn top_stops_and_goes_on_with_the_terminal_as_it_was_between() {
    let server = Server::start();
    let mut terminal = Terminal::start(&["top", &server.addresses[0].to_string()]);
    for ctrl_z in [true, false] {
        terminal.wait_for("\x1b[?1049h");
        terminal.wait_for("Requests");
        match ctrl_z {
            true => terminal.press("\x1a"),
            false => signal(terminal.child.id(), "TSTP"),
        }
        terminal.wait_for("\x1b[?1049l");
        terminal.wait_for("\x1b[?25h");
        wait_until("it stops", || terminal.is_stopped());
        assert!(terminal.is_as_usual());
        signal(terminal.child.id(), "CONT");
    }
    terminal.wait_for("\x1b[?1049h");
    terminal.wait_for("Requests");
    terminal.press("q");
    let (ended, shown) = terminal.end();
    assert!(ended.success() && shown.contains("\x1b[?1049l"), "{shown:?}");
}

#[test]
fn top_gives_the_terminal_back_at_every_end() {
    let server = Server::start();
    for (key, name) in [("\x03", ""), ("\x1c", ""), ("", "QUIT"), ("", "TERM"), ("", "INT"), ("", "HUP")] {
        let mut terminal = Terminal::start(&["top", &server.addresses[0].to_string()]);
        terminal.wait_for("Requests");
        match name {
            "" => terminal.press(key),
            name => signal(terminal.child.id(), name),
        }
        terminal.wait_for("\x1b[?1049l");
        let (ended, shown) = terminal.end();
        assert!(ended.success(), "{key:?} {name}: {shown:?}");
    }
}

#[test]
fn the_question_before_a_flush_is_no_output() {
    let server = Server::start();
    let pty = openpty(None, None).expect("a terminal");
    File::from(pty.master.try_clone().unwrap()).write_all(b"no\n").unwrap();
    let output = larder(["flush", &server.addresses[0].to_string()]).stdin(pty.slave).output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    let (question, problem) =
        std::str::from_utf8(&output.stderr).unwrap().split_once("(yes or no) ").unwrap();
    assert!(question.starts_with("Delete all items of "), "{question}");
    let rest = std::process::Output { stderr: problem.as_bytes().to_vec(), ..output.clone() };
    refused(&rest, 1, "nothing was deleted");
}
