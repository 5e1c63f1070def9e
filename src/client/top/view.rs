//! How `larder top` looks: an [`App`] drawn into any size of terminal. Knows no server and no keyboard.

use ratatui::Frame;
use ratatui::layout::{Constraint, Direction, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Sparkline, Table};

use super::app::{App, Watched};
use super::figures::{ClassFigures, Figures};
use super::numbers::{age, bar, bytes, count, elided, microseconds, percent, rate, short, whole};
use super::sample::{HotKey, TIMES};

/// Characters of a figure's name in the overview, and of a server's in the table at least.
const NAME_WIDTH: usize = 12;
/// Columns without which panes stand one below the other.
const SIDE_BY_SIDE: u16 = 60;

const BAR: Style = Style::new().fg(Color::Cyan);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
const PROBLEM: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

const KEYS: &str = " q quit  p pause  s sort  k kind of hot keys  + - interval  ? help";
const KEYS_OF_SERVERS: &str =
    " q quit  Tab server  p pause  s sort  k kind of hot keys  + - interval  ? help";
const HELP: [(&str, &str); 10] = [
    ("q, Esc, Ctrl-C", "quit"),
    ("p, space", "pause, and go on"),
    ("s", "sort slab classes by class, memory, requests, evictions"),
    ("k", "hot keys: reads, writes, by requests or bytes"),
    ("+, -", "look more often, less often"),
    ("Tab, arrows", "the next server, the one before"),
    ("?, h", "this, and away with it"),
    ("", ""),
    ("", "Rates are of the time between two looks; totals, in brackets,"),
    ("", "and latencies since the server began to count."),
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App) {
    let [title, status, body, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(title_line(app)).reversed(), title);
    frame.render_widget(Paragraph::new(status_line(app)), status);
    match app.server() {
        Some(server) => draw_server(frame, body, app, server),
        None => draw_all(frame, body, app),
    }
    let text = if app.servers.len() > 1 { KEYS_OF_SERVERS } else { KEYS };
    frame.render_widget(Paragraph::new(text).style(QUIET), keys);
    if app.has_help {
        draw_help(frame);
    }
}

fn title_line(app: &App) -> Line<'static> {
    let what = match app.server() {
        None => format!(" {} servers", app.servers.len()),
        Some(server) => {
            let figures = &server.figures;
            let name = match &figures.larder_version {
                Some(version) => format!("larder {version} ({})", figures.version),
                None if figures.version.is_empty() => String::new(),
                None => format!("memcached {}", figures.version),
            };
            let up = figures.uptime.map_or(String::new(), |uptime| format!("  up {}", age(Some(uptime))));
            format!(" {}  {name}{up}", server.name)
        }
    };
    let paused = if app.is_paused { "  PAUSED" } else { "" };
    Line::from(format!("{what}  every {} s{paused}", app.seconds()))
}

/// What is wrong, or which servers there are.
fn status_line(app: &App) -> Line<'static> {
    if let Some(problem) = app.server().and_then(|server| server.problem.as_ref()) {
        return Line::styled(format!(" trying again: {problem}"), PROBLEM);
    }
    if app.servers.len() < 2 {
        return Line::default();
    }
    let style = |at: usize| if at == app.shown { Style::new().reversed() } else { Style::new() };
    let mut spans = vec![Span::styled(" all ", style(app.servers.len()))];
    spans.extend(app.servers.iter().enumerate().map(|(at, server)| {
        let mark = if server.problem.is_some() { "!" } else { "" };
        Span::styled(format!(" {mark}{} ", server.name), style(at))
    }));
    Line::from(spans)
}

fn draw_server(frame: &mut Frame<'_>, area: Rect, app: &App, server: &Watched) {
    if server.now.is_none() {
        let text = if server.problem.is_none() { " asking ..." } else { "" };
        return frame.render_widget(Paragraph::new(text), area);
    }
    let spark_lines = (area.height / 10).clamp(1, 6);
    let [overview, spark, panes] =
        Layout::vertical([Constraint::Length(7), Constraint::Length(spark_lines), Constraint::Min(0)])
            .areas(area);
    draw_overview(frame, overview, &server.figures);
    draw_spark(frame, spark, server);
    draw_panes(frame, panes, app, server);
    if server.problem.is_some() {
        // What is shown is of the time before.
        frame.buffer_mut().set_style(area, QUIET);
    }
}

