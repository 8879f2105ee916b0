//! The server on a socket: TLS on loopback, clients known by a certificate, and a kubeconfig that carries both.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::ApiServer;

/// Keys and certificates of one life of the server. They are in memory only.
#[derive(Clone)]
pub struct Credentials {
    authority: String,
    client_certificate: String,
    client_key: String,
    tls: Arc<rustls::ServerConfig>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Why the server cannot be reached through a socket.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A key or certificate could not be made.
    #[error("make the API server's certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificates do not make a TLS configuration.
    #[error("set up TLS of the API server: {0}")]
    Tls(#[from] rustls::Error),
    /// The verifier of client certificates could not be built.
    #[error("set up the verifier of client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The listener failed.
    #[error("accept a connection: {0}")]
    Accept(#[from] std::io::Error),
}

impl Credentials {
    /// Makes an authority, a certificate for loopback names and `addresses`, and one for the client.
    ///
    /// # Errors
    /// When the cryptography provider refuses.
    pub fn generate(addresses: &[std::net::IpAddr]) -> Result<Self, ServeError> {
        let authority_key = rcgen::KeyPair::generate()?;
        let mut parameters = rcgen::CertificateParams::new(Vec::new())?;
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.distinguished_name = name("gatefleet-local", None);
        let authority = parameters.self_signed(&authority_key)?;
        let issuer = rcgen::Issuer::new(parameters, authority_key);

        let server_key = rcgen::KeyPair::generate()?;
        let mut names =
            vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "kubernetes".to_owned()];
        names.extend(addresses.iter().map(ToString::to_string));
        names.dedup();
        let mut server = rcgen::CertificateParams::new(names)?;
        server.distinguished_name = name("kube-apiserver", None);
        server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let server = server.signed_by(&server_key, &issuer)?;

        let client_key = rcgen::KeyPair::generate()?;
        let mut client = rcgen::CertificateParams::new(Vec::new())?;
        client.distinguished_name = name("gatefleet", Some("system:masters"));
        client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let client = client.signed_by(&client_key, &issuer)?;

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        )
        .build()?;
        let key = PrivateKeyDer::Pkcs8(server_key.serialize_der().into());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![server.der().clone()], key)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            authority: authority.pem(),
            client_certificate: client.pem(),
            client_key: client_key.serialize_pem(),
            tls: Arc::new(tls),
        })
    }

    /// The text of a kubeconfig that reaches the server at `address`. It holds a private key: write it with mode 0600.
    #[must_use]
    pub fn kubeconfig(&self, address: SocketAddr) -> String {
        let encode = |pem: &str| STANDARD.encode(pem);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: gatefleet-local\n\
             clusters:\n- name: gatefleet-local\n  cluster:\n    server: https://{address}\n    certificate-authority-data: {}\n\
             users:\n- name: gatefleet-local\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n\
             contexts:\n- name: gatefleet-local\n  context:\n    cluster: gatefleet-local\n    user: gatefleet-local\n    namespace: default\n",
            encode(&self.authority),
            encode(&self.client_certificate),
            encode(&self.client_key),
        )
    }
}

fn name(common: &str, organization: Option<&str>) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, common);
    if let Some(organization) = organization {
        name.push(rcgen::DnType::OrganizationName, organization);
    }
    name
}

impl ApiServer {
    /// Serves connections until the future is dropped. A client without a certificate of `credentials` is turned away.
    ///
    /// # Errors
    /// When the listener fails for good; a failing connection ends alone.
    pub async fn serve(
        &self,
        listener: TcpListener,
        credentials: &Credentials,
    ) -> Result<(), ServeError> {
        let acceptor = TlsAcceptor::from(Arc::clone(&credentials.tls));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (tcp, _) = listener.accept().await?;
            // Reap those that ended, so that the set stays small.
            while connections.try_join_next().is_some() {}
            let acceptor = acceptor.clone();
            let service = TowerToHyperService::new(self.clone());
            connections.spawn(async move {
                let _ = tcp.set_nodelay(true);
                let tls = match acceptor.accept(tcp).await {
                    Ok(tls) => tls,
                    Err(error) => {
                        tracing::debug!(%error, "TLS handshake with the embedded API server");
                        return;
                    }
                };
                let io = TokioIo::new(tls);
                if let Err(error) =
                    Builder::new(TokioExecutor::new()).serve_connection(io, service).await
                {
                    tracing::debug!(error, "connection to the embedded API server");
                }
            });
        }
    }
}
