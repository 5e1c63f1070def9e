//! Numbers as people read them at a glance.

/// What is shown where a figure is not known.
pub(super) const UNKNOWN: &str = "-";

/// A whole number with its thousands apart.
pub(super) fn whole(number: Option<f64>) -> String {
    let Some(number) = number.filter(|number| number.is_finite()) else { return UNKNOWN.to_owned() };
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: small ones have a decimal.
pub(super) fn rate(number: Option<f64>) -> String {
    match number {
        Some(number) if number > 0.0 && number < 9.95 => format!("{number:.1}"),
        _ => whole(number),
    }
}

/// A number in six characters at most.
pub(super) fn short(number: Option<f64>) -> String {
    match number {
        Some(number) if number.is_finite() && number >= 9999.5 => {
            let scales = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
            let (scale, unit) = scales.into_iter().find(|(scale, _)| number >= *scale).unwrap_or((1e3, "k"));
            scaled(number / scale, unit)
        }
        Some(number) if number > 0.0 && number < 9.95 => format!("{number:.1}"),
        Some(number) if number.is_finite() => format!("{number:.0}"),
        _ => UNKNOWN.to_owned(),
    }
}

/// A number of things in six characters at most.
pub(super) fn count(number: Option<f64>) -> String {
    match number {
        Some(number) if number < 9999.5 => format!("{number:.0}"),
        _ => short(number),
    }
}

/// Bytes, in six characters at most.
pub(super) fn bytes(number: Option<f64>) -> String {
    let Some(number) = number.filter(|number| number.is_finite()) else { return UNKNOWN.to_owned() };
    let scales = [
        (f64::from(1 << 30) * 1024.0, "T"),
        (f64::from(1 << 30), "G"),
        (f64::from(1 << 20), "M"),
        (1024.0, "K"),
    ];
    match scales.into_iter().find(|(scale, _)| number >= *scale) {
        Some((scale, unit)) => scaled(number / scale, unit),
        None => format!("{number:.0}B"),
    }
}

/// Three digits or four.
fn scaled(number: f64, unit: &str) -> String {
    match number {
        number if number < 99.95 => format!("{number:.1}{unit}"),
        number => format!("{number:.0}{unit}"),
    }
}

/// 0 to 1, in per cent.
pub(super) fn percent(ratio: Option<f64>) -> String {
    ratio
        .filter(|ratio| ratio.is_finite())
        .map_or(UNKNOWN.to_owned(), |ratio| format!("{:.1} %", 100.0 * ratio))
}

/// Seconds, in the two largest units.
pub(super) fn age(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0) else {
        return UNKNOWN.to_owned();
    };
    let seconds = seconds as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// A time in microseconds.
pub(super) fn microseconds(time: Option<f64>) -> String {
    match time {
        Some(time) if time < 9.95 => format!("{time:.1}"),
        _ => short(time),
    }
}

/// Text in `width` characters at most: of one that is longer, beginning and end are shown.
pub(super) fn elided(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width || width < 3 {
        return text.to_owned();
    }
    let (head, tail) = (width / 2, width - width / 2 - 1);
    let begins = text.chars().take(head);
    begins.chain(std::iter::once('…')).chain(text.chars().skip(length - tail)).collect()
}

/// A bar of `width` characters, `size` of `largest` of them long, of which `used` is full.
pub(super) fn bar(used: f64, size: f64, largest: f64, width: usize) -> (String, String) {
    let cells = |part: f64| match largest > 0.0 {
        // What is there at all is to be seen.
        true => {
            ((part / largest).clamp(0.0, 1.0) * width as f64).round().max(f64::from(u8::from(part > 0.0)))
                as usize
        }
        false => 0,
    };
    let (all, full) = (cells(size), cells(used.min(size)));
    ("█".repeat(full.min(all)), "░".repeat(all.saturating_sub(full)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        for (number, in_whole, in_short, of_bytes) in [
            (0.0, "0", "0", "0B"),
            (7.25, "7", "7.2", "7B"),
            (999.0, "999", "999", "999B"),
            (1000.0, "1,000", "1000", "1000B"),
            (432_552.0, "432,552", "433k", "422K"),
            (67_108_864.0, "67,108,864", "67.1M", "64.0M"),
            (1.5e12, "1,500,000,000,000", "1.5T", "1.4T"),
        ] {
            assert_eq!(
                (&*whole(Some(number)), &*short(Some(number)), &*bytes(Some(number))),
                (in_whole, in_short, of_bytes)
            );
        }
        assert_eq!(
            (whole(None), bytes(None), short(Some(f64::NAN)), percent(None)),
            ("-".into(), "-".into(), "-".into(), "-".into())
        );
        assert_eq!(
            (percent(Some(0.9512)), rate(Some(1.25)), rate(Some(12.4))),
            ("95.1 %".into(), "1.2".into(), "12".into())
        );
        for (seconds, shown) in [(0.0, "0s"), (61.0, "1m01s"), (7300.0, "2h01m"), (90_000.0, "1d01h")] {
            assert_eq!(age(Some(seconds)), shown);
        }
    }

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(elided("user:größe:17", 13), "user:größe:17");
        assert_eq!(elided("user:größe:17", 8), "user…:17");
        assert_eq!(elided("user", 3), "u…r");
        assert_eq!(elided("user", 0), "user");
        assert_eq!(count(Some(3.0)), "3");
    }

    #[test]
    fn bars_never_outgrow_their_place() {
        assert_eq!(bar(1.0, 2.0, 4.0, 8), ("██".to_owned(), "██".replace('█', "░")));
        assert_eq!(bar(0.001, 9.0, 9.0, 3), ("█".to_owned(), "░░".to_owned()));
        assert_eq!(bar(9.0, 9.0, 1.0, 3).0, "███");
        assert_eq!(bar(1.0, 1.0, 0.0, 3), (String::new(), String::new()));
        assert_eq!(bar(f64::NAN, f64::NAN, 1.0, 3), (String::new(), String::new()));
    }
}
