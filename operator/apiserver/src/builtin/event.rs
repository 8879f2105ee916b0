//! Events: one store, two APIs. Stored as `core/v1`.

use serde_json::{Value, json};

use crate::object::as_map;

/// (field of `events.k8s.io/v1`, field of `core/v1`).
const FIELDS: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// The name in the store of a field that selectors use.
pub(crate) fn stored_field(name: &str) -> String {
    let (head, rest) = name.split_once('.').map_or((name, None), |(h, r)| (h, Some(r)));
    let stored = FIELDS.iter().find(|(new, _)| *new == head).map_or(head, |(_, old)| old);
    match rest {
        Some(rest) => format!("{stored}.{rest}"),
        None => stored.to_owned(),
    }
}

/// From `events.k8s.io/v1` to the stored form.
pub(crate) fn to_stored(event: &mut Value) {
    rename(event, |(new, old)| (new, old));
}

/// From the stored form to `events.k8s.io/v1`.
pub(crate) fn to_served(event: &mut Value) {
    rename(event, |(new, old)| (old, new));
}

fn rename(
    event: &mut Value,
    direction: fn((&'static str, &'static str)) -> (&'static str, &'static str),
) {
    let map = as_map(event);
    for pair in FIELDS {
        let (from, to) = direction(pair);
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

/// Defaults of an event: Go writes these even when they are empty.
pub(super) fn default(event: &mut Value) {
    let map = as_map(event);
    for field in ["eventTime", "firstTimestamp", "lastTimestamp"] {
        map.entry(field).or_insert(Value::Null);
    }
    for field in ["reportingComponent", "reportingInstance"] {
        map.entry(field).or_insert_with(|| json!(""));
    }
    map.entry("source").or_insert_with(|| json!({}));
}
