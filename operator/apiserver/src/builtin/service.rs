//! Services: defaults, addresses and node ports, rules.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::{pod::items, service_ports as ports};
use crate::{
    error::{Answer, Cause, Failure},
    names,
    object::{self, as_map, default_to, field_mut},
    resource::Resource,
    server::State,
};

const COLLECTION: &str = "/services";

/// Defaults of a Service (`core/v1` `SetDefaults_Service`).
pub(super) fn default(service: &mut Value) {
    let spec = field_mut(service, "spec");
    default_to(spec, "sessionAffinity", "None");
    default_to(spec, "type", "ClusterIP");
    if spec.get("sessionAffinity") == Some(&json!("ClientIP")) {
        let config = as_map(spec.entry("sessionAffinityConfig").or_insert_with(|| json!({})));
        let client = as_map(config.entry("clientIP").or_insert_with(|| json!({})));
        default_to(client, "timeoutSeconds", 10800);
    }
    for port in items(spec, "ports") {
        let port = as_map(port);
        default_to(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        if port.get("targetPort").is_none_or(|t| *t == json!(0) || *t == json!("")) {
            port.insert("targetPort".into(), number);
        }
    }
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        default_to(spec, "internalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        default_to(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default_to(spec, "allocateLoadBalancerNodePorts", true);
    }
    let status = field_mut(service, "status");
    default_to(status, "loadBalancer", json!({}));
}

/// Gives addresses and ports, and keeps those that an update does not name.
pub(super) fn prepare(
    state: &State,
    resource: &Resource,
    old: Option<&Value>,
    service: &mut Value,
) -> Answer<()> {
    let name = object::name(service).to_owned();
    let refuse = |cause: Cause| Failure::invalid(resource, &name, vec![cause]);
    let uid = object::meta(service, "uid").to_owned();
    let spec = field_mut(service, "spec");
    if let Some(old) = old {
        keep_allocated(&old["spec"], spec);
        if spec.get("type") != Some(&json!("LoadBalancer")) {
            field_mut(service, "status").insert("loadBalancer".into(), json!({}));
        }
    }
    let spec = field_mut(service, "spec");
    if spec.get("type") == Some(&json!("ExternalName")) {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            spec.remove(field);
        }
        return Ok(());
    }
    default_to(spec, "ipFamilies", json!(["IPv4"]));
    default_to(spec, "ipFamilyPolicy", "SingleStack");
    give_address(state, &uid, spec).map_err(refuse)?;
    ports::give(state, &uid, spec).map_err(refuse)
}

/// What the server gave stays, unless the type says that it goes.
fn keep_allocated(old: &Value, spec: &mut Map<String, Value>) {
    let external = |kind: Option<&Value>| kind == Some(&json!("ExternalName"));
    let same_address =
        |spec: &Map<String, Value>| spec.get("clusterIP").is_none_or(|ip| *ip == json!(""));
    if external(spec.get("type")) || external(old.get("type")) {
        return;
    }
    if same_address(spec) {
        object::copy_field(old, spec, "clusterIP");
        object::copy_field(old, spec, "clusterIPs");
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if !spec.contains_key(field) {
            object::copy_field(old, spec, field);
        }
    }
    ports::keep(old, spec);
}

fn give_address(state: &State, uid: &str, spec: &mut Map<String, Value>) -> Result<(), Cause> {
    let asked = spec
        .get("clusterIP")
        .and_then(Value::as_str)
        .filter(|ip| !ip.is_empty())
        .or_else(|| spec.get("clusterIPs")?.get(0)?.as_str())
        .map(str::to_owned);
    let (network, length) = state.options.service_network;
    let taken = |address: &str| {
        others(state, uid).any(|s| object::text(s, &["spec", "clusterIP"]) == address)
    };
    let address = match asked {
        Some(none) if none == "None" => none,
        Some(asked) => {
            let within = asked.parse::<Ipv4Addr>().is_ok_and(|ip| contains(network, length, ip));
            let fault = if !within {
                "the provided network does not match the current range".to_owned()
            } else if taken(&asked) {
                "provided IP is already allocated".to_owned()
            } else {
                String::new()
            };
            if !fault.is_empty() {
                let detail = format!("failed to allocate IP {asked}: {fault}");
                return Err(Cause::invalid("spec.clusterIPs", &json!([asked]), &detail));
            }
            asked
        }
        None => {
            let used: std::collections::HashSet<&str> =
                others(state, uid).map(|s| object::text(s, &["spec", "clusterIP"])).collect();
            free_address(network, length, |ip| used.contains(ip)).ok_or_else(|| {
                Cause::invalid(
                    "spec.clusterIPs",
                    &json!([]),
                    "failed to allocate a serviceIP: range is full",
                )
            })?
        }
    };
    spec.insert("clusterIP".into(), json!(address));
    spec.insert("clusterIPs".into(), json!([address]));
    Ok(())
}

