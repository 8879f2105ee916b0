//! Node ports of Services, and the fields that go with a Service's type.

use serde_json::{Map, Value, json};

use super::{pod::items, service::others};
use crate::{
    error::Cause,
    names,
    object::{self, as_map},
    server::State,
};

/// Whether a Service with this spec has the field.
type Has = fn(&Value) -> bool;

/// What only some types have; an update to a type without it drops it, unless the update changes it, too.
const OF_TYPE: [(&str, Has); 4] = [
    ("healthCheckNodePort", needs_check),
    ("allocateLoadBalancerNodePorts", is_balanced),
    ("loadBalancerClass", is_balanced),
    ("externalTrafficPolicy", is_external),
];

fn kind(spec: &Value) -> &str {
    object::text(spec, &["type"])
}

fn is_balanced(spec: &Value) -> bool {
    kind(spec) == "LoadBalancer"
}

fn is_external(spec: &Value) -> bool {
    matches!(kind(spec), "NodePort" | "LoadBalancer")
}

/// Whether load balancers ask the nodes which of them have endpoints.
fn needs_check(spec: &Value) -> bool {
    is_balanced(spec) && spec["externalTrafficPolicy"] == json!("Local")
}

fn needs_node_ports(spec: &Value) -> bool {
    kind(spec) == "NodePort"
        || is_balanced(spec) && spec["allocateLoadBalancerNodePorts"] != json!(false)
}

/// What was allocated stays, unless the type says that it goes.
pub(super) fn keep(old: &Value, spec: &mut Map<String, Value>) {
    let new = Value::Object(spec.clone());
    if needs_node_ports(old) && needs_node_ports(&new) {
        keep_node_ports(old, &new, spec);
    } else if needs_node_ports(old) && adds_no_node_port(old, &new) {
        for port in items(spec, "ports") {
            as_map(port).remove("nodePort");
        }
    }
    if needs_check(old) && needs_check(&new) && !spec.contains_key("healthCheckNodePort") {
        object::copy_field(old, spec, "healthCheckNodePort");
    }
    for (field, has) in OF_TYPE {
        if has(old) && !has(&new) && new.get(field) == old.get(field) {
            spec.remove(field);
        }
    }
}

/// By the names of the ports. A port that another one asks for now is not given back.
fn keep_node_ports(old: &Value, new: &Value, spec: &mut Map<String, Value>) {
    let asked = node_ports(new);
    for port in items(spec, "ports") {
        let former = object::list(old, &["ports"]).iter().rfind(|p| p["name"] == port["name"]);
        let former = former.and_then(|port| port["nodePort"].as_u64()).unwrap_or_default();
        if port["nodePort"].as_u64().unwrap_or_default() == 0
            && former != 0
            && !asked.contains(&former)
        {
            as_map(port).insert("nodePort".into(), json!(former));
        }
    }
}

/// Ports may have gone with the type, or be kept; only a new one is somebody's wish.
fn adds_no_node_port(old: &Value, new: &Value) -> bool {
    let known = node_ports(old);
    node_ports(new).iter().all(|port| *port == 0 || known.contains(port))
}

fn node_ports(spec: &Value) -> Vec<u64> {
    let ports = object::list(spec, &["ports"]).iter();
    ports.map(|port| port["nodePort"].as_u64().unwrap_or_default()).collect()
}

