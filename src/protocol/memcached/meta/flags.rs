//! The flags of a meta command: one character each, some with an argument glued to it.
//!
//! They are read twice, without a list of them: once to know what the command wants, and once in order when
//! the reply is written. Every meta command accepts the flags of all, and ignores what has no meaning for it.

use super::base64;
use crate::protocol::memcached::number;
use crate::protocol::memcached::reply;
use crate::store::KEY_BYTES_MAX;

/// Most tokens of a meta command, its name and key included.
const TOKENS_MAX: usize = 20;
/// Longest opaque, without its `O`. memcached's documents say 32; its code counts the `O` as well.
const OPAQUE_BYTES_MAX: usize = 32;

/// What most gets ask for: the value, and nothing else.
const PLAIN: &[u8] = b" v";

/// What the flags of one command say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags<'a> {
    text: &'a [u8],
    /// b: the key is base64.
    pub is_base64: bool,
    /// q: success, or a miss of mg, is not worth an answer.
    pub is_quiet: bool,
    /// v
    pub wants_value: bool,
    /// c
    pub wants_cas: bool,
    /// u: the LRU is not to notice.
    pub is_unnoticed: bool,
    /// x: leave an empty value.
    pub empties: bool,
    /// I: the value is outdated.
    pub invalidates: bool,
    /// T
    pub exptime: Option<i32>,
    /// N: exptime of what is created on a miss.
    pub vivify: Option<i32>,
    /// R: time left below which a client is asked for a new value.
    pub recache: Option<i32>,
    /// F
    pub client_flags: u32,
    /// C
    pub compare: Option<u64>,
    /// E: CAS unique to be.
    pub cas: Option<u64>,
    /// M: the first letter of the mode; a blank if there is none.
    pub mode: Option<u8>,
    /// D
    pub delta: u64,
    /// J
    pub initial: u64,
}

impl<'a> Flags<'a> {
    /// Reads the flags in `text`, behind `tokens_before` tokens of which `key` is one.
    ///
    /// # Errors
    /// The line to answer with. Of several arguments that cannot be read the last one decides, as in
    /// memcached; a flag that is unknown or there twice ends the reading.
    pub fn parse(key: &[u8], text: &'a [u8], tokens_before: usize) -> Result<Flags<'a>, &'static [u8]> {
        if key.len() > KEY_BYTES_MAX {
            return Err(reply::BAD_FORMAT);
        }
        if text == PLAIN {
            return Ok(Flags { text, wants_value: true, ..Flags::NONE });
        }
        let mut flags = Flags { text, ..Flags::NONE };
        let mut error = None;
        let mut is_opaque_too_long = false;
        let mut seen = 0u128;
        for token in flags.tokens() {
            let bit = match token[0] {
                letter @ (b'0'..=b'9' | b'A'..=b'z') => 1 << letter,
                _ => return Err(flags.or_too_many(tokens_before, reply::BAD_FORMAT)),
            };
            if seen & bit != 0 {
                return Err(flags.or_too_many(tokens_before, reply::DUPLICATE_FLAG));
            }
            seen |= bit;
            is_opaque_too_long |= token[0] == b'O' && token.len() - 1 > OPAQUE_BYTES_MAX;
            match flags.note(key, token[0], &token[1..]) {
                Noted::Fine => {}
                Noted::Unreadable(line) => error = line.or(error).or(Some(reply::BAD_FORMAT)),
                Noted::Unknown => return Err(flags.or_too_many(tokens_before, reply::INVALID_FLAG)),
            }
        }
        if seen.count_ones() as usize + tokens_before > TOKENS_MAX {
            return Err(reply::TOO_MANY_FLAGS);
        }
        match error {
            Some(line) => Err(line),
            None if is_opaque_too_long => Err(reply::OPAQUE_TOO_LONG),
            None => Ok(flags),
        }
    }

