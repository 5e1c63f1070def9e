//! `larder top`: the figures of one server or several, again and again, in a terminal; once as text; or as JSON.

mod app;
mod figures;
mod numbers;
mod sample;
mod screen;
mod view;
mod watch;

use std::io::{IsTerminal, Write};
use std::thread;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::text::Span;

use super::access::Access;
use super::failure::Failure;
use super::options::TopOptions;
use super::text;
use app::App;
use sample::Source;

/// `larder top`.
///
/// # Errors
/// As [`Failure`] has them. A server that is not there is one only for what is not shown in a terminal.
pub(super) fn run(options: &TopOptions, out: &mut dyn Write) -> Result<(), Failure> {
    let is_for_terminal = !options.json && !options.once;
    if is_for_terminal && !(std::io::stdout().is_terminal() && std::io::stdin().is_terminal()) {
        return Err(Failure::Usage("expected a terminal, or --once or --json".to_owned()));
    }
    let access = Access::new(&options.connect)?;
    let names = options.servers.iter().map(ToString::to_string);
    let mut app = App::new(names, options.interval);
    let sources = options.servers.iter().map(|server| Source::new(server.clone(), access.clone()));
    let mut sources: Vec<Source> = sources.collect();
    if is_for_terminal {
        return screen::run(app, sources);
    }
    look(&mut app, &mut sources)?;
    loop {
        thread::sleep(options.interval);
        let answers = look(&mut app, &mut sources);
        // Who goes on looking is told of servers that are away, and sees them come back.
        if options.once {
            answers?;
        }
        match options.json {
            true => lines(&app, out)?,
            false => write_frame(&app, options.size, out)?,
        }
        out.flush()?;
        if options.once {
            return Ok(());
        }
    }
}

/// Looks at all servers.
///
/// # Errors
/// When none of them answers.
fn look(app: &mut App, sources: &mut [Source]) -> Result<(), Failure> {
    let mut failure = None;
    let mut answers = false;
    for (server, source) in sources.iter_mut().enumerate() {
        match source.look() {
            Ok(sample) => {
                answers = true;
                app.take(server, Ok(sample));
            }
            Err(one) => {
                app.take(server, Err(one.to_string()));
                failure.get_or_insert(one);
            }
        }
    }
    match failure {
        Some(failure) if !answers => Err(failure),
        _ => Ok(()),
    }
}

/// A line of JSON for each server.
fn lines(app: &App, out: &mut dyn Write) -> Result<(), Failure> {
    for server in &app.servers {
        let object = match (&server.problem, &server.now) {
            (None, Some(now)) => server.figures.json(&server.name, now),
            (problem, _) => serde_json::json!({ "server": server.name, "problem": problem }),
        };
        writeln!(out, "{}", text::json(&object))?;
    }
    Ok(())
}

/// What a terminal of that size would show, as text.
fn write_frame(app: &App, (columns, lines): (u16, u16), out: &mut dyn Write) -> Result<(), Failure> {
    let no_place = |error: std::convert::Infallible| Failure::Failed(error.to_string());
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).map_err(no_place)?;
    terminal.draw(|frame| view::draw(frame, app)).map_err(no_place)?;
    for line in lines_of(terminal.backend().buffer()) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The text of each line, without blanks at its end.
