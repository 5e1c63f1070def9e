//! From an argument vector to [`Settings`]: parsing, precedence, rules across options.
//!
//! clap does the parsing, from the table; it never prints or exits here.

use std::ffi::{OsStr, OsString};
use std::num::NonZero;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ArgMatches;
use clap::{Arg, ArgAction, Command, value_parser};

use super::error::{ConfigError, Problem, Source, printable};
use super::help;
use super::listen::Interface;
use super::options::{Effect, Group, OptionSpec, Printed, Support, table};
use super::reload::Reader;
use super::settings::{BindingProtocol, HOT_AND_WARM_PCT_MAX, Port, Settings, THREADS_WARNING};
use super::tls::Security;
use super::{file, options};

/// What to do after reading the command line.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start the daemon.
    Run(Box<Settings>),
    /// Write this to stdout as it is, line end included, and exit with 0.
    Print(String),
}

/// One option as it was given, not yet applied.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub spec: &'static OptionSpec,
    pub value: Option<OsString>,
    /// Given as `no_...` under `-o`.
    pub negated: bool,
    pub source: Source,
}

impl Given {
    fn error(&self, problem: Problem) -> ConfigError {
        let no = if self.negated { "no_" } else { "" };
        let label = self.spec.label().replacen("-o ", &format!("-o {no}"), 1);
        ConfigError::new(self.source.clone(), problem).about(label, self.value.as_deref())
    }

    /// The value as text; an option without value has none.
    fn text(&self) -> Result<Option<&str>, ConfigError> {
        let not_text = || self.error(Problem::Expected("text in UTF-8".to_owned()));
        self.value.as_deref().map(|value| value.to_str().ok_or_else(not_text)).transpose()
    }
}

/// What a command line, and its config file, say.
pub(super) enum Read {
    /// As [`Action::Print`].
    Print(String),
    /// All options, in order of precedence, and the config file as it was named.
    Options { given: Vec<Given>, config_file: Option<PathBuf> },
}

/// Reads the command line, and the config file if it names one. `program` is the name that the
/// process was started under (with or without its path), `args` what follows it.
///
/// # Errors
/// The first thing that is wrong, in the order file, command line, rules across options.
pub fn load(program: &str, args: Vec<OsString>) -> Result<Action, ConfigError> {
    Reader::new(program, args).read()
}

/// The options of the command line and of its config file, which is at `known_place` if that is known.
pub(super) fn read(
    args: Vec<OsString>,
    known_place: Option<&Path>,
    as_memcached: bool,
) -> Result<Read, ConfigError> {
    let given = parse(args, &Source::CommandLine)?;
    for one in &given {
        if let Effect::Print(what) = one.spec.effect {
            return Ok(Read::Print(match what {
                Printed::Help => help::help(as_memcached),
                Printed::Licence => help::licence(),
                Printed::Version => help::version(as_memcached) + "\n",
            }));
        }
    }
    let config_file = config_file(&given)?;
    let mut all = match known_place.or(config_file.as_deref()) {
        Some(path) => file::read(path)?,
        None => Vec::new(),
    };
    for name in ["listen", "verbose"] {
        // These add up, so that what the file gave must go; for the others the last one wins.
        if given.iter().any(|one| one.spec.long == name) {
            all.retain(|one| one.spec.long != name);
        }
    }
    all.extend(given);
    Ok(Read::Options { given: all, config_file })
}

/// The settings that these options make.
pub(super) fn settle(
    as_memcached: bool,
    config_file: Option<PathBuf>,
    all: &[Given],
) -> Result<Settings, ConfigError> {
    let mut settings = Settings { program_is_memcached: as_memcached, config_file, ..Settings::default() };
    for one in all {
        apply(&mut settings, one)?;
    }
    finish(&mut settings, all)?;
    Ok(settings)
}

/// Splits an argument vector into options, in the order given; `-o` lists become their parts.
pub(super) fn parse(args: Vec<OsString>, source: &Source) -> Result<Vec<Given>, ConfigError> {
    let matches = command().try_get_matches_from(args).map_err(|e| from_clap(&e, source))?;
    let mut given = Vec::new();
    for spec in table().filter(|spec| spec.group != Group::Extended) {
        given.extend(occurrences(spec, &matches, source));
    }
    given.sort_by_key(|(index, _)| *index);
    let mut flat = Vec::new();
    for (_, one) in given {
        match one.spec.effect {
            Effect::ExtendedList => flat.extend(suboptions(&one)?),
            _ => flat.push(one),
        }
    }
    Ok(flat)
}

