//! The daemon's certificate, its key and the authorities of clients: from files to what connections use, and again
//! whenever somebody asks.
//!
//! Connections keep what they began with. A session can be resumed only where it began: tickets and kept sessions
//! belong to one loading of the files and to one kind of listener, so that nobody gets around a certificate that is
//! required, or is not good any more.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, RootCertStore, ServerConfig, SupportedCipherSuite};

use crate::config::{KeyFormat, Security, TlsSettings, TlsVersion, VerifyMode};
use crate::protocol::memcached;

use super::super::process::{EXIT_OSERR, EXIT_USAGE};
use super::names;

/// A file of certificates beyond this is a mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Sessions kept for clients that resume them by id, per kind of listener.
const SESSIONS_MAX: usize = 4096;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Which part of TLS cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Chain,
    Key,
    Authorities,
    Ciphers,
}

/// Why TLS cannot be set up: which option, which file, what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    part: Part,
    value: String,
    why: String,
    exit_code: i32,
}

impl TlsError {
    fn new(part: Part, value: String, why: String) -> TlsError {
        TlsError { part, value, why, exit_code: EXIT_USAGE }
    }

    fn of_file(part: Part, path: &Path, why: impl fmt::Display) -> TlsError {
        TlsError::new(part, path.display().to_string(), why.to_string())
    }

    /// The process's exit code: 64, or 71 for a file that cannot be read.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }

    /// As memcached answers refresh_certs.
    fn reply(&self) -> String {
        let what = match self.part {
            Part::Chain => "loading the certificate chain",
            Part::Key => "loading the key",
            Part::Authorities => "loading the CA certificate",
            Part::Ciphers => "setting the provided cipher(s)",
        };
        format!("Error {what}: {} : {}", self.value, self.why)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match self.part {
            Part::Chain => "ssl_chain_cert",
            Part::Key => "ssl_key",
            Part::Authorities => "ssl_ca_cert",
            Part::Ciphers => "ssl_ciphers",
        };
        write!(f, "-o {option} '{}': {}", self.value, self.why)
    }
}

impl std::error::Error for TlsError {}

/// By what a file that was changed is known: when (of content, name or owner), how long, which.
type Stamp = Option<(i64, i64, u64, u64)>;

/// What connections use, and what is known of it.
struct Loaded {
    /// For [`Security::Tls`].
    standard: Arc<ServerConfig>,
    without_client_certificate: Arc<ServerConfig>,
    /// `None` without authorities.
    with_client_certificate: Option<Arc<ServerConfig>>,
    at: Instant,
    /// The Unix time at which the first certificate of the chain ends.
    end: i64,
}

/// See the module.
pub struct Certificates {
    settings: TlsSettings,
    loaded: RwLock<Loaded>,
    /// Held while the files are read, so that who read them last has the last word.
    last: Mutex<Reading>,
}

/// The last time that the files were read, perhaps in vain.
#[derive(Debug)]
struct Reading {
    stamps: [Stamp; 3],
    /// What a client is told of it.
    told: Result<(), String>,
    /// The system refused them, such as for too many open files: it may be over without a change of theirs.
    may_pass: bool,
}

impl Certificates {
    /// Loads the files that `settings` name.
    ///
    /// # Errors
    /// [`TlsError`] if one cannot be used.
    pub fn load(settings: &TlsSettings) -> Result<Certificates, TlsError> {
        let last = Mutex::new(Reading { stamps: stamps(settings), told: Ok(()), may_pass: false });
        let loaded = RwLock::new(Loader::new(settings)?.load()?);
        Ok(Certificates { settings: settings.clone(), loaded, last })
    }

    /// What a new connection to a listener with this security uses. `None` without TLS.
    pub fn config(&self, security: Security) -> Option<Arc<ServerConfig>> {
        let loaded = self.loaded.read();
        match security {
            Security::Plain => None,
            Security::Tls => Some(loaded.standard.clone()),
            Security::TlsWithoutClientCertificate => Some(loaded.without_client_certificate.clone()),
            Security::TlsWithClientCertificate => loaded.with_client_certificate.clone(),
        }
    }

