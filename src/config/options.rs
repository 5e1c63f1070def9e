//! The table of options: one line of truth per option for parsing, `--help`, `stats settings` and
//! `memcached.conf.example`.
//!
//! Table order is row order in `stats settings`; the second half is `extended.rs`. Knows nothing of argument vectors or files.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::base::cgroup;

use super::error::Problem;
use super::extended::SECOND_HALF;
use super::listen;
use super::settings::{BindingProtocol, Port, Settings};
use super::values::{INT_MAX, above, expected, item_size, log_format, memory_limit, number, octal_mode, set};

/// Where an option is given, and under which heading `--help` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Network,
    Memory,
    Process,
    Commands,
    Program,
    /// Part of an `-o` list.
    Extended,
}

/// How much of an option there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// Does what it says.
    Real,
    /// Checked and shown in `stats settings`, but nothing depends on it: ignoring it is harmless.
    Accepted,
    /// Refused by name, because ignoring it would harm or mislead.
    Refused,
}

/// What giving an option does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// No value.
    Switch(fn(&mut Settings)),
    /// Only under `-o`: `name`, or `no_name` for the opposite.
    Toggle(fn(&mut Settings, bool)),
    /// A value in UTF-8.
    Value(fn(&mut Settings, &str) -> Result<(), Problem>),
    /// Only under `-o`: a value that may be missing.
    OptionalValue(fn(&mut Settings, Option<&str>) -> Result<(), Problem>),
    /// A value in the system's own encoding: a path.
    Path(fn(&mut Settings, &OsStr) -> Result<(), Problem>),
    /// Nothing may be given; a value is read over. Why, or what to do instead.
    Refuse(&'static str),
    /// The value is a list of options of group `Extended`.
    ExtendedList,
    /// Prints something in place of a start.
    Print(Printed),
    /// The value names the config file.
    ConfigFile,
}

/// What can be printed in place of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Printed {
    Help,
    Licence,
    Version,
}

/// One line of `stats settings`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub name: &'static str,
    pub show: fn(&Settings) -> String,
    /// memcached has none like it; such lines come behind the others.
    pub is_own: bool,
}

/// One option of the command line, or one suboption of `-o`.
#[derive(Clone, Copy, Debug)]
pub(super) struct OptionSpec {
    /// Long name, or the suboption's name; empty only for `-D`.
    pub long: &'static str,
    pub short: Option<char>,
    pub group: Group,
    pub support: Support,
    pub effect: Effect,
    /// Name of the value in `--help`; empty for a switch.
    pub value: &'static str,
    /// Default as `--help` and the example file show it; empty for none.
    pub default: &'static str,
    /// Value for the example file where there is no default.
    pub sample: &'static str,
    /// One sentence, no full stop.
    pub help: &'static str,
    /// Whether it may change while the daemon runs: then SIGHUP brings what the config file says now.
    pub is_live: bool,
    /// Its lines of `stats settings`, followed by one that has no option of its own.
    pub rows: [Option<Row>; 2],
}

impl OptionSpec {
    pub(super) const fn new(long: &'static str, group: Group, support: Support, effect: Effect) -> Self {
        Self {
            long,
            short: None,
            group,
            support,
            effect,
            value: "",
            default: "",
            sample: "",
            help: "",
            is_live: false,
            rows: [None, None],
        }
    }

    /// An option that is refused whatever its value.
    pub(super) const fn refused(long: &'static str, group: Group) -> Self {
        Self::new(long, group, Support::Refused, Effect::Refuse("leave it out"))
    }

    /// Says more than to leave a refused option out.
    pub(super) const fn because(mut self, why: &'static str) -> Self {
        self.effect = Effect::Refuse(why);
        self
    }

    pub(super) const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    pub(super) const fn value(mut self, name: &'static str, default: &'static str) -> Self {
        self.value = name;
        self.default = default;
        self
    }