pub(super) fn others<'a>(state: &'a State, uid: &'a str) -> impl Iterator<Item = &'a Value> {
    let services = state.store.collection(COLLECTION).objects.values();
    services.map(AsRef::as_ref).filter(move |s| object::meta(s, "uid") != uid)
}

fn contains(network: Ipv4Addr, length: u8, address: Ipv4Addr) -> bool {
    let shift = 32_u32.saturating_sub(length.into());
    u32::from(network).checked_shr(shift) == u32::from(address).checked_shr(shift)
}

/// The first free address; that of the network, the first (the API server's in a real cluster) and the last
/// are nobody's.
fn free_address(network: Ipv4Addr, length: u8, taken: impl Fn(&str) -> bool) -> Option<String> {
    let size = 1_u32.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(u32::MAX);
    (2..size.saturating_sub(1))
        .map(|offset| Ipv4Addr::from(u32::from(network).wrapping_add(offset)).to_string())
        .find(|address| !taken(address))
}

/// Rules of a Service.
pub(super) fn validate(old: Option<&Value>, service: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = &service["spec"];
    let kind = object::text(spec, &["type"]);
    if !matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        let allowed = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"].map(str::to_owned);
        causes.push(Cause::not_supported("spec.type", &spec["type"], &allowed));
    }
    let address = object::text(spec, &["clusterIP"]);
    let ports = object::list(spec, &["ports"]);
    if ports.is_empty() && address != "None" && kind != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    if kind == "ExternalName" && object::text(spec, &["externalName"]).is_empty() {
        causes.push(Cause::required("spec.externalName", ""));
    }
    if let Some(old) = old {
        let before = object::text(old, &["spec", "clusterIP"]);
        let external = [kind, object::text(old, &["spec", "type"])].contains(&"ExternalName");
        if !before.is_empty() && before != address && !external {
            let detail = "may not change once set";
            causes.push(Cause::invalid("spec.clusterIPs[0]", &json!([address]), detail));
        }
    }
    validate_ports(ports, &mut causes);
    ports::validate(old, service, &mut causes);
    causes
}

fn validate_ports(ports: &[Value], causes: &mut Vec<Cause>) {
    for (index, port) in ports.iter().enumerate() {
        let at = |field: &str| format!("spec.ports[{index}].{field}");
        let name = object::text(port, &["name"]);
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(at("name"), ""));
        }
        if let Some(fault) = names::label_fault(name).filter(|_| !name.is_empty()) {
            causes.push(Cause::invalid(at("name"), &json!(name), fault));
        }
        let range = "must be between 1 and 65535, inclusive";
        if !port["port"].as_i64().is_some_and(|p| (1..=65535).contains(&p)) {
            causes.push(Cause::invalid(at("port"), &port["port"], range));
        }
        if port["targetPort"].as_i64().is_some_and(|p| !(1..=65535).contains(&p)) {
            causes.push(Cause::invalid(at("targetPort"), &port["targetPort"], range));
        }
        if !matches!(object::text(port, &["protocol"]), "TCP" | "UDP" | "SCTP") {
            let allowed = ["SCTP", "TCP", "UDP"].map(str::to_owned);
            causes.push(Cause::not_supported(at("protocol"), &port["protocol"], &allowed));
        }
        let earlier = ports.get(..index).unwrap_or_default();
        if !name.is_empty() && earlier.iter().any(|e| e["name"] == port["name"]) {
            causes.push(Cause::duplicate(at("name"), &port["name"]));
        }
        if earlier.iter().any(|e| e["port"] == port["port"] && e["protocol"] == port["protocol"]) {
            let both = json!({"port": port["port"], "protocol": port["protocol"]});
            causes.push(Cause::duplicate(format!("spec.ports[{index}]"), &both));
        }
    }
}
