//! TLS on both sides: certificates, the choice by server name, and connections towards backends.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

mod certificate;
mod client;
mod server;
mod verify;

pub(crate) use certificate::{Certificate, CertificateError, TrustBundle};
pub(crate) use client::{ClientTls, ClientTlsError, ClientTlsSpec};
pub(crate) use server::{Choice, FrontError, KeySet, ServerNames, TlsListener, choose_listener};

/// The one crypto provider: aws-lc-rs, hybrid X25519MLKEM768 first.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}
