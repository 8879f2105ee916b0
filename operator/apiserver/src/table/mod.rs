//! Tables, which `kubectl get` prints.

/// The columns of one resource.
#[derive(Debug, Default)]
pub(crate) struct Columns {}

/// A table of objects.
pub(crate) fn render(
    _resource: &crate::resource::Resource,
    objects: &[&serde_json::Value],
    _params: &crate::request::Params,
) -> serde_json::Value {
    let rows: Vec<serde_json::Value> = objects
        .iter()
        .map(|o| serde_json::json!({"cells": [crate::object::name(o)], "object": o}))
        .collect();
    serde_json::json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}], "rows": rows})
}
