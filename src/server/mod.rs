//! The daemon itself: threads, sockets, signals. The only user of mio.
//!
//! [`run`] starts it and returns when it has stopped. One listener thread accepts; `-t` workers serve;
//! the main thread waits for signals.

mod bind;
mod complaints;
mod connection;
#[cfg(test)]
mod faulty;
mod files;
mod held;
mod host;
mod inherited;
mod left;
mod listener;
pub mod logging;
mod logins;
mod lookout;
mod manager;
mod metrics;
mod pace;
mod page;
mod per_address;
pub mod process;
mod reload;
mod sandbox;
mod share;
mod tls;
mod transport;
mod udp;
mod worker;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam::channel::Sender;
use mio::{Poll, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::auth::{AuthError, Guard};
use crate::base::clock::Clock;
use crate::base::sys;
use crate::config::{Reader, Settings};
use crate::protocol::memcached::{self, ConnectionInfo, Daemon, Hooks};
use crate::store::{Store, StoreOptions};

use bind::Bound;
use host::Host;
use listener::{Listener, Listening};
use lookout::{ListenerSigns, Lookout};
use manager::Manager;
use metrics::MetricsServer;
use process::{EXIT_OSERR, ProcessError, Terminal};
use tls::{Certificates, TlsError};
use worker::{Worker, WorkerHandle};

/// Descriptors needed beside those of clients: per worker a poll and a waker, standard streams, log,
/// listening sockets, and some for what libraries open.
const DESCRIPTORS_SPARE: usize = 64;
/// Address space of a thread's stack, for the sum that `-k` has to lock.
const THREAD_STACK_BYTES: u64 = 2 << 20;
/// The variable that names the file to which the ports in use are written.
const PORT_FILE_VARIABLE: &str = "MEMCACHED_PORT_FILENAME";

/// The variable that makes commands for tests available, if it is 1.
const DEBUG_VARIABLE: &str = "MEMCACHED_DEBUG_COMMANDS";

/// Ends the daemon as a signal does.
fn stop_by_command() {
    if let Err(error) = signal_hook::low_level::raise(SIGINT) {
        log::error!("cannot stop by command: {error}");
    }
}

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

impl From<AuthError> for StartError {
    fn from(error: AuthError) -> Self {
        StartError { message: error.to_string(), exit_code: error.exit_code() }
    }
}

impl From<TlsError> for StartError {
    fn from(error: TlsError) -> Self {
        StartError { message: error.to_string(), exit_code: error.exit_code() }
    }
}

/// Starts the daemon, serves until a signal stops it, and cleans up. On SIGHUP `reader` reads the options again.
///
/// # Errors
/// [`StartError`] if it cannot start: nothing is served then.
pub fn run(settings: Settings, reader: Reader) -> Result<(), StartError> {
    logging::init(settings.verbosity, settings.log_format, settings.log_file.as_deref())
        .map_err(|error| StartError { message: error.to_string(), exit_code: error.exit_code() })?;
    logging::tell_of_panics();
    let has_log_file = settings.log_file.is_some();
    let ran = start_and_serve(settings, reader);
    // Beside what main writes to stderr, where nobody may be listening any more.
    if let Err(error) = &ran
        && has_log_file
    {
        log::error!("{error}");
    }
    ran
}

fn start_and_serve(mut settings: Settings, reader: Reader) -> Result<(), StartError> {
    let mut warnings: Vec<String> = std::mem::take(&mut settings.warnings);
    warnings.extend(process::root_check(&settings)?);
    if settings.core_dumps {
        process::enable_core_dumps()?;
    }
    let wanted = descriptors_wanted(settings.max_connections, &settings) as u64;
    let descriptors = process::raise_descriptor_limit(wanted)?;
    if descriptors < wanted {
        warnings.push(too_few(descriptors, settings.max_connections));
    }
    // All that is likely to fail comes before the daemon goes to the background, where nobody is told.
    settings.user.as_deref().map_or(Ok(()), process::check_user)?;
    if let Some(path) = &mut settings.pid_file {
        *path = std::path::absolute(&path).map_err(StartError::system)?;
        process::check_pid_file(path)?;
    }
    files::make_absolute(&mut settings).map_err(StartError::system)?;
    // While it may be read: perhaps only root may.
    let (guard, of_guard) = logins::guard(&settings)?;
    warnings.extend(of_guard);
    let certificates = settings.tls.enabled.then(|| Certificates::load(&settings.tls)).transpose()?;
    let certificates = certificates.map(Arc::new);
    warnings.extend(certificates.as_ref().and_then(|certificates| certificates.warning()));
    let bound = bind::bind(&settings)
        .map_err(|error| StartError { message: error.to_string(), exit_code: error.exit_code() })?;
    warnings.extend(logins::exposure(&settings, &bound.addresses, &bound.udp_addresses));
    warnings.extend(metrics::exposure(&bound.metrics, &settings));
    let terminal = Terminal::to_be_left(&settings);
    if settings.daemonize {
        process::daemonize(settings.core_dumps, settings.verbosity)?;
    }
    if !sys::return_free_memory() {
        warnings.push("free memory stays with the process: no thread of the allocator's own".to_owned());
    }
    if settings.lock_memory {
        let needed = settings.memory_limit_bytes as u64 + THREAD_STACK_BYTES * (settings.threads as u64 + 2);
        warnings.extend(process::lock_memory(needed, settings.user.as_deref()));
    }
    // While a socket may be opened, and before it is another user who would have to.
    let (manager, of_manager) = Manager::from_environment();
    warnings.extend(of_manager);
    // From here on a signal is noted, to be acted on once everything runs.
    let signals = Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGHUP])
        .map_err(|error| StartError::system(format_args!("cannot catch signals: {error}")))?;
    let pid_file = settings.pid_file.as_deref().map(process::write_pid_file).transpose()?;
    let pid_file = pid_file.map(|(file, warning)| {
        warnings.extend(warning);
        file
    });
    settings.user.as_deref().map_or(Ok(()), process::drop_privileges)?;
    process::settle_core_dumps(&settings)?;
    warnings.extend(files::unreadable(&mut settings));
    write_port_file(&bound)?;
    if bound.sockets.is_empty() && bound.udp_addresses.is_empty() {
        warnings.push("nobody can connect: expected a port (-p, -U) or a Unix socket (-s)".to_owned());
    }
    tell(&warnings, &settings, terminal);
    let is_daemon = settings.daemonize;
    let secrets = Secrets { guard, certificates };
    let served =
        Threads::start(settings, bound, secrets, manager).map(|threads| threads.serve(signals, reader));
    // As memcached does, the pid file of a process in the foreground stays for whoever asked for it.
    if let Some(file) = pid_file.filter(|_| is_daemon || served.is_err())
        && let Err(error) = file.remove()
    {
        log::warn!("{error}");
    }
    served.inspect(|()| log::info!("stopped"))
}

