//! Keeps `memcached.conf.example` equal to the table of options. Tests only.
//!
//! `LARDER_WRITE_EXAMPLE=1 cargo test example` writes the file anew.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::options::{Effect, Group, OptionSpec, Support, table};
use super::{Action, Settings, load};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/memcached.conf.example");

const HEAD: &str = "\
# Example of a config file for larder, read with: larder --config FILE
#
# One option per line, by its long name (memory-limit = 64) or as on the command line (-m 64), so
# that a memcached.conf as Debian ships it can be read as it is. The command line wins over the file.
# Every line below shows the default, or a sample where there is none; remove the # to use it.
# A name without a value is a switch, off unless it is given; it may also be set to yes or no.
# All of them can be given together but for users-file, which takes auth-file's place.
";

const GROUPS: [(Group, &str); 6] = [
    (Group::Network, "Network"),
    (Group::Memory, "Memory"),
    (Group::Process, "Process"),
    (Group::Commands, "Commands"),
    (Group::Program, "Logging"),
    (Group::Extended, "Suboptions of -o, several separated by commas if wanted"),
];

/// Options that a config file can hold and that do something.
fn shown() -> impl Iterator<Item = &'static OptionSpec> {
    table().filter(|spec| {
        let given_in_file = !matches!(
            spec.effect,
            Effect::ExtendedList | Effect::Print(_) | Effect::ConfigFile | Effect::Refuse(_)
        );
        spec.support == Support::Real && given_in_file
    })
}

fn example() -> String {
    let mut text = HEAD.to_owned();
    for (group, title) in GROUPS {
        text.push_str(&format!("\n# --- {title} ---\n"));
        for spec in shown().filter(|spec| spec.group == group) {
            text.push_str(&explanation(spec));
            text.push_str(&format!("#{}\n", line(spec)));
        }
    }
    text
}

fn explanation(spec: &OptionSpec) -> String {
    let mut sentence = spec.help.to_owned();
    sentence[..1].make_ascii_uppercase();
    let aside = match (spec.short, spec.value, spec.default) {
        (Some(short), "", _) => format!(" (-{short})"),
        (Some(short), _, "") => format!(" (-{short}; a sample)"),
        (Some(short), ..) => format!(" (-{short})"),
        (None, "", "on") => " (on)".to_owned(),
        (None, _, "") => " (a sample)".to_owned(),
        (None, ..) => String::new(),
    };
    format!("# {sentence}{aside}.\n")
}

fn line(spec: &OptionSpec) -> String {
    let value = if spec.default.is_empty() { spec.sample } else { spec.default };
    match (spec.group, spec.value) {
        _ if spec.long.is_empty() => format!("-{} {value}", spec.short.unwrap_or_default()),
        (Group::Extended, "") => format!("extended = {}", spec.long),
        (Group::Extended, _) => format!("extended = {}={value}", spec.long),
        (_, "") => spec.long.to_owned(),
        _ => format!("{} = {value}", spec.long),
    }
}

fn load_file(content: &str) -> Settings {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), content).unwrap();
    let args: Vec<OsString> = vec!["--config".into(), file.path().into()];
    match load("larder", args) {
        Ok(Action::Run(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_is_current() {
    if std::env::var_os("LARDER_WRITE_EXAMPLE").is_some() {
        fs::write(PATH, example()).unwrap();
    }
    let current = fs::read_to_string(Path::new(PATH)).unwrap_or_default();
    assert!(current == example(), "memcached.conf.example differs from the table, see example.rs");
}

#[test]
fn the_example_holds_every_real_option_once() {
    let text = example();
    for spec in shown() {
        let option = format!("#{}", line(spec));
        assert_eq!(text.lines().filter(|l| **l == option).count(), 1, "{option}");
    }
    assert_eq!(text.lines().filter(|l| is_option(l)).count(), shown().count());
}

#[test]
fn the_example_loads_with_every_line_uncommented() {
    let text: String = example()
        .lines()
        // It stands for another option above.
        .filter(|l| !l.starts_with("#users-file"))
        .map(|l| if is_option(l) { format!("{}\n", &l[1..]) } else { format!("{l}\n") })
        .collect();
    let settings = load_file(&text);
    assert!(settings.daemonize && settings.lock_memory && !settings.evictions);
    assert_eq!(settings.verbosity, 1);
    assert_eq!(settings.user.as_deref(), Some("larder"));
}

#[test]
fn defaults_in_the_table_are_the_defaults() {
    let valued = |spec: &&OptionSpec| !spec.value.is_empty() && !spec.default.is_empty();
    // Without -t the machine's cores count as well.
    for spec in table().filter(valued).filter(|spec| !spec.long.is_empty() && spec.long != "threads") {
        let given = load_file(&line(spec));
        let expected = Settings {
            interface_list: given.interface_list.clone(),
            interfaces: given.interfaces.clone(),
            slab_growth_factor: given.slab_growth_factor,
            slab_min_size: given.slab_min_size,
            without_effect: given.without_effect.clone(),
            config_file: given.config_file.clone(),
            ..Settings::default()
        };
        assert_eq!(given, expected, "{}", spec.label());
        assert_eq!(given.rows(), Settings::default().rows(), "{}", spec.label());
    }
}

/// A commented-out option stands right behind its `#`, an explanation after a blank.
fn is_option(line: &str) -> bool {
    line.starts_with('#') && line.len() > 1 && !line.starts_with("# ")
}
