//! Which capabilities a resource needs.
//!
//! A resource carries the capabilities that serving it as it is meant needs; a proxy that lacks one refuses the
//! resource.

use std::collections::BTreeSet;

use crate::capability;
use crate::v1::{
    Backend, Filter, Forward, Listener, Match, Policy, Protocol, Redirect, Resource, Rule, Tier,
    VirtualHost, WeightedBackend, backend, filter, listener_tls, path_match, policy, redirect,
    resource::Body, rule, url_rewrite, value_match,
};

type Needs = BTreeSet<&'static str>;

/// What a proxy must know to serve `resource` as it is meant, from its content (the field `capabilities` is
/// not read).
#[must_use]
pub fn required_capabilities(resource: &Resource) -> Needs {
    let mut needs = Needs::new();
    match &resource.body {
        Some(Body::Tier(tier)) => add_tier(tier, &mut needs),
        Some(Body::Listener(listener)) => add_listener(listener, &mut needs),
        Some(Body::VirtualHost(host)) => add_virtual_host(host, &mut needs),
        Some(Body::Backend(backend)) => add_backend(backend, &mut needs),
        Some(Body::Policy(policy)) => add_policy(policy, &mut needs),
        Some(
            Body::ServerName(_) | Body::Endpoints(_) | Body::Certificate(_) | Body::TrustBundle(_),
        )
        | None => {}
    }
    needs
}

fn add_tier(tier: &Tier, needs: &mut Needs) {
    if tier.client_ip.as_ref().is_some_and(|detection| detection.proxy_protocol) {
        needs.insert(capability::PROXY_PROTOCOL);
    }
}

fn add_listener(listener: &Listener, needs: &mut Needs) {
    match listener.protocol() {
        Protocol::Tls => needs.insert(capability::LISTENER_TLS),
        Protocol::Tcp => needs.insert(capability::LISTENER_TCP),
        Protocol::Udp => needs.insert(capability::LISTENER_UDP),
        Protocol::Unspecified | Protocol::Http | Protocol::Https => false,
    };
    if !listener.policies.is_empty() {
        needs.insert(capability::LISTENER_POLICIES);
    }
    if let Some(tls) = &listener.tls {
        if tls.mode() == listener_tls::Mode::Passthrough {
            needs.insert(capability::LISTENER_TLS);
        }
        if tls.client_validation.is_some() {
            needs.insert(capability::LISTENER_CLIENT_VALIDATION);
        }
    }
    for route in &listener.l4_routes {
        add_weighted(&route.backends, needs);
    }
}

fn add_virtual_host(host: &VirtualHost, needs: &mut Needs) {
    for rule in &host.rules {
        add_rule(rule, needs);
    }
    if host.matches.iter().any(uses_regex) {
        needs.insert(capability::MATCH_REGEX);
    }
}

fn uses_regex(condition: &Match) -> bool {
    let path = condition.path.as_ref().and_then(|path| path.kind.as_ref());
    matches!(path, Some(path_match::Kind::Regex(_)))
        || condition
            .headers
            .iter()
            .chain(&condition.query)
            .any(|value| matches!(value.kind, Some(value_match::Kind::Regex(_))))
}

fn add_rule(rule: &Rule, needs: &mut Needs) {
    add_filters(&rule.filters, needs);
    if let Some(rule::Action::Forward(forward)) = &rule.action {
        add_forward(forward, needs);
    }
    if let Some(rule::Action::Redirect(redirect)) = &rule.action {
        add_redirect(redirect, needs);
    }
    if let Some(retry) = &rule.retry {
        if !retry.statuses.is_empty() {
            needs.insert(capability::RETRY_STATUS);
        }
        if retry.timeout || retry.malformed || retry.total_ms > 0 {
            needs.insert(capability::RETRY_TIMEOUT);
        }
    }
    if rule.errors.is_some() {
        needs.insert(capability::ERRORS);
    }
    let timeouts = rule.timeouts.unwrap_or_default();
    if timeouts.upstream_read_ms > 0 || timeouts.upstream_send_ms > 0 {
        needs.insert(capability::TIMEOUTS_UPSTREAM);
    }
}

