//! Virtual hosts.

use std::{collections::BTreeMap, sync::Arc};

use gatefleet_ir::{
    Action, Alternative, Anchor, Backend, Cors, Direct, ErrorService, Filter, HeaderEdit,
    HeaderStepValue, Host, Match, PathMatch, PathRewrite, Policy, Redirect, Regex, Rewrite, Rule,
    Scope, ServiceBackend, ValueCondition, ValueMatch, WeightedBackend,
};
use gatefleet_names::HostPattern;
use gatefleet_snapshot::{
    seal,
    v1::{
        self, Resource, filter, path_match, redirect, regex_match, resource::Body, rule,
        url_rewrite, value_match, weighted_backend,
    },
};

use crate::{backend_name, policy_name, virtual_host_name};

/// A virtual host, and what it names.
#[derive(Clone, Debug, PartialEq)]
pub struct LoweredHost {
    /// The virtual host.
    pub resource: Resource,
    /// The backends that it names, by resource name.
    pub backends: BTreeMap<String, ServiceBackend>,
    /// The policies that it names, by resource name.
    pub policies: BTreeMap<String, Arc<Policy>>,
}

/// The virtual host of `pattern` in `scope`.
#[must_use]
pub fn lower_host(scope: &Scope, pattern: &HostPattern, host: &Host) -> LoweredHost {
    let mut lowering = Lowering::default();
    let rules = host.rules.iter().map(|rule| lowering.rule(rule)).collect();
    let body = v1::VirtualHost {
        scope: scope.to_string(),
        hostname: Some(lower_pattern(pattern)),
        rules,
        matches: host.matches.iter().map(|(rule, said)| lower_match(*rule, said)).collect(),
    };
    let resource = seal(virtual_host_name(scope, pattern), Body::VirtualHost(body));
    LoweredHost { resource, backends: lowering.backends, policies: lowering.policies }
}

/// What is served at `pattern` as well: the rules of the virtual host `of`. `None`: it is no virtual host.
#[must_use]
pub fn lower_alias(scope: &Scope, pattern: &HostPattern, of: &Resource) -> Option<Resource> {
    let Some(Body::VirtualHost(host)) = &of.body else { return None };
    let hostname = Some(lower_pattern(pattern));
    let body = v1::VirtualHost { hostname, ..host.clone() };
    Some(seal(virtual_host_name(scope, pattern), Body::VirtualHost(body)))
}

/// A hostname pattern on the wire.
pub(crate) fn lower_pattern(pattern: &HostPattern) -> v1::HostPattern {
    use v1::host_pattern::Kind;
    let (kind, name) = match pattern {
        HostPattern::Any => (Kind::Any, String::new()),
        HostPattern::Exact(name) => (Kind::Exact, name.to_string()),
        HostPattern::OneLabel(name) => (Kind::OneLabel, name.to_string()),
        HostPattern::Suffix(name) => (Kind::Suffix, name.to_string()),
    };
    v1::HostPattern { kind: kind.into(), name }
}

fn lower_match(rule: usize, said: &Match) -> v1::Match {
    let path = match &said.path {
        PathMatch::Exact(text) => path_match::Kind::Exact(text.clone()),
        PathMatch::Prefix(text) => path_match::Kind::Prefix(text.clone()),
        PathMatch::Regex(regex) => path_match::Kind::Regex(lower_regex(regex)),
    };
    v1::Match {
        rule: u32::try_from(rule).unwrap_or(u32::MAX),
        path: Some(v1::PathMatch { kind: Some(path) }),
        method: said.method.clone().unwrap_or_default(),
        headers: said.headers.iter().map(lower_value_match).collect(),
        query: said.query.iter().map(lower_value_match).collect(),
    }
}

fn lower_value_match(said: &ValueMatch) -> v1::ValueMatch {
    let kind = match &said.value {
        ValueCondition::Exact(text) => value_match::Kind::Exact(text.clone()),
        ValueCondition::Regex(regex) => value_match::Kind::Regex(lower_regex(regex)),
        ValueCondition::Present => value_match::Kind::Present(true),
    };
    v1::ValueMatch { name: said.name.clone(), invert: said.invert, kind: Some(kind) }
}

