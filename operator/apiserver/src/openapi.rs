//! OpenAPI v3, which kubectl reads before it applies, validates or explains: one document per group version.
//!
//! Strategic merge patch is not among the advertised patches, so kubectl computes plain merge patches instead.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    builtin::definitions::{OBJECT_META, structure},
    discovery::groups,
    registry::Registry,
    resource::Resource,
};

const REFERENCE: &str = "#/components/schemas/";

/// `/openapi/v3`: where the document of each group version is. The hash lets clients cache.
pub(crate) fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for (group, versions) in groups(registry) {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            let hash = fingerprint(registry, group, version);
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// Changes with the document: with the version of this program, the served kinds and their schemas.
fn fingerprint(registry: &Registry, group: &str, version: &str) -> String {
    use sha2::Digest;
    let mut digest = sha2::Sha256::new();
    digest.update(env!("CARGO_PKG_VERSION"));
    for resource in registry.all().filter(|r| r.group == group && r.version == version) {
        digest.update(&resource.kind);
        if let Some(custom) = &resource.custom {
            digest.update(custom.raw.to_string());
        }
    }
    let digest = digest.finalize();
    let head = digest.first_chunk::<16>().copied().unwrap_or_default();
    format!("{:032X}", u128::from_be_bytes(head))
}

/// The document of one group version.
pub(crate) fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let resources: Vec<&Resource> = registry
        .all()
        .map(AsRef::as_ref)
        .filter(|r| r.group == group && r.version == version)
        .collect();
    if resources.is_empty() {
        return None;
    }
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for resource in resources {
        let name = definition_name(resource);
        let mut schema = match &resource.custom {
            Some(custom) => custom_schema(&custom.raw),
            None => structure().raw.get(&name).cloned().unwrap_or_default(),
        };
        schema["x-kubernetes-group-version-kind"] = json!([kind_of(resource)]);
        include_references(&schema, &mut schemas);
        schemas.insert(name.clone(), schema);
        add_paths(resource, &name, &mut paths);
    }
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.3"},
        "paths": paths, "components": {"schemas": schemas},
    }))
}

fn kind_of(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

/// Built-in kinds keep Go's names; custom ones have their group, reversed.
fn definition_name(resource: &Resource) -> String {
    if let Some(name) = &resource.definition {
        return name.clone();
    }
    let mut parts: Vec<&str> = resource.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), resource.version, resource.kind)
}

/// A custom resource's schema with the fields that every object has.
fn custom_schema(raw: &Value) -> Value {
    let mut schema = raw.clone();
    schema["properties"]["apiVersion"] = json!({"type": "string", "description": "APIVersion defines the versioned schema of this representation of an object."});
    schema["properties"]["kind"] = json!({"type": "string", "description": "Kind is a string value representing the REST resource this object represents."});
    schema["properties"]["metadata"] = json!({
        "description": "Standard object's metadata.", "allOf": [{"$ref": format!("{REFERENCE}{OBJECT_META}")}],
    });
    schema
}

/// Copies the definitions that a schema refers to, and those that they refer to.
fn include_references(schema: &Value, schemas: &mut Map<String, Value>) {
    let mut open = BTreeSet::new();
    collect(schema, &mut open);
    while let Some(name) = open.pop_first() {
        if schemas.contains_key(&name) {
            continue;
        }
        let Some(definition) = structure().raw.get(&name) else { continue };
        schemas.insert(name, definition.clone());
        collect(definition, &mut open);
    }
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                names.extend(target.strip_prefix(REFERENCE).map(str::to_owned));
            }
            map.values().for_each(|inner| collect(inner, names));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, names)),
        _ => {}
    }
}

fn add_paths(resource: &Resource, name: &str, paths: &mut Map<String, Value>) {
    let root = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{scope}/{}", resource.plural);
    let operation = |action: &str, media: &[&str]| {
        let mut operation = json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind_of(resource),
            "parameters": parameters(action),
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"$ref": format!("{REFERENCE}{name}")}}}}},
        });
        if !media.is_empty() {
            let content: Map<String, Value> = media
                .iter()
                .map(|m| {
                    ((*m).to_owned(), json!({"schema": {"$ref": format!("{REFERENCE}{name}")}}))
                })
                .collect();
            operation["requestBody"] = json!({"content": content, "required": true});
        }
        operation
    };
    let any = &["*/*"][..];
    let patches = &[
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
    ][..];
    let mut many = Map::from_iter([("post".to_owned(), operation("post", any))]);
    if resource.verbs.contains(&"get") {
        many.insert("get".into(), operation("list", &[]));
        many.insert("delete".into(), operation("deletecollection", &[]));
        let one = json!({
            "get": operation("get", &[]), "put": operation("put", any),
            "patch": operation("patch", patches), "delete": operation("delete", &[]),
        });
        paths.insert(format!("{collection}/{{name}}"), one);
    }
    paths.insert(collection, Value::Object(many));
}

/// kubectl looks for `fieldValidation` and `dryRun` here.
fn parameters(action: &str) -> Value {
    let names: &[&str] = match action {
        "post" | "put" => &["dryRun", "fieldManager", "fieldValidation"],
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "delete" => &["dryRun", "gracePeriodSeconds", "propagationPolicy"],
        _ => &[],
    };
    names.iter().map(|n| json!({"name": n, "in": "query", "schema": {"type": "string", "uniqueItems": true}})).collect()
}
