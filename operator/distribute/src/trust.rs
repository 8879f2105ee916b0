//! Which CA vouches for which tier.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use gatefleet_names::TierKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// Why a CA cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not a PEM certificate.
    #[error("read CA of tier {tier}: {problem}; delete the Secret to have it made again")]
    NotACertificate {
        /// Whose.
        tier: Box<TierKey>,
        /// What is wrong.
        problem: String,
    },
}

/// Believes a certificate when a CA of the very tier that it names signed it.
#[derive(Debug)]
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    tiers: RwLock<BTreeMap<TierKey, Arc<dyn ClientCertVerifier>>>,
}

impl Default for Trust {
    fn default() -> Self {
        Self { provider: Arc::new(aws_lc_rs::default_provider()), tiers: RwLock::default() }
    }
}

impl Trust {
    pub(crate) fn set(&self, tier: &TierKey, ca_pem: &str) -> Result<(), TrustError> {
        let wrong =
            |problem: String| TrustError::NotACertificate { tier: Box::new(tier.clone()), problem };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&self.provider),
        );
        let verifier = verifier.build().map_err(|error| wrong(error.to_string()))?;
        let mut tiers = self.tiers.write().unwrap_or_else(PoisonError::into_inner);
        tiers.insert(tier.clone(), verifier);
        Ok(())
    }

    fn of(&self, tier: &TierKey) -> Option<Arc<dyn ClientCertVerifier>> {
        self.tiers.read().unwrap_or_else(PoisonError::into_inner).get(tier).cloned()
    }
}

/// The tier that a certificate names: the one URI among its alternative names.
pub(crate) fn tier_of(certificate: &CertificateDer<'_>) -> Option<TierKey> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => TierKey::from_identity(uri).ok(),
        _ => None,
    }
}

impl ClientCertVerifier for Trust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refuse = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let tier =
            tier_of(end_entity).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let verifier = self.of(&tier).ok_or_else(refuse)?;
        verifier.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
