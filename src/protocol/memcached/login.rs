//! What a client may say before it has logged in: memcached's way, a `set` whose value is `user password`.
//!
//! The line and the value never become a request: no watcher, counter of commands or log sees them.

use std::sync::Arc;

use crate::auth::{Admitted, Check, Held, Judged, Outcome, Rights};
use crate::base::clock::Seconds;

use super::conns::Address;
use super::daemon::Daemon;
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
    /// It is to wait until its password has been compared.
    Checked(Arc<Check>),
    /// It is to wait until it is judged, since others of its network were wrong.
    Held(Box<Held>),
}

impl Login {
    /// Whether nothing that the client sends matters before something else has happened.
    pub fn waits(&self) -> bool {
        matches!(self, Login::Checked(_) | Login::Held(_))
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
        let Some(guard) = &turn.daemon.guard else { return };
        let ip = turn.daemon.registry.get(turn.fd).and_then(|info| match &info.address {
            Address::Tcp(at) | Address::Udp(at) => Some(at.ip()),
            Address::Unix(_) | Address::Unknown => None,
        });
        let judged = guard.judge(name, password, ip, turn.now.seconds);
        self.note_judged(judged, name, turn);
    }

    /// Answers, or has the client wait.
    fn note_judged(&mut self, judged: Judged, name: &[u8], turn: &mut Turn) {
        self.expecting = Expecting::Login(match judged {
            Judged::Admitted(admitted) => return self.admit(admitted, name, turn),
            Judged::Later(check) => Login::Checked(check),
            Judged::Held(held) => Login::Held(held),
            Judged::Busy => {
                turn.output.push(reply::TOO_MANY_LOGINS);
                Login::Line
            }
            Judged::Refused => {
                self.tell_failure(name, turn);
                turn.output.push(reply::LOGIN_FAILED);
                Login::Line
            }
        });
    }

    fn admit(&mut self, admitted: Admitted, name: &[u8], turn: &mut Turn) {
        self.identify(admitted);
        if let Some(info) = turn.daemon.registry.get(turn.fd) {
            info.note_user(name);
        }
        // What comes behind the login in this turn is the user's already.
        self.limit(turn);
        turn.output.push(reply::STORED);
        self.expecting = Expecting::Command;
    }

    fn tell_failure(&self, name: &[u8], turn: &Turn) {
        turn.counters.auth_errors.add(1);
        let Some(guard) = &turn.daemon.guard else { return };
        let info = turn.daemon.registry.get(turn.fd);
        let peer = info.as_ref().map_or(&Address::Unknown, |info| &info.address);
        guard.tell_failure(peer, name, turn.now.seconds);
    }

    /// Goes on if what was waited for has happened; whether it has.
    pub(super) fn end_of_wait(&mut self, turn: &mut Turn) -> bool {
        if !self.may_go_on(turn.now.seconds) {
            return false;
        }
        let Some(guard) = &turn.daemon.guard else { return true };
        match std::mem::replace(&mut self.expecting, Expecting::Login(Login::Line)) {
            Expecting::Login(Login::Held(held)) => {
                let name: Box<[u8]> = held.name().into();
                let judged = guard.judge_held(*held, turn.now.seconds);
                self.note_judged(judged, &name, turn);
            }
            Expecting::Login(Login::Checked(check)) => {
                let judged = match check.outcome() {
                    Some(Outcome::Right) => check.admitted(guard).map_or(Judged::Refused, Judged::Admitted),
                    Some(Outcome::Wrong) => Judged::Refused,
                    Some(Outcome::NotYet) => guard.hold_back(&check, turn.now.seconds),
                    Some(Outcome::GivenUp) | None => Judged::Busy,
                };
                self.note_judged(judged, check.name(), turn);
            }
            other => self.expecting = other,
        }
        !self.waits()
    }

    fn waits(&self) -> bool {
        matches!(&self.expecting, Expecting::Login(login) if login.waits())
    }

    /// Whether a wait may be over: then a turn is worth while.
    pub fn may_go_on(&self, now: Seconds) -> bool {
        match &self.expecting {
            Expecting::Login(Login::Checked(check)) => check.outcome().is_some(),
            Expecting::Login(Login::Held(held)) => held.until() <= now,
            _ => true,
        }
    }

    /// Whether it waits to be judged, as a login of a network of which others were wrong. Nothing is lost if its client
    /// leaves.
    pub fn is_held(&self) -> bool {
        matches!(self.expecting, Expecting::Login(Login::Held(_)))
    }

    /// Bytes that a login takes which waits to be judged.
    pub fn login_bytes(&self) -> usize {
        match &self.expecting {
            Expecting::Login(Login::Checked(check)) => check.bytes(),
            Expecting::Login(Login::Held(held)) => held.bytes(),
            _ => 0,
        }
    }

    /// Whether the client is still to log in.
    #[inline]
    pub fn is_outside(&self, daemon: &Daemon) -> bool {
        daemon.guard.is_some() && !self.is_identified
    }

    /// Whether a login has begun, and not come to its end.
    #[inline]
    pub fn is_in_login(&self) -> bool {
        matches!(self.expecting, Expecting::Login(_))
    }

    /// From here on the client is this user, by a login or by what its carrier knows of it, such as a certificate.
    pub fn identify(&mut self, admitted: Admitted) {
        (self.user, self.generation) = (admitted.user, admitted.generation);
        self.is_identified = true;
    }

    /// Begins a turn of a client that is a user: lets the turn know what is kept from it. Whether it is one still.
    pub(super) fn begin_as_user(&mut self, turn: &mut Turn) -> bool {
        let is_user = self.renew(turn.daemon);
        self.limit(turn);
        is_user
    }

    /// Brings the user to what the file says by now, if that was read since; whether the client is still a user.
    fn renew(&mut self, daemon: &Daemon) -> bool {
        let (Some(guard), Some(user)) = (&daemon.guard, &self.user) else { return true };
        if guard.generation() == self.generation {
            return true;
        }
        let Some(admitted) = guard.renew(user) else { return false };
        // What goes on and on is not judged again.
        let goes_on = matches!(self.expecting, Expecting::Job(_) | Expecting::Watch(_));
        let may_go_on = admitted.user.as_ref().is_none_or(|user| user.has(Rights::ADMIN));
        self.identify(admitted);
        may_go_on || !goes_on
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
                session.identify(user);
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
