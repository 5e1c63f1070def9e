//! Keeps the manual page and the completions of shells equal to the table of options, and to the client's commands.
//! Tests only.
//!
//! `LARDER_WRITE_EXAMPLE=1 cargo test --lib config::manual` writes the files anew.

use std::fs;
use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::client;

use super::command_line::command;
use super::help;
use super::options::{Effect, Group, OptionSpec, Support, table};

const CONTRIB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib");

/// Headings of the options, in order.
const GROUPS: [(Group, &str); 5] = [
    (Group::Network, "NETWORK"),
    (Group::Memory, "MEMORY"),
    (Group::Process, "PROCESS"),
    (Group::Commands, "COMMANDS"),
    (Group::Program, "PROGRAM"),
];

const DESCRIPTION: &str = "larder is a cache server that speaks memcached's protocol, with memcached's options. It \
    listens on 127.0.0.1 alone unless told otherwise, and keeps items within the memory limit by evicting those that \
    are worth least.";

const LIVE: &str = "May change while larder runs: SIGHUP brings what the config file says now.";

const CLIENT: &str = "With one of these words in front larder is a client, of any server that speaks memcached's \
    protocol. SERVER is HOST:PORT, or the path of a Unix socket. larder COMMAND --help tells more.";

/// Sections behind the options.
const SECTIONS: [(&str, &[(&str, &str)]); 5] = [
    (
        "SIGNALS",
        &[
            ("SIGTERM, SIGINT, SIGUSR1", "End within a second; what is cached is lost."),
            (
                "SIGHUP",
                "Read the config file, the users and the certificates again, and open the log file again if it was moved \
                 away. The log has a line for each option that has changed, and says of those that need a restart \
                 that they do. A file with an error changes nothing. A log file that larder has no right to open any \
                 more, as user of -u or with -o drop_privileges, is to be copied and truncated instead of moved \
                 (copytruncate of logrotate).",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("LARDER_PASSWORD", "The password of --user, for the client."),
            ("LARDER_LOG", "What is logged, in place of -v: error, warn, info, debug or trace."),
            ("MEMCACHED_PORT_FILENAME", "A file to which the ports in use are written."),
            (
                "NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS, JOURNAL_STREAM",
                "Set by systemd: larder tells when it is ready, reloads, stops and that all of its threads are \
                 alive; serves on sockets that systemd has opened, in place of those of -l, -p and -s; and marks \
                 lines of the journal with their priority.",
            ),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "It was told to end."),
            ("1", "As a client: the server refused, or answered what it must not."),
            (
                "64",
                "An option is wrong, or a line of a file that it names; the message says what would be right.",
            ),
            ("67", "There is no such user (-u)."),
            ("69", "As a client: the server cannot be reached, or does not answer."),
            ("71", "The system refuses something: a port in use, a file that cannot be read or written."),
        ],
    ),
    (
        "FILES",
        &[
            (
                "/etc/larder/larder.conf",
                "Where the package keeps the options, one on each line: name = value.",
            ),
            ("/etc/memcached.conf", "Debian's file for memcached can be read as it is, with --config."),
        ],
    ),
    (
        "SEE ALSO",
        &[(
            "memcached(1), systemd.exec(5)",
            "The protocol is memcached's; what differs on purpose is told in larder's README.",
        )],
    ),
];

/// The command line with all that can be said of it.
fn documented() -> Command {
    let command = command().name("larder").version(env!("CARGO_PKG_VERSION"));
    let about = "cache server that speaks memcached's protocol";
    command.about(about).mut_args(|arg| {
        let spec = spec_of(&arg);
        let arg = if spec.value.is_empty() { arg } else { arg.value_name(spec.value) };
        arg.help(spec.help).hide(spec.support == Support::Refused)
    })
}

fn spec_of(arg: &Arg) -> &'static OptionSpec {
    table().find(|spec| spec.group != Group::Extended && spec.id() == arg.get_id().as_str()).unwrap()
}

