//! How a backend's certificate is judged when the usual rule (chain and name) does not apply.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a backend's certificate must show besides the proof of its key.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// Nothing (`insecure_skip_verify`).
    Nothing,
    /// A chain to one of the anchors.
    Chain(RootCertStore),
    /// A chain, and one of these DNS names or URIs.
    ChainAndNames(RootCertStore, Vec<String>),
}

/// Verifies by a [`Judgement`].
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) judgement: Judgement,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn verify_chain(
        &self,
        roots: &RootCertStore,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.judgement {
            Judgement::Nothing => {}
            Judgement::Chain(roots) => self.verify_chain(roots, end_entity, intermediates, now)?,
            Judgement::ChainAndNames(roots, names) => {
                self.verify_chain(roots, end_entity, intermediates, now)?;
                if !carries_one(end_entity, names)? {
                    return Err(CertificateError::NotValidForName.into());
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn carries_one(leaf: &CertificateDer<'_>, wanted: &[String]) -> Result<bool, Error> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_e| CertificateError::BadEncoding)?;
    let names = super::certificate::alternative_names(&leaf);
    Ok(names.iter().any(|name| wanted.iter().any(|w| fits(name, w))))
}

/// A name of a certificate against one that is wanted: equal, or `*.` for exactly one label.
fn fits(name: &str, wanted: &str) -> bool {
    if name.eq_ignore_ascii_case(wanted) {
        return true;
    }
    match (name.strip_prefix("*."), wanted.split_once('.')) {
        (Some(parent), Some((label, rest))) => {
            !label.is_empty() && !label.contains('/') && parent.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn names_fit_as_in_rfc_6125() {
        let cases = [
            ("a.example", "a.example", true),
            ("A.example", "a.EXAMPLE", true),
            ("*.example", "a.example", true),
            ("*.example", "a.b.example", false),
            ("*.example", "example", false),
            ("spiffe://x/a", "spiffe://x/a", true),
            ("*.x/a", "spiffe://y.x/a", false),
        ];
        for (name, wanted, expected) in cases {
            assert_eq!(fits(name, wanted), expected, "{name} {wanted}");
        }
    }
}