/// What clap is to parse.
pub(super) fn command() -> Command {
    let mut command = Command::new("larder")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true);
    for spec in table().filter(|spec| spec.group != Group::Extended) {
        let mut arg = Arg::new(spec.id());
        if !spec.long.is_empty() {
            arg = arg.long(spec.long);
        }
        if let Some(short) = spec.short {
            arg = arg.short(short);
        }
        arg = match spec.value {
            "" => arg.action(ArgAction::Count),
            // As with getopt, what follows an option is its value, even `-1`.
            _ => {
                arg.action(ArgAction::Append).value_parser(value_parser!(OsString)).allow_hyphen_values(true)
            }
        };
        command = command.arg(arg);
    }
    command
}

/// All occurrences of one option, each with its place in the argument vector.
fn occurrences(spec: &'static OptionSpec, matches: &ArgMatches, source: &Source) -> Vec<(usize, Given)> {
    let one = |value| Given { spec, value, negated: false, source: source.clone() };
    let Some(indices) = matches.indices_of(spec.id()) else { return Vec::new() };
    if spec.value.is_empty() {
        // clap keeps one place for a counted switch.
        let count = usize::from(matches.get_count(spec.id()));
        return indices.take(1).flat_map(|index| vec![(index, one(None)); count]).collect();
    }
    let values = matches.get_many::<OsString>(spec.id()).unwrap_or_default();
    indices.zip(values.map(|value| one(Some(value.clone())))).collect()
}

/// The parts of one `-o` list.
fn suboptions(list: &Given) -> Result<Vec<Given>, ConfigError> {
    let text = list.text()?.unwrap_or("");
    let mut given = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(OsString::from(value.trim()))),
            None => (part, None),
        };
        let Some((spec, negated)) = suboption(name) else {
            let problem = Problem::Other("unknown suboption, --help lists those there are".to_owned());
            let label = format!("-o {}", printable(name));
            return Err(ConfigError::new(list.source.clone(), problem).about(label, value.as_deref()));
        };
        given.push(Given { spec, value, negated, source: list.source.clone() });
    }
    Ok(given)
}

/// Finds a suboption by name, or by its `no_` form.
fn suboption(name: &str) -> Option<(&'static OptionSpec, bool)> {
    let mut specs = table().filter(|spec| spec.group == Group::Extended);
    let positive = name.strip_prefix("no_");
    specs.find_map(|spec| {
        let toggled = matches!(spec.effect, Effect::Toggle(_)) && positive == Some(spec.long);
        (toggled || spec.long == name).then_some((spec, toggled))
    })
}

fn config_file(given: &[Given]) -> Result<Option<PathBuf>, ConfigError> {
    let mut named = given.iter().filter(|one| matches!(one.spec.effect, Effect::ConfigFile));
    let first = named.next();
    if let Some(second) = named.next() {
        return Err(second.error(Problem::Expected("one config file only".to_owned())));
    }
    Ok(first.and_then(|one| one.value.as_ref()).map(PathBuf::from))
}

fn apply(settings: &mut Settings, given: &Given) -> Result<(), ConfigError> {
    let fail = |problem| given.error(problem);
    let no_value = || match given.value {
        Some(_) => Err(fail(Problem::Expected("no value".to_owned()))),
        None => Ok(()),
    };
    let missing = || fail(Problem::Expected(format!("a value: {}", given.spec.value.to_lowercase())));
    match given.spec.effect {
        Effect::Switch(act) => {
            no_value()?;
            act(settings);
        }
        Effect::Toggle(act) => {
            no_value()?;
            act(settings, !given.negated);
        }
        Effect::Value(act) => act(settings, given.text()?.ok_or_else(missing)?).map_err(fail)?,
        Effect::OptionalValue(act) => act(settings, given.text()?).map_err(fail)?,
        Effect::Path(act) => act(settings, given.value.as_deref().ok_or_else(missing)?).map_err(fail)?,
        Effect::Refuse(why) => return Err(fail(Problem::NotYet(why))),
        Effect::ExtendedList | Effect::Print(_) | Effect::ConfigFile => {}
    }
    if given.spec.support == Support::Accepted {
        let label = given.spec.label();
        if !settings.without_effect.contains(&label) {
            settings.without_effect.push(label);
        }
    }
    Ok(())
}

