//! Unknown fields: found for `fieldValidation`, and dropped.

use serde_json::Value;

use super::Schema;

/// Drops fields that the schema does not know and returns their paths, in order.
/// `root` keeps `apiVersion`, `kind` and `metadata`, which every object has.
pub(crate) fn prune(value: &mut Value, schema: &Schema, root: bool) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(value, schema, root, "", &mut unknown);
    unknown
}

fn walk(value: &mut Value, schema: &Schema, root: bool, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let root = root || schema.embedded;
            let untyped =
                schema.kind.is_none() && schema.properties.is_empty() && !schema.int_or_string;
            map.retain(|name, inner| {
                let path = join(path, name);
                if let Some(field) = schema.field(name) {
                    walk(inner, field, false, &path, unknown);
                    return true;
                }
                let kept = schema.keeps_unknown()
                    || (untyped && !root)
                    || (root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
                if !kept {
                    unknown.push(path);
                }
                kept
            });
        }
        Value::Array(list) => {
            if let Some(items) = &schema.items {
                for (index, inner) in list.iter_mut().enumerate() {
                    walk(inner, items, false, &format!("{path}[{index}]"), unknown);
                }
            }
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
