//! TLS: what `-Z` and the suboptions `ssl_...` say, and the rules that tie them together.
//!
//! Opens no file: whether certificates and keys do is seen by the server.

use std::path::PathBuf;

use super::error::Problem;
use super::settings::Settings;
use super::values::{INT_MAX, expected, number, scaled, set};

/// Whom a TLS listener wants a certificate of, as `ssl_verify_mode` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyMode {
    /// 0: of nobody.
    #[default]
    None,
    /// 1: of those who have one. It must be good.
    Request,
    /// 2: of everybody.
    Require,
    /// 3: the same; since connections never negotiate again there is no second time.
    Once,
}

/// How the private key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// 1: base64 between two lines.
    #[default]
    Pem,
    /// 2: plain bytes.
    Der,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2
    #[default]
    V12,
    /// 1.3
    V13,
}

/// How connections to one address are secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    #[default]
    Plain,
    /// TLS; who must have a certificate is as `ssl_verify_mode` says.
    Tls,
    /// TLS, and no client is asked for a certificate.
    TlsWithoutClientCertificate,
    /// TLS, and every client must have one.
    TlsWithClientCertificate,
}

/// All that is said of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Listeners speak TLS unless their address says otherwise.
    pub enabled: bool,
    /// The daemon's certificate and those between it and a root, PEM.
    pub chain_cert: Option<PathBuf>,
    /// The key of the first of them.
    pub key: Option<PathBuf>,
    /// How that is written.
    pub key_format: KeyFormat,
    /// Certificates that those of clients must lead to, PEM.
    pub ca_cert: Option<PathBuf>,
    /// Whether clients must have one.
    pub verify_mode: VerifyMode,
    /// Cipher suites as given; `None` for all there are.
    pub ciphers: Option<String>,
    /// Bytes, only shown.
    pub write_buffer_size: usize,
    /// Sessions of TLS 1.2 can also be resumed by their ids.
    pub session_cache: bool,
    /// Only shown.
    pub kernel_tls: bool,
    /// The oldest version.
    pub min_version: TlsVersion,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        TlsSettings {
            enabled: false,
            chain_cert: None,
            key: None,
            key_format: KeyFormat::default(),
            ca_cert: None,
            verify_mode: VerifyMode::default(),
            ciphers: None,
            write_buffer_size: 16 << 10,
            session_cache: false,
            kernel_tls: false,
            min_version: TlsVersion::default(),
        }
    }
}

impl TlsSettings {
    /// Of what is missing or contradicts itself: the options to blame, and what is expected. `wants_authority` says
    /// that a listener wants certificates of its clients, whatever the mode.
    pub(super) fn problem(&self, wants_authority: bool) -> Option<([&'static str; 2], String)> {
        if !self.enabled {
            return None;
        }
        if self.chain_cert.is_none() {
            return Some((["enable-ssl", ""], "-o ssl_chain_cert=FILE, the daemon's certificate".to_owned()));
        }
        if self.key.is_none() {
            return Some((["enable-ssl", ""], "-o ssl_key=FILE, the certificate's private key".to_owned()));
        }
        if self.ca_cert.is_none() && self.verify_mode != VerifyMode::None {
            let problem = "-o ssl_ca_cert=FILE, by which clients' certificates are judged".to_owned();
            return Some((["ssl_verify_mode", ""], problem));
        }
        if self.ca_cert.is_none() && wants_authority {
            let problem =
                "-o ssl_ca_cert=FILE, by which clients' certificates are judged at mtls:".to_owned();
            return Some((["listen", ""], problem));
        }
        None
    }

    /// Row `ssl_verify_mode`: memcached shows the flags that it makes of the number.
    pub(super) fn verify_mode_row(&self) -> String {
        match self.verify_mode {
            VerifyMode::None => "0",
            VerifyMode::Request => "1",
            VerifyMode::Require => "3",
            VerifyMode::Once => "7",
        }
        .to_owned()
    }

    /// Row `ssl_min_version`.
    pub(super) fn min_version_row(&self) -> String {
        match self.min_version {
            TlsVersion::V12 => "tlsv1.2",
            TlsVersion::V13 => "tlsv1.3",
        }
        .to_owned()
    }
}

/// A row that is a path, `none` if it was not given.
pub(super) fn path_row(path: Option<&PathBuf>, none: &str) -> String {
    path.map_or_else(|| none.to_owned(), |path| path.display().to_string())
}

/// `ssl_verify_mode`.
pub(super) fn verify_mode(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.tls.verify_mode = match text.trim() {
        "0" => VerifyMode::None,
        "1" => VerifyMode::Request,
        "2" => VerifyMode::Require,
        "3" => VerifyMode::Once,
        _ => return Err(expected("0 for no certificate of clients, 1 to ask for one, 2 or 3 to require it")),
    };
    Ok(())
}

/// `ssl_keyformat`.
pub(super) fn key_format(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.tls.key_format = match text.trim() {
        "1" | "PEM" => KeyFormat::Pem,
        "2" | "DER" => KeyFormat::Der,
        _ => return Err(expected("1 for PEM or 2 for DER")),
    };
    Ok(())
}

/// `ssl_ciphers`.
pub(super) fn ciphers(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(expected("names of cipher suites, separated by colons"));
    }
    settings.tls.ciphers = Some(text.trim().to_owned());
    Ok(())
}

/// `ssl_wbuf_size`.
pub(super) fn write_buffer_size(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    set(&mut settings.tls.write_buffer_size, scaled(text, "kilobytes", 10, 1..=INT_MAX))
}

/// `ssl_min_version`. What is older than 1.2 is not spoken: whoever allows it has at least that.
pub(super) fn min_version(settings: &mut Settings, text: &str) -> Result<(), Problem> {
    settings.tls.min_version = match number::<u8>(text, "0 to 2 for TLS 1.2, 3 for TLS 1.3", 0..=3)? {
        3 => TlsVersion::V13,
        2 => TlsVersion::V12,
        _ => {
            let warning = "TLS 1.2 is the oldest that is spoken, whatever ssl_min_version allows".to_owned();
            settings.warnings.push(warning);
            TlsVersion::V12
        }
    };
    Ok(())
}