/// Slab classes, and beside them what the server tells of latencies and hot keys, if it does.
fn draw_panes(frame: &mut Frame<'_>, panes: Rect, app: &App, server: &Watched) {
    let Some(now) = &server.now else { return };
    let latency = u16::try_from(now.latency.len()).unwrap_or(u16::MAX);
    let (has_latency, has_hot_keys) = (latency > 0, !now.hot_keys.is_empty());
    if !has_latency && !has_hot_keys {
        return draw_classes(frame, panes, app, server);
    }
    let direction = if panes.width < SIDE_BY_SIDE { Direction::Vertical } else { Direction::Horizontal };
    let [classes, right] = Layout::new(direction, [Constraint::Fill(1), Constraint::Fill(1)]).areas(panes);
    draw_classes(frame, classes, app, server);
    let latency_lines = match (has_latency, has_hot_keys) {
        (true, true) => latency.saturating_add(2).min(right.height / 2),
        (true, false) => right.height,
        _ => 0,
    };
    let [top, bottom] =
        Layout::vertical([Constraint::Length(latency_lines), Constraint::Min(0)]).areas(right);
    if has_latency {
        draw_latency(frame, top, server);
    }
    if has_hot_keys {
        draw_hot_keys(frame, bottom, app, &now.hot_keys);
    }
}

