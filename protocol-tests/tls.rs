//! TLS: who may connect how, and that the same bytes come through it as without.

mod client;
mod handshakes;
mod hostile;
mod pki;
mod reloading;
mod setup;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, ClientConfig};
use socket2::{Domain, Socket, Type};
use tempfile::NamedTempFile;

use crate::client::{Client, fill};
use crate::conns::conns;
use crate::differences::applies;
use crate::server::{Kind, Launch, Server, wait_until};
use crate::users::token;

use client::TlsClient;
pub use pki::Authority;
use pki::Issued;

/// A daemon with an address without TLS, and those with it.
pub struct TlsServer {
    pub server: Server,
    pub authority: Authority,
    /// Of the daemon.
    pub own: Issued,
}

impl TlsServer {
    /// With one address for TLS.
    #[track_caller]
    pub fn start(options: &[&str]) -> TlsServer {
        TlsServer::listening("127.0.0.1", options)
    }

    /// With further addresses; `CA` in an option is the file of the authority.
    #[track_caller]
    pub fn listening(addresses: &str, options: &[&str]) -> TlsServer {
        TlsServer::of(Authority::new(), addresses, options)
    }

    #[track_caller]
    pub fn of(authority: Authority, addresses: &str, options: &[&str]) -> TlsServer {
        let own = authority.issue("server");
        TlsServer::with(authority, own, addresses, options)
    }

    #[track_caller]
    pub fn with(authority: Authority, own: Issued, addresses: &str, options: &[&str]) -> TlsServer {
        let authority_file = authority.path().display().to_string();
        let server = Launch::new()
            .own_addresses()
            .options(["-p", "-1", "-l", &format!("notls:127.0.0.1,{addresses}")])
            .options(own.options())
            .options(options.iter().map(|option| option.replace("CA", &authority_file)))
            .start();
        TlsServer { server, authority, own }
    }

    /// Where TLS is spoken first.
    pub fn address(&self) -> SocketAddr {
        self.server.addresses[1]
    }

    /// What a client without a certificate needs.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.authority.client(ALL_VERSIONS, None)
    }

    #[track_caller]
    pub fn client(&self) -> TlsClient {
        TlsClient::connect(self.address(), &self.config()).expect("TLS")
    }

    /// A client without TLS.
    pub fn plain(&self) -> Client {
        self.server.client()
    }

    /// Waits until the log has a line with `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        wait_until(text, || self.server.stderr().contains(text));
    }
}

fn value_reply(key: &str, value: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len())
}

#[test]
fn both_versions_carry_commands_and_replies() {
    let server = TlsServer::start(&[]);
    for version in [&TLS12, &TLS13] {
        let config = server.authority.client(&[version], None);
        let mut client = TlsClient::connect(server.address(), &config).expect("TLS");
        assert_eq!(client.tls.protocol_version(), Some(version.version));
        client.expect("set k 7 0 5\r\nvalue\r\n", "STORED\r\n");
        client.expect("get k\r\n", "VALUE k 7 5\r\nvalue\r\nEND\r\n");
        client.expect("mg k v f\r\n", "VA 5 f7\r\nvalue\r\n");
        client.expect("nonsense\r\n", "ERROR\r\n");
    }
    server.plain().expect("get k\r\n", "VALUE k 7 5\r\nvalue\r\nEND\r\n");
}

#[test]
fn a_pipeline_is_answered_in_order_however_it_is_cut_into_records() {
    let server = TlsServer::start(&[]);
    let mut client = server.client();
    let sent: String = (0..500).map(|n| format!("set k{n} 0 0 3\r\n{n:03}\r\nget k{n}\r\n")).collect();
    let want: String = (0..500)
        .map(|n| format!("STORED\r\n{}", value_reply(&format!("k{n}"), &format!("{n:03}"))))
        .collect();
    client.expect(&sent, &want);
    for piece in [1, 7, 100, 5000] {
        for (number, chunk) in sent.as_bytes().chunks(piece).enumerate() {
            // Each is a record of its own, and what is written at once is many of them.
            client.tls.writer().write_all(chunk).expect("room");
            if number % 100 == 0 {
                client.flush().expect("it is open");
            }
        }
        client.flush().expect("it is open");
        client.want(&want);
    }
}

