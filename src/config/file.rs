//! The config file: one option per line, as on the command line or as `name = value`.
//!
//! Reads lines into argument vectors and hands them to the command line's parser, so that both
//! know the same options. What the options mean is not known here.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::command_line::{Given, parse};
use super::error::{ConfigError, Problem, Source, printable};
use super::options::{Effect, Group, OptionSpec, table};

/// Bytes of the longest line; longer ones are no config file.
const LINE_BYTES_MAX: usize = 4096;
/// Bytes of the largest file, so that a wrong path cannot fill the memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All options of the file, in its order.
pub(super) fn read(path: &Path) -> Result<Vec<Given>, ConfigError> {
    let bytes = contents(path).map_err(|e| {
        let reason = e.to_string().to_lowercase();
        ConfigError::in_file(path, 0, format!("cannot read the config file: {reason}")).of_the_system()
    })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let problem = format!("too large for a config file, expected at most {FILE_BYTES_MAX} bytes");
        return Err(ConfigError::in_file(path, 0, problem));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let mut given = Vec::new();
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let fail = |problem: &str| ConfigError::in_file(path, index + 1, problem);
        if line.len() > LINE_BYTES_MAX {
            return Err(fail("line too long, expected at most 4096 bytes"));
        }
        if line.contains(&0) {
            return Err(fail("NUL byte, expected text"));
        }
        let line = std::str::from_utf8(line).map_err(|_| fail("not UTF-8, expected text"))?;
        let source = Source::File { path: path.to_owned(), line: index + 1 };
        match line_of(line) {
            Line::Off(spec) => given.retain(|one: &Given| !std::ptr::eq(one.spec, spec)),
            Line::Options(args) => given.extend(options(args, &source)?),
            Line::Wrong(name, problem) => {
                let error = ConfigError::new(source, problem);
                return Err(if name.is_empty() { error } else { error.about(name, None) });
            }
        }
    }
    Ok(given)
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The options of an argument vector, none if that is empty.
fn options(args: Vec<OsString>, source: &Source) -> Result<Vec<Given>, ConfigError> {
    let given = parse(args, source)?;
    for one in &given {
        if matches!(one.spec.effect, Effect::ConfigFile | Effect::Print(_)) {
            let problem = Problem::Expected("it on the command line only".to_owned());
            return Err(ConfigError::new(source.clone(), problem).about(one.spec.label(), None));
        }
    }
    Ok(given)
}

/// A `#` starts a comment at the line's start or after a blank; inside a word it is the word's.
fn without_comment(line: &str) -> &str {
    let starts = |(at, _): &(usize, &str)| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    line.match_indices('#').find(starts).map_or(line, |(at, _)| &line[..at])
}