/// Names and figures, and in the same order what is shown of them where these have no place.
type Rows = [(&'static str, String, String)];

fn draw_overview(frame: &mut Frame<'_>, area: Rect, figures: &Figures) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    let per_second =
        |name, number| (name, format!("{:>10} /s", rate(number)), format!("{}/s", short(number)));
    let traffic = |name, number| (name, format!("{:>10}/s", bytes(number)), format!("{}/s", bytes(number)));
    let ratio = percent(figures.hit_ratio);
    let ratio_with_all = format!("{ratio:>10} ({} in all)", percent(figures.hit_ratio_in_all));
    let rows = [
        per_second("Requests", figures.requests),
        per_second("  get", figures.gets),
        per_second("  set", figures.sets),
        per_second("  delete", figures.deletes),
        ("Hit ratio", ratio_with_all, ratio),
        traffic("Received", figures.received),
        traffic("Sent", figures.sent),
    ];
    frame.render_widget(Paragraph::new(lines(&rows, left.width)), left);
    draw_state(frame, right, figures);
}

/// The right half of the overview.
fn draw_state(frame: &mut Frame<'_>, area: Rect, figures: &Figures) {
    let memory = [bytes(figures.memory), bytes(figures.memory_limit)];
    let [items, refused] = [figures.items, figures.refused].map(|number| (whole(number), count(number)));
    let [connections, connections_max] =
        [figures.connections, figures.connections_max].map(|number| (whole(number), count(number)));
    let (evictions, evicted) = (figures.evictions, figures.evicted_in_all);
    let (new, rejected) = (figures.new_connections, figures.rejected);
    let cpu = figures.cpu.map_or("-".to_owned(), |cpu| format!("{cpu:.2}"));
    let rows = [
        ("Memory", memory.join(" of "), memory.join("/")),
        ("Items", format!("{} ({})", items.0, bytes(figures.item_bytes)), items.1),
        (
            "Evictions",
            format!("{} /s ({})", rate(evictions), whole(evicted)),
            format!("{}/s", short(evictions)),
        ),
        ("Refused", format!("{} values", refused.0), refused.1),
        (
            "Connections",
            format!("{} of {}", connections.0, connections_max.0),
            format!("{}/{}", connections.1, connections_max.1),
        ),
        ("  new", format!("{} /s ({} rejected)", rate(new), whole(rejected)), format!("{}/s", short(new))),
        ("CPU", format!("{cpu} cores ({} threads)", whole(figures.threads)), cpu.clone()),
    ];
    let mut lines = lines(&rows, area.width);
    let share = figures.memory.zip(figures.memory_limit).map(|(used, limit)| used / limit);
    let width = area.width.saturating_sub(34).clamp(4, 40);
    let text = format!(" {}", memory.join(" of "));
    if usize::from(area.width) >= NAME_WIDTH + 1 + usize::from(width) + text.len()
        && let Some(line) = lines.first_mut()
    {
        let (full, free) = bar(share.unwrap_or(0.0), 1.0, 1.0, usize::from(width));
        *line = Line::from(vec![
            Span::raw(format!(" {:NAME_WIDTH$}", "Memory")),
            Span::styled(full, BAR),
            Span::styled(free, QUIET),
            Span::styled(text, HEAD),
        ]);
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The rows in a pane of that width. If it cuts one of them off, each is shown in short: half a number is a wrong one.
fn lines(rows: &Rows, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width);
    let has_place = rows.iter().all(|(_, text, _)| 1 + NAME_WIDTH + text.len() <= width);
    let longest = rows.iter().map(|(_, _, short)| short.len()).max().unwrap_or(0);
    let name_width = width.saturating_sub(2 + longest).min(NAME_WIDTH);
    let line = |(name, long, short): &(&str, String, String)| {
        let (name, text) = match has_place {
            true => (format!(" {name:NAME_WIDTH$}"), long.clone()),
            false => (format!(" {name:name_width$.name_width$} "), format!("{short:>longest$}")),
        };
        Line::from(vec![Span::raw(name), Span::styled(text, HEAD)])
    };
    rows.iter().map(line).collect()
}

fn draw_spark(frame: &mut Frame<'_>, area: Rect, server: &Watched) {
    let width = usize::from(area.width.saturating_sub(2));
    let recent = server.requests.iter().skip(server.requests.len().saturating_sub(width)).copied();
    let [_, inner] = Layout::horizontal([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Sparkline::default().data(recent.collect::<Vec<u64>>()).style(BAR), inner);
}

/// A pane with a line and its title above.
fn pane(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).border_style(QUIET).title(Span::styled(format!(" {title} "), HEAD))
}

fn draw_classes(frame: &mut Frame<'_>, area: Rect, app: &App, server: &Watched) {
    let classes = app.classes(server);
    let largest = classes.iter().map(|one| one.class.bytes()).fold(0.0, f64::max);
    let is_wide = area.width >= 60;
    let mut widths = vec![4, 6, 6];
    let mut head = vec![" cls", "  size", "memory"];
    if is_wide {
        widths.extend([9, 8, 7]);
        head.extend(["    items", "   req/s", "    age"]);
    }
    widths.push(7);
    head.push("evict/s");
    let taken: u16 = widths.iter().map(|width| width + 1).sum();
    let bar_width = area.width.saturating_sub(taken + 1);
    head.push("used, free");
    let rows = classes.iter().map(|one| class_row(one, largest, is_wide, usize::from(bar_width)));
    let constraints = widths.iter().copied().chain([bar_width]).map(Constraint::Length);
    let shown = usize::from(area.height.saturating_sub(2));
    let more = if classes.len() > shown { format!(", {shown} of {}", classes.len()) } else { String::new() };
    let table = Table::new(rows, constraints).header(Row::new(head).style(QUIET));
    frame.render_widget(table.block(pane(format!("Slab classes by {}{more}", app.sort.name()))), area);
}

fn class_row(one: &ClassFigures, largest: f64, is_wide: bool, bar_width: usize) -> Row<'static> {
    let class = &one.class;
    let (full, free) = bar(class.used_bytes(), class.bytes(), largest, bar_width);
    let mut cells = vec![
        Line::from(class.number.to_string()).right_aligned(),
        Line::from(bytes(Some(class.chunk_bytes))).right_aligned(),
        Line::from(bytes(Some(class.bytes()))).right_aligned(),
    ];
    if is_wide {
        cells.push(Line::from(whole(Some(class.items))).right_aligned());
        cells.push(Line::from(short(one.requests)).right_aligned());
        cells.push(Line::from(age(Some(class.age))).right_aligned());
    }
    cells.push(Line::from(short(one.evictions)).right_aligned());
    cells.push(Line::from(vec![Span::styled(full, BAR), Span::styled(free, QUIET)]));
    Row::new(cells)
}

fn draw_latency(frame: &mut Frame<'_>, area: Rect, server: &Watched) {
    let Some(now) = &server.now else { return };
    // A narrow pane does without the rarest.
    let times: Vec<usize> = if area.width >= 52 { vec![0, 1, 2, 3, 4] } else { vec![0, 2, 4] };
    let head =
        ["".to_owned(), "sampled".to_owned()].into_iter().chain(times.iter().map(|&at| TIMES[at].to_owned()));
    let head: Vec<Line> = head.map(|name| Line::from(name).right_aligned()).collect();
    let rows = now.latency.iter().map(|one| {
        let mut cells =
            vec![Line::from(format!(" {}", one.command)), Line::from(count(Some(one.count))).right_aligned()];
        cells.extend(times.iter().map(|&at| Line::from(microseconds(one.times[at])).right_aligned()));
        Row::new(cells)
    });
    let widths = [Constraint::Fill(1), Constraint::Length(7)];
    let widths = widths.into_iter().chain(times.iter().map(|_| Constraint::Length(6)));
    let table = Table::new(rows, widths).header(Row::new(head).style(QUIET));
    frame.render_widget(table.block(pane("Latency, us".to_owned())), area);
}

fn draw_hot_keys(frame: &mut Frame<'_>, area: Rect, app: &App, hot_keys: &[HotKey]) {
    let mut kinds: Vec<&str> = hot_keys.iter().map(|hot| hot.kind.as_str()).collect();
    kinds.dedup();
    let Some(&kind) = kinds.get(app.hot_kind % kinds.len().max(1)) else { return };
    let in_bytes = kind.ends_with("bytes");
    let key_width = usize::from(area.width.saturating_sub(15));
    let rows = hot_keys.iter().filter(|hot| hot.kind == kind).map(|hot| {
        let number = if in_bytes { bytes(Some(hot.per_second)) } else { short(Some(hot.per_second)) };
        Row::new([
            Line::from(format!(" {}", elided(&hot.key, key_width))),
            Line::from(number).right_aligned(),
            Line::from(hot.percent.map_or("-".to_owned(), |percent| format!("{percent:.1}"))).right_aligned(),
        ])
    });
    let widths = [Constraint::Fill(1), Constraint::Length(7), Constraint::Length(5)];
    let head = ["", "per s", "%"].map(|name| Line::from(name).right_aligned());
    let table = Table::new(rows, widths).header(Row::new(head).style(QUIET));
    frame.render_widget(table.block(pane(format!("Hot keys, {}", kind.replace('_', " by ")))), area);
}

/// A column of the table of servers: its head, its width and what is in it.
type Column = (&'static str, u16, fn(&Figures) -> String);

/// In the order of what can be done without where there is no place.
const COLUMNS: [Column; 8] = [
    ("req/s", 7, |figures| short(figures.requests)),
    ("hits", 7, |figures| percent(figures.hit_ratio)),
    ("memory", 7, |figures| {
        percent(figures.memory.zip(figures.memory_limit).map(|(used, limit)| used / limit))
    }),
    ("limit", 6, |figures| bytes(figures.memory_limit)),
    ("items", 6, |figures| count(figures.items)),
    ("evict/s", 7, |figures| short(figures.evictions)),
    ("conns", 6, |figures| count(figures.connections)),
    ("sent/s", 6, |figures| bytes(figures.sent)),
];

/// A row for all servers, and one for each, those with problems first: whoever has more of them than lines must not miss
/// one. Below, what the problems are.
fn draw_all(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (away, there): (Vec<&Watched>, Vec<&Watched>) =
        app.servers.iter().partition(|server| server.problem.is_some());
    let mut left = area.width.saturating_sub(NAME_WIDTH as u16);
    let columns = COLUMNS.iter().take_while(|(_, width, _)| {
        let has_place = left > *width;
        left = left.saturating_sub(width + 1);
        has_place
    });
    let columns: Vec<&Column> = columns.collect();
    let row = |name: String, figures: &Figures| {
        let cells = columns.iter().map(|(_, _, figure)| Line::from(figure(figures)).right_aligned());
        Row::new([Line::from(format!(" {name}"))].into_iter().chain(cells))
    };
    let known: Vec<&Figures> = there.iter().map(|server| &server.figures).collect();
    let total = row("all".to_owned(), &Figures::total(&known)).style(HEAD);
    let with_problem =
        away.iter().map(|server| row(format!("! {}", server.name), &Figures::default()).style(PROBLEM));
    let others = there.iter().map(|server| row(server.name.clone(), &server.figures));
    // A quarter of the place is for what is wrong, if anything is.
    let reasons = away.len().min(usize::from(area.height / 4)) as u16;
    let [table_area, problems] = Layout::vertical([
        Constraint::Length(u16::try_from(app.servers.len()).unwrap_or(u16::MAX).saturating_add(4)),
        Constraint::Min(reasons),
    ])
    .areas(area);
    let shown = usize::from(table_area.height.saturating_sub(2));
    let more = match app.servers.len() > shown {
        true => format!(" {shown} of {}", app.servers.len()),
        false => String::new(),
    };
    let head = columns.iter().map(|(name, _, _)| Line::from(*name).right_aligned());
    let head = [Line::from(more)].into_iter().chain(head);
    let widths = columns.iter().map(|(_, width, _)| Constraint::Length(*width));
    let widths = [Constraint::Fill(1)].into_iter().chain(widths);
    let rows = [total].into_iter().chain(with_problem).chain(others);
    frame.render_widget(Table::new(rows, widths).header(Row::new(head).style(QUIET)), table_area);
    let lines = away.iter().filter_map(|server| server.problem.as_ref());
    let lines: Vec<Line> = lines.map(|problem| Line::styled(format!(" {problem}"), PROBLEM)).collect();
    frame.render_widget(Paragraph::new(lines), problems);
}

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (area.width.min(74), area.height.min(HELP.len() as u16 + 2));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    let lines = HELP
        .iter()
        .map(|(key, text)| Line::from(vec![Span::styled(format!(" {key:15}"), HEAD), Span::raw(*text)]));
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(" larder top ");
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), place);
}
