//! The certificate that the tier's proxies share, read again when it changes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};
use sha2::{Digest, Sha256};

/// Why there is no identity. All of them may pass: the next attempt reads again.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityError {
    #[error(
        "read channel identity {path}: {source}; the tier's Secret NAME-TIER-channel is mounted there"
    )]
    Read { path: PathBuf, source: io::Error },
    #[error("read channel identity {path}: {problem}")]
    Content { path: PathBuf, problem: String },
}

/// TLS 1.3 with the identity in `directory` and its `ca.crt` as the only authority.
pub(super) fn read_identity(directory: &Path) -> Result<Arc<ClientConfig>, IdentityError> {
    let [(chain_path, chain), (key_path, key), (ca_path, ca)] = read_files(directory)?;
    let content =
        |path: &Path, problem: String| IdentityError::Content { path: path.to_owned(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in parse_certificates(&ca).map_err(|problem| content(&ca_path, problem))? {
        roots.add(certificate).map_err(|error| content(&ca_path, error.to_string()))?;
    }
    let chain = parse_certificates(&chain).map_err(|problem| content(&chain_path, problem))?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| content(&key_path, error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| content(&chain_path, error.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| content(&chain_path, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Tells whether the identity changed; `None` when it cannot be read.
pub(super) fn fingerprint(directory: &Path) -> Option<[u8; 32]> {
    let files = read_files(directory).ok()?;
    let mut hash = Sha256::new();
    for (_, bytes) in &files {
        hash.update(Sha256::digest(bytes));
    }
    Some(hash.finalize().into())
}

fn read_files(directory: &Path) -> Result<[(PathBuf, Vec<u8>); 3], IdentityError> {
    let read = |name: &str| {
        let path = directory.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok((path, bytes)),
            Err(source) => Err(IdentityError::Read { path, source }),
        }
    };
    Ok([read("tls.crt")?, read("tls.key")?, read("ca.crt")?])
}

fn parse_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("it holds no certificate".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}