    const NONE: Flags<'static> = Flags {
        text: b"",
        is_base64: false,
        is_quiet: false,
        wants_value: false,
        wants_cas: false,
        is_unnoticed: false,
        empties: false,
        invalidates: false,
        exptime: None,
        vivify: None,
        recache: None,
        client_flags: 0,
        compare: None,
        cas: None,
        mode: None,
        delta: 1,
        initial: 0,
    };

    /// Whether nothing but the value is asked for.
    pub fn is_plain(&self) -> bool {
        self.text == PLAIN
    }

    /// The flags in order, with their arguments. None is empty.
    pub fn tokens(&self) -> Tokens<'a> {
        Tokens(self.text)
    }

    /// `line`, unless there are more flags than memcached would even look at.
    fn or_too_many(&self, tokens_before: usize, line: &'static [u8]) -> &'static [u8] {
        if self.tokens().count() + tokens_before > TOKENS_MAX { reply::TOO_MANY_FLAGS } else { line }
    }

    fn note(&mut self, key: &[u8], letter: u8, argument: &[u8]) -> Noted {
        match letter {
            b'b' => {
                self.is_base64 = true;
                return Noted::readable(base64::decoded_bytes(key), reply::BAD_BASE64);
            }
            b'q' => self.is_quiet = true,
            b'v' => self.wants_value = true,
            b'c' => self.wants_cas = true,
            b'u' => self.is_unnoticed = true,
            b'x' => self.empties = true,
            b'I' => self.invalidates = true,
            b'M' => self.mode = Some(argument.first().copied().unwrap_or(b' ')),
            b'T' => return read(&mut self.exptime, number::strict_i32(argument)),
            b'N' => return read(&mut self.vivify, number::strict_i32(argument)),
            b'R' => return read(&mut self.recache, number::strict_i32(argument)),
            b'C' => return read(&mut self.compare, number::strict_u64(argument)),
            b'E' => return read(&mut self.cas, number::strict_u64(argument)),
            b'D' => match number::strict_u64(argument) {
                Some(delta) => self.delta = delta,
                None => return Noted::Unreadable(Some(reply::BAD_TOKEN)),
            },
            b'J' => match number::strict_u64(argument) {
                Some(initial) => self.initial = initial,
                None => return Noted::Unreadable(Some(reply::BAD_TOKEN)),
            },
            b'F' => match number::strict_u32(argument) {
                Some(client_flags) => self.client_flags = client_flags,
                None => return Noted::Unreadable(None),
            },
            b'k' | b'O' | b's' | b't' | b'f' | b'h' | b'l' | b'P' | b'L' => {}
            _ => return Noted::Unknown,
        }
        Noted::Fine
    }
}

