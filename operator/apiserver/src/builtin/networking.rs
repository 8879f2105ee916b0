//! Ingresses, their classes, EndpointSlices and NetworkPolicies.

use serde_json::{Value, json};

use super::pod::items;
use crate::{
    error::Cause,
    names,
    object::{self, as_map, default_to, field_mut},
    server::State,
};

const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

/// An Ingress that names no class gets the default one; of several the youngest.
pub(super) fn choose_class(state: &State, ingress: &mut Value) {
    let named = ingress["spec"].get("ingressClassName").is_some();
    let annotated = ingress["metadata"]["annotations"].get(OLD_CLASS).is_some();
    if named || annotated {
        return;
    }
    let classes = state.store.collection("networking.k8s.io/ingressclasses").objects.values();
    let marked =
        |c: &&std::sync::Arc<Value>| c["metadata"]["annotations"][DEFAULT_CLASS] == json!("true");
    let age = |c: &&std::sync::Arc<Value>| {
        let name = std::cmp::Reverse(object::name(c).to_owned());
        (object::meta(c, "creationTimestamp").to_owned(), name)
    };
    if let Some(class) = classes.filter(marked).max_by_key(age) {
        let name = object::name(class).to_owned();
        field_mut(ingress, "spec").insert("ingressClassName".into(), json!(name));
    }
}

/// Rules of an Ingress.
pub(super) fn validate_ingress(ingress: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = &ingress["spec"];
    let rules = object::list(spec, &["rules"]);
    if rules.is_empty() && spec["defaultBackend"].is_null() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        causes.push(Cause::invalid("spec", &json!([]), detail));
    }
    if !spec["defaultBackend"].is_null() {
        validate_backend(&spec["defaultBackend"], "spec.defaultBackend", &mut causes);
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        validate_host(object::text(rule, &["host"]), &format!("{at}.host"), &mut causes);
        if rule.get("http").is_none() {
            continue;
        }
        let paths = object::list(rule, &["http", "paths"]);
        if paths.is_empty() {
            causes.push(Cause::required(format!("{at}.http.paths"), ""));
        }
        for (i, path) in paths.iter().enumerate() {
            validate_path(path, &format!("{at}.http.paths[{i}]"), &mut causes);
        }
    }
    for (index, tls) in object::list(spec, &["tls"]).iter().enumerate() {
        for (i, host) in object::list(tls, &["hosts"]).iter().enumerate() {
            let at = format!("spec.tls[{index}].hosts[{i}]");
            validate_host(host.as_str().unwrap_or_default(), &at, &mut causes);
        }
    }
    causes
}

fn validate_host(host: &str, at: &str, causes: &mut Vec<Cause>) {
    if host.is_empty() {
        return;
    }
    if host.parse::<std::net::IpAddr>().is_ok() {
        causes.push(Cause::invalid(at, &json!(host), "must be a DNS name, not an IP address"));
        return;
    }
    let fault = names::subdomain_fault(host.strip_prefix("*.").unwrap_or(host));
    if let Some(fault) = fault {
        causes.push(Cause::invalid(at, &json!(host), fault));
    }
}

fn validate_path(path: &Value, at: &str, causes: &mut Vec<Cause>) {
    let text = object::text(path, &["path"]);
    match object::text(path, &["pathType"]) {
        "" => causes.push(Cause::required(format!("{at}.pathType"), "pathType must be specified")),
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                causes.push(Cause::invalid(
                    format!("{at}.path"),
                    &json!(text),
                    "must be an absolute path",
                ));
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"] {
                if text.contains(bad) {
                    let detail = format!("must not contain '{bad}'");
                    causes.push(Cause::invalid(format!("{at}.path"), &json!(text), &detail));
                }
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                causes.push(Cause::invalid(
                    format!("{at}.path"),
                    &json!(text),
                    "must be an absolute path",
                ));
            }
        }
        other => {
            let allowed = ["Exact", "ImplementationSpecific", "Prefix"].map(str::to_owned);
            causes.push(Cause::not_supported(format!("{at}.pathType"), &json!(other), &allowed));
        }
    }
    validate_backend(&path["backend"], &format!("{at}.backend"), causes);
}

fn validate_backend(backend: &Value, at: &str, causes: &mut Vec<Cause>) {
    match (backend.get("service"), backend.get("resource")) {
        (None, None) => causes.push(Cause::required(at, "either service or resource is required")),
        (Some(_), Some(_)) => {
            causes.push(Cause::invalid(
                at,
                &json!(""),
                "cannot set both resource and service backends",
            ));
        }
        (Some(service), None) => {
            if object::text(service, &["name"]).is_empty() {
                causes.push(Cause::required(format!("{at}.service.name"), ""));
            }
            let port = &service["port"];
            let named = !object::text(port, &["name"]).is_empty();
            match (named, port["number"].as_i64().unwrap_or_default()) {
                (false, 0) => causes.push(Cause::required(at, "port name or number is required")),
                (true, number) if number != 0 => {
                    causes.push(Cause::invalid(
                        at,
                        &json!(""),
                        "cannot set both port name & port number",
                    ));
                }
                (false, number) if !(1..=65535).contains(&number) => {
                    let detail = "must be between 1 and 65535, inclusive";
                    causes.push(Cause::invalid(
                        format!("{at}.service.port.number"),
                        &json!(number),
                        detail,
                    ));
                }
                _ => {}
            }
        }
        (None, Some(_)) => {}
    }
}

