//! The `scale` subresource (`autoscaling/v1` `Scale`).

use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, decode, patch, write::Writing};
use crate::{
    body::{self, Reply},
    error::{Answer, Cause, Failure},
    object,
    resource::Resource,
    server::Shared,
};

/// The scale of an object.
pub(super) fn read(resource: &Resource, object: &Value) -> Value {
    let Some(scale) = &resource.scale else { return Value::Null };
    let at = |path: &[String]| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        object::at(object, &path).cloned()
    };
    let meta = |field: &str| object["metadata"].get(field).cloned().unwrap_or_default();
    let selector = match &scale.selector {
        Some(path) => at(path).unwrap_or(json!("")),
        None => json!(selector_text(&object["spec"]["selector"])),
    };
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta("name"), "namespace": meta("namespace"), "uid": meta("uid"),
            "resourceVersion": meta("resourceVersion"), "creationTimestamp": meta("creationTimestamp"),
        },
        "spec": {"replicas": at(&scale.spec_replicas).unwrap_or(json!(0))},
        "status": {"replicas": at(&scale.status_replicas).unwrap_or(json!(0)), "selector": selector},
    })
}

/// A label selector in text.
fn selector_text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object();
    let parts: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    parts.join(",")
}

/// `PUT` and `PATCH` of the scale.
pub(super) fn write(shared: &Shared, resource: &Resource, call: &Call) -> Answer<Reply> {
    let Some(scale) = &resource.scale else { return Err(Failure::no_such_path()) };
    let writing = Writing::parse(resource, call)?;
    let stored = shared.write(|state| {
        let old = state.find(resource, &call.key())?;
        let current = read(resource, &old);
        let wanted = if call.method == http::Method::PATCH {
            patch::untyped(call, &current)?
        } else {
            decode::body(call)?.0
        };
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or_default();
        if replicas < 0 {
            let cause = Cause::invalid(
                "spec.replicas",
                &json!(replicas),
                "must be greater than or equal to 0",
            );
            return Err(Failure::invalid(resource, object::name(&old), vec![cause]));
        }
        let mut object = Value::clone(&old);
        set(&mut object, &scale.spec_replicas, json!(replicas));
        let version = object::meta(&wanted, "resourceVersion").to_owned();
        if !version.is_empty() {
            object::meta_mut(&mut object).insert("resourceVersion".into(), json!(version));
        }
        state.replace(&writing, &old, object)
    })?;
    Ok(body::json(StatusCode::OK, &read(resource, &stored)))
}

fn set(object: &mut Value, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            object::as_map(object).insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = object::as_map(object).entry(first.clone()).or_insert_with(|| json!({}));
            set(inner, rest, value);
        }
    }
}
