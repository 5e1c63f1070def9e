//! The command lines of the client commands. Their sentences are the help, the manual and the completions.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::address::Address;
use super::items::Key;

const SERVER: &str = "127.0.0.1:11211";
const EXIT_CODES: &str = "Exit codes: 0; 1 if the server refused, or answered what it must not; 64 for a wrong \
    command line;\n69 if the server cannot be reached or does not answer; 71 for a file that cannot be read.";

const BENCH_KEYS: &str = "Keys are larder-bench:RUN:NUMBER, deleted at the end, also of a run that fails or is ended by a signal. \
    What is\nleft if the server is away by then ends 10 minutes after --seconds.\n\n";

const DUMP_VALUES: &str = "With --values each item counts as read once. Stale items, and empty ones that a client only reserved (mg with N),\n\
    are written like any other: no request tells them apart without taking the invitation to renew them. Of stale\n\
    items whose keys have blanks, line feeds or NUL in them it is taken, since mg alone can ask for these. What the\n\
    server refuses to give is noted and left out, and the exit code is 1.\n\n";

/// larder's command line where it is a client.
#[derive(Parser)]
#[command(name = "larder", disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Watch servers in a terminal: requests, hit ratio, memory, slab classes, latency, hot keys
    #[command(after_help = EXIT_CODES)]
    Top(TopOptions),
    /// Show the statistics of a server
    #[command(after_help = EXIT_CODES)]
    Stats(StatsOptions),
    /// See whether a server answers, and how soon
    #[command(after_help = EXIT_CODES)]
    Ping(PingOptions),
    /// Print the value of an item
    #[command(after_help = EXIT_CODES)]
    Get(GetOptions),
    /// Store an item
    #[command(after_help = EXIT_CODES)]
    Set(SetOptions),
    /// Delete an item
    #[command(after_help = EXIT_CODES)]
    Delete(DeleteOptions),
    /// Print the keys of a server, or its items as commands that store them again
    #[command(after_help = DUMP_VALUES.to_owned() + EXIT_CODES)]
    Dump(DumpOptions),
    /// Delete all items of a server, or those with a prefix
    #[command(after_help = EXIT_CODES)]
    Flush(FlushOptions),
    /// Put a load on a server, check each reply and tell how long it took
    #[command(after_help = BENCH_KEYS.to_owned() + EXIT_CODES)]
    Bench(BenchOptions),
}

/// How to get to the server, for all commands.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectOptions {
    /// Log in where that is wanted; password from --password-file, LARDER_PASSWORD or the terminal
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Speak TLS
    #[arg(long)]
    pub tls: bool,
    /// Certificates to trust, PEM [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub ca_cert: Option<PathBuf>,
    /// The certificate to show, PEM
    #[arg(long, value_name = "FILE", requires = "tls", requires = "tls_key")]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(id = "tls_key", long = "key", value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must have [default: the host]
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub server_name: Option<String>,
    /// How long to wait for a connection, an answer, and every further 16 KiB
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub timeout: Duration,
}

#[derive(Args)]
pub(super) struct TopOptions {
    /// HOST:PORT, or the path of a Unix socket; several are shown in a table and one by one
    #[arg(default_value = SERVER, value_name = "SERVER")]
    pub servers: Vec<Address>,
    /// How long to wait between two looks
    #[arg(long, short, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub interval: Duration,
    /// Look twice, print as text what a terminal would show, and end
    #[arg(long)]
    pub once: bool,
    /// After each look a line of JSON for each server, or its problem; with --once after the second alone
    #[arg(long)]
    pub json: bool,
    /// The size of what --once prints
    #[arg(long, value_name = "COLUMNSxLINES", default_value = "80x24", value_parser = size)]
    pub size: (u16, u16),
    #[command(flatten)]
    pub connect: ConnectOptions,
}

