//! The guard: knows the users of a file, judges logins, and reads the file again when it is told to.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use zeroize::Zeroizing;

use super::check::{Attempt, Check, Held};
use super::delays::{Delays, Place, Said};
use super::error::AuthError;
use super::file;
use super::hashing::Hash;
use super::password_file::PasswordFile;
use super::users::{Proof, User, Users};
use crate::base::clock::Seconds;
use crate::base::network::network;
use crate::base::rationed::Untold;

/// Which kind of file there is. The option that names it is told with each error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// memcached's, with passwords in clear: whoever is in may do everything.
    Passwords,
    /// larder's own, with hashes and rights.
    Users,
}

impl Kind {
    fn option(self) -> &'static str {
        match self {
            Kind::Passwords => "--auth-file",
            Kind::Users => "--users-file",
        }
    }
}

/// What a file holds.
enum Known {
    Passwords(PasswordFile),
    Users {
        users: Users,
        /// In place of users that there are not, or not for passwords: their logins take as long as most others.
        /// `None` where nobody has a hash.
        nobody: Option<Arc<User>>,
    },
}

impl Known {
    fn of(users: Users) -> Known {
        let hash = users.usual_costs().and_then(|costs| Hash::unknown(costs).ok());
        let nobody = hash.map(|hash| Arc::new(User::nobody(Arc::new(hash))));
        Known::Users { users, nobody }
    }

    fn len(&self) -> usize {
        match self {
            Known::Passwords(file) => file.len(),
            Known::Users { users, .. } => users.len(),
        }
    }
}

/// Who a client turned out to be.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    /// `None` is one who may do everything and has no name.
    pub user: Option<Arc<User>>,
    /// Which reading of the file says so, see [`Guard::generation`].
    pub generation: u32,
}

/// What comes of a login.
#[derive(Debug)]
pub enum Judged {
    /// The client is in.
    Admitted(Admitted),
    /// It is not.
    Refused,
    /// That takes time: the check has been handed over, and goes on as long as somebody has it.
    Later(Arc<Check>),
    /// Others of its network were wrong: it is to wait, then to be judged by [`Guard::judge_held`].
    Held(Box<Held>),
    /// It would have to wait, and too many wait already.
    Busy,
}

/// Takes a check over if there is room for it; `false` if not.
pub type Checker = Box<dyn Fn(&Arc<Check>) -> bool + Send + Sync>;

/// Whoever has one lets nobody do anything before a login.
pub struct Guard {
    kind: Kind,
    path: PathBuf,
    known: RwLock<Arc<Known>>,
    /// How often the file was read.
    generation: AtomicU32,
    checker: OnceLock<Checker>,
    delays: Arc<Mutex<Delays>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("kind", &self.kind).field("path", &self.path).finish_non_exhaustive()
    }
}

impl Guard {
    /// By the file at `path`. The texts are warnings.
    ///
    /// # Errors
    /// If the file cannot be read, or a line of it is wrong.
    pub fn open(kind: Kind, path: &Path) -> Result<(Guard, Vec<String>), AuthError> {
        // The daemon may change its directory before the file is read again.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (known, warnings) = read(kind, &path)?;
        let guard = Guard {
            kind,
            path,
            known: RwLock::new(Arc::new(known)),
            generation: AtomicU32::new(0),
            checker: OnceLock::new(),
            delays: Arc::default(),
        };
        Ok((guard, warnings))
    }

    /// Which kind of file it goes by.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Says who compares passwords with hashes. Without, nobody who has one gets in.
    pub fn check_by(&self, checker: Checker) {
        // There is one, set at the start.
        let _ = self.checker.set(checker);
    }