fn add_redirect(redirect: &Redirect, needs: &mut Needs) {
    if matches!(redirect.path, Some(redirect::Path::Location(_))) {
        needs.insert(capability::REDIRECT_LOCATION);
    }
}

fn add_forward(forward: &Forward, needs: &mut Needs) {
    add_weighted(&forward.backends, needs);
    for alternative in &forward.alternatives {
        needs.insert(capability::ALTERNATIVES);
        add_weighted(&alternative.backends, needs);
    }
}

fn add_weighted(backends: &[WeightedBackend], needs: &mut Needs) {
    for backend in backends {
        add_filters(&backend.filters, needs);
    }
}

fn add_filters(filters: &[Filter], needs: &mut Needs) {
    for filter in filters {
        match &filter.kind {
            Some(filter::Kind::Mirror(_)) => {
                needs.insert(capability::MIRROR);
            }
            Some(filter::Kind::Cors(_)) => {
                needs.insert(capability::CORS);
            }
            Some(filter::Kind::Redirect(redirect)) => add_redirect(redirect, needs),
            Some(filter::Kind::UrlRewrite(rewrite)) => {
                if matches!(rewrite.path, Some(url_rewrite::Path::Regex(_))) {
                    needs.insert(capability::REWRITE_REGEX);
                }
            }
            Some(filter::Kind::RequestHeaders(_) | filter::Kind::ResponseHeaders(_)) | None => {}
        }
    }
}

fn add_backend(backend: &Backend, needs: &mut Needs) {
    match backend.app_protocol() {
        backend::AppProtocol::H2c => needs.insert(capability::BACKEND_H2C),
        backend::AppProtocol::Auto => needs.insert(capability::BACKEND_ALPN),
        backend::AppProtocol::Http1 => false,
    };
    let asked = [
        (!backend.dns.is_empty(), capability::BACKEND_DNS),
        (!backend.subset.is_empty(), capability::BACKEND_SUBSET),
        (backend.balance() == backend::Balance::LeastRequest, capability::BACKEND_LEAST_REQUEST),
        (
            backend.tls.as_ref().is_some_and(|tls| !tls.client_certificate.is_empty()),
            capability::BACKEND_CLIENT_CERTIFICATE,
        ),
    ];
    needs.extend(asked.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| name));
}

fn add_policy(policy: &Policy, needs: &mut Needs) {
    match &policy.kind {
        Some(policy::Kind::SourceRanges(_)) => {
            needs.insert(capability::SOURCE_RANGES);
        }
        Some(policy::Kind::FailClosed(_)) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        seal,
        v1::{Cors, RegexRewrite, SourceRanges, UrlRewrite},
    };

    #[test]
    fn what_content_needs() {
        let rewrite = UrlRewrite {
            path: Some(url_rewrite::Path::Regex(RegexRewrite::default())),
            ..Default::default()
        };
        let filters = vec![
            Filter { kind: Some(filter::Kind::UrlRewrite(rewrite)) },
            Filter { kind: Some(filter::Kind::Cors(Cors::default())) },
        ];
        let rules = vec![Rule { filters, ..Default::default() }];
        let cases: [(&str, Body, &[&str]); 5] = [
            ("backend/a", Body::Backend(Backend::default()), &[]),
            (
                "backend/b",
                Body::Backend(Backend { dns: "a:1".into(), app_protocol: 1, ..Default::default() }),
                &[capability::BACKEND_DNS, capability::BACKEND_H2C],
            ),
            (
                "virtual-host/a",
                Body::VirtualHost(VirtualHost { rules, ..Default::default() }),
                &[capability::CORS, capability::REWRITE_REGEX],
            ),
            (
                "listener/a",
                Body::Listener(Listener {
                    policies: vec!["policy/tier".to_owned()],
                    ..Listener::default()
                }),
                &[capability::LISTENER_POLICIES],
            ),
            (
                "policy/a",
                Body::Policy(Policy {
                    kind: Some(policy::Kind::SourceRanges(SourceRanges::default())),
                }),
                &[capability::SOURCE_RANGES],
            ),
        ];
        for (name, body, needs) in cases {
            assert_eq!(seal(name, body).capabilities, needs, "{name}");
        }
    }

    #[test]
    fn names_are_unique() {
        assert_eq!(BTreeSet::from(capability::ALL).len(), capability::ALL.len());
    }
}
