//! Certificates and trust bundles: PEM in, loaded keys out.

use std::sync::Arc;

use gatefleet_snapshot::v1;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// Why a certificate or a trust bundle cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No PEM block at all.
    #[error("holds no certificate; put the leaf first, each in a PEM block \"CERTIFICATE\"")]
    Empty,
    /// The PEM text is broken.
    #[error("is not readable PEM ({0}); paste the file as the authority issued it")]
    Pem(String),
    /// A PEM block that is no X.509 certificate.
    #[error("block {index} is no X.509 certificate ({reason}); paste the file as issued")]
    X509 {
        /// Position of the block, from 1.
        index: usize,
        /// What the parser said.
        reason: String,
    },
    /// No private key, or one of an unknown form.
    #[error(
        "has no usable private key ({0}); it must be PEM in PKCS#8, PKCS#1 or SEC1, unencrypted"
    )]
    Key(String),
    /// Key and leaf do not belong together.
    #[error(
        "private key does not belong to the certificate of {subject}; renew both together, leaf first in the chain"
    )]
    Mismatch {
        /// Subject or first name of the leaf.
        subject: String,
    },
}

/// A certificate with its key, loaded and checked to belong together.
///
/// An expired one is served (clients decide) and shows in [`Certificate::not_after`].
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_before: i64,
    not_after: i64,
}

impl Certificate {
    /// Loads the chain (leaf first) and the private key of a resource.
    ///
    /// # Errors
    /// When PEM, X.509 or key is broken, or key and leaf differ.
    pub(crate) fn parse(resource: &v1::Certificate) -> Result<Self, CertificateError> {
        let chain = parse_chain(&resource.chain)?;
        let (names, not_before, not_after) = {
            let leaf = chain.first().ok_or(CertificateError::Empty)?;
            let (_, leaf) = X509Certificate::from_der(leaf)
                .map_err(|e| CertificateError::X509 { index: 1, reason: e.to_string() })?;
            let validity = leaf.validity();
            (names(&leaf), validity.not_before.timestamp(), validity.not_after.timestamp())
        };
        let key = PrivateKeyDer::from_pem_slice(resource.private_key.as_bytes())
            .map_err(|e| CertificateError::Key(e.to_string()))?;
        let key =
            CertifiedKey::from_der(chain, key, &super::provider()).map_err(
                |error| match error {
                    rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch {
                        subject: names.first().cloned().unwrap_or_default(),
                    },
                    other => CertificateError::Key(other.to_string()),
                },
            )?;
        Ok(Self { key: Arc::new(key), names, not_before, not_after })
    }

    /// DNS names and addresses of the leaf, as it lists them; its subject when it lists none.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Seconds since the epoch from which the leaf is valid.
    pub(crate) fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Seconds since the epoch until which the leaf is valid.
    pub(crate) fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// CA certificates that clients or backends are checked against.
#[derive(Debug, Clone)]
pub(crate) struct TrustBundle {
    pub(crate) anchors: Vec<CertificateDer<'static>>,
}

impl TrustBundle {
    /// Loads every certificate of the bundle.
    ///
    /// # Errors
    /// When there is none, or one of them is no usable trust anchor.
    pub(crate) fn parse(resource: &v1::TrustBundle) -> Result<Self, CertificateError> {
        let anchors = parse_chain(&resource.certificates)?;
        let mut store = RootCertStore::empty();
        for (index, anchor) in (1..).zip(&anchors) {
            store
                .add(anchor.clone())
                .map_err(|e| CertificateError::X509 { index, reason: e.to_string() })?;
        }
        Ok(Self { anchors })
    }

    /// One store of several bundles.
    pub(crate) fn merge(bundles: &[Arc<Self>]) -> RootCertStore {
        let mut store = RootCertStore::empty();
        for bundle in bundles {
            store.add_parsable_certificates(bundle.anchors.iter().cloned());
        }
        store
    }
}

fn parse_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| CertificateError::Pem(e.to_string()))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty);
    }
    for (index, der) in (1..).zip(&chain) {
        X509Certificate::from_der(der)
            .map_err(|e| CertificateError::X509 { index, reason: e.to_string() })?;
    }
    Ok(chain)
}

/// Subject alternative names of a certificate; its subject when it has none.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let listed = alternative_names(certificate);
    if listed.is_empty() { vec![certificate.subject().to_string()] } else { listed }
}

/// DNS names, addresses and URIs among the subject alternative names.
pub(crate) fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => parse_address(bytes),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(text).collect()
}

fn parse_address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|b| std::net::Ipv4Addr::from(b).to_string());
    let v6 = <[u8; 16]>::try_from(bytes).map(|b| std::net::Ipv6Addr::from(b).to_string());
    v4.or(v6).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(name: &str) -> v1::Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = rcgen::CertificateParams::new(vec![name.into()]).unwrap();
        let chain = chain.self_signed(&key).unwrap().pem();
        v1::Certificate { chain, private_key: key.serialize_pem() }
    }

    #[test]
    fn broken_certificates_say_what_is_wrong_and_what_to_do() {
        let (a, b) = (issue("a.example"), issue("b.example"));
        let cases = [
            ("", &*a.private_key, "holds no certificate; put the leaf first"),
            ("no pem", &a.private_key, "holds no certificate"),
            (&a.chain, "", "has no usable private key"),
            (&a.chain, &a.chain, "has no usable private key"),
            (&a.chain, &b.private_key, "does not belong to the certificate of a.example"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &a.private_key,
                "block 1 is no X.509 certificate",
            ),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", &a.private_key, "is not readable PEM"),
        ];
        for (chain, key, expected) in cases {
            let resource = v1::Certificate { chain: chain.into(), private_key: key.into() };
            let error = Certificate::parse(&resource).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} lacks {expected:?}");
        }
        assert_eq!(Certificate::parse(&a).unwrap().names(), ["a.example"]);
    }

    #[test]
    fn an_expired_certificate_loads_and_shows_when() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["old.example".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        let chain = params.self_signed(&key).unwrap().pem();
        let resource = v1::Certificate { chain, private_key: key.serialize_pem() };
        assert_eq!(Certificate::parse(&resource).unwrap().not_after(), 978_307_200);
    }

    #[test]
    fn a_bundle_needs_a_certificate() {
        let broken = v1::TrustBundle { certificates: "nothing".into() };
        assert!(TrustBundle::parse(&broken).is_err());
        let good = v1::TrustBundle { certificates: issue("ca").chain };
        assert_eq!(TrustBundle::parse(&good).unwrap().anchors.len(), 1);
    }
}
