//! Many claims for the certificate of one SNI become one.

use std::collections::BTreeSet;

use gatefleet_names::HostPattern;

use crate::{CertificateRef, Claimant, Diagnostic, Reason, TlsClaim};

/// The certificate of one SNI in one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName {
    /// Which one.
    pub certificate: CertificateRef,
    /// Everybody who names it for this SNI.
    pub claimants: BTreeSet<Claimant>,
}

/// A server name, and what must be told to whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MergedServerName {
    /// `None`: nobody names a usable certificate.
    pub server_name: Option<ServerName>,
    /// To those whose certificate is not used.
    pub diagnostics: Vec<Diagnostic>,
}

/// The certificate of the oldest claim whose certificate is usable: a broken Secret harms nobody else.
#[must_use]
pub fn merge_server_name<'a, Claims>(
    pattern: &HostPattern,
    claims: Claims,
    is_usable: impl Fn(&CertificateRef) -> bool,
) -> MergedServerName
where
    Claims: IntoIterator<Item = &'a TlsClaim>,
{
    let claims: BTreeSet<&TlsClaim> = claims.into_iter().collect();
    let usable = || claims.iter().filter(|claim| is_usable(&claim.certificate));
    let Some(winner) = usable().next() else { return MergedServerName::default() };
    let (same, others): (Vec<&TlsClaim>, Vec<&TlsClaim>) =
        usable().copied().partition(|claim| claim.certificate == winner.certificate);
    let diagnostics = others.into_iter().map(|loser| conflict(pattern, winner, loser)).collect();
    let claimants = same.into_iter().map(|claim| claim.claimant.clone()).collect();
    let server_name = ServerName { certificate: winner.certificate.clone(), claimants };
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