/// Rules that tie several options together.
fn finish(settings: &mut Settings, given: &[Given]) -> Result<(), ConfigError> {
    let blame = |names, problem| blame(given, names, problem);
    let half = settings.memory_limit_bytes / 2;
    if settings.max_item_size > half {
        let (size, memory) = (settings.max_item_size, settings.memory_limit_bytes >> 20);
        let enough = (2 * size).div_ceil(1 << 20);
        let problem = format!(
            "an item of {size} bytes (--max-item-size) to be at most half of {memory} MB (--memory-limit), \
             or --memory-limit {enough}"
        );
        return Err(blame(["max-item-size", "memory-limit"], problem));
    }
    let pct = settings.hot_lru_pct + settings.warm_lru_pct;
    if pct > HOT_AND_WARM_PCT_MAX {
        let problem = format!("hot_lru_pct and warm_lru_pct to be at most {HOT_AND_WARM_PCT_MAX} together");
        return Err(blame(["hot_lru_pct", "warm_lru_pct"], problem));
    }
    if settings.temp_lru && !settings.lru_maintainer {
        let problem = "lru_maintainer, which temporary_ttl needs".to_owned();
        return Err(blame(["temporary_ttl", "lru_maintainer"], problem));
    }
    if usize::try_from(settings.napi_ids).is_ok_and(|ids| ids > settings.threads) {
        let problem = format!("--napi-ids to be at most --threads ({})", settings.threads);
        return Err(blame(["napi-ids", "threads"], problem));
    }
    if settings.threads > THREADS_WARNING {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = settings.threads;
        settings.warnings.push(format!(
            "{threads} threads get in each other's way: -t {cores}, a thread for each core, does best"
        ));
    }
    // As in memcached, whoever names a port for UDP alone means both.
    if settings.udp.port != Port::Off && given.iter().all(|one| one.spec.long != "port") {
        settings.tcp_port = settings.udp.port;
    }
    settings.resolve_listen();
    rules_of_logins(settings, given)?;
    if let Some((culprits, problem)) = tls_problem(settings) {
        return Err(blame(culprits, problem));
    }
    if let Some(address) = settings.public_udp_address() {
        let problem = format!(
            "UDP on loopback addresses only, or -o udp_public if '{}' is to answer whoever can reach it",
            printable(address)
        );
        return Err(blame(["udp-port", "listen"], problem));
    }
    Ok(())
}

/// The error of two options that do not go together: it belongs to whichever was given last.
fn blame(given: &[Given], names: [&str; 2], problem: String) -> ConfigError {
    let culprit = given.iter().rev().find(|one| names.contains(&one.spec.long));
    match culprit {
        Some(one) => one.error(Problem::Expected(problem)),
        None => ConfigError::new(Source::CommandLine, Problem::Expected(problem)),
    }
}

/// What goes with logins: the text protocol alone, as in memcached, and no datagrams, which cannot log in.
fn rules_of_logins(settings: &mut Settings, given: &[Given]) -> Result<(), ConfigError> {
    let file = match (&settings.auth_file, &settings.users_file) {
        (None, None) => return Ok(()),
        (Some(_), Some(_)) => {
            let problem = "--auth-file or --users-file, not both".to_owned();
            return Err(blame(given, ["auth-file", "users-file"], problem));
        }
        (Some(_), None) => "auth-file",
        (None, Some(_)) => "users-file",
    };
    if settings.udp.port != Port::Off {
        let problem = format!("no UDP together with --{file}: datagrams cannot log in");
        return Err(blame(given, ["udp-port", file], problem));
    }
    let names_protocol = given.iter().any(|one| one.spec.long == "protocol");
    if names_protocol && settings.binding_protocol != BindingProtocol::Ascii {
        let problem = format!("--protocol ascii, or none, together with --{file}");
        return Err(blame(given, ["protocol", file], problem));
    }
    settings.binding_protocol = BindingProtocol::Ascii;
    Ok(())
}