#[derive(Args)]
pub(super) struct StatsOptions {
    /// HOST:PORT, or the path of a Unix socket
    #[arg(default_value = SERVER)]
    pub server: Address,
    /// What to show, as memcached names it, such as items, slabs, settings, latency or hotkeys 20
    pub group: Vec<String>,
    /// Every so many seconds show what has changed, and by how much per second
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub watch: Option<Duration>,
    /// One JSON object; with --watch one on each line, with all statistics
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectOptions,
}

#[derive(Args)]
pub(super) struct PingOptions {
    /// HOST:PORT, or the path of a Unix socket
    #[arg(default_value = SERVER)]
    pub server: Address,
    /// How often to ask
    #[arg(long, short, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// How long to wait between two questions
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub interval: Duration,
    /// One JSON object, times in microseconds
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectOptions,
}

#[derive(Args)]
pub(super) struct GetOptions {
    /// HOST:PORT, or the path of a Unix socket
    pub server: Address,
    /// The key of the item
    pub key: Key,
    /// One JSON object with key, flags, and value or value_base64
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectOptions,
}

#[derive(Args)]
pub(super) struct SetOptions {
    /// HOST:PORT, or the path of a Unix socket
    pub server: Address,
    /// The key of the item
    pub key: Key,
    /// The value, behind -- if it begins with -; if it is not given, all of standard input
    #[arg(allow_negative_numbers = true)]
    pub value: Option<OsString>,
    /// Seconds that the item lives; 0 for ever
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub ttl: u32,
    /// A number to be kept with the item
    #[arg(long, value_name = "N", default_value = "0")]
    pub flags: u32,
    #[command(flatten)]
    pub connect: ConnectOptions,
}

#[derive(Args)]
pub(super) struct DeleteOptions {
    /// HOST:PORT, or the path of a Unix socket
    pub server: Address,
    /// The key of the item
    pub key: Key,
    #[command(flatten)]
    pub connect: ConnectOptions,
}

#[derive(Args)]
pub(super) struct DumpOptions {
    /// HOST:PORT, or the path of a Unix socket
    #[arg(default_value = SERVER)]
    pub server: Address,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Values as well: commands that can be sent to a server as they are
    #[arg(long)]
    pub values: bool,
    /// A JSON object on each line, with key or key_base64; with --values also with value or value_base64
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectOptions,
}

#[derive(Args)]
pub(super) struct FlushOptions {
    /// HOST:PORT, or the path of a Unix socket
    pub server: Address,
    /// Only in so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", conflicts_with = "prefix")]
    pub delay: u32,
    /// Only items whose keys begin so; larder alone can do that
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<Key>,
    /// Do not ask, as is done on a terminal
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub connect: ConnectOptions,
}

#[derive(Args)]
pub(super) struct BenchOptions {
    /// HOST:PORT, or the path of a Unix socket
    pub server: Address,
    /// How long to go on, after all keys were stored
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub seconds: Duration,
    /// Connections, each with a thread of its own
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub connections: u32,
    /// Requests that are sent together; times --value-bytes 16 MiB at most, for each connection
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pipeline: u32,
    /// How many keys there are
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub keys: u32,
    /// Bytes of a value
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(32..=1_000_000))]
    pub value_bytes: u32,
    /// How many of a hundred requests store a value; the others get one
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub sets: u32,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectOptions,
}

/// A number of seconds that makes sense, perhaps with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.01..=86_400.0).contains(number));
    number.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds, 0.01 to 86400".to_owned())
}

/// Of a terminal.
fn size(text: &str) -> Result<(u16, u16), String> {
    let wanted = || "expected COLUMNSxLINES, such as 160x50, at most 1000x1000".to_owned();
    let (columns, lines) = text.split_once('x').ok_or_else(wanted)?;
    match (columns.parse(), lines.parse()) {
        (Ok(columns @ 1..=1000), Ok(lines @ 1..=1000)) => Ok((columns, lines)),
        _ => Err(wanted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_sound() {
        crate::client::command().debug_assert();
    }

    #[test]
    fn seconds_have_bounds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "nan", "inf", "1e9", "", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
