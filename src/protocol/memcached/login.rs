//! What a client may say before it has logged in: memcached's way, a `set` whose value is `user password`.
//!
//! The line and the value never become a request: no watcher, counter of commands or log sees them.

use std::sync::Arc;

use crate::auth::{Admitted, Judged, User, Verdict};
use crate::base::clock::Seconds;

use super::conns::Address;
use super::number;
use super::parse::next_token;
use super::reply;
use super::session::{Expecting, LINE_BYTES_MAX, Next, Session, Step, Turn};

/// Bytes of user and password together, at most, as in memcached.
const TOKEN_BYTES_MAX: u32 = 16 << 10;
/// A shorter line, its end included, is not worth an answer.
const LINE_BYTES_MIN: usize = 6;
/// Where the line tells the length of what follows.
const LENGTH_AT: usize = 4;

/// How far a client has come.
#[derive(Debug)]
pub(super) enum Login {
    /// It is to send a line that announces user and password.
    Line,
    /// It is to send them, in so many bytes, and a line end.
    Token(usize),
    /// It is to wait until the password has been compared that it gave for this name.
    Verdict(Verdict, Arc<User>, Box<[u8]>),
    /// It failed, and is to wait until then before it is told.
    Delay(Seconds),
}

impl Login {
    /// Whether nothing that the client sends matters before something else has happened.
    pub fn waits(&self) -> bool {
        matches!(self, Login::Verdict(..) | Login::Delay(_))
    }
}

impl Session {
    /// The next step of a client that has not logged in yet.
    pub(super) fn login(&mut self, input: &[u8], turn: &mut Turn) -> Step {
        match self.expecting {
            Expecting::Login(Login::Token(bytes)) => self.login_token(bytes, input, turn),
            _ if self.waits() => Step::Stop(0, Next::Wait),
            _ => self.login_line(input, turn),
        }
    }

    fn login_line(&mut self, input: &[u8], turn: &mut Turn) -> Step {
        if turn.commands_left == 0 {
            return Step::Stop(0, Next::Yield);
        }
        let Some(end) = memchr::memchr(b'\n', input) else {
            let is_hopeless = input.len() > LINE_BYTES_MAX;
            return if is_hopeless {
                Step::Stop(input.len(), Next::Refuse)
            } else {
                Step::Stop(0, Next::NeedInput)
            };
        };
        turn.commands_left -= 1;
        let line_end = end + 1;
        if line_end < LINE_BYTES_MIN {
            return Step::Stop(input.len(), Next::Refuse);
        }
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        match token_bytes(line) {
            None => turn.output.push(reply::UNAUTHENTICATED),
            Some(bytes) if bytes > TOKEN_BYTES_MAX => turn.output.push(reply::TOKEN_TOO_LONG),
            Some(bytes) => self.expecting = Expecting::Login(Login::Token(bytes as usize)),
        }
        Step::Taken(line_end)
    }

    fn login_token(&mut self, bytes: usize, input: &[u8], turn: &mut Turn) -> Step {
        let Some(end) = input.get(bytes..bytes + reply::LINE_END.len()) else {
            return Step::Stop(0, Next::NeedInput);
        };
        self.expecting = Expecting::Login(Login::Line);
        let token = &input[..bytes];
        if end != reply::LINE_END {
            turn.output.push(reply::BAD_TOKEN_END);
        } else {
            match user_and_password(token) {
                Some((user, password)) => self.judge(user, password, turn),
                None => turn.output.push(reply::BAD_TOKEN_FORMAT),
            }
        }
        Step::Taken(bytes + reply::LINE_END.len())
    }

    fn judge(&mut self, name: &[u8], password: &[u8], turn: &mut Turn) {
        turn.counters.auth_cmds.add(1);
        match turn.daemon.guard.as_ref().map(|guard| guard.judge(name, password)) {
            Some(Judged::Admitted(user)) => self.admit(user, turn),
            Some(Judged::Later(verdict, user)) => {
                self.expecting = Expecting::Login(Login::Verdict(verdict, user, name.into()));
            }
            Some(Judged::Busy) => turn.output.push(reply::TOO_MANY_LOGINS),
            Some(Judged::Refused) | None => self.fail(name, turn),
        }
    }

    fn admit(&mut self, user: Admitted, turn: &mut Turn) {
        self.identify(user);
        // What comes behind the login in this turn is the user's already.
        self.limit(turn);
        turn.output.push(reply::STORED);
        self.expecting = Expecting::Command;
    }

    /// Answers a login that failed, or makes the client wait for that.
    fn fail(&mut self, name: &[u8], turn: &mut Turn) {
        turn.counters.auth_errors.add(1);
        let Some(guard) = &turn.daemon.guard else { return };
        let info = turn.daemon.registry.get(turn.fd);
        let peer = info.as_ref().map_or(&Address::Unknown, |info| &info.address);
        let ip = match peer {
            Address::Tcp(at) | Address::Udp(at) => Some(at.ip()),
            Address::Unix(_) | Address::Unknown => None,
        };
        match guard.note_failure(peer, ip, name, turn.now.seconds) {
            0 => {
                turn.output.push(reply::LOGIN_FAILED);
                self.expecting = Expecting::Login(Login::Line);
            }
            delay => self.expecting = Expecting::Login(Login::Delay(turn.now.seconds.after(delay))),
        }
    }

