//! How option values are spelled: numbers with a range, sizes, factors, octal modes.
//!
//! Each reader takes the text of one value and says what it expected when the text does not do.

use std::ops::RangeInclusive;

use super::error::Problem;
use super::settings::LogFormat;

/// Upper bound of counts that memcached keeps in an `int`.
pub(super) const INT_MAX: u64 = i32::MAX as u64;

/// Largest memory limit: 16 TiB, more than any machine has and less than would overflow anything.
const MEGABYTES_MAX: u64 = 16 << 20;
/// Largest part of the memory there is; the rest of the program needs some as well.
const MEMORY_PERCENT_MAX: u64 = 95;

/// A whole number in `range`, or "expected `what`, `range`".
pub(super) fn number<T: TryFrom<u64>>(
    text: &str,
    what: &str,
    range: RangeInclusive<u64>,
) -> Result<T, Problem> {
    let read = text.trim().parse::<u64>().ok().filter(|n| range.contains(n));
    read.and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| expected(format!("{what}, {} to {}", range.start(), range.end())))
}

/// A number of units of `1 << shift` bytes, as bytes.
pub(super) fn scaled(
    text: &str,
    what: &str,
    shift: u32,
    range: RangeInclusive<u64>,
) -> Result<usize, Problem> {
    let units: usize = number(text, what, range)?;
    units.checked_mul(1 << shift).ok_or_else(|| expected(format!("{what}, fewer of them")))
}

/// Megabytes, or a part in per cent of `available` bytes, in whole megabytes. Gives bytes.
pub(super) fn memory_limit(text: &str, available: Option<u64>) -> Result<usize, Problem> {
    let Some(percent) = text.trim().strip_suffix('%') else {
        return scaled(text, "megabytes as a whole number", 20, 1..=MEGABYTES_MAX);
    };
    let percent: u64 = number(percent, "per cent of the memory there is", 1..=MEMORY_PERCENT_MAX)?;
    let unknown = || expected("megabytes: the system does not tell how much memory there is");
    let megabytes = (available.ok_or_else(unknown)? >> 20) * percent / 100;
    scaled(&megabytes.max(1).to_string(), "megabytes as a whole number", 20, 1..=MEGABYTES_MAX)
}

/// A number above `floor`.
pub(super) fn above(text: &str, floor: f64) -> Result<f64, Problem> {
    let read = text.trim().parse::<f64>().ok().filter(|x| x.is_finite() && *x > floor);
    read.ok_or_else(|| expected(format!("a number above {floor}")))
}

/// A number above 0, at most 1.
pub(super) fn ratio(text: &str) -> Result<f64, Problem> {
    let read = text.trim().parse::<f64>().ok().filter(|x| *x > 0.0 && *x <= 1.0);
    read.ok_or_else(|| expected("a number above 0, at most 1"))
}

/// A file mode in octal.
pub(super) fn octal_mode(text: &str) -> Result<u32, Problem> {
    let digits = text.trim();
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let read = u32::from_str_radix(digits, 8).ok().filter(|mode| plain && *mode <= 0o777);
    read.ok_or_else(|| expected("an octal mode, 0 to 777"))
}

/// Bytes, with `k` for KiB, `m` for MiB, `g` for GiB.
pub(super) fn item_size(text: &str) -> Result<usize, Problem> {
    const BYTES: RangeInclusive<usize> = 1024..=1 << 30;
    let text = text.trim();
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let read = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(1 << shift));
    read.filter(|bytes| BYTES.contains(bytes))
        .ok_or_else(|| expected("bytes with an optional k, m or g suffix, 1024 to 1g"))
}

/// text or json
pub(super) fn log_format(text: &str) -> Result<LogFormat, Problem> {
    match text.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(expected("text or json")),
    }
}

/// Explicit chunk sizes: `96-200-400`, ascending by 8 bytes or more.
pub(super) fn slab_sizes(text: &str) -> Result<Vec<u32>, Problem> {
    const CLASSES_MAX: usize = 62;
    const BYTES: RangeInclusive<u32> = 1..=1 << 20;
    let wrong = || expected("chunk sizes in bytes as a-b-c, ascending by 8 or more, at most 62");
    let sizes: Vec<u32> = text
        .split('-')
        .map(|size| size.parse().ok().filter(|bytes| BYTES.contains(bytes)).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    let ascending = sizes.windows(2).all(|pair| pair[1] >= pair[0].saturating_add(8));
    if ascending && sizes.len() <= CLASSES_MAX { Ok(sizes) } else { Err(wrong()) }
}

/// Stores a value that was read, or passes the problem on.
pub(super) fn set<T>(field: &mut T, value: Result<T, Problem>) -> Result<(), Problem> {
    *field = value?;
    Ok(())
}

pub(super) fn expected(what: impl Into<String>) -> Problem {
    Problem::Expected(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_limit_may_be_a_part_of_what_there_is() {
        let of = |text| memory_limit(text, Some(1000 << 20));
        assert_eq!(of("64"), Ok(64 << 20));
        assert_eq!(of("70%"), Ok(700 << 20));
        assert_eq!(of(" 5% "), Ok(50 << 20));
        assert_eq!(memory_limit("50%", Some(5 << 20)), Ok(2 << 20), "whole megabytes");
        assert_eq!(memory_limit("1%", Some(5 << 20)), Ok(1 << 20), "at least one");
        for wrong in ["0%", "96%", "-5%", "%", "7.5%", "70 % of it", "18446744073709551616%"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(memory_limit("70%", None).is_err());
        assert!(memory_limit("64", None).is_ok());
    }
}
