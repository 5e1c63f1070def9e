//! What `larder top` shows at present, and what the keys do to it. Draws nothing and asks no server.

use std::collections::VecDeque;
use std::time::Duration;

use super::figures::{ClassFigures, Figures};
use super::sample::Sample;

/// Looks whose rates are remembered, more than any terminal is wide.
const REMEMBERED: usize = 512;
/// Seconds between two looks that can be chosen.
const INTERVALS: [f64; 8] = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// By what slab classes are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Class,
    Memory,
    Requests,
    Evictions,
}

impl Sort {
    pub fn name(self) -> &'static str {
        match self {
            Sort::Class => "class",
            Sort::Memory => "memory",
            Sort::Requests => "requests",
            Sort::Evictions => "evictions",
        }
    }

    fn next(self) -> Sort {
        match self {
            Sort::Class => Sort::Memory,
            Sort::Memory => Sort::Requests,
            Sort::Requests => Sort::Evictions,
            Sort::Evictions => Sort::Class,
        }
    }
}

/// What somebody wants by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Pause,
    Sort,
    HotKeys,
    Faster,
    Slower,
    NextServer,
    PreviousServer,
    Help,
}

/// A server, and what is known of it.
#[derive(Debug)]
pub(super) struct Watched {
    pub name: String,
    pub now: Option<Sample>,
    pub figures: Figures,
    /// Requests per second of the looks before, the last at the end.
    pub requests: VecDeque<u64>,
    /// Why the last look was in vain.
    pub problem: Option<String>,
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct App {
    pub servers: Vec<Watched>,
    /// Which server is shown; with several, one beyond the last is all of them, in a table.
    pub shown: usize,
    pub sort: Sort,
    /// Which kind of hot keys is shown; counted on, whatever kinds there are.
    pub hot_kind: usize,
    pub interval: Duration,
    pub is_paused: bool,
    pub has_help: bool,
}

impl App {
    pub fn new(servers: impl IntoIterator<Item = String>, interval: Duration) -> App {
        let watched = |name| Watched {
            name,
            now: None,
            figures: Figures::default(),
            requests: VecDeque::new(),
            problem: None,
        };
        let servers: Vec<Watched> = servers.into_iter().map(watched).collect();
        let shown = if servers.len() > 1 { servers.len() } else { 0 };
        App { servers, shown, sort: Sort::Class, hot_kind: 0, interval, is_paused: false, has_help: false }
    }

    /// Takes what a look at a server has brought.
    pub fn take(&mut self, server: usize, look: Result<Sample, String>) {
        let Some(server) = self.servers.get_mut(server) else { return };
        match look {
            Ok(sample) => {
                server.figures = Figures::new(&sample, server.now.as_ref());
                server.now = Some(sample);
                server.problem = None;
                if let Some(requests) = server.figures.requests {
                    server.requests.push_back(requests as u64);
                }
            }
            Err(problem) => {
                server.problem = Some(problem);
                server.requests.push_back(0);
            }
        }
        while server.requests.len() > REMEMBERED {
            server.requests.pop_front();
        }
    }

    /// The server that is shown; `None` for all.
    pub fn server(&self) -> Option<&Watched> {
        self.servers.get(self.shown)
    }

    /// Does what is wished. `true` if that is the end.
    pub fn fulfil(&mut self, wish: Wish) -> bool {
        let places = if self.servers.len() > 1 { self.servers.len() + 1 } else { 1 };
        match wish {
            // Help goes away first.
            Wish::Quit if self.has_help => self.has_help = false,
            Wish::Quit => return true,
            Wish::Pause => self.is_paused = !self.is_paused,
            Wish::Sort => self.sort = self.sort.next(),
            Wish::HotKeys => self.hot_kind = self.hot_kind.wrapping_add(1),
            Wish::Faster => self.change_interval(INTERVALS.iter().rev().find(|&&one| one < self.seconds())),
            Wish::Slower => self.change_interval(INTERVALS.iter().find(|&&one| one > self.seconds())),
            Wish::NextServer => self.shown = (self.shown + 1) % places,
            Wish::PreviousServer => self.shown = (self.shown + places - 1) % places,
            Wish::Help => self.has_help = !self.has_help,
        }
        false
    }

    pub fn seconds(&self) -> f64 {
        self.interval.as_secs_f64()
    }

    fn change_interval(&mut self, seconds: Option<&f64>) {
        if let Some(&seconds) = seconds {
            self.interval = Duration::from_secs_f64(seconds);
        }
    }

    /// The classes of a server, in the order that was chosen.
    pub fn classes<'a>(&self, server: &'a Watched) -> Vec<&'a ClassFigures> {
        let mut classes: Vec<&ClassFigures> = server.figures.classes.iter().collect();
        let by = |figure: fn(&ClassFigures) -> f64| {
            move |one: &&ClassFigures, other: &&ClassFigures| figure(other).total_cmp(&figure(one))
        };
        match self.sort {
            Sort::Class => {}
            Sort::Memory => classes.sort_by(by(|one| one.class.bytes())),
            Sort::Requests => classes.sort_by(by(|one| one.requests.unwrap_or(0.0))),
            Sort::Evictions => classes.sort_by(by(|one| one.evictions.unwrap_or(0.0))),
        }
        classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_round_and_stop_at_ends() {
        let mut app = App::new(["a".to_owned(), "b".to_owned()], Duration::from_secs(1));
        assert!(app.server().is_none());
        for wanted in [Some("a"), Some("b"), None, Some("a")] {
            app.fulfil(Wish::NextServer);
            assert_eq!(app.server().map(|server| server.name.as_str()), wanted);
        }
        app.fulfil(Wish::PreviousServer);
        assert!(app.server().is_none());
        for _ in 0..20 {
            app.fulfil(Wish::Faster);
        }
        assert_eq!(app.seconds(), 0.25);
        for _ in 0..20 {
            app.fulfil(Wish::Slower);
        }
        assert_eq!(app.seconds(), 60.0);
        app.fulfil(Wish::Help);
        assert!(!app.fulfil(Wish::Quit) && app.fulfil(Wish::Quit));
    }

    #[test]
    fn a_server_alone_is_shown_and_a_problem_stays_until_it_answers() {
        let mut app = App::new(["a".to_owned()], Duration::from_secs(1));
        app.fulfil(Wish::NextServer);
        app.take(0, Err("gone".to_owned()));
        app.take(7, Err("nobody".to_owned()));
        assert_eq!(app.server().and_then(|server| server.problem.as_deref()), Some("gone"));
    }
}
