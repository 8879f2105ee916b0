//! A CustomResourceDefinition as an object: its defaults, its rules, its status.

use serde_json::{Value, json};

use super::rules::compilation_errors;
use crate::{
    error::Cause,
    names,
    object::{self, default_to, field_mut},
};

/// Defaults of `spec.names`, `spec.conversion` and the printer columns.
pub(crate) fn default(definition: &mut Value) {
    let kind = object::text(definition, &["spec", "names", "kind"]).to_owned();
    let spec = field_mut(definition, "spec");
    default_to(spec, "conversion", json!({"strategy": "None"}));
    let names = spec.entry("names").or_insert_with(|| json!({}));
    let names = object::as_map(names);
    default_to(names, "singular", kind.to_lowercase());
    default_to(names, "listKind", format!("{kind}List"));
}

/// What the controllers of a real server write: accepted names, established.
pub(crate) fn observe(old: Option<&Value>, definition: &mut Value) {
    let names = definition["spec"]["names"].clone();
    let stored = object::list(definition, &["spec", "versions"])
        .iter()
        .find(|v| v["storage"] == json!(true))
        .map(|v| v["name"].clone());
    let status = field_mut(definition, "status");
    let mut versions: Vec<Value> =
        old.map_or(&[][..], |o| object::list(o, &["status", "storedVersions"])).to_vec();
    versions.extend(stored.filter(|name| !versions.contains(name)));
    status.insert("storedVersions".into(), json!(versions));
    status.insert("acceptedNames".into(), names);
    if !status.contains_key("conditions") {
        let now = object::now();
        let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
        let conditions = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                "InitialNamesAccepted",
                "the initial names have been accepted"
            ),
        ]);
        status.insert("conditions".into(), conditions);
    }
}

/// Rules that a definition must follow to be served.
pub(crate) fn validate(definition: &Value, old: Option<&Value>) -> Vec<Cause> {
    let text = |path: &[&str]| object::text(definition, path);
    let mut causes = Vec::new();
    for path in [
        &["spec", "group"][..],
        &["spec", "scope"],
        &["spec", "names", "plural"],
        &["spec", "names", "kind"],
    ] {
        if text(path).is_empty() {
            causes.push(Cause::required(path.join("."), ""));
        }
    }
    let name = object::name(definition);
    let expected = format!("{}.{}", text(&["spec", "names", "plural"]), text(&["spec", "group"]));
    if name != expected {
        causes.push(Cause::invalid(
            "metadata.name",
            &json!(name),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let scope = text(&["spec", "scope"]);
    if !scope.is_empty() && !matches!(scope, "Namespaced" | "Cluster") {
        let allowed = ["Cluster".to_owned(), "Namespaced".to_owned()];
        causes.push(Cause::not_supported("spec.scope", &json!(scope), &allowed));
    }
    if let Some(fault) = names::label_fault(text(&["spec", "names", "plural"])) {
        causes.push(Cause::invalid(
            "spec.names.plural",
            &json!(text(&["spec", "names", "plural"])),
            fault,
        ));
    }
    for path in [["spec", "scope"], ["spec", "group"]] {
        if old.is_some_and(|old| object::text(old, &path) != text(&path)) {
            causes.push(Cause::invalid(path.join("."), &json!(text(&path)), "field is immutable"));
        }
    }
    validate_versions(object::list(definition, &["spec", "versions"]), &mut causes);
    causes
}

fn validate_versions(versions: &[Value], causes: &mut Vec<Cause>) {
    let stored = versions.iter().filter(|v| v["storage"] == json!(true)).count();
    if stored != 1 {
        let detail = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &json!(versions), detail));
    }
    for (index, version) in versions.iter().enumerate() {
        let at = format!("spec.versions[{index}].schema.openAPIV3Schema");
        let Some(raw) = object::at(version, &["schema", "openAPIV3Schema"]) else {
            causes.push(Cause::required(at, ""));
            continue;
        };
        if object::text(raw, &["type"]) != "object" {
            causes.push(Cause::invalid(
                format!("{at}.type"),
                &raw["type"],
                "must be object at the root",
            ));
        }
        structural(raw, &at, causes);
        for (path, message) in compilation_errors(raw) {
            causes.push(Cause::invalid(format!("{at}.{path}"), &json!("rule"), &message));
        }
    }
}

/// A structural schema says the type of everything.
fn structural(raw: &Value, path: &str, causes: &mut Vec<Cause>) {
    let flag = |name: &str| raw[name] == json!(true);
    let untyped = object::text(raw, &["type"]).is_empty();
    if untyped
        && !flag("x-kubernetes-int-or-string")
        && !flag("x-kubernetes-preserve-unknown-fields")
    {
        causes.push(Cause::required(
            format!("{path}.type"),
            "must not be empty for specified object fields",
        ));
    }
    for (name, inner) in raw["properties"].as_object().into_iter().flatten() {
        structural(inner, &format!("{path}.properties[{name}]"), causes);
    }
    for field in ["items", "additionalProperties"] {
        if let Some(inner) = raw.get(field).filter(|i| i.is_object()) {
            structural(inner, &format!("{path}.{field}"), causes);
        }
    }
    if object::text(raw, &["type"]) == "array" && raw.get("items").is_none() {
        causes.push(Cause::required(format!("{path}.items"), "must be specified"));
    }
    let keys = object::list(raw, &["x-kubernetes-list-map-keys"]);
    if raw["x-kubernetes-list-type"] == json!("map") && keys.is_empty() {
        causes.push(Cause::required(
            format!("{path}.x-kubernetes-list-map-keys"),
            "must not be empty if x-kubernetes-list-type is map",
        ));
    }
}
