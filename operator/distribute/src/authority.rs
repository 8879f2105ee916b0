//! Certificates of the channel.
//!
//! There are two sorts of authority. Each tier has its own, which signs the one client certificate that the
//! tier's proxies share; the server believes it for that tier alone. One for the whole operator signs the
//! servers' certificates; its certificate is the `ca.crt` in every tier's Secret. So a tier's key can neither
//! speak for another tier nor play the server.

use std::time::{Duration, SystemTime};

use gatefleet_names::TierKey;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use x509_parser::{certificate::X509Certificate, pem::Pem, prelude::FromDer};

use crate::SERVER_NAME;

/// Life of a leaf; the holder renews it at two thirds.
const LEAF_LIFE: Duration = Duration::from_hours(90 * 24);
/// Life of an authority.
const AUTHORITY_LIFE: Duration = Duration::from_hours(10 * 365 * 24);
/// Clocks of nodes differ: a certificate is valid a little before it was made.
const SKEW: Duration = Duration::from_hours(1);

/// Why a certificate or a key could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// A new one could not be made.
    #[error("make channel certificate of {subject}: {problem}")]
    Make {
        /// Whose.
        subject: String,
        /// Why.
        problem: String,
    },
    /// One that is stored could not be read.
    #[error("read channel certificate: {0}; delete the Secret to have it made again")]
    Read(String),
}

