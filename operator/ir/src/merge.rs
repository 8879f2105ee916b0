//! Many claims become one host.

use std::collections::{BTreeMap, BTreeSet};

use gatefleet_names::{HostPattern, ObjectKey};

use crate::{
    Action, Claim, Claimant, Diagnostic, Direct, Filter, HostSettings, Language, Match, PathMatch,
    Reason, Redirect, RootClaim, Rule, RuleClaim, SideHost, TlsRedirect,
    precedence::{Candidate, falls_through, ordered},
};

/// The rules of one hostname in one scope, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// In the order of their first match.
    pub rules: Vec<Rule>,
    /// In the order of precedence; the index is into `rules`.
    pub matches: Vec<(usize, Match)>,
    /// Everybody who says something about this hostname, in vain or not.
    pub claimants: BTreeSet<Claimant>,
    /// Those of whom at least one rule or alternative holds.
    pub served: BTreeSet<ObjectKey>,
    /// Other hostnames that it asks for, the oldest object's first.
    pub side_hosts: Vec<(Claimant, SideHost)>,
}

/// A host, and what must be told to whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// `None`: nobody owns the hostname.
    pub host: Option<Host>,
    /// To those whose word does not hold.
    pub diagnostics: Vec<Diagnostic>,
}

/// What all claims for one hostname in one scope come to, whatever their order.
#[must_use]
pub fn merge<'a, Claims>(pattern: &HostPattern, claims: Claims) -> Merged
where
    Claims: IntoIterator<Item = &'a Claim>,
{
    let mut claims: Vec<&Claim> = claims.into_iter().collect();
    claims.sort_by(|one, other| one.claimant.cmp(&other.claimant));
    let settings = settings(&claims);
    let mut building = Building::default();
    if claims.iter().any(|claim| claim.owns_host) {
        building.add_root(&claims);
        for candidate in ordered(&claims, settings.regex) {
            building.add(candidate, settings);
        }
    }
    for claim in &claims {
        building.add_alternatives(pattern, claim);
    }
    building.finish(pattern, &claims)
}

fn settings(claims: &[&Claim]) -> HostSettings {
    claims.iter().fold(HostSettings::default(), |sum, claim| HostSettings {
        tls: sum.tls || claim.settings.tls,
        regex: sum.regex || claim.settings.regex,
    })
}

