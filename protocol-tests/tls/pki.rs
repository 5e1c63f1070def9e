//! Certificates for the tests: an authority, and what it issues, as files in a folder that is gone at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// An authority and the folder with its files.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

/// The files of one certificate.
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Issued {
    /// For the daemon.
    pub fn options(&self) -> Vec<String> {
        let files = format!("ssl_chain_cert={},ssl_key={}", self.certificate.display(), self.key.display());
        vec!["-Z".to_owned(), "-o".to_owned(), files]
    }
}

impl Authority {
    pub fn new() -> Authority {
        let folder = TempDir::new().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a certificate");
        fs::write(folder.path().join("ca.pem"), root.pem()).expect("a file");
        Authority { folder, issuer: Issuer::new(params, key), root: root.der().clone() }
    }

    /// The file of its own certificate.
    pub fn path(&self) -> PathBuf {
        self.file("ca.pem")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its own, which is none for a server.
    pub fn self_issued(&self) -> Issued {
        fs::write(self.file("ca.key.pem"), self.issuer.key().serialize_pem()).expect("a file");
        Issued { certificate: self.path(), key: self.file("ca.key.pem") }
    }

    /// A certificate for localhost that is good for as long as anybody cares.
    pub fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 1000)
    }

    /// A certificate for localhost and `name`.
    pub fn issue_until(&self, name: &str, days: u64) -> Issued {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let uri = format!("spiffe://test/{name}").try_into().expect("a URI");
        params.subject_alt_names.push(SanType::URI(uri));
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.extended_key_usages.extend(usages);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later");
        // Some hours more, so that a day is not over in the middle of a test.
        let left = Duration::from_secs(days * SECONDS_PER_DAY + 12 * 60 * 60);
        params.not_after = date_time_ymd(1970, 1, 1) + now + left;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let issued = Issued {
            certificate: self.file(&format!("{name}.pem")),
            key: self.file(&format!("{name}.key.pem")),
        };
        fs::write(&issued.certificate, certificate.pem()).expect("a file");
        fs::write(&issued.key, key.serialize_pem()).expect("a file");
        fs::write(self.file(&format!("{name}.key.der")), key.serialize_der()).expect("a file");
        issued
    }

    /// What a client needs that trusts this authority, speaks `versions` and shows `own` if that is given.
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Issued>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = read(&own.certificate, &own.key);
                builder.with_client_auth_cert(chain, key).expect("a key that fits")
            }
        };
        Arc::new(config)
    }
}

fn read(certificate: &Path, key: &Path) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(certificate).expect("a file");
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    (chain, PrivateKeyDer::from_pem_file(key).expect("a key"))
}
