//! How long larder's client commands wait, and how much they take: not for ever and not without end, but for whatever goes
//! on.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

use crate::client_commands::{larder, printed, refused, run, stub};
use crate::server::Server;
use crate::tls::Authority;

/// Bytes and pauses of a peer that is slow: about 400 kB per second.
const PIECE_BYTES: usize = 16 * 1024;
const PIECE_PAUSE: Duration = Duration::from_millis(40);

/// A server of one connection after the other.
fn serve(mut serve: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // Small, so that a slow reader is felt.
    socket.set_recv_buffer_size(32 * 1024).expect("a size");
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a port");
    socket.listen(16).expect("a queue");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            serve(stream);
        }
    });
    address
}

/// A server that sends `head` when something was asked, and then the bytes of `drop` one by one and for 20 seconds.
fn dripping(head: &'static [u8], drop: &'static [u8]) -> String {
    let address = serve(move |mut stream| {
        let mut bytes = [0; 4096];
        if stream.read(&mut bytes).is_err() || stream.write_all(head).is_err() {
            return;
        }
        for byte in drop.iter().cycle().take(400) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    address.to_string()
}

#[test]
fn a_drip_is_not_waited_for() {
    let in_time = |words: &[&str]| {
        refused(&run(&[words, &["--timeout", "0.3"]].concat()), 69, "does not answer in time");
    };
    in_time(&["stats", &dripping(b"", b"x")]);
    in_time(&["stats", &dripping(b"STAT ", b"a 1")]);
    in_time(&["get", &dripping(b"VALUE k 0 1000\r\n", b"x"), "k"]);
    in_time(&["bench", &dripping(b"STORED\r\n", b"x"), "--connections", "1"]);
    let authority = Authority::new();
    let trusted = authority.path().display().to_string();
    // The head of a record of TLS that is never whole.
    let greeting = dripping(b"\x16\x03\x03\x3f\xff", b"\x02");
    in_time(&["ping", &greeting, "--tls", "--ca-cert", &trusted, "--server-name", "localhost"]);
}

#[test]
fn what_goes_on_is_waited_for() {
    let value = "v".repeat(1 << 20);
    // A second for an answer, and more than two for all of it.
    let slow_sender = serve(|mut stream| {
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes);
        let _ = stream.write_all(b"VALUE k 0 1048576\r\n");
        for piece in vec![b'v'; 1 << 20].chunks(PIECE_BYTES) {
            thread::sleep(PIECE_PAUSE);
            let _ = stream.write_all(piece);
        }
        let _ = stream.write_all(b"\r\nEND\r\n");
    });
    let got = thread::spawn(move || printed(&["get", &slow_sender.to_string(), "k", "--timeout", "1"]));
    let slow_reader = serve(|mut stream| {
        let mut left = b"set k 0 0 1048576\r\n".len() + (1 << 20) + b"\r\n".len();
        let mut bytes = [0; PIECE_BYTES];
        while left > 0 {
            match stream.read(&mut bytes) {
                Ok(count @ 1..) => left -= count,
                _ => return,
            }
            thread::sleep(PIECE_PAUSE);
        }
        let _ = stream.write_all(b"STORED\r\n");
    });
    let mut child = larder(["set", &slow_reader.to_string(), "k", "--timeout", "1"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(got.join().unwrap() == value);
}

#[test]
fn a_queue_that_is_full_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    // One that waits to be accepted is then the most there may be.
    Socket::from(listener.try_clone().unwrap()).listen(0).unwrap();
    let _queued = std::os::unix::net::UnixStream::connect(&path).unwrap();
    refused(&run(&["ping", path.to_str().unwrap(), "--timeout", "0.3"]), 69, "does not answer in time");
}

#[test]
fn a_server_without_a_word_may_want_tls() {
    let curt = serve(drop).to_string();
    refused(&run(&["ping", &curt]), 69, "has closed the connection (does it want --tls?)");
}

#[test]
fn a_value_without_end_is_not_taken() {
    let server = Server::start();
    let address = server.addresses[0].to_string();
    let output = larder(["set", &address, "k"]).stdin(File::open("/dev/zero").unwrap()).output().unwrap();
    refused(&output, 1, "takes 1048576 bytes of a value at most, and there are more");
    let gone = larder(["set", "127.0.0.1:1", "k"]).stdin(File::open("/dev/zero").unwrap()).output().unwrap();
    refused(&gone, 69, "cannot be reached");
    server.client().expect("get k\r\n", "END\r\n");
    let boasting = stub(b"VALUE k 0 100000000\r\n").to_string();
    refused(&run(&["get", &boasting, "k", "--json"]), 1, "announces a value of 100000000 bytes");
    let endless = stub(b"STAT a 1\r\n".repeat(1_200_000).leak()).to_string();
    refused(&run(&["stats", &endless]), 1, "sends statistics without an end");
}

#[test]
fn a_long_value_comes_and_goes() {
    let server = Server::with(&["-I", "8m"]);
    let address = server.addresses[0].to_string();
    let value = "0123456789abcdef".repeat(5 << 16);
    let mut child = larder(["set", &address, "k"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(printed(&["get", &address, "k"]) == value);
}

#[test]
fn long_names_move_nothing_else() {
    let long = "x".repeat(15_000);
    let answer = format!("STAT {long} 1\r\nSTAT pid 1\r\nEND\r\n").into_bytes().leak();
    let text = printed(&["stats", &stub(answer).to_string()]);
    assert_eq!(text, format!("{long}  1\n{:64}  1\n", "pid"));
    let longer = format!("STAT {} 1\r\nEND\r\n", "x".repeat(70_000)).into_bytes().leak();
    refused(&run(&["stats", &stub(longer).to_string()]), 1, "lines without an end");
}