fn lower_regex(said: &Regex) -> v1::RegexMatch {
    let anchor = match said.anchor {
        Anchor::None => regex_match::Anchor::None,
        Anchor::Start => regex_match::Anchor::Start,
        Anchor::Full => regex_match::Anchor::Full,
    };
    v1::RegexMatch {
        pattern: said.pattern.clone(),
        ignore_case: said.ignore_case,
        anchor: anchor.into(),
    }
}

/// Remembers what is named on the way.
#[derive(Default)]
pub(crate) struct Lowering {
    backends: BTreeMap<String, ServiceBackend>,
    policies: BTreeMap<String, Arc<Policy>>,
}

impl Lowering {
    fn rule(&mut self, said: &Rule) -> v1::Rule {
        let action = match &said.action {
            Action::Forward(forward) => rule::Action::Forward(v1::Forward {
                backends: self.weighted(&forward.backends),
                alternatives: forward
                    .alternatives
                    .iter()
                    .map(|one| self.alternative(one))
                    .collect(),
            }),
            Action::Redirect(redirect) => rule::Action::Redirect(lower_redirect(redirect)),
            Action::Direct(direct) => rule::Action::Direct(lower_direct(direct)),
        };
        v1::Rule {
            name: said.name.clone(),
            filters: self.filters(&said.filters),
            policies: said.policies.iter().map(|policy| self.policy(policy)).collect(),
            action: Some(action),
            timeouts: lower_timeouts(said),
            retry: said.retry.as_ref().map(lower_retry),
            max_request_body_bytes: said.body_bytes,
            errors: said.errors.as_ref().map(|errors| self.errors(errors)),
        }
    }

    fn errors(&mut self, said: &ErrorService) -> v1::ErrorService {
        v1::ErrorService {
            backend: self.backend(&said.backend),
            statuses: said.statuses.iter().copied().map(u32::from).collect(),
            no_endpoints: said.no_endpoints,
            headers: lower_pairs(&said.headers),
        }
    }

    fn policy(&mut self, said: &Arc<Policy>) -> String {
        let name = policy_name(said);
        self.policies.insert(name.clone(), Arc::clone(said));
        name
    }

    fn backend(&mut self, said: &ServiceBackend) -> String {
        let name = backend_name(said);
        self.backends.insert(name.clone(), said.clone());
        name
    }

    pub(crate) fn weighted(&mut self, said: &[WeightedBackend]) -> Vec<v1::WeightedBackend> {
        let mut lower = |one: &WeightedBackend| v1::WeightedBackend {
            weight: one.weight.get(),
            target: Some(match &one.backend {
                Backend::Service(service) => {
                    weighted_backend::Target::Backend(self.backend(service))
                }
                Backend::Invalid { status, reason } => {
                    weighted_backend::Target::Unavailable(lower_direct(&Direct {
                        status: *status,
                        reason,
                    }))
                }
            }),
            filters: self.filters(&one.filters),
        };
        said.iter().map(&mut lower).collect()
    }

    fn alternative(&mut self, said: &Alternative) -> v1::Alternative {
        let mut lowered = v1::Alternative {
            backends: self.weighted(&said.backends),
            cookie: said.cookie.clone().unwrap_or_default(),
            weight: said.weight,
            weight_total: said.weight_total,
            ..v1::Alternative::default()
        };
        if let Some(step) = &said.header {
            lowered.header.clone_from(&step.name);
            match &step.value {
                HeaderStepValue::AlwaysOrNever => {}
                HeaderStepValue::Exact(value) => lowered.header_value.clone_from(value),
                HeaderStepValue::Pattern(regex) => {
                    lowered.header_pattern = Some(lower_regex(regex));
                }
            }
        }
        lowered
    }

    fn filters(&mut self, said: &[Filter]) -> Vec<v1::Filter> {
        said.iter().map(|filter| v1::Filter { kind: Some(self.filter(filter)) }).collect()
    }

