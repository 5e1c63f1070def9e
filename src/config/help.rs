//! What `-h`, `-i` and `-V` print, from the table of options.

use std::fmt::Write;

use super::options::{Group, OptionSpec, Support, table};

/// The memcached release that larder stands in for.
pub(super) const MEMCACHED_VERSION: &str = "1.6.45";
/// Column at which the sentence of an option starts.
const SENTENCE_COLUMN: usize = 34;
/// Width that sentences are wrapped to.
const LINE_WIDTH: usize = 100;

const USAGE: &str = "\
Usage: larder [OPTIONS]
       larder passwd NAME [RIGHTS [prefix=TEXT...]]
       larder COMMAND [SERVER] [OPTIONS]
";

/// What larder does in place of being a daemon. A test compares them with the client's own sentences.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("passwd", "Print a line for --users-file, with a password that is read"),
    ("top", "Watch servers in a terminal: requests, hit ratio, memory, slab classes, latency, hot keys"),
    ("stats", "Show the statistics of a server"),
    ("ping", "See whether a server answers, and how soon"),
    ("get", "Print the value of an item"),
    ("set", "Store an item"),
    ("delete", "Delete an item"),
    ("dump", "Print the keys of a server, or its items as commands that store them again"),
    ("flush", "Delete all items of a server, or those with a prefix"),
    ("bench", "Put a load on a server, check each reply and tell how long it took"),
];

const GROUPS: [(Group, &str); 6] = [
    (Group::Network, "Network"),
    (Group::Memory, "Memory"),
    (Group::Process, "Process"),
    (Group::Commands, "Commands"),
    (Group::Program, "Program"),
    (Group::Extended, "Suboptions of -o; those that are on or off are turned off by no_NAME"),
];

/// One line without its end: scripts read memcached's version from it.
pub(super) fn version(as_memcached: bool) -> String {
    match as_memcached {
        true => format!("memcached {MEMCACHED_VERSION}"),
        false => format!("larder {} (memcached {MEMCACHED_VERSION})", env!("CARGO_PKG_VERSION")),
    }
}

pub(super) fn licence() -> String {
    "larder is free software under the Apache License, version 2.0. You may use, change and pass it\n\
     on under the terms of that licence, which came with the program as the file LICENSE and can be\n\
     read at https://www.apache.org/licenses/LICENSE-2.0. There is no warranty of any kind.\n"
        .to_owned()
}

pub(super) fn help(as_memcached: bool) -> String {
    let mut text = version(as_memcached) + "\n\n";
    text.push_str(if as_memcached { "Usage: memcached [OPTIONS]\n" } else { USAGE });
    for (group, title) in GROUPS {
        text.push_str(&format!("\n{title}:\n"));
        for spec in table().filter(|spec| spec.group == group && spec.support == Support::Real) {
            option(&mut text, spec);
        }
    }
    if !as_memcached {
        let title = "\nIn place of options, a command; the others are for any server that speaks memcached's protocol,\n\
            and tell more with --help:\n";
        text.push_str(title);
        for (name, sentence) in COMMANDS {
            text.push_str(&format!("  larder {name:width$}", width = SENTENCE_COLUMN - "  larder ".len()));
            wrapped(&mut text, sentence, SENTENCE_COLUMN, SENTENCE_COLUMN);
        }
    }
    text.push_str("\nAccepted without effect, since larder works without them:\n");
    for spec in table().filter(|spec| spec.support == Support::Accepted) {
        option(&mut text, spec);
    }
    let title = "\nNot supported yet, and refused: ";
    text.push_str(title);
    let refused = table().filter(|spec| spec.support == Support::Refused).map(|spec| match spec.group {
        Group::Extended => spec.long.to_owned(),
        _ => spec.label(),
    });
    wrapped(&mut text, &refused.collect::<Vec<_>>().join(", "), 2, title.len() - 1);
    text
}

fn option(text: &mut String, spec: &OptionSpec) {
    let mut name = match (spec.group, spec.short) {
        (Group::Extended, _) => format!("  -o  {}", spec.long),
        (_, Some(short)) if spec.long.is_empty() => format!("  -{short}"),
        (_, Some(short)) => format!("  -{short}, --{}", spec.long),
        (_, None) => format!("      --{}", spec.long),
    };
    if !spec.value.is_empty() {
        let _ = write!(name, "={}", spec.value);
    }
    text.push_str(&name);
    let mut sentence = spec.help.to_owned();
    let default = if spec.default.is_empty() { String::new() } else { format!("default: {}", spec.default) };
    let asides = [default, if spec.is_live { "SIGHUP changes it" } else { "" }.to_owned()];
    let asides: Vec<String> = asides.into_iter().filter(|aside| !aside.is_empty()).collect();
    if !asides.is_empty() {
        let _ = write!(sentence, " ({})", asides.join("; "));
    }
    // A long name gets a line of its own.
    let mut column = name.len();
    if column + 2 > SENTENCE_COLUMN {
        text.push('\n');
        column = 0;
    }
    text.push_str(&" ".repeat(SENTENCE_COLUMN - column));
    wrapped(text, &sentence, SENTENCE_COLUMN, SENTENCE_COLUMN);
}

/// Appends `sentence` and a line end; lines after the first start at column `indent`, the first
/// is already at `column`.
fn wrapped(text: &mut String, sentence: &str, indent: usize, mut column: usize) {
    let mut separator = "";
    for word in sentence.split(' ') {
        if !separator.is_empty() && column + 1 + word.len() > LINE_WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
            separator = "";
        }
        text.push_str(separator);
        text.push_str(word);
        column += separator.len() + word.len();
        separator = " ";
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_listed_and_no_line_is_too_long() {
        let text = help(false);
        assert!(text.lines().all(|line| line.len() <= LINE_WIDTH), "{text}");
        let words: Vec<&str> = text.split([' ', '=', ',', '\n']).collect();
        for spec in table() {
            let name = match spec.group {
                Group::Extended => spec.long.to_owned(),
                _ if spec.long.is_empty() => "-D".to_owned(),
                _ => format!("--{}", spec.long),
            };
            assert!(words.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn every_option_that_can_be_given_is_explained() {
        for spec in table().filter(|spec| spec.support != Support::Refused) {
            assert!(!spec.help.is_empty() && !spec.help.ends_with('.'), "{}", spec.label());
        }
    }
}
