//! UDP: requests in datagrams, replies in fragments, and what must not be answered.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{Client, fill, show};
use crate::differences::applies;
use crate::server::{Launch, PATIENCE, Server, free_port, wait_until};

/// Bytes of a reply in one datagram, behind its header of 8.
const PAYLOAD_BYTES: usize = 1392;
/// How long an answer is waited for before the question after it is asked again: it may have been lost.
const RESEND: Duration = Duration::from_millis(50);

/// A client with a socket of its own.
pub struct UdpClient {
    socket: UdpSocket,
    /// Of the last request.
    id: u16,
}

/// One datagram of a reply.
#[derive(Debug)]
struct Fragment {
    id: u16,
    number: u16,
    total: u16,
    payload: Vec<u8>,
}

fn request(id: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = [id, 0, 1, 0].map(u16::to_be_bytes).concat();
    datagram.extend_from_slice(payload);
    datagram
}

impl UdpClient {
    pub fn new(server: SocketAddr) -> UdpClient {
        let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(local).expect("a socket");
        socket.connect(server).expect("a destination");
        socket.set_read_timeout(Some(RESEND)).unwrap();
        UdpClient { socket, id: 0x1200 }
    }

    #[track_caller]
    fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).expect("datagrams can be sent");
    }

    /// The next datagram; `None` if there is none for a while.
    fn receive(&self) -> Option<Fragment> {
        let mut bytes = vec![0; 1 << 16];
        let count = match self.socket.recv(&mut bytes) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
            Err(error) => panic!("cannot receive: {error}"),
        };
        assert!((8..=8 + PAYLOAD_BYTES).contains(&count), "a datagram of {count} bytes");
        let [id, number, total, reserved] =
            [0, 2, 4, 6].map(|at| u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        assert!(number < total && reserved == 0, "{}", show(&bytes[..count]));
        assert!(number == total - 1 || count == 8 + PAYLOAD_BYTES, "{number} of {total} has {count} bytes");
        Some(Fragment { id, number, total, payload: bytes[8..count].to_vec() })
    }

    /// The one answer that there is to be.
    #[track_caller]
    fn answer(&self) -> Fragment {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive() {
                Some(fragment) => return fragment,
                None => assert!(Instant::now() < deadline, "no answer"),
            }
        }
    }

    /// Sends a datagram as it is and gives what is answered to `id`, and proves by an `mn` behind it that there
    /// is no more.
    #[track_caller]
    fn fragments(&mut self, datagram: &[u8], id: u16) -> Vec<Fragment> {
        self.send(datagram);
        let sentinel = id ^ 0x8000;
        let deadline = Instant::now() + PATIENCE;
        let mut fragments = Vec::new();
        self.send(&request(sentinel, b"mn\r\n"));
        loop {
            match self.receive() {
                Some(fragment) if fragment.id == sentinel => return fragments,
                Some(fragment) if fragment.id == id => fragments.push(fragment),
                // Late answers to sentinels that were sent twice.
                Some(_) => {}
                None => {
                    assert!(Instant::now() < deadline, "no answer behind {}", show(datagram));
                    self.send(&request(sentinel, b"mn\r\n"));
                }
            }
        }
    }

    /// The messages that answer `payload`, each put together.
    #[track_caller]
    fn ask(&mut self, payload: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
        self.id += 1;
        let fragments = self.fragments(&request(self.id, payload.as_ref()), self.id);
        let mut messages: Vec<Vec<u8>> = Vec::new();
        let mut left = 0;
        for fragment in fragments {
            if left == 0 {
                left = fragment.total;
                messages.push(Vec::new());
            }
            assert_eq!(fragment.number, fragment.total - left, "one after another");
            left -= 1;
            messages.last_mut().expect("just added").extend(fragment.payload);
        }
        assert_eq!(left, 0, "all there");
        messages
    }

    #[track_caller]
    pub fn expect<M: AsRef<[u8]>>(&mut self, payload: impl AsRef<[u8]>, messages: &[M]) {
        let got = self.ask(payload.as_ref());
        let got: Vec<String> = got.iter().map(|message| show(message)).collect();
        let want: Vec<String> = messages.iter().map(|message| show(message.as_ref())).collect();
        assert_eq!(got, want, "sent {}", show(payload.as_ref()));
    }
}

