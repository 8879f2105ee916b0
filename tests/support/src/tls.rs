//! Looking at a TLS server from outside: which certificate it shows for a name. Trusts everybody, on purpose.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// Checks that the peer holds the key of its certificate, and nothing else.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
    /// What it says that it can check.
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// The leaf certificate that the server shows for this name.
///
/// # Errors
///
/// When the handshake fails; the message holds the alert.
pub fn leaf(address: SocketAddr, name: &str) -> io::Result<CertificateDer<'static>> {
    leaf_by(address, name, ALL_VERSIONS)
}

/// The same to a client that speaks these versions of TLS only.
///
/// # Errors
///
/// When the handshake fails; the message holds the alert.
pub fn leaf_by(
    address: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<CertificateDer<'static>> {
    let all = aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes();
    shake_hands(address, name, versions, all)
}

/// The same to a client that can check signatures of RSA keys only.
///
/// # Errors
///
/// When the handshake fails; the message holds the alert.
pub fn leaf_by_rsa(address: SocketAddr, name: &str) -> io::Result<CertificateDer<'static>> {
    let schemes = [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];
    shake_hands(address, name, ALL_VERSIONS, schemes.to_vec())
}

fn shake_hands(
    address: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
) -> io::Result<CertificateDer<'static>> {
    let mut tls = client(name, versions, schemes)?;
    let mut tcp = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    let chain = tls.peer_certificates().unwrap_or_default();
    chain
        .first()
        .cloned()
        .map(CertificateDer::into_owned)
        .ok_or_else(|| io::Error::other("no certificate"))
}

/// The client's side of a connection to whoever shows a certificate for this name, whatever its key.
pub(crate) fn client_of_anybody(name: &str) -> io::Result<ClientConnection> {
    let all = aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes();
    client(name, ALL_VERSIONS, all)
}

fn client(
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
) -> io::Result<ClientConnection> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody { provider, schemes }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)
}
