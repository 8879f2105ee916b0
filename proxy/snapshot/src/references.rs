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
    names.extend(listener.policies.iter().map(String::as_str));
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
    names.extend(rule.errors.iter().map(|errors| errors.backend.as_str()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        seal,
        v1::{
            Alternative, BackendTls, ClientValidation, Forward, L4Route, ListenerTls, Mirror,
            ServerName,
        },
    };

    fn weighted(name: &str) -> WeightedBackend {
        let target = Some(weighted_backend::Target::Backend(format!("backend/{name}")));
        WeightedBackend { weight: 1, target, filters: vec![mirror(&format!("{name}-copy"))] }
    }

    fn mirror(name: &str) -> Filter {
        let mirror = Mirror { backend: format!("backend/{name}"), ..Mirror::default() };
        Filter { kind: Some(filter::Kind::Mirror(mirror)) }
    }

    fn names(body: Body) -> Vec<String> {
        let name = format!("{}/x", crate::ResourceKind::of_body(&body));
        references(&seal(name, body)).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_listener_names_certificates_trust_bundles_and_backends() {
        let validation = ClientValidation {
            trust_bundles: vec!["trust-bundle/a".into()],
            ..ClientValidation::default()
        };
        let listener = Listener {
            tls: Some(ListenerTls {
                default_certificates: vec!["certificate/a".into(), "certificate/b".into()],
                client_validation: Some(validation),
                ..ListenerTls::default()
            }),
            l4_routes: vec![L4Route { backends: vec![weighted("a")], ..L4Route::default() }],
            ..Listener::default()
        };
        let wanted =
            ["backend/a", "backend/a-copy", "certificate/a", "certificate/b", "trust-bundle/a"];
        assert_eq!(names(Body::Listener(listener)), wanted);
    }

    #[test]
    fn a_virtual_host_names_policies_backends_alternatives_and_mirrors() {
        let alternative = Alternative { backends: vec![weighted("b")], ..Alternative::default() };
        let forward = Forward { backends: vec![weighted("a")], alternatives: vec![alternative] };
        let rule = Rule {
            policies: vec!["policy/a".into()],
            filters: vec![mirror("m")],
            action: Some(rule::Action::Forward(forward)),
            ..Rule::default()
        };
        let wanted =
            ["backend/a", "backend/a-copy", "backend/b", "backend/b-copy", "backend/m", "policy/a"];
        let host = VirtualHost { rules: vec![rule], ..VirtualHost::default() };
        assert_eq!(names(Body::VirtualHost(host)), wanted);
    }

    #[test]
    fn a_backend_and_a_server_name_name_what_they_use_and_nothing_empty() {
        let tls = BackendTls {
            trust_bundles: vec!["trust-bundle/a".into()],
            client_certificate: "certificate/a".into(),
            ..BackendTls::default()
        };
        let backend =
            Backend { endpoints: "endpoints/a".into(), tls: Some(tls), ..Backend::default() };
        let wanted = ["certificate/a", "endpoints/a", "trust-bundle/a"];
        assert_eq!(names(Body::Backend(backend)), wanted);
        let bare = Backend { tls: Some(BackendTls::default()), ..Backend::default() };
        assert!(names(Body::Backend(bare)).is_empty());
        let name =
            ServerName { certificates: vec!["certificate/a".into()], ..ServerName::default() };
        assert_eq!(names(Body::ServerName(name)), ["certificate/a"]);
    }
}
