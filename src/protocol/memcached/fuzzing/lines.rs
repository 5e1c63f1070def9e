//! The parsers by themselves: what they take is within the protocol's limits, and lies within the line.

use crate::protocol::memcached::meta::{Flags, base64};
use crate::protocol::memcached::parse::{self, LongLine};
use crate::protocol::memcached::request::Request;
use crate::protocol::memcached::{number, reply};
use crate::protocol::output::Output;
use crate::store::KEY_BYTES_MAX;

/// Largest length of a value that may be announced.
const VALUE_BYTES_MAX: usize = i32::MAX as usize - 2;

/// Reads one classic command line, and numbers as it may hold them.
pub fn check_classic_line(line: &[u8]) {
    if line.contains(&b'\n') {
        return;
    }
    let is_key = |key: &[u8]| (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.contains(&b' ');
    match parse::line(line, line.len() + 2) {
        Request::Retrieve { keys_at, .. } => {
            assert!(line[keys_at..].iter().any(|&byte| byte != b' '), "no key");
        }
        Request::Store { key, value_bytes, exptime, .. } => {
            assert!(is_key(key) && value_bytes <= VALUE_BYTES_MAX, "{exptime}");
        }
        Request::Arithmetic { key, .. } | Request::Delete { key, .. } | Request::Touch { key, .. } => {
            assert!(is_key(key));
        }
        Request::Refused { reply, skip } => {
            assert!(skip <= VALUE_BYTES_MAX + 2);
            assert!(reply.is_none_or(|reply| reply.ends_with(reply::LINE_END)));
            // Of the tokens that are kept the last one counts, as in memcached.
            let kept =
                line.split(|&byte| byte == b' ').filter(|token| !token.is_empty()).take(parse::TOKENS_MAX);
            assert!(reply.is_some() || kept.last() == Some(b"noreply".as_slice()), "refused without a word");
        }
        Request::FlushPrefix { prefix, .. } => assert!(is_key(prefix)),
        _ => {}
    }
    if let LongLine::Keys(_, at) = parse::long_line(line) {
        assert!(line[..at].starts_with(b"get"));
    }
    check_number(line);
}

/// Numbers are those that Rust reads, within the length that memcached gives them.
fn check_number(text: &[u8]) {
    let plain = std::str::from_utf8(text).ok().filter(|text| !text.starts_with('+'));
    let as_i128 = plain.filter(|text| text.len() < 30).and_then(|text| text.parse::<i128>().ok());
    if let Some(read) = number::strict_u64(text) {
        assert_eq!(as_i128, Some(read.into()));
    }
    if let Some(read) = number::strict_i32(text) {
        assert_eq!(as_i128, Some(read.into()));
    }
    if let (Some(read), Some(expected)) = (number::exptime(text), as_i128) {
        assert_eq!(i128::from(read), expected);
    }
    assert!(number::decimal(text).is_none_or(f64::is_finite));
    assert!(number::value_bytes(text).is_none_or(|bytes| bytes <= VALUE_BYTES_MAX));
}

/// Reads what follows the name of a meta command.
pub fn check_meta_line(arguments: &[u8]) {
    if arguments.contains(&b'\n') {
        return;
    }
    if let Some((key, rest)) = parse::next_token(arguments) {
        if let Ok(flags) = Flags::parse(key, rest, 2) {
            let mut letters: Vec<u8> = flags.tokens().map(|token| token[0]).collect();
            let count = letters.len();
            letters.sort_unstable();
            letters.dedup();
            assert!(letters.len() == count && key.len() <= KEY_BYTES_MAX, "a flag twice, or too long a key");
            assert_eq!(flags.is_base64, letters.contains(&b'b'));
            assert_eq!(flags.compare.is_some(), letters.contains(&b'C'));
        }
        check_base64(key);
    }
    check_base64(arguments);
}

/// What is encoded is decoded to the same bytes, and nothing is decoded beyond its place.
fn check_base64(text: &[u8]) {
    if let Some(bytes) = base64::decoded_bytes(text) {
        assert!(bytes > 0 && bytes <= text.len());
        let mut place = vec![0; bytes];
        assert_eq!(base64::decode(text, &mut place).len(), bytes);
    }
    if !text.is_empty() {
        let mut output = Output::default();
        base64::push_encoded(&mut output, text);
        let mut encoded = vec![0; output.pending()];
        output.take(&mut encoded);
        let mut place = vec![0; text.len()];
        assert_eq!(base64::decoded_bytes(&encoded), Some(text.len()));
        assert_eq!(base64::decode(&encoded, &mut place), text);
    }
}
