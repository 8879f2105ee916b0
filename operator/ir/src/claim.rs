//! Claims: what one object says for one (scope, hostname).

use std::{fmt, sync::Arc};

use gatefleet_names::{HostPattern, ObjectKey};

use crate::{
    Action, Alternative, Backend, Match, Policy, Redirect, Rule, ServiceBackend, WeightedBackend,
};

/// Listeners that share virtual hosts and server names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    /// The tier's own HTTP and HTTPS listeners.
    #[must_use]
    pub fn tier() -> Self {
        Self("tier".to_owned())
    }

    /// One listener of a Gateway.
    #[must_use]
    pub fn gateway(namespace: &str, name: &str, listener: &str) -> Self {
        Self(format!("gateway/{namespace}/{name}/{listener}"))
    }

    /// As in resource names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who says it. The order is the order of precedence: the oldest first, then namespace and name ascending.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claimant {
    /// `metadata.creationTimestamp` in seconds since 1970; an object without one (not stored yet) is the youngest.
    pub created: i64,
    /// The object.
    pub object: ObjectKey,
    /// `metadata.generation`; 0 for kinds without one.
    pub generation: i64,
}

/// In which language it is said: merging differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// Equal paths of one host conflict; a host never falls through to a less specific one; regex mode is host-wide.
    Ingress,
    /// Of equal matches the first holds; a request that no rule takes falls through to a less specific host.
    GatewayApi,
}

/// What one object says for one (scope, hostname).
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Who says it.
    pub claimant: Claimant,
    /// In which language.
    pub language: Language,
    /// Whether the hostname exists because of this claim, even without any rule. A canary, or a certificate
    /// alone, does not make a host.
    pub owns_host: bool,
    /// Settings of the whole host.
    pub settings: HostSettings,
    /// In the order in which the object lists them.
    pub rules: Vec<RuleClaim>,
    /// Alternatives to rules of the same path, of whichever object.
    pub alternatives: Vec<AlternativeClaim>,
    /// Where exactly `/` leads to, before every rule.
    pub root: Option<RootClaim>,
    /// Other hostnames that exist because of this one.
    pub side_hosts: Vec<SideHost>,
}

/// Requests for exactly `/` are sent elsewhere, whatever the rules of the host are.
#[derive(Clone, Debug, PartialEq)]
pub struct RootClaim {
    /// Where the object says it.
    pub field: String,
    /// Of the rule that it becomes.
    pub name: String,
    /// Where to.
    pub redirect: Redirect,
}

/// A hostname that exists because of another one, unless somebody's rules declare it.
#[derive(Clone, Debug, PartialEq)]
pub struct SideHost {
    /// Where the object says it.
    pub field: String,
    /// The name.
    pub pattern: HostPattern,
    /// What is served there.
    pub serves: SideService,
}

/// What is served at a [`SideHost`].
#[derive(Clone, Debug, PartialEq)]
pub enum SideService {
    /// The same rules.
    Same,
    /// Every request is redirected.
    Redirect(Redirect),
}

impl Claim {
    /// The backends that it sends requests to.
    pub fn backends(&self) -> impl Iterator<Item = &ServiceBackend> {
        let rules = self.rules.iter().flat_map(|claim| claim.rule.backends());
        let alternatives = self.alternatives.iter().flat_map(|claim| &claim.alternative.backends);
        let forwarded = rules.chain(alternatives).filter_map(|weighted| match &weighted.backend {
            Backend::Service(service) => Some(service),
            Backend::Invalid { .. } => None,
        });
        let errors = self.rules.iter().filter_map(|claim| claim.rule.errors.as_ref());
        forwarded.chain(errors.map(|errors| &errors.backend))
    }

    /// What it demands requests to pass.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.rules.iter().flat_map(|claim| &claim.rule.policies)
    }
}

impl Rule {
    fn backends(&self) -> impl Iterator<Item = &WeightedBackend> {
        let forward = match &self.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Direct(_) => None,
        };
        forward.into_iter().flat_map(|forward| &forward.backends)
    }
}

/// What holds for every rule of the host, whoever said it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Somebody declares TLS for this hostname (whether its certificate is usable or not).
    pub tls: bool,
    /// Every path of an Ingress is a regular expression (nginx's host-wide regex mode).
    pub regex: bool,
}

/// One rule with its matches.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleClaim {
    /// Where the object says it: `spec.rules[0].http.paths[1]`.
    pub field: String,
    /// Any of them leads to the rule.
    pub matches: Vec<Match>,
    /// What happens.
    pub rule: Rule,
    /// When plaintext requests are redirected to HTTPS.
    pub tls_redirect: TlsRedirect,
    /// The path as a regular expression, for hosts in regex mode. `None`: the mode does not concern it.
    pub regex_form: Option<RegexForm>,
    /// It takes what no explicit rule of the same path takes (a default backend).
    pub fallback: bool,
}

/// What a path becomes in a host in regex mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexForm {
    /// As the object writes it; longer ones are asked first, then larger ones.
    pub text: String,
    /// The expression, fitting from the start and ignoring case.
    pub pattern: String,
}

/// When plaintext requests are redirected to HTTPS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsRedirect {
    /// Never.
    #[default]
    Never,
    /// If the host has TLS.
    IfHostHasTls {
        /// Without one trailing slash.
        trim_slash: bool,
    },
    /// Always.
    Always {
        /// Without one trailing slash.
        trim_slash: bool,
    },
}

/// A canary: it stands beside the rule of equal path.
#[derive(Clone, Debug, PartialEq)]
pub struct AlternativeClaim {
    /// Where the object says it.
    pub field: String,
    /// The path that the rule must have: equal kind and text.
    pub at: Match,
    /// When it takes a request, and where it sends it.
    pub alternative: Alternative,
}
