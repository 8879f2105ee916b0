//! Whether something is as a story says.

use serde_json::{Map, Value};

/// Where `seen` is not what is wanted; `None`: nowhere. A wanted object needs its members, a wanted list needs each
/// of its items somewhere, a text that begins with `~` must be contained, and `null` means absent.
pub(crate) fn difference(wanted: &Value, seen: &Value, path: &str) -> Option<String> {
    match (wanted, seen) {
        (Value::Object(wanted), Value::Object(seen)) => wanted.iter().find_map(|(key, value)| {
            difference(value, seen.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))
        }),
        (Value::Array(wanted), Value::Array(seen)) if !wanted.is_empty() => wanted
            .iter()
            .find(|item| !seen.iter().any(|other| difference(item, other, "").is_none()))
            .map(|item| format!("{path} has no {item} but {}", Value::from(seen.clone()))),
        (Value::String(wanted), Value::String(seen)) if wanted.starts_with('~') => {
            let part = wanted.trim_start_matches('~');
            (!seen.contains(part)).then(|| format!("{path} is {seen:?}, without {part:?}"))
        }
        _ => (wanted != seen).then(|| format!("{path} is {seen}, not {wanted}")),
    }
}

/// Adds `conditions: {Type: "Status Reason"}`, which stories can read better than the list.
pub(crate) fn with_conditions(mut object: Value) -> Value {
    let text = |condition: &Value, key| condition[key].as_str().unwrap_or_default().to_owned();
    let conditions: Map<String, Value> = object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|condition| {
            let summary = format!("{} {}", text(condition, "status"), text(condition, "reason"));
            (text(condition, "type"), summary.trim_end().into())
        })
        .collect();
    object["conditions"] = conditions.into();
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_found_and_nothing_else() {
        let seen = json!({"a": {"b": [1, {"c": "hello world"}]}, "d": "x"});
        for fits in [
            json!({"a": {"b": [{"c": "~world"}]}}),
            json!({"d": "x", "e": null}),
            json!({"a": {"b": [1]}}),
        ] {
            assert_eq!(difference(&fits, &seen, ""), None, "{fits}");
        }
        for differs in [
            json!({"d": "y"}),
            json!({"d": null}),
            json!({"e": "x"}),
            json!({"a": {"b": []}}),
            json!({"a": {"b": [2]}}),
            json!({"a": {"b": [{"c": "world"}]}}),
        ] {
            assert!(difference(&differs, &seen, "").is_some(), "{differs}");
        }
    }
}