    /// For a switch that is on unless it is turned off.
    pub(super) const fn on_by_default(mut self) -> Self {
        self.default = "on";
        self
    }

    pub(super) const fn sample(mut self, sample: &'static str) -> Self {
        self.sample = sample;
        self
    }

    pub(super) const fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// May change while the daemon runs; `Daemon::change` has to know how.
    pub(super) const fn live(mut self) -> Self {
        self.is_live = true;
        self
    }

    pub(super) const fn row(mut self, name: &'static str, show: fn(&Settings) -> String) -> Self {
        let free = if self.rows[0].is_none() { 0 } else { 1 };
        self.rows[free] = Some(Row { name, show, is_own: false });
        self
    }

    /// A row that only larder has.
    pub(super) const fn own_row(mut self, name: &'static str, show: fn(&Settings) -> String) -> Self {
        let free = if self.rows[0].is_none() { 0 } else { 1 };
        self.rows[free] = Some(Row { name, show, is_own: true });
        self
    }

    /// Unique name inside the table.
    pub(super) fn id(&self) -> &'static str {
        if self.long.is_empty() { "D" } else { self.long }
    }

    /// Whether `start` abbreviates this option of the command line.
    pub(super) fn abbreviated_by(&self, start: &str) -> bool {
        self.group != Group::Extended && self.long.starts_with(start)
    }

    /// Name as error lines show it.
    pub(super) fn label(&self) -> String {
        match (self.group, self.short) {
            (Group::Extended, _) => format!("-o {}", self.long),
            (_, Some(short)) if self.long.is_empty() => format!("-{short}"),
            _ => format!("--{}", self.long),
        }
    }
}

/// Every option, in the order of `stats settings`.
pub(super) fn table() -> impl Iterator<Item = &'static OptionSpec> {
    FIRST_HALF.iter().chain(SECOND_HALF)
}

/// As memcached writes booleans.
pub(super) fn yes_no(on: bool) -> String {
    if on { "yes" } else { "no" }.to_owned()
}

fn port(text: &str) -> Result<Port, Problem> {
    match text.trim() {
        "-1" => Ok(Port::Ephemeral),
        digits => match digits.parse::<u16>() {
            Ok(0) => Ok(Port::Off),
            Ok(port) => Ok(Port::Fixed(port)),
            Err(_) => Err(expected("a port, 0 to 65535, or -1 for any free one")),
        },
    }
}

fn listen_on(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.interfaces.extend(listen::interfaces(text)?);
    let list = settings.interface_list.get_or_insert_default();
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(text.trim());
    Ok(())
}

fn protocol(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.binding_protocol = match text.trim() {
        "auto" | "negotiating" => BindingProtocol::Negotiating,
        "ascii" => BindingProtocol::Ascii,
        "binary" => return Err(Problem::NotYet("use ascii or auto")),
        _ => return Err(expected("ascii, auto or negotiating")),
    };
    Ok(())
}

fn user(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(expected("a user name"));
    }
    settings.user = Some(text.to_owned());
    Ok(())
}

/// The first byte counts, as in memcached.
fn prefix_delimiter(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.prefix_delimiter = *text.as_bytes().first().ok_or_else(|| expected("a character"))?;
    settings.detail_enabled = true;
    Ok(())
}

/// A path; an empty one is always a mistake, a NUL cannot reach the system.
pub(super) fn path(text: &OsStr) -> Result<PathBuf, Problem> {
    if text.is_empty() || text.as_encoded_bytes().contains(&0) {
        return Err(expected("a path"));
    }
    Ok(text.into())
}

