//! Many claims for the certificate of one SNI become one, or one for each kind of key.

use std::collections::{BTreeMap, BTreeSet};

use gatefleet_names::HostPattern;

use crate::{CertificateRef, Claimant, Diagnostic, KeyKind, Reason, TlsClaim};

/// The certificates of one SNI in one scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerName {
    /// By kind of key; each client gets one that it can check.
    pub certificates: BTreeMap<KeyKind, NamedCertificate>,
}

/// A certificate, and everybody who names it for the SNI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCertificate {
    /// Which one.
    pub certificate: CertificateRef,
    /// Who.
    pub claimants: BTreeSet<Claimant>,
}

impl ServerName {
    /// Everybody who names one of the certificates.
    #[must_use]
    pub fn claimants(&self) -> BTreeSet<Claimant> {
        self.certificates.values().flat_map(|named| named.claimants.iter().cloned()).collect()
    }
}

/// A server name, and what must be told to whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MergedServerName {
    /// `None`: nobody names a usable certificate.
    pub server_name: Option<ServerName>,
    /// To those whose certificate is not used.
    pub diagnostics: Vec<Diagnostic>,
}

/// The certificate of the oldest claim whose certificate is usable (a broken Secret harms nobody else), and beside it
/// the oldest with a key of the other kind. The second one comes from the namespace of the first: nobody else may
/// speak to the clients that cannot check the first.
#[must_use]
pub fn merge_server_name<'a, Claims>(
    pattern: &HostPattern,
    claims: Claims,
    key_kind: impl Fn(&CertificateRef) -> Option<KeyKind>,
) -> MergedServerName
where
    Claims: IntoIterator<Item = &'a TlsClaim>,
{
    let claims: BTreeSet<&TlsClaim> = claims.into_iter().collect();
    let usable =
        claims.into_iter().filter_map(|claim| Some((key_kind(&claim.certificate)?, claim)));
    let usable: Vec<(KeyKind, &TlsClaim)> = usable.collect();
    let Some((_, oldest)) = usable.first() else { return MergedServerName::default() };
    let namespace = &oldest.claimant.object.namespace;
    let mut winners: BTreeMap<KeyKind, &TlsClaim> = BTreeMap::new();
    for (kind, claim) in &usable {
        if claim.claimant.object.namespace == *namespace {
            winners.entry(*kind).or_insert(claim);
        }
    }
    let (mut server_name, mut diagnostics) = (ServerName::default(), Vec::new());
    for (kind, claim) in &usable {
        let winner = winners.get(kind).copied().unwrap_or(oldest);
        if winner.certificate == claim.certificate {
            let named = server_name.certificates.entry(*kind).or_insert_with(|| NamedCertificate {
                certificate: winner.certificate.clone(),
                claimants: BTreeSet::new(),
            });
            named.claimants.insert(claim.claimant.clone());
        } else {
            diagnostics.push(conflict(pattern, winner, claim));
        }
    }
    MergedServerName { server_name: Some(server_name), diagnostics }
}

fn conflict(pattern: &HostPattern, winner: &TlsClaim, loser: &TlsClaim) -> Diagnostic {
    let CertificateRef { namespace, name } = &winner.certificate;
    Diagnostic::new(
        loser.object(),
        &loser.field,
        Reason::TlsConflict,
        format!(
            "host {pattern} already has the certificate in Secret {namespace}/{name} by {} (which \
             is older, or of equal age and first by name): name the same Secret, or remove the host from one of the two",
            winner.object()
        ),
    )
}

#[cfg(test)]
mod tests {
    use gatefleet_names::{Kind, ObjectKey};

    use super::*;

    fn claim(namespace: &str, name: &str, secret: &str, created: i64) -> TlsClaim {
        let object = ObjectKey::new(Kind::Ingress, namespace, name);
        TlsClaim {
            claimant: Claimant { created, object, generation: 1 },
            field: "spec.tls[0]".into(),
            certificate: CertificateRef { namespace: namespace.into(), name: secret.into() },
        }
    }

    /// Secrets are named after their keys; others are broken.
    fn kind(certificate: &CertificateRef) -> Option<KeyKind> {
        match certificate.name.split('-').next() {
            Some("rsa") => Some(KeyKind::Rsa),
            Some("ec") => Some(KeyKind::EllipticCurve),
            _ => None,
        }
    }

    fn told(claims: &[TlsClaim]) -> (Vec<String>, Vec<String>) {
        let pattern = HostPattern::parse_ingress("shop.example").unwrap();
        let merged = merge_server_name(&pattern, claims, kind);
        let served = merged.server_name.unwrap_or_default().certificates.into_values();
        let text = |one: &CertificateRef| format!("{}/{}", one.namespace, one.name);
        let losers = merged.diagnostics.iter().map(|one| one.object.name.clone());
        (served.map(|named| text(&named.certificate)).collect(), losers.collect())
    }

    #[test]
    fn each_kind_of_key_has_its_oldest_certificate() {
        let (served, losers) = told(&[
            claim("shop", "young", "ec-young", 3),
            claim("shop", "old", "ec-old", 1),
            claim("shop", "broken", "nothing", 0),
            claim("shop", "other", "rsa-a", 2),
            claim("shop", "same", "rsa-a", 4),
        ]);
        assert_eq!(served, ["shop/ec-old", "shop/rsa-a"]);
        assert_eq!(losers, ["young"]);
    }

    #[test]
    fn another_namespace_adds_no_certificate_of_the_other_kind() {
        let (served, losers) =
            told(&[claim("shop", "a", "ec", 1), claim("mallory", "b", "rsa", 2)]);
        assert_eq!(served, ["shop/ec"]);
        assert_eq!(losers, ["b"]);
    }
}
