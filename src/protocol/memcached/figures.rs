//! Statistics as JSON, for the page that shows them and for programs that read no lines.
//!
//! `stats` has each of its groups under the names and with the values of the lines, read as `metrics` reads them. A
//! group that the daemon does not have is left out, so that who reads this asks what is there and not which version.

use serde_json::{Map, Number, Value, json};

use crate::base::clock::Now;

use super::daemon::Daemon;
use super::encoding;
use super::hotkeys::{self, HALF_LIFE, Ranking};
use super::metrics::statistics;

/// Groups of statistics by what they are called here, and what `stats` calls them. None of them names a key or a
/// client.
const GROUPS: [(&str, &str); 6] = [
    ("general", ""),
    ("settings", "settings"),
    ("items", "items"),
    ("slabs", "slabs"),
    ("tags", "tags"),
    ("latency", "latency"),
];

/// Lines of `stats settings` whose values are files of the machine: whoever watches figures has no use for them.
const PATHS: [&str; 7] = [
    "domain_socket",
    "auth_enabled_ascii",
    "users_file",
    "ssl_chain_cert",
    "ssl_key",
    "ssl_ca_cert",
    "memory_file",
];

/// All figures, as the text of one JSON object:
///
/// - `taken_ms`: when, in milliseconds on the caller's own scale: rates between two readings need more than seconds
/// - `stats`: by group, an object of names and values, but for paths
/// - `workers`: for each thread what it has and has done since the start
/// - `hot_keys`: by kind, the hottest keys, if the operator lets them be seen (`-o metrics_hot_keys`)
pub fn figures(daemon: &Daemon, now: Now, taken_ms: u64) -> String {
    let mut stats = Map::new();
    for (name, what) in GROUPS {
        let lines = statistics(daemon, now, what.as_bytes());
        if !lines.is_empty() {
            let shown = lines.into_iter().filter(|(name, _)| !PATHS.contains(&name.as_str()));
            let pairs = shown.map(|(name, text)| (name, value(&text)));
            stats.insert(name.to_owned(), Value::Object(pairs.collect()));
        }
    }
    let workers: Vec<Value> = daemon
        .figures_by_worker()
        .iter()
        .map(|worker| {
            json!({
                "curr_connections": worker.curr_connections,
                "total_connections": worker.total_connections,
                "bytes_read": worker.bytes_read,
                "bytes_written": worker.bytes_written,
                "conn_yields": worker.conn_yields,
            })
        })
        .collect();
    let mut all = json!({ "taken_ms": taken_ms, "stats": stats, "workers": workers });
    let kinds: Map<_, _> = hotkeys::public(daemon, now)
        .map(|(kind, hottest)| (kind.name().to_owned(), ranking(&hottest)))
        .collect();
    if !kinds.is_empty() {
        all["hot_keys"] = json!({ "half_life_seconds": HALF_LIFE, "kinds": kinds });
    }
    all.to_string()
}

fn ranking(ranking: &Ranking) -> Value {
    let hot = |hot: &hotkeys::Hot| {
        json!({
            "key": encoding::readable(&hot.key),
            "per_second": rounded(hot.per_second),
            "error": rounded(hot.error),
            "percent": rounded(hot.share * 100.0),
        })
    };
    let keys: Vec<Value> = ranking.keys.iter().map(hot).collect();
    json!({ "per_second": rounded(ranking.per_second), "keys": keys })
}

/// To two digits behind the point, as `stats hotkeys` shows figures.
fn rounded(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

/// A number where the text is one, as numbers are written; else the text.
fn value(text: &str) -> Value {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let real = || text.parse().ok().filter(|_| is_number).and_then(Number::from_f64);
    if let Ok(number) = text.parse::<u64>() {
        Value::from(number)
    } else if let Ok(number) = text.parse::<i64>() {
        Value::from(number)
    } else {
        real().map_or_else(|| Value::from(text), Value::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::config::{Settings, TlsSettings};
    use crate::protocol::memcached::Hooks;
    use crate::store::{Store, StoreOptions};

    #[test]
    fn no_file_of_the_machine_is_named() {
        let file = || Some("/secret/place".into());
        let tls = TlsSettings { chain_cert: file(), key: file(), ca_cert: file(), ..TlsSettings::default() };
        let settings = Settings {
            unix_socket: file(),
            auth_file: file(),
            users_file: file(),
            pid_file: file(),
            log_file: file(),
            config_file: file(),
            tls,
            ..Settings::default()
        };
        let daemon =
            Daemon::new(settings, Store::new(&StoreOptions::default()), Clock::start(), Hooks::default());
        let text = figures(&daemon, daemon.clock.now(), 0);
        assert!(text.contains("\"ssl_verify_mode\""), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn numbers_are_numbers_and_the_rest_is_text() {
        for (text, expected) in [
            ("0", json!(0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-1", json!(-1)),
            ("0.005040", json!(0.00504)),
            ("1.6.45", json!("1.6.45")),
            ("yes", json!("yes")),
            ("inf", json!("inf")),
            ("1e3", json!("1e3")),
            ("127.0.0.1", json!("127.0.0.1")),
            ("", json!("")),
            ("-", json!("-")),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }
}