const SILENCE: &[&str] = &[];

/// The daemon under test with UDP. One worker, since memcached's take datagrams in any order.
fn start(options: &[&str]) -> Server {
    let server = Launch::new().options(["-U", "-1", "-t", "1"]).options(options.iter().copied()).start();
    assert_eq!(server.udp_addresses.len(), 1);
    server
}

fn client(server: &Server) -> UdpClient {
    UdpClient::new(server.udp_addresses[0])
}

#[test]
fn commands_are_answered() {
    let server = start(&[]);
    let mut udp = client(&server);
    for (sent, want) in [
        ("get k\r\n", "END\r\n"),
        ("set k 5 0 5\r\nhello\r\n", "STORED\r\n"),
        ("get k\r\n", "VALUE k 5 5\r\nhello\r\nEND\r\n"),
        ("add k 0 0 1\r\nx\r\n", "NOT_STORED\r\n"),
        ("append k 0 0 1\r\n!\r\n", "STORED\r\n"),
        ("mg k v f\r\n", "VA 6 f5\r\nhello!\r\n"),
        ("ms n 1\r\n7\r\n", "HD\r\n"),
        ("incr n 3\r\n", "10\r\n"),
        ("touch n 0\r\n", "TOUCHED\r\n"),
        ("delete n\r\n", "DELETED\r\n"),
        ("mn\r\n", "MN\r\n"),
        ("nonsense\r\n", "ERROR\r\n"),
        ("set k 0 0 x\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ] {
        udp.expect(sent, &[want]);
    }
    server.client().expect("get k\r\n", "VALUE k 5 6\r\nhello!\r\nEND\r\n");
}

#[test]
fn each_command_of_a_datagram_has_a_message() {
    let server = start(&[]);
    let mut udp = client(&server);
    let hit = "VALUE k 0 1\r\nx\r\nEND\r\n";
    udp.expect(
        "set k 0 0 1\r\nx\r\nget k\r\nget none\r\nget k\nmn\r\n",
        &["STORED\r\n", hit, "END\r\n", hit, "MN\r\n"],
    );
    // More than one turn's.
    udp.expect("mn\r\n".repeat(60), &["MN\r\n"; 60]);
    udp.expect("set k 0 0 1\r\nxyzxyzxyz\r\n", &["CLIENT_ERROR bad data chunk\r\n", "ERROR\r\n"]);
}

#[test]
fn a_list_of_keys_has_one_message() {
    applies!();
    let server = start(&[]);
    let mut udp = client(&server);
    let value = fill(b'x', 1000);
    let mut want = String::new();
    for number in 0..40 {
        udp.expect(format!("set k{number} 0 0 1000\r\n{value}\r\n"), &["STORED\r\n"]);
        want += &format!("VALUE k{number} 0 1000\r\n{value}\r\n");
    }
    want += "END\r\n";
    let keys: String = (0..40).map(|number| format!(" k{number} none")).collect();
    udp.expect(format!("get{keys}\r\n"), &[want]);
}

#[test]
fn what_is_silent_elsewhere_is_silent_here() {
    let server = start(&[]);
    let mut udp = client(&server);
    udp.expect("set k 0 0 1 noreply\r\nx\r\n", SILENCE);
    udp.expect("mg none q\r\nmg none v q\r\nms q 1 q\r\ny\r\n", SILENCE);
    udp.expect("mg none q\r\nmg k v q\r\nmn\r\n", &["VA 1\r\nx\r\n", "MN\r\n"]);
    udp.expect("get q\r\n", &["VALUE q 0 1\r\ny\r\nEND\r\n"]);
}

#[test]
fn quit_ends_a_datagram_in_silence() {
    applies!();
    let server = start(&[]);
    let mut udp = client(&server);
    udp.expect("quit\r\nmn\r\n", SILENCE);
    udp.expect("mn\r\nquit\r\n", &["MN\r\n"]);
}

#[test]
fn large_values_come_in_full_datagrams() {
    let server = start(&[]);
    let mut udp = client(&server);
    for length in [PAYLOAD_BYTES - 24, PAYLOAD_BYTES, 5 * PAYLOAD_BYTES, 60_000] {
        let value: String = (0..length).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        udp.expect(format!("set k 0 0 {length}\r\n{value}\r\n"), &["STORED\r\n"]);
        udp.expect("get k\r\n", &[format!("VALUE k 0 {length}\r\n{value}\r\nEND\r\n")]);
    }
}

#[test]
fn every_datagram_of_a_megabyte_is_where_it_belongs() {
    let server = start(&[]);
    let value: String = (0..1_000_000).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    server.client().expect(format!("set k 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    let reply = format!("VALUE k 0 1000000\r\n{value}\r\nEND\r\n");
    let chunks: Vec<&[u8]> = reply.as_bytes().chunks(PAYLOAD_BYTES).collect();
    let mut udp = client(&server);
    // Some get lost on the way, wherever the receiver is too slow.
    let fragments = udp.fragments(&request(7, b"get k\r\n"), 7);
    assert!(fragments.len() >= 50, "{} have arrived", fragments.len());
    for fragment in fragments {
        assert_eq!(usize::from(fragment.total), chunks.len());
        let number = usize::from(fragment.number);
        assert!(fragment.payload == chunks[number], "{number} is {}", show(&fragment.payload));
    }
}

#[test]
fn a_datagram_that_is_no_request_is_dropped() {
    let server = start(&[]);
    let mut udp = client(&server);
    udp.expect("set k 0 0 1\r\nx\r\n", &["STORED\r\n"]);
    let header = |numbers: [u16; 4]| numbers.map(u16::to_be_bytes).concat();
    for (numbers, payload) in [([5, 0, 0, 0], "get k\r\n"), ([5, 0, 2, 0], "get k\r\n"), ([5, 0, 1, 0], "")] {
        let datagram = [&header(numbers), payload.as_bytes()].concat();
        assert!(udp.fragments(&datagram, 5).is_empty(), "{numbers:?} {payload:?}");
    }
    for datagram in [&b""[..], b"\0", b"\0\x05\0\0\0\x01", b"get k\r\n"] {
        assert!(udp.fragments(datagram, 5).is_empty(), "{datagram:?}");
    }
    // Neither sequence nor reserved numbers are looked at.
    for numbers in [[5, 3, 1, 0], [5, 0, 1, 9], [0, 0, 1, 0], [65535, 0, 1, 0]] {
        let got = udp.fragments(&[&header(numbers)[..], b"get k\r\n"].concat(), numbers[0]);
        assert_eq!(got.len(), 1, "{numbers:?}");
        assert_eq!((got[0].number, got[0].total), (0, 1));
        assert_eq!(got[0].payload, b"VALUE k 0 1\r\nx\r\nEND\r\n");
    }
}

#[test]
fn what_looks_like_a_reply_is_dropped() {
    applies!();
    let server = start(&[]);
    let mut udp = client(&server);
    udp.expect("set k 0 0 7\r\nget k\r\n\r\n", &["STORED\r\n"]);
    udp.expect("ERROR\r\n", SILENCE);
    udp.expect("VALUE k 0 7\r\nget k\r\n\r\nEND\r\n", SILENCE);
    udp.expect("\u{80}\0\0\0", &["ERROR\r\n"; 0]);
    let mut tcp = server.client();
    assert!(tcp.stat("udp_dropped") >= 2);
    let requests = tcp.stat("udp_requests");
    udp.expect("mn\r\n", &["MN\r\n"]);
    assert!(tcp.stat("udp_requests") >= requests + 2);
    assert_eq!(tcp.stat("udp_unsent"), 0);
}

#[test]
fn a_line_without_its_end_is_not_answered() {
    let server = start(&[]);
    let mut udp = client(&server);
    for payload in ["get k", "x", "mn"] {
        udp.expect(payload, SILENCE);
        udp.expect("mn\r\nmn\r\nget", &["MN\r\n", "MN\r\n"]);
    }
    udp.expect(fill(b'x', 3000), SILENCE);
    udp.expect(fill(b'x', 60_000), SILENCE);
    udp.expect("get k\r\n", &["END\r\n"]);
}

#[test]
fn a_value_that_is_not_all_there_is_forgotten() {
    applies!();
    let server = start(&[]);
    let mut udp = client(&server);
    for payload in ["set k 0 0 5\r\nhel", "set k 0 0 5\r\nhello", "ms k 500000\r\nhello", "set k 0 0 5\r\n"] {
        udp.expect(payload, SILENCE);
        udp.expect("get k\r\n", &["END\r\n"]);
    }
    udp.expect("set k 0 0 2000000\r\nhello", &["SERVER_ERROR object too large for cache\r\n"]);
    udp.expect("get k\r\n", &["END\r\n"]);
    assert_eq!(server.client().stat("curr_items"), 0);
}

#[test]
fn commands_that_take_long_are_refused() {
    applies!();
    let server = start(&[]);
    let mut udp = client(&server);
    for command in ["watch", "watch fetchers", "lru_crawler metadump all", "flush_prefix k"] {
        udp.expect(format!("{command}\r\n"), &["CLIENT_ERROR not available over UDP\r\n"]);
    }
    assert_eq!(server.client().stat("log_watchers"), 0);
    for command in ["stats", "stats settings", "stats conns", "stats detail dump"] {
        let messages = udp.ask(format!("{command}\r\n"));
        assert_eq!(messages.len(), 1);
        assert!(messages[0].ends_with(b"END\r\n"), "{command}: {}", show(&messages[0]));
    }
}

#[test]
fn replies_have_a_limit() {
    applies!();
    let server = start(&[]);
    let mut udp = client(&server);
    let value = fill(b'v', 30_000);
    udp.expect(format!("set k 0 0 30000\r\n{value}\r\n"), &["STORED\r\n"]);
    let refused = "SERVER_ERROR reply too long for UDP\r\n";
    udp.expect(format!("get{}\r\n", " k".repeat(30_000)), &[refused]);
    let before = server.resident_bytes();
    for _ in 0..20 {
        udp.fragments(&request(9, "get k\r\n".repeat(9000).as_bytes()), 9);
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more are resident");
}

#[test]
fn clients_are_told_apart() {
    let server = start(&[]);
    let clients: Vec<UdpClient> = (0..5).map(|_| client(&server)).collect();
    for round in 0..20u16 {
        for (number, client) in clients.iter().enumerate() {
            let command = format!("set k{number} 0 0 5\r\n{:05}\r\nget k{number}\r\n", round);
            client.send(&request(round << 8 | number as u16, command.as_bytes()));
        }
        for (number, client) in clients.iter().enumerate() {
            for want in ["STORED\r\n", &format!("VALUE k{number} 0 5\r\n{round:05}\r\nEND\r\n")] {
                let fragment = client.answer();
                assert_eq!((fragment.id, fragment.total), (round << 8 | number as u16, 1));
                assert_eq!(String::from_utf8_lossy(&fragment.payload), want);
            }
        }
    }
}

#[test]
fn all_workers_answer() {
    let server = Launch::new().options(["-U", "-1", "-t", "4"]).start();
    let clients: Vec<UdpClient> = (0..40).map(|_| client(&server)).collect();
    for (number, client) in clients.iter().enumerate() {
        client.send(&request(1, format!("set k{number} 0 0 1\r\nx\r\n").as_bytes()));
    }
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(client.answer().payload, b"STORED\r\n");
        client.send(&request(2, format!("get k{number}\r\n").as_bytes()));
    }
    for (number, client) in clients.iter().enumerate() {
        let want = format!("VALUE k{number} 0 1\r\nx\r\nEND\r\n");
        assert_eq!(client.answer().payload, want.as_bytes());
    }
    let mut tcp = server.client();
    wait_until("each worker has its socket", || udp_rows(&mut tcp).len() == 4);
}

/// `stats conns` of UDP sockets, by descriptor.
fn udp_rows(client: &mut Client) -> BTreeMap<String, HashMap<String, String>> {
    let mut rows: BTreeMap<String, HashMap<String, String>> = BTreeMap::new();
    for (name, value) in client.stats("stats conns") {
        let (fd, name) = name.split_once(':').expect("a descriptor");
        rows.entry(fd.to_string()).or_default().insert(name.to_string(), value);
    }
    rows.retain(|_, row| row.contains_key("UDP"));
    rows
}

#[test]
fn statistics_show_where_it_is() {
    let server = Launch::new().options(["-U", "-1", "-t", "2"]).start();
    let mut tcp = server.client();
    // memcached's threads take their sockets over once they run, which may be after the first answer by TCP.
    wait_until("each worker has its socket", || udp_rows(&mut tcp).len() == 2);
    let rows = udp_rows(&mut tcp);
    for row in rows.values() {
        assert_eq!(row["UDP"], "UDP");
        assert_eq!(row["addr"], format!("udp:{}", server.udp_addresses[0]));
        assert_eq!(row["state"], "conn_read");
        assert!(row["secs_since_last_cmd"].parse::<u32>().is_ok());
        assert_eq!(row.len(), 4, "{row:?}");
    }
    let settings: HashMap<_, _> = tcp.stats("stats settings").into_iter().collect();
    assert_eq!((settings["udpport"].as_str(), settings["tcpport"].as_str()), ("-1", "-1"));
    assert_eq!(settings["num_threads_per_udp"], "2");
}

#[test]
fn addresses_of_a_list_have_one_socket_each() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("left out: there is no IPv6 here");
        return;
    }
    let launch = Launch::new().own_addresses();
    let server = launch.options(["-l", "127.0.0.1,::1", "-p", "-1", "-U", "-1", "-t", "2"]).start();
    let families: Vec<bool> = server.udp_addresses.iter().map(SocketAddr::is_ipv4).collect();
    assert_eq!(families, [true, false]);
    let mut tcp = server.client();
    let rows = udp_rows(&mut tcp);
    let addresses: Vec<&str> = rows.values().map(|row| row["addr"].as_str()).collect();
    let [v4, v6] = [server.udp_addresses[0], server.udp_addresses[1]];
    assert_eq!(addresses, [format!("udp:{v4}"), format!("udp6:{v6}")]);
    let settings: HashMap<_, _> = tcp.stats("stats settings").into_iter().collect();
    assert_eq!(settings["num_threads_per_udp"], "1");
    UdpClient::new(v4).expect("set k 0 0 1\r\nx\r\n", &["STORED\r\n"]);
    UdpClient::new(v6).expect("get k\r\n", &["VALUE k 0 1\r\nx\r\nEND\r\n"]);
}

#[test]
fn a_port_for_udp_alone_is_that_of_tcp_too() {
    let port = free_port();
    let launch = Launch::new().own_addresses();
    let server = launch.options(["-t", "1", "-l", "127.0.0.1", "-U", &port.to_string()]).start();
    assert_eq!((server.addresses[0].port(), server.udp_addresses[0].port()), (port, port));
    UdpClient::new(server.udp_addresses[0]).expect("mn\r\n", &["MN\r\n"; 1]);
    // An address with a port of its own has it for both.
    let (port, other) = (free_port(), free_port().to_string());
    let launch = Launch::new().own_addresses();
    let server = launch.options(["-l", &format!("127.0.0.1:{port}"), "-U", &other]).start();
    assert_eq!((server.addresses[0].port(), server.udp_addresses[0].port()), (port, port));
}

#[test]
fn there_is_none_unless_it_is_asked_for() {
    let server = Server::start();
    assert_eq!(server.udp_addresses, []);
    assert_eq!(udp_rows(&mut server.client()).len(), 0);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let port = free_port().to_string();
    let _server = Launch::new().options(["-s", path.to_str().unwrap(), "-U", &port]).start_unix(&path);
    assert_eq!(udp_rows(&mut Client::unix(&path)).len(), 0);
}

#[test]
fn a_port_in_use_ends_with_71() {
    applies!();
    for threads in ["1", "2"] {
        let server = Launch::new().options(["-U", "-1", "-t", threads]).start();
        let port = server.udp_addresses[0].port().to_string();
        let ended = Launch::new().options(["-U", &port, "-t", threads]).run_to_end();
        assert_eq!(ended.code, Some(71), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("udp:127.0.0.1:{port}: ")), "{}", ended.stderr);
        client(&server).expect("mn\r\n", &["MN\r\n"]);
    }
}

