//! How a connection is secured: libpq's sslmode in terms of rustls.
//!
//! `require` encrypts and verifies nothing, except that named authorities make it `verify-ca`, as in libpq ("SSL Support", section
//! 34.19.1), so that a child program and our own client agree. This module connects nothing.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::certificate::{check_dates, common_name_is};
use super::conninfo::{ConnInfo, Roots};
use super::spec::SslMode;

/// How much of the server's certificate is verified.
#[derive(Debug)]
enum Trust {
    /// Nothing.
    Blind,
    /// That a trusted authority signed it.
    Chain(Anchors),
    /// That, and that it is for this host.
    ChainAndName(Anchors),
}

/// Who is trusted.
#[derive(Debug)]
struct Anchors {
    authorities: RootCertStore,
    /// The same certificates: one of them may be the server's own.
    pinned: Vec<CertificateDer<'static>>,
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

/// What TLS connections of this connection are made with. The error says which file is wrong.
pub(super) fn connector(info: &ConnInfo) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier { trust: trust(info)?, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &info.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| format!("client key {}: {e}", key.display()))?;
            let chain = certificates(cert)?;
            builder.with_client_auth_cert(chain, private).map_err(|e| format!("client certificate {}: {e}", cert.display()))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn trust(info: &ConnInfo) -> Result<Trust, String> {
    match info.sslmode {
        SslMode::VerifyFull => Ok(Trust::ChainAndName(anchors(info.roots.as_ref())?)),
        SslMode::VerifyCa => Ok(Trust::Chain(anchors(info.roots.as_ref())?)),
        SslMode::Require if info.roots.is_some() => Ok(Trust::Chain(anchors(info.roots.as_ref())?)),
        _ => Ok(Trust::Blind),
    }
}

fn anchors(roots: Option<&Roots>) -> Result<Anchors, String> {
    let mut authorities = RootCertStore::empty();
    let pinned = match roots {
        Some(Roots::File(path)) => certificates(path)?,
        _ => Vec::new(),
    };
    for certificate in &pinned {
        let named = |error| format!("a root certificate is not usable: {error}");
        authorities.add(certificate.clone()).map_err(named)?;
    }
    if roots == Some(&Roots::System) {
        authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if authorities.is_empty() {
        return Err("there are no certificate authorities to trust: set `sslrootcert`".to_owned());
    }
    Ok(Anchors { authorities, pinned })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(format!("{} holds no PEM certificate", path.display())),
        other => other.map_err(|e| format!("certificates of {}: {e}", path.display())),
    }
}

impl Verifier {
    fn check_chain(
        &self,
        anchors: &Anchors,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        // A server's own certificate as its root is no chain for webpki, but is what many servers have.
        if anchors.pinned.iter().any(|pinned| pinned == leaf) {
            return check_dates(leaf, now);
        }
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&ParsedCertificate::try_from(leaf)?, &anchors.authorities, others, now, algorithms)
    }
}

fn check_name(leaf: &CertificateDer<'_>, server: &ServerName<'_>) -> Result<(), rustls::Error> {
    let by_alternative = verify_server_name(&ParsedCertificate::try_from(leaf)?, server);
    if by_alternative.is_err() && common_name_is(leaf, server) { Ok(()) } else { by_alternative }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trust {
            Trust::Blind => {}
            Trust::Chain(anchors) => self.check_chain(anchors, end_entity, intermediates, now)?,
            Trust::ChainAndName(anchors) => {
                self.check_chain(anchors, end_entity, intermediates, now)?;
                check_name(end_entity, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.trust {
            // Whose certificate it is does not count then, and rustls would refuse the X.509 version 1 that `openssl x509 -req` makes.
            Trust::Blind => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.trust {
            Trust::Blind => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
