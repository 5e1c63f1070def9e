//! larder's own file of users: a line for each with name, proof, rights and, if it is limited so, prefixes of keys.
//!
//! ```text
//! # name   proof                 rights      prefixes
//! app      $argon2id$v=19$...    read,write  prefix=app: prefix=session:
//! ops      $argon2id$v=19$...    all
//! web.lan  certificate           read
//! guest    nopass                read        prefix=public:
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::file;
use super::hashing::{Costs, Hash};

/// Bytes of a line, at most.
const LINE_BYTES_MAX: usize = 4096;
/// Bytes of a name, at most.
const NAME_BYTES_MAX: usize = 250;

/// What a user may do, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// Nothing that needs a right.
    pub const NONE: Rights = Rights(0);
    /// Commands that show items.
    pub const READ: Rights = Rights(1);
    /// Commands that change them.
    pub const WRITE: Rights = Rights(2);
    /// Commands about the daemon, about all items, or about other clients.
    pub const ADMIN: Rights = Rights(4);
    /// All of them.
    pub const ALL: Rights = Rights(7);

    /// These and those.
    pub const fn and(self, others: Rights) -> Rights {
        Rights(self.0 | others.0)
    }

    /// Whether all of `wanted` are among them.
    pub const fn have(self, wanted: Rights) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    fn parse(text: &str) -> Result<Rights, &'static str> {
        let mut rights = Rights::NONE;
        for name in text.split(',') {
            rights = rights.and(match name {
                "read" => Rights::READ,
                "write" => Rights::WRITE,
                "admin" => Rights::ADMIN,
                "all" => Rights::ALL,
                "none" => Rights::NONE,
                _ => return Err("expected rights: read, write, admin, separated by commas, or all, or none"),
            });
        }
        Ok(rights)
    }
}

/// How a user proves to be the one.
pub(super) enum Proof {
    Password(Arc<Hash>),
    /// By the name in a client's certificate, never by a password.
    Certificate,
    /// Not at all: any password will do.
    Nothing,
}

impl Proof {
    /// Whether the file says the same of both.
    fn is_same(&self, other: &Proof) -> bool {
        match (self, other) {
            (Proof::Password(one), Proof::Password(other)) => one.is_same(other),
            (Proof::Certificate, Proof::Certificate) | (Proof::Nothing, Proof::Nothing) => true,
            _ => false,
        }
    }
}

