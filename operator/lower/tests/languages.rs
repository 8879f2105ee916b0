//! The route model is ready for languages that have no source yet: twelve tables written by hand become snapshots.
//!
//! `UPDATE_EXPECT=1 cargo test -p gatefleet-lower` writes `tests/golden/languages/*.yaml`; read the diff.

#![expect(clippy::unwrap_used, reason = "a broken case must stop the test")]

use std::{collections::BTreeMap, sync::Arc};

use expect_test::expect_file;
use gatefleet_ir::{
    Action, Addresses, AppProtocol, Backend, BackendTls, Balance, CertificateRef, Claim, Claimant,
    ClientValidation, Diagnostic, Filter, Forward, HeaderEdit, HostSettings, KeyKind, L4Claim,
    Language, Listener, Match, Merged, NamedCertificate, PathMatch, Protocol, Reason, RegexForm,
    Rule, RuleClaim, RuleTimeouts, Scope, ServerName, ServiceBackend, Termination, TlsRedirect,
    WeightedBackend, merge,
};
use gatefleet_lower::{
    lower_backend, lower_certificate, lower_host, lower_listener, lower_server_name,
    lower_trust_bundle,
};
use gatefleet_names::{HostPattern, Kind, ObjectKey, PortNumber, Weight};
use gatefleet_snapshot::{
    Format, read_snapshot, references, seal, sorted_snapshot,
    v1::{Endpoint, Endpoints, Resource, resource::Body},
    write_snapshot,
};

const CERTIFICATE: &str = include_str!("../../../tests/golden/fixtures/shop.crt");
const KEY: &str = include_str!("../../../tests/golden/fixtures/shop.key");

/// What a source would have said, and what becomes of it.
#[derive(Default)]
struct Table {
    resources: BTreeMap<String, Resource>,
    diagnostics: Vec<Diagnostic>,
}

impl Table {
    fn add(&mut self, resource: Resource) {
        self.resources.insert(resource.name.clone(), resource);
    }

    fn backend(&mut self, backend: &ServiceBackend) {
        self.add(lower_backend(backend));
        let endpoint =
            Endpoint { addresses: vec!["192.0.2.1".to_owned()], port: 8080, ..Endpoint::default() };
        let name = gatefleet_lower::endpoints_name(backend);
        self.add(seal(name, Body::Endpoints(Endpoints { endpoints: vec![endpoint] })));
    }

    fn host(&mut self, scope: &Scope, host: &str, claims: &[Claim]) -> Merged {
        let pattern = HostPattern::parse_ingress(host).unwrap();
        let merged = merge(&pattern, claims);
        let lowered = lower_host(scope, &pattern, merged.host.as_ref().unwrap());
        self.add(lowered.resource);
        for backend in lowered.backends.values() {
            self.backend(backend);
        }
        self.diagnostics.extend(merged.diagnostics.clone());
        merged
    }

    fn listener(&mut self, listener: &Listener) {
        let (resource, backends) = lower_listener(listener);
        self.add(resource);
        for backend in backends.values() {
            self.backend(backend);
        }
    }

    fn certificate(&mut self, scope: &Scope, host: &str) {
        let certificate = CertificateRef { namespace: "shop".into(), name: "cert".into() };
        self.add(lower_certificate(&certificate, CERTIFICATE, KEY));
        let pattern = HostPattern::parse_ingress(host).unwrap();
        let claimants = [claimant("gateway", 1)].into();
        let named = NamedCertificate { certificate, claimants };
        let name = ServerName { certificates: [(KeyKind::Rsa, named)].into() };
        self.add(lower_server_name(scope, &pattern, &name));
    }

    /// The text of the snapshot, after reading it back and finding everything that it names.
    fn text(self) -> String {
        for resource in self.resources.values() {
            for name in references(resource) {
                assert!(self.resources.contains_key(name), "{} names {name}", resource.name);
            }
        }
        let snapshot = sorted_snapshot(self.resources.into_values(), Vec::new());
        let text = write_snapshot(&snapshot, Format::Yaml).unwrap();
        assert_eq!(read_snapshot(text.as_bytes()).unwrap(), snapshot);
        text
    }
}