fn manual() -> String {
    let man = Man::new(documented()).date("").source(concat!("larder ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold("larder"), roman(" [OPTIONS]")]);
    roff.control("br", []).text([bold("larder passwd"), roman(" NAME [RIGHTS [prefix=TEXT...]]")]);
    for command in client::command().get_subcommands() {
        roff.control("br", []).text([bold(format!("larder {}", command.get_name())), roman(usage(command))]);
    }
    roff.control("SH", ["DESCRIPTION"]).text([roman(DESCRIPTION)]);
    for (group, title) in GROUPS {
        roff.control("SH", [title]);
        specs(group, Support::Real).for_each(|spec| entry(&mut roff, spec));
    }
    roff.control("SH", ["SUBOPTIONS OF -o"]);
    roff.text([roman("Several are separated by commas; no_NAME turns one off that can be on or off.")]);
    specs(Group::Extended, Support::Real).for_each(|spec| entry(&mut roff, spec));
    roff.control("SH", ["ACCEPTED WITHOUT EFFECT"]);
    let accepted = table().filter(|spec| spec.support == Support::Accepted).map(OptionSpec::label);
    roff.text([roman(accepted.collect::<Vec<_>>().join(", "))]);
    roff.control("SH", ["REFUSED"]);
    let refused = table().filter(|spec| spec.support == Support::Refused).map(OptionSpec::label);
    roff.text([roman(refused.collect::<Vec<_>>().join(", "))]);
    roff.control("SH", ["CLIENT"]).text([roman(CLIENT)]);
    let client = client::command();
    let shared = client.get_subcommands().next().into_iter().flat_map(Command::get_opts);
    shared.filter(|arg| arg.get_help_heading().is_some()).for_each(|arg| client_option(&mut roff, arg));
    client.get_subcommands().for_each(|command| client_command(&mut roff, command));
    for (title, rows) in SECTIONS {
        roff.control("SH", [title]);
        for (term, text) in rows {
            paragraph(&mut roff, vec![bold(*term)], text);
        }
    }
    roff.to_writer(&mut page).unwrap();
    String::from_utf8(page).unwrap()
}

fn specs(group: Group, support: Support) -> impl Iterator<Item = &'static OptionSpec> {
    table().filter(move |spec| spec.group == group && spec.support == support)
}

fn entry(roff: &mut Roff, spec: &OptionSpec) {
    let mut term = Vec::new();
    if let Some(short) = spec.short {
        term.push(bold(format!("-{short}")));
    }
    if !spec.long.is_empty() {
        if !term.is_empty() {
            term.push(roman(", "));
        }
        let dashes = if spec.group == Group::Extended { "" } else { "--" };
        term.push(bold(format!("{dashes}{}", spec.long)));
    }
    if !spec.value.is_empty() {
        term.push(roman(if spec.long.is_empty() { " " } else { "=" }));
        term.push(roman(spec.value));
    }
    let mut text = spec.help.to_owned();
    text[..1].make_ascii_uppercase();
    text.push('.');
    if !spec.default.is_empty() {
        text.push_str(&format!(" The default is {}.", spec.default));
    }
    if spec.is_live {
        text.push(' ');
        text.push_str(LIVE);
    }
    paragraph(roff, term, &text);
}

/// A word that is no option, as the usage has it.
fn shown_name(arg: &Arg) -> String {
    let name = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string);
    name.unwrap_or_else(|| arg.get_id().as_str().to_uppercase())
}

/// The words that a client's command takes, behind its name.
fn usage(command: &Command) -> String {
    let words = command.get_positionals().map(|arg| {
        let name = shown_name(arg);
        let dots = if arg.get_num_args().is_some_and(|count| count.max_values() > 1) { "..." } else { "" };
        if arg.is_required_set() { format!(" {name}{dots}") } else { format!(" [{name}]{dots}") }
    });
    " [OPTIONS]".to_owned() + &words.collect::<String>()
}

