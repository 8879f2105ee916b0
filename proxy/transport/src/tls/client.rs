//! TLS towards backends.

use std::{net::IpAddr, sync::Arc, time::Duration};

use gatefleet_snapshot::v1;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Certificate, TrustBundle,
    verify::{Judgement, Verifier},
};

/// Why TLS towards a backend cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// The server name is neither a DNS name nor an address.
    #[error("tls.serverName {0:?} is neither a DNS name nor an address; correct it")]
    ServerName(String),
    /// The system has no readable trust roots.
    #[error(
        "the system has no trusted roots ({0}); name a trust bundle, or set insecureSkipVerify"
    )]
    SystemRoots(String),
    /// rustls refused the combination.
    #[error("TLS settings do not fit together: {0}")]
    Settings(String),
}

/// What is known from the backend resource alone; names of other resources are open yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClientTlsSpec {
    server_name: Option<ServerName<'static>>,
    /// Trust bundle resources.
    pub trust_bundles: Vec<String>,
    /// Certificate resource that the proxy shows, if any.
    pub client_certificate: Option<String>,
    subject_alt_names: Vec<String>,
    skip_verify: bool,
}

impl ClientTlsSpec {
    /// Reads the resource.
    ///
    /// # Errors
    /// When the server name is malformed.
    pub(crate) fn parse(tls: &v1::BackendTls) -> Result<Self, ClientTlsError> {
        let server_name = match tls.server_name.as_str() {
            "" => None,
            name => Some(
                ServerName::try_from(name.to_owned())
                    .map_err(|_invalid| ClientTlsError::ServerName(name.to_owned()))?,
            ),
        };
        Ok(Self {
            server_name,
            trust_bundles: tls.trust_bundles.clone(),
            client_certificate: (!tls.client_certificate.is_empty())
                .then(|| tls.client_certificate.clone()),
            subject_alt_names: tls.subject_alt_names.clone(),
            skip_verify: tls.insecure_skip_verify,
        })
    }
}

/// Connects to endpoints of one backend. Shared by all threads.
#[derive(Debug)]
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// Builds the configuration once the named resources are there.
    ///
    /// # Errors
    /// When no trust roots are available or the certificate cannot be used by a client.
    pub(crate) fn build(
        spec: &ClientTlsSpec,
        bundles: &[Arc<TrustBundle>],
        certificate: Option<&Certificate>,
    ) -> Result<Self, ClientTlsError> {
        let builder = ClientConfig::builder_with_provider(super::provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| ClientTlsError::Settings(e.to_string()))?;
        let builder = if spec.skip_verify {
            custom(builder, Judgement::Nothing)
        } else {
            let roots = roots(spec, bundles)?;
            match (&spec.server_name, spec.subject_alt_names.as_slice()) {
                (Some(_), []) => builder.with_root_certificates(roots),
                (None, []) => custom(builder, Judgement::Chain(roots)),
                (_, names) => custom(builder, Judgement::ChainAndNames(roots, names.to_vec())),
            }
        };
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_cert_resolver(Arc::new(
                rustls::sign::SingleCertAndKey::from(Arc::clone(&own.key)),
            )),
        };
        config.enable_sni = spec.server_name.is_some();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), server_name: spec.server_name.clone() })
    }

    /// Performs the handshake within `limit`.
    ///
    /// # Errors
    /// When the peer fails verification, breaks the protocol, or takes too long.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        limit: Duration,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = self.server_name.clone().unwrap_or_else(|| ServerName::IpAddress(peer.into()));
        let handshake = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream);
        tokio::time::timeout(limit, handshake)
            .await
            .map_err(|_elapsed| std::io::Error::from(std::io::ErrorKind::TimedOut))?
    }
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;
type Verified = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn custom(builder: Builder, judgement: Judgement) -> Verified {
    let verifier = Verifier { judgement, provider: super::provider() };
    builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
}

fn roots(
    spec: &ClientTlsSpec,
    bundles: &[Arc<TrustBundle>],
) -> Result<RootCertStore, ClientTlsError> {
    if !spec.trust_bundles.is_empty() {
        return Ok(TrustBundle::merge(bundles));
    }
    system_roots()
}

/// Where distributions keep the system's roots.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

fn system_roots() -> Result<RootCertStore, ClientTlsError> {
    let file = std::env::var("SSL_CERT_FILE").ok();
    let candidates = file.iter().map(String::as_str).chain(SYSTEM_ROOTS);
    for path in candidates {
        let Ok(pem) = std::fs::read_to_string(path) else { continue };
        let bundle = TrustBundle::parse(&v1::TrustBundle { certificates: pem });
        if let Ok(bundle) = bundle {
            return Ok(TrustBundle::merge(&[Arc::new(bundle)]));
        }
    }
    Err(ClientTlsError::SystemRoots(format!("looked at {}", SYSTEM_ROOTS.join(", "))))
}