#[test]
fn public_addresses_need_an_option() {
    applies!();
    let port = free_port().to_string();
    for (options, name) in [
        (["-l", "0.0.0.0", "-U", &port], "--udp-port"),
        (["-U", &port, "-l", "*"], "--listen"),
        (["-U", "-1", "-l", "127.0.0.1,192.0.2.1"], "--listen"),
    ] {
        let ended = Launch::new().own_addresses().options(options).run_to_end();
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(name) && ended.stderr.contains("-o udp_public"), "{}", ended.stderr);
    }
    let launch = Launch::new().own_addresses();
    let server = launch.options(["-l", "0.0.0.0", "-U", "-1", "-o", "udp_public"]).start();
    let mut public = client(&server);
    public.expect("mn\r\n", &["MN\r\n"]);
    // Whoever can forge an address could, too.
    let refused = "flush_all, cache_memlimit 8, verbosity 2, lru tune 10 20 0.2 2, slabs automove 0, \
                   lru_crawler disable, refresh_certs, stats hotkeys 100, stats cachedump 1 0, stats reset, stats r, \
                   stats detail on, stats d off, stats slowlog reset";
    for command in refused.split(", ") {
        public.expect(format!("{command}\r\n"), &["CLIENT_ERROR not available over UDP\r\n"]);
    }
}

