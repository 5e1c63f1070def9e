//! Keys as lines of text can carry them. (For base64 see `meta::base64`.)

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_encode, percent_encode_byte};

/// All but letters, digits and `-._~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A key as memcached's dumps and watchers write it: what may mean something in a line becomes `%XX`. Gives its
/// text in pieces.
pub(super) fn uri(key: &[u8]) -> PercentEncode<'_> {
    percent_encode(key, RESERVED)
}

/// A key for people and programs that take any text: what is no UTF-8, or cannot be seen, becomes `%XX`, and so does
/// `%`, so that no two keys look the same.
pub(super) fn readable(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        bytes.iter().for_each(|&byte| text.push_str(percent_encode_byte(byte)));
    };
    for chunk in key.utf8_chunks() {
        for character in chunk.valid().chars() {
            // What std shows as it is can be seen; quotes and backslashes can as well.
            let is_visible = matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1;
            if is_visible && character != '%' {
                text.push(character);
            } else {
                escape(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
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

    #[test]
    fn what_can_be_read_stays_readable() {
        for (key, expected) in [
            (&b"user:17/a b"[..], "user:17/a b"),
            ("gr\u{fc}n\u{1f600}".as_bytes(), "gr\u{fc}n\u{1f600}"),
            (b"<b>\"'\\&", "<b>\"'\\&"),
            (b"100%", "100%25"),
            (b"a\nb\x00\x7f", "a%0Ab%00%7F"),
            (b"\xff\xc3(", "%FF%C3("),
            // It would turn what follows around.
            ("a\u{202e}b".as_bytes(), "a%E2%80%AEb"),
        ] {
            assert_eq!(readable(key), expected);
        }
    }
}