/// What [`Flags::note`] made of one flag.
enum Noted {
    Fine,
    /// Its argument cannot be read; the line that says so, if the flag has one of its own.
    Unreadable(Option<&'static [u8]>),
    Unknown,
}

impl Noted {
    fn readable<T>(value: Option<T>, line: &'static [u8]) -> Noted {
        if value.is_some() { Noted::Fine } else { Noted::Unreadable(Some(line)) }
    }
}

fn read<T: Copy>(place: &mut Option<T>, value: Option<T>) -> Noted {
    *place = value;
    Noted::readable(value, reply::BAD_TOKEN)
}

/// The tokens of a text, one after another.
#[derive(Clone, Debug)]
pub struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&byte| byte != b' ')?;
        let text = &self.0[start..];
        // A flag has a few bytes: looking at each is quicker than setting up a search.
        let end = text.iter().position(|&byte| byte == b' ').unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        self.0 = rest;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Flags<'_>, &'static [u8]>) {
        assert_eq!(Flags::parse(b"YWJj", text.as_bytes(), 2), expected, "{text:?}");
    }

    #[test]
    fn each_flag_says_one_thing() {
        let with = |text: &'static str, change: fn(&mut Flags)| {
            let mut flags = Flags { text: text.as_bytes(), ..Flags::NONE };
            change(&mut flags);
            check(text, Ok(flags));
        };
        with("", |_| {});
        with("  k s t f h l Ox Pp Ll  ", |_| {});
        with("b", |flags| flags.is_base64 = true);
        with("qjunk", |flags| flags.is_quiet = true);
        with("v", |flags| flags.wants_value = true);
        with(" v", |flags| flags.wants_value = true);
        with("c", |flags| flags.wants_cas = true);
        with("u", |flags| flags.is_unnoticed = true);
        with("x", |flags| flags.empties = true);
        with("I", |flags| flags.invalidates = true);
        with("T-1", |flags| flags.exptime = Some(-1));
        with("N0", |flags| flags.vivify = Some(0));
        with("R30", |flags| flags.recache = Some(30));
        with("F4294967295", |flags| flags.client_flags = u32::MAX);
        with("C18446744073709551615", |flags| flags.compare = Some(u64::MAX));
        with("E0", |flags| flags.cas = Some(0));
        with("D7", |flags| flags.delta = 7);
        with("J7", |flags| flags.initial = 7);
        with("MAppend", |flags| flags.mode = Some(b'A'));
        with("M", |flags| flags.mode = Some(b' '));
    }

    #[test]
    fn what_cannot_be_read_has_its_line() {
        for text in ["T", "Tx", "T2147483648", "T+1", "N", "R1.5", "C", "C-1", "Ex", "C18446744073709551616"]
        {
            check(text, Err(reply::BAD_TOKEN));
        }
        for text in ["F", "F-1", "F4294967296", "Fx", "+", "{", "\u{e9}", ":", "@"] {
            check(text, Err(reply::BAD_FORMAT));
        }
        for text in ["m", "5", "noreply", "A", "[", "z"] {
            check(text, Err(reply::INVALID_FLAG));
        }
        check("t t", Err(reply::DUPLICATE_FLAG));
        check("T1 T2", Err(reply::DUPLICATE_FLAG));
        check("Fx Tx", Err(reply::BAD_TOKEN));
        check("Tx Fx", Err(reply::BAD_TOKEN));
        check("Tx m", Err(reply::INVALID_FLAG));
        assert_eq!(Flags::parse(b"abc", b"Tx b", 2), Err(reply::BAD_BASE64));
        assert_eq!(Flags::parse(b"abc", b"b Tx", 2), Err(reply::BAD_TOKEN));
    }

    #[test]
    fn tokens_opaques_and_keys_have_a_longest() {
        let all = "b c f h k l O1 q s t u v P L I x F1 M";
        assert!(Flags::parse(b"YWJj", all.as_bytes(), 2).is_ok());
        assert_eq!(Flags::parse(b"YWJj", all.as_bytes(), 3), Err(reply::TOO_MANY_FLAGS));
        check(&format!("{all} E1"), Err(reply::TOO_MANY_FLAGS));
        check(&format!("t t {all}"), Err(reply::TOO_MANY_FLAGS));
        assert!(Flags::parse(b"k", format!("O{}", "o".repeat(32)).as_bytes(), 2).is_ok());
        let long = format!("O{}", "o".repeat(33));
        check(&long, Err(reply::OPAQUE_TOO_LONG));
        check(&format!("{long} Tx"), Err(reply::BAD_TOKEN));
        assert_eq!(Flags::parse(&[b'k'; 251], b"m", 2), Err(reply::BAD_FORMAT));
        assert!(Flags::parse(&[b'k'; 250], b"", 2).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            key in prop::collection::vec(any::<u8>(), 1..260),
            text in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                "([A-Za-z0-9+]{1,3}[0-9]{0,21} {1,2}){0,24}".prop_map(String::into_bytes),
                "([bcfhklqstuvIx] |[TNRFCEDJ]-?[0-9]{0,21} |[OPLM][a-z]{0,40} ){0,24}".prop_map(String::into_bytes),
            ],
        ) {
            let result = Flags::parse(&key, &text, 2);
            if let Ok(flags) = result {
                let mut letters: Vec<u8> = flags.tokens().map(|token| token[0]).collect();
                let count = letters.len();
                letters.sort_unstable();
                letters.dedup();
                prop_assert!(letters.len() == count && count <= TOKENS_MAX - 2);
                prop_assert!(key.len() <= KEY_BYTES_MAX);
                prop_assert_eq!(flags.is_base64, letters.contains(&b'b'));
                prop_assert_eq!(flags.compare.is_some(), letters.contains(&b'C'));
            }
        }
    }
}