fn lines_of(buffer: &Buffer) -> Vec<String> {
    let columns = usize::from(buffer.area.width).max(1);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let mut line = String::new();
        let mut column = 0;
        while let Some(cell) = cells.get(column) {
            line.push_str(cell.symbol());
            // The cell behind a wide character is a part of it.
            column += Span::raw(cell.symbol()).width().max(1);
        }
        line.truncate(line.trim_end().len());
        line
    };
    buffer.content.chunks(columns).map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::{Duration, Instant};

    use super::app::Wish;
    use super::sample::{Class, HotKey, Latency, Sample};
    use super::*;

    fn sample(hot_keys: usize) -> Sample {
        let stats =
            [("version", "1.6.45"), ("larder_version", "0.1.0"), ("curr_items", "432552"), ("uptime", "61")];
        let hot = |number: usize| HotKey {
            kind: if number.is_multiple_of(2) { "read_requests" } else { "write_bytes" }.to_owned(),
            key: format!("key-{number}-größe-温度-{}", "x".repeat(300)),
            per_second: 1e9 / (number + 1) as f64,
            error: None,
            percent: Some(50.0),
        };
        let class =
            |number| Class { number, chunk_bytes: 96.0, chunks: 1e6, used_chunks: 5e5, ..Class::default() };
        Sample {
            at: Instant::now(),
            stats: stats.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
            classes: (0..60).map(class).collect(),
            latency: vec![Latency { command: "get".to_owned(), count: 5.0, times: [Some(1e9); 5] }; 10],
            hot_keys: (0..hot_keys).map(hot).collect(),
        }
    }

    fn shown(app: &App, size: (u16, u16)) -> String {
        let mut bytes = Vec::new();
        write_frame(app, size, &mut bytes).unwrap_or_else(|failure| panic!("{failure}"));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn it_fits_any_terminal() {
        let mut app = App::new(["cache:1".to_owned(), "cache:2".to_owned()], Duration::from_secs(1));
        app.take(0, Ok(sample(40)));
        app.take(1, Err("cache:2 cannot be reached".to_owned()));
        for wish in [Wish::Help, Wish::Help, Wish::NextServer, Wish::Sort, Wish::NextServer, Wish::HotKeys] {
            app.fulfil(wish);
            for size in [(1, 1), (2, 9), (20, 5), (40, 12), (80, 24), (160, 50), (400, 100), (80, 1), (1, 80)]
            {
                let text = shown(&app, size);
                assert_eq!(text.lines().count(), usize::from(size.1), "{size:?}");
                let width = |line: &str| Span::raw(line).width();
                assert!(text.lines().all(|line| width(line) <= usize::from(size.0)), "{size:?}\n{text}");
            }
        }
    }

    #[test]
    fn half_a_number_is_never_shown() {
        let mut app = App::new(["cache:1".to_owned()], Duration::from_secs(1));
        let stats = |number: u32| {
            let pairs = ["cmd_set", "get_hits", "get_misses", "delete_hits", "delete_misses", "bytes_read"];
            let pairs = pairs.map(|name| (name.to_owned(), number.to_string()));
            let memory = [("bytes", "7340032"), ("limit_maxbytes", "67108864"), ("curr_items", "1234567")];
            pairs.into_iter().chain(memory.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
        };
        let first = Sample { stats: stats(0), ..sample(4) };
        let second =
            Sample { stats: stats(1_234_567), at: first.at + Duration::from_secs(1), ..first.clone() };
        app.take(0, Ok(first));
        app.take(0, Ok(second));
        let text = shown(&app, (80, 24));
        assert!(text.contains("1,234,567 /s") && text.contains("7.0M of 64.0M"), "{text}");
        for columns in 40..80 {
            let text = shown(&app, (columns, 40));
            for (name, long, short) in [
                (" set", "1,234,567 /s", "1.2M/s"),
                ("Received", "1.2M/s", "1.2M/s"),
                ("Memory", "7.0M of 64.0M", "7.0M/64.0M"),
                ("Items", "1,234,567 (7.0M)", "1.2M"),
            ] {
                let line = text.lines().find(|line| line.contains(name)).unwrap_or_default();
                assert!(line.contains(long) || line.contains(short), "{columns}: {name}\n{text}");
            }
        }
    }

    #[test]
    fn of_many_servers_all_and_those_with_problems_are_seen() {
        let names = (0..40).map(|number| format!("cache:{}", 1000 + number));
        let mut app = App::new(names, Duration::from_secs(1));
        for number in 0..39 {
            app.take(number, Ok(sample(0)));
        }
        app.take(39, Err("cache:1039 cannot be reached".to_owned()));
        for size in [(80, 24), (40, 24), (80, 12)] {
            let text = shown(&app, size);
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines[2].starts_with(' ') && lines[2].contains(" of 40"), "{text}");
            assert!(lines[3].starts_with(" all ") && lines[4].starts_with(" ! cache:1039"), "{text}");
            assert!(lines[5].starts_with(" cache:1000"), "{text}");
            assert!(text.contains("cache:1039 cannot be reached"), "{text}");
            let rows = lines.iter().filter(|line| line.starts_with(" cache:10") && !line.contains("reached"));
            assert!(lines[2].trim_start().starts_with(&format!("{} of 40", rows.count() + 1)), "{text}");
        }
        assert!(!shown(&app, (80, 50)).contains(" of 40"));
    }

    #[test]
    fn as_many_rows_as_there_are_do_no_harm() {
        let mut app = App::new(["cache:1".to_owned()], Duration::from_secs(1));
        let latency = vec![Latency { times: [Some(1.0); 5], ..Latency::default() }; 70_000];
        app.take(0, Ok(Sample { latency, ..sample(4) }));
        assert!(shown(&app, (80, 24)).contains("Latency, us"));
    }

    #[test]
    fn panes_are_there_if_there_is_something_in_them() {
        let mut app = App::new(["cache:1".to_owned()], Duration::from_secs(1));
        app.take(0, Ok(sample(2)));
        let text = shown(&app, (80, 24));
        for wanted in
            ["larder 0.1.0 (1.6.45)", "up 1m01s", "432,552", "Slab classes by class", "Latency", "q quit"]
        {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
        assert!(text.contains("Hot keys, read by requests") && text.contains("key-0-größe-"), "{text}");
        app.fulfil(Wish::HotKeys);
        assert!(shown(&app, (80, 24)).contains("Hot keys, write by bytes"));
        let of_memcached =
            Sample { latency: Vec::new(), hot_keys: Vec::new(), stats: HashMap::new(), ..sample(0) };
        app.take(0, Ok(of_memcached));
        let text = shown(&app, (80, 24));
        assert!(!text.contains("Latency") && !text.contains("Hot keys, "), "{text}");
        app.take(0, Err("cache:1 cannot be reached: Connection refused".to_owned()));
        assert!(shown(&app, (80, 24)).contains("trying again: cache:1 cannot be reached"));
    }
}
