//! Certificates that change while the daemon runs.

use std::fs;

use rustls::ALL_VERSIONS;

use super::TlsServer;
use super::client::TlsClient;
use super::pki::{Authority, Issued};
use crate::differences::applies;
use crate::server::{Kind, wait_until};

/// Puts the files of `new` in the place of the daemon's.
fn replace(server: &TlsServer, new: &Issued) {
    for (from, to) in [(&new.certificate, &server.own.certificate), (&new.key, &server.own.key)] {
        // As a whole, as whoever renews certificates does.
        let beside = to.with_extension("new");
        fs::copy(from, &beside).expect("a file");
        fs::rename(&beside, to).expect("a file");
    }
}

/// Whether a client of this authority trusts the daemon.
fn is_trusted(server: &TlsServer, authority: &Authority) -> bool {
    TlsClient::connect(server.address(), &authority.client(ALL_VERSIONS, None)).is_ok()
}

/// Changes the daemon's certificate for one of another authority, lets `reload` do something about it, and wants
/// that it is used, and that who was connected stays so.
fn check(reload: impl Fn(&TlsServer)) {
    let server = TlsServer::start(&[]);
    let mut client = server.client();
    let others = Authority::new();
    replace(&server, &others.issue("other"));
    reload(&server);
    wait_until("the new certificate is shown", || is_trusted(&server, &others));
    assert!(!is_trusted(&server, &server.authority));
    client.expect("set k 0 0 1\r\n1\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn a_command_reads_them_again() {
    check(|server| {
        // It is not only the clients of TLS who may.
        server.plain().expect("refresh_certs\r\n", "OK\r\n");
    });
    check(|server| server.client().expect("refresh_certs\r\n", "OK\r\n"));
}

#[test]
fn a_hangup_reads_them_again() {
    applies!();
    check(|server| server.server.signal("HUP"));
}

#[test]
fn a_change_of_the_files_is_noticed() {
    applies!();
    check(|_| ());
}

#[test]
fn files_that_are_no_good_change_nothing() {
    let server = TlsServer::start(&[]);
    let mut client = server.client();
    let certificate = fs::read(&server.own.certificate).expect("a file");
    for text in ["", "no certificate", "none as well"] {
        fs::write(&server.own.certificate, text).expect("a file");
        let reply = client.ask("refresh_certs\r\n");
        let path = server.own.certificate.display().to_string();
        assert!(reply.starts_with(&format!("Error loading the certificate chain: {path} : ")), "{reply}");
        assert_eq!(reply.matches("\r\n").count(), 1, "{reply:?}");
    }
    fs::remove_file(&server.own.certificate).expect("a file");
    assert!(client.ask("refresh_certs\r\n").starts_with("Error loading the certificate chain: "));
    assert!(is_trusted(&server, &server.authority));
    fs::write(&server.own.certificate, certificate).expect("a file");
    client.expect("refresh_certs\r\n", "OK\r\n");
    if Kind::under_test() == Kind::Larder {
        server.wait_for_log("certificates are read again");
        // Each of the files is news, with whatever is wrong.
        let log = server.server.stderr();
        let told =
            log.matches("certificates are not read again, the old ones stay: -o ssl_chain_cert").count();
        assert!(told >= 4, "{log}");
    }
}

#[test]
fn a_key_that_does_not_fit_yet_changes_nothing() {
    applies!();
    let server = TlsServer::start(&[]);
    let new = server.authority.issue("new");
    fs::copy(&new.key, &server.own.key).expect("a file");
    server.wait_for_log("is not the key of the certificate in");
    assert!(is_trusted(&server, &server.authority));
    // A failure is told of once, not as often as the files are looked at.
    fs::copy(&new.certificate, &server.own.certificate).expect("a file");
    server.wait_for_log("certificates are read again");
    let log = server.server.stderr();
    assert!(log.matches("certificates are not read again").count() <= 2, "{log}");
}

#[test]
fn a_session_does_not_outlive_the_certificates_it_began_with() {
    applies!();
    let server = TlsServer::start(&[]);
    let config = server.config();
    let is_resumed = || TlsClient::connect(server.address(), &config).expect("TLS").is_resumed();
    assert_eq!([is_resumed(), is_resumed()], [false, true]);
    // Files that have not changed are not read again, or any client could make all others begin anew.
    server.plain().expect("refresh_certs\r\n", "OK\r\n");
    assert!(is_resumed());
    let new = server.authority.issue("new");
    fs::copy(&new.key, &server.own.key).expect("a file");
    fs::copy(&new.certificate, &server.own.certificate).expect("a file");
    server.plain().expect("refresh_certs\r\n", "OK\r\n");
    assert!(!is_resumed());
}

#[test]
fn the_age_and_the_end_of_the_certificates_are_told() {
    applies!();
    for (days, warns) in [(10, true), (40, false)] {
        let authority = Authority::new();
        let own = authority.issue_until("server", days);
        let server = TlsServer::with(authority, own, "127.0.0.1", &[]);
        let mut plain = server.plain();
        assert_eq!(plain.stat("ssl_cert_days_left"), days);
        assert!(plain.stat("time_since_server_cert_refresh") < 60);
        if warns {
            server.wait_for_log(&format!("a certificate is over soon, days left: {days}"));
        } else {
            assert!(!server.server.stderr().contains("is over soon"));
        }
    }
}
