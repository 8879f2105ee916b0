//! Listeners, and the routes below HTTP.

use gatefleet_names::{HostPattern, ObjectKey, PortNumber};

use crate::{Claimant, Policy, Scope, WeightedBackend};

/// One declared listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Unique in the tier; part of the resource's name.
    pub name: String,
    /// Who declares it.
    pub claimant: Claimant,
    /// Its isolation scope.
    pub scope: Scope,
    /// What clients connect to.
    pub advertised_port: PortNumber,
    /// What the proxy binds.
    pub bind_port: PortNumber,
    /// What is spoken.
    pub protocol: Protocol,
    /// Only connections or requests for these names.
    pub hostname: HostPattern,
    /// Only for TLS, TCP and UDP.
    pub l4_routes: Vec<L4Claim>,
    /// Decisions about every request, before it is routed.
    pub policies: Vec<Policy>,
}

/// What is spoken on a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Plaintext HTTP.
    Http,
    /// HTTP over TLS.
    Https(Termination),
    /// TLS that is ended here and forwarded as TCP.
    TlsTerminated(Termination),
    /// TLS that is forwarded as it is, by SNI.
    TlsPassthrough,
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// How TLS is ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Termination {
    /// Refuses TLS 1.2.
    pub only_tls13: bool,
    /// Certificate names for connections whose SNI no server name fits; empty: they are refused.
    pub default_certificates: Vec<CertificateRef>,
    /// `None`: client certificates are not asked for.
    pub client_validation: Option<ClientValidation>,
}

/// Who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientValidation {
    /// Names of trust bundles.
    pub trust_bundles: Vec<String>,
    /// Connections without a valid certificate are served too.
    pub insecure_fallback: bool,
}

/// A Secret with certificate and key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateRef {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

/// Kinds of keys: clients that can check the signatures of one may not know the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA or Ed25519: every client of this decade.
    EllipticCurve,
    /// RSA: every client.
    Rsa,
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EllipticCurve => "elliptic curve",
            Self::Rsa => "RSA",
        })
    }
}

/// A route below HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct L4Claim {
    /// Who says it.
    pub claimant: Claimant,
    /// SNI, for TLS.
    pub server_name: HostPattern,
    /// By weight.
    pub backends: Vec<WeightedBackend>,
}

/// What one object says about the certificate of one (scope, SNI).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsClaim {
    /// Who says it.
    pub claimant: Claimant,
    /// Where: `spec.tls[0]`.
    pub field: String,
    /// Which certificate.
    pub certificate: CertificateRef,
}

impl TlsClaim {
    /// The object.
    #[must_use]
    pub fn object(&self) -> &ObjectKey {
        &self.claimant.object
    }
}