    /// Loads the files again, for connections that come from now on. The log tells of it either way.
    ///
    /// # Errors
    /// [`TlsError`] if one cannot be used; what was loaded before stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let mut last = self.last.lock();
        last.told = Ok(());
        self.read_again(&mut last)
    }

    /// The same if a file has changed since, or the system refused the last time; the log hears of what is wrong once.
    pub fn reload_if_changed(&self) {
        let mut last = self.last.lock();
        if last.may_pass || stamps(&self.settings) != last.stamps {
            // It has told the log why if it cannot.
            let _ = self.read_again(&mut last);
        }
    }

    fn read_again(&self, last: &mut Reading) -> Result<(), TlsError> {
        let read = stamps(&self.settings);
        let are_others = std::mem::replace(&mut last.stamps, read) != read;
        match Loader::new(&self.settings).and_then(|loader| loader.load()) {
            Ok(loaded) => {
                *self.loaded.write() = loaded;
                (last.told, last.may_pass) = (Ok(()), false);
                log::info!("certificates are read again, days left: {}", self.days_left());
                Ok(())
            }
            Err(error) => {
                last.may_pass = error.exit_code == EXIT_OSERR;
                let before = std::mem::replace(&mut last.told, Err(error.reply()));
                if are_others || before != last.told {
                    log::error!("certificates are not read again, the old ones stay: {error}");
                }
                Err(error)
            }
        }
    }

    /// Whole days until the first certificate of the chain ends; negative once it has.
    pub fn days_left(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        (self.loaded.read().end - now).div_euclid(SECONDS_PER_DAY)
    }

    /// The file of the chain.
    pub fn chain_path(&self) -> String {
        self.settings.chain_cert.as_ref().map_or_else(String::new, |path| path.display().to_string())
    }

    /// What is unwise about the files, for the log at start.
    pub fn warning(&self) -> Option<String> {
        let key = self.settings.key.as_ref()?;
        let mode = fs::metadata(key).ok()?.mode();
        let is_open = mode & 0o004 != 0;
        is_open.then(|| format!("-o ssl_key '{}': every user of this machine can read it", key.display()))
    }
}

impl memcached::Certificates for Certificates {
    /// Any client may ask, as often as he likes, on a worker: files that have not changed since are not read again, not
    /// even if the system refused them, which [`Certificates::reload_if_changed`] sees to.
    fn refresh(&self) -> Result<(), String> {
        let mut last = self.last.lock();
        if stamps(&self.settings) != last.stamps {
            // What there is to tell of it is noted.
            let _ = self.read_again(&mut last);
        } else if last.told.is_ok() {
            self.loaded.write().at = Instant::now();
        }
        last.told.clone()
    }

    fn age_seconds(&self) -> u64 {
        self.loaded.read().at.elapsed().as_secs()
    }

    fn days_left(&self) -> i64 {
        self.days_left()
    }
}

fn stamps(settings: &TlsSettings) -> [Stamp; 3] {
    [&settings.chain_cert, &settings.key, &settings.ca_cert].map(|path| {
        let found = fs::metadata(path.as_ref()?).ok()?;
        Some((found.ctime(), found.ctime_nsec(), found.len(), found.ino()))
    })
}

/// One loading of the files.
struct Loader<'a> {
    settings: &'a TlsSettings,
    provider: Arc<CryptoProvider>,
}

/// Always the same certificate, whatever name a client asks for.
#[derive(Debug)]
struct OnlyOne(Arc<CertifiedKey>);

