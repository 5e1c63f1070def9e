//! The `larder` program: from the command line to a running daemon or a client's command, and to an exit code.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use larder::auth;
use larder::client;
use larder::config::{Action, Reader};
use larder::server;
use larder::server::logging;
use larder::server::process::EXIT_USAGE;

/// Pages that the store gives back leave holes all over the heap, which the system's allocator keeps.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_else(|| "larder".into());
    let program = program.to_string_lossy();
    let mut args: Vec<_> = args.collect();
    if args.first().is_some_and(|word| word == "help") {
        args.remove(0);
        args.truncate(1);
        // An option is no command to tell of.
        args.retain(|word| !word.as_encoded_bytes().starts_with(b"-"));
        args.push("--help".into());
    }
    if args.first().is_some_and(|word| word == "passwd") {
        return passwd(&program, &args[1..]);
    }
    if args.first().is_some_and(|word| client::is_command(word)) {
        return match client::run(&args, &mut std::io::BufWriter::new(std::io::stdout())) {
            Ok(()) => ExitCode::SUCCESS,
            Err((problem, code)) => fail(&program, &problem, code),
        };
    }
    let mut reader = Reader::new(&program, args);
    match reader.read() {
        Ok(Action::Print(text)) => {
            // A reader that has gone away needs no text.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Action::Run(settings)) => match server::run(*settings, reader) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&program, &error, error.exit_code()),
        },
        Err(error) => fail(&program, &error, error.exit_code()),
    }
}

const PASSWD_HELP: &str = "\
Usage: larder passwd NAME [RIGHTS [prefix=TEXT...]]

Reads a password from the terminal, or a line of standard input, and prints a line for --users-file.
RIGHTS are all, none, or some of read,write,admin (default: read,write); with prefixes the user keeps
to keys that begin with one of them.
";

/// `larder passwd NAME [RIGHTS [prefix=TEXT...]]`: reads a password and prints a line for `--users-file`.
fn passwd(program: &str, words: &[std::ffi::OsString]) -> ExitCode {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    // Before a password is asked for.
    match words.first().map(String::as_str) {
        Some("-h" | "--help") => {
            // A reader that has gone away needs no text.
            let _ = write!(std::io::stdout(), "{PASSWD_HELP}");
            return ExitCode::SUCCESS;
        }
        Some(option) if option.starts_with('-') => {
            return fail(program, &format!("passwd {option:?}: expected a name, or --help"), EXIT_USAGE);
        }
        _ => {}
    }
    let made = read_password().map_err(|error| error.to_string()).and_then(|password| {
        // As a line has it that another program writes.
        let password = password.trim_end_matches(['\r', '\n']);
        auth::line(&words, password.as_bytes())
    });
    match made {
        Ok(line) => {
            // A reader that has gone away needs no line.
            let _ = writeln!(std::io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            fail(program, &format!("passwd NAME [RIGHTS [prefix=TEXT...]]: {problem}"), EXIT_USAGE)
        }
    }
}

/// From the terminal, without showing it and twice, or else a line of standard input.
fn read_password() -> std::io::Result<String> {
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        return std::io::stdin().read_line(&mut line).map(|_| line);
    }
    let password = client::ask_password("Password: ")?;
    if client::ask_password("Again: ")? != password {
        return Err(std::io::Error::other("expected the same password twice"));
    }
    Ok(password)
}

fn fail(program: &str, error: &dyn std::fmt::Display, code: i32) -> ExitCode {
    let name = std::path::Path::new(program).file_name().unwrap_or(program.as_ref());
    let priority = if logging::stderr_is_journal() { logging::priority(log::Level::Error) } else { "" };
    eprintln!("{priority}{}: {error}", name.to_string_lossy());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
