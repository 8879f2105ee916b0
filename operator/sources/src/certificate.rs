//! Certificates in Secrets of type `kubernetes.io/tls`.

use crate::private_key::public_half;
use gatefleet_ir::{KeyKind, Reason};
use gatefleet_names::{HostPattern, Hostname};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{
    extensions::GeneralName,
    oid_registry::OID_PKCS1_RSAENCRYPTION,
    prelude::{FromDer, X509Certificate},
};

/// A certificate that the proxy can load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// PEM, leaf first.
    pub chain: String,
    /// PEM
    pub private_key: String,
    /// DNS names of the leaf, wildcards as one label.
    pub names: Vec<HostPattern>,
    /// From when on the leaf is valid.
    pub not_before: Timestamp,
    /// Until when the leaf is valid.
    pub not_after: Timestamp,
    /// Which clients can check it.
    pub key_kind: KeyKind,
}

impl Certificate {
    /// Whether clients accept it for every name that `pattern` stands for.
    #[must_use]
    pub fn covers(&self, pattern: &HostPattern) -> bool {
        self.names.iter().any(|name| name.covers(pattern))
    }

    /// When [`Certificate::problem_at`] will answer something else.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        [self.not_before, self.not_after].into_iter().find(|moment| *moment > now)
    }

    /// Why clients refuse it at `now`, although it is served.
    #[must_use]
    pub fn problem_at(&self, now: Timestamp) -> Option<CertificateProblem> {
        if now >= self.not_after {
            Some(CertificateProblem::Expired(self.not_after))
        } else if now < self.not_before {
            Some(CertificateProblem::NotYetValid(self.not_before))
        } else {
            None
        }
    }
}

/// What is wrong with a Secret that should hold a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// There is none of this name.
    #[error("does not exist: create it with `kubectl create secret tls`")]
    NotFound,
    /// Its type is another one.
    #[error(
        "has type {0:?}, not \"kubernetes.io/tls\": create it with `kubectl create secret tls`"
    )]
    WrongType(String),
    /// A key of its data is absent.
    #[error("has no {0}: it needs tls.crt and tls.key")]
    KeyAbsent(&'static str),
    /// A key of its data is no text.
    #[error(
        "has a {0} that is no PEM text: it must be encoded in base64 once, not in another encoding"
    )]
    NotText(&'static str),
    /// `tls.crt` cannot be read.
    #[error("has a tls.crt without a readable certificate: {0}")]
    Chain(String),
    /// `tls.key` cannot be read.
    #[error("has a tls.key without a readable private key: {0}")]
    Key(String),
    /// They do not belong together.
    #[error(
        "has a tls.key that does not belong to the first certificate of tls.crt: put the leaf first, and its own key"
    )]
    Mismatch,
    /// Its time is over.
    #[error("has a certificate that expired at {0}: renew it (it is served meanwhile)")]
    Expired(Timestamp),
    /// Its time has not begun.
    #[error(
        "has a certificate that is not valid before {0}: check the clock of its issuer (it is served meanwhile)"
    )]
    NotYetValid(Timestamp),
}

impl CertificateProblem {
    /// The reason in diagnostics.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotFound => Reason::SecretNotFound,
            Self::WrongType(_) | Self::KeyAbsent(_) => Reason::SecretInvalid,
            Self::NotText(_) | Self::Chain(_) | Self::Key(_) => Reason::CertificateInvalid,
            Self::Mismatch => Reason::KeyMismatch,
            Self::Expired(_) => Reason::CertificateExpired,
            Self::NotYetValid(_) => Reason::CertificateNotYetValid,
        }
    }
}

/// The certificate in `secret` (absent: `None`), judged by the TLS library that will serve it.
///
/// # Errors
///
/// When it cannot be served. A certificate whose time is over can: see [`Certificate::problem_at`].
pub fn read_certificate(secret: Option<&Secret>) -> Result<Certificate, CertificateProblem> {
    let secret = secret.ok_or(CertificateProblem::NotFound)?;
    match secret.type_.as_deref() {
        Some("kubernetes.io/tls") => {}
        other => return Err(CertificateProblem::WrongType(other.unwrap_or("Opaque").to_owned())),
    }
    let chain = text(secret, "tls.crt")?;
    let private_key = text(secret, "tls.key")?;
    let certificates = parse_chain(&chain)?;
    let leaf =
        certificates.first().ok_or_else(|| CertificateProblem::Chain("it is empty".to_owned()))?;
    let leaf = parse_leaf(leaf)?;
    let key = PrivateKeyDer::from_pem_slice(private_key.as_bytes())
        .map_err(|error| CertificateProblem::Key(error.to_string()))?;
    let half = public_half(&key).ok_or_else(|| {
        CertificateProblem::Key(
            "it is of no kind that can be served (RSA, ECDSA, Ed25519)".to_owned(),
        )
    })?;
    if half != leaf.public_key {
        return Err(CertificateProblem::Mismatch);
    }
    let Leaf { names, not_before, not_after, key_kind, .. } = leaf;
    Ok(Certificate { chain, private_key, names, not_before, not_after, key_kind })
}

fn text(secret: &Secret, key: &'static str) -> Result<String, CertificateProblem> {
    let plain = secret.string_data.as_ref().and_then(|data| data.get(key));
    if let Some(plain) = plain {
        return Ok(plain.clone());
    }
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    let bytes =
        bytes.filter(|bytes| !bytes.0.is_empty()).ok_or(CertificateProblem::KeyAbsent(key))?;
    String::from_utf8(bytes.0.clone()).map_err(|_not_text| CertificateProblem::NotText(key))
}

fn parse_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateProblem::Chain(error.to_string()))
}

/// What is read of the first certificate.
struct Leaf {
    names: Vec<HostPattern>,
    public_key: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    key_kind: KeyKind,
}

fn parse_leaf(leaf: &CertificateDer<'_>) -> Result<Leaf, CertificateProblem> {
    let (_, parsed) = X509Certificate::from_der(leaf)
        .map_err(|error| CertificateProblem::Chain(error.to_string()))?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(text) => parse_name(text),
        _ => None,
    });
    let validity = parsed.validity();
    let moment = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
    };
    let is_rsa = parsed.public_key().algorithm.algorithm == OID_PKCS1_RSAENCRYPTION;
    let key_kind = if is_rsa { KeyKind::Rsa } else { KeyKind::EllipticCurve };
    Ok(Leaf {
        names: names.collect(),
        public_key: parsed.public_key().subject_public_key.data.to_vec(),
        not_before: moment(validity.not_before),
        not_after: moment(validity.not_after),
        key_kind,
    })
}

fn parse_name(text: &str) -> Option<HostPattern> {
    match text.strip_prefix("*.") {
        Some(rest) => rest.parse::<Hostname>().ok().map(HostPattern::OneLabel),
        None => text.parse().ok().map(HostPattern::Exact),
    }
}
