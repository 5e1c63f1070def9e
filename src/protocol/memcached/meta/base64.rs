//! Keys as base64 text, by the rules of memcached's decoder: characters outside the alphabet are skipped,
//! padding is required, and what follows it is not looked at.

use crate::protocol::output::Output;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PAD: u8 = b'=';
/// In [`VALUES`]: not in the alphabet.
const SKIPPED: u8 = 0xff;

/// The six bits of each character; padding counts as zeros.
const VALUES: [u8; 256] = {
    let mut values = [SKIPPED; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values[PAD as usize] = 0;
    values
};

fn digits(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().copied().filter(|&byte| VALUES[usize::from(byte)] != SKIPPED)
}

/// How many bytes `text` stands for; `None` if it stands for none or is not base64.
pub fn decoded_bytes(text: &[u8]) -> Option<usize> {
    let count = digits(text).count();
    if count == 0 || !count.is_multiple_of(4) {
        return None;
    }
    match digits(text).position(|byte| byte == PAD) {
        None => Some(count / 4 * 3),
        Some(at) => {
            // The block with the first padding is the last one.
            let block = at / 4;
            let padding = digits(text).skip(block * 4).take(4).filter(|&byte| byte == PAD).count();
            (padding <= 2).then(|| block * 3 + 3 - padding)
        }
    }
}

/// Decodes `text`, which stands for [`decoded_bytes`] bytes, to the start of `place`, and returns that start.
///
/// # Panics
/// If `place` is shorter than that.
pub fn decode<'a>(text: &[u8], place: &'a mut [u8]) -> &'a [u8] {
    let bytes = decoded_bytes(text).unwrap_or(0);
    let place = &mut place[..bytes];
    let mut digits = digits(text).map(|byte| u32::from(VALUES[usize::from(byte)]));
    for group in place.chunks_mut(3) {
        let bits = (0..4).fold(0, |bits, _| bits << 6 | digits.next().unwrap_or(0));
        group.copy_from_slice(&bits.to_be_bytes()[1..][..group.len()]);
    }
    place
}

/// Appends `bytes` as base64.
pub fn push_encoded(output: &mut Output, bytes: &[u8]) {
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |shift: u32| ALPHABET[(bits >> shift) as usize & 63];
        let mut text = [digit(18), digit(12), digit(6), digit(0)];
        text[group.len() + 1..].fill(PAD);
        output.push(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut output = Output::default();
        push_encoded(&mut output, bytes);
        let mut text = Vec::new();
        output.write_to(&mut text, usize::MAX).unwrap();
        text
    }

    #[test]
    fn known_texts_read_and_write_the_same() {
        for (bytes, text) in
            [(&b"f"[..], "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"\0\x01\x02key\xff", "AAECa2V5/w==")]
        {
            assert_eq!(encoded(bytes), text.as_bytes());
            assert_eq!(decode(text.as_bytes(), &mut [0; 32]), bytes);
            assert_eq!(decoded_bytes(text.as_bytes()), Some(bytes.len()));
        }
    }

    #[test]
    fn what_is_no_base64_is_refused_and_strange_characters_are_skipped() {
        for text in ["", "a", "ab!d", "YWI", "====", "Y===", "!!!!"] {
            assert_eq!(decoded_bytes(text.as_bytes()), None, "{text}");
        }
        assert_eq!(decode(b"Y\x01WJ.j", &mut [0; 8]), b"abc");
        assert_eq!(decode(b"YQ==YWJj", &mut [0; 8]), b"a");
    }

    proptest! {
        #[test]
        fn every_key_comes_back(bytes in prop::collection::vec(any::<u8>(), 1..187)) {
            let text = encoded(&bytes);
            let mut place = [0; 250];
            prop_assert_eq!(decode(&text, &mut place), &bytes);
        }

        #[test]
        fn any_text_can_be_tried(text in prop::collection::vec(any::<u8>(), 0..251)) {
            if let Some(bytes) = decoded_bytes(&text) {
                prop_assert!((1..=187).contains(&bytes));
                prop_assert_eq!(decode(&text, &mut [0; 250]).len(), bytes);
            }
        }
    }
}