/// What a line of the file says.
enum Line {
    /// As this argument vector, which is empty for a blank line or a comment.
    Options(Vec<OsString>),
    /// This switch is off, whatever lines before it say.
    Off(&'static OptionSpec),
    /// Nothing: what is wrong with this name. It is empty if there is none.
    Wrong(String, Problem),
}

/// Reads a line. `-m 64` is split at blanks; `name = value` and `name value` become `--name=value`, whose value may
/// hold blanks. A switch may have a value as well: yes or no.
fn line_of(line: &str) -> Line {
    let line = without_comment(line).trim();
    if line.starts_with('-') {
        return Line::Options(line.split_whitespace().map(OsString::from).collect());
    }
    let end = line.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix('=').map_or(rest, str::trim_start);
    if let Some(wrong) = misspelt(name, rest) {
        return wrong;
    }
    // As Debian's memcached.conf has it.
    let name = if name == "logfile" { "log-file" } else { name };
    let option = format!("--{name}");
    Line::Options(match (name, rest) {
        ("", _) => Vec::new(),
        (_, "") => vec![option.into()],
        _ => match switch(name) {
            Some(spec) => match value.to_ascii_lowercase().as_str() {
                "yes" | "on" | "true" => vec![option.into()],
                "no" | "off" | "false" => return Line::Off(spec),
                _ => {
                    let problem = Problem::Expected(format!("yes or no, not '{}'", printable(value)));
                    return Line::Wrong(option, problem);
                }
            },
            None => vec![format!("{option}={value}").into()],
        },
    })
}

/// What is wrong with a name that no option of the command line has, where that can be told better than by them.
fn misspelt(name: &str, rest: &str) -> Option<Line> {
    let has_letter = |spec: &&OptionSpec| spec.short.is_some_and(|short| name == short.to_string());
    if name.is_empty() && rest.starts_with('=') {
        let problem = Problem::Expected("a name before the equals sign".to_owned());
        return Some(Line::Wrong(String::new(), problem));
    }
    if let Some((before, _)) = name.split_once(':') {
        let problem = Problem::Expected("name = value, without a colon".to_owned());
        return Some(Line::Wrong(printable(before), problem));
    }
    table().find(has_letter).map(|_| {
        let problem = Problem::Other(format!("unknown option, did you mean -{name}?"));
        Line::Wrong(name.to_owned(), problem)
    })
}

/// The switch of this name, which is either given or not.
fn switch(name: &str) -> Option<&'static OptionSpec> {
    table().find(|spec| {
        let is_switch = matches!(spec.effect, Effect::Switch(_) | Effect::Refuse(_)) && spec.value.is_empty();
        is_switch && spec.group != Group::Extended && spec.long == name
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use tempfile::NamedTempFile;

    use super::super::{Action, Settings, load};
    use super::*;

    fn file(content: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    /// Loads with this config file; an error's path is shown as `FILE`.
    fn with_file(content: &[u8], line: &str) -> Result<Settings, String> {
        let file = file(content);
        let mut args: Vec<OsString> = vec!["--config".into(), file.path().into()];
        args.extend(line.split_whitespace().map(OsString::from));
        match load("larder", args) {
            Ok(Action::Run(settings)) => {
                assert_eq!(settings.config_file.as_deref(), Some(file.path()));
                Ok(Settings { config_file: None, ..*settings })
            }
            Ok(Action::Print(text)) => panic!("{text}"),
            Err(error) => Err(error.to_string().replace(&file.path().display().to_string(), "FILE")),
        }
    }

    /// The file says the same as this command line.
    #[track_caller]
    fn check(content: &str, line: &str) {
        let Ok(Action::Run(expected)) = load("larder", line.split_whitespace().map(OsString::from).collect())
        else {
            panic!("{line}")
        };
        assert_eq!(with_file(content.as_bytes(), ""), Ok(*expected), "{content:?}");
    }

    #[track_caller]
    fn check_error(content: &[u8], expected: &str) {
        let error = with_file(content, "").unwrap_err();
        assert_eq!(error, expected, "{:?}", String::from_utf8_lossy(content));
    }

    #[test]
    fn reads_the_file_as_debian_ships_it() {
        let content = "# memcached default config file\n\n# Run as a daemon.\n-d\n\n\
            logfile /var/log/memcached.log\n\n# -v\n-m 64\n# Default port\n-p 11211\n-u memcache\n\
            -l 127.0.0.1\n# -c 1024\n# -k\n-P /var/run/memcached/memcached.pid\n";
        check(
            content,
            "-d --log-file /var/log/memcached.log -m 64 -p 11211 -u memcache -l 127.0.0.1 \
             -P /var/run/memcached/memcached.pid",
        );
    }

    #[test]
    fn a_line_is_an_option_in_any_spelling() {
        for line in [
            "-m 100",
            "-m100",
            "--memory-limit 100",
            "--memory-limit=100",
            "memory-limit = 100",
            "memory-limit 100",
            "memory-limit=100",
            "\t memory-limit\t=100 ",
            "-m 100 # note",
            "-m 100\r",
            "\u{feff}-m 100",
        ] {
            check(line, "-m 100");
        }
        check("", "");
        check("#-m 100\n   # -m 100\n#", "");
        check("-vv\n-v\n", "-vvv");
        check("daemon\ndisable-evictions\n", "-d -M");
        check("-m 100 -c 5", "-m 100 -c 5");
        check("-o modern,no_maxconns_fast", "-o modern,no_maxconns_fast");
        check("extended = hashpower=20,no_lru_crawler", "-o hashpower=20,no_lru_crawler");
        check("extended hashpower=20", "-o hashpower=20");
        check("-l 127.0.0.1\nlisten = ::1", "-l 127.0.0.1 -l ::1");
        check("port = -1", "-p -1");
        let spaced = with_file(b"unix-socket = /tmp/a #1/b\\c\nlog-file=/x#y z", "").unwrap();
        assert_eq!(spaced.unix_socket, Some("/tmp/a".into()));
        assert_eq!(spaced.log_file, Some("/x#y z".into()));
    }

    #[test]
    fn a_switch_may_be_yes_or_no_and_the_last_line_counts() {
        for on in
            ["disable-flush-all", "disable-flush-all = yes", "disable-flush-all=ON", "disable-flush-all true"]
        {
            check(on, "-F");
            check(&format!("{on}\ndisable-flush-all = no"), "");
            check(&format!("disable-flush-all = no\n{on}"), "-F");
        }
        for off in
            ["disable-flush-all = no", "disable-flush-all=Off", "disable-flush-all false", "enable-sasl = no"]
        {
            check(off, "");
        }
        check("-vv\nverbose = no\nverbose = yes", "-v");
        let given = with_file(b"disable-flush-all = no", "-F").unwrap();
        assert!(!given.flush_enabled, "the command line wins");
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let content = b"-m 100\n-c 5\n-l 10.0.0.1\n-l 10.0.0.2\n-vvv\n-o no_maxconns_fast,hashpower=20\n";
        let read = |line: &str| with_file(content, line).unwrap();
        let file_only = read("");
        assert_eq!((file_only.listen.len(), file_only.verbosity, file_only.max_connections), (2, 3, 5));
        assert!(!file_only.max_connections_fast);
        let both = read("-m 200 -l 127.0.0.1 -v -o maxconns_fast");
        assert_eq!(both.memory_limit_bytes, 200 << 20);
        assert_eq!(both.max_connections, 5);
        assert_eq!(both.listen.len(), 1);
        assert_eq!(both.rows().into_iter().find(|(name, _)| *name == "inter").unwrap().1, "127.0.0.1");
        assert_eq!(both.verbosity, 1);
        assert!(both.max_connections_fast);
        assert_eq!(both.hash_power, 20);
    }

    #[test]
    fn a_bad_line_is_named_with_its_number() {
        check_error(
            b"# one\n\n-I 7x\n",
            "FILE:3: --max-item-size '7x': expected bytes with an optional k, m or g suffix, 1024 to 1g",
        );
        check_error(b"-m 64\nbogus = 5\n", "FILE:2: --bogus: unknown option, --help lists those there are");
        check_error(
            b"memory-limt = 5",
            "FILE:1: --memory-limt: unknown option, did you mean --memory-limit?",
        );
        check_error(b"port", "FILE:1: --port: expected a value");
        check_error(b"port =", "FILE:1: --port '': expected a port, 0 to 65535, or -1 for any free one");
        check_error(b"daemon = maybe", "FILE:1: --daemon: expected yes or no, not 'maybe'");
        check_error(b"help = yes", "FILE:1: --help 'yes': expected no value");
        check_error(b"m 128", "FILE:1: m: unknown option, did you mean -m?");
        check_error(b"d", "FILE:1: d: unknown option, did you mean -d?");
        check_error(b"memory-limit: 5", "FILE:1: memory-limit: expected name = value, without a colon");
        check_error(b"memory-limit:5", "FILE:1: memory-limit: expected name = value, without a colon");
        check_error(b": 5", "FILE:1: expected name = value, without a colon");
        check_error(b"enable-sasl = yes", "FILE:1: --enable-sasl: not supported yet, leave it out");
        check_error(b"-m 64 MB", "FILE:1: 'MB': expected options only");
        check_error(
            b"-Z\n",
            "FILE:1: --enable-ssl: expected -o ssl_chain_cert=FILE, the daemon's certificate",
        );
        check_error(
            b"-o ext_path=/x\n",
            "FILE:1: -o ext_path '/x': not supported yet, items are kept in memory alone: leave it out",
        );
        check_error(b"= 5", "FILE:1: expected a name before the equals sign");
        let error = with_file(b"\n-I 33m", "").unwrap_err();
        assert!(error.starts_with("FILE:2: --max-item-size '33m': expected "), "{error}");
    }

    #[test]
    fn some_options_belong_on_the_command_line() {
        for (line, name) in [
            ("--config /x", "--config"),
            ("config = /x", "--config"),
            ("-h", "--help"),
            ("-V", "--version"),
            ("-i", "--license"),
        ] {
            check_error(line.as_bytes(), &format!("FILE:1: {name}: expected it on the command line only"));
        }
    }

    #[test]
    fn a_file_that_is_no_config_file_is_refused() {
        check_error(b"-m 64\n-p \xff\n", "FILE:2: not UTF-8, expected text");
        check_error(b"-m 64\0\n", "FILE:1: NUL byte, expected text");
        let long = [b"#".repeat(LINE_BYTES_MAX), b"\n".to_vec(), b"#".repeat(LINE_BYTES_MAX + 1)].concat();
        check_error(&long, "FILE:2: line too long, expected at most 4096 bytes");
        let large = b"#\n".repeat(600_000);
        check_error(&large, "FILE: too large for a config file, expected at most 1048576 bytes");
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none")] {
            let error = load("larder", vec!["--config".into(), path.clone().into()]).unwrap_err();
            let expected = format!("{}: cannot read the config file: ", path.display());
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert_eq!(error.exit_code(), 71);
        }
        let error = load("larder", vec!["--config=/a".into(), "--config=/b".into()]).unwrap_err();
        assert_eq!(error.to_string(), "--config '/b': expected one config file only");
    }

    proptest! {
        #[test]
        fn no_file_panics(
            content in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "([-a-zA-Z=# 0-9,.:\\[\\]\"']{0,30}\n){0,5}".prop_map(String::into_bytes),
            ],
        ) {
            if let Err(error) = with_file(&content, "") {
                prop_assert!(error.starts_with("FILE:") && !error.contains('\n'), "{:?}", error);
            }
        }
    }
}