fn claimant(name: &str, created: i64) -> Claimant {
    Claimant { created, object: ObjectKey::new(Kind::Ingress, "shop", name), generation: 1 }
}

fn backend(service: &str, port: u16) -> ServiceBackend {
    ServiceBackend {
        namespace: "shop".into(),
        service: service.into(),
        port: PortNumber::new(port.into()).unwrap(),
        variant: String::new(),
        addresses: Addresses::Slices,
        protocol: AppProtocol::Http1,
        balance: Balance::RoundRobin,
        tls: None,
        subset: BTreeMap::new(),
    }
}

fn weighted(weight: u32, backend: ServiceBackend) -> WeightedBackend {
    let backend = Backend::Service(backend);
    WeightedBackend { weight: Weight::saturating(weight), backend, filters: Vec::new() }
}

fn rule(name: &str, path: PathMatch, backends: Vec<WeightedBackend>) -> RuleClaim {
    RuleClaim {
        field: "spec.rules[0]".into(),
        matches: vec![Match::path(path)],
        rule: Rule {
            name: name.into(),
            filters: Vec::new(),
            policies: Vec::new(),
            action: Action::Forward(Forward { backends, alternatives: Vec::new() }),
            timeouts: RuleTimeouts::default(),
            retry: None,
            errors: None,
            body_bytes: 0,
        },
        tls_redirect: TlsRedirect::Never,
        regex_form: None,
        fallback: false,
    }
}

fn claim(name: &str, created: i64, rules: Vec<RuleClaim>) -> Claim {
    Claim {
        claimant: claimant(name, created),
        language: Language::GatewayApi,
        owns_host: true,
        settings: HostSettings::default(),
        rules,
        alternatives: Vec::new(),
        root: None,
        side_hosts: Vec::new(),
    }
}

fn root(backends: Vec<WeightedBackend>) -> Vec<RuleClaim> {
    vec![rule("HTTPRoute/shop/web/0", PathMatch::prefix("/"), backends)]
}

fn listener(name: &str, scope: Scope, port: u16, protocol: Protocol) -> Listener {
    Listener {
        name: name.into(),
        claimant: claimant("gateway", 1),
        scope,
        advertised_port: PortNumber::new(port.into()).unwrap(),
        bind_port: PortNumber::new(i64::from(port) + 10_000).unwrap(),
        protocol,
        hostname: HostPattern::Any,
        l4_routes: Vec::new(),
        policies: Vec::new(),
    }
}

#[test]
fn filters_of_a_backend_reference() {
    let mut table = Table::default();
    let mut canary = weighted(1, backend("v2", 80));
    let edit = HeaderEdit { set: vec![("x-version".into(), "2".into())], ..HeaderEdit::default() };
    canary.filters.push(Filter::RequestHeaders(edit));
    let claims = [claim("web", 1, root(vec![weighted(9, backend("v1", 80)), canary]))];
    table.host(&Scope::tier(), "shop.example", &claims);
    expect_file!["../../../tests/golden/languages/backend-reference-filters.yaml"]
        .assert_eq(&table.text());
}

#[test]
fn listeners_are_isolated() {
    let mut table = Table::default();
    for (name, host, service) in [("a", "*.shop.example", "v1"), ("b", "a.shop.example", "v2")] {
        let scope = Scope::gateway("shop", "gateway", name);
        let mut one = listener(name, scope.clone(), 80, Protocol::Http);
        one.hostname = match HostPattern::parse_ingress(host).unwrap() {
            HostPattern::OneLabel(name) => HostPattern::Suffix(name),
            exact => exact,
        };
        table.listener(&one);
        table.host(
            &scope,
            "a.shop.example",
            &[claim("web", 1, root(vec![weighted(1, backend(service, 80))]))],
        );
    }
    expect_file!["../../../tests/golden/languages/listener-isolation.yaml"]
        .assert_eq(&table.text());
}

