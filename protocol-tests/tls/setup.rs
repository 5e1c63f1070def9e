//! Options: what they do, what they refuse, and how statistics show them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rustls::ALL_VERSIONS;
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;

use super::TlsServer;
use super::client::TlsClient;
use super::pki::{Authority, Issued};
use crate::differences::applies;
use crate::server::{Ended, Launch, is_root};
use crate::service::activated;

fn run(options: &[String]) -> Ended {
    Launch::new().own_addresses().options(["-p", "-1"]).options(options.iter().cloned()).run_to_end()
}

/// Starts with these files and wants one line that ends the start.
#[track_caller]
fn check(files: &str, wanted: &str) {
    let ended = run(&["-Z".to_owned(), "-o".to_owned(), files.to_owned()]);
    let code = if wanted.contains(": cannot") { 71 } else { 64 };
    assert_eq!(ended.code, Some(code), "{files}: {}", ended.stderr);
    let lines: Vec<_> = ended.stderr.lines().filter(|line| !line.contains(" WARN ")).collect();
    assert_eq!(lines.len(), 1, "{}", ended.stderr);
    assert!(lines[0].contains(wanted), "want {wanted}\ngot  {}", ended.stderr);
}

#[test]
fn files_that_cannot_be_used_are_refused_by_name() {
    applies!();
    let authority = Authority::new();
    let [own, other] = ["own", "other"].map(|name| authority.issue(name));
    let (certificate, key) = (own.certificate.display(), own.key.display());
    let file = |name: &str, text: &[u8]| {
        fs::write(authority.file(name), text).expect("a file");
        authority.file(name).display().to_string()
    };
    let missing = authority.file("missing").display().to_string();
    let junk = file("junk", b"neither certificate nor key\n");
    let broken = file("broken", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let encrypted = file(
        "encrypted",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let folder = authority.file("").display().to_string();
    let chain = |path: &str| format!("ssl_chain_cert={path},ssl_key={key}");
    let with_key = |path: &str| format!("ssl_chain_cert={certificate},ssl_key={path}");
    check("idle_timeout=0", "--enable-ssl: expected -o ssl_chain_cert=FILE");
    check(&format!("ssl_chain_cert={certificate}"), "--enable-ssl: expected -o ssl_key=FILE");
    check(&chain(&missing), &format!("-o ssl_chain_cert '{missing}': cannot be read: No such file"));
    check(&chain(&junk), &format!("-o ssl_chain_cert '{junk}': holds no certificate in PEM"));
    check(&chain(&broken), &format!("-o ssl_chain_cert '{broken}': a certificate in it cannot be read"));
    check(&chain(&folder), "expected a regular file");
    check(&chain(&key.to_string()), "holds no certificate in PEM");
    check(&with_key(&missing), &format!("-o ssl_key '{missing}': cannot be read: No such file"));
    check(&with_key(&junk), &format!("-o ssl_key '{junk}': holds no private key in PEM"));
    check(
        &with_key(&encrypted),
        &format!("-o ssl_key '{encrypted}': holds no private key in PEM, or an encrypted"),
    );
    check(&with_key(&own.certificate.display().to_string()), "holds no private key in PEM");
    let foreign = other.key.display().to_string();
    check(
        &with_key(&foreign),
        &format!("-o ssl_key '{foreign}': is not the key of the certificate in '{certificate}'"),
    );
    let good = with_key(&key.to_string());
    check(
        &format!("{good},ssl_ca_cert={missing},ssl_verify_mode=2"),
        &format!("-o ssl_ca_cert '{missing}': cannot"),
    );
    check(&format!("{good},ssl_ca_cert={junk},ssl_verify_mode=2"), "holds no certificate in PEM");
    check(&format!("{good},ssl_verify_mode=1"), "-o ssl_verify_mode '1': expected -o ssl_ca_cert=FILE");
    check(&format!("{good},ssl_ciphers=HIGH"), "-o ssl_ciphers 'HIGH': 'HIGH' is no suite that there is");
    if !is_root() {
        let secret = file("secret", b"");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).expect("a file of ours");
        check(&with_key(&secret), &format!("'{secret}': cannot be read: Permission denied"));
    }
}

#[test]
fn what_does_not_go_with_tls_or_without_it_is_refused() {
    applies!();
    let authority = Authority::new();
    let own = authority.issue("own");
    let with = |more: &[&str]| {
        let mut options = own.options();
        options.extend(more.iter().map(|&option| option.to_owned()));
        run(&options)
    };
    for (ended, wanted) in [
        (with(&["-U", "-1"]), "--udp-port '-1': expected no UDP with --enable-ssl"),
        (with(&["-l", "mtls:127.0.0.1"]), "--listen 'mtls:127.0.0.1': expected -o ssl_ca_cert=FILE"),
        (with(&["-o", "ssl_min_version=4"]), "-o ssl_min_version '4': expected 0 to 2 for TLS 1.2"),
        (with(&["-o", "ssl_verify_mode=4"]), "-o ssl_verify_mode '4': expected 0 for no"),
        (with(&["-o", "ssl_keyformat=3"]), "-o ssl_keyformat '3': expected 1 for PEM"),
        (
            run(&["-l".to_owned(), "btls:127.0.0.1".to_owned()]),
            "--listen 'btls:127.0.0.1': expected --enable-ssl",
        ),
    ] {
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        assert!(ended.stderr.contains(wanted), "want {wanted}, got {}", ended.stderr);
    }
}

#[test]
fn a_key_may_be_in_der() {
    let authority = Authority::new();
    let pem = authority.issue("server");
    let own = Issued { certificate: pem.certificate, key: authority.file("server.key.der") };
    let server = TlsServer::with(authority, own, "127.0.0.1", &["-o", "ssl_keyformat=2"]);
    server.client().expect("get x\r\n", "END\r\n");
}

#[test]
fn the_oldest_version_can_be_chosen() {
    let server = TlsServer::start(&["-o", "ssl_min_version=3"]);
    let connect = |version| TlsClient::connect(server.address(), &server.authority.client(&[version], None));
    assert!(connect(&TLS12).is_err());
    assert!(connect(&TLS13).is_ok());
}

#[test]
fn cipher_suites_can_be_chosen() {
    let server = TlsServer::start(&["-o", "ssl_ciphers=ECDHE-ECDSA-AES128-GCM-SHA256"]);
    for (version, wanted) in [(&TLS12, Some("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")), (&TLS13, None)] {
        let config = server.authority.client(&[version], None);
        let client = TlsClient::connect(server.address(), &config).expect("TLS");
        let suite = client.tls.negotiated_cipher_suite().expect("a suite").suite();
        if wanted.is_some() {
            assert_eq!(suite.as_str(), wanted);
        }
    }
}

#[test]
fn settings_and_statistics_show_it() {
    let options = "ssl_verify_mode=2,ssl_ca_cert=CA,ssl_session_cache,ssl_wbuf_size=8,ssl_min_version=3";
    let server = TlsServer::start(&["-o", options]);
    let settings = server.plain().stats("stats settings");
    let row = |name: &str| settings.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    let (certificate, key) =
        (server.own.certificate.display().to_string(), server.own.key.display().to_string());
    let authority = server.authority.path().display().to_string();
    for (name, wanted) in [
        ("ssl_enabled", "yes"),
        ("ssl_chain_cert", &certificate),
        ("ssl_key", &key),
        ("ssl_verify_mode", "3"),
        ("ssl_keyformat", "1"),
        ("ssl_ciphers", "NULL"),
        ("ssl_ca_cert", &authority),
        ("ssl_wbuf_size", "8192"),
        ("ssl_session_cache", "yes"),
        ("ssl_kernel_tls", "no"),
        ("ssl_min_version", "tlsv1.3"),
    ] {
        assert_eq!(row(name), Some(wanted), "{name}");
    }
    let stats = server.plain().stats("stats");
    let names: Vec<_> = stats.iter().map(|(name, _)| name.as_str()).collect();
    let at =
        |name: &str| names.iter().position(|other| *other == name).unwrap_or_else(|| panic!("no {name}"));
    assert!(
        at("log_watchers") < at("ssl_new_sessions") && at("ssl_new_sessions") < at("ssl_handshake_errors")
    );
    assert!(at("ssl_handshake_errors") < at("time_since_server_cert_refresh"));
    assert!(at("time_since_server_cert_refresh") < at("unexpected_napi_ids"));
}

#[test]
fn a_socket_of_the_service_manager_wants_the_certificate_that_its_address_wants() {
    applies!();
    let authority = Authority::new();
    let (own, somebody) = (authority.issue("server"), authority.issue("somebody"));
    let directory = TempDir::new().expect("a folder");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("its address");
    let mut options = own.options();
    options.extend(["-o".to_owned(), format!("ssl_ca_cert={}", authority.path().display())]);
    options.extend(["-l".to_owned(), format!("mtls:{address}")]);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let (mut child, guard) = activated(socket.into(), &options, &directory);
    let known = authority.client(ALL_VERSIONS, Some(&somebody));
    TlsClient::connect(address, &known).expect("TLS").expect("get x\r\n", "END\r\n");
    let stranger = TlsClient::connect(address, &authority.client(ALL_VERSIONS, None));
    assert!(stranger.is_err(), "served without a certificate");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    guard.release();
}

#[test]
fn files_without_tls_are_warned_of() {
    applies!();
    let server = crate::server::Server::with(&["-o", "ssl_chain_cert=/nowhere"]);
    crate::server::wait_until("the warning", || {
        server.stderr().contains("do nothing without --enable-ssl: there is no TLS")
    });
}
