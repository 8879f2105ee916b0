//! Discovery: which groups, versions and resources there are, in the legacy lists and aggregated.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    body::{self, Reply},
    error::{Answer, Failure},
    registry::Registry,
    request::{Form, Route},
    resource::{Resource, group_version},
};

/// Media type of an aggregated answer.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Answers a discovery path.
pub(crate) fn answer(registry: &Registry, route: &Route, form: Form) -> Answer<Reply> {
    let aggregated = form == Form::Discovery;
    match route {
        Route::CoreVersions if aggregated => Ok(aggregate(registry, true)),
        Route::Groups if aggregated => Ok(aggregate(registry, false)),
        Route::CoreVersions => Ok(ok(&json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }))),
        Route::Groups => {
            let groups: Vec<Value> = groups(registry)
                .iter()
                .filter(|(g, _)| !g.is_empty())
                .map(|(g, v)| group(g, v))
                .collect();
            Ok(ok(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})))
        }
        Route::Group(name) => {
            let all = groups(registry);
            let versions = all.get(name.as_str()).ok_or_else(Failure::no_such_path)?;
            let mut found = group(name, versions);
            found["kind"] = json!("APIGroup");
            found["apiVersion"] = json!("v1");
            Ok(ok(&found))
        }
        Route::Resources { group, version } => resources(registry, group, version),
        Route::OpenApiIndex => Ok(ok(&crate::openapi::index(registry))),
        Route::OpenApi { group, version } => crate::openapi::document(registry, group, version)
            .map(|document| ok(&document))
            .ok_or_else(Failure::no_such_path),
        _ => Err(Failure::no_such_path()),
    }
}

fn ok(value: &Value) -> Reply {
    body::json(StatusCode::OK, value)
}

/// Groups with their versions, both in the order in which they are served.
pub(crate) fn groups(registry: &Registry) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource in registry.all() {
        let versions = groups.entry(&resource.group).or_default();
        if !versions.contains(&resource.version.as_str()) {
            versions.push(&resource.version);
        }
    }
    groups
}

fn group(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|v| json!({"groupVersion": group_version(name, v), "version": v}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

fn resources(registry: &Registry, group: &str, version: &str) -> Answer<Reply> {
    let mut list = Vec::new();
    for resource in registry.all().filter(|r| r.group == group && r.version == version) {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.verbs,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        list.push(entry);
        for sub in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, sub.name), "singularName": "",
                "namespaced": resource.namespaced, "kind": sub.kind, "verbs": sub.verbs,
            });
            if let Some((group, version)) = sub.group_version {
                entry["group"] = json!(group);
                entry["version"] = json!(version);
            }
            list.push(entry);
        }
    }
    if list.is_empty() {
        return Err(Failure::no_such_path());
    }
    let group_version = group_version(group, version);
    Ok(ok(
        &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}),
    ))
}

struct Subresource {
    name: &'static str,
    kind: String,
    verbs: &'static [&'static str],
    group_version: Option<(&'static str, &'static str)>,
}

fn subresources(resource: &Resource) -> Vec<Subresource> {
    let own =
        |name, verbs| Subresource { name, kind: resource.kind.clone(), verbs, group_version: None };
    let mut subs = Vec::new();
    if resource.plural == "pods" && resource.group.is_empty() {
        subs.push(own("log", &["get"]));
    }
    if resource.scale.is_some() {
        subs.push(Subresource {
            name: "scale",
            kind: "Scale".into(),
            verbs: &["get", "patch", "update"],
            group_version: Some(("autoscaling", "v1")),
        });
    }
    if resource.status {
        subs.push(own("status", &["get", "patch", "update"]));
    }
    subs
}

fn aggregate(registry: &Registry, core: bool) -> Reply {
    let items: Vec<Value> = groups(registry)
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| aggregate_version(registry, group, version))
                .collect();
            let metadata = if core { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    body::typed(StatusCode::OK, AGGREGATED, &list)
}

fn aggregate_version(registry: &Registry, group: &str, version: &str) -> Value {
    let mut resources = Vec::new();
    for resource in registry.all().filter(|r| r.group == group && r.version == version) {
        let kind = json!({"group": group, "version": version, "kind": resource.kind});
        let mut entry = json!({
            "resource": resource.plural, "responseKind": kind, "singularResource": resource.singular,
            "scope": if resource.namespaced { "Namespaced" } else { "Cluster" }, "verbs": resource.verbs,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        let subs: Vec<Value> = subresources(resource)
            .into_iter()
            .map(|sub| {
                let (group, version) = sub.group_version.unwrap_or((group, version));
                json!({"subresource": sub.name, "verbs": sub.verbs,
                    "responseKind": {"group": group, "version": version, "kind": sub.kind}})
            })
            .collect();
        if !subs.is_empty() {
            entry["subresources"] = json!(subs);
        }
        resources.push(entry);
    }
    json!({"version": version, "freshness": "Current", "resources": resources})
}
