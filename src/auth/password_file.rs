//! memcached's file of users (`-Y`): a line `user:password` for each, in clear.

use subtle::{Choice, ConstantTimeEq};

use super::file;

/// Users that count; memcached does not look at further lines.
const USERS_MAX: usize = 8;
/// Bytes of a line without its end, at most.
const LINE_BYTES_MAX: usize = 255;
const WANTED: &str = "expected user:password";

/// A name or a password, padded: comparing two takes the same time whatever they are.
#[derive(Clone)]
struct Padded {
    bytes: [u8; LINE_BYTES_MAX],
    len: u32,
}

impl Padded {
    /// `None` for what is too long to be in a line.
    fn new(text: &[u8]) -> Option<Padded> {
        let mut bytes = [0; LINE_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Padded { bytes, len: text.len() as u32 })
    }
}

impl ConstantTimeEq for Padded {
    fn ct_eq(&self, other: &Padded) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.len.ct_eq(&other.len)
    }
}

/// Users and passwords. Has no `Debug`: what is in it is not to be seen.
#[derive(Clone)]
pub(super) struct PasswordFile {
    users: Vec<(Padded, Padded)>,
    /// Whether there were more lines than count.
    pub is_cut: bool,
}

impl PasswordFile {
    /// Reads the lines of such a file.
    ///
    /// # Errors
    /// The number of the line that is wrong, and what it should be.
    pub fn parse(bytes: &[u8]) -> Result<PasswordFile, (usize, &'static str)> {
        let mut users = Vec::with_capacity(USERS_MAX);
        let mut is_cut = false;
        for (number, line) in file::lines(bytes) {
            if users.len() == USERS_MAX {
                is_cut = true;
                break;
            }
            users.push(user(line).map_err(|problem| (number, problem))?);
        }
        Ok(PasswordFile { users, is_cut })
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether this user has this password. Takes the same time for all users and passwords.
    pub fn admits(&self, name: &[u8], password: &[u8]) -> bool {
        let (Some(name), Some(password)) = (Padded::new(name), Padded::new(password)) else { return false };
        let mut admits = Choice::from(0);
        for user in &self.users {
            admits |= user.0.ct_eq(&name) & user.1.ct_eq(&password);
        }
        admits.into()
    }
}

/// The name ends at the first colon; the password may hold more of them.
fn user(line: &[u8]) -> Result<(Padded, Padded), &'static str> {
    if line.ends_with(b"\r") {
        return Err("expected a line end without a carriage return");
    }
    let too_long = "expected at most 255 bytes in a line";
    if line.len() > LINE_BYTES_MAX {
        return Err(too_long);
    }
    let colon = memchr::memchr(b':', line).ok_or(WANTED)?;
    match (Padded::new(&line[..colon]), Padded::new(&line[colon + 1..])) {
        (Some(name), Some(password)) => Ok((name, password)),
        _ => Err(too_long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PasswordFile, (usize, &'static str)> {
        PasswordFile::parse(text.as_bytes())
    }

    #[test]
    fn a_line_is_a_user_and_a_password() {
        let file = parse("foo:bar\nbob:p:q\nnone:\nlast:nolf").unwrap_or_else(|_| panic!());
        for (name, password) in [("foo", "bar"), ("bob", "p:q"), ("none", ""), ("last", "nolf")] {
            assert!(file.admits(name.as_bytes(), password.as_bytes()), "{name}");
        }
        for (name, password) in [
            ("foo", "ba"),
            ("foo", "bar\0"),
            ("foo", "p:q"),
            ("fo", "bar"),
            ("bob:p", "q"),
            ("", ""),
            ("none", "x"),
        ] {
            assert!(!file.admits(name.as_bytes(), password.as_bytes()), "{name} {password}");
        }
        assert_eq!((file.len(), file.is_cut), (4, false));
    }

    #[test]
    fn a_user_may_be_there_twice() {
        let file = parse("a:b\na:c\n").unwrap_or_else(|_| panic!());
        assert!(file.admits(b"a", b"b") && file.admits(b"a", b"c"));
    }

    #[test]
    fn eight_lines_count() {
        let text: String = (0..9).map(|number| format!("u{number}:p\n")).collect();
        let file = parse(&text).unwrap_or_else(|_| panic!());
        assert!(file.admits(b"u7", b"p") && !file.admits(b"u8", b"p"));
        assert_eq!((file.len(), file.is_cut), (8, true));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let long = "p".repeat(254);
        let longest = "p".repeat(253);
        let file = parse(&format!("a:{longest}\n")).unwrap_or_else(|_| panic!());
        assert!(file.admits(b"a", longest.as_bytes()));
        for (text, line) in [
            ("\n", 1),
            ("a:b\n\nc:d\n", 2),
            ("a:b\nfoo\n", 2),
            ("a:b\r\n", 1),
            ("a:b\n# c\n", 2),
            (&format!("a:b\nc:d\na:{long}\n"), 3),
        ] {
            assert_eq!(parse(text).map(|_| ()).map_err(|(line, _)| line), Err(line), "{text}");
        }
        assert!(!file.admits(b"a", &[b'p'; 1000]));
    }
}
