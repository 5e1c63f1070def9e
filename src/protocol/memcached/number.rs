//! Numbers as memcached's classic commands read them: each field has its own rules.
//! Source: memcached's protocol.txt and the behaviour of 1.6.45.

/// Longest text that a strict 32-bit number may have, leading zeros and sign included.
const I32_TEXT_MAX: usize = 11;
/// The same for 64 bits.
const U64_TEXT_MAX: usize = 22;
/// The same for numbers with a fraction.
const DECIMAL_TEXT_MAX: usize = 31;
/// Largest length of a value that can be announced: two more bytes must fit 31 bits.
const VALUE_BYTES_MAX: u64 = i32::MAX as u64 - 2;

/// Digits only, nothing before or behind them; `None` on anything else or beyond 64 bits.
#[inline]
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// An unsigned 64-bit number: CAS uniques and the amounts of incr and decr.
pub fn strict_u64(text: &[u8]) -> Option<u64> {
    if text.len() > U64_TEXT_MAX { None } else { digits(text) }
}

/// An unsigned 32-bit number: the level of verbosity.
pub fn strict_u32(text: &[u8]) -> Option<u32> {
    strict_u64(text).and_then(|number| u32::try_from(number).ok())
}

/// A 32-bit number with an optional minus: the exptime of touch, gat and flush_all.
pub fn strict_i32(text: &[u8]) -> Option<i32> {
    if text.len() > I32_TEXT_MAX {
        return None;
    }
    match text.strip_prefix(b"-") {
        Some(rest) => i32::try_from(-i64::try_from(digits(rest)?).ok()?).ok(),
        None => i32::try_from(digits(text)?).ok(),
    }
}

/// The announced length of a value, without its line end.
pub fn value_bytes(text: &[u8]) -> Option<usize> {
    if text.len() > I32_TEXT_MAX {
        return None;
    }
    digits(text).filter(|&bytes| bytes <= VALUE_BYTES_MAX).map(|bytes| bytes as usize)
}

/// Client flags of a storage command: an optional plus, up to 64 bits, of which 32 are kept.
pub fn client_flags(text: &[u8]) -> Option<u32> {
    digits(text.strip_prefix(b"+").unwrap_or(text)).map(|flags| flags as u32)
}

/// The exptime of a storage command: an optional sign, up to 64 bits. Where memcached keeps the low
/// 32 bits, so that 2^31 is in the past and 2^40 is "never", larder keeps the number.
pub fn exptime(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        Some(rest) => i64::try_from(digits(rest)?).ok().map(|number| -number),
        None => i64::try_from(digits(text.strip_prefix(b"+").unwrap_or(text))?).ok(),
    }
}

/// A number with a fraction: factors and ratios.
pub fn decimal(text: &[u8]) -> Option<f64> {
    if text.len() > DECIMAL_TEXT_MAX {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_fraction_is_finite_and_not_long() {
        for (text, number) in [
            ("0.8", Some(0.8)),
            (".8", Some(0.8)),
            ("-2", Some(-2.0)),
            ("1e2", Some(100.0)),
            ("", None),
            ("0.8x", None),
            ("nan", None),
            ("inf", None),
            ("0.00000000000000000000000000000000001", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), number, "{text:?}");
        }
        assert_eq!(decimal(b"\xff"), None);
    }

    #[test]
    fn each_field_has_its_own_rules() {
        for (text, bytes, flags, exp, i32_, u64_) in [
            ("0", Some(0), Some(0), Some(0), Some(0), Some(0)),
            ("00005", Some(5), Some(5), Some(5), Some(5), Some(5)),
            ("000000000005", None, Some(5), Some(5), None, Some(5)),
            ("+5", None, Some(5), Some(5), None, None),
            ("-5", None, None, Some(-5), Some(-5), None),
            ("", None, None, None, None, None),
            ("-", None, None, None, None, None),
            ("+", None, None, None, None, None),
            ("5x", None, None, None, None, None),
            ("1.5", None, None, None, None, None),
            ("0x10", None, None, None, None, None),
            (
                "2147483645",
                Some(2147483645),
                Some(2147483645),
                Some(2147483645),
                Some(2147483645),
                Some(2147483645),
            ),
            ("2147483646", None, Some(2147483646), Some(2147483646), Some(2147483646), Some(2147483646)),
            ("2147483648", None, Some(1 << 31), Some(1 << 31), None, Some(1 << 31)),
            ("4294967296", None, Some(0), Some(1 << 32), None, Some(1 << 32)),
            ("18446744073709551615", None, Some(u32::MAX), None, None, Some(u64::MAX)),
            ("18446744073709551616", None, None, None, None, None),
        ] {
            let text_bytes = text.as_bytes();
            assert_eq!(value_bytes(text_bytes), bytes, "length {text:?}");
            assert_eq!(client_flags(text_bytes), flags, "flags {text:?}");
            assert_eq!(exptime(text_bytes), exp, "exptime {text:?}");
            assert_eq!(strict_i32(text_bytes), i32_, "i32 {text:?}");
            assert_eq!(strict_u64(text_bytes), u64_, "u64 {text:?}");
        }
        assert_eq!(strict_i32(b"-2147483648"), Some(i32::MIN));
        assert_eq!(strict_u32(b"4294967296"), None);
    }
}