    /// Reads the file again, for logins to come and for those that are in. The text says what was read; warnings follow.
    ///
    /// # Errors
    /// The same as at the start. The users stay as they were.
    pub fn reload(&self) -> Result<(String, Vec<String>), AuthError> {
        let (mut known, warnings) = read(self.kind, &self.path)?;
        let done = format!("{} {:?} is read again, users: {}", self.kind.option(), self.path, known.len());
        if let (Known::Users { users, .. }, Known::Users { users: older, .. }) =
            (&mut known, &**self.known.read())
        {
            users.keep_known(older);
        }
        *self.known.write() = Arc::new(known);
        // Behind the users: whoever sees the number sees them, or newer ones.
        self.generation.fetch_add(1, Ordering::Release);
        Ok((done, warnings))
    }

    /// Which reading of the file counts: those who are in of an earlier one are to be renewed.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// What a user is by now: `None` if it is not there any more, or has another password.
    pub fn renew(&self, user: &User) -> Option<Admitted> {
        let generation = self.generation();
        match &**self.known.read() {
            Known::Users { users, .. } => {
                users.renewed(user).map(|user| Admitted { user: Some(user.clone()), generation })
            }
            Known::Passwords(_) => None,
        }
    }

    /// Judges a login by name and password of a client with this address, which comes now.
    pub fn judge(&self, name: &[u8], password: &[u8], address: Option<IpAddr>, now: Seconds) -> Judged {
        let network = address.map(network);
        let said = Said { name, password, generation: self.generation() };
        let mut delays = self.delays.lock();
        if delays.is_repeated(network, said, now) {
            return Judged::Refused;
        }
        let delay = delays.delay(network, now);
        drop(delays);
        let attempt = Attempt { network, name: name.into(), password: Zeroizing::new(password.to_vec()) };
        if delay == 0 { self.compare(attempt, false, now) } else { self.hold(attempt, delay, now) }
    }

    /// Judges one that has waited for it.
    pub fn judge_held(&self, held: Held, now: Seconds) -> Judged {
        self.compare(held.attempt, true, now)
    }

    /// What becomes of a login that was not compared, since others of its network were wrong meanwhile.
    pub fn hold_back(&self, check: &Check, now: Seconds) -> Judged {
        let Attempt { network, name, password } = &check.attempt;
        let delay = self.delays.lock().delay(*network, now);
        let attempt = Attempt { network: *network, name: name.clone(), password: password.clone() };
        self.hold(attempt, delay, now)
    }

    fn hold(&self, attempt: Attempt, delay: u32, now: Seconds) -> Judged {
        match Place::take(&self.delays, attempt.network) {
            Some(_place) => Judged::Held(Box::new(Held { attempt, until: now.after(delay), _place })),
            None => Judged::Busy,
        }
    }

    fn compare(&self, attempt: Attempt, was_held: bool, now: Seconds) -> Judged {
        let generation = self.generation();
        let admitted = |user| Judged::Admitted(Admitted { user, generation });
        let known = self.known.read().clone();
        let (name, password) = (&*attempt.name, &**attempt.password);
        let user = match &*known {
            Known::Passwords(file) if file.admits(name, password) => return admitted(None),
            Known::Passwords(_) => None,
            Known::Users { users, nobody } => match users.get(name).map(|user| (user, &user.proof)) {
                Some((user, Proof::Nothing)) => return admitted(Some(user.clone())),
                Some((user, Proof::Password(hash))) if hash.is_known(password) => {
                    return admitted(Some(user.clone()));
                }
                Some((user, Proof::Password(_))) => Some(user),
                Some((_, Proof::Certificate)) | None => nobody.as_ref(),
            },
        };
        let Some(user) = user.cloned() else {
            self.delays.lock().note(attempt.network, attempt.said(generation), now);
            return Judged::Refused;
        };
        let (delays, outcome) = (self.delays.clone(), OnceLock::new());
        let check = Arc::new(Check { attempt, user, at: now, generation, was_held, delays, outcome });
        match self.checker.get() {
            Some(checker) if checker(&check) => Judged::Later(check),
            _ => Judged::Busy,
        }
    }

