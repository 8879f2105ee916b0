//! Certificates change without touching routes, and age without any change of the cluster.

#![expect(clippy::unwrap_used, reason = "a broken manifest must stop the test")]

use std::sync::Arc;

use gatefleet_names::{Kind, ObjectKey};
use gatefleet_routes::{
    Options, Pipeline, PortRecord, Reason, RoutesOutput, SecretName, TierResource,
};
use gatefleet_state::ClusterState;
use jiff::Timestamp;
use serde_json::json;

const SHOP: (&str, &str) = (
    include_str!("../../../tests/golden/fixtures/shop.crt"),
    include_str!("../../../tests/golden/fixtures/shop.key"),
);
const EXPIRED: (&str, &str) = (
    include_str!("../../../tests/golden/fixtures/expired.crt"),
    include_str!("../../../tests/golden/fixtures/expired.key"),
);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cluster() -> ClusterState {
    let mut state = ClusterState::default();
    for object in [
        json!({"kind": "GatewayConfig", "metadata": {"name": "a", "namespace": "edge"},
               "spec": {"northSouth": {}, "ingress": {"ingressClass": ""}}}),
        json!({"kind": "Service", "metadata": {"name": "app", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}}),
        json!({"kind": "Ingress", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
            "tls": [{"hosts": ["shop.example"], "secretName": "cert"}],
            "rules": [{"host": "shop.example", "http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "app", "port": {"number": 80}}}}]}}]}}),
    ] {
        state.insert_manifest(object).unwrap();
    }
    state
}

fn put_certificate(state: &mut ClusterState, (certificate, key): (&str, &str)) {
    let secret = json!({"kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "cert", "namespace": "shop"},
                        "stringData": {"tls.crt": certificate, "tls.key": key}});
    state.insert_manifest(secret).unwrap();
}

fn pipeline() -> Pipeline {
    Pipeline::new(Options { default_namespace: "edge".into(), ports: PortRecord::Advertised })
}

fn resource(output: &RoutesOutput, name: &str) -> Option<Arc<TierResource>> {
    output.tiers.values().find_map(|tier| tier.resources.get(name)).cloned()
}

fn reasons(output: &RoutesOutput) -> Vec<Reason> {
    let key = ObjectKey::new(Kind::Ingress, "shop", "web");
    output.ingresses[&key].diagnostics.iter().map(|one| one.reason).collect()
}

#[test]
fn a_new_certificate_replaces_the_old_one_and_nothing_else() {
    let (mut state, mut pipeline, now) = (cluster(), pipeline(), at("2026-06-01T00:00:00Z"));
    let without = pipeline.update(&state, now);
    assert_eq!(reasons(&without), [Reason::SecretNotFound]);
    let name = SecretName { namespace: "shop".into(), name: "cert".into() };
    assert!(without.secrets.contains(&name), "an absent Secret is watched too");
    let mut previous: Option<Arc<TierResource>> = None;
    for certificate in [EXPIRED, SHOP] {
        put_certificate(&mut state, certificate);
        let output = pipeline.update(&state, now);
        assert_eq!(output.translated, 1, "only the Secret is read");
        let host = "virtual-host/tier/shop.example";
        assert!(Arc::ptr_eq(&resource(&output, host).unwrap(), &resource(&without, host).unwrap()));
        let served = resource(&output, "certificate/shop/cert").unwrap();
        assert!(
            previous.is_none_or(|previous| previous.resource.version != served.resource.version)
        );
        previous = Some(served);
    }
}

#[test]
fn a_certificate_expires_while_nothing_changes() {
    let (mut state, mut pipeline) = (cluster(), pipeline());
    put_certificate(&mut state, SHOP);
    let fresh = pipeline.update(&state, at("2026-06-01T00:00:00Z"));
    assert!(reasons(&fresh).is_empty());
    let moment = fresh.recheck_at.unwrap();
    assert_eq!(moment, at("2120-01-01T00:00:00Z"));
    let idle = pipeline.update(&state, at("2119-12-31T23:59:59Z"));
    assert_eq!((reasons(&idle), idle.translated), (vec![], 0));
    let expired = pipeline.update(&state, moment);
    assert_eq!((reasons(&expired), expired.recheck_at), (vec![Reason::CertificateExpired], None));
    assert!(resource(&expired, "certificate/shop/cert").is_some(), "it is served nevertheless");
}
