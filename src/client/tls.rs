//! TLS of the client: whom it trusts, and what it shows of itself.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::failure::Failure;
use super::options::ConnectOptions;

/// What connections need that speak TLS.
///
/// # Errors
/// Files that cannot be used.
pub(super) fn config(options: &ConnectOptions) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    match &options.ca_cert {
        Some(path) => {
            for certificate in certificates("--ca-cert", path)? {
                roots.add(certificate).map_err(|error| bad_file("--ca-cert", path, error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let text = "this system has no certificates to trust: expected --ca-cert FILE";
                return Err(Failure::Usage(text.to_owned()));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Failed(format!("TLS: {error}")))?
        .with_root_certificates(roots);
    let (Some(certificate), Some(key)) = (&options.cert, &options.key) else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = certificates("--cert", certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad_pem("--key", key, &error))?;
    let config = builder.with_client_auth_cert(chain, private);
    config.map(Arc::new).map_err(|error| bad_file("--key", key, error))
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    let found = read.map_err(|error| bad_pem(option, path, &error))?;
    match found.is_empty() {
        true => Err(bad_file(option, path, "holds no certificate in PEM")),
        false => Ok(found),
    }
}

fn bad_pem(option: &str, path: &Path, error: &pem::Error) -> Failure {
    match error {
        pem::Error::Io(error) => Failure::Unreadable(format!("{option} {path:?}: {error}")),
        error => bad_file(option, path, error),
    }
}

fn bad_file(option: &str, path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("{option} {path:?}: {error}"))
}
