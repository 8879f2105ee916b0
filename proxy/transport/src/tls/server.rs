//! TLS in front: which listener and which certificate answer a `ClientHello`.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use gatefleet_snapshot::v1;
use rustls::{
    RootCertStore, ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use super::Certificate;
use crate::host::HostPattern;

/// Why a TLS listener cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrontError {
    /// The clients' trust bundles are missing or unusable.
    #[error("clients cannot be verified: {0}; correct tls.clientValidation.trustBundles")]
    ClientTrust(String),
    /// rustls refused the combination.
    #[error("TLS settings do not fit together: {0}")]
    Settings(String),
}

/// What answers a server name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    /// These certificates, one per key type.
    Serve(&'a KeySet),
    /// The name is known, but none of its certificates could be loaded: the handshake ends.
    Unavailable,
    /// Nobody declared the name, and there is no default: `unrecognized_name`.
    Unknown,
}

/// Certificates for the same names that differ by key type.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet(Vec<Arc<CertifiedKey>>);

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}
impl Eq for KeySet {}

impl KeySet {
    /// A set in order of preference: ECDSA and `EdDSA` before RSA, otherwise as given.
    pub(crate) fn new(certificates: &[Arc<Certificate>]) -> Self {
        let mut keys: Vec<_> = certificates.iter().map(|c| Arc::clone(&c.key)).collect();
        keys.sort_by_key(|key| key.key.algorithm() == rustls::SignatureAlgorithm::RSA);
        Self(keys)
    }

    /// The first key that can sign with one of the client's schemes.
    fn choose(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(fits).or_else(|| self.0.first()).cloned()
    }
}

/// The server names of one scope.
#[derive(Debug, Default)]
pub(crate) struct ServerNames {
    patterns: HashMap<HostPattern, KeySet>,
}

impl ServerNames {
    /// Adds what answers a pattern. An empty set ends handshakes for it.
    pub(crate) fn insert(&mut self, pattern: HostPattern, keys: KeySet) {
        self.patterns.insert(pattern, keys);
    }

    fn find(&self, name: &str) -> Option<&KeySet> {
        crate::host::candidates(name).find_map(|pattern| self.patterns.get(&pattern))
    }
}

/// One HTTPS listener, ready for handshakes. Shared by all threads.
#[derive(Debug)]
pub(crate) struct ServerTls {
    names: Arc<ServerNames>,
    default: Option<KeySet>,
}

impl ServerTls {
    /// What answers a client that names `server_name`.
    pub(crate) fn choose(&self, server_name: Option<&str>) -> Choice<'_> {
        let named = server_name.and_then(|name| self.names.find(name));
        match named.or(self.default.as_ref()) {
            Some(KeySet(keys)) if keys.is_empty() => Choice::Unavailable,
            Some(keys) => Choice::Serve(keys),
            None => Choice::Unknown,
        }
    }
}

impl ResolvesServerCert for ServerTls {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self.choose(hello.server_name()) {
            Choice::Serve(keys) => keys.choose(&hello),
            Choice::Unavailable | Choice::Unknown => None,
        }
    }
}

/// A listener among those that share a port, as seen by the TLS front.
#[derive(Debug, Clone)]
pub(crate) struct TlsListener {
    /// Server names that it takes.
    pub hostname: HostPattern,
    /// Which certificate answers.
    pub names: Arc<ServerTls>,
    /// Everything else of the handshake.
    pub config: Arc<ServerConfig>,
}

impl TlsListener {
    /// Builds a listener. `default` empty: unknown names are refused. `clients`: CA certificates
    /// that every client must be vouched for by.
    ///
    /// # Errors
    /// When the clients' trust anchors are unusable.
    pub(crate) fn build(
        hostname: HostPattern,
        min_version: v1::listener_tls::Version,
        default: Option<KeySet>,
        names: Arc<ServerNames>,
        clients: Option<RootCertStore>,
    ) -> Result<Self, FrontError> {
        let names = Arc::new(ServerTls { names, default });
        let versions = match min_version {
            v1::listener_tls::Version::Tls12 => rustls::ALL_VERSIONS,
            v1::listener_tls::Version::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(super::provider())
            .with_protocol_versions(versions)
            .map_err(|e| FrontError::Settings(e.to_string()))?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<ServerTls>::clone(&names);
        let verified = clients.is_some();
        let mut config = match clients {
            None => builder.with_no_client_auth().with_cert_resolver(resolver),
            Some(roots) => {
                builder.with_client_cert_verifier(verifier(roots)?).with_cert_resolver(resolver)
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        resumption(&mut config, verified)?;
        Ok(Self { hostname, names, config: Arc::new(config) })
    }
}

fn verifier(
    roots: RootCertStore,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, FrontError> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), super::provider())
        .build()
        .map_err(|e| FrontError::ClientTrust(e.to_string()))
}

/// Stateless tickets, one key for all threads. Not where clients are verified: a ticket of a
/// listener with other anchors must not vouch for a client.
fn resumption(config: &mut ServerConfig, verified: bool) -> Result<(), FrontError> {
    static TICKETER: OnceLock<Arc<dyn rustls::server::ProducesTickets>> = OnceLock::new();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if verified {
        config.send_tls13_tickets = 0;
        return Ok(());
    }
    let ticketer = if let Some(ticketer) = TICKETER.get() {
        Arc::clone(ticketer)
    } else {
        let new = rustls::crypto::aws_lc_rs::Ticketer::new()
            .map_err(|e| FrontError::Settings(e.to_string()))?;
        Arc::clone(TICKETER.get_or_init(|| new))
    };
    config.ticketer = ticketer;
    config.send_tls13_tickets = 1;
    Ok(())
}

/// The most specific listener that takes a server name, with its index.
pub(crate) fn choose_listener<'a>(
    listeners: &'a [TlsListener],
    server_name: Option<&str>,
) -> Option<(usize, &'a TlsListener)> {
    let fits = |(_, l): &(usize, &TlsListener)| match server_name {
        None => l.hostname == HostPattern::Any,
        Some(name) => l.hostname.fits(name),
    };
    listeners.iter().enumerate().filter(fits).max_by_key(|(_, l)| l.hostname.specificity())
}
