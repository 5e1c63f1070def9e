//! The listener of `--metrics-listen`: HTTP for those who watch the daemon, programs and people, on a thread of its own.
//!
//! It shares no thread with the workers and takes the locks of `stats`, a partition's for a moment each; what it
//! answers is kept for [`KEPT`], so a storm of scrapes costs no more than a few of them.

mod names;
mod places;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio_io_timeout::TimeoutStream;

use crate::base::clock::Now;
use crate::base::rationed::Rationed;
use crate::config::Settings;
use crate::protocol::memcached::{Daemon, METRICS_CONTENT_TYPE, figures, metrics};

use super::host::Host;
use super::page;
use super::{confined, end_with};

use names::{Names, Unknown};
use places::{Place, Places};

pub(super) use places::CLIENTS_MAX;

/// How long a client may take to send the head of a request, idle time before it included.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a client may take nothing of an answer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection may live, whatever it does.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(300);
/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long figures are given out again before they are read anew.
const KEPT: Duration = Duration::from_millis(200);
/// After accepting failed, for want of descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells the log where it listens.
pub(super) fn tell_of(sockets: &[TcpListener]) {
    for address in addresses(sockets) {
        log::info!("metrics: http://{address}/metrics, and a page that shows them: http://{address}/");
    }
}

/// A warning for each address that is open to others.
pub(super) fn exposure(sockets: &[TcpListener], settings: &Settings) -> Vec<String> {
    let hot_keys = if settings.metrics_hot_keys > 0 { ", the hottest keys among them" } else { "" };
    let exposed = addresses(sockets).filter(|address| !address.ip().is_loopback());
    let warning = |address: SocketAddr| {
        format!(
            "metrics: whoever can reach {address} may read all figures{hot_keys}: there is no login and no TLS; \
             use --metrics-listen 127.0.0.1:{}, or a firewall",
            address.port()
        )
    };
    exposed.map(warning).collect()
}

fn addresses(sockets: &[TcpListener]) -> impl Iterator<Item = SocketAddr> {
    sockets.iter().filter_map(|socket| socket.local_addr().ok())
}

/// The running thread.
pub(super) struct MetricsServer {
    is_ready: Arc<AtomicBool>,
    stop: Arc<Notify>,
    thread: JoinHandle<()>,
}

impl MetricsServer {
    /// Serves on bound sockets, which do not block; `None` without sockets.
    ///
    /// # Errors
    /// If the system gives no thread, or no poll.
    pub fn start(
        sockets: Vec<TcpListener>,
        daemon: Arc<Daemon>,
        host: Host,
    ) -> io::Result<Option<MetricsServer>> {
        if sockets.is_empty() {
            return Ok(None);
        }
        let (is_ready, stop) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ready, stopped) = (is_ready.clone(), stop.clone());
        let is_confined = daemon.settings.drop_privileges;
        let serve = move || {
            let local = LocalSet::new();
            runtime.block_on(local.run_until(async move {
                let pages = Rc::new(Pages::new(daemon, host, ready));
                let places = Rc::new(Places::default());
                for socket in sockets {
                    let (pages, places) = (pages.clone(), places.clone());
                    match tokio::net::TcpListener::from_std(socket) {
                        Ok(socket) => drop(tokio::task::spawn_local(accept(socket, pages, places))),
                        Err(error) => log::error!("metrics: {error}"),
                    }
                }
                stopped.notified().await;
            }));
        };
        let run = move || end_with(confined(is_confined).map(|()| serve()));
        let thread = thread::Builder::new().name("metrics".to_owned()).spawn(run)?;
        Ok(Some(MetricsServer { is_ready, stop, thread }))
    }

    /// From now on `/readyz` says that the daemon is about to end.
    pub fn unready(&self) {
        self.is_ready.store(false, Relaxed);
    }

    /// Ends the thread.
    pub fn stop(self) {
        self.stop.notify_one();
        if self.thread.join().is_err() {
            log::error!("metrics panicked");
        }
    }
}

