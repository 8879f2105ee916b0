//! What an Ingress says about its hosts as a whole.

use std::collections::BTreeMap;

use gatefleet_ir::{Claim, Redirect, RootClaim, SideHost, SideService};
use gatefleet_names::HostPattern;

use crate::annotations::HostWide;

/// Adds what `said` says to the claims for hosts that exist because of them; answers which annotations concern none.
pub(super) fn speak_for_hosts(
    claims: &mut BTreeMap<HostPattern, Claim>,
    said: &HostWide,
) -> Vec<&'static str> {
    let mut has_named_host = false;
    let owned = claims.iter_mut().filter(|(_, claim)| claim.owns_host);
    for (host, claim) in owned {
        claim.root = said.app_root.clone().map(|redirect| RootClaim {
            field: annotation_field("app-root"),
            name: format!("{}/app-root", rule_prefix(claim)),
            redirect,
        });
        if *host == HostPattern::Any {
            continue;
        }
        has_named_host = true;
        let aliases = said.aliases.iter().filter(|alias| *alias != host);
        claim.side_hosts = aliases
            .map(|alias| SideHost {
                field: annotation_field("server-alias"),
                pattern: alias.clone(),
                serves: SideService::Same,
            })
            .collect();
        claim.side_hosts.extend(said.www.then(|| counterpart(host)).flatten());
    }
    let asked = [(!said.aliases.is_empty(), "server-alias"), (said.www, "from-to-www-redirect")];
    asked.into_iter().filter(|(asked, _)| *asked && !has_named_host).map(|(_, name)| name).collect()
}

/// `Ingress/NAMESPACE/NAME`
fn rule_prefix(claim: &Claim) -> String {
    let object = &claim.claimant.object;
    format!("Ingress/{}/{}", object.namespace, object.name)
}

/// Where an annotation stands.
pub(super) fn annotation_field(name: &str) -> String {
    format!("metadata.annotations[nginx.ingress.kubernetes.io/{name}]")
}

/// The name with `www.` of one without, and the other way round.
fn counterpart(host: &HostPattern) -> Option<SideHost> {
    let HostPattern::Exact(name) = host else { return None };
    let name = name.as_str();
    let other = name.strip_prefix("www.").map_or_else(|| format!("www.{name}"), str::to_owned);
    let redirect =
        Redirect { status: 308, host: name.to_owned(), trim_slash: true, ..Redirect::default() };
    Some(SideHost {
        field: annotation_field("from-to-www-redirect"),
        pattern: HostPattern::Exact(other.parse().ok()?),
        serves: SideService::Redirect(redirect),
    })
}