/// Gives node ports, also for the load balancer's health checks.
pub(super) fn give(state: &State, uid: &str, spec: &mut Map<String, Value>) -> Result<(), Cause> {
    let whole = Value::Object(spec.clone());
    let (first, last) = state.options.node_ports;
    let mut used: Vec<(u64, String)> = Vec::new();
    for service in others(state, uid) {
        for port in object::list(service, &["spec", "ports"]) {
            if let Some(node) = port["nodePort"].as_u64() {
                used.push((node, object::text(port, &["protocol"]).to_owned()));
            }
        }
        if let Some(check) = service["spec"]["healthCheckNodePort"].as_u64() {
            used.push((check, "TCP".to_owned()));
        }
    }
    let free = |used: &[(u64, String)], protocol: &str| {
        let is_free = |port: &u64| !used.iter().any(|(p, of)| p == port && of == protocol);
        (u64::from(first)..=last.into()).find(is_free)
    };
    for (index, port) in items(spec, "ports").iter_mut().enumerate() {
        let protocol = object::text(port, &["protocol"]).to_owned();
        let at = format!("spec.ports[{index}].nodePort");
        if let Some(asked) = port["nodePort"].as_u64().filter(|p| *p > 0) {
            if !is_external(&whole) {
                return Err(Cause::forbidden(at, "may not be used when `type` is 'ClusterIP'"));
            }
            if asked < first.into() || asked > last.into() {
                let detail = format!(
                    "provided port is not in the valid range. The range of valid ports is {first}-{last}"
                );
                return Err(Cause::invalid(at, &json!(asked), &detail));
            }
            if used.contains(&(asked, protocol.clone())) {
                let detail = "provided port is already allocated";
                return Err(Cause::invalid(at, &json!(asked), detail));
            }
            used.push((asked, protocol));
        } else if needs_node_ports(&whole) {
            let Some(free) = free(&used, &protocol) else {
                return Err(Cause::invalid(at, &json!(0), "range is full"));
            };
            as_map(port).insert("nodePort".into(), json!(free));
            used.push((free, protocol));
        }
    }
    if needs_check(&whole) && !spec.contains_key("healthCheckNodePort") {
        let at = "spec.healthCheckNodePort";
        let port =
            free(&used, "TCP").ok_or_else(|| Cause::invalid(at, &json!(0), "range is full"))?;
        spec.insert("healthCheckNodePort".into(), json!(port));
    }
    Ok(())
}

/// Rules of the fields that go with the type.
pub(super) fn validate(old: Option<&Value>, service: &Value, causes: &mut Vec<Cause>) {
    let spec = &service["spec"];
    let only_balanced = "may only be used when `type` is 'LoadBalancer'";
    let ranges = object::list(spec, &["loadBalancerSourceRanges"]);
    let at = "spec.LoadBalancerSourceRanges";
    if !ranges.is_empty() && !is_balanced(spec) {
        causes.push(Cause::forbidden(at, only_balanced));
    }
    for (index, range) in ranges.iter().enumerate() {
        let fault = names::network_fault(range.as_str().unwrap_or_default().trim());
        if let Some(detail) = fault {
            causes.push(Cause::invalid(format!("{at}[{index}]"), range, detail));
        }
    }
    for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        if spec.get(field).is_some() && !is_balanced(spec) {
            causes.push(Cause::forbidden(format!("spec.{field}"), only_balanced));
        }
    }
    let policy = &spec["externalTrafficPolicy"];
    if !is_external(spec) && !policy.is_null() {
        let detail = "may only be set for externally-accessible services";
        causes.push(Cause::invalid("spec.externalTrafficPolicy", policy, detail));
    }
    for field in ["externalTrafficPolicy", "internalTrafficPolicy"] {
        let allowed = ["Cluster", "Local"].map(str::to_owned);
        let value = object::text(spec, &[field]);
        if !value.is_empty() && !allowed.iter().any(|known| known == value) {
            causes.push(Cause::not_supported(format!("spec.{field}"), &spec[field], &allowed));
        }
    }
    if let Some(old) = old.map(|old| &old["spec"]) {
        validate_change(old, spec, causes);
    }
}

fn validate_change(old: &Value, spec: &Value, causes: &mut Vec<Cause>) {
    let (at, class) = ("spec.loadBalancerClass", &spec["loadBalancerClass"]);
    if is_balanced(old) && is_balanced(spec) && *class != old["loadBalancerClass"] {
        causes.push(Cause::invalid(at, class, "may not change once set"));
    }
    let check = "healthCheckNodePort";
    if needs_check(old) && needs_check(spec) && spec[check] != old[check] {
        causes.push(Cause::forbidden("spec.healthCheckNodePort", "field is immutable"));
    }
}
