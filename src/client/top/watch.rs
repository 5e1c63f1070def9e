//! Threads that look at the servers, one for each, so that one which is slow holds up neither others nor the screen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::client::failure::Failure;

use super::sample::{Sample, Source};

/// What looks have brought: which server, and what it tells or why it does not.
type Look = (usize, Result<Sample, String>);

/// How often to look.
struct Pace {
    interval_ms: AtomicU64,
    is_paused: AtomicBool,
}

/// The threads. They end with the process.
pub(super) struct Watch {
    pace: Arc<Pace>,
    threads: Vec<Thread>,
    looks: Receiver<Look>,
}

impl Watch {
    /// Begins to look.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(sources: Vec<Source>, interval: Duration) -> Result<Watch, Failure> {
        let pace = Arc::new(Pace { interval_ms: AtomicU64::new(0), is_paused: AtomicBool::new(false) });
        let (sender, looks) = channel();
        let mut watch = Watch { pace, threads: Vec::new(), looks };
        watch.set_pace(interval, false);
        for (server, source) in sources.into_iter().enumerate() {
            let (pace, sender) = (Arc::clone(&watch.pace), sender.clone());
            let started = thread::Builder::new().spawn(move || look(server, source, &pace, &sender));
            let started = started.map_err(|error| Failure::Failed(format!("no thread: {error}")))?;
            watch.threads.push(started.thread().clone());
        }
        Ok(watch)
    }

    /// From now on looks so often, or not at all.
    pub fn set_pace(&self, interval: Duration, is_paused: bool) {
        self.pace.interval_ms.store(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX), Relaxed);
        self.pace.is_paused.store(is_paused, Relaxed);
        self.threads.iter().for_each(Thread::unpark);
    }

    /// What has come since, without waiting.
    pub fn looks(&self) -> impl Iterator<Item = Look> + '_ {
        self.looks.try_iter()
    }
}

fn look(server: usize, mut source: Source, pace: &Pace, sender: &Sender<Look>) {
    loop {
        let begun = Instant::now();
        let look = source.look().map_err(|failure| failure.to_string());
        if sender.send((server, look)).is_err() {
            return;
        }
        loop {
            let interval = Duration::from_millis(pace.interval_ms.load(Relaxed));
            let rest = interval.saturating_sub(begun.elapsed());
            match pace.is_paused.load(Relaxed) {
                true => thread::park(),
                false if rest.is_zero() => break,
                false => thread::park_timeout(rest),
            }
        }
    }
}