#[test]
fn one_port_has_several_modes_of_tls() {
    let mut table = Table::default();
    let scope = Scope::gateway("shop", "gateway", "https");
    table.listener(&listener("https", scope.clone(), 443, Protocol::Https(Termination::default())));
    table.certificate(&scope, "shop.example");
    table.host(
        &scope,
        "shop.example",
        &[claim("web", 1, root(vec![weighted(1, backend("v1", 80))]))],
    );
    let mut pass =
        listener("pass", Scope::gateway("shop", "gateway", "pass"), 443, Protocol::TlsPassthrough);
    pass.hostname = HostPattern::parse_ingress("raw.example").unwrap();
    pass.l4_routes.push(L4Claim {
        claimant: claimant("raw", 1),
        server_name: HostPattern::parse_ingress("raw.example").unwrap(),
        backends: vec![weighted(1, backend("raw", 443))],
    });
    table.listener(&pass);
    expect_file!["../../../tests/golden/languages/mixed-tls-modes.yaml"].assert_eq(&table.text());
}

#[test]
fn each_port_has_its_own_client_authority() {
    let mut table = Table::default();
    for (name, port, fallback) in [("strict", 443, false), ("lenient", 8443, true)] {
        let validation = ClientValidation {
            trust_bundles: vec![format!("shop/{name}")],
            insecure_fallback: fallback,
        };
        let termination =
            Termination { client_validation: Some(validation), ..Termination::default() };
        let scope = Scope::gateway("shop", "gateway", name);
        table.listener(&listener(name, scope.clone(), port, Protocol::Https(termination)));
        table.add(lower_trust_bundle(&format!("shop/{name}"), CERTIFICATE));
        table.certificate(&scope, "shop.example");
    }
    expect_file!["../../../tests/golden/languages/client-authority-per-port.yaml"]
        .assert_eq(&table.text());
}

#[test]
fn each_backend_port_has_its_own_tls() {
    let mut table = Table::default();
    let secure = ServiceBackend {
        tls: Some(BackendTls {
            server_name: "v1.shop.example".into(),
            trust_bundles: vec!["shop/backends".into()],
            insecure_skip_verify: false,
        }),
        ..backend("v1", 8443)
    };
    table.add(lower_trust_bundle("shop/backends", CERTIFICATE));
    let rules = vec![
        rule(
            "HTTPRoute/shop/web/0",
            PathMatch::prefix("/plain"),
            vec![weighted(1, backend("v1", 80))],
        ),
        rule("HTTPRoute/shop/web/1", PathMatch::prefix("/secure"), vec![weighted(1, secure)]),
    ];
    table.host(&Scope::tier(), "shop.example", &[claim("web", 1, rules)]);
    expect_file!["../../../tests/golden/languages/tls-per-backend-port.yaml"]
        .assert_eq(&table.text());
}

#[test]
fn subsets_are_backends_of_their_own() {
    let mut table = Table::default();
    let subset = |version: &str| ServiceBackend {
        variant: format!("subset-{version}"),
        subset: [("version".to_owned(), version.to_owned())].into(),
        ..backend("web", 80)
    };
    let backends = vec![weighted(3, subset("v1")), weighted(1, subset("v2"))];
    table.host(&Scope::tier(), "shop.example", &[claim("web", 1, root(backends))]);
    expect_file!["../../../tests/golden/languages/subsets.yaml"].assert_eq(&table.text());
}

