//! The daemon itself: threads, sockets, signals. The only user of mio.
//!
//! [`run`] starts it and returns when it has stopped. One listener thread accepts; `-t` workers serve;
//! the main thread waits for signals.

mod bind;
mod connection;
mod listener;
pub mod logging;
pub mod process;
mod transport;
mod worker;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use mio::{Poll, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::base::clock::Clock;
use crate::base::sys;
use crate::config::{self, Settings};
use crate::protocol::memcached::Daemon;
use crate::store::{Automove, LruMode, LruPolicy, SegmentShares, Store, StoreOptions, Tuning};

use bind::Bound;
use listener::Listener;
use process::{EXIT_OSERR, ProcessError};
use worker::{Worker, WorkerHandle};

/// Descriptors needed beside those of clients: per worker a poll and a waker, standard streams, log,
/// listening sockets, and some for what libraries open.
const DESCRIPTORS_SPARE: usize = 64;
/// Address space of a thread's stack, for the sum that `-k` has to lock.
const THREAD_STACK_BYTES: u64 = 2 << 20;
/// The variable that names the file to which the ports in use are written.
const PORT_FILE_VARIABLE: &str = "MEMCACHED_PORT_FILENAME";

/// Why the daemon did not start: one line for stderr, and the exit code.
#[derive(Debug)]
pub struct StartError {
    message: String,
    exit_code: i32,
}

impl StartError {
    fn system(message: impl fmt::Display) -> StartError {
        StartError { message: message.to_string(), exit_code: EXIT_OSERR }
    }

    /// The process's exit code: memcached's for the same cause.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartError {}

impl From<ProcessError> for StartError {
    fn from(error: ProcessError) -> Self {
        StartError { message: error.to_string(), exit_code: error.exit_code() }
    }
}

/// Starts the daemon, serves until a signal stops it, and cleans up.
///
/// # Errors
/// [`StartError`] if it cannot start: nothing is served then.
pub fn run(settings: Settings) -> Result<(), StartError> {
    logging::init(settings.verbosity, settings.log_file.as_deref())
        .map_err(|error| StartError { message: error.to_string(), exit_code: error.exit_code() })?;
    let has_log_file = settings.log_file.is_some();
    let ran = start_and_serve(settings);
    // Beside what main writes to stderr, where nobody may be listening any more.
    if let Err(error) = &ran
        && has_log_file
    {
        log::error!("{error}");
    }
    ran
}

fn start_and_serve(mut settings: Settings) -> Result<(), StartError> {
    let mut warnings: Vec<String> = std::mem::take(&mut settings.warnings);
    warnings.extend(process::root_check(&settings)?);
    if settings.core_dumps {
        process::enable_core_dumps()?;
    }
    let wanted = settings.max_connections + DESCRIPTORS_SPARE + 4 * settings.threads;
    let descriptors = process::raise_descriptor_limit(wanted as u64)?;
    if descriptors < wanted as u64 {
        let clients = settings.max_connections;
        warnings.push(format!("{descriptors} file descriptors are too few for {clients} connections"));
    }
    // All that is likely to fail comes before the daemon goes to the background, where nobody is told.
    settings.user.as_deref().map_or(Ok(()), process::check_user)?;
    if let Some(path) = &mut settings.pid_file {
        *path = std::path::absolute(&path).map_err(StartError::system)?;
        process::check_pid_file(path)?;
    }
    let bound = bind::bind(&settings).map_err(StartError::system)?;
    if settings.daemonize {
        process::daemonize(settings.core_dumps, settings.verbosity)?;
    }
    if !sys::return_free_memory() {
        warnings.push("free memory stays with the process: no thread of the allocator's own".to_owned());
    }
    if settings.lock_memory {
        let needed = settings.memory_limit_bytes as u64 + THREAD_STACK_BYTES * (settings.threads as u64 + 2);
        warnings.extend(process::lock_memory(needed));
    }
    // From here on a signal is noted, to be acted on once everything runs.
    let signals = Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGHUP])
        .map_err(|error| StartError::system(format_args!("cannot catch signals: {error}")))?;
    let pid_file = settings.pid_file.as_deref().map(process::write_pid_file).transpose()?;
    let pid_file = pid_file.map(|(file, warning)| {
        warnings.extend(warning);
        file
    });
    settings.user.as_deref().map_or(Ok(()), process::drop_privileges)?;
    if let Some(path) = std::env::var_os(PORT_FILE_VARIABLE) {
        process::write_port_file(Path::new(&path), &bound.addresses)?;
    }
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
    if !settings.without_effect.is_empty() {
        log::debug!("without effect: {}", settings.without_effect.join(", "));
    }
    let is_daemon = settings.daemonize;
    let served = Threads::start(settings, bound).map(|threads| threads.serve(signals));
    // As memcached does, the pid file of a process in the foreground stays for whoever asked for it.
    if let Some(file) = pid_file.filter(|_| is_daemon || served.is_err())
        && let Err(error) = file.remove()
    {
        log::warn!("{error}");
    }
    served.inspect(|()| log::info!("stopped"))
}