/// One user.
pub struct User {
    name: String,
    pub(super) proof: Proof,
    rights: Rights,
    /// Keys must begin with one of them; empty for all keys.
    prefixes: Vec<Vec<u8>>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl User {
    /// One that stands for all that there are not.
    pub(super) fn nobody(hash: Arc<Hash>) -> User {
        let (name, prefixes) = (String::new(), Vec::new());
        User { name, proof: Proof::Password(hash), rights: Rights::NONE, prefixes }
    }

    /// As the file has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether anything is kept from this user.
    pub fn is_limited(&self) -> bool {
        self.rights != Rights::ALL || !self.prefixes.is_empty()
    }

    /// Whether the user has these rights.
    pub fn has(&self, rights: Rights) -> bool {
        self.rights.have(rights)
    }

    /// Whether this is one of the user's keys.
    pub fn owns(&self, key: &[u8]) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Whether the user may do what needs these rights with this key.
    pub fn may(&self, rights: Rights, key: &[u8]) -> bool {
        self.has(rights) && self.owns(key)
    }
}

/// The users of a file.
#[derive(Default)]
pub(super) struct Users(HashMap<String, Arc<User>>);

impl Users {
    /// Reads the lines of such a file.
    ///
    /// # Errors
    /// The number of the line that is wrong, and what it should be.
    pub fn parse(bytes: &[u8]) -> Result<Users, (usize, String)> {
        let mut users = HashMap::new();
        for (number, line) in file::lines(bytes) {
            let fail = |problem: &str| (number, problem.to_owned());
            if line.len() > LINE_BYTES_MAX {
                return Err(fail("expected at most 4096 bytes in a line"));
            }
            let line = std::str::from_utf8(line).map_err(|_| fail("expected text in UTF-8"))?.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let user = user(line).map_err(fail)?;
            if users.contains_key(&user.name) {
                return Err(fail("expected each user once, this one was there before"));
            }
            users.insert(user.name.clone(), Arc::new(user));
        }
        Ok(Users(users))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Lets those whose hash is the same as in an older file keep what is known of their passwords.
    pub fn keep_known(&mut self, older: &Users) {
        for (name, user) in &mut self.0 {
            let before = older.0.get(name).map(|user| &user.proof);
            if let (Some(user), Some(Proof::Password(before))) = (Arc::get_mut(user), before)
                && let Proof::Password(hash) = &mut user.proof
                && hash.is_same(before)
            {
                *hash = before.clone();
            }
        }
    }

    /// What an earlier user has become: `None` if it is not there any more, or proves to be the one in another way.
    pub fn renewed(&self, user: &User) -> Option<&Arc<User>> {
        self.0.get(&user.name).filter(|now| now.proof.is_same(&user.proof))
    }

    /// The costs that most hashes have; `None` if there are no hashes.
    pub fn usual_costs(&self) -> Option<Costs> {
        let mut counts = BTreeMap::<Costs, usize>::new();
        for user in self.0.values() {
            if let Proof::Password(hash) = &user.proof {
                *counts.entry(hash.costs()).or_default() += 1;
            }
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(costs, _)| costs)
    }

    /// The user with this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.0.get(std::str::from_utf8(name).ok()?)
    }
}

fn user(line: &str) -> Result<User, &'static str> {
    let mut words = line.split_ascii_whitespace();
    let (Some(name), Some(proof), Some(rights)) = (words.next(), words.next(), words.next()) else {
        return Err("expected a name, a hash, rights and perhaps prefixes");
    };
    if name.len() > NAME_BYTES_MAX {
        return Err("expected a name of at most 250 bytes");
    }
    let proof = match proof {
        "certificate" => Proof::Certificate,
        "nopass" => Proof::Nothing,
        hash => Proof::Password(Arc::new(Hash::parse(hash)?)),
    };
    let rights = Rights::parse(rights)?;
    let mut prefixes = Vec::new();
    for word in words {
        let prefix: Vec<u8> = match word.strip_prefix("prefix=") {
            Some(prefix) => percent_decode_str(prefix).collect(),
            None => return Err("expected prefix=TEXT behind the rights"),
        };
        if prefix.is_empty() {
            return Err("expected a prefix, or none at all for all keys");
        }
        prefixes.push(prefix);
    }
    Ok(User { name: name.to_owned(), proof, rights, prefixes })
}