/// The first half: rows up to `item_size_max`, and options without a row.
static FIRST_HALF: &[OptionSpec] = &[
    OptionSpec::new(
        "memory-limit",
        Group::Memory,
        Support::Real,
        Effect::Value(|s, v| set(&mut s.memory_limit_bytes, memory_limit(v, cgroup::memory_bytes()))),
    )
    .short('m')
    .value("MEGABYTES", "64")
    .help(
        "memory for items and their index; with a % behind it (70%) that part of what the control group may have, or \
         the machine if the group has no limit",
    )
    .live()
    .row("maxbytes", |s| s.memory_limit_bytes.to_string()),
    OptionSpec::new(
        "conn-limit",
        Group::Network,
        Support::Real,
        Effect::Value(|s, v| set(&mut s.max_connections, number(v, "connections", 1..=INT_MAX))),
    )
    .short('c')
    .value("COUNT", "1024")
    .help("most clients connected at the same time")
    .live()
    .row("maxconns", |s| s.max_connections.to_string()),
    OptionSpec::new(
        "port",
        Group::Network,
        Support::Real,
        Effect::Value(|s, v| set(&mut s.tcp_port, port(v))),
    )
    .short('p')
    .value("PORT", "11211")
    .help("TCP port; 0 for no TCP, -1 for any free port")
    .row("tcpport", |s| s.tcp_port.row()),
    OptionSpec::new(
        "udp-port",
        Group::Network,
        Support::Real,
        Effect::Value(|s, v| set(&mut s.udp.port, port(v))),
    )
    .short('U')
    .value("PORT", "0")
    .help("UDP port, of TCP as well unless --port is given; 0 for no UDP, -1 for any free port")
    .row("udpport", |s| s.udp.port.row()),
    OptionSpec::new("listen", Group::Network, Support::Real, Effect::Value(listen_on))
        .short('l')
        .value("ADDRESSES", "127.0.0.1")
        .help(
            "addresses to listen on, each with an optional :PORT, separated by commas; * for all, repeatable; with \
             tag[NAME]: before an address, `stats tags` counts its clients by that name; with notls:, btls: or \
             mtls: before it and --enable-ssl, it has no TLS, asks for no certificate of clients, or requires one",
        )
        .row("inter", Settings::interface_row),
    OptionSpec::new(
        "verbose",
        Group::Program,
        Support::Real,
        Effect::Switch(|s| s.verbosity = s.verbosity.saturating_add(1)),
    )
    .short('v')
    .help("log more; -vv and -vvv for more yet")
    .live()
    .row("verbosity", |s| s.verbosity.to_string())
    .row("oldest", |_| "0".to_owned()),
    OptionSpec::new(
        "log-file",
        Group::Program,
        Support::Real,
        Effect::Path(|s, v| {
            s.log_file = Some(path(v)?);
            Ok(())
        }),
    )
    .value("FILE", "")
    .sample("/var/log/larder/larder.log")
    .help(
        "append log lines to this file instead of stderr, opened again on SIGHUP when it was moved away; in a config file \
         also: logfile FILE",
    ),
    OptionSpec::new("log-format", Group::Program, Support::Real, Effect::Value(|s, v| set(&mut s.log_format, log_format(v))))
        .value("FORMAT", "text")
        .help("text, or json for an object on each line, with the event, the peer and the user where there are any"),
    OptionSpec::new(
        "disable-evictions",
        Group::Memory,
        Support::Real,
        Effect::Switch(|s| s.evictions = false),
    )
    .short('M')
    .help("refuse new items when memory is full instead of evicting old ones")
    .row("evictions", |s| if s.evictions { "on" } else { "off" }.to_owned()),
    OptionSpec::new(
        "unix-socket",
        Group::Network,
        Support::Real,
        Effect::Path(|s, v| {
            s.unix_socket = Some(path(v)?);
            Ok(())
        }),
    )
    .short('s')
    .value("FILE", "")
    .sample("/run/larder/larder.sock")
    .help("listen on this Unix socket and on no TCP port")
    .row("domain_socket", |s| match &s.unix_socket {
        Some(path) => path.display().to_string(),
        None => "NULL".to_owned(),
    }),
    OptionSpec::new(
        "unix-mask",
        Group::Network,
        Support::Real,
        Effect::Value(|s, v| set(&mut s.unix_mask, octal_mode(v))),
    )
    .short('a')
    .value("OCTAL", "700")
    .help("access mode of the Unix socket")
    .row("umask", |s| format!("{:o}", s.unix_mask)),
    OptionSpec::new(
        "enable-shutdown",
        Group::Commands,
        Support::Real,
        Effect::Switch(|s| s.shutdown_enabled = true),
    )
    .short('A')
    .help("allow the shutdown command")
    .row("shutdown_command", |s| yes_no(s.shutdown_enabled)),
    OptionSpec::new(
        "slab-growth-factor",
        Group::Memory,
        Support::Real,
        Effect::Value(|s, v| {
            s.slab_growth_factor = Some(above(v, 1.0)?);
            Ok(())
        }),
    )
    .short('f')
    .value("FACTOR", "")
    .sample("1.25")
    .help("growth from one slab class to the next, above 1; without it classes are closer together")
    .row("growth_factor", |s| format!("{:.2}", s.slab_growth_factor.unwrap_or(1.25)))
    .own_row("slab_classes", |s| {
        if s.slab_growth_factor.is_some() { "growth_factor" } else { "own" }.to_owned()
    }),
    OptionSpec::new(
        "slab-min-size",
        Group::Memory,
        Support::Real,
        Effect::Value(|s, v| {
            s.slab_min_size = Some(number(v, "bytes", 1..=1 << 20)?);
            Ok(())
        }),
    )
    .short('n')
    .value("BYTES", "")
    .sample("48")
    .help("room for key, value and flags in the smallest chunk; without it 18")
    .row("chunk_size", |s| s.slab_min_size.unwrap_or(48).to_string()),
    OptionSpec::new(
        "threads",
        Group::Process,
        Support::Real,
        Effect::Value(|s, v| {
            s.threads = number(v, "threads", 1..=4096)?;
            s.threads_given = true;
            Ok(())
        }),
    )
    .short('t')
    .value("COUNT", "4")
    .help("worker threads; without this option no more than there are cores")
    .row("num_threads", |s| s.threads.to_string())
    .row("num_threads_per_udp", |s| s.udp_sockets_per_address().to_string()),
    OptionSpec::new("", Group::Commands, Support::Real, Effect::Value(prefix_delimiter))
        .short('D')
        .value("CHAR", "")
        .sample(":")
        .help("delimiter of key prefixes; turns on stats detail")
        .row("stat_key_prefix", |s| char::from(s.prefix_delimiter).to_string())
        .row("detail_enabled", |s| yes_no(s.detail_enabled)),
    OptionSpec::new(
        "max-reqs-per-event",
        Group::Network,
        Support::Real,
        Effect::Value(|s, v| set(&mut s.requests_per_event, number(v, "requests", 1..=INT_MAX))),
    )
    .short('R')
    .value("COUNT", "20")
    .help("requests served per connection before others get their turn")
    .row("reqs_per_event", |s| s.requests_per_event.to_string()),
    OptionSpec::new("disable-cas", Group::Commands, Support::Real, Effect::Switch(|s| s.cas_enabled = false))
        .short('C')
        .help("keep no CAS values")
        .row("cas_enabled", |s| yes_no(s.cas_enabled)),
    OptionSpec::new(
        "listen-backlog",
        Group::Network,
        Support::Real,
        Effect::Value(|s, v| set(&mut s.backlog, number(v, "connections", 0..=INT_MAX))),
    )
    .short('b')
    .value("COUNT", "1024")
    .help("connections that may wait to be accepted")
    .row("tcp_backlog", |s| s.backlog.to_string()),
    OptionSpec::new("protocol", Group::Network, Support::Accepted, Effect::Value(protocol))
        .short('B')
        .value("NAME", "auto")
        .help("ascii, auto or negotiating; the text protocol is spoken in any case")
        .row("binding_protocol", |s| {
            match s.binding_protocol {
                BindingProtocol::Negotiating => "auto-negotiate",
                BindingProtocol::Ascii => "ascii",
            }
            .to_owned()
        }),
    OptionSpec::refused("enable-sasl", Group::Commands)
        .short('S')
        .help("SASL authentication")
        .row("auth_enabled_sasl", |_| "no".to_owned()),
    OptionSpec::new(
        "auth-file",
        Group::Commands,
        Support::Real,
        Effect::Path(|s, v| {
            s.auth_file = Some(path(v)?);
            Ok(())
        }),
    )
    .short('Y')
    .value("FILE", "")
    .sample("/etc/larder/passwords")
    .help(
        "let clients in that log in, by a file with lines user:password; read again on SIGHUP; not over UDP, and not \
         together with --users-file",
    )
    .row("auth_enabled_ascii", |s| match &s.auth_file {
        Some(path) => path.display().to_string(),
        None => "no".to_owned(),
    }),
    OptionSpec::new(
        "users-file",
        Group::Commands,
        Support::Real,
        Effect::Path(|s, v| {
            s.users_file = Some(path(v)?);
            Ok(())
        }),
    )
    .value("FILE", "")
    .sample("/etc/larder/users")
    .help(
        "in place of --auth-file: users with hashed passwords (see larder passwd), rights and prefixes of keys; \
         read again on SIGHUP",
    )
    .own_row("users_file", |s| match &s.users_file {
        Some(path) => path.display().to_string(),
        None => "no".to_owned(),
    }),
    OptionSpec::new(
        "max-item-size",
        Group::Memory,
        Support::Real,
        Effect::Value(|s, v| set(&mut s.max_item_size, item_size(v))),
    )
    .short('I')
    .value("SIZE", "1m")
    .help("largest item in bytes, or with suffix k, m or g; at most half of the memory limit")
    .row("item_size_max", |s| s.max_item_size.to_string()),
    OptionSpec::new(
        "disable-watch",
        Group::Commands,
        Support::Real,
        Effect::Switch(|s| s.watch_enabled = false),
    )
    .short('W')
    .help("refuse watch"),
    OptionSpec::new("daemon", Group::Process, Support::Real, Effect::Switch(|s| s.daemonize = true))
        .short('d')
        .help("go to the background"),
    OptionSpec::new("user", Group::Process, Support::Real, Effect::Value(user))
        .short('u')
        .value("NAME", "")
        .sample("larder")
        .help("become this user when started as root"),
    OptionSpec::new(
        "pidfile",
        Group::Process,
        Support::Real,
        Effect::Path(|s, v| {
            s.pid_file = Some(path(v)?);
            Ok(())
        }),
    )
    .short('P')
    .value("FILE", "")
    .sample("/run/larder/larder.pid")
    .help("write the process id to this file"),
    OptionSpec::new(
        "enable-coredumps",
        Group::Process,
        Support::Real,
        Effect::Switch(|s| s.core_dumps = true),
    )
    .short('r')
    .help("allow core dumps of any size"),
    OptionSpec::new("lock-memory", Group::Process, Support::Real, Effect::Switch(|s| s.lock_memory = true))
        .short('k')
        .help("keep all memory out of swap"),
    OptionSpec::new(
        "enable-largepages",
        Group::Memory,
        Support::Accepted,
        Effect::Switch(|s| s.large_pages = true),
    )
    .short('L')
    .help("large pages"),
    OptionSpec::new(
        "enable-ssl",
        Group::Network,
        Support::Real,
        Effect::Switch(|s| s.tls.enabled = true),
    )
    .short('Z')
    .help("speak TLS; needs -o ssl_chain_cert and -o ssl_key"),
    OptionSpec::new("extended", Group::Program, Support::Real, Effect::ExtendedList)
        .short('o')
        .value("LIST", "")
        .help("suboptions as name or name=value, separated by commas; repeatable"),
];
