//! What a resource names: the only place that knows.

use std::collections::BTreeSet;

use crate::v1::{
    Backend, Filter, Listener, Resource, Rule, VirtualHost, WeightedBackend, filter,
    resource::Body, rule, weighted_backend,
};

/// The names of all other resources that `resource` names, without duplicates.
#[must_use]
pub fn references(resource: &Resource) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    match &resource.body {
        Some(Body::Listener(listener)) => add_listener(listener, &mut names),
        Some(Body::ServerName(name)) => names.extend(name.certificates.iter().map(String::as_str)),
        Some(Body::VirtualHost(host)) => add_virtual_host(host, &mut names),
        Some(Body::Backend(backend)) => add_backend(backend, &mut names),
        Some(
            Body::Tier(_)
            | Body::Endpoints(_)
            | Body::Certificate(_)
            | Body::TrustBundle(_)
            | Body::Policy(_),
        )
        | None => {}
    }
    names.remove("");
    names
}

fn add_listener<'a>(listener: &'a Listener, names: &mut BTreeSet<&'a str>) {
    if let Some(tls) = &listener.tls {
        names.extend(tls.default_certificates.iter().map(String::as_str));
        let bundles = tls.client_validation.iter().flat_map(|validation| &validation.trust_bundles);
        names.extend(bundles.map(String::as_str));
    }
    for route in &listener.l4_routes {
        add_weighted(&route.backends, names);
    }
}

fn add_virtual_host<'a>(host: &'a VirtualHost, names: &mut BTreeSet<&'a str>) {
    for rule in &host.rules {
        add_rule(rule, names);
    }
}

fn add_rule<'a>(rule: &'a Rule, names: &mut BTreeSet<&'a str>) {
    names.extend(rule.policies.iter().map(String::as_str));
    add_filters(&rule.filters, names);
    match &rule.action {
        Some(rule::Action::Forward(forward)) => {
            add_weighted(&forward.backends, names);
            for alternative in &forward.alternatives {
                add_weighted(&alternative.backends, names);
            }
        }
        Some(rule::Action::Redirect(_) | rule::Action::Direct(_)) | None => {}
    }
}

fn add_weighted<'a>(backends: &'a [WeightedBackend], names: &mut BTreeSet<&'a str>) {
    for backend in backends {
        add_filters(&backend.filters, names);
        match &backend.target {
            Some(weighted_backend::Target::Backend(name)) => {
                names.insert(name);
            }
            Some(weighted_backend::Target::Unavailable(_)) | None => {}
        }
    }
}

fn add_filters<'a>(filters: &'a [Filter], names: &mut BTreeSet<&'a str>) {
    for filter in filters {
        match &filter.kind {
            Some(filter::Kind::Mirror(mirror)) => {
                names.insert(&mirror.backend);
            }
            Some(
                filter::Kind::RequestHeaders(_)
                | filter::Kind::ResponseHeaders(_)
                | filter::Kind::UrlRewrite(_)
                | filter::Kind::Redirect(_)
                | filter::Kind::Cors(_),
            )
            | None => {}
        }
    }
}

fn add_backend<'a>(backend: &'a Backend, names: &mut BTreeSet<&'a str>) {
    names.insert(&backend.endpoints);
    if let Some(tls) = &backend.tls {
        names.extend(tls.trust_bundles.iter().map(String::as_str));
        names.insert(&tls.client_certificate);
    }
}
