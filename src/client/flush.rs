//! `larder flush`: takes all items from a server, or those with a prefix, if that is really meant.

use std::io::{BufRead, IsTerminal, Write};

use super::access::Access;
use super::connection::Connection;
use super::failure::Failure;
use super::items::exptime;
use super::options::FlushOptions;
use super::stats::is_word;
use super::text;

/// `larder flush`.
///
/// # Errors
/// As [`Failure`] has them; that it was not meant is one.
pub(super) fn run(options: &FlushOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let command = match (&options.prefix, options.delay) {
        (Some(prefix), _) => format!("flush_prefix {}\r\n", prefix.0),
        (None, 0) => "flush_all\r\n".to_owned(),
        (None, delay) => format!("flush_all {}\r\n", exptime(delay)),
    };
    let mut connection = Connection::open(&options.server, &Access::new(&options.connect)?)?;
    if !options.yes && std::io::stdin().is_terminal() {
        let what = match &options.prefix {
            Some(prefix) => {
                format!("all items whose keys begin with '{}'", text::printable(prefix.0.as_bytes()))
            }
            None => "all items".to_owned(),
        };
        // Not among the output, which may go to a file.
        let mut question = std::io::stderr().lock();
        write!(question, "Delete {what} of {}? (yes or no) ", connection.server())?;
        question.flush()?;
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.map_err(|error| Failure::Failed(format!("no answer: {error}")))?;
        if !["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
            return Err(Failure::Failed("nothing was deleted".to_owned()));
        }
    }
    connection.send(command.as_bytes())?;
    let line = text::printable(connection.line()?);
    match line.strip_prefix("OK") {
        Some("") => Ok(()),
        Some(count) if options.prefix.is_some() => Ok(writeln!(out, "{} deleted", count.trim())?),
        _ if options.prefix.is_some() && is_word(&line, "ERROR") => {
            let server = connection.server();
            Err(Failure::Failed(format!("{server} answers: {line} (larder alone can flush a prefix)")))
        }
        _ => Err(connection.refusal(&line)),
    }
}