/// Defaults of an IngressClass: parameters are of cluster scope unless they say otherwise.
pub(super) fn default_class(class: &mut Value) {
    if class["spec"]["parameters"].is_object() {
        let spec = field_mut(class, "spec");
        if let Some(parameters) = spec.get_mut("parameters") {
            default_to(as_map(parameters), "scope", "Cluster");
        }
    }
}

/// Rules of an IngressClass.
pub(super) fn validate_class(old: Option<&Value>, class: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let controller = object::text(class, &["spec", "controller"]);
    if !controller.is_empty()
        && controller
            .split_once('/')
            .is_none_or(|(host, path)| path.is_empty() || names::subdomain_fault(host).is_some())
    {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        causes.push(Cause::invalid("spec.controller", &json!(controller), detail));
    }
    if old.is_some_and(|old| object::text(old, &["spec", "controller"]) != controller) {
        causes.push(Cause::invalid("spec.controller", &json!(controller), "field is immutable"));
    }
    let parameters = &class["spec"]["parameters"];
    if !parameters.is_object() {
        return causes;
    }
    for field in ["kind", "name"] {
        if object::text(parameters, &[field]).is_empty() {
            causes.push(Cause::required(format!("spec.parameters.{field}"), ""));
        }
    }
    let namespace = object::text(parameters, &["namespace"]);
    match object::text(parameters, &["scope"]) {
        "Cluster" if !namespace.is_empty() => {
            let detail = "`parameters.scope` is set to 'Cluster'";
            causes.push(Cause::forbidden("spec.parameters.namespace", detail));
        }
        "Namespace" if namespace.is_empty() => {
            let detail = "`parameters.scope` is set to 'Namespace'";
            causes.push(Cause::required("spec.parameters.namespace", detail));
        }
        "Cluster" | "Namespace" => {}
        other => {
            let allowed = ["Cluster", "Namespace"].map(str::to_owned);
            causes.push(Cause::not_supported("spec.parameters.scope", &json!(other), &allowed));
        }
    }
    causes
}

/// Defaults of an EndpointSlice.
pub(super) fn default_slice(slice: &mut Value) {
    let map = as_map(slice);
    default_to(map, "endpoints", json!([]));
    for port in items(map, "ports") {
        let port = as_map(port);
        default_to(port, "name", "");
        default_to(port, "protocol", "TCP");
    }
}

/// Rules of an EndpointSlice. Unlike in a real cluster, loopback addresses are welcome.
pub(super) fn validate_slice(old: Option<&Value>, slice: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let kind = object::text(slice, &["addressType"]);
    if kind.is_empty() {
        causes.push(Cause::required("addressType", ""));
    } else if !matches!(kind, "IPv4" | "IPv6" | "FQDN") {
        let allowed = ["FQDN", "IPv4", "IPv6"].map(str::to_owned);
        causes.push(Cause::not_supported("addressType", &json!(kind), &allowed));
    }
    if old.is_some_and(|old| object::text(old, &["addressType"]) != kind) {
        causes.push(Cause::invalid("addressType", &json!(kind), "field is immutable"));
    }
    for (index, endpoint) in object::list(slice, &["endpoints"]).iter().enumerate() {
        let addresses = object::list(endpoint, &["addresses"]);
        if addresses.is_empty() {
            let detail = "must contain at least 1 address";
            causes.push(Cause::required(format!("endpoints[{index}].addresses"), detail));
        }
        for (i, address) in addresses.iter().enumerate() {
            let text = address.as_str().unwrap_or_default();
            let (fits, detail) = match kind {
                "IPv4" => (text.parse::<std::net::Ipv4Addr>().is_ok(), "must be an IPv4 address"),
                "IPv6" => (text.parse::<std::net::Ipv6Addr>().is_ok(), "must be an IPv6 address"),
                _ => (true, ""),
            };
            if !fits {
                causes.push(Cause::invalid(
                    format!("endpoints[{index}].addresses[{i}]"),
                    address,
                    detail,
                ));
            }
        }
    }
    causes
}

/// Defaults of a NetworkPolicy.
pub(super) fn default_policy(policy: &mut Value) {
    let spec = field_mut(policy, "spec");
    let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|e| !e.is_empty());
    let kinds = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    default_to(spec, "policyTypes", kinds);
    for direction in ["ingress", "egress"] {
        for rule in items(spec, direction) {
            for port in items(as_map(rule), "ports") {
                default_to(as_map(port), "protocol", "TCP");
            }
        }
    }
}
