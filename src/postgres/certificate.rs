//! What libpq (through OpenSSL) takes for a trustworthy certificate and webpki does not.
//!
//! The certificate that PostgreSQL's documentation teaches to make (`openssl req -x509 -subj /CN=host`) signs itself and has
//! its host in the common name alone. Many servers have one, and `pg_dump` accepts it; so must we, or a backup would be
//! refused that works. This module verifies no signature.

use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;

/// commonName (X.520, 2.5.4.3).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Whether a certificate that is itself one of the trusted ones is valid at this time.
pub(super) fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let validity = parse(certificate)?.tbs_certificate.validity;
    let now = Duration::from_secs(now.as_secs());
    if now < validity.not_before.to_unix_duration() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// Whether the common name is this host's. It counts only where the certificate has no subjectAltName (RFC 6125, section 6.4.4).
pub(super) fn common_name_is(certificate: &CertificateDer<'_>, server: &ServerName<'_>) -> bool {
    let Ok(certificate) = parse(certificate) else { return false };
    let (body, wanted) = (&certificate.tbs_certificate, server.to_str());
    let names = body.subject.0.iter().flat_map(|set| set.0.iter()).filter(|part| part.oid == COMMON_NAME);
    let mut texts = names.filter_map(|part| std::str::from_utf8(part.value.value()).ok());
    matches!(body.get::<SubjectAltName>(), Ok(None)) && texts.any(|name| fits(name, &wanted))
}

/// As libpq's `wildcard_certificate_match`: one `*` may stand for the whole first label.
fn fits(name: &str, host: &str) -> bool {
    let wild = |rest: &str| host.split_once('.').is_some_and(|(first, behind)| !first.is_empty() && behind.eq_ignore_ascii_case(rest));
    name.eq_ignore_ascii_case(host) || name.strip_prefix("*.").is_some_and(wild)
}

fn parse(certificate: &CertificateDer<'_>) -> Result<Certificate, rustls::Error> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(fits("db.example", "DB.example") && fits("*.example", "db.example"));
        for (name, host) in [("*.example", "a.db.example"), ("*.example", "example"), ("*.example", ".example"), ("db", "db.example")] {
            assert!(!fits(name, host), "{name} must not fit {host}");
        }
    }
}
