//! What a certificate says: whose it is and when it ends.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::protocol::memcached::CertificateNames;

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    parse_x509_certificate(certificate).ok().map(|(_, parsed)| parsed)
}

/// The names of a certificate's subject. None at all if it cannot be read.
pub(super) fn names(certificate: &CertificateDer<'_>) -> CertificateNames {
    let Some(parsed) = parsed(certificate) else { return CertificateNames::default() };
    let common_name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let common_name = common_name.map(str::to_owned);
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.map(|extension| &extension.value.general_names).into_iter().flatten();
    let alternative_names = alternatives
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some((*name).to_owned())
            }
            _ => None,
        })
        .collect();
    CertificateNames { common_name, alternative_names }
}

/// The Unix time at which a certificate ends. `None` if it cannot be read.
pub(super) fn end(certificate: &CertificateDer<'_>) -> Option<i64> {
    Some(parsed(certificate)?.validity().not_after.timestamp())
}
