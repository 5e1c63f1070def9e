//! Where the daemon listens: addresses, ports that are taken, Unix sockets and their modes.

use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use tempfile::TempDir;

use crate::client::Client;
use crate::differences::applies;
use crate::server::{Launch, Server, free_port, wait_until};

const SET_GET: (&str, &str) = ("set k 0 0 1\r\n1\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n");

fn own(options: &[&str]) -> Launch {
    Launch::new().own_addresses().options(options.iter().copied())
}

#[test]
fn the_port_file_names_an_ephemeral_port() {
    let server = Server::start();
    assert_eq!(server.addresses.len(), 1);
    assert!(server.addresses[0].port() > 0);
    server.client().expect(SET_GET.0, SET_GET.1);
}

#[test]
fn a_given_port_is_taken() {
    let port = free_port();
    let server = own(&["-l", "127.0.0.1", "-p", &port.to_string()]).start();
    assert_eq!(server.addresses[0].port(), port);
    server.client().expect(SET_GET.0, SET_GET.1);
}

#[test]
fn long_options_mean_the_same() {
    let port = free_port();
    let (port_option, listen) = (format!("--port={port}"), "--listen=127.0.0.1");
    let server =
        own(&[&port_option, listen, "--memory-limit=32", "--threads", "2", "--conn-limit=100"]).start();
    assert_eq!(server.addresses[0].port(), port);
    let mut client = server.client();
    assert_eq!(
        (client.stat("limit_maxbytes"), client.stat("threads"), client.stat("max_connections")),
        (32 << 20, 2, 100)
    );
}

#[test]
fn a_port_in_use_ends_with_71_and_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = own(&["-l", "127.0.0.1", "-p", &port.to_string()]).run_to_end();
    assert_eq!(ended.code, Some(71), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.to_lowercase().contains("in use"), "{}", ended.stderr);
}

#[test]
fn the_port_of_a_daemon_that_ended_is_free_at_once() {
    let port = free_port().to_string();
    for _ in 0..3 {
        let mut server = own(&["-l", "127.0.0.1", "-p", &port]).start();
        let mut client = server.client();
        client.expect(SET_GET.0, SET_GET.1);
        server.signal("TERM");
        server.wait_for_end();
    }
}

#[test]
fn several_addresses_are_served_from_one_cache() {
    let (first, second) = (free_port(), free_port());
    for options in [
        vec!["-l".to_string(), format!("127.0.0.1:{first},127.0.0.1:{second}")],
        vec!["-l".to_string(), format!("127.0.0.1:{first}"), "-l".to_string(), format!("127.0.0.1:{second}")],
    ] {
        let server = Launch::new().own_addresses().options(options).start();
        assert_eq!(server.addresses.len(), 2);
        Client::tcp(server.addresses[0]).expect(SET_GET.0, SET_GET.1);
        Client::tcp(server.addresses[1]).expect("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
    }
}

#[test]
fn ipv6_is_served() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("left out: there is no IPv6 here");
        return;
    }
    let server = own(&["-l", "::1", "-p", "-1"]).start();
    assert!(server.addresses[0].is_ipv6());
    server.client().expect(SET_GET.0, SET_GET.1);
    let port = free_port();
    let server = own(&["-l", &format!("[::1]:{port}")]).start();
    assert_eq!(server.addresses[0].port(), port);
    server.client().expect(SET_GET.0, SET_GET.1);
}

#[test]
fn a_unix_socket_is_served_and_has_its_mode() {
    for (mask, mode) in [(None, 0o700), (Some("777"), 0o777), (Some("0660"), 0o660)] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("socket");
        let mut launch = own(&["-s", path.to_str().unwrap()]);
        if let Some(mask) = mask {
            launch = launch.options(["-a", mask]);
        }
        let _server = launch.start_unix(&path);
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
        let mut client = Client::unix(&path);
        client.expect(SET_GET.0, SET_GET.1);
        let value = "x".repeat(1_000_000);
        client.expect(
            format!("set k 0 0 1000000\r\n{value}\r\nget k\r\n"),
            format!("STORED\r\nVALUE k 0 1000000\r\n{value}\r\nEND\r\n"),
        );
    }
}

#[test]
fn a_unix_socket_that_answers_is_not_taken_over() {
    applies!();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let _server = own(&["-s", path.to_str().unwrap()]).start_unix(&path);
    let ended = Launch::new().options(["-s", path.to_str().unwrap()]).run_to_end();
    assert_eq!(ended.code, Some(71), "{}", ended.stderr);
    Client::unix(&path).expect(SET_GET.0, SET_GET.1);
}

#[test]
fn an_old_unix_socket_is_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    for _ in 0..2 {
        let mut server = own(&["-s", path.to_str().unwrap()]).start_unix(&path);
        Client::unix(&path).expect(SET_GET.0, SET_GET.1);
        server.signal("KILL");
        server.wait_for_end();
        assert!(path.exists());
    }
}

#[test]
fn settings_show_where_it_listens() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let _server = own(&["-s", path.to_str().unwrap(), "-a", "770"]).start_unix(&path);
    let settings = Client::unix(&path).stats("stats settings");
    for (name, value) in [("domain_socket", path.to_str().unwrap()), ("umask", "770")] {
        assert!(settings.contains(&(name.to_string(), value.to_string())), "{name}: {settings:?}");
    }
    let server = Server::start();
    let settings = server.client().stats("stats settings");
    assert!(settings.contains(&("inter".to_string(), "127.0.0.1".to_string())), "{settings:?}");
}

#[test]
fn a_daemon_that_is_killed_resets_its_clients() {
    let server = Server::start();
    let mut client = server.client();
    client.expect(SET_GET.0, SET_GET.1);
    let address = server.addresses[0];
    drop(server);
    assert_eq!(client.read_to_close(), b"");
    wait_until("nobody listens any more", || std::net::TcpStream::connect(address).is_err());
}
