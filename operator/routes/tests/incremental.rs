//! The memory of the pipeline changes nothing but the cost.

#![expect(clippy::unwrap_used, reason = "a broken manifest must stop the test")]

use std::sync::Arc;

use gatefleet_routes::{Options, Pipeline, PortRecord, RoutesOutput, TierResource};
use gatefleet_snapshot::{Format, sorted_snapshot, write_snapshot};
use gatefleet_state::ClusterState;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const CERTIFICATE: &str = include_str!("../../../tests/golden/fixtures/shop.crt");
const KEY: &str = include_str!("../../../tests/golden/fixtures/shop.key");
const OTHER_KEY: &str = include_str!("../../../tests/golden/fixtures/other.key");

fn pipeline() -> Pipeline {
    Pipeline::new(Options { default_namespace: "edge".into(), ports: PortRecord::Advertised })
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// One change of the cluster.
#[derive(Clone, Debug)]
enum Edit {
    Put(Value),
    Remove(&'static str, &'static str, String),
}

impl Edit {
    /// `version` makes every write another one, as an API server does.
    fn apply(&self, state: &mut ClusterState, version: usize) {
        match self {
            Self::Put(manifest) => {
                let mut manifest = manifest.clone();
                let uid = format!("{}/{}", manifest["kind"], manifest["metadata"]["name"]);
                manifest["metadata"]["uid"] = Value::from(uid);
                manifest["metadata"]["resourceVersion"] = Value::from(version.to_string());
                manifest["metadata"]["generation"] = Value::from(version);
                state.insert_manifest(manifest).unwrap();
            }
            Self::Remove(kind, namespace, name) => drop(match *kind {
                "GatewayConfig" => state.gateway_configs.remove(namespace, name).map(drop),
                "Ingress" => state.ingresses.remove(namespace, name).map(drop),
                "IngressClass" => state.ingress_classes.remove("", name).map(drop),
                "Secret" => state.secrets.remove(namespace, name).map(drop),
                "Service" => state.services.remove(namespace, name).map(drop),
                _ => {
                    state.remove_slice(namespace, name);
                    None
                }
            }),
        }
    }
}

fn created() -> impl Strategy<Value = String> {
    (1_u32..4).prop_map(|day| format!("2026-01-0{day}T00:00:00Z"))
}

fn pick<T: Clone + std::fmt::Debug + 'static>(from: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(from)
}

const NAMES: &[&str] = &["a", "b", "c", "d"];

fn ingress() -> impl Strategy<Value = Value> {
    let host = pick(&["", "a.shop.example", "b.shop.example", "*.shop.example", "bad host"]);
    let path = pick(&["/", "/a", "/a/", "/a/b", "/id/[0-9]+", "/(", ""]);
    let kind = pick(&["Exact", "Prefix", "ImplementationSpecific"]);
    let rule = (host, path, kind, pick(NAMES)).prop_map(|(host, path, kind, service)| {
        json!({"host": host, "http": {"paths": [{
            "path": path, "pathType": kind,
            "backend": {"service": {"name": service, "port": {"number": 80}}},
        }]}})
    });
    let annotation = pick(&[
        ("canary", "true"),
        ("canary-by-header", "stage"),
        ("canary-weight", "10"),
        ("use-regex", "true"),
        ("rewrite-target", "/new/$1"),
        ("ssl-redirect", "false"),
        ("auth-url", "http://auth"),
        ("whitelist-source-range", "10.0.0.0/8"),
        ("unheard-of", "x"),
        ("force-ssl-redirect", "true"),
        ("backend-protocol", "HTTPS"),
        ("app-root", "/start"),
        ("permanent-redirect", "https://new.example"),
        ("server-alias", "a.shop.example,c.shop.example"),
        ("from-to-www-redirect", "true"),
        ("default-backend", "web"),
        ("custom-http-errors", "404"),
    ]);
    let annotations = prop::collection::vec(annotation, 0..3).prop_map(|chosen| {
        let entry =
            |(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), Value::from(value));
        Value::Object(chosen.into_iter().map(entry).collect())
    });
    let tls = prop::option::of((pick(&["a.shop.example", "*.shop.example"]), pick(NAMES)));
    let class = prop::option::of(pick(&["north", "inside", "nginx", "nobody"]));
    let default = prop::option::of(pick(NAMES));
    let rules = prop::collection::vec(rule, 0..3);
    (pick(NAMES), created(), class, annotations, rules, tls, default).prop_map(
        |(name, created, class, annotations, rules, tls, default)| {
            let mut spec = json!({"rules": rules, "ingressClassName": class});
            if let Some((host, secret)) = tls {
                spec["tls"] = json!([{"hosts": [host], "secretName": secret}]);
            }
            if let Some(service) = default {
                spec["defaultBackend"] = json!({"service": {"name": service, "port": {"name": "http"}}});
            }
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec,
                "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created, "annotations": annotations},
            })
        },
    )
}

