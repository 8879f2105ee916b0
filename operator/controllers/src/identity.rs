//! Identities of the channel: the operator's authority for its servers, and one authority with one shared
//! certificate per tier. All are kept in Secrets, made when absent and adopted when present.

use std::time::SystemTime;

use gatefleet_distribute::{AuthorityError, ChannelAuthority, IssuedLeaf, needs_renewal};
use gatefleet_infra::{CERTIFICATE_KEY, PRIVATE_KEY_KEY};
use gatefleet_names::TierKey;
use gatefleet_watch::MANAGED_BY;
use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use x509_parser::{extensions::ParsedExtension, pem::Pem, prelude::X509Certificate};

/// The Secret with the authority of the operator's own servers, in the operator's namespace.
pub(crate) const SERVER_AUTHORITY: &str = "gatefleet-channel-ca";

/// The authority in a Secret.
pub(crate) fn authority_in(secret: &Secret) -> Result<ChannelAuthority, AuthorityError> {
    let text = |key| {
        text_of(secret, key).ok_or_else(|| {
            let name = secret.metadata.name.as_deref().unwrap_or_default();
            AuthorityError::Read(format!("Secret {name} has no text under {key}"))
        })
    };
    ChannelAuthority::from_pem(&text(CERTIFICATE_KEY)?, &text(PRIVATE_KEY_KEY)?)
}

/// A Secret for a new authority.
pub(crate) fn secret_of(authority: &ChannelAuthority, namespace: &str, name: &str) -> Secret {
    let data =
        [(CERTIFICATE_KEY, authority.certificate_pem()), (PRIVATE_KEY_KEY, authority.key_pem())];
    let label = (MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    let data = data.map(|(key, pem)| (key.to_owned(), ByteString(pem.as_bytes().to_vec())));
    Secret {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data.into()),
        ..Secret::default()
    }
}

/// A new authority for one tier.
pub(crate) fn new_authority(
    tier: &TierKey,
    now: SystemTime,
) -> Result<ChannelAuthority, AuthorityError> {
    ChannelAuthority::generate(&tier.to_string(), now)
}

/// The tier's certificate: what `present` holds, or a new one when that is absent, unreadable, signed by
/// another authority, or past two thirds of its life.
pub(crate) fn leaf(
    tier: &TierKey,
    authority: &ChannelAuthority,
    present: Option<&Secret>,
    now: SystemTime,
) -> Result<IssuedLeaf, AuthorityError> {
    let kept = present.and_then(|secret| {
        let (certificate_pem, key_pem) =
            (text_of(secret, CERTIFICATE_KEY)?, text_of(secret, PRIVATE_KEY_KEY)?);
        let good = !needs_renewal(&certificate_pem, now)
            && is_issued_by(&certificate_pem, authority.certificate_pem())
            && is_pair(&certificate_pem, &key_pem);
        good.then_some(IssuedLeaf { certificate_pem, key_pem })
    });
    kept.map_or_else(|| authority.issue_client(tier, now), Ok)
}

fn text_of(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.trim().is_empty())
}

/// Whether the key identifiers fit together (RFC 5280 section 4.2.1.1).
fn is_issued_by(certificate: &str, authority: &str) -> bool {
    let issuer = key_identifier(certificate, |extension| match extension {
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            id.key_identifier.as_ref().map(|id| id.0.to_vec())
        }
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

fn key_identifier(
    pem: &str,
    pick: impl Fn(&ParsedExtension<'_>) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
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

    fn channel(leaf: &IssuedLeaf) -> Secret {
        let data = [(CERTIFICATE_KEY, &leaf.certificate_pem), (PRIVATE_KEY_KEY, &leaf.key_pem)];
        let data = data.map(|(key, pem)| (key.to_owned(), ByteString(pem.clone().into_bytes())));
        Secret { data: Some(data.into()), ..Secret::default() }
    }

    #[test]
    fn a_certificate_is_kept_until_two_thirds_of_its_life_or_another_authority() {
        let now = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let tier = FleetKey::new("edge", "prod").tier(Tier::NorthSouth);
        let stored = secret_of(&new_authority(&tier, now).unwrap(), "edge", "ca");
        let authority = authority_in(&stored).unwrap();
        let first = leaf(&tier, &authority, None, now).unwrap();
        let secret = channel(&first);
        let at = |days: u32| leaf(&tier, &authority, Some(&secret), now + DAY * days).unwrap();
        assert_eq!(at(59), first);
        assert_ne!(at(61).certificate_pem, first.certificate_pem);

        let other = new_authority(&tier, now).unwrap();
        let reissued = leaf(&tier, &other, Some(&secret), now).unwrap();
        assert_ne!(reissued.certificate_pem, first.certificate_pem);

        let mut broken = secret.clone();
        let key = ByteString(b"\xff\xfe".to_vec());
        broken.data.as_mut().unwrap().insert(PRIVATE_KEY_KEY.to_owned(), key);
        assert_ne!(leaf(&tier, &authority, Some(&broken), now).unwrap().key_pem, first.key_pem);
    }

    #[test]
    fn an_unreadable_authority_says_which_secret() {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some("prod-north-south-channel-ca".to_owned()),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        };
        let error = authority_in(&secret).unwrap_err().to_string();
        assert!(
            error.contains("prod-north-south-channel-ca") && error.contains("delete"),
            "{error}"
        );
    }
}
