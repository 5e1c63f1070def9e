//! Reading a file of users, and what is worth a word about it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of the largest file, so that a wrong path cannot fill the memory.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The bit of a file's mode that lets everybody read it.
const READABLE_BY_OTHERS: u32 = 0o004;

/// What a file holds, and whether everybody on this machine may read it.
///
/// # Errors
/// If it cannot be read or is too large.
pub(super) fn read(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let file = File::open(path)?;
    let is_public = file.metadata()?.mode() & READABLE_BY_OTHERS != 0;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("too large, expected at most {FILE_BYTES_MAX} bytes")));
    }
    Ok((bytes, is_public))
}

/// The lines without their ends, each with its number from 1. The last may lack its end.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let is_empty = bytes.is_empty();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.split(|&byte| byte == b'\n').filter(move |_| !is_empty).enumerate().map(|(at, line)| (at + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_numbers_and_the_last_may_lack_its_end() {
        let read = |text: &'static str| lines(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(read(""), []);
        assert_eq!(read("\n"), [(1, &b""[..])]);
        for text in ["a\nb", "a\nb\n"] {
            assert_eq!(read(text), [(1, &b"a"[..]), (2, b"b")]);
        }
        assert_eq!(read("a\n\nb"), [(1, &b"a"[..]), (2, b""), (3, b"b")]);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(FILE_BYTES_MAX).unwrap();
        assert_eq!(read(file.path()).unwrap().0.len() as u64, FILE_BYTES_MAX);
        file.as_file().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(read(file.path()).is_err());
    }
}