impl ResolvesServerCert for OnlyOne {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl Loader<'_> {
    fn new(settings: &TlsSettings) -> Result<Loader<'_>, TlsError> {
        let mut provider = ring::default_provider();
        if let Some(list) = &settings.ciphers {
            provider.cipher_suites = cipher_suites(list, &provider.cipher_suites)?;
        }
        Ok(Loader { settings, provider: Arc::new(provider) })
    }

    fn load(&self) -> Result<Loaded, TlsError> {
        let at = Instant::now();
        let (certified, end) = self.certified()?;
        let authorities = self.settings.ca_cert.as_ref().map(|path| self.authorities(path)).transpose()?;
        let authorities = authorities.as_ref();
        let with_client_certificate = authorities
            .map(|found| self.config(VerifyMode::Require, Some(found), &certified).map(Arc::new))
            .transpose()?;
        Ok(Loaded {
            standard: self.config(self.settings.verify_mode, authorities, &certified)?.into(),
            without_client_certificate: self.config(VerifyMode::None, None, &certified)?.into(),
            with_client_certificate,
            at,
            end,
        })
    }

    /// Chain and key, and when the first certificate of the chain ends.
    fn certified(&self) -> Result<(Arc<CertifiedKey>, i64), TlsError> {
        let chain_path = self.settings.chain_cert.clone().unwrap_or_default();
        let key_path = self.settings.key.clone().unwrap_or_default();
        let chain = certificates(Part::Chain, &chain_path)?;
        let ends: Option<Vec<i64>> = chain.iter().map(names::end).collect();
        let unreadable = || TlsError::of_file(Part::Chain, &chain_path, "a certificate in it cannot be read");
        let end = ends.and_then(|ends| ends.into_iter().min()).ok_or_else(unreadable)?;
        let key = private_key(&key_path, self.settings.key_format)?;
        let fail = |why: &dyn fmt::Display| TlsError::of_file(Part::Key, &key_path, why);
        let certified = CertifiedKey::from_der(chain, key, &self.provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                fail(&format_args!("is not the key of the certificate in '{}'", chain_path.display()))
            }
            rustls::Error::InvalidCertificate(_) => unreadable(),
            error => fail(&format_args!("is no key that can be used: {error}")),
        })?;
        Ok((Arc::new(certified), end))
    }

    fn authorities(&self, path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(Part::Authorities, path)? {
            let fail = |error| {
                TlsError::of_file(
                    Part::Authorities,
                    path,
                    format_args!("a certificate cannot be used: {error}"),
                )
            };
            roots.add(certificate).map_err(fail)?;
        }
        Ok(Arc::new(roots))
    }

    fn config(
        &self,
        mode: VerifyMode,
        authorities: Option<&Arc<RootCertStore>>,
        certified: &Arc<CertifiedKey>,
    ) -> Result<ServerConfig, TlsError> {
        let versions = match self.settings.min_version {
            TlsVersion::V12 => rustls::ALL_VERSIONS,
            TlsVersion::V13 => &[&rustls::version::TLS13],
        };
        let no_suites = |_| {
            let why = "none of them is of a version of TLS that is allowed".to_owned();
            TlsError::new(Part::Ciphers, self.settings.ciphers.clone().unwrap_or_default(), why)
        };
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .map_err(no_suites)?;
        let builder = match authorities.filter(|_| mode != VerifyMode::None) {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.clone(), self.provider.clone());
                let verifier = match mode {
                    VerifyMode::Request => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                let path = self.settings.ca_cert.clone().unwrap_or_default();
                let fail = |error| TlsError::of_file(Part::Authorities, &path, error);
                builder.with_client_cert_verifier(verifier.build().map_err(fail)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(OnlyOne(certified.clone())));
        config.session_storage = match self.settings.session_cache {
            true => ServerSessionMemoryCache::new(SESSIONS_MAX),
            false => Arc::new(NoServerSessionStorage {}),
        };
        match ring::Ticketer::new() {
            Ok(ticketer) => config.ticketer = ticketer,
            Err(error) => log::warn!("TLS sessions cannot be resumed: {error}"),
        }
        Ok(config)
    }
}

