//! Reading the options again while the daemon runs: which have changed, and which of them may.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::command_line::{Action, Given, Read, read, settle};
use super::error::{ConfigError, printable};
use super::options::{Effect, OptionSpec, table};
use super::settings::Settings;

/// The command line of this process, from which the options can be read again.
#[derive(Debug)]
pub struct Reader {
    as_memcached: bool,
    args: Vec<OsString>,
    /// Without regard to the directory that the process is in later.
    config_file: Option<PathBuf>,
    /// As they are in force, by the table.
    in_force: Vec<String>,
}

/// One option that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name in the table.
    pub option: &'static str,
    /// Its name as messages have it.
    pub label: String,
    /// What it was, for a message.
    pub from: String,
    /// What it is to be.
    pub to: String,
    /// Whether it may change while the daemon runs.
    pub is_live: bool,
}

impl Reader {
    /// `program` is the name that the process was started under (with or without its path), `args` what follows it.
    pub fn new(program: &str, args: Vec<OsString>) -> Reader {
        let as_memcached = Path::new(program).file_name() == Some(OsStr::new("memcached"));
        Reader { as_memcached, args, config_file: None, in_force: Vec::new() }
    }

    /// Reads the command line, and the config file if it names one.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order file, command line, rules across options.
    pub fn read(&mut self) -> Result<Action, ConfigError> {
        let (given, config_file) = match read(self.args.clone(), None, self.as_memcached)? {
            Read::Print(text) => return Ok(Action::Print(text)),
            Read::Options { given, config_file } => (given, config_file),
        };
        self.in_force = table().map(|spec| shown(spec, &given)).collect();
        self.config_file = config_file.as_deref().and_then(|path| std::path::absolute(path).ok());
        settle(self.as_memcached, config_file, &given).map(|settings| Action::Run(Box::new(settings)))
    }

    /// Whether there is anything that can have changed.
    pub fn has_file(&self) -> bool {
        self.config_file.is_some()
    }

    /// Reads both again: the settings as they would be at a start, and in what they differ from what is in force. A
    /// change that nobody has [noted](Reader::note) is told of each time.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_again(&self) -> Result<(Settings, Vec<Change>), ConfigError> {
        let read = read(self.args.clone(), self.config_file.as_deref(), self.as_memcached)?;
        let Read::Options { given, config_file } = read else { return Ok((Settings::default(), Vec::new())) };
        let settings = settle(self.as_memcached, config_file, &given)?;
        let mut changes = Vec::new();
        for (spec, in_force) in table().zip(&self.in_force) {
            let (from, to) = (in_force.clone(), shown(spec, &given));
            if to != from {
                let (option, label, is_live) = (spec.long, spec.label(), spec.is_live);
                changes.push(Change { option, label, from, to, is_live });
            }
        }
        Ok((settings, changes))
    }

    /// A change has been made, and is in force from now on.
    pub fn note(&mut self, change: &Change) {
        for (spec, in_force) in table().zip(&mut self.in_force) {
            if spec.long == change.option && spec.is_live {
                in_force.clone_from(&change.to);
            }
        }
    }
}

/// Names of all options that may change while the daemon runs. For tests.
#[doc(hidden)]
pub fn live_options() -> Vec<&'static str> {
    table().filter(|spec| spec.is_live).map(|spec| spec.long).collect()
}