#[test]
fn a_storm_of_datagrams_lets_connections_have_their_turn() {
    let server = start(&[]);
    let mut tcp = server.client();
    tcp.expect(format!("set k 0 0 9000\r\n{}\r\n", fill(b'x', 9000)), "STORED\r\n");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for payload in ["get k\r\n".repeat(200), "mn\r\n".to_string(), String::new()] {
            let storm = client(&server);
            let is_over = &is_over;
            scope.spawn(move || {
                let datagram = request(1, payload.as_bytes());
                while !is_over.load(Relaxed) {
                    // A full buffer on the way is no failure.
                    let _ = storm.socket.send(&datagram);
                }
            });
        }
        let served = thread::Builder::new().name("tcp".to_string()).spawn_scoped(scope, || {
            let before = tcp.stat("bytes_read");
            wait_until("the storm has begun", || tcp.stat("bytes_read") > before + 10_000);
            let yields = tcp.stat("conn_yields");
            (0..300).for_each(|_| tcp.expect("get none\r\n", "END\r\n"));
            // Not the connection, which sends single commands: the socket of the storm.
            assert!(tcp.stat("conn_yields") > yields + 10);
        });
        let served = served.unwrap().join();
        is_over.store(true, Relaxed);
        served.expect("the connection is served");
    });
    wait_until("UDP is answered again", || {
        let udp = client(&server);
        udp.send(&request(1, b"mn\r\n"));
        udp.receive().is_some_and(|fragment| fragment.payload == b"MN\r\n")
    });
}

