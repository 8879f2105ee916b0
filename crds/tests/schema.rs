//! What the schema promises to a stranger: every field explained, every rule with an example that it refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeSet, sync::LazyLock};

use gatefleet_crds::{GatewayConfig, GatewayConfigSpec, TierSpec, manifest};
use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde::Deserialize;
use serde_json::{Value, json};

const RULES: &str = include_str!("../refused/rules.yaml");

#[derive(Deserialize)]
struct Refused {
    field: String,
    says: String,
    /// What is replaced, for rules about a change.
    before: Option<Value>,
    spec: Value,
}

fn schema() -> Value {
    let manifest = serde_json::to_value(manifest()).unwrap();
    manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Calls `visit` with the path and the schema of every field below `schema`.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, visit);
    }
    for (keyword, suffix) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[keyword].is_object() {
            walk(&format!("{path}{suffix}"), &schema[keyword], visit);
        }
    }
}

fn rules(schema: &Value) -> impl Iterator<Item = &str> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.map(|rule| rule["message"].as_str().unwrap())
}

fn refusals(spec: &Value) -> Vec<String> {
    refusals_of_change(None, spec)
}

fn refusals_of_change(before: Option<&Value>, spec: &Value) -> Vec<String> {
    static COMPILED: LazyLock<(Value, CompiledSchema)> = LazyLock::new(|| {
        let schema = schema();
        let compiled = compile_schema(&schema);
        (schema, compiled)
    });
    let (schema, compiled) = &*COMPILED;
    let admitted = |spec: &Value| kube_cel::apply_defaults(schema, &json!({"spec": spec}));
    let (object, old) = (admitted(spec), before.map(admitted));
    let Err(errors) = Validator::new().validate_compiled(compiled, &object, old.as_ref()) else {
        return vec![];
    };
    errors.iter().map(|error| format!("{}: {}", error.field_path, error.message)).collect()
}

#[test]
fn every_field_says_what_it_is_its_default_and_an_example() {
    walk("spec", &schema()["properties"]["spec"], &mut |path, field| {
        let is_group = field["properties"].is_object();
        let is_element = path.ends_with("[]") || path.ends_with(".*");
        let text = field["description"].as_str().unwrap_or_default();
        assert!(is_element || text.len() > 15, "{path} has no description");
        if is_group || is_element {
            return;
        }
        assert!(text.contains("Example: `"), "{path} has no example: {text}");
        let says_default = text.contains("Default: ");
        assert!(says_default || text.contains("Required."), "{path} has no default: {text}");
        if let Some(default) = field["default"].as_str() {
            assert!(
                text.contains(&format!("Default: `{default}`"))
                    || text.contains(&format!("Default: `\"{default}\"`")),
                "{path}: {default} is not in: {text}"
            );
        }
        if field["default"].is_number() || field["default"].is_boolean() {
            assert!(text.contains(&format!("Default: `{}`", field["default"])), "{path}: {text}");
        }
    });
    walk("status", &schema()["properties"]["status"], &mut |path, field| {
        let is_element = path.ends_with("[]");
        assert!(
            is_element || field["description"].as_str().is_some_and(|text| text.len() > 5),
            "{path}"
        );
    });
}

#[test]
fn every_rule_refuses_an_example_with_its_message_and_nothing_else() {
    let refused: Vec<Refused> = serde_saphyr::from_str(RULES).unwrap();
    for Refused { field, says, before, spec } in &refused {
        let errors = refusals_of_change(before.as_ref(), spec);
        assert_eq!(errors.len(), 1, "{spec}: {errors:?}");
        assert!(errors[0].starts_with(&format!("{field}: ")), "{spec}: {errors:?}");
        assert!(errors[0].contains(says.as_str()), "{spec}: {errors:?}");
    }
    let mut forgotten = BTreeSet::new();
    walk("spec", &schema()["properties"]["spec"], &mut |_, field| {
        let is_refused =
            |message: &&str| refused.iter().any(|refused| message.contains(&refused.says));
        forgotten.extend(rules(field).filter(|message| !is_refused(message)).map(str::to_owned));
    });
    assert!(forgotten.is_empty(), "rules without a refused example: {forgotten:#?}");
}

#[test]
fn ordinary_declarations_are_accepted() {
    for text in [
        "{northSouth: {}}",
        "{eastWest: {}}",
        "{northSouth: {replicas: 3}, eastWest: {replicas: 1}, ingress: {ingressClass: ''}}",
        "{northSouth: {}, ingress: {ingressClass: my.class-2}}",
        "{northSouth: {resources: {requests: {cpu: 2, memory: 1Gi}, limits: {cpu: '2', memory: 1073741824}}}}",
        "{northSouth: {size: 8c16g}, eastWest: {resources: {}}}",
        "{northSouth: {autoscaling: {maxReplicas: 2}, podDisruptionBudget: {maxUnavailable: '3'}}, eastWest: {autoscaling: {minReplicas: 5, maxReplicas: 5, targetCPUUtilization: 150}}}",
        "{northSouth: {pod: {tolerations: [{operator: Exists}, {key: a}, {key: a, value: '', effect: NoExecute, tolerationSeconds: 0}]}}}",
        "{northSouth: {pod: {affinity: {podAffinity: {}}, nodeSelector: {a: ''}, topologySpreadConstraints: [{topologyKey: a}, {topologyKey: b, maxSkew: 9}]}}}",
        "{northSouth: {service: {type: NodePort, externalTrafficPolicy: Local, internalTrafficPolicy: Local}, listeners: [{name: a, port: 80, protocol: HTTP, nodePort: 30080}, {name: b, port: 443, protocol: HTTPS}]}}",
        "{northSouth: {service: {type: LoadBalancer, loadBalancerClass: example.com/x, loadBalancerSourceRanges: [0.0.0.0/0, '::/0'], allocateLoadBalancerNodePorts: false}}}",
        "{northSouth: {service: {type: LoadBalancer, ipFamilies: [IPv6, IPv4], ipFamilyPolicy: RequireDualStack, annotations: {a/b: c}}}}",
        "{northSouth: {clientIPDetection: {trustedProxies: [10.0.0.0/8, 'fd00::/8', 192.0.2.1/32], hops: 2}}}",
        "{northSouth: {timeouts: {idle: 24h, request: 0s, requestHead: 1ms}, drain: {delay: 0s, timeout: 1h30m}}}",
        "{northSouth: {pod: {labels: {team: edge, empty: ''}, annotations: {x: '1'}}}}",
        "{northSouth: {listeners: [{name: 8080-tcp, port: 8080, protocol: HTTP}]}}",
    ] {
        let spec: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(refusals(&spec), Vec::<String>::new(), "{text}");
        let typed: GatewayConfigSpec = serde_json::from_value(spec).unwrap();
        // What the types write back is accepted, too.
        assert_eq!(
            refusals(&serde_json::to_value(&typed).unwrap()),
            Vec::<String>::new(),
            "{text}"
        );
    }
}