fn other_object() -> impl Strategy<Value = Value> {
    let service = (pick(NAMES), pick(&[80, 81])).prop_map(|(name, port)| {
        json!({"kind": "Service", "metadata": {"name": name, "namespace": "shop"},
               "spec": {"ports": [{"name": "http", "port": port}]}})
    });
    let slice = (pick(NAMES), pick(NAMES), 1_u8..4).prop_map(|(name, service, last)| {
        json!({"kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
               "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
               "endpoints": [{"addresses": [format!("10.0.0.{last}")]}]})
    });
    let secret = (pick(NAMES), pick(&[KEY, OTHER_KEY])).prop_map(|(name, key)| {
        json!({"kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name, "namespace": "shop"},
               "stringData": {"tls.crt": CERTIFICATE, "tls.key": key}})
    });
    let class = (pick(&["north", "inside", "nginx"]), pick(&["north-south", "east-west"]), pick(&["a", "b"]), any::<bool>())
        .prop_map(|(name, tier, fleet, default)| {
            json!({"kind": "IngressClass",
                   "metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": default.to_string()}},
                   "spec": {"controller": format!("gatefleet.dev/{tier}"), "parameters": {
                        "apiGroup": "gatefleet.dev", "kind": "GatewayConfig", "scope": "Namespace",
                        "namespace": "edge", "name": fleet}}})
        });
    let config = (
        pick(&["a", "b"]),
        created(),
        any::<bool>(),
        prop::option::of(pick(&["", "nginx", "nobody"])),
    )
        .prop_map(|(name, created, east_west, class)| {
            let mut spec = json!({"northSouth": {}});
            if east_west {
                spec["eastWest"] = json!({"replicas": 1});
            }
            if let Some(class) = class {
                spec["ingress"] = json!({"ingressClass": class});
            }
            json!({"kind": "GatewayConfig", "spec": spec,
                   "metadata": {"name": name, "namespace": "edge", "creationTimestamp": created}})
        });
    prop_oneof![service, slice, secret, class, config]
}

fn edit() -> impl Strategy<Value = Edit> {
    let shop = pick(&["Ingress", "Secret", "Service", "EndpointSlice"]);
    prop_oneof![
        4 => ingress().prop_map(Edit::Put),
        5 => other_object().prop_map(Edit::Put),
        2 => (shop, pick(NAMES)).prop_map(|(kind, name)| Edit::Remove(kind, "shop", name.to_owned())),
        1 => pick(&["a", "b"]).prop_map(|name| Edit::Remove("GatewayConfig", "edge", name.to_owned())),
        1 => pick(&["north", "inside", "nginx"]).prop_map(|name| Edit::Remove("IngressClass", "", name.to_owned())),
    ]
}

fn without_count(mut output: RoutesOutput) -> RoutesOutput {
    output.translated = 0;
    output
}