async fn accept(socket: tokio::net::TcpListener, pages: Rc<Pages>, places: Rc<Places>) {
    loop {
        match socket.accept().await {
            Ok((client, peer)) => {
                let place = places.enter(peer.ip());
                let id = place.id();
                let task = tokio::task::spawn_local(serve(client, peer, pages.clone(), place));
                places.is_served_by(id, task.abort_handle());
            }
            Err(error) => {
                log::debug!("metrics: cannot accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(client: tokio::net::TcpStream, peer: SocketAddr, pages: Rc<Pages>, place: Place) {
    let answer = service_fn(|request: Request<Incoming>| {
        place.asks();
        let mut response = pages.answer(&request);
        if place.are_short() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        async move { Ok::<_, Infallible>(response) }
    });
    let mut client = TimeoutStream::new(client);
    client.set_write_timeout(Some(WRITE_TIME_MAX));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(client)), answer);
    match tokio::time::timeout(CONNECTION_TIME_MAX, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::debug!("metrics: {peer}: {error}"),
        Err(_) => log::debug!("metrics: {peer}: closed after {} s", CONNECTION_TIME_MAX.as_secs()),
    }
}

/// What there is to be asked for.
struct Pages {
    daemon: Arc<Daemon>,
    host: Host,
    names: Names,
    strangers: Rationed,
    is_ready: Arc<AtomicBool>,
    metrics: Kept,
    figures: Kept,
    /// When the listener began.
    since: Instant,
    /// What the browser lets the page do.
    policy: HeaderValue,
}

/// Figures as they were last read.
#[derive(Default)]
struct Kept(RefCell<Option<(Instant, Bytes)>>);

impl Kept {
    /// Gives them again, or reads them anew if that was too long ago.
    fn or_read(&self, read: impl FnOnce() -> String) -> Bytes {
        let mut kept = self.0.borrow_mut();
        match &*kept {
            Some((at, text)) if at.elapsed() < KEPT => text.clone(),
            _ => {
                let text = Bytes::from(read());
                *kept = Some((Instant::now(), text.clone()));
                text
            }
        }
    }
}

impl Pages {
    fn new(daemon: Arc<Daemon>, host: Host, is_ready: Arc<AtomicBool>) -> Pages {
        let policy = HeaderValue::try_from(page::policy());
        // It is made of letters; without one the browser is to do nothing at all.
        let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Pages {
            names: Names::of(&daemon.settings, host.name()),
            strangers: Rationed::default(),
            daemon,
            host,
            is_ready,
            metrics: Kept::default(),
            figures: Kept::default(),
            since: Instant::now(),
            policy,
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let path = request.uri().path();
        // Checks of health tell nothing, and come by any name.
        if !matches!(path, "/healthz" | "/readyz")
            && let Err(name) = self.names.check(request)
        {
            return self.refuse(&name);
        }
        match path {
            "/" => {
                let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", page::PAGE.into());
                response.headers_mut().insert(CONTENT_SECURITY_POLICY, self.policy.clone());
                response
            }
            "/api/v1/figures.json" => {
                let text = self
                    .figures
                    .or_read(|| figures(&self.daemon, self.now(), self.since.elapsed().as_millis() as u64));
                answer(StatusCode::OK, "application/json", text)
            }
            "/metrics" => answer(StatusCode::OK, METRICS_CONTENT_TYPE, self.metrics()),
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.is_ready.load(Relaxed) => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /, /api/v1/figures.json, /metrics, /healthz and /readyz\n",
            ),
        }
    }

    /// To whoever asks by a name that anybody may have pointed here.
    fn refuse(&self, Unknown(name): &Unknown) -> Response<Full<Bytes>> {
        self.strangers.tell(self.now().seconds, "refused", |untold| {
            log::warn!(
                event = "http_name_unknown";
                "metrics: refused to whoever asks by the name '{name}'; if it is yours, use \
                 --metrics-host{untold}"
            );
        });
        text(
            StatusCode::MISDIRECTED_REQUEST,
            "not known by this name: ask by the address, or use --metrics-host\n",
        )
    }

    fn metrics(&self) -> Bytes {
        self.metrics.or_read(|| {
            let (samples, process) = (self.host.samples(), self.host.process());
            metrics(&self.daemon, self.now(), &samples, process)
        })
    }

    fn now(&self) -> Now {
        self.daemon.clock.now()
    }
}

fn text(status: StatusCode, line: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", line.into())
}

/// What is said here is of the moment, and what it says it is.
fn answer(status: StatusCode, format: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