/// `Example: …` of every field, put into a GatewayConfig at that field.
#[test]
fn every_example_is_accepted() {
    let mut count = 0;
    walk("spec", &schema()["properties"]["spec"], &mut |path, field| {
        let text = field["description"].as_str().unwrap_or_default();
        let Some((_, example)) = text.split_once("Example: `") else { return };
        let (example, _) = example.split_once('`').unwrap();
        let mut value: Value = serde_saphyr::from_str(example).unwrap();
        let names: Vec<&str> = path.split('.').skip(1).collect();
        for name in names.iter().rev() {
            value = match name.strip_suffix("[]") {
                Some(name) => {
                    let mut element = match name {
                        "listeners" => json!({"name": "one", "port": 80, "protocol": "HTTP"}),
                        "secrets" => json!({"name": "one"}),
                        "tolerations" if example == "gateways" => json!({"key": "dedicated"}),
                        "tolerations" => json!({"operator": "Exists", "effect": "NoExecute"}),
                        _ => json!({"topologyKey": "zone"}),
                    };
                    element.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
                    json!({name: [element]})
                }
                None if ["minReplicas", "targetCPUUtilization"].contains(name) => {
                    json!({*name: value, "maxReplicas": 10})
                }
                // Hops alone are refused, and what load balancers alone have.
                None if *name == "hops" => json!({"hops": value, "trustedProxies": ["10.0.0.0/8"]}),
                None if *name == "service" && value.get("type").is_none() => {
                    value["type"] = json!("LoadBalancer");
                    json!({*name: value})
                }
                None => json!({*name: value}),
            };
        }
        value.as_object_mut().unwrap().entry("northSouth").or_insert_with(|| json!({}));
        if path.ends_with(".nodePort") {
            let tier = if path.contains("eastWest") { "eastWest" } else { "northSouth" };
            value[tier]["service"] = json!({"type": "NodePort"});
        }
        assert_eq!(refusals(&value), Vec::<String>::new(), "{path}: {example}");
        let typed: GatewayConfigSpec = serde_json::from_value(value.clone()).unwrap();
        // The example differs from the default: somebody who copies it sees an effect.
        let default =
            GatewayConfigSpec { north_south: Some(TierSpec::default()), ..Default::default() };
        let both = GatewayConfigSpec { east_west: Some(TierSpec::default()), ..default.clone() };
        let is_required = text.contains("Required.");
        assert!(is_required || typed != default && typed != both, "{path}: {example}");
        count += 1;
    });
    assert!(count > 50, "{count}");
}

/// The API server fills in what the types fill in: a GatewayConfig means the same before and after admission.
#[test]
fn defaults_of_the_schema_are_the_defaults_of_the_types() {
    let sparse = json!({
        "northSouth": {},
        "eastWest": {"limits": {}, "drain": {"delay": "1s"}, "resources": {"limits": {"cpu": 1}}, "service": {}, "sourceRanges": {}, "pod": {}, "tls": {}, "timeouts": {"idle": "2m"}, "clientIPDetection": {}},
        "observability": {"accessLog": {}},
    });
    let object = json!({"apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig", "metadata": {"name": "a"}, "spec": sparse});
    let defaulted = kube_cel::apply_defaults(&schema(), &object);
    let typed: GatewayConfig = serde_json::from_value(object).unwrap();
    let admitted: GatewayConfig = serde_json::from_value(defaulted.clone()).unwrap();
    assert_eq!(typed, admitted);
    assert_eq!(serde_json::to_value(&typed.spec).unwrap(), defaulted["spec"]);
    assert_eq!(typed.spec.north_south, Some(TierSpec::default()));
}

/// Bounded lists, maps and texts keep the estimated cost of the rules below the API server's budget.
#[test]
fn everything_that_a_rule_reads_is_bounded() {
    walk("spec", &schema()["properties"]["spec"], &mut |path, field| {
        let bound = match field["type"].as_str() {
            Some("array") => "maxItems",
            Some("string") if field["enum"].is_null() => "maxLength",
            Some("object") if field["additionalProperties"].is_object() => "maxProperties",
            _ => return,
        };
        assert!(
            field[bound].is_number() || path.ends_with(".*") && !path.contains("labels"),
            "{path} has no {bound}"
        );
    });
}