/// What is given of one option, or its default, as a message shows it.
fn shown(spec: &OptionSpec, given: &[Given]) -> String {
    let all = given.iter().filter(|one| std::ptr::eq(one.spec, spec));
    let default = if spec.default.is_empty() { "none" } else { spec.default };
    let texts: Vec<String> = match spec.effect {
        Effect::Switch(_) if spec.long == "verbose" => return all.count().to_string(),
        Effect::Switch(_) => return if all.count() > 0 { "on" } else { "off" }.to_owned(),
        Effect::Toggle(_) => all.map(|one| if one.negated { "off" } else { "on" }.to_owned()).collect(),
        _ => all
            .map(|one| one.value.as_deref().map_or("on".into(), |value| value.to_string_lossy()).into())
            .collect(),
    };
    let toggled_off = matches!(spec.effect, Effect::Toggle(_)) && spec.default.is_empty();
    match texts.as_slice() {
        [] if toggled_off => "off".to_owned(),
        [] => default.to_owned(),
        [.., _] if matches!(spec.long, "listen" | "metrics-host") => printable(&texts.join(",")),
        [.., last] => printable(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: &str, after: &str, line: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), before).unwrap();
        let mut args: Vec<OsString> = vec!["--config".into(), file.path().into()];
        args.extend(line.split_whitespace().map(OsString::from));
        let mut reader = Reader::new("larder", args);
        assert!(matches!(reader.read(), Ok(Action::Run(_))));
        assert!(reader.has_file());
        std::fs::write(file.path(), after).unwrap();
        let show = |change: &Change| {
            let restart = if change.is_live { "" } else { " (restart)" };
            format!("{} {} {}{restart}", change.label, change.from, change.to)
        };
        let found = reader.read_again().unwrap().1;
        let first: Vec<String> = found.iter().map(show).collect();
        found.iter().for_each(|change| reader.note(change));
        let second: Vec<String> = reader.read_again().unwrap().1.iter().map(show).collect();
        let still: Vec<String> = first.iter().filter(|line| line.ends_with("(restart)")).cloned().collect();
        assert_eq!(second, still, "what has been done is not told of again");
        first
    }

    #[test]
    fn each_option_that_changed_is_told_once() {
        assert_eq!(changes("-m 64", "-m 64\n# nothing", ""), [""; 0]);
        assert_eq!(changes("", "memory-limit = 64", ""), [""; 0], "the default");
        assert_eq!(changes("-m 64", "-m 128", ""), ["--memory-limit 64 128"]);
        assert_eq!(changes("-m 64", "-m 128", "-m 100"), [""; 0], "the command line wins");
        assert_eq!(changes("-v", "-vv", ""), ["--verbose 1 2"]);
        assert_eq!(changes("", "-o idle_timeout=5", ""), ["-o idle_timeout 0 5"]);
        assert_eq!(changes("-o no_lru_crawler", "", ""), ["-o lru_crawler off on"]);
        assert_eq!(
            changes("-l 127.0.0.1", "-l 127.0.0.1\n-l ::1", ""),
            ["--listen 127.0.0.1 127.0.0.1,::1 (restart)"]
        );
        assert_eq!(
            changes("-p 1\n-M\n-c 5", "-p 2\n-c 6", ""),
            ["--conn-limit 5 6", "--port 1 2 (restart)", "--disable-evictions on off (restart)",]
        );
    }

    #[test]
    fn a_change_that_was_not_made_is_told_of_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut reader = Reader::new("larder", vec!["--config".into(), file.path().into()]);
        assert!(reader.read().is_ok());
        std::fs::write(file.path(), "-m 128\n-c 7").unwrap();
        let found = reader.read_again().unwrap().1;
        assert_eq!(found.len(), 2);
        reader.note(found.iter().find(|change| change.option == "conn-limit").unwrap());
        let again = reader.read_again().unwrap().1;
        assert_eq!(again, [found.into_iter().find(|change| change.option == "memory-limit").unwrap()]);
    }

    #[test]
    fn a_file_with_an_error_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = vec!["--config".into(), file.path().into()];
        let mut reader = Reader::new("larder", args);
        assert!(reader.read().is_ok());
        std::fs::write(file.path(), "-m 128\n-c x").unwrap();
        let error = reader.read_again().unwrap_err().to_string();
        assert!(error.ends_with(":2: --conn-limit 'x': expected connections, 1 to 2147483647"), "{error}");
        std::fs::write(file.path(), "-m 128").unwrap();
        assert_eq!(reader.read_again().unwrap().1.len(), 1);
    }
}