#[test]
fn records_may_come_byte_by_byte() {
    let server = TlsServer::start(&["-t", "1"]);
    let config = server.authority.client(&[&TLS13], None);
    let mut client = TlsClient::begin(server.address(), &config);
    // The handshake as well: of each flight every byte is sent alone.
    let mut sent = 0;
    while client.tls.is_handshaking() || sent == 0 {
        sent += send_in_bytes(&mut client);
        if client.tls.is_handshaking() {
            client.tls.read_tls(&mut client.socket).expect("an answer");
            client.tls.process_new_packets().expect("a good one");
        }
    }
    client.tls.writer().write_all(b"set k 0 0 5\r\nvalue\r\nget k\r\n").expect("room");
    send_in_bytes(&mut client);
    client.want("STORED\r\nVALUE k 0 5\r\nvalue\r\nEND\r\n");
}

/// Sends what is encrypted, each byte by itself; how many there were.
fn send_in_bytes(client: &mut TlsClient) -> usize {
    let mut bytes = Vec::new();
    while client.tls.wants_write() {
        client.tls.write_tls(&mut bytes).expect("a vector");
    }
    for byte in &bytes {
        client.socket.write_all(&[*byte]).expect("it is open");
    }
    bytes.len()
}

#[test]
fn large_values_come_whole() {
    let server = TlsServer::start(&["-m", "256", "-I", "32m"]);
    let mut client = server.client();
    for size in [16_383, 16_384, 16_385, 40_000, 65_536, 1_000_000, 20_000_000] {
        let value: String = (0..size).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        client.send(format!("set k 0 0 {size}\r\n{value}\r\n"));
        client.want("STORED\r\n");
        client.expect("get k\r\n", value_reply("k", &value));
        let mut plain = server.plain();
        plain.expect("get k\r\n", value_reply("k", &value));
    }
}

#[test]
fn a_hundred_megabytes_go_both_ways() {
    let server = TlsServer::start(&["-m", "300", "-I", "110m"]);
    const SIZE: usize = 100 << 20;
    let mut client = server.client();
    let value = fill(b'h', SIZE);
    client.send(format!("set huge 0 0 {SIZE}\r\n"));
    client.send(&value);
    client.send("\r\n");
    client.want("STORED\r\n");
    client.send("get huge\r\n");
    client.want(format!("VALUE huge 0 {SIZE}\r\n"));
    client.want(&value);
    client.want("\r\nEND\r\n");
}

#[test]
fn who_ends_his_side_gets_all_answers_and_a_good_bye() {
    let server = TlsServer::start(&[]);
    let value = fill(b'v', 300_000);
    server.plain().expect(format!("set k 0 0 300000\r\n{value}\r\n"), "STORED\r\n");
    let connections = server.plain().stat("curr_connections");
    for (sent, want) in [
        (String::new(), String::new()),
        ("get x".to_owned(), String::new()),
        ("get x\r\nquit\r\nget x\r\n".to_owned(), "END\r\n".to_owned()),
        ("get k\r\n".repeat(20), value_reply("k", &value).repeat(20)),
        ("get x\r\n".repeat(1000), "END\r\n".repeat(1000)),
    ] {
        let mut client = server.client();
        client.send(&sent);
        client.end();
        assert!(client.read_to_end() == want.as_bytes(), "after {} bytes", sent.len());
    }
    let mut client = server.client();
    client.send("get x\r\nquit\r\n");
    assert_eq!(client.read_to_end(), b"END\r\n");
    wait_until("all are closed", || server.plain().stat("curr_connections") <= connections);
}

/// A client whose socket takes little that it does not read.
fn narrow(server: &TlsServer) -> TlsClient {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&server.address().into()).expect("the daemon listens");
    TlsClient::around(TcpStream::from(socket), &server.config())
}

