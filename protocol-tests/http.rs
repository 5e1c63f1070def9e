//! The listener of `--metrics-listen`: whom it answers, whatever others do. What it says is tested with the clients.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::differences::applies;
use crate::server::{Launch, PATIENCE, Server, wait_until};

/// More than there are places.
const CROWD: usize = 100;

/// A daemon with such a listener.
struct Http {
    server: Server,
    address: SocketAddr,
}

impl Http {
    #[track_caller]
    fn start(options: &[&str]) -> Http {
        let launch = Launch::new().options(["--metrics-listen", "127.0.0.1:0"]);
        let server = launch.options(options.iter().copied()).start();
        let mut address = None;
        wait_until("the log names the address", || {
            let said = server.stderr();
            let (_, behind) = said.split_once("metrics: http://").unwrap_or_default();
            address = behind.split_once("/metrics").and_then(|(address, _)| address.parse().ok());
            address.is_some()
        });
        Http { server, address: address.unwrap() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// The whole answer to these bytes.
    #[track_caller]
    fn answer(&self, sent: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(sent.as_bytes()).expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[track_caller]
    fn get(&self, path: &str) -> String {
        self.get_by("localhost", path)
    }

    /// Asks by a name.
    #[track_caller]
    fn get_by(&self, name: &str, path: &str) -> String {
        self.answer(&format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"))
    }

    /// A client that asks a lot and reads nothing.
    fn gorged(&self) -> Socket {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(2048).expect("a small buffer");
        socket.connect(&self.address.into()).expect("somebody listens");
        socket.set_nonblocking(true).expect("a socket");
        // As much of it as there is room for.
        let _ = socket.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(400).as_bytes());
        socket
    }
}

#[test]
fn slow_clients_keep_nobody_from_his_answer() {
    applies!();
    let http = Http::start(&[]);
    let silent: Vec<_> = (0..CROWD).map(|_| http.connect()).collect();
    let in_the_head: Vec<_> = (0..CROWD)
        .map(|_| {
            let mut stream = http.connect();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").expect("it is open");
            stream
        })
        .collect();
    let gorged: Vec<_> = (0..CROWD).map(|_| http.gorged()).collect();
    for _ in 0..10 {
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert!(http.get(path).starts_with("HTTP/1.1 200 OK\r\n"), "{path}");
        }
    }
    drop((silent, in_the_head, gorged));
}

#[test]
fn who_takes_nothing_of_his_answer_is_closed() {
    applies!();
    let http = Http::start(&[]);
    let gorged = http.gorged();
    wait_until("it is closed", || {
        gorged.send(b"x").is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
    });
}

#[test]
fn a_name_that_anybody_may_have_pointed_here_is_told_nothing() {
    applies!();
    let http = Http::start(&["--metrics-host", "cache.example.org,*.svc", "-o", "metrics_hot_keys=5"]);
    http.server.client().expect("get secret\r\n", "END\r\n");
    let address = http.address.to_string();
    for path in ["/", "/metrics", "/api/v1/figures.json", "/nothing"] {
        for name in
            ["evil.example.com", "cache.example.org.evil.com", "evil.example.com:9150", "a.svc.evil.com"]
        {
            let answer = http.get_by(name, path);
            assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains("--metrics-host"), "{answer}");
            assert!(!answer.contains("secret"));
        }
        let wanted = if path == "/nothing" { "HTTP/1.1 404 " } else { "HTTP/1.1 200 OK\r\n" };
        for name in [&address, "localhost:9150", "[::1]", "larder", "cache.example.org", "larder-0.svc:9150"]
        {
            assert!(http.get_by(name, path).starts_with(wanted), "{name} {path}");
        }
    }
    // No browser; and a browser that is told the whole address.
    assert!(http.answer("GET /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200 OK\r\n"));
    let whole = "GET http://evil.com/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(http.answer(whole).starts_with("HTTP/1.1 421 "));
    // Checks of health may come by any name.
    assert!(http.get_by("evil.example.com", "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(http.get_by("evil.example.com", "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
    let line =
        "metrics: refused to whoever asks by the name 'evil.example.com'; if it is yours, use --metrics-host";
    assert_eq!(http.server.stderr().matches("by the name").count(), 1);
    assert!(http.server.stderr().contains(line), "{}", http.server.stderr());
}

#[test]
fn figures_that_others_can_read_are_warned_of() {
    applies!();
    let warned = |said: &str| {
        said.lines().filter(|line| line.contains(" WARN ") && line.contains("metrics: ")).count()
    };
    let http = Http::start(&[]);
    assert!(http.get("/metrics").starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(warned(&http.server.stderr()), 0, "{}", http.server.stderr());
    let open = Http::start(&["--metrics-listen", "0.0.0.0:0", "-o", "metrics_hot_keys=3"]);
    let line =
        format!("whoever can reach {} may read all figures, the hottest keys among them", open.address);
    wait_until("the warning", || open.server.stderr().contains(&line));
    assert_eq!(warned(&open.server.stderr()), 1, "{}", open.server.stderr());
}

#[test]
fn figures_name_no_file_of_the_machine() {
    applies!();
    let users = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(users.path(), "anna:secret\n").expect("a file of ours");
    let path = users.path().to_str().expect("a name");
    let http = Http::start(&["-Y", path]);
    let answer = http.get("/api/v1/figures.json");
    assert!(answer.contains("\"settings\"") && answer.contains("ssl_verify_mode"), "{answer}");
    assert!(!answer.contains(path), "{answer}");
}