/// Says what is unwise about the start, to the log and to whoever started it.
fn tell(warnings: &[String], settings: &Settings, terminal: Option<Terminal>) {
    if let Some(terminal) = terminal {
        terminal.tell(warnings, if settings.program_is_memcached { "memcached" } else { "larder" });
    }
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
    if !settings.without_effect.is_empty() {
        log::debug!("without effect: {}", settings.without_effect.join(", "));
    }
}

/// Tells tests and scripts on which ports clients are served, if they want to know.
fn write_port_file(bound: &Bound) -> Result<(), ProcessError> {
    match std::env::var_os(PORT_FILE_VARIABLE) {
        Some(path) => process::write_port_file(Path::new(&path), &bound.addresses, &bound.udp_addresses),
        None => Ok(()),
    }
}

/// Descriptors for so many connections and all else that the settings ask for.
fn descriptors_wanted(connections: usize, settings: &Settings) -> usize {
    // A name may stand for an address of each family.
    let udp_sockets = 2 * settings.udp.listen.len() * settings.udp_sockets_per_address();
    let http_clients = settings.metrics_listen.as_ref().map_or(0, |_| metrics::CLIENTS_MAX);
    connections + DESCRIPTORS_SPARE + 4 * settings.threads + udp_sockets + http_clients
}