    fn filter(&mut self, said: &Filter) -> filter::Kind {
        match said {
            Filter::RequestHeaders(edit) => filter::Kind::RequestHeaders(lower_headers(edit)),
            Filter::ResponseHeaders(edit) => filter::Kind::ResponseHeaders(lower_headers(edit)),
            Filter::Rewrite(rewrite) => filter::Kind::UrlRewrite(lower_rewrite(rewrite)),
            Filter::Redirect(redirect) => filter::Kind::Redirect(lower_redirect(redirect)),
            Filter::Cors(cors) => filter::Kind::Cors(lower_cors(cors)),
            Filter::Mirror { backend, share: (numerator, denominator) } => {
                filter::Kind::Mirror(v1::Mirror {
                    backend: self.backend(backend),
                    numerator: *numerator,
                    denominator: *denominator,
                })
            }
        }
    }

    pub(crate) fn into_backends(self) -> BTreeMap<String, ServiceBackend> {
        self.backends
    }
}

fn lower_headers(said: &HeaderEdit) -> v1::HeaderEdit {
    v1::HeaderEdit {
        set: lower_pairs(&said.set),
        add: lower_pairs(&said.add),
        remove: said.remove.clone(),
    }
}

fn lower_pairs(pairs: &[(String, String)]) -> Vec<v1::Header> {
    let header =
        |(name, value): &(String, String)| v1::Header { name: name.clone(), value: value.clone() };
    pairs.iter().map(header).collect()
}

fn lower_rewrite(said: &Rewrite) -> v1::UrlRewrite {
    let path = said.path.as_ref().map(|path| match path {
        PathRewrite::Full(text) => url_rewrite::Path::Full(text.clone()),
        PathRewrite::Prefix(text) => url_rewrite::Path::Prefix(text.clone()),
        PathRewrite::Regex { regex, substitution } => url_rewrite::Path::Regex(v1::RegexRewrite {
            r#match: Some(lower_regex(regex)),
            substitution: substitution.clone(),
        }),
    });
    v1::UrlRewrite { host: said.host.clone(), path }
}

fn lower_cors(said: &Cors) -> v1::Cors {
    v1::Cors {
        allow_origins: said.origins.clone(),
        allow_methods: said.methods.clone(),
        allow_headers: said.headers.clone(),
        expose_headers: said.expose.clone(),
        allow_credentials: said.credentials,
        max_age_seconds: said.max_age,
    }
}

fn lower_redirect(said: &Redirect) -> v1::Redirect {
    v1::Redirect {
        status: said.status.into(),
        scheme: said.scheme.clone(),
        host: said.host.clone(),
        port: said.port.into(),
        path: lower_redirect_path(said),
        only_plaintext: said.only_plaintext,
        trim_slash: said.trim_slash,
    }
}

fn lower_redirect_path(said: &Redirect) -> Option<redirect::Path> {
    if !said.location.is_empty() {
        return Some(redirect::Path::Location(said.location.clone()));
    }
    (!said.path.is_empty()).then(|| redirect::Path::Full(said.path.clone()))
}

fn lower_direct(said: &Direct) -> v1::DirectResponse {
    v1::DirectResponse {
        status: said.status.into(),
        reason: said.reason.to_owned(),
        ..v1::DirectResponse::default()
    }
}

fn lower_timeouts(said: &Rule) -> Option<v1::Timeouts> {
    let timeouts = said.timeouts;
    (timeouts != gatefleet_ir::RuleTimeouts::default()).then(|| v1::Timeouts {
        request_ms: timeouts.request,
        idle_ms: timeouts.idle,
        upstream_connect_ms: timeouts.connect,
        upstream_read_ms: timeouts.read,
        upstream_send_ms: timeouts.send,
        ..v1::Timeouts::default()
    })
}

fn lower_retry(said: &gatefleet_ir::Retry) -> v1::Retry {
    v1::Retry {
        attempts: said.attempts,
        statuses: said.statuses.iter().copied().map(u32::from).collect(),
        connect_failure: said.connect_failure,
        reset: said.reset,
        timeout: said.timeout,
        malformed: said.malformed,
        non_idempotent: said.non_idempotent,
        total_ms: said.total,
        ..v1::Retry::default()
    }
}