#[derive(Default)]
struct Building<'a> {
    rules: Vec<Rule>,
    /// By address: which rule of which claim has which index.
    index: BTreeMap<(&'a Claimant, *const RuleClaim), usize>,
    matches: Vec<(usize, Match)>,
    winners: BTreeMap<Match, (&'a Claimant, &'a RuleClaim)>,
    /// As said by Ingresses, for their canaries.
    primaries: BTreeMap<&'a PathMatch, usize>,
    served: BTreeSet<ObjectKey>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Building<'a> {
    /// The oldest object's word for `/` is asked before every rule.
    fn add_root(&mut self, claims: &[&'a Claim]) {
        let mut said = claims.iter().filter_map(|claim| Some((claim, claim.root.as_ref()?)));
        let Some((first, root)) = said.next() else { return };
        self.matches.push((self.rules.len(), Match::path(PathMatch::Exact("/".to_owned()))));
        self.rules.push(root_rule(root));
        self.served.insert(first.claimant.object.clone());
        for (claim, other) in said.filter(|(_, other)| other.redirect != root.redirect) {
            self.diagnostics.push(Diagnostic::new(
                &claim.claimant.object,
                &other.field,
                Reason::RouteConflict,
                format!(
                    "the older {} sends \"/\" of this host elsewhere: remove it from one of the two",
                    first.claimant.object
                ),
            ));
        }
    }

    fn add(&mut self, candidate: Candidate<'a>, settings: HostSettings) {
        let Candidate { claim, rule, said, served, .. } = candidate;
        if let Some((winner, winning)) = self.winners.get(&served) {
            // A default backend takes what no rule takes: that a rule takes everything is no conflict.
            let is_left_over = rule.fallback && !winning.fallback;
            if !is_left_over {
                self.diagnostics.push(conflict(claim, rule, winner, winning));
            }
            return;
        }
        let rules = &mut self.rules;
        let index =
            *self.index.entry((&claim.claimant, std::ptr::from_ref(rule))).or_insert_with(|| {
                rules.push(with_tls_redirect(rule, settings));
                rules.len() - 1
            });
        if claim.language == Language::Ingress {
            self.primaries.entry(&said.path).or_insert(index);
        }
        self.served.insert(claim.claimant.object.clone());
        self.winners.insert(served.clone(), (&claim.claimant, rule));
        self.matches.push((index, served));
    }

    fn add_alternatives(&mut self, pattern: &HostPattern, claim: &'a Claim) {
        for said in &claim.alternatives {
            let primary = self.primaries.get(&said.at.path).copied();
            match primary.and_then(|index| self.rules.get_mut(index)).map(|rule| &mut rule.action) {
                Some(Action::Forward(forward)) => {
                    forward.alternatives.push(said.alternative.clone());
                    self.served.insert(claim.claimant.object.clone());
                }
                _ => self.diagnostics.push(Diagnostic::new(
                    &claim.claimant.object,
                    &said.field,
                    Reason::CanaryWithoutPrimary,
                    format!(
                        "host {pattern} has no rule with {} for this canary to stand beside: \
                         give both the same host, path and pathType, or create the primary Ingress",
                        describe(&said.at.path)
                    ),
                )),
            }
        }
    }

    fn finish(mut self, pattern: &HostPattern, claims: &[&Claim]) -> Merged {
        self.diagnostics.sort();
        let owners = || claims.iter().filter(|claim| claim.owns_host);
        if owners().next().is_none() {
            return Merged { host: None, diagnostics: self.diagnostics };
        }
        let only_ingress = owners().all(|claim| claim.language == Language::Ingress);
        let open = !self.matches.iter().any(|(_, served)| served.is_everything());
        if only_ingress && open && falls_through(pattern) {
            self.matches.push((self.rules.len(), Match::path(PathMatch::prefix("/"))));
            self.rules.push(not_found());
        }
        let claimants = claims.iter().map(|claim| claim.claimant.clone()).collect();
        let Self { rules, matches, served, diagnostics, .. } = self;
        let side_hosts = claims.iter().flat_map(|claim| {
            claim.side_hosts.iter().map(|side| (claim.claimant.clone(), side.clone()))
        });
        let side_hosts = side_hosts.collect();
        Merged { host: Some(Host { rules, matches, claimants, served, side_hosts }), diagnostics }
    }
}

fn with_tls_redirect(said: &RuleClaim, settings: HostSettings) -> Rule {
    let mut rule = said.rule.clone();
    let redirect = match said.tls_redirect {
        TlsRedirect::Never => None,
        TlsRedirect::IfHostHasTls { trim_slash } => settings.tls.then_some(trim_slash),
        TlsRedirect::Always { trim_slash } => Some(trim_slash),
    };
    if let Some(trim_slash) = redirect {
        rule.filters.insert(0, Filter::Redirect(Redirect::to_https(trim_slash)));
    }
    rule
}

fn root_rule(root: &RootClaim) -> Rule {
    Rule {
        name: root.name.clone(),
        filters: Vec::new(),
        policies: Vec::new(),
        action: Action::Redirect(root.redirect.clone()),
        timeouts: crate::RuleTimeouts::default(),
        retry: None,
        errors: None,
        body_bytes: 0,
    }
}

/// As in nginx, a host of Ingresses never falls through to a less specific one.
fn not_found() -> Rule {
    Rule {
        name: "not-found".to_owned(),
        filters: Vec::new(),
        policies: Vec::new(),
        action: Action::Direct(Direct { status: 404, reason: "NoRoute" }),
        timeouts: crate::RuleTimeouts::default(),
        retry: None,
        errors: None,
        body_bytes: 0,
    }
}

fn conflict(claim: &Claim, rule: &RuleClaim, winner: &Claimant, winning: &RuleClaim) -> Diagnostic {
    let path = rule.matches.first().map(|said| describe(&said.path)).unwrap_or_default();
    let (who, remedy) = if winner.object == claim.claimant.object {
        (format!("{} of this object", winning.field), "remove one of the two")
    } else {
        (
            format!("the older {}", winner.object),
            "change the path, or remove it from one of the two",
        )
    };
    Diagnostic::new(
        &claim.claimant.object,
        &rule.field,
        Reason::RouteConflict,
        format!("{path} of this host is already claimed by {who}: {remedy}"),
    )
}

fn describe(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(text) => format!("Exact path {text:?}"),
        PathMatch::Prefix(text) => format!("Prefix path {text:?}"),
        PathMatch::Regex(regex) => format!("path expression {:?}", regex.pattern),
    }
}