/// Its section: what it does, and its options; those that all have are told once, before.
fn client_command(roff: &mut Roff, command: &Command) {
    let title = format!("larder {}", command.get_name()).to_uppercase();
    roff.control("SH", [title.as_str()]);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    roff.text([roman(about + ".")]);
    let own = command.get_opts().filter(|arg| arg.get_help_heading().is_none());
    for arg in command.get_positionals().chain(own) {
        client_option(roff, arg);
    }
}

fn client_option(roff: &mut Roff, arg: &Arg) {
    let name = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        _ => shown_name(arg),
    };
    let mut term = vec![bold(name)];
    let value = arg.get_value_names().and_then(<[_]>::first).filter(|_| arg.get_long().is_some());
    if let Some(value) = value.filter(|_| arg.get_action().takes_values()) {
        term.push(roman(format!("={value}")));
    }
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default() + ".";
    if let Some(default) = arg.get_default_values().first().filter(|_| arg.get_action().takes_values()) {
        text.push_str(&format!(" The default is {}.", default.to_string_lossy()));
    }
    paragraph(roff, term, &text);
}

fn paragraph(roff: &mut Roff, term: Vec<Inline>, text: &str) {
    roff.control("TP", []).text(term).text([roman(text)]);
}

fn completions(shell: Shell) -> String {
    let names: Vec<&str> = specs(Group::Extended, Support::Real).map(|spec| spec.long).collect();
    let mut command = documented().no_binary_name(false).mut_args(|arg| match spec_of(&arg).effect {
        Effect::Path(_) | Effect::ConfigFile => arg.value_hint(clap::ValueHint::FilePath),
        Effect::ExtendedList => arg.value_parser(PossibleValuesParser::new(&names)),
        _ => arg,
    });
    let passwd = help::COMMANDS[..1].iter().map(|(name, about)| Command::new(*name).about(*about));
    command = command.subcommands(passwd).subcommands(client::command().get_subcommands());
    let mut script = Vec::new();
    generate(shell, &mut command, "larder", &mut script);
    // Lines that end in blanks are no use to anybody.
    let script = String::from_utf8(script).unwrap();
    script.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// All files that are made from the table, by their place in `contrib`.
fn files() -> [(&'static str, String); 4] {
    [
        ("man/larder.1", manual()),
        ("completions/larder.bash", completions(Shell::Bash)),
        ("completions/_larder", completions(Shell::Zsh)),
        ("completions/larder.fish", completions(Shell::Fish)),
    ]
}

#[test]
fn the_manual_and_the_completions_are_current() {
    for (name, text) in files() {
        let path = Path::new(CONTRIB).join(name);
        if std::env::var_os("LARDER_WRITE_EXAMPLE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let current = fs::read_to_string(&path).unwrap_or_default();
        assert!(current == text, "contrib/{name} differs from the table, see manual.rs");
    }
}

#[test]
fn all_that_can_be_given_is_in_the_manual_and_completed() {
    let page = manual().replace("\\-", "-");
    let scripts = [Shell::Bash, Shell::Zsh, Shell::Fish].map(completions);
    for spec in table() {
        assert!(page.contains(spec.long), "{} in the manual", spec.label());
        if spec.support == Support::Real && !spec.long.is_empty() {
            for script in &scripts {
                assert!(script.contains(spec.long), "{} in completions", spec.label());
            }
        }
    }
    let client = client::command();
    let options = |command: &Command| {
        let names = command.get_opts().filter_map(Arg::get_long).map(|long| format!("--{long}"));
        names.chain([format!("larder {}", command.get_name())]).collect::<Vec<_>>()
    };
    for name in client.get_subcommands().flat_map(options) {
        assert!(page.contains(&name), "{name} in the manual");
    }
    for command in client.get_subcommands() {
        let name = command.get_name();
        assert!(scripts.iter().all(|script| script.contains(name)), "{name} in completions");
    }
    let about = |command: &Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    let told: Vec<_> = client.get_subcommands().map(|command| (command.get_name(), about(command))).collect();
    let listed: Vec<_> =
        help::COMMANDS[1..].iter().map(|(name, about)| (*name, (*about).to_owned())).collect();
    assert_eq!(listed, told);
}