    /// Goes on if what was waited for has happened; whether it has.
    pub(super) fn end_of_wait(&mut self, turn: &mut Turn) -> bool {
        let Expecting::Login(login) = &self.expecting else { return true };
        match login {
            Login::Verdict(verdict, user, name) => {
                match verdict.get() {
                    None => return false,
                    Some(true) => self.admit(Some(user.clone()), turn),
                    Some(false) => {
                        let name = name.clone();
                        self.fail(&name, turn);
                    }
                }
                !self.waits()
            }
            Login::Delay(until) if turn.now.seconds < *until => false,
            Login::Delay(_) => {
                turn.output.push(reply::LOGIN_FAILED);
                self.expecting = Expecting::Login(Login::Line);
                true
            }
            Login::Line | Login::Token(_) => true,
        }
    }

    fn waits(&self) -> bool {
        matches!(&self.expecting, Expecting::Login(login) if login.waits())
    }

    /// Whether a wait may be over: then a turn is worth while.
    pub fn may_go_on(&self, now: Seconds) -> bool {
        match &self.expecting {
            Expecting::Login(Login::Verdict(verdict, ..)) => verdict.get().is_some(),
            Expecting::Login(Login::Delay(until)) => *until <= now,
            _ => true,
        }
    }

    /// From here on the client is this user, by a login or by what its carrier knows of it, such as a certificate.
    pub fn identify(&mut self, user: Admitted) {
        self.user = user;
        self.is_identified = true;
    }
}

/// The length in `set <key> <flags> <exptime> <bytes>`; nothing else of it matters.
fn token_bytes(line: &[u8]) -> Option<u32> {
    let (command, mut rest) = next_token(line)?;
    if !command.starts_with(b"set") {
        return None;
    }
    for _ in 1..LENGTH_AT {
        (_, rest) = next_token(rest)?;
    }
    let (length, _) = next_token(rest)?;
    number::strict_u32(length)
}

/// The first two words. Further ones do not matter to memcached either.
fn user_and_password(token: &[u8]) -> Option<(&[u8], &[u8])> {
    let (user, rest) = next_token(token)?;
    let (password, _) = next_token(rest)?;
    Some((user, password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Guard, Kind};
    use crate::base::clock::Clock;
    use crate::config::Settings;
    use crate::protocol::memcached::{Daemon, Hooks, Tag};
    use crate::protocol::output::Output;
    use crate::store::{Store, StoreOptions};

    #[test]
    fn a_line_announces_so_many_bytes() {
        for (line, bytes) in [
            ("set x 0 0 7", Some(7)),
            ("set  x a b 7 noreply junk ", Some(7)),
            ("setx x 0 0 7", Some(7)),
            ("set x 0 0 4294967295", Some(u32::MAX)),
            ("set x 0 0", None),
            ("set x 0 0 -1", None),
            ("set x 0 0 7x", None),
            ("add x 0 0 7", None),
            ("ms x 7", None),
            ("", None),
        ] {
            assert_eq!(token_bytes(line.as_bytes()), bytes, "{line:?}");
        }
    }

    #[test]
    fn whoever_is_known_by_a_certificate_need_not_log_in() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "web.lan certificate read prefix=w:\n").unwrap();
        let store = Store::new(&StoreOptions { workers: 1, ..StoreOptions::default() });
        let settings = Settings { threads: 1, ..Settings::default() };
        let mut daemon = Daemon::new(settings, store, Clock::start(), Hooks::default());
        daemon.guard = Some(Guard::open(Kind::Users, file.path()).unwrap().0);
        let check = |name: &str, expected: &str| {
            let mut session = Session::new();
            if let Some(user) = daemon.guard.as_ref().and_then(|guard| guard.by_certificate(name)) {
                session.identify(Some(user));
            }
            let mut output = Output::default();
            let mut turn =
                Turn::new(&daemon, daemon.counters(0, Tag::default()), daemon.clock.now(), 9, 7, &mut output);
            session.serve(b"get w:1\r\nget x\r\nset w:1 0 0 1\r\n1\r\n", &mut turn);
            let mut bytes = vec![0; output.pending()];
            output.take(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{name}");
        };
        check("web.lan", "END\r\nCLIENT_ERROR not permitted\r\nCLIENT_ERROR not permitted\r\n");
        // Without a login the set is one, and its value no user and password.
        let refused = "CLIENT_ERROR unauthenticated\r\n".repeat(2);
        check("other", &(refused + "CLIENT_ERROR bad authentication token format\r\n"));
    }

    #[test]
    fn a_token_is_two_words() {
        assert_eq!(user_and_password(b" u  p x "), Some((&b"u"[..], &b"p"[..])));
        for token in ["", " ", "u", "u ", "u\tp"] {
            assert_eq!(user_and_password(token.as_bytes()), None, "{token:?}");
        }
    }
}