/// What is wrong with TLS: the options to blame, and what is expected. Warns of what has no effect.
fn tls_problem(settings: &mut Settings) -> Option<([&'static str; 2], String)> {
    let tls = &settings.tls;
    if !tls.enabled {
        if settings.interfaces.iter().any(Interface::asks_for_tls) {
            return Some((["listen", ""], "--enable-ssl, which btls: and mtls: need".to_owned()));
        }
        if tls.chain_cert.is_some() || tls.key.is_some() {
            let warning = "-o ssl_chain_cert and -o ssl_key do nothing without --enable-ssl: there is no TLS";
            settings.warnings.push(warning.to_owned());
        }
        return None;
    }
    let wants_authority =
        settings.listen.iter().any(|address| address.security == Security::TlsWithClientCertificate);
    if let Some(problem) = tls.problem(wants_authority) {
        return Some(problem);
    }
    let problem = "no UDP with --enable-ssl: datagrams cannot be encrypted".to_owned();
    (settings.udp.port != Port::Off).then_some((["udp-port", "enable-ssl"], problem))
}

/// clap's error, as our one line.
fn from_clap(error: &clap::Error, source: &Source) -> ConfigError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    // clap shows an option with its value's name, a counted switch with dots.
    let name = argument.split([' ', '=']).next().unwrap_or_default().trim_end_matches("...");
    let new = |problem| ConfigError::new(source.clone(), problem);
    match error.kind() {
        ErrorKind::UnknownArgument if !argument.starts_with('-') => {
            let problem = Problem::Expected("options only".to_owned());
            new(problem).about(format!("'{}'", printable(&argument)), None)
        }
        ErrorKind::UnknownArgument => {
            let problem = Problem::Other(unknown(name, context(ContextKind::SuggestedArg)));
            new(problem).about(printable(name), None)
        }
        ErrorKind::TooManyValues => {
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            new(Problem::Expected("no value".to_owned())).about(label(name), Some(OsStr::new(&value)))
        }
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            new(Problem::Expected("a value".to_owned())).about(label(name), None)
        }
        kind => new(Problem::Other(kind.to_string().to_lowercase())).about(printable(&argument), None),
    }
}

/// What to say about an option that is not there: ambiguous, misspelt, or just unknown.
fn unknown(name: &str, suggested: Option<String>) -> String {
    let meant: Vec<String> = match name.strip_prefix("--") {
        Some(start) if !start.is_empty() => {
            table().filter(|spec| spec.abbreviated_by(start)).map(OptionSpec::label).collect()
        }
        _ => Vec::new(),
    };
    match (meant.as_slice(), suggested) {
        ([], Some(other)) => format!("unknown option, did you mean {other}?"),
        ([], None) => "unknown option, --help lists those there are".to_owned(),
        (several, _) => format!("ambiguous option, expected one of {}", several.join(", ")),
    }
}

