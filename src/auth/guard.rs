//! The guard: knows the users of a file, judges logins, and reads the file again when it is told to.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use zeroize::Zeroizing;

use super::delays::Delays;
use super::error::AuthError;
use super::file;
use super::hashing::Hash;
use super::password_file::PasswordFile;
use super::users::{Proof, User, Users};
use crate::base::clock::Seconds;
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
    Users(Users),
}

impl Known {
    fn len(&self) -> usize {
        match self {
            Known::Passwords(file) => file.len(),
            Known::Users(users) => users.len(),
        }
    }
}

/// Who a client turned out to be. `None` is a user who may do everything and has no name.
pub type Admitted = Option<Arc<User>>;

/// Where the outcome of a [`Check`] will be.
pub type Verdict = Arc<OnceLock<bool>>;

/// What comes of a login.
#[derive(Debug)]
pub enum Judged {
    /// The client is in.
    Admitted(Admitted),
    /// It is not.
    Refused,
    /// That takes time: the check has been handed over. If it turns out well the client is this user.
    Later(Verdict, Arc<User>),
    /// It would take time, and too many wait already.
    Busy,
}

/// A password to be compared with a costly hash: apart from the threads that serve clients.
pub struct Check {
    user: Arc<User>,
    password: Zeroizing<Vec<u8>>,
    verdict: Verdict,
}

impl Check {
    /// Does it, and leaves the verdict where it is waited for.
    pub fn run(self) {
        let is_right = matches!(&self.user.proof, Proof::Password(hash) if hash.verify(&self.password));
        // There is one check for each verdict.
        let _ = self.verdict.set(is_right);
    }
}

/// Takes a check over if there is room for it; `false` if not.
pub type Checker = Box<dyn Fn(Check) -> bool + Send + Sync>;

/// Whoever has one lets nobody do anything before a login.
pub struct Guard {
    kind: Kind,
    path: PathBuf,
    known: RwLock<Arc<Known>>,
    checker: OnceLock<Checker>,
    /// In place of users that there are not: their logins take as long.
    nobody: OnceLock<Arc<User>>,
    delays: Mutex<Delays>,
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
            checker: OnceLock::new(),
            nobody: OnceLock::new(),
            delays: Mutex::default(),
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

    /// Reads the file again, for logins to come. The text says what was read; warnings follow.
    ///
    /// # Errors
    /// The same as at the start. The users stay as they were.
    pub fn reload(&self) -> Result<(String, Vec<String>), AuthError> {
        let (known, warnings) = read(self.kind, &self.path)?;
        let done = format!("{} {:?} is read again, users: {}", self.kind.option(), self.path, known.len());
        *self.known.write() = Arc::new(known);
        Ok((done, warnings))
    }

    /// Judges a login by name and password.
    pub fn judge(&self, name: &[u8], password: &[u8]) -> Judged {
        let known = self.known.read().clone();
        let users = match &*known {
            Known::Passwords(file) if file.admits(name, password) => return Judged::Admitted(None),
            Known::Passwords(_) => return Judged::Refused,
            Known::Users(users) => users,
        };
        let Some(user) = users.get(name).or_else(|| self.nobody()) else { return Judged::Refused };
        match &user.proof {
            Proof::Nothing => return Judged::Admitted(Some(user.clone())),
            Proof::Password(hash) if hash.is_known(password) => return Judged::Admitted(Some(user.clone())),
            Proof::Password(_) => {}
            Proof::Certificate => return Judged::Refused,
        }
        let verdict = Verdict::default();
        let password = Zeroizing::new(password.to_vec());
        let check = Check { user: user.clone(), password, verdict: verdict.clone() };
        match self.checker.get() {
            Some(checker) if checker(check) => Judged::Later(verdict, user.clone()),
            _ => Judged::Busy,
        }
    }

    /// The user whom a certificate with this name stands for.
    pub fn by_certificate(&self, name: &str) -> Option<Arc<User>> {
        match &**self.known.read() {
            Known::Users(users) => {
                users.get(name.as_bytes()).filter(|user| matches!(user.proof, Proof::Certificate)).cloned()
            }
            Known::Passwords(_) => None,
        }
    }

    /// A user with a password that nobody knows.
    fn nobody(&self) -> Option<&Arc<User>> {
        if self.nobody.get().is_none() {
            let hash = Hash::unknown().ok()?;
            let _ = self.nobody.set(Arc::new(User::nobody(hash)));
        }
        self.nobody.get()
    }

    /// Notes that a login failed, and tells the log now and then. Seconds until the client should be answered.
    pub fn note_failure(
        &self,
        peer: &dyn fmt::Display,
        address: Option<IpAddr>,
        name: &[u8],
        now: Seconds,
    ) -> u32 {
        let mut delays = self.delays.lock();
        let delay = delays.note(address, now);
        let untold = delays.tell(now);
        drop(delays);
        if let Some(untold) = untold {
            let name = name.get(..NAME_BYTES_SHOWN).unwrap_or(name).escape_ascii();
            log::warn!(
                event = "login_failed", peer:% = peer, user:% = name;
                "{peer} cannot log in as '{name}'{}",
                Untold("failures", untold)
            );
        }
        delay
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
            Known::Users(Users::parse(&bytes).map_err(|(line, problem)| fail(problem).at_line(line))?)
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

    fn guard(path: &Path) -> Result<(Guard, Vec<String>), AuthError> {
        Guard::open(Kind::Passwords, path)
    }

    impl Guard {
        fn admits(&self, name: &[u8], password: &[u8]) -> bool {
            matches!(self.judge(name, password), Judged::Admitted(_))
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

    #[test]
    fn a_password_is_checked_apart_until_it_is_known() {
        let guard = users();
        assert!(matches!(guard.judge(b"app", b"secret"), Judged::Busy));
        let (sender, checks) = crossbeam::channel::bounded(1);
        guard.check_by(Box::new(move |check| sender.try_send(check).is_ok()));
        for (name, password, is_right) in
            [("app", "wrong", false), ("nobody", "secret", false), ("app", "secret", true)]
        {
            let Judged::Later(verdict, _) = guard.judge(name.as_bytes(), password.as_bytes()) else {
                panic!("{name} {password}")
            };
            assert!(matches!(guard.judge(b"app", b"another"), Judged::Busy));
            assert_eq!(verdict.get(), None);
            checks.recv().unwrap().run();
            assert_eq!(verdict.get(), Some(&is_right), "{name} {password}");
        }
        assert!(guard.admits(b"app", b"secret"));
        assert!(matches!(guard.judge(b"app", b"wrong"), Judged::Later(..)));
    }

    #[test]
    fn a_certificate_stands_for_a_user_that_has_no_password() {
        let guard = users();
        assert_eq!(guard.by_certificate("web.lan").unwrap().name(), "web.lan");
        assert!(guard.by_certificate("app").is_none() && guard.by_certificate("guest").is_none());
        assert!(matches!(guard.judge(b"web.lan", b"x"), Judged::Refused));
        assert!(guard.admits(b"guest", b"whatever"));
    }
}
