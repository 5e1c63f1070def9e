//! What must hold of any file of users, for the fuzzer and the tests.

use super::file;
use super::password_file::PasswordFile;
use super::users::{Proof, Rights, Users};

/// A password that is in no file.
const WRONG_PASSWORD: &[u8] = b"\n";

/// Reads `content` as either kind of file of users: it is understood, or refused with the number of one of its lines
/// and in words that are ours, so that no secret is in them.
///
/// # Panics
/// If neither, or if somebody is let in who is not in the file.
pub fn check_users(content: &[u8]) {
    let lines = file::lines(content).count();
    match PasswordFile::parse(content) {
        Ok(file) => {
            assert!(file.len() <= lines);
            assert!(file.is_cut == (file.len() < lines));
            for (_, line) in file::lines(content).take(file.len()) {
                let colon = line.iter().position(|&byte| byte == b':').expect("a line that was understood");
                assert!(file.admits(&line[..colon], &line[colon + 1..]));
                assert!(!file.admits(&line[..colon], WRONG_PASSWORD));
            }
        }
        Err((number, _)) => assert!((1..=lines).contains(&number), "line {number} of {lines}"),
    }
    match Users::parse(content) {
        Ok(users) => check_lines(content, &users),
        Err((number, problem)) => {
            assert!((1..=lines).contains(&number), "line {number} of {lines}");
            assert!(problem.starts_with("expected "), "{problem:?}");
        }
    }
}

/// Each line that is no comment is a user as it says.
fn check_lines(content: &[u8], users: &Users) {
    let mut found = 0;
    for (_, line) in file::lines(content) {
        let line = std::str::from_utf8(line).expect("a line that was understood").trim();
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(proof), Some(rights)) = (words.next(), words.next(), words.next()) else {
            assert!(line.is_empty() || line.starts_with('#'), "{line:?}");
            continue;
        };
        if name.starts_with('#') {
            continue;
        }
        found += 1;
        let user = users.get(name.as_bytes()).expect("each line is a user");
        assert_eq!(user.name(), name);
        let is_named = |right| rights.split(',').any(|word| word == right || word == "all");
        for (right, bit) in [("read", Rights::READ), ("write", Rights::WRITE), ("admin", Rights::ADMIN)] {
            assert_eq!(user.has(bit), is_named(right), "{line:?}");
        }
        assert_eq!(matches!(user.proof, Proof::Nothing), proof == "nopass");
        let has_prefixes = words.next().is_some();
        assert!(has_prefixes != user.owns(b"") && user.is_limited() >= has_prefixes, "{line:?}");
    }
    assert_eq!(found, users.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_made_holds() {
        let words = ["app", "read", "prefix=a%20b"].map(str::to_owned);
        check_users(crate::auth::line(&words, b"secret").unwrap().as_bytes());
    }
}
