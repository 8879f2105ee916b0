//! What a change costs when there is a lot.

#![expect(clippy::unwrap_used, reason = "a broken manifest must stop the test")]

use std::time::Instant;

use gatefleet_routes::{Options, Pipeline, PortRecord, Reason};
use gatefleet_state::ClusterState;
use jiff::Timestamp;
use serde_json::{Value, json};

const INGRESSES: usize = 5000;

fn pipeline() -> Pipeline {
    Pipeline::new(Options { default_namespace: "edge".into(), ports: PortRecord::Advertised })
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn fleet() -> Value {
    json!({"kind": "GatewayConfig", "metadata": {"name": "all", "namespace": "edge"},
           "spec": {"northSouth": {}, "ingress": {"ingressClass": ""}}})
}

fn metadata(name: &str, version: usize) -> Value {
    json!({"name": name, "namespace": "shop", "uid": name, "resourceVersion": version.to_string(), "generation": version})
}

fn service(index: usize, version: usize) -> Value {
    json!({"kind": "Service", "metadata": metadata(&format!("s{index}"), version),
           "spec": {"ports": [{"name": "http", "port": 80}]}})
}

fn slice(index: usize, version: usize, address: &str) -> Value {
    let mut metadata = metadata(&format!("s{index}-a"), version);
    metadata["labels"] = json!({"kubernetes.io/service-name": format!("s{index}")});
    json!({"kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
           "ports": [{"name": "http", "port": 8080}], "endpoints": [{"addresses": [address]}]})
}

fn ingress(index: usize, version: usize, path: &str) -> Value {
    json!({"kind": "Ingress", "metadata": metadata(&format!("i{index}"), version),
           "spec": {"rules": [{"host": format!("h{index}.example"), "http": {"paths": [{
                "path": path, "pathType": "Prefix",
                "backend": {"service": {"name": format!("s{index}"), "port": {"number": 80}}}}]}}]}})
}

fn large_cluster() -> ClusterState {
    let mut state = ClusterState::default();
    state.insert_manifest(fleet()).unwrap();
    for index in 0..INGRESSES {
        for object in [service(index, 1), slice(index, 1, "10.0.0.1"), ingress(index, 1, "/")] {
            state.insert_manifest(object).unwrap();
        }
    }
    state
}

#[test]
fn one_edit_among_thousands_translates_what_it_concerns() {
    let mut state = large_cluster();
    let mut pipeline = pipeline();
    let begin = Instant::now();
    let first = pipeline.update(&state, now());
    println!("from scratch: {:?}", begin.elapsed());
    assert_eq!(first.translated, INGRESSES as u64);
    for (name, edit, expected) in [
        ("Ingress", ingress(7, 2, "/new"), 1),
        ("Service", service(7, 2), 2),
        ("EndpointSlice", slice(7, 2, "10.0.0.2"), 1),
        ("the same again", slice(7, 2, "10.0.0.2"), 0),
    ] {
        state.insert_manifest(edit).unwrap();
        let begin = Instant::now();
        let output = pipeline.update(&state, now());
        println!("{name}: {:?}", begin.elapsed());
        assert_eq!(output.translated, expected, "{name}");
    }
}

#[test]
fn an_update_without_a_change_gives_the_same_tables() {
    let state = large_cluster();
    let mut pipeline = pipeline();
    let (one, other) = (pipeline.update(&state, now()), pipeline.update(&state, now()));
    assert_eq!(other.translated, 0);
    for (key, tier) in &one.tiers {
        assert!(std::sync::Arc::ptr_eq(tier, &other.tiers[key]), "{key} was put together again");
    }
}

#[test]
fn ten_thousand_hosts_in_one_ingress_and_a_megabyte_of_annotations_harm_nobody() {
    let mut state = ClusterState::default();
    state.insert_manifest(fleet()).unwrap();
    state.insert_manifest(service(0, 1)).unwrap();
    state.insert_manifest(ingress(0, 1, "/")).unwrap();
    let rules: Vec<Value> = (0..10_000)
        .map(|index| json!({"host": format!("many{index}.example"), "http": {"paths": [{
            "path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s0", "port": {"number": 80}}}}]}}))
        .collect();
    let annotations = json!({
        "nginx.ingress.kubernetes.io/configuration-snippet": "x".repeat(1 << 20),
        "nginx.ingress.kubernetes.io/rewrite-target": format!("/{}", "y".repeat(1 << 16)),
    });
    let mut many = metadata("many", 1);
    many["annotations"] = annotations;
    state
        .insert_manifest(json!({"kind": "Ingress", "metadata": many, "spec": {"rules": rules}}))
        .unwrap();
    let output = pipeline().update(&state, now());
    let tier = output.tiers.values().next().unwrap();
    let hosts = tier.resources.keys().filter(|name| name.starts_with("virtual-host/")).count();
    assert_eq!(hosts, 10_001);
    let key =
        |name: &str| gatefleet_names::ObjectKey::new(gatefleet_names::Kind::Ingress, "shop", name);
    assert!(output.ingresses[&key("i0")].diagnostics.is_empty());
    let reasons: Vec<Reason> =
        output.ingresses[&key("many")].diagnostics.iter().map(|one| one.reason).collect();
    assert_eq!(reasons, [Reason::AnnotationNotServed, Reason::InvalidAnnotationValue]);
}