/// The snapshots of all tiers as bytes.
fn bytes(output: &RoutesOutput) -> String {
    let text = |resources: Vec<&Arc<TierResource>>| {
        let resources = resources.into_iter().map(|one| (*one.resource).clone());
        write_snapshot(&sorted_snapshot(resources, Vec::new()), Format::Json).unwrap()
    };
    let tiers = output.tiers.iter();
    tiers
        .flat_map(|(key, tier)| [key.to_string(), text(tier.resources.values().collect())])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_remembering_pipeline_equals_a_new_one(edits in prop::collection::vec(edit(), 1..40)) {
        let (mut state, mut remembering) = (ClusterState::default(), pipeline());
        for (version, edit) in edits.iter().enumerate() {
            edit.apply(&mut state, version + 1);
            let incremental = without_count(remembering.update(&state, now()));
            let from_scratch = without_count(pipeline().update(&state, now()));
            prop_assert_eq!(incremental, from_scratch, "after edit {}", version);
        }
    }

    #[test]
    fn the_order_of_objects_does_not_matter(
        (objects, shuffled) in prop::collection::vec(prop_oneof![ingress(), other_object()], 1..30)
            .prop_map(|objects| {
                let mut seen = std::collections::BTreeSet::new();
                let key = |one: &Value| (one["kind"].to_string(), one["metadata"]["name"].to_string());
                objects.into_iter().filter(|one| seen.insert(key(one))).collect::<Vec<_>>()
            })
            .prop_flat_map(|objects| (Just(objects.clone()), Just(objects).prop_shuffle()))
    ) {
        let (mut one, mut other, mut stepwise) = (ClusterState::default(), ClusterState::default(), pipeline());
        for object in objects {
            Edit::Put(object).apply(&mut one, 1);
        }
        let mut last = RoutesOutput::default();
        for object in shuffled {
            Edit::Put(object).apply(&mut other, 1);
            last = stepwise.update(&other, now());
        }
        let at_once = pipeline().update(&one, now());
        prop_assert_eq!(bytes(&at_once), bytes(&last));
        prop_assert_eq!(without_count(at_once), without_count(last));
    }

    #[test]
    fn no_input_stops_the_translation(
        host in ".{0,40}", path in ".{0,60}", kind in ".{0,10}", name in ".{0,10}", port in any::<i32>(),
        annotations in prop::collection::btree_map(
            prop_oneof![pick(&["use-regex", "rewrite-target", "canary", "canary-weight", "canary-by-header",
                "canary-by-header-pattern", "canary-weight-total", "whitelist-source-range", "backend-protocol",
                "app-root", "permanent-redirect", "temporal-redirect-code", "server-alias"])
                .prop_map(str::to_owned), "[a-z-]{1,20}"],
            prop_oneof![".{0,60}", Just("true".to_owned()), Just("-9223372036854775808".to_owned())], 0..6),
        secret in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut state = ClusterState::default();
        let annotations: Value = annotations.into_iter()
            .map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), Value::from(value))).collect::<serde_json::Map<_, _>>().into();
        let objects = [
            json!({"kind": "GatewayConfig", "metadata": {"name": "a", "namespace": "edge"},
                   "spec": {"northSouth": {}, "ingress": {"ingressClass": ""}}}),
            json!({"kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}, "type": "kubernetes.io/tls",
                   "stringData": {"tls.crt": String::from_utf8_lossy(&secret), "tls.key": KEY}}),
            json!({"kind": "Ingress", "metadata": {"name": "web", "namespace": "shop", "annotations": annotations},
                   "spec": {"tls": [{"hosts": [host], "secretName": "s"}], "rules": [{"host": host, "http": {"paths": [
                    {"path": path, "pathType": kind, "backend": {"service": {"name": name, "port": {"number": port}}}}]}}]}}),
        ];
        for object in objects {
            state.insert_manifest(object).unwrap();
        }
        let output = pipeline().update(&state, now());
        prop_assert_eq!(output.ingresses.len(), 1);
    }
}