/// What the settings say about the store.
fn store_options(settings: &Settings) -> StoreOptions {
    StoreOptions {
        memory_limit_bytes: settings.memory_limit_bytes,
        workers: settings.threads,
        item_bytes_max: settings.max_item_size,
        evict: settings.evictions,
        reassign: settings.slab_reassign,
        cas_enabled: settings.cas_enabled,
        slab_growth_factor: settings.slab_growth_factor,
        slab_min_size: settings.slab_min_size,
        tuning: tuning(settings),
        ..StoreOptions::default()
    }
}

/// What the settings say about that which clients may change later.
fn tuning(settings: &Settings) -> Tuning {
    Tuning {
        lru_mode: if settings.lru_segmented { LruMode::Segmented } else { LruMode::Flat },
        lru_policy: match settings.lru_policy {
            config::LruPolicy::Probation => LruPolicy::Probation,
            config::LruPolicy::Classic => LruPolicy::Classic,
        },
        segment_shares: SegmentShares {
            hot_percent: settings.hot_lru_pct,
            warm_percent: settings.warm_lru_pct,
        },
        hot_max_factor: settings.hot_max_factor,
        warm_max_factor: settings.warm_max_factor,
        temp_lru: settings.temp_lru,
        temporary_ttl: settings.temporary_ttl,
        automove: match settings.slab_automove {
            0 => Automove::Off,
            1 => Automove::Gentle,
            _ => Automove::Eager,
        },
        automove_ratio: settings.slab_automove_ratio,
        automove_window: settings.slab_automove_window,
    }
}

/// The running threads.
struct Threads {
    stop: Arc<AtomicBool>,
    listener: Arc<Waker>,
    workers: Arc<[WorkerHandle]>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(settings: Settings, bound: Bound) -> Result<Threads, StartError> {
        let cannot = |error: io::Error| StartError::system(format_args!("cannot start the workers: {error}"));
        let store = Store::new(&store_options(&settings));
        let threads = settings.threads;
        let daemon = Arc::new(Daemon::new(settings, store, Clock::start(), logging::set_verbosity));
        let stop = Arc::new(AtomicBool::new(false));
        let poll = Poll::new().map_err(cannot)?;
        let waker = Arc::new(Waker::new(poll.registry(), listener::WAKER).map_err(cannot)?);
        let mut handles = Vec::with_capacity(threads + 1);
        let mut workers = Vec::with_capacity(threads);
        for number in 0..threads {
            let (worker, handle) =
                Worker::new(number, daemon.clone(), waker.clone(), stop.clone()).map_err(cannot)?;
            workers.push(handle);
            let thread = thread::Builder::new().name(format!("worker {number}"));
            handles.push(thread.spawn(move || end_with(worker.run())).map_err(cannot)?);
        }
        log_start(&daemon, &bound.addresses);
        let workers: Arc<[WorkerHandle]> = workers.into();
        let listener =
            Listener::new(poll, bound.sockets, workers.clone(), daemon, stop.clone()).map_err(cannot)?;
        let thread = thread::Builder::new().name("listener".to_owned());
        handles.push(thread.spawn(move || end_with(listener.run())).map_err(cannot)?);
        Ok(Threads { stop, listener: waker, workers, handles })
    }

    /// Waits for a signal to stop, then for the threads.
    fn serve(self, mut signals: Signals) {
        for signal in signals.forever() {
            if signal != SIGHUP {
                break;
            }
            log::info!("SIGHUP: nothing to read again");
        }
        self.stop.store(true, Ordering::Relaxed);
        let woken = self.listener.wake().and_then(|()| self.workers.iter().try_for_each(WorkerHandle::wake));
        if let Err(error) = woken {
            // A thread that sleeps on cannot be waited for.
            log::error!("cannot wake a thread: {error}");
            return;
        }
        for handle in self.handles {
            let name = handle.thread().name().unwrap_or("thread").to_owned();
            if handle.join().is_err() {
                log::error!("{name} panicked");
            }
        }
    }
}

/// The end of a thread. One that cannot go on takes the daemon with it: half a daemon would accept clients
/// and never answer them. (A panic ends the process by itself, see the profiles in Cargo.toml.)
fn end_with(result: io::Result<()>) {
    if let Err(error) = result {
        let thread = thread::current();
        log::error!("{}: {error}", thread.name().unwrap_or("thread"));
        std::process::exit(EXIT_OSERR);
    }
}

/// The one line that every start leaves in the log.
fn log_start(daemon: &Daemon, addresses: &[SocketAddr]) {
    let settings = &daemon.settings;
    let mut places: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    places.extend(settings.unix_socket.iter().map(|path| format!("unix:{}", path.display())));
    let places = if places.is_empty() { "no address".to_owned() } else { places.join(", ") };
    log::info!(
        "larder {} serves memcached's protocol on {places}: {} MB, workers: {}, partitions: {}",
        env!("CARGO_PKG_VERSION"),
        settings.memory_limit_bytes >> 20,
        settings.threads,
        daemon.store.partitions(),
    );
}
