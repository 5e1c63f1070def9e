//! Looking ahead in the input for the keys of the next requests, so that the store can have their items brought.
//!
//! Only what is there whole counts, and only commands whose key is plain to see. Nothing is refused or answered here:
//! each request is read properly when it is its turn.

use super::number;
use super::parse::next_token;
use crate::store::{KEY_BYTES_MAX, KEYS_AHEAD, Key, Store};

/// Bytes of the line end behind a value.
const LINE_END_BYTES: usize = 2;
/// Longest name of a command, with the blank behind it.
const NAME_BYTES_MAX: usize = 8;

/// Has the items of the next requests in `input` brought. Returns how many bytes these requests have.
pub fn requests(store: &Store, input: &[u8]) -> usize {
    let mut keys = [Key::NONE; KEYS_AHEAD];
    let (mut count, mut at) = (0, 0);
    while count < KEYS_AHEAD
        && let Some((key, bytes)) = first_request(&input[at..])
    {
        keys[count] = store.key(key);
        count += 1;
        at += bytes;
    }
    if count > 1 {
        store.prefetch(&keys[..count]);
    }
    at
}

/// Has the items of the next keys in the list `input` brought. Returns how many keys that are.
pub fn keys(store: &Store, input: &[u8]) -> usize {
    let mut keys = [Key::NONE; KEYS_AHEAD];
    let mut count = 0;
    let mut rest = input;
    while count < KEYS_AHEAD
        && let Some(end) = memchr::memchr2(b' ', b'\n', rest)
    {
        let token = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        if (1..=KEY_BYTES_MAX).contains(&token.len()) {
            keys[count] = store.key(token);
            count += 1;
        }
        if rest[end] == b'\n' {
            break;
        }
        rest = &rest[end + 1..];
    }
    if count > 1 {
        store.prefetch(&keys[..count]);
    }
    count
}

/// The first key of the first request in `input`, and the bytes of that request with its value.
fn first_request(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', input)?;
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    let blank = line.iter().take(NAME_BYTES_MAX).position(|&byte| byte == b' ')?;
    let (key, rest) = next_token(&line[blank..])?;
    let value_at = match &line[..blank] {
        b"get" | b"gets" | b"mg" | b"touch" | b"incr" | b"decr" | b"delete" | b"md" | b"ma" => None,
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => Some(2),
        b"ms" => Some(0),
        _ => return None,
    };
    let value_bytes = match value_at {
        None => 0,
        Some(tokens_before) => {
            let mut rest = rest;
            for _ in 0..tokens_before {
                rest = next_token(rest)?.1;
            }
            number::value_bytes(next_token(rest)?.0)? + LINE_END_BYTES
        }
    };
    let bytes = end + 1 + value_bytes;
    (key.len() <= KEY_BYTES_MAX && bytes <= input.len()).then_some((key, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{StoreOptions, StoreOutcome};

    #[test]
    fn the_first_request_is_measured_as_it_will_be_read() {
        for (request, key) in [
            ("get a\r\n", "a"),
            ("get  a b\n", "a"),
            ("mg key v t\r\n", "key"),
            ("delete k noreply\r\n", "k"),
            ("set k 0 0 3\r\nabc\r\n", "k"),
            ("replace k 0 0 3 noreply\r\na\nc\r\n", "k"),
            ("ms k 2 T0\r\nab\r\n", "k"),
        ] {
            let input = format!("{request}get next\r\n");
            assert_eq!(first_request(input.as_bytes()), Some((key.as_bytes(), request.len())), "{request:?}");
        }
        for request in [
            "",
            "get a",
            "get\r\n",
            "mn\r\n",
            "stats a\r\n",
            "set k 0 0 3\r\nab",
            "set k 0 0 x\r\n",
            "ms k\r\n",
            "set k 0 0 99999999999999999999\r\n",
            "verylongname k\r\n",
        ] {
            assert_eq!(first_request(request.as_bytes()), None, "{request:?}");
        }
        let long = format!("get {}\r\n", "k".repeat(KEY_BYTES_MAX + 1));
        assert_eq!(first_request(long.as_bytes()), None);
    }

    #[test]
    fn what_is_looked_at_ahead_is_counted_in_bytes_and_keys() {
        let store = Store::new(&StoreOptions::default());
        for count in [0, 1, 2, 8, 9] {
            let input = "get k\r\n".repeat(count) + "get unfinished";
            assert_eq!(requests(&store, input.as_bytes()), 7 * count.min(KEYS_AHEAD));
            let input = "key ".repeat(count) + "last\r\nnext ";
            assert_eq!(keys(&store, input.as_bytes()), (count + 1).min(KEYS_AHEAD));
        }
        assert_eq!(keys(&store, b"  \r\n"), 0);
        assert_eq!(keys(&store, b"a unfinished"), 1);
    }

    #[test]
    fn looking_ahead_changes_and_counts_nothing() {
        let store = Store::new(&StoreOptions::default());
        let key = store.key(b"k");
        let request = crate::store::StoreRequest {
            key,
            mode: crate::store::StoreMode::Set,
            client_flags: 0,
            deadline: crate::base::clock::Deadline::NEVER,
            value: b"v",
        };
        let now = crate::base::clock::Seconds(5);
        assert_eq!(store.store(&request, now), StoreOutcome::Stored);
        let before = format!("{:?}", store.stats(now));
        store.prefetch(&[key, store.key(b"absent"), key]);
        assert_eq!(format!("{:?}", store.stats(now)), before);
    }
}