/// A warning of descriptors that are less than [`descriptors_wanted`].
fn too_few(descriptors: u64, connections: usize) -> String {
    format!("{descriptors} file descriptors are too few for {connections} connections")
}

/// What the system must have besides items; 0 where asking for it would fill it.
fn headroom_bytes(settings: &Settings) -> usize {
    if settings.lock_memory { 0 } else { StoreOptions::default().headroom_bytes }
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
        reclaim_expired: settings.lru_crawler,
        tuning: memcached::tuning(settings),
        headroom_bytes: headroom_bytes(settings),
        ..StoreOptions::default()
    }
}

/// What lets clients in.
struct Secrets {
    guard: Option<Guard>,
    certificates: Option<Arc<Certificates>>,
}

/// The running threads.
struct Threads {
    daemon: Arc<Daemon>,
    stop: Arc<AtomicBool>,
    listener: Arc<Waker>,
    workers: Arc<[WorkerHandle]>,
    handles: Vec<JoinHandle<()>>,
    certificates: Option<Arc<Certificates>>,
    manager: Arc<Manager>,
    /// Ends the threads that look after the certificates and the whole when it is dropped.
    watch: Sender<()>,
    metrics: Option<MetricsServer>,
}

impl Threads {
    fn start(
        settings: Settings,
        bound: Bound,
        secrets: Secrets,
        manager: Manager,
    ) -> Result<Threads, StartError> {
        let Secrets { guard, certificates } = secrets;
        let cannot = |error: io::Error| StartError::system(format_args!("cannot start the workers: {error}"));
        let store = Store::new(&store_options(&settings));
        let threads = settings.threads;
        let host = Host::new(threads);
        let is_confined = settings.drop_privileges;
        if is_confined {
            let cannot = |error| StartError::system(format_args!("-o drop_privileges: no filter: {error}"));
            sandbox::confine_process().map_err(cannot)?;
        }
        let asked = certificates.clone().map(|certificates| certificates as Arc<dyn memcached::Certificates>);
        let mut daemon = Daemon::new(settings, store, Clock::start(), hooks()).with_certificates(asked);
        daemon.guard = guard;
        let daemon = Arc::new(daemon);
        let stop = Arc::new(AtomicBool::new(false));
        let poll = Poll::new().map_err(cannot)?;
        let waker = Arc::new(Waker::new(poll.registry(), listener::WAKER).map_err(cannot)?);
        let mut handles = Vec::with_capacity(threads + 1);
        let mut workers = Vec::with_capacity(threads);
        for (number, udp) in bound.udp.into_iter().enumerate() {
            let (worker, handle) =
                Worker::new(number, udp, daemon.clone(), certificates.clone(), waker.clone(), stop.clone())
                    .map_err(cannot)?;
            workers.push(handle);
            let noted = host.thread(number);
            let run = move || end_with(confined(is_confined).and_then(|()| worker.run(&noted)));
            handles.push(spawn(format!("worker {number}"), run).map_err(cannot)?);
        }
        for Listening { socket, tag, .. } in &bound.sockets {
            let (fd, address) = (socket.fd(), socket.address());
            let tag = daemon.tags.number_of(tag.as_deref());
            let info = ConnectionInfo::new(fd, address, None, tag, daemon.clock.now().seconds);
            daemon.registry.enter(Arc::new(info));
        }
        check_headroom(&daemon.settings)?;
        log_start(&daemon, &bound.addresses, &bound.udp_addresses);
        metrics::tell_of(&bound.metrics);
        let workers: Arc<[WorkerHandle]> = workers.into();
        logins::start_checking(&daemon, workers.clone()).map_err(cannot)?;
        let listener = Listener::new(poll, bound.sockets, workers.clone(), daemon.clone(), stop.clone())
            .map_err(cannot)?;
        let signs = ListenerSigns { pulse: listener.pulse(), waker: waker.clone() };
        let run = move || end_with(confined(is_confined).and_then(|()| listener.run()));
        handles.push(spawn("listener".to_owned(), run).map_err(cannot)?);
        let (watch, watched) = crossbeam::channel::bounded(0);
        let manager = Arc::new(manager);
        let lookout = Lookout {
            daemon: daemon.clone(),
            workers: workers.clone(),
            listener: signs,
            manager: manager.clone(),
        };
        let stopped = watched.clone();
        let run = move || end_with(confined(is_confined).map(|()| lookout.run(&stopped)));
        handles.push(spawn("lookout".to_owned(), run).map_err(cannot)?);
        if let Some(certificates) = certificates.clone() {
            let run = move || end_with(confined(is_confined).map(|()| tls::watch(&certificates, &watched)));
            handles.push(spawn("certificates".to_owned(), run).map_err(cannot)?);
        }
        let metrics = MetricsServer::start(bound.metrics, daemon.clone(), host).map_err(cannot)?;
        Ok(Threads { daemon, stop, listener: waker, workers, handles, certificates, manager, watch, metrics })
    }