#[test]
fn regex_mode_concerns_only_the_ingresses_of_a_host() {
    let mut table = Table::default();
    let ingress = |name: &str, path: &str, regex| {
        let mut one = rule(name, PathMatch::prefix(path), vec![weighted(1, backend("v1", 80))]);
        one.regex_form = Some(RegexForm { text: path.into(), pattern: path.into() });
        let settings = HostSettings { regex, tls: false };
        Claim { language: Language::Ingress, settings, ..claim(name, 1, vec![one]) }
    };
    let route = claim(
        "route",
        1,
        vec![rule(
            "HTTPRoute/shop/route/0",
            PathMatch::prefix("/api"),
            vec![weighted(1, backend("v2", 80))],
        )],
    );
    let claims = [ingress("digits", "/id/[0-9]+", true), ingress("plain", "/a", false), route];
    table.host(&Scope::tier(), "shop.example", &claims);
    expect_file!["../../../tests/golden/languages/host-wide-regex.yaml"].assert_eq(&table.text());
}

#[test]
fn every_ancestor_has_its_own_status() {
    let mut table = Table::default();
    let route = |name, created| claim(name, created, root(vec![weighted(1, backend(name, 80))]));
    let (crowded, free) =
        (Scope::gateway("shop", "one", "http"), Scope::gateway("shop", "two", "http"));
    let there = table.host(&crowded, "shop.example", &[route("new", 2), route("old", 1)]);
    let here = table.host(&free, "shop.example", &[route("new", 2)]);
    let new = claimant("new", 2).object;
    assert!(!there.host.unwrap().served.contains(&new) && here.host.unwrap().served.contains(&new));
    let told: Vec<_> = table.diagnostics.iter().map(|one| (&one.object, one.reason)).collect();
    assert_eq!(told, [(&new, Reason::RouteConflict)]);
    expect_file!["../../../tests/golden/languages/status-per-ancestor.yaml"]
        .assert_eq(&table.text());
}

#[test]
fn a_share_of_requests_is_mirrored() {
    let mut table = Table::default();
    let mut one = root(vec![weighted(1, backend("v1", 80))]);
    one[0].rule.filters.push(Filter::Mirror { backend: backend("shadow", 80), share: (25, 100) });
    table.host(&Scope::tier(), "shop.example", &[claim("web", 1, one)]);
    expect_file!["../../../tests/golden/languages/mirror.yaml"].assert_eq(&table.text());
}

#[test]
fn an_invalid_backend_keeps_its_weight() {
    let mut table = Table::default();
    let invalid = WeightedBackend {
        weight: Weight::saturating(1),
        backend: Backend::Invalid { status: 500, reason: "BackendNotFound" },
        filters: Vec::new(),
    };
    let backends = vec![weighted(3, backend("v1", 80)), invalid, weighted(0, backend("v2", 80))];
    table.host(&Scope::tier(), "shop.example", &[claim("web", 1, root(backends))]);
    expect_file!["../../../tests/golden/languages/invalid-backend-weight.yaml"]
        .assert_eq(&table.text());
}

fn layer_four(protocol: Protocol, port: u16) -> String {
    let mut table = Table::default();
    let mut one = listener("l4", Scope::gateway("shop", "gateway", "l4"), port, protocol);
    one.l4_routes.push(L4Claim {
        claimant: claimant("l4", 1),
        server_name: HostPattern::Any,
        backends: vec![weighted(1, backend("l4", port))],
    });
    table.listener(&one);
    table.text()
}

#[test]
fn tcp_is_forwarded() {
    expect_file!["../../../tests/golden/languages/tcp.yaml"]
        .assert_eq(&layer_four(Protocol::Tcp, 2525));
}

#[test]
fn udp_is_forwarded() {
    expect_file!["../../../tests/golden/languages/udp.yaml"]
        .assert_eq(&layer_four(Protocol::Udp, 5353));
}

#[test]
fn what_only_later_proxies_know_is_named() {
    let mut table = Table::default();
    let h2c = ServiceBackend { protocol: AppProtocol::H2c, ..backend("grpc", 80) };
    table.backend(&h2c);
    let resource = Arc::new(table.resources["backend/shop/grpc/80"].clone());
    assert_eq!(resource.capabilities, ["backend.h2c"]);
}
