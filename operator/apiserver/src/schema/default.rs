//! Defaults of a structural schema, applied as the API server does: parents before children, `null` of a
//! field that is not nullable but has a default counts as absent.

use serde_json::Value;

use super::{Additional, Schema};

/// Fills in defaults.
pub(crate) fn apply_defaults(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            for (name, field) in &schema.properties {
                if let Some(default) = &field.default {
                    let absent = match map.get(name) {
                        None => true,
                        Some(value) => value.is_null() && !field.nullable,
                    };
                    if absent {
                        map.insert(name.clone(), default.clone());
                    }
                }
                if let Some(inner) = map.get_mut(name) {
                    apply_defaults(inner, field);
                }
            }
            if let Additional::Of(field) = &schema.additional {
                for (name, inner) in map.iter_mut() {
                    if !schema.properties.contains_key(name) {
                        if inner.is_null()
                            && !field.nullable
                            && let Some(default) = &field.default
                        {
                            *inner = default.clone();
                        }
                        apply_defaults(inner, field);
                    }
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &schema.items {
                for inner in list {
                    apply_defaults(inner, items);
                }
            }
        }
        _ => {}
    }
}

/// Drops `null`s where the schema has no `null`: for the API server they are absent.
pub(crate) fn drop_nulls(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            map.retain(|name, inner| match schema.field(name) {
                Some(field) => {
                    drop_nulls(inner, field);
                    !inner.is_null() || field.nullable || field.preserve || field.kind.is_none()
                }
                None => true,
            });
        }
        Value::Array(list) => {
            if let Some(items) = &schema.items {
                for inner in list {
                    drop_nulls(inner, items);
                }
            }
        }
        _ => {}
    }
}