    /// The user whom a certificate with this name stands for.
    pub fn by_certificate(&self, name: &str) -> Option<Admitted> {
        let generation = self.generation();
        match &**self.known.read() {
            Known::Users { users, .. } => {
                let user = users.get(name.as_bytes())?;
                let is_meant = matches!(user.proof, Proof::Certificate);
                is_meant.then(|| Admitted { user: Some(user.clone()), generation })
            }
            Known::Passwords(_) => None,
        }
    }

    /// Tells the log now and then of a login that failed.
    pub fn tell_failure(&self, peer: &dyn fmt::Display, name: &[u8], now: Seconds) {
        let untold = self.delays.lock().tell(now);
        if let Some(untold) = untold {
            let name = name.get(..NAME_BYTES_SHOWN).unwrap_or(name).escape_ascii();
            log::warn!(
                event = "login_failed", peer:% = peer, user:% = name;
                "{peer} cannot log in as '{name}'{}",
                Untold("failures", untold)
            );
        }
    }
}

impl Check {
    /// Who the client is, if the password was right: the user may be another by now, or none.
    pub fn admitted(&self, guard: &Guard) -> Option<Admitted> {
        guard.renew(&self.user)
    }
}

/// Bytes of a name that the log shows.
const NAME_BYTES_SHOWN: usize = 64;