#[test]
fn hostile_datagrams_do_no_harm() {
    applies!();
    let mut server = Launch::new().options(["-U", "-1", "-t", "2"]).start();
    let mut udp = client(&server);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let pieces = [
        "get k\r\n",
        "set k 0 0 5\r\nhello\r\n",
        "set k 0 0 70000\r\n",
        "ms k 5 q\r\nhello\r\n",
        "mg k v\r\n",
        "get ",
        "k ",
        "\r\n",
        "stats\r\n",
        "watch\r\n",
        "quit\r\n",
        "\u{80}\0",
        "flush_all\r\n",
        "append k 0 0 4\r\nabcd\r\n",
        "lru_crawler mgdump all\r\n",
        "stats conns\r\n",
        "verbosity 0\r\n",
        "incr k 1\r\n",
        "ERROR\r\n",
    ];
    for round in 0..3000 {
        let mut datagram = request(3, b"");
        for _ in 0..random(12) {
            let piece = pieces[random(pieces.len())].as_bytes();
            datagram.extend_from_slice(&piece[..piece.len() - random(8) / 7 * random(piece.len())]);
        }
        match random(6) {
            0 => datagram.truncate(random(datagram.len())),
            1 => (0..8).for_each(|at| datagram[at] = random(256) as u8),
            2 => datagram.extend((0..random(2000)).map(|_| random(256) as u8)),
            _ => {}
        }
        udp.send(&datagram);
        if round % 50 == 0 {
            udp.fragments(&request(5, b"mn\r\n"), 5);
        }
    }
    udp.expect("flush_all\r\nset k 0 0 2\r\nok\r\n", &["OK\r\n", "STORED\r\n"]);
    udp.expect("get k\r\n", &["VALUE k 0 2\r\nok\r\nEND\r\n"]);
    server.expect_served();
}
