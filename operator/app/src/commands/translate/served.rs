//! What a proxy is told, in words: who asks for what, and where it goes.

use std::collections::BTreeMap;

use gatefleet_names::TierKey;
use gatefleet_snapshot::v1::{
    self, Resource, VirtualHost, path_match, resource::Body, rule, value_match, weighted_backend,
};
use serde::Serialize;

use super::filters::{redirected, with};

/// One tier.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Served {
    /// `NAMESPACE/NAME` of the `GatewayConfig`.
    pub(super) fleet: String,
    pub(super) tier: String,
    pub(super) listeners: Vec<Listener>,
    /// In the order in which they are asked, within each host.
    pub(super) routes: Vec<Route>,
    pub(super) certificates: Vec<Certificate>,
}

/// Where clients connect.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) port: u32,
    pub(super) protocol: String,
}

/// Which requests go where.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Route {
    /// `*`: every one.
    pub(super) host: String,
    pub(super) path: String,
    /// `Exact`, `Prefix` or `Regex`.
    pub(super) path_type: &'static str,
    /// Empty: all of them.
    pub(super) requests: String,
    pub(super) goes_to: String,
    /// What is done with them.
    pub(super) with: Vec<String>,
    /// Who says it.
    pub(super) by: String,
}

/// For which server names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate {
    pub(super) server_name: String,
    /// `NAMESPACE/SECRET`
    pub(super) secrets: Vec<String>,
}

type Resources<'a> = BTreeMap<&'a str, &'a Body>;

/// Reads the resources of one tier.
pub(super) fn served<'a>(key: &TierKey, all: impl Iterator<Item = &'a Resource>) -> Served {
    let resources: Resources<'a> =
        all.filter_map(|one| Some((one.name.as_str(), one.body.as_ref()?))).collect();
    let mut served = Served {
        fleet: key.fleet.to_string(),
        tier: key.tier.to_string(),
        listeners: Vec::new(),
        routes: Vec::new(),
        certificates: Vec::new(),
    };
    for (name, body) in &resources {
        match body {
            Body::Listener(listener) => served.listeners.push(Listener {
                name: name.trim_start_matches("listener/").to_owned(),
                port: listener.advertised_port,
                protocol: listener.protocol().as_str_name().to_owned(),
            }),
            Body::VirtualHost(host) => served.routes.extend(routes(host, &resources)),
            Body::ServerName(server_name) => served.certificates.push(Certificate {
                server_name: pattern(server_name.pattern.as_ref()),
                secrets: server_name
                    .certificates
                    .iter()
                    .map(|name| name.trim_start_matches("certificate/").to_owned())
                    .collect(),
            }),
            _ => {}
        }
    }
    served.listeners.sort_by_key(|listener| listener.port);
    served
}

fn pattern(pattern: Option<&v1::HostPattern>) -> String {
    use v1::host_pattern::Kind;
    let Some(pattern) = pattern else { return "*".to_owned() };
    match pattern.kind() {
        Kind::Any => "*".to_owned(),
        Kind::Exact => pattern.name.clone(),
        Kind::OneLabel => format!("*.{}", pattern.name),
        Kind::Suffix => format!("**.{}", pattern.name),
    }
}

fn routes(host: &VirtualHost, resources: &Resources<'_>) -> Vec<Route> {
    let rule_of = |said: &v1::Match| host.rules.get(usize::try_from(said.rule).ok()?);
    let pairs = host.matches.iter().filter_map(|said| Some((said, rule_of(said)?)));
    pairs.flat_map(|(said, rule)| rows(host, said, rule, resources)).collect()
}

/// The canaries of a rule, and then the rule itself.
fn rows(
    host: &VirtualHost,
    said: &v1::Match,
    rule: &v1::Rule,
    resources: &Resources<'_>,
) -> Vec<Route> {
    let (path_type, path) = path(said);
    let row = |requests: String, goes_to: String, with: Vec<String>| Route {
        host: pattern(host.hostname.as_ref()),
        path: path.clone(),
        path_type,
        requests,
        goes_to,
        with,
        by: rule.name.clone(),
    };
    let guards = rule.policies.iter().map(|name| guard(name, resources));
    let all: Vec<String> = guards.chain(with(rule)).collect();
    let conditions = conditions(said);
    let mut rows = Vec::new();
    if let Some(rule::Action::Forward(forward)) = &rule.action {
        for canary in &forward.alternatives {
            let steps = [conditions.clone(), steps(canary)];
            let requests = steps.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
            let goes_to = targets(&canary.backends, resources, "no endpoint: takes nothing");
            rows.push(row(format!("canary: {}", requests.join(", ")), goes_to, all.clone()));
        }
    }
    let goes_to = match &rule.action {
        Some(rule::Action::Forward(forward)) => {
            targets(&forward.backends, resources, "no endpoint: 503")
        }
        Some(rule::Action::Redirect(redirect)) => redirected(redirect),
        Some(rule::Action::Direct(direct)) => answer(direct),
        None => "nowhere".to_owned(),
    };
    rows.push(row(conditions, goes_to, all));
    rows
}

