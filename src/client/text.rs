//! Text of servers, made harmless and readable: nothing that it holds moves a cursor or ends a line.

use std::fmt::Write;

use data_encoding::BASE64;
use percent_encoding::percent_decode;
use serde_json::{Number, Value, json};

/// Text for a terminal: what cannot be seen, and bytes that are no UTF-8, become `\x1b` or `\u{202e}`.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let _ = match character {
                // What std shows as it is can be seen; quotes and backslashes can as well.
                '"' | '\'' | '\\' => write!(text, "{character}"),
                _ if character.is_ascii_control() => write!(text, "\\x{:02x}", u32::from(character)),
                _ => write!(text, "{}", character.escape_debug()),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A key as a dump has it (`%20`), as it was given, and harmless.
pub(super) fn readable_key(encoded: &str) -> String {
    printable(&percent_decode(encoded.as_bytes()).collect::<Vec<_>>())
}

/// An item in JSON. Its key and its value are text if they are text, else in base64, under a name that says so.
pub(super) fn json_item(key: &[u8], flags: u32, value: &[u8]) -> Value {
    let mut object = json!({ "flags": flags });
    json_bytes(&mut object, "key", key);
    json_bytes(&mut object, "value", value);
    object
}

/// Adds `bytes` to an object.
pub(super) fn json_bytes(object: &mut Value, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object[name] = text.into(),
        Err(_) => object[format!("{name}_base64")] = BASE64.encode(bytes).into(),
    }
}

/// JSON on one line, without what could move a terminal's cursor: JSON may hold such characters, terminals obey them.
pub(super) fn json(value: &Value) -> String {
    let mut line = String::new();
    for character in value.to_string().chars() {
        if character.is_ascii() && !character.is_ascii_control() || character.escape_debug().len() == 1 {
            line.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line
}

/// A statistic in JSON: a number where it is written as one, else text.
pub(super) fn json_value(text: &str) -> Value {
    let is_plain = |number: &Number| number.to_string() == text;
    if let Some(number) = text.parse::<u64>().map(Number::from).ok().filter(is_plain) {
        return number.into();
    }
    if let Some(number) = text.parse::<i64>().map(Number::from).ok().filter(is_plain) {
        return number.into();
    }
    let is_decimal = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_fraction = text.split_once('.').is_some_and(|(whole, part)| is_decimal(whole) && is_decimal(part));
    let number = is_fraction.then(|| text.parse::<f64>().ok().and_then(Number::from_f64)).flatten();
    number.map_or_else(|| text.into(), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_that_it_obeys() {
        for (bytes, shown) in [
            (b"plain \"text\" \\ 'here'".as_slice(), "plain \"text\" \\ 'here'"),
            (b"\x1b[2J\x07\r\n\t\x7f", "\\x1b[2J\\x07\\x0d\\x0a\\x09\\x7f"),
            ("\u{9b}2J".as_bytes(), "\\u{9b}2J"),
            ("\u{202e}abc".as_bytes(), "\\u{202e}abc"),
            ("größe 温".as_bytes(), "größe 温"),
            (b"\x9b\xff", "\\x9b\\xff"),
        ] {
            assert_eq!(printable(bytes), shown);
        }
        assert_eq!(readable_key("a%20b%1b%2525"), "a b\\x1b%25");
    }

    #[test]
    fn json_is_harmless_as_well_and_means_the_same() {
        let text = "\u{1b}[2J \u{9b}2J \u{202e} ö \u{e0001} \"\\";
        let value = Value::from(text);
        let line = json(&value);
        assert!(line.chars().all(|character| !character.is_control()), "{line}");
        assert!(!line.contains('\u{202e}') && line.contains('ö'));
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }

    #[test]
    fn numbers_are_numbers_in_json() {
        for (text, shown) in [
            ("0", "0"),
            ("18446744073709551615", "18446744073709551615"),
            ("-1", "-1"),
            ("0.25", "0.25"),
            ("007", "\"007\""),
            ("1.6.45", "\"1.6.45\""),
            ("1e3", "\"1e3\""),
            ("", "\"\""),
            (".5", "\".5\""),
            ("NaN", "\"NaN\""),
        ] {
            assert_eq!(json_value(text).to_string(), shown);
        }
    }
}
