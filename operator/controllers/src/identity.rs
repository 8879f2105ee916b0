//! Identities of the channel: the operator's authority for its servers, and one authority with one shared
//! certificate per tier. All are kept in Secrets, made when absent and adopted when present.

use std::{collections::BTreeMap, time::SystemTime};

use gatefleet_distribute::{AuthorityError, ChannelAuthority, needs_renewal};
use gatefleet_names::TierKey;
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use x509_parser::{extensions::ParsedExtension, pem::Pem, prelude::X509Certificate};

/// Keys of a TLS Secret.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// The Secret with the authority of the operator's own servers, in the operator's namespace.
pub(crate) const SERVER_AUTHORITY: &str = "gatefleet-channel-ca";

/// What a tier's channel Secret holds, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Material {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// What the tier's proxies believe the server by.
    pub(crate) server_authority: String,
}

/// The authority in a Secret.
pub(crate) fn authority_in(secret: &Secret) -> Result<ChannelAuthority, AuthorityError> {
    let text = |key| {
        text_of(secret, key).ok_or_else(|| {
            let name = secret.metadata.name.as_deref().unwrap_or_default();
            AuthorityError::Read(format!("Secret {name} has no text under {key}"))
        })
    };
    ChannelAuthority::from_pem(&text(CERTIFICATE)?, &text(KEY)?)
}

/// A Secret for a new authority.
pub(crate) fn secret_of(
    authority: &ChannelAuthority,
    namespace: &str,
    name: &str,
    labels: BTreeMap<String, String>,
    owner: Option<OwnerReference>,
) -> Secret {
    let data = [(CERTIFICATE, authority.certificate_pem()), (KEY, authority.key_pem())];
    let data = data.map(|(key, pem)| (key.to_owned(), ByteString(pem.as_bytes().to_vec())));
    Secret {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            labels: Some(labels),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data.into()),
        ..Secret::default()
    }
}

/// The tier's identity: what `present` holds, or a new certificate when that is absent, unreadable, signed by
/// another authority, or past two thirds of its life.
pub(crate) fn material(
    tier: &TierKey,
    authority: &ChannelAuthority,
    server_authority: &str,
    present: Option<&Secret>,
    now: SystemTime,
) -> Result<Material, AuthorityError> {
    let kept = present.and_then(|secret| {
        let certificate = text_of(secret, CERTIFICATE)?;
        let key = text_of(secret, KEY)?;
        let good = !needs_renewal(&certificate, now)
            && is_issued_by(&certificate, authority.certificate_pem())
            && is_pair(&certificate, &key);
        good.then_some((certificate, key))
    });
    let (certificate, key) = match kept {
        Some(kept) => kept,
        None => {
            let leaf = authority.issue_client(tier, now)?;
            (leaf.certificate_pem, leaf.key_pem)
        }
    };
    Ok(Material { certificate, key, server_authority: server_authority.to_owned() })
}

fn text_of(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.trim().is_empty())
}

/// Whether the key identifiers fit together (RFC 5280 section 4.2.1.1).
fn is_issued_by(certificate: &str, authority: &str) -> bool {
    let issuer = key_identifier(certificate, |extension| match extension {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    });
    let subject = key_identifier(authority, |extension| match extension {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    issuer.is_some() && issuer == subject
}

fn is_pair(certificate: &str, key: &str) -> bool {
    let public = Pem::iter_from_buffer(certificate.as_bytes()).next().and_then(Result::ok);
    let public = public.and_then(|pem| Some(pem.parse_x509().ok()?.public_key().raw.to_vec()));
    let ours = rcgen::KeyPair::from_pem(key).ok();
    ours.is_some_and(|key| public == Some(rcgen::PublicKeyData::subject_public_key_info(&key)))
}

fn key_identifier(pem: &str, pick: impl Fn(&ParsedExtension<'_>) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
    let certificate: X509Certificate<'_> = pem.parse_x509().ok()?;
    certificate.extensions().iter().find_map(|extension| pick(extension.parsed_extension()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gatefleet_names::{FleetKey, Tier};

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn channel(material: &Material) -> Secret {
        let data = [
            (CERTIFICATE, &material.certificate),
            (KEY, &material.key),
            (AUTHORITY, &material.server_authority),
        ];
        let data = data.map(|(key, pem)| (key.to_owned(), ByteString(pem.clone().into_bytes())));
        Secret { data: Some(data.into()), ..Secret::default() }
    }

    #[test]
    fn a_certificate_is_kept_until_two_thirds_of_its_life_or_another_authority() {
        let now = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let tier = FleetKey::new("edge", "prod").tier(Tier::NorthSouth);
        let authority = ChannelAuthority::generate("prod", now).unwrap();
        let stored = secret_of(&authority, "edge", "ca", BTreeMap::new(), None);
        let authority = authority_in(&stored).unwrap();
        let first = material(&tier, &authority, "SERVER", None, now).unwrap();
        let secret = channel(&first);
        let at = |days: u32| material(&tier, &authority, "SERVER", Some(&secret), now + DAY * days).unwrap();
        assert_eq!(at(59), first);
        assert_ne!(at(61).certificate, first.certificate);

        let other = ChannelAuthority::generate("prod", now).unwrap();
        let reissued = material(&tier, &other, "SERVER", Some(&secret), now).unwrap();
        assert_ne!(reissued.certificate, first.certificate);

        let mut broken = secret.clone();
        broken.data.as_mut().unwrap().insert(KEY.to_owned(), ByteString(b"\xff\xfe".to_vec()));
        let repaired = material(&tier, &authority, "SERVER", Some(&broken), now).unwrap();
        assert_ne!(repaired.key, first.key);

        let renamed = material(&tier, &authority, "NEW SERVER", Some(&secret), now).unwrap();
        assert_eq!((renamed.certificate, renamed.server_authority.as_str()), (first.certificate, "NEW SERVER"));
    }

    #[test]
    fn an_unreadable_authority_says_which_secret() {
        let secret = Secret {
            metadata: ObjectMeta { name: Some("prod-north-south-channel-ca".to_owned()), ..ObjectMeta::default() },
            ..Secret::default()
        };
        let error = authority_in(&secret).unwrap_err().to_string();
        assert!(error.contains("prod-north-south-channel-ca") && error.contains("delete"), "{error}");
    }
}
