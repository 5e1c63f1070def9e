//! Keys as lines of text can carry them. (For base64 see `meta::base64`.)

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_encode};

/// All but letters, digits and `-._~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A key as memcached's dumps and watchers write it: what may mean something in a line becomes `%XX`. Gives its
/// text in pieces.
pub(super) fn uri(key: &[u8]) -> PercentEncode<'_> {
    percent_encode(key, RESERVED)
}

/// Text that is shown as it is, but for line ends and such, which become `?`; blanks become `_`.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        ' ' => '_',
        c if c.is_control() => '?',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_keep_only_what_is_harmless() {
        for (key, expected) in [
            (&b"aZ09-._~"[..], "aZ09-._~"),
            (b"a,b%c", "a%2Cb%25c"),
            (b"\x00\x01\x02key\xff", "%00%01%02key%FF"),
        ] {
            assert_eq!(uri(key).to_string(), expected);
        }
    }
}