/// The table's name for what clap calls `--port` or `-D`.
fn label(name: &str) -> String {
    options::table()
        .find(|spec| spec.label() == name || spec.short.is_some_and(|short| name == format!("-{short}")))
        .map_or_else(|| printable(name), OptionSpec::label)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::super::settings::{HashAlgorithm, ListenAddress};
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[track_caller]
    fn settings(line: &str) -> Settings {
        match load("larder", words(line)) {
            Ok(Action::Run(settings)) => *settings,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// The command line sets exactly what `change` sets on the defaults.
    #[track_caller]
    fn check(line: &str, change: impl FnOnce(&mut Settings)) {
        let mut expected = Settings::default();
        change(&mut expected);
        assert_eq!(settings(line), expected, "{line}");
    }

    #[track_caller]
    fn check_error(line: &str, expected: &str) {
        let error = load("larder", words(line)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{line}");
        assert_eq!(error.exit_code(), 64);
    }

    fn assert_one_line(error: &ConfigError) {
        let text = error.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(!text.is_empty() && !text.ends_with('.'), "{text:?}");
        assert!(!text.starts_with(char::is_uppercase), "{text:?}");
    }

    #[test]
    fn the_table_makes_a_sound_command() {
        command().debug_assert();
    }

    #[test]
    fn a_value_may_be_glued_separate_or_behind_an_equals_sign() {
        for line in
            ["-m64", "-m 64", "--memory-limit=64", "--memory-limit 64", "--memory-l=64", "--memory-lim 64"]
        {
            check(line, |_| ());
        }
        for line in ["-m100", "-m 100", "--memory-limit=100", "--memory-limit 100", "--memory-l 100"] {
            check(line, |s| s.memory_limit_bytes = 100 << 20);
        }
        check("-vk -MC", |s| {
            s.verbosity = 1;
            s.lock_memory = true;
            s.evictions = false;
            s.cas_enabled = false;
        });
        check("-vvc5", |s| {
            s.verbosity = 2;
            s.max_connections = 5;
        });
    }

    #[test]
    fn every_real_option_sets_its_field() {
        check("-c 7", |s| s.max_connections = 7);
        check("-R 1", |s| s.requests_per_event = 1);
        check("-b 0", |s| s.backlog = 0);
        check("-a 0770", |s| s.unix_mask = 0o770);
        check("-f 1.5", |s| s.slab_growth_factor = Some(1.5));
        check("-f 1.25", |s| s.slab_growth_factor = Some(1.25));
        check("-n 48", |s| s.slab_min_size = Some(48));
        check("-I 2m", |s| s.max_item_size = 2 << 20);
        check("-I 512K", |s| s.max_item_size = 512 << 10);
        check("-I 1024", |s| s.max_item_size = 1024);
        check("-I 1g -m 2048", |s| {
            s.max_item_size = 1 << 30;
            s.memory_limit_bytes = 2 << 30;
        });
        check("-F", |s| s.flush_enabled = false);
        check("-X", |s| s.dump_enabled = false);
        check("-W", |s| s.watch_enabled = false);
        check("-d -d", |s| s.daemonize = true);
        check("-r", |s| s.core_dumps = true);
        check("-u nobody", |s| s.user = Some("nobody".to_owned()));
        check("-P /run/x.pid", |s| s.pid_file = Some("/run/x.pid".into()));
        check("--log-file /tmp/x.log", |s| s.log_file = Some("/tmp/x.log".into()));
        check("-o no_maxconns_fast", |s| s.max_connections_fast = false);
        check("-vvv", |s| s.verbosity = 3);
        check("-v -v --verbose --verb", |s| s.verbosity = 4);
        assert_eq!(settings(&"-v ".repeat(300)).verbosity, 255);
    }

    #[test]
    fn threads_are_capped_by_the_cores_only_when_not_given() {
        assert!((1..=4).contains(&settings("").threads));
        check("-t 63", |s| {
            s.threads = 63;
            s.threads_given = true;
        });
        assert_eq!(settings("-t 65").warnings.len(), 1);
    }

    #[test]
    fn listens_on_loopback_unless_told_otherwise() {
        let at = |host: &str, port| ListenAddress {
            host: Some(host.to_owned()),
            port,
            tag: None,
            security: Security::Plain,
        };
        let any = |port| ListenAddress { host: None, port, tag: None, security: Security::Plain };
        let listen = |line: &str| settings(line).listen;
        assert_eq!(listen(""), [at("127.0.0.1", 11211)]);
        assert_eq!(listen("-p 0"), []);
        assert_eq!(listen("-p -1"), [at("127.0.0.1", 0)]);
        assert_eq!(listen("--port=-1"), [at("127.0.0.1", 0)]);
        assert_eq!(listen("-l *"), [any(11211)]);
        assert_eq!(listen("-l 0.0.0.0 -p 5"), [at("0.0.0.0", 5)]);
        assert_eq!(listen("-l :: -p 5"), [at("::", 5)]);
        assert_eq!(listen("-l a,b:6;[::1]:7 -l *:8 -p 5"), [at("a", 5), at("b", 6), at("::1", 7), any(8)]);
        assert_eq!(listen("-s /tmp/s -p 5 -l a"), []);
        assert_eq!(listen("-p 0 -l a:6"), []);
        assert_eq!(settings("-p 0").tcp_port, Port::Off);
        assert_eq!(settings("-p -1").tcp_port, Port::Ephemeral);
        assert_eq!(settings("-U 0 -s /tmp/s").unix_socket, Some("/tmp/s".into()));
    }

    #[test]
    fn udp_is_where_tcp_is() {
        let at = |host: &str, port| ListenAddress {
            host: Some(host.to_owned()),
            port,
            tag: None,
            security: Security::Plain,
        };
        let both = |line: &str| (settings(line).listen, settings(line).udp.listen);
        let loopback = |port| vec![at("127.0.0.1", port)];
        assert_eq!(both(""), (loopback(11211), vec![]));
        assert_eq!(both("-U 0 -p 5"), (loopback(5), vec![]));
        assert_eq!(both("-U 7"), (loopback(7), loopback(7)));
        assert_eq!(both("-U 7 -p 5"), (loopback(5), loopback(7)));
        assert_eq!(both("-p 11211 -U 7"), (loopback(11211), loopback(7)));
        assert_eq!(both("-U -1"), (loopback(0), loopback(0)));
        assert_eq!(both("-U 7 -p 0"), (vec![], loopback(7)));
        assert_eq!(both("-U 7 -s /tmp/s"), (vec![], vec![]));
        let list = |port| vec![at("localhost", 6), at("::1", port)];
        assert_eq!(both("-U 7 -p 5 -l localhost:6,::1"), (list(5), list(7)));
        assert_eq!(settings("-U 7 -t 3").udp_sockets_per_address(), 3);
        assert_eq!(settings("-U 7 -t 3 -l ::1,127.0.0.1").udp_sockets_per_address(), 1);
    }

    #[test]
    fn udp_is_public_only_where_that_is_asked_for() {
        let wanted = |address| {
            format!(
                "expected UDP on loopback addresses only, or -o udp_public if '{address}' is to answer whoever \
                 can reach it"
            )
        };
        check_error("-U 7 -l *", &format!("--listen '*': {}", wanted("*")));
        check_error("-l 10.0.0.1 -U 7", &format!("--udp-port '7': {}", wanted("10.0.0.1")));
        for address in ["0.0.0.0", "::", "*:5", "127.0.0.1,192.168.0.1", "[fd00::1]:5"] {
            let line = format!("-U 7 -l {address}");
            assert!(load("larder", words(&line)).is_err(), "{line}");
            assert_eq!(settings(&format!("{line} -o udp_public")).udp.listen.last().unwrap().port % 2, 1);
            settings(&format!("{line} -s /tmp/s"));
            settings(&format!("-l {address}"));
        }
        settings("-U 7 -l 127.0.0.1,127.1.2.3,::1,some.name");
    }

    #[test]
    fn the_last_of_several_wins() {
        check("-m 10 -m 100", |s| s.memory_limit_bytes = 100 << 20);
        check("-o no_maxconns_fast -o maxconns_fast", |_| ());
        check("-o maxconns_fast,no_maxconns_fast", |s| s.max_connections_fast = false);
    }

    #[test]
    fn options_without_effect_are_checked_kept_and_named() {
        let s = settings(
            "-o hashpower=20,no_hashexpand,hash_algorithm=xxh3,slab_automove_freeratio=0.1 -L -B ascii",
        );
        assert_eq!(s.hash_power, 20);
        assert_eq!(s.hash_algorithm, HashAlgorithm::Xxh3);
        assert_eq!(s.binding_protocol, BindingProtocol::Ascii);
        assert!(s.large_pages);
        let named = ["-o hashpower", "-o no_hashexpand", "-o hash_algorithm", "-o slab_automove_freeratio"];
        assert_eq!(s.without_effect[..4], named);
        assert_eq!(s.without_effect[4..], ["--enable-largepages", "--protocol"]);
        assert!(settings("-o no_modern").without_effect.is_empty(), "it changes the LRU and page moves");
        let s = settings("-o slab_chunk_max=64,slab_sizes=96-200-400,slab_automove,tail_repair_time=10");
        assert_eq!((s.slab_chunk_max, s.slab_automove), (64 << 10, 1));
        assert_eq!(s.slab_sizes, [96, 200, 400]);
        let s = settings("-o drop_privileges,no_drop_privileges,relaxed_privileges,,idle_timeout=0");
        assert_eq!(s.rows(), Settings::default().rows());
        assert_eq!(settings("-t 4 -N 4").napi_ids, 4);
        let s = settings("-o no_modern,slab_automove=2");
        assert!(!s.lru_segmented && !s.max_connections_fast && !s.slab_reassign);
        assert_eq!(s.slab_automove, 2);
        assert!(!settings("-o no_lru_maintainer").lru_segmented);
    }

    #[test]
    fn every_refused_option_is_refused_by_name() {
        let mut seen = 0;
        for spec in table().filter(|spec| spec.support == Support::Refused) {
            seen += 1;
            let value = if spec.value.is_empty() { "" } else { "7" };
            let line = match (spec.group, spec.short) {
                (Group::Extended, _) if value.is_empty() => format!("-o {}", spec.long),
                (Group::Extended, _) => format!("-o {}={value}", spec.long),
                (_, Some(short)) => format!("-{short} {value}"),
                (_, None) => format!("--{} {value}", spec.long),
            };
            let error = load("memcached", words(&line)).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with(&spec.label()), "{line}: {text}");
            assert!(text.contains(": not supported yet, "), "{line}: {text}");
            assert_one_line(&error);
        }
        assert!(seen >= 20, "{seen}");
    }

    #[test]
    fn refusals_name_what_would_do() {
        check_error("-S", "--enable-sasl: not supported yet, leave it out");
        check_error("-B binary", "--protocol 'binary': not supported yet, use ascii or auto");
        check_error("-B bin", "--protocol 'bin': expected ascii, auto or negotiating");
        let no_flash = "not supported yet, items are kept in memory alone: leave it out";
        check_error("-o ext_path=/e:1g", &format!("-o ext_path '/e:1g': {no_flash}"));
        let no_proxy = "not supported yet, larder is no proxy: leave it out";
        check_error("-o proxy_uring", &format!("-o proxy_uring: {no_proxy}"));
    }

    #[test]
    fn a_number_out_of_range_is_refused() {
        check_error("-p 65536", "--port '65536': expected a port, 0 to 65535, or -1 for any free one");
        check_error("-p -2", "--port '-2': expected a port, 0 to 65535, or -1 for any free one");
        check_error("-p", "--port: expected a value");
        check_error("--port=", "--port '': expected a port, 0 to 65535, or -1 for any free one");
        check_error("-t 0", "--threads '0': expected threads, 1 to 4096");
        check_error("-c 0", "--conn-limit '0': expected connections, 1 to 2147483647");
        check_error("-c -1", "--conn-limit '-1': expected connections, 1 to 2147483647");
        check_error("-R 0", "--max-reqs-per-event '0': expected requests, 1 to 2147483647");
        check_error("-b -1", "--listen-backlog '-1': expected connections, 0 to 2147483647");
        check_error("-f 1", "--slab-growth-factor '1': expected a number above 1");
        check_error("-f nan", "--slab-growth-factor 'nan': expected a number above 1");
        check_error("-f inf", "--slab-growth-factor 'inf': expected a number above 1");
        check_error("-n 0", "--slab-min-size '0': expected bytes, 1 to 1048576");
        check_error("-a 999", "--unix-mask '999': expected an octal mode, 0 to 777");
        check_error("-a +7", "--unix-mask '+7': expected an octal mode, 0 to 777");
        check_error("-a 1000", "--unix-mask '1000': expected an octal mode, 0 to 777");
        for size in ["1023", "7x", "", "m", "-1", "1025m", "18446744073709551615m"] {
            let line = format!("--max-item-size={size}");
            let wanted = "expected bytes with an optional k, m or g suffix, 1024 to 1g";
            check_error(&line, &format!("--max-item-size '{size}': {wanted}"));
        }
        for size in ["0", "64MB", "1.5", "99999999999999999999"] {
            let error = load("larder", words(&format!("-m {size}"))).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--memory-limit '{size}': expected megabytes")), "{error}");
        }
    }

    #[test]
    fn a_suboption_out_of_range_is_refused() {
        let cases = [
            "hashpower=11",
            "hashpower=33",
            "hashpower=x",
            "hashpower",
            "hash_algorithm=md5",
            "tail_repair_time=9",
            "lru_crawler_sleep=1000001",
            "lru_crawler_tocrawl=-1",
            "hot_lru_pct=0",
            "hot_lru_pct=80",
            "warm_lru_pct=x",
            "hot_max_factor=0",
            "warm_max_factor=-1",
            "slab_automove=3",
            "slab_automove_ratio=0",
            "slab_automove_ratio=1.01",
            "slab_automove_ratio=nan",
            "slab_automove_window=2",
            "slab_automove_window=1801",
            "temporary_ttl=-1",
            "lru_policy=lfu",
            "slab_chunk_max=1025",
            "slab_chunk_max=3",
            "slab_sizes=100-104",
            "slab_sizes=0",
            "slab_sizes=a",
            "slab_sizes=",
            "watcher_logbuf_size=0",
            "worker_logbuf_size=x",
            "read_buf_mem_limit=-1",
            "idle_timeout=x",
            "maxconns_fast=1",
            "no_maxconns_fast=1",
            "no_hashexpand=1",
        ];
        for case in cases {
            let error = load("larder", words(&format!("-o {case}"))).unwrap_err();
            let (name, value) = case.split_once('=').unwrap_or((case, ""));
            let text = error.to_string();
            assert!(text.starts_with(&format!("-o {name}")), "{case}: {text}");
            assert!(text.contains(": expected ") && text.contains(value), "{case}: {text}");
            assert_one_line(&error);
        }
        check_error("-o bogus", "-o bogus: unknown suboption, --help lists those there are");
        check_error("-o no_hashpower", "-o no_hashpower: unknown suboption, --help lists those there are");
        check_error("-o bogus=1", "-o bogus '1': unknown suboption, --help lists those there are");
    }

    #[test]
    fn rules_across_options_blame_the_last_one_given() {
        check_error(
            "-I 33m",
            "--max-item-size '33m': expected an item of 34603008 bytes (--max-item-size) to be at most half of 64 MB (--memory-limit), or --memory-limit 66",
        );
        check_error(
            "-m 1",
            "--memory-limit '1': expected an item of 1048576 bytes (--max-item-size) to be at most half of 1 MB (--memory-limit), or --memory-limit 2",
        );
        check("-m 1 -I 512k", |s| {
            s.memory_limit_bytes = 1 << 20;
            s.max_item_size = 512 << 10;
        });
        check_error(
            "-o hot_lru_pct=41",
            "-o hot_lru_pct '41': expected hot_lru_pct and warm_lru_pct to be at most 80 together",
        );
        check_error(
            "-o no_lru_maintainer,temporary_ttl=5",
            "-o temporary_ttl '5': expected lru_maintainer, which temporary_ttl needs",
        );
        check_error("-t 2 -N 3", "--napi-ids '3': expected --napi-ids to be at most --threads (2)");
    }

    #[test]
    fn an_unknown_option_is_named() {
        check_error("-q", "-q: unknown option, --help lists those there are");
        check_error("-vq", "-q: unknown option, --help lists those there are");
        check_error("--memory-limt 5", "--memory-limt: unknown option, did you mean --memory-limit?");
        check_error("--xyzzy=5", "--xyzzy: unknown option, --help lists those there are");
        check_error("--po", "--port: expected a value");
        check_error(
            "--enable-s",
            "--enable-s: ambiguous option, expected one of --enable-shutdown, --enable-sasl, --enable-ssl",
        );
        check_error("--daemon=yes", "--daemon 'yes': expected no value");
        check_error("start", "'start': expected options only");
        check_error("-d -- stray", "'stray': expected options only");
    }

    #[test]
    fn a_value_that_is_no_text_is_refused_except_in_a_path() {
        let odd = || OsString::from_vec(b"/tmp/\xff".to_vec());
        let error = load("larder", vec!["-m".into(), odd()]).unwrap_err();
        assert_eq!(error.to_string(), "--memory-limit '/tmp/\u{fffd}': expected text in UTF-8");
        let error = load("larder", vec!["-o".into(), odd()]).unwrap_err();
        assert_eq!(error.to_string(), "--extended '/tmp/\u{fffd}': expected text in UTF-8");
        let Ok(Action::Run(settings)) = load("larder", vec!["-s".into(), odd()]) else { panic!() };
        assert_eq!(settings.unix_socket, Some(odd().into()));
        check_error("--pidfile=", "--pidfile '': expected a path");
    }

    #[test]
    fn help_version_and_licence_are_printed_instead_of_a_start() {
        let print = |program: &str, line: &str| match load(program, words(line)) {
            Ok(Action::Print(text)) => text,
            other => panic!("{line}: {other:?}"),
        };
        let own = format!("larder {} (memcached 1.6.45)", env!("CARGO_PKG_VERSION"));
        for flag in ["-V", "--version", "-m 1 -V", "--vers"] {
            assert_eq!(print("/usr/bin/memcached", flag), "memcached 1.6.45\n");
            assert_eq!(print("larder", flag), format!("{own}\n"));
        }
        for flag in ["-h", "--help", "-p 7 -h -V"] {
            assert_eq!(print("memcached", flag).lines().next(), Some("memcached 1.6.45"));
            assert_eq!(print("./larder", flag).lines().next(), Some(own.as_str()));
        }
        assert!(print("memcached", "-i").contains("Apache License, version 2.0"));
        assert!(!print("memcached", "--config /no/such -V").is_empty());
    }

    #[test]
    fn the_name_it_was_started_under_is_remembered() {
        for (program, expected) in [
            ("memcached", true),
            ("/usr/bin/memcached", true),
            ("larder", false),
            ("", false),
            ("memcached/x", false),
        ] {
            let Ok(Action::Run(settings)) = load(program, Vec::new()) else { panic!("{program}") };
            assert_eq!(settings.program_is_memcached, expected, "{program}");
        }
    }

    /// Mostly real options and plausible values, sometimes arbitrary bytes.
    fn argument() -> impl Strategy<Value = OsString> {
        let names: Vec<String> = table()
            .flat_map(|spec| {
                [format!("--{}", spec.long), format!("-{}", spec.short.unwrap_or('o')), spec.long.into()]
            })
            .collect();
        let values = [
            "0",
            "-1",
            "64",
            "1m",
            "1.5",
            "*",
            "[::1]:1",
            "a,b=c",
            "=",
            "",
            "--",
            "700",
            "99999999999999999999",
        ];
        let name = || prop::sample::select(names.clone());
        let value = || prop::sample::select(values.to_vec());
        prop_oneof![
            name().prop_map(OsString::from),
            value().prop_map(OsString::from),
            (name(), value()).prop_map(|(n, v)| format!("{n}={v}").into()),
            (name(), value()).prop_map(|(n, v)| format!("{n}{v}").into()),
            any::<String>().prop_map(OsString::from),
            prop::collection::vec(1..=255u8, 0..20).prop_map(OsString::from_vec),
        ]
    }

    proptest! {
        #[test]
        fn no_argument_vector_panics(args in prop::collection::vec(argument(), 0..8)) {
            if let Err(error) = load("larder", args) {
                let text = error.to_string();
                prop_assert!(!text.contains('\n') && !text.is_empty(), "{:?}", text);
            }
        }
    }
}