fn read(kind: Kind, path: &Path) -> Result<(Known, Vec<String>), AuthError> {
    let option = kind.option();
    let fail = |problem: String| AuthError::new(option, path, problem);
    let (bytes, is_public) = file::read(path).map_err(|error| AuthError::unreadable(option, path, &error))?;
    let mut warnings = Vec::new();
    if is_public {
        warnings
            .push(format!("{option} {path:?} can be read by everybody on this machine, mode 600 is safer"));
    }
    let known = match kind {
        Kind::Passwords => {
            let file = PasswordFile::parse(&bytes)
                .map_err(|(line, problem)| fail(problem.to_owned()).at_line(line))?;
            if file.is_cut {
                let count = file.len();
                warnings
                    .push(format!("{option} {path:?}: only the first {count} lines count, as in memcached"));
            }
            Known::Passwords(file)
        }
        Kind::Users => {
            Known::of(Users::parse(&bytes).map_err(|(line, problem)| fail(problem).at_line(line))?)
        }
    };
    if known.len() == 0 {
        warnings.push(format!("{option} {path:?} is empty: nobody can log in"));
    }
    Ok((known, warnings))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::auth::check::Outcome;

    fn guard(path: &Path) -> Result<(Guard, Vec<String>), AuthError> {
        Guard::open(Kind::Passwords, path)
    }

    impl Guard {
        fn admits(&self, name: &[u8], password: &[u8]) -> bool {
            matches!(self.tried(name, password, 1), Judged::Admitted(_))
        }

        /// A login from an address that no other comes from.
        fn tried(&self, name: &[u8], password: &[u8], host: u32) -> Judged {
            self.judge(name, password, Some(IpAddr::V4(host.into())), Seconds(1))
        }
    }

    #[test]
    fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let error = guard(&path).unwrap_err();
        assert_eq!(error.exit_code(), 71);
        let wanted = format!("--auth-file {path:?}: cannot be read: No such file or directory (os error 2)");
        assert_eq!(error.to_string(), wanted);

        fs::write(&path, "a:old\n").unwrap();
        let (guard, _) = guard(&path).unwrap();
        assert!(guard.admits(b"a", b"old"));
        fs::write(&path, "a:new\n").unwrap();
        assert!(guard.admits(b"a", b"old"));
        let (done, _) = guard.reload().unwrap();
        assert_eq!(done, format!("--auth-file {path:?} is read again, users: 1"));
        assert!(!guard.admits(b"a", b"old") && guard.admits(b"a", b"new"));

        fs::write(&path, "b:secret\nsecret\n").unwrap();
        let error = guard.reload().unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert_eq!(error.to_string(), format!("--auth-file {path:?}, line 2: expected user:password"));
        assert!(guard.admits(b"a", b"new") && !guard.admits(b"b", b"secret"));
        assert!(!format!("{guard:?}").contains("new"));
    }

    #[test]
    fn what_is_unwise_about_a_file_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let warnings = |text: &str, mode| {
            fs::write(file.path(), text).unwrap();
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            guard(file.path()).unwrap().1
        };
        assert!(warnings("a:b\n", 0o640).is_empty());
        assert!(warnings("a:b\n", 0o644)[0].ends_with("mode 600 is safer"));
        assert!(warnings("", 0o600)[0].ends_with("nobody can log in"));
        let many: String = (0..9).map(|number| format!("u{number}:p\n")).collect();
        assert!(warnings(&many, 0o600)[0].contains("first 8 lines"));
    }

    /// A guard with a user of each kind; the password of `app` is `secret`.
    fn users() -> Guard {
        let hash = Hash::of(b"secret").unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("app {hash} read\nweb.lan certificate all\nguest nopass none\n"))
            .unwrap();
        Guard::open(Kind::Users, file.path()).unwrap().0
    }

    /// Has the checks of `guard` sent to where the test does them.
    fn checks_of(guard: &Guard) -> crossbeam::channel::Receiver<Arc<Check>> {
        let (sender, checks) = crossbeam::channel::bounded(1);
        guard.check_by(Box::new(move |check| sender.try_send(check.clone()).is_ok()));
        checks
    }

    #[test]
    fn a_password_is_checked_apart_until_it_is_known() {
        let guard = users();
        assert!(matches!(guard.tried(b"app", b"secret", 1), Judged::Busy));
        let checks = checks_of(&guard);
        for (name, password, outcome) in [
            ("app", "wrong", Outcome::Wrong),
            ("nobody", "secret", Outcome::Wrong),
            ("app", "secret", Outcome::Right),
        ] {
            let Judged::Later(check) = guard.tried(name.as_bytes(), password.as_bytes(), 1) else {
                panic!("{name} {password}")
            };
            assert!(matches!(guard.tried(b"app", b"another", 1), Judged::Busy));
            assert_eq!(check.outcome(), None);
            checks.recv().unwrap().run();
            assert_eq!(check.outcome(), Some(outcome), "{name} {password}");
            assert_eq!(check.admitted(&guard).is_some(), name == "app");
        }
        assert!(guard.admits(b"app", b"secret"));
        assert!(matches!(guard.tried(b"app", b"wrong", 2), Judged::Later(..)));
    }

    #[test]
    fn a_certificate_stands_for_a_user_that_has_no_password() {
        let guard = users();
        let user = guard.by_certificate("web.lan").unwrap().user.unwrap();
        assert_eq!(user.name(), "web.lan");
        assert!(guard.by_certificate("app").is_none() && guard.by_certificate("guest").is_none());
        assert!(guard.admits(b"guest", b"whatever"));
    }

    #[test]
    fn names_are_not_told_apart_by_how_they_are_refused() {
        let guard = users();
        let checks = checks_of(&guard);
        for (host, name) in ["app", "web.lan", "nobody"].into_iter().enumerate() {
            let judged = guard.tried(name.as_bytes(), b"wrong", host as u32);
            let Judged::Later(check) = judged else { panic!("{name}: {judged:?}") };
            let Proof::Password(hash) = &check.user.proof else { panic!("{name}") };
            assert_eq!(hash.costs(), (7168, 5, 1), "{name}");
            checks.recv().unwrap();
        }
    }

    #[test]
    fn a_network_that_guesses_waits_before_it_is_judged_right_or_wrong() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "app:secret\n").unwrap();
        let (guard, _) = guard(file.path()).unwrap();
        let (guesser, other) = (7, 8);
        for guess in ["a", "b", "c"] {
            assert!(matches!(guard.tried(b"app", guess.as_bytes(), guesser), Judged::Refused));
        }
        // What is repeated is no guess: it is answered at once and nothing follows from it.
        assert!(matches!(guard.tried(b"app", b"a", guesser), Judged::Refused));
        let mut held = Vec::new();
        for guess in ["d", "secret"] {
            let judged = guard.tried(b"app", guess.as_bytes(), guesser);
            let Judged::Held(one) = judged else { panic!("{judged:?}") };
            assert_eq!(one.until(), Seconds(2));
            held.push(*one);
        }
        assert!(matches!(guard.tried(b"app", b"secret", other), Judged::Admitted(_)));
        assert!(matches!(guard.judge_held(held.pop().unwrap(), Seconds(2)), Judged::Admitted(_)));
        assert!(matches!(guard.judge_held(held.pop().unwrap(), Seconds(2)), Judged::Refused));
        // Few wait at a time, and who leaves makes room.
        let mut held: Vec<_> = (0..8).map(|guess| guard.tried(b"app", &[guess], guesser)).collect();
        assert!(held.iter().all(|judged| matches!(judged, Judged::Held(_))));
        assert!(matches!(guard.tried(b"app", b"secret", guesser), Judged::Busy));
        held.pop();
        assert!(matches!(guard.tried(b"app", b"secret", guesser), Judged::Held(_)));
    }

    #[test]
    fn checks_that_came_in_a_crowd_wait_once_others_were_wrong() {
        let guard = users();
        let (sender, checks) = crossbeam::channel::unbounded();
        guard.check_by(Box::new(move |check: &Arc<Check>| sender.send(check.clone()).is_ok()));
        let crowd: Vec<_> = (0..4).map(|guess| guard.tried(b"app", &[b'a' + guess], 1)).collect();
        assert!(crowd.iter().all(|judged| matches!(judged, Judged::Later(_))));
        let outcomes = checks.try_iter().map(|check| {
            check.run();
            check.outcome()
        });
        let outcomes: Vec<_> = outcomes.collect();
        let wrong = Some(Outcome::Wrong);
        assert_eq!(outcomes, [wrong, wrong, wrong, Some(Outcome::NotYet)]);
        let Judged::Later(last) = &crowd[3] else { panic!() };
        let Judged::Held(held) = guard.hold_back(last, Seconds(1)) else { panic!() };
        let Judged::Later(again) = guard.judge_held(*held, Seconds(2)) else { panic!() };
        checks.recv().unwrap().run();
        assert_eq!(again.outcome(), wrong);
    }

    #[test]
    fn what_is_known_of_a_password_stays_while_its_hash_does() {
        let hash = Hash::of(b"secret").unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: String| fs::write(file.path(), text).unwrap();
        write(format!("app {hash} read\n"));
        let guard = Guard::open(Kind::Users, file.path()).unwrap().0;
        let checks = checks_of(&guard);
        let Judged::Later(check) = guard.tried(b"app", b"secret", 1) else { panic!() };
        checks.recv().unwrap().run();
        let generation = guard.generation();
        write(format!("app {hash} all\n"));
        guard.reload().unwrap();
        assert_ne!(guard.generation(), generation);
        let Judged::Admitted(now) = guard.tried(b"app", b"secret", 1) else { panic!() };
        assert!(!now.user.unwrap().is_limited() && now.generation == guard.generation());
        // A check that was on its way counts for the user as it is now.
        assert!(!check.admitted(&guard).unwrap().user.unwrap().is_limited());
        write(format!("app {} all\n", Hash::of(b"secret").unwrap()));
        guard.reload().unwrap();
        assert!(matches!(guard.tried(b"app", b"secret", 1), Judged::Later(_)));
        assert!(check.admitted(&guard).is_none());
    }
}
