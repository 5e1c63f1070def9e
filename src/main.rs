//! The `larder` program: from the command line to a running daemon, and to an exit code.

use std::io::Write;
use std::process::ExitCode;

use larder::config::{self, Action};
use larder::server;

/// Pages that the store gives back leave holes all over the heap, which the system's allocator keeps.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_else(|| "larder".into());
    let program = program.to_string_lossy();
    match config::load(&program, args.collect()) {
        Ok(Action::Print(text)) => {
            // A reader that has gone away needs no text.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Action::Run(settings)) => match server::run(*settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&program, &error, error.exit_code()),
        },
        Err(error) => fail(&program, &error, error.exit_code()),
    }
}

fn fail(program: &str, error: &dyn std::error::Error, code: i32) -> ExitCode {
    let name = std::path::Path::new(program).file_name().unwrap_or(program.as_ref());
    eprintln!("{}: {error}", name.to_string_lossy());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