/// A CA with its key.
pub struct ChannelAuthority {
    certificate_pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for ChannelAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelAuthority")
            .field("certificate", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// A certificate with its key, in PEM: the `tls.crt` and `tls.key` of a Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedLeaf {
    /// The leaf alone: its issuer is what verifiers already have.
    pub certificate_pem: String,
    /// PKCS#8.
    pub key_pem: String,
}

impl std::fmt::Debug for IssuedLeaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedLeaf")
            .field("certificate", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

impl ChannelAuthority {
    /// A new CA (ECDSA P-256, ten years) under `common_name`, such as `TierKey`'s text.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn generate(common_name: &str, now: SystemTime) -> Result<Self, AuthorityError> {
        let make = |error: rcgen::Error| AuthorityError::Make {
            subject: common_name.to_owned(),
            problem: error.to_string(),
        };
        let key = KeyPair::generate().map_err(make)?;
        let mut params = params(common_name, now, AUTHORITY_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(make)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// One that was kept in a Secret.
    ///
    /// # Errors
    ///
    /// When either text is no PEM of its kind, or they do not belong together.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, AuthorityError> {
        let read = |error: rcgen::Error| AuthorityError::Read(error.to_string());
        let key = KeyPair::from_pem(key_pem).map_err(read)?;
        let public = with_certificate(certificate_pem, |certificate| {
            certificate.is_ca().then(|| certificate.public_key().raw.to_vec())
        })?;
        let public = public.ok_or_else(|| AuthorityError::Read("it is not a CA".to_owned()))?;
        if rcgen::PublicKeyData::subject_public_key_info(&key) != public {
            return Err(AuthorityError::Read("key and certificate do not belong together".into()));
        }
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(read)?;
        Ok(Self { certificate_pem: certificate_pem.into(), key_pem: key_pem.into(), issuer })
    }

    /// The CA's certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The CA's key (PKCS#8): for its Secret alone, never mounted.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate that the proxies of `tier` share: 90 days, identity `TierKey::identity`.
    ///
    /// # Errors
    ///
    /// When the system has no randomness, or the identity is no IA5 string.
    pub fn issue_client(
        &self,
        tier: &TierKey,
        now: SystemTime,
    ) -> Result<IssuedLeaf, AuthorityError> {
        let subject = tier.to_string();
        let uri = tier.identity().try_into();
        let uri = uri.map_err(|error: rcgen::Error| AuthorityError::Make {
            subject: subject.clone(),
            problem: error.to_string(),
        })?;
        self.issue(&subject, SanType::URI(uri), ExtendedKeyUsagePurpose::ClientAuth, now)
    }

    /// A certificate for [`SERVER_NAME`]: 90 days.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn issue_server(&self, now: SystemTime) -> Result<IssuedLeaf, AuthorityError> {
        let name = SERVER_NAME.try_into();
        let name = name.map_err(|error: rcgen::Error| AuthorityError::Make {
            subject: SERVER_NAME.to_owned(),
            problem: error.to_string(),
        })?;
        self.issue(SERVER_NAME, SanType::DnsName(name), ExtendedKeyUsagePurpose::ServerAuth, now)
    }

    fn issue(
        &self,
        subject: &str,
        name: SanType,
        purpose: ExtendedKeyUsagePurpose,
        now: SystemTime,
    ) -> Result<IssuedLeaf, AuthorityError> {
        let make = |error: rcgen::Error| AuthorityError::Make {
            subject: subject.to_owned(),
            problem: error.to_string(),
        };
        let key = KeyPair::generate().map_err(make)?;
        let mut params = params(subject, now, LEAF_LIFE);
        params.subject_alt_names = vec![name];
        params.extended_key_usages = vec![purpose];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(make)?;
        Ok(IssuedLeaf { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn params(common_name: &str, now: SystemTime, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // RFC 5280 bounds a common name to 64 characters; the identity is the alternative name anyway.
    name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    params.distinguished_name = name;
    params.not_before = (now - SKEW).into();
    params.not_after = (now + life).into();
    params
}

/// Whether two thirds of a certificate's life are over, or it cannot be read.
#[must_use]
pub fn needs_renewal(certificate_pem: &str, now: SystemTime) -> bool {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let due = with_certificate(certificate_pem, |certificate| {
        let validity = certificate.validity();
        let (start, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        start.saturating_add(end.saturating_sub(start) / 3 * 2)
    });
    due.map_or(true, |due| u64::try_from(due).is_ok_and(|due| due <= now))
}

fn with_certificate<T>(
    pem: &str,
    read: impl FnOnce(&X509Certificate<'_>) -> T,
) -> Result<T, AuthorityError> {
    let wrong = |problem: String| AuthorityError::Read(problem);
    let first = Pem::iter_from_buffer(pem.as_bytes()).next();
    let first = first.ok_or_else(|| wrong("there is no PEM block".to_owned()))?;
    let first = first.map_err(|error| wrong(error.to_string()))?;
    let (_, certificate) =
        X509Certificate::from_der(&first.contents).map_err(|error| wrong(error.to_string()))?;
    Ok(read(&certificate))
}

#[cfg(test)]
mod tests {
    use gatefleet_names::{FleetKey, Tier};

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn tier() -> TierKey {
        FleetKey::new("edge", "prod").tier(Tier::NorthSouth)
    }

    #[test]
    fn an_authority_survives_its_secret() {
        let now = SystemTime::now();
        let made = ChannelAuthority::generate("edge/prod", now).unwrap();
        let read = ChannelAuthority::from_pem(made.certificate_pem(), made.key_pem()).unwrap();
        let leaf = read.issue_client(&tier(), now).unwrap();
        let trust = crate::trust::Trust::default();
        trust.set(&tier(), made.certificate_pem()).unwrap();
        let der = Pem::iter_from_buffer(leaf.certificate_pem.as_bytes()).next().unwrap().unwrap();
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let verified = rustls::server::danger::ClientCertVerifier::verify_client_cert(
            &trust,
            &der.contents.into(),
            &[],
            rustls::pki_types::UnixTime::since_unix_epoch(seconds),
        );
        assert!(verified.is_ok(), "{verified:?}");
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        let now = SystemTime::now();
        let (one, two) = (
            ChannelAuthority::generate("one", now).unwrap(),
            ChannelAuthority::generate("two", now).unwrap(),
        );
        let leaf = one.issue_client(&tier(), now).unwrap();
        for (certificate, key, wanted) in [
            ("", one.key_pem(), "no PEM block"),
            (one.certificate_pem(), "", "read channel certificate"),
            (one.certificate_pem(), two.key_pem(), "do not belong together"),
            (&leaf.certificate_pem, &leaf.key_pem, "not a CA"),
        ] {
            let said = ChannelAuthority::from_pem(certificate, key).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
    }

    #[test]
    fn a_leaf_is_renewed_at_two_thirds_of_its_life() {
        let now = SystemTime::now();
        let authority = ChannelAuthority::generate("edge/prod", now).unwrap();
        for leaf in [authority.issue_client(&tier(), now), authority.issue_server(now)] {
            let leaf = leaf.unwrap().certificate_pem;
            assert!(!needs_renewal(&leaf, now));
            assert!(!needs_renewal(&leaf, now + 59 * DAY));
            assert!(needs_renewal(&leaf, now + 61 * DAY));
            assert!(needs_renewal(&leaf, now + 200 * DAY));
        }
        assert!(!needs_renewal(authority.certificate_pem(), now + 365 * DAY));
        assert!(needs_renewal("", now));
    }

    #[test]
    fn keys_never_show_in_debug_output() {
        let now = SystemTime::now();
        let authority = ChannelAuthority::generate("edge/prod", now).unwrap();
        let leaf = authority.issue_client(&tier(), now).unwrap();
        let shown = format!("{authority:?} {leaf:?}");
        assert!(shown.contains("BEGIN CERTIFICATE") && !shown.contains("PRIVATE"), "{shown}");
    }
}