/// The line of a file of users for `name` and what else is in `words`: rights, read and write if there are none, and
/// prefixes.
///
/// # Errors
/// What would be right.
pub fn line(words: &[String], password: &[u8]) -> Result<String, String> {
    let (name, rest) = words.split_first().ok_or("expected the name of a user")?;
    if password.is_empty() || password.iter().any(|byte| *byte == b' ' || byte.is_ascii_control()) {
        return Err("expected a password without blanks and control characters".to_owned());
    }
    let (rights, prefixes) = match rest.split_first() {
        Some((rights, prefixes)) => (rights.as_str(), prefixes),
        None => ("read,write", rest),
    };
    let mut line = format!("{name} {} {rights}", Hash::of(password)?);
    for prefix in prefixes {
        line.push(' ');
        line.push_str(prefix);
    }
    match (name.starts_with('#'), Users::parse(line.as_bytes())) {
        (false, Ok(users)) if users.get(name.as_bytes()).is_some() => Ok(line),
        (_, Err((_, problem))) => Err(problem),
        _ => Err("expected a name without blanks that does not begin with #".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_may_do_what() {
        let text = "# comment\n\napp nopass read,write prefix=app: prefix=a%20b\n  ops certificate all\nno nopass none";
        let users = Users::parse(text.as_bytes()).unwrap_or_else(|(line, _)| panic!("{line}"));
        assert_eq!(users.len(), 3);
        let app = users.get(b"app").unwrap();
        assert!(app.is_limited() && app.has(Rights::READ.and(Rights::WRITE)) && !app.has(Rights::ADMIN));
        for (key, owns) in [("app:1", true), ("app:", true), ("app", false), ("a b", true), ("x", false)] {
            assert_eq!(app.owns(key.as_bytes()), owns, "{key}");
            assert_eq!(app.may(Rights::WRITE, key.as_bytes()), owns, "{key}");
        }
        let ops = users.get(b"ops").unwrap();
        assert!(!ops.is_limited() && ops.may(Rights::ALL, b"x"));
        let no = users.get(b"no").unwrap();
        assert!(no.is_limited() && no.has(Rights::NONE) && !no.has(Rights::READ));
        assert!(users.get(b"other").is_none());
    }

    fn hash_of(memory_kib: u32) -> String {
        format!(
            "$argon2id$v=19$m={memory_kib},t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        )
    }

    fn users(text: &str) -> Users {
        Users::parse(text.as_bytes()).unwrap_or_else(|(line, problem)| panic!("{line}: {problem}"))
    }

    #[test]
    fn the_usual_costs_are_those_of_most() {
        let (cheap, dear) = (hash_of(16), hash_of(32));
        assert_eq!(users("a nopass all\nb certificate all\n").usual_costs(), None);
        for (text, expected) in [
            (format!("a {cheap} all\nb {dear} all\nc {cheap} all\n"), (16, 1, 1)),
            (format!("a {cheap} all\nb {dear} all\nc {dear} all\n"), (32, 1, 1)),
        ] {
            assert_eq!(users(&text).usual_costs(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_user_is_the_same_with_other_rights_and_not_with_another_proof() {
        let older = users(&format!("a {} read\n", hash_of(16)));
        let user = older.get(b"a").unwrap();
        for (text, is_same) in [
            (format!("a {} all\n", hash_of(16)), true),
            (format!("a {} read\n", hash_of(32)), false),
            ("a nopass read\n".to_owned(), false),
            ("a certificate read\n".to_owned(), false),
            (format!("b {} read\n", hash_of(16)), false),
        ] {
            assert_eq!(users(&text).renewed(user).is_some(), is_same, "{text}");
        }
        let newer = users(&format!("a {} all\n", hash_of(16)));
        assert!(newer.renewed(user).unwrap().has(Rights::ALL));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, expected) in [
            ("a", 1, "a name, a hash, rights"),
            ("a nopass read\nb secret read", 2, "`larder passwd`"),
            ("a nopass read,rite", 1, "expected rights"),
            ("\na nopass read,", 2, "expected rights"),
            ("a nopass read app:", 1, "prefix=TEXT"),
            ("a nopass read prefix=", 1, "expected a prefix"),
            ("a nopass read\na nopass all", 2, "each user once"),
        ] {
            let Err((number, problem)) = Users::parse(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(number, line, "{text}");
            assert!(problem.contains(expected) && !problem.contains("secret"), "{text}: {problem}");
        }
    }

    #[test]
    fn a_line_that_is_made_can_be_read() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let made = line(&words("app"), b"secret").unwrap();
        assert!(made.starts_with("app $argon2id$") && made.ends_with(" read,write"), "{made}");
        let made = line(&words("app read prefix=a:"), b"secret").unwrap();
        let users = Users::parse(made.as_bytes()).unwrap_or_else(|_| panic!("{made}"));
        assert!(users.get(b"app").unwrap().may(Rights::READ, b"a:1"));
        for (given, password) in [
            ("app rea", "secret"),
            ("#app", "secret"),
            ("app read a:", "secret"),
            ("app", "a b"),
            ("app", ""),
        ] {
            assert!(line(&words(given), password.as_bytes()).is_err(), "{given}");
        }
    }
}
