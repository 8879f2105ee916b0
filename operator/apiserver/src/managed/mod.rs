//! Who owns which field (`metadata.managedFields`).

use serde_json::Value;

use crate::{object, verbs::Writing};

/// Records what a write that is no apply changed.
pub(crate) fn track(_writing: &Writing<'_>, _old: Option<&Value>, _object: &mut Value) {}

/// Are two states equal but for the times of their managers?
pub(crate) fn same_but_times(old: &Value, new: &Value) -> bool {
    let stripped = |value: &Value| {
        let mut value = value.clone();
        if let Some(list) = value["metadata"]["managedFields"].as_array_mut() {
            for entry in list {
                object::as_map(entry).remove("time");
            }
        }
        value
    };
    old == new || stripped(old) == stripped(new)
}