    /// Reads all files again that may have changed. Each tells the log what has come of it.
    fn read_again(&self, reader: &mut Reader) {
        let (guard, certificates) = (self.daemon.guard.as_ref(), self.certificates.as_ref());
        // First, so that what has come of the rest stands in the new one.
        let has_log_file = logging::reopen();
        if reader.has_file() {
            reload::options(&self.daemon, reader);
        } else if guard.is_none() && certificates.is_none() && !has_log_file {
            log::info!("SIGHUP: nothing to read again");
        }
        guard.into_iter().for_each(logins::read_again);
        certificates.into_iter().for_each(|certificates| drop(certificates.reload()));
    }

    /// Waits for a signal to stop, then for the threads.
    fn serve(self, mut signals: Signals, mut reader: Reader) {
        self.manager.ready();
        for signal in signals.forever() {
            if signal != SIGHUP {
                break;
            }
            self.manager.reloading();
            self.read_again(&mut reader);
            self.manager.ready();
        }
        self.manager.stopping();
        if let Some(metrics) = &self.metrics {
            metrics.unready();
        }
        self.stop.store(true, Ordering::Relaxed);
        drop(self.watch);
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
        if let Some(metrics) = self.metrics {
            metrics.stop();
        }
    }
}

/// Makes sure that the system has memory for connections beside that for items.
///
/// # Errors
/// If it has not.
fn check_headroom(settings: &Settings) -> Result<(), StartError> {
    let headroom = headroom_bytes(settings);
    if headroom == 0 || sys::has_memory(headroom) {
        return Ok(());
    }
    Err(StartError::system(format_args!(
        "the system has less than {} MB for connections: expected more address space (ulimit -v)",
        headroom >> 20
    )))
}

/// What clients may do to the process.
fn hooks() -> Hooks {
    Hooks {
        on_verbosity: logging::set_verbosity,
        on_shutdown: stop_by_command,
        debug_commands: std::env::var_os(DEBUG_VARIABLE).is_some_and(|value| value == "1"),
        on_misbehave: process::misbehave,
        on_panic: process::panic_for_a_test,
        on_hang: process::hang_for_a_test,
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name).spawn(run)
}

/// The beginning of every thread but the main one.
fn confined(is_wanted: bool) -> io::Result<()> {
    if is_wanted { sandbox::confine_thread() } else { Ok(()) }
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
fn log_start(daemon: &Daemon, addresses: &[SocketAddr], udp_addresses: &[SocketAddr]) {
    let settings = &daemon.settings;
    let mut places: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    places.extend(udp_addresses.iter().map(|address| format!("udp:{address}")));
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
