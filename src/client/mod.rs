//! The client of the one binary: `larder top`, `stats`, `ping` and so on, for any server that speaks memcached's protocol.
//!
//! A program beside the daemon: it uses nothing of the daemon's layers, nothing of these uses it, and it speaks through
//! sockets that it waits for. What servers say is not trusted: lines are bounded, waits have an end, and text is made
//! harmless before it reaches a terminal. It prints to where the caller says, never exits, and reads passwords from a
//! file, the environment or the terminal, never from the command line.

mod access;
mod address;
mod bench;
mod connection;
mod dump;
mod failure;
mod flush;
mod items;
mod options;
mod ping;
mod stats;
mod terminal;
mod text;
mod tls;
mod top;
mod wire;

use std::ffi::{OsStr, OsString};
use std::io::Write;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use failure::Failure;
use options::{Cli, Command};
pub use terminal::ask_password;

/// The command line of the client, with what can be said of it; for `--help`, the manual and completions.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Whether `word`, the first of the command line, is for the client: the daemon has options alone.
pub fn is_command(word: &OsStr) -> bool {
    !word.as_encoded_bytes().starts_with(b"-")
}

/// Carries out the client command that `args` begins with. What it has to say goes to `out`.
///
/// # Errors
/// What went wrong, as one line, and the exit code.
pub fn run(args: &[OsString], out: &mut dyn Write) -> Result<(), (String, i32)> {
    let name = args.first().map(|name| text::printable(name.as_encoded_bytes())).unwrap_or_default();
    let carried_out = parse(args, out).and_then(|command| match command {
        None => Ok(()),
        Some(command) => carry_out(command, out),
    });
    // What was said before a failure is to be seen as well.
    let flushed = out.flush().map_err(Failure::from);
    match carried_out.and(flushed) {
        // A reader that has gone away needs nothing more.
        Ok(()) | Err(Failure::ReaderGone) => Ok(()),
        Err(failure) => Err((format!("{name}: {failure}"), failure.exit_code())),
    }
}

fn carry_out(command: Command, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::Top(options) => top::run(&options, out),
        Command::Stats(options) => stats::run(&options, out),
        Command::Ping(options) => ping::run(&options, out),
        Command::Get(options) => items::get(&options, out),
        Command::Set(options) => items::set(&options, out),
        Command::Delete(options) => items::delete(&options, out),
        Command::Dump(options) => dump::run(&options, out),
        Command::Flush(options) => flush::run(&options, out),
        Command::Bench(options) => bench::run(&options, out),
    }
}

/// `None` where the help was asked for, which is then in `out`.
fn parse(args: &[OsString], out: &mut dyn Write) -> Result<Option<Command>, Failure> {
    let words = std::iter::once(OsString::from("larder")).chain(args.iter().cloned());
    match Cli::try_parse_from(words) {
        Ok(cli) => Ok(Some(cli.command)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            // Whoever stores what others wrote must not take help for a success.
            if args.first().is_some_and(|name| name == "set") && args.len() > 3 {
                let text = "expected -- in front of a value that begins with -, and --help alone";
                return Err(Failure::Usage(text.to_owned()));
            }
            write!(out, "{}", error.render())?;
            Ok(None)
        }
        Err(error) if error.kind() == ErrorKind::InvalidSubcommand => {
            let meant = match error.get(ContextKind::SuggestedSubcommand) {
                Some(ContextValue::Strings(names)) => {
                    names.first().map(|name| format!(", did you mean {name}?"))
                }
                _ => None,
            };
            let meant = meant.unwrap_or_default();
            Err(Failure::Usage(format!("no such command{meant} (larder --help lists them)")))
        }
        Err(error) => Err(Failure::Usage(format!("{} (--help shows what there is)", problem(&error)))),
    }
}

/// What is wrong with a command line, and what clap advises, on one line and without the usage.
fn problem(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:"));
    let mut problem = String::new();
    for line in lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more")) {
        let between = match line {
            _ if problem.is_empty() => "",
            _ if line.starts_with("tip:") => "; ",
            _ => " ",
        };
        problem.push_str(between);
        problem.push_str(line);
    }
    let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
    text::printable(problem.as_bytes())
}