/// Bytes of a file.
fn read(part: Part, path: &Path) -> Result<Vec<u8>, TlsError> {
    let fail = |error: io::Error| TlsError {
        exit_code: EXIT_OSERR,
        ..TlsError::of_file(part, path, format_args!("cannot be read: {error}"))
    };
    // Opening what is no file may wait for ever, and all clients of a worker with it.
    let found = fs::metadata(path).map_err(fail)?;
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        let why = format_args!("expected a regular file of at most {FILE_BYTES_MAX} bytes");
        return Err(TlsError::of_file(part, path, why));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(fail)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// The certificates in a file, one at least.
fn certificates(part: Part, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(part, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsError::of_file(part, path, "holds no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(TlsError::of_file(part, path, format_args!("is no good PEM: {error}"))),
    }
}

fn private_key(path: &Path, format: KeyFormat) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(Part::Key, path)?;
    let key = match format {
        KeyFormat::Pem => PrivateKeyDer::from_pem_slice(&bytes).ok(),
        KeyFormat::Der => PrivateKeyDer::try_from(bytes).ok(),
    };
    let wanted = match format {
        KeyFormat::Pem => "holds no private key in PEM, or an encrypted one",
        KeyFormat::Der => "holds no private key in DER, or an encrypted one",
    };
    key.ok_or_else(|| TlsError::of_file(Part::Key, path, wanted))
}

/// The suites that `list` names, by OpenSSL's names or by those of the standards. A version of TLS of which it names
/// none keeps all of its own.
fn cipher_suites(list: &str, all: &[SupportedCipherSuite]) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let mut chosen = Vec::new();
    for name in list.split([':', ' ', ';']).filter(|name| !name.is_empty()) {
        let Some(suite) = all.iter().find(|suite| names_of(suite.suite()).contains(&name)) else {
            let known: Vec<_> = all.iter().map(|suite| names_of(suite.suite())[0]).collect();
            let why = format!("'{name}' is no suite that there is, expected some of {}", known.join(":"));
            return Err(TlsError::new(Part::Ciphers, list.to_owned(), why));
        };
        chosen.push(*suite);
    }
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        if chosen.iter().all(|suite| suite.version() != version) {
            chosen.extend(all.iter().filter(|suite| suite.version() == version));
        }
    }
    Ok(chosen)
}

/// OpenSSL's name of a suite, and that of the standards.
fn names_of(suite: CipherSuite) -> [&'static str; 2] {
    match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => ["TLS_AES_256_GCM_SHA384"; 2],
        CipherSuite::TLS13_AES_128_GCM_SHA256 => ["TLS_AES_128_GCM_SHA256"; 2],
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => ["TLS_CHACHA20_POLY1305_SHA256"; 2],
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => {
            ["ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => {
            ["ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            ["ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => {
            ["ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => {
            ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
            ["ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"]
        }
        other => [other.as_str().unwrap_or_default(); 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(list: &str) -> Result<Vec<&'static str>, String> {
        let all = ring::default_provider().cipher_suites;
        let chosen = cipher_suites(list, &all).map_err(|error| error.to_string())?;
        Ok(chosen.iter().map(|suite| names_of(suite.suite())[0]).collect())
    }

    #[test]
    fn suites_go_by_either_name_and_a_version_without_one_keeps_all() {
        let all = ring::default_provider().cipher_suites;
        for suite in &all {
            let [openssl, standard] = names_of(suite.suite());
            assert!(!openssl.is_empty() && openssl != "UNKNOWN", "{suite:?}");
            assert_eq!(suites(openssl).unwrap()[0], openssl);
            assert_eq!(suites(standard).unwrap()[0], openssl);
        }
        let of_12 = suites("ECDHE-RSA-AES128-GCM-SHA256").unwrap();
        assert_eq!(of_12.len(), 4, "{of_12:?}");
        let both = suites("TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256").unwrap();
        assert_eq!(both, ["TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]);
    }

    #[test]
    fn a_suite_that_is_not_there_is_named_with_those_that_are() {
        let error = suites("HIGH:!aNULL").unwrap_err();
        let wanted = "-o ssl_ciphers 'HIGH:!aNULL': 'HIGH' is no suite that there is, expected some of TLS_";
        assert!(error.starts_with(wanted), "{error}");
        assert!(!error.contains('\n'));
    }
}
