//! The Secrets of a tier's channel.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::{ChannelMaterial, TierScope};

/// Key of a certificate.
pub const CERTIFICATE_KEY: &str = "tls.crt";
/// Key of its private key.
pub const PRIVATE_KEY_KEY: &str = "tls.key";
/// Key of the certificate of the authority.
pub const CA_CERTIFICATE_KEY: &str = "ca.crt";

/// The tier's authority. Only the operator reads it.
pub(super) fn desired_authority(scope: &TierScope<'_>, channel: &ChannelMaterial) -> Secret {
    let entries = [(CERTIFICATE_KEY, &channel.ca_certificate), (PRIVATE_KEY_KEY, &channel.ca_key)];
    tls_secret(scope, &scope.names.authority, &entries)
}

/// The tier's identity, mounted at `/etc/gatefleet-channel`.
pub(super) fn desired_channel(scope: &TierScope<'_>, channel: &ChannelMaterial) -> Secret {
    let entries = [
        (CERTIFICATE_KEY, &channel.certificate),
        (PRIVATE_KEY_KEY, &channel.private_key),
        (CA_CERTIFICATE_KEY, &channel.server_ca),
    ];
    tls_secret(scope, &scope.names.channel, &entries)
}

fn tls_secret(scope: &TierScope<'_>, name: &str, entries: &[(&str, &String)]) -> Secret {
    let data: BTreeMap<String, ByteString> = entries
        .iter()
        .map(|(key, pem)| ((*key).to_owned(), ByteString(pem.as_bytes().to_vec())))
        .collect();
    Secret {
        data: Some(data),
        metadata: scope.metadata(name),
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    }
}