#[test]
fn slow_readers_disturb_nobody_hold_little_and_get_what_is_theirs() {
    let server = TlsServer::start(&["-t", "2", "-m", "128"]);
    let value = fill(b'v', 1_000_000);
    let mut plain = server.plain();
    plain.expect(format!("set k 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    let mut readers: Vec<_> = (0..6).map(|_| narrow(&server)).collect();
    for reader in &mut readers {
        reader.send("mn\r\n");
        reader.want("MN\r\n");
        reader.send("get k\r\n".repeat(20));
    }
    wait_until("they are waited for", || {
        let conns = plain.stats("stats conns");
        conns.iter().filter(|(_, state)| state == "conn_mwrite").count() == readers.len()
    });
    if Kind::under_test() == Kind::Larder {
        let held = plain.stat("response_obj_bytes");
        // Of each what rustls keeps at most, and never a value.
        assert!(held > 0 && held <= 6 * (96 << 10), "{held} bytes are held");
    }
    let mut other = server.client();
    for round in 0..100 {
        other.expect(format!("set r 0 0 2\r\n{:02}\r\n", round % 100), "STORED\r\n");
    }
    other.expect("get k\r\n", value_reply("k", &value));
    for reader in &mut readers {
        reader.want(value_reply("k", &value).repeat(20));
        reader.expect("get x\r\n", "END\r\n");
    }
    if Kind::under_test() == Kind::Larder {
        assert_eq!(plain.stat("response_obj_bytes"), 0);
    }
}

#[test]
fn many_clients_are_served_at_the_same_time() {
    let server = TlsServer::start(&["-t", "2", "-c", "2000"]);
    let config = server.config();
    let mut clients: Vec<_> = (0..200).map(|_| TlsClient::begin(server.address(), &config)).collect();
    // All greet before the first is listened to.
    for client in &mut clients {
        client.tls.writer().write_all(b"mn\r\n").expect("room");
        client.flush().expect("it is open");
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.want("MN\r\n");
        client.send(format!("set k{number} 0 0 4\r\n{number:04}\r\n"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.want("STORED\r\n");
        client.expect(
            format!("get k{number}\r\n"),
            value_reply(&format!("k{number}"), &format!("{number:04}")),
        );
    }
    drop(clients);
    let mut plain = server.plain();
    wait_until("all are closed", || plain.stat("curr_connections") < 10);
}

#[test]
fn a_client_is_asked_for_its_certificate_as_the_mode_says() {
    let strangers = Authority::new();
    let stranger = strangers.issue("stranger");
    for (mode, wants, takes_strangers) in
        [("0", false, true), ("1", false, false), ("2", true, false), ("3", true, false)]
    {
        let server = TlsServer::start(&["-o", &format!("ssl_verify_mode={mode},ssl_ca_cert=CA")]);
        let friend = server.authority.issue("friend");
        for version in [&TLS12, &TLS13] {
            let connect = |own| {
                let config = server.authority.client(&[version], own);
                TlsClient::connect(server.address(), &config)
            };
            assert_eq!(connect(None).is_ok(), !wants, "mode {mode}, none");
            assert!(connect(Some(&friend)).is_ok(), "mode {mode}, a good one");
            // A client does not show one that the daemon would not take, unless it is told wrong.
            assert_eq!(connect(Some(&stranger)).is_ok(), takes_strangers, "mode {mode}, a stranger's");
        }
        if Kind::under_test() == Kind::Larder {
            let errors = server.plain().stat("ssl_handshake_errors");
            assert_eq!(errors > 0, mode != "0", "mode {mode}: {errors} errors");
        }
    }
}

#[test]
fn an_address_may_have_rules_of_its_own() {
    applies!();
    let server = TlsServer::listening(
        "127.0.0.1,btls:127.0.0.1,mtls:127.0.0.1",
        &["-o", "ssl_verify_mode=1,ssl_ca_cert=CA"],
    );
    let strangers = Authority::new();
    let [friend, stranger] = [server.authority.issue("friend"), strangers.issue("stranger")];
    for (place, expected) in [(1, [true, true, false]), (2, [true, true, true]), (3, [false, true, false])] {
        let connect = |own| {
            let config = server.authority.client(ALL_VERSIONS, own);
            TlsClient::connect(server.server.addresses[place], &config).is_ok()
        };
        assert_eq!([None, Some(&friend), Some(&stranger)].map(connect), expected, "address {place}");
    }
    // The first has no TLS.
    server.plain().expect("get x\r\n", "END\r\n");
}

#[test]
fn the_name_in_a_clients_certificate_is_known() {
    applies!();
    let server = TlsServer::listening("mtls:127.0.0.1", &["-o", "ssl_ca_cert=CA"]);
    let friend = server.authority.issue("a friend");
    let config = server.authority.client(ALL_VERSIONS, Some(&friend));
    let names = |server: &TlsServer| -> Vec<String> {
        let conns = server.plain().stats("stats conns").into_iter();
        conns.filter(|(name, _)| name.ends_with(":certificate")).map(|(_, value)| value).collect()
    };
    assert!(names(&server).is_empty());
    let first = TlsClient::connect(server.address(), &config).expect("TLS");
    assert_eq!(names(&server), ["a%20friend"]);
    // A session that goes on keeps it.
    let second = TlsClient::connect(server.address(), &config).expect("TLS");
    assert_eq!((first.is_resumed(), second.is_resumed()), (false, true));
    assert_eq!(names(&server), ["a%20friend", "a%20friend"]);
}

#[test]
fn the_user_that_a_certificate_stands_for_is_listed() {
    applies!();
    let mut users = NamedTempFile::new().expect("a file");
    users.write_all(b"owner nopass all\nfriend certificate read\nguest nopass read\n").expect("a file");
    let options = ["-o", "ssl_ca_cert=CA", "--users-file", users.path().to_str().expect("text")];
    let server = TlsServer::listening("mtls:127.0.0.1", &options);
    let mut owner = server.plain();
    owner.expect_so_far(token("owner x"), "STORED\r\n");
    let config = |name| server.authority.client(ALL_VERSIONS, Some(&server.authority.issue(name)));
    // No login: whoever shows this certificate is in.
    let _friend = TlsClient::connect(server.address(), &config("friend")).expect("TLS");
    // Whoever shows that one is nobody before a login.
    let mut guest = TlsClient::begin(server.address(), &config("other"));
    guest.send(token("guest x"));
    guest.want("STORED\r\n");
    let shown = conns(&mut owner).into_iter().map(|(_, conn)| {
        ["certificate", "user"].map(|name| conn.get(name).map_or("", String::as_str).to_owned())
    });
    let shown: Vec<_> = shown.filter(|names| names.iter().any(|name| !name.is_empty())).collect();
    assert_eq!(shown, [["", "owner"], ["friend", "friend"], ["other", "guest"]]);
}

#[test]
fn a_session_goes_on_where_it_began_and_nowhere_else() {
    applies!();
    for (version, options) in [(&TLS13, ""), (&TLS12, ""), (&TLS12, ",ssl_session_cache")] {
        let list = format!("ssl_ca_cert=CA{options}");
        let server = TlsServer::listening("btls:127.0.0.1,mtls:127.0.0.1", &["-o", &list]);
        let config = server.authority.client(&[version], None);
        let [first, second] = [1, 1].map(|place| {
            let client = TlsClient::connect(server.server.addresses[place], &config);
            client.expect("TLS").is_resumed()
        });
        assert_eq!((first, second), (false, true), "{version:?} {options}");
        // It does not open the door where a certificate is wanted.
        assert!(TlsClient::connect(server.server.addresses[2], &config).is_err());
        let mut plain = server.plain();
        assert_eq!((plain.stat("ssl_full_handshakes"), plain.stat("ssl_resumed_handshakes")), (1, 1));
        let has_count = plain.stats("stats").iter().any(|(name, _)| name == "ssl_new_sessions");
        assert_eq!(has_count, !options.is_empty());
    }
}