fn path(said: &v1::Match) -> (&'static str, String) {
    match said.path.as_ref().and_then(|path| path.kind.as_ref()) {
        Some(path_match::Kind::Exact(path)) => ("Exact", path.clone()),
        Some(path_match::Kind::Prefix(path)) => ("Prefix", path.clone()),
        Some(path_match::Kind::Regex(regex)) => ("Regex", regex.pattern.clone()),
        None => ("Prefix", "/".to_owned()),
    }
}

fn conditions(said: &v1::Match) -> String {
    let method = (!said.method.is_empty()).then(|| said.method.clone());
    let values = |kind: &'static str, all: &[v1::ValueMatch]| {
        all.iter().map(|one| format!("{kind} {}", value(one))).collect::<Vec<_>>()
    };
    let parts = method.into_iter().chain(values("header", &said.headers));
    parts.chain(values("query", &said.query)).collect::<Vec<_>>().join(", ")
}

fn value(said: &v1::ValueMatch) -> String {
    let not = if said.invert { "not " } else { "" };
    let name = &said.name;
    match &said.kind {
        Some(value_match::Kind::Exact(text)) => format!("{not}{name}={text}"),
        Some(value_match::Kind::Regex(regex)) => format!("{not}{name}~{}", regex.pattern),
        Some(value_match::Kind::Present(_)) | None => format!("{not}{name}"),
    }
}

/// The steps of a canary, in the order in which they are asked.
fn steps(canary: &v1::Alternative) -> String {
    let mut steps = Vec::new();
    if !canary.header.is_empty() {
        let header = &canary.header;
        steps.push(match (&*canary.header_value, &canary.header_pattern) {
            ("", Some(regex)) => format!("header {header}~{}", regex.pattern),
            ("", None) => format!("header {header}=always"),
            (value, _) => format!("header {header}={value}"),
        });
    }
    if !canary.cookie.is_empty() {
        steps.push(format!("cookie {}=always", canary.cookie));
    }
    if canary.weight > 0 {
        steps.push(format!("{} of {}", canary.weight, canary.weight_total.max(100)));
    }
    if steps.is_empty() { "none".to_owned() } else { steps.join(" or ") }
}

/// `empty` stands for a backend without endpoints.
fn targets(all: &[v1::WeightedBackend], resources: &Resources<'_>, empty: &str) -> String {
    let sum: u32 = all.iter().map(|one| one.weight).fold(0, u32::saturating_add);
    let texts = all.iter().map(|one| {
        let target = match &one.target {
            Some(weighted_backend::Target::Backend(name)) => backend(name, resources, empty),
            Some(weighted_backend::Target::Unavailable(direct)) => answer(direct),
            None => "nowhere".to_owned(),
        };
        if all.len() > 1 { format!("{}/{sum} {target}", one.weight) } else { target }
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn backend(name: &str, resources: &Resources<'_>, empty: &str) -> String {
    let short = name.trim_start_matches("backend/");
    let parts: Vec<&str> = short.splitn(4, '/').collect();
    let place = match parts.as_slice() {
        [namespace, service, port, ..] => format!("{namespace}/{service}:{port}"),
        _ => short.to_owned(),
    };
    let Some(Body::Backend(said)) = resources.get(name) else { return place };
    let secured = if said.tls.is_some() { " by HTTPS" } else { "" };
    let endpoints = if said.dns.is_empty() {
        let found = match resources.get(said.endpoints.as_str()) {
            Some(Body::Endpoints(all)) => all.endpoints.len(),
            _ => 0,
        };
        match found {
            0 => empty.to_owned(),
            1 => "1 endpoint".to_owned(),
            many => format!("{many} endpoints"),
        }
    } else {
        format!("at {}", said.dns)
    };
    format!("{place}{secured} ({endpoints})")
}

fn answer(direct: &v1::DirectResponse) -> String {
    format!("{} {}", direct.status, direct.reason).trim().to_owned()
}

fn guard(name: &str, resources: &Resources<'_>) -> String {
    match resources.get(name) {
        Some(Body::Policy(v1::Policy { kind: Some(v1::policy::Kind::SourceRanges(said)) })) => {
            let list = |word: &str, all: &[String]| {
                (!all.is_empty()).then(|| format!("{word} {}", all.join(" ")))
            };
            let parts = [list("only from", &said.allow), list("not from", &said.deny)];
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        Some(Body::Policy(v1::Policy { kind: Some(v1::policy::Kind::FailClosed(said)) })) => {
            format!("nobody passes: {} {}", said.status, said.reason)
        }
        _ => format!("guarded by {}", name.trim_start_matches("policy/")),
    }
}
