//! Hostnames that exist because of others: aliases, and names that only redirect.

use std::collections::{BTreeMap, BTreeSet};

use gatefleet_names::HostPattern;

use crate::{
    Action, Claimant, Diagnostic, Host, Match, PathMatch, Reason, Redirect, Rule, RuleTimeouts,
    SideHost,
};

/// Who gets which name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SideHosts<'a> {
    /// The host that asks for the name, who says so, and what is served there.
    pub granted: BTreeMap<&'a HostPattern, (&'a HostPattern, &'a Claimant, &'a SideHost)>,
    /// To those who ask in vain.
    pub diagnostics: Vec<Diagnostic>,
}

/// Settles who gets the names that `hosts` ask for: nobody, where `is_declared`; else the oldest object, and of
/// equals the first host.
#[must_use]
pub fn settle_side_hosts<'a, Hosts>(
    hosts: Hosts,
    is_declared: impl Fn(&HostPattern) -> bool,
) -> SideHosts<'a>
where
    Hosts: IntoIterator<Item = (&'a HostPattern, &'a Claimant, &'a SideHost)>,
{
    let mut asked: Vec<_> = hosts.into_iter().collect();
    asked.sort_by_key(|(host, claimant, side)| (*claimant, *host, &side.pattern));
    let mut settled = SideHosts::default();
    for one @ (host, claimant, side) in asked {
        let holder = settled.granted.get(&side.pattern);
        let refusal = match holder {
            None if is_declared(&side.pattern) => Some("a rule declares this host".to_owned()),
            None => None,
            Some((other, _, same)) if *other == host && same.serves == side.serves => continue,
            Some((other, older, _)) => Some(format!("{} uses it for host {other}", older.object)),
        };
        match refusal {
            None => {
                settled.granted.insert(&side.pattern, one);
            }
            Some(why) => settled.diagnostics.push(Diagnostic::new(
                &claimant.object,
                &side.field,
                Reason::AliasConflict,
                format!("{} for host {host} is not served: {why}; use the name once", side.pattern),
            )),
        }
    }
    settled.diagnostics.sort();
    settled
}

/// A host that redirects every request.
#[must_use]
pub fn redirect_host(claimant: &Claimant, redirect: Redirect) -> Host {
    let object = &claimant.object;
    let rule = Rule {
        name: format!("{}/{}/{}/redirect", object.kind, object.namespace, object.name),
        filters: Vec::new(),
        policies: Vec::new(),
        action: Action::Redirect(redirect),
        timeouts: RuleTimeouts::default(),
        retry: None,
        errors: None,
        body_bytes: 0,
    };
    Host {
        rules: vec![rule],
        matches: vec![(0, Match::path(PathMatch::prefix("/")))],
        claimants: BTreeSet::from([claimant.clone()]),
        served: BTreeSet::from([claimant.object.clone()]),
        side_hosts: Vec::new(),
    }
}
