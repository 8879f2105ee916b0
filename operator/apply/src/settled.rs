//! Whether an object is already as it should be.

use serde_json::{Map, Value};

/// Whether applying `desired` as `manager` would change nothing of `observed`: every desired value is there,
/// and the manager owns nothing else (what it owned and no longer wants would be removed).
///
/// `observed` needs its `managedFields`; without an entry of the manager the answer is no.
#[must_use]
pub fn is_settled(desired: &Value, observed: &Value, manager: &str) -> bool {
    let (Some(desired), Some(observed)) = (desired.as_object(), observed.as_object()) else {
        return false;
    };
    let Some(owned) = owned_fields(observed, manager) else { return false };
    // Identity is no field: nobody owns it.
    let identity = ["apiVersion", "kind"];
    let wanted = desired.iter().filter(|(key, _)| !identity.contains(&key.as_str()));
    let wanted: Map<String, Value> = wanted.map(|(k, v)| (k.clone(), v.clone())).collect();
    members(&wanted, observed, Some(owned))
}

/// Whether `manager` said the value at `path` with its last apply, and nobody took it over since.
#[must_use]
pub fn owns(observed: &Value, manager: &str, path: &[&str]) -> bool {
    let fields = observed.as_object().and_then(|observed| owned_fields(observed, manager));
    let steps = path.iter().map(|name| format!("f:{name}"));
    let found = steps.fold(fields, |fields, step| fields?.get(&step)?.as_object());
    found.is_some()
}

fn owned_fields<'a>(
    observed: &'a Map<String, Value>,
    manager: &str,
) -> Option<&'a Map<String, Value>> {
    let entries = observed.get("metadata")?.get("managedFields")?.as_array()?;
    let ours = entries.iter().find(|entry| {
        entry.get("manager").and_then(Value::as_str) == Some(manager)
            && entry.get("operation").and_then(Value::as_str) == Some("Apply")
            && entry.get("subresource").and_then(Value::as_str).unwrap_or_default().is_empty()
    })?;
    ours.get("fieldsV1")?.as_object()
}

/// `owned` is the part of `fieldsV1` below this value; `None`: nothing is known to be owned.
pub(crate) fn agrees(
    desired: &Value,
    observed: &Value,
    owned: Option<&Map<String, Value>>,
) -> bool {
    match (desired, observed) {
        (Value::Object(desired), Value::Object(observed)) => members(desired, observed, owned),
        (Value::Array(desired), Value::Array(observed)) => items(desired, observed, owned),
        (Value::Number(desired), Value::Number(observed)) => desired.as_f64() == observed.as_f64(),
        _ => desired == observed,
    }
}

/// The API server drops these.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn members(
    desired: &Map<String, Value>,
    observed: &Map<String, Value>,
    owned: Option<&Map<String, Value>>,
) -> bool {
    let there = desired.iter().all(|(key, value)| match observed.get(key) {
        Some(seen) => {
            let owned = owned.and_then(|owned| owned.get(&format!("f:{key}")));
            is_nothing(value) && is_nothing(seen)
                || QUANTITIES.contains(&key.as_str()) && same_quantities(value, seen)
                || agrees(value, seen, owned.and_then(Value::as_object).filter(|o| !o.is_empty()))
        }
        None => is_nothing(value),
    });
    let released = owned.into_iter().flat_map(Map::keys).filter_map(|key| key.strip_prefix("f:"));
    there && released.into_iter().all(|key| desired.contains_key(key))
}

/// Fields that hold quantities, which the API server writes in its own way: `0.5` as `500m`.
const QUANTITIES: [&str; 3] = ["requests", "limits", "sizeLimit"];

fn same_quantities(desired: &Value, observed: &Value) -> bool {
    match (desired, observed) {
        (Value::Object(desired), Value::Object(observed)) => {
            desired.len() == observed.len()
                && desired.iter().all(|(name, one)| {
                    observed.get(name).is_some_and(|other| same_quantities(one, other))
                })
        }
        (Value::String(desired), Value::String(observed)) => {
            match (quantity(desired), quantity(observed)) {
                (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-12,
                _ => false,
            }
        }
        _ => false,
    }
}

fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let suffixed = SUFFIXES.iter().find_map(|(suffix, factor)| {
        Some(text.strip_suffix(suffix)?.parse::<f64>().ok()? * factor)
    });
    suffixed.or_else(|| text.parse().ok())
}

fn items(desired: &[Value], observed: &[Value], owned: Option<&Map<String, Value>>) -> bool {
    let keys: Vec<(Value, Option<&Map<String, Value>>)> = owned
        .into_iter()
        .flatten()
        .filter_map(|(key, below)| {
            let key = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            Some((key, below.as_object()))
        })
        .collect();
    let values = owned.into_iter().flat_map(Map::keys).filter(|key| key.starts_with("v:")).count();
    if !keys.is_empty() {
        // A list that is a map: others may have added items of their own.
        keys.len() == desired.len()
            && desired.iter().all(|item| {
                keys.iter().any(|(key, below)| {
                    has_key(item, key, true)
                        && observed
                            .iter()
                            .any(|seen| has_key(seen, key, false) && agrees(item, seen, *below))
                })
            })
    } else if values > 0 {
        // A list that is a set.
        values == desired.len() && desired.iter().all(|item| observed.contains(item))
    } else {
        desired.len() == observed.len()
            && desired.iter().zip(observed).all(|(item, seen)| agrees(item, seen, None))
    }
}

/// Whether an item is the one that `key` names. A desired one may leave a defaulted part of the key out.
pub(crate) fn has_key(item: &Value, key: &Value, may_lack: bool) -> bool {
    key.as_object().into_iter().flatten().all(|(name, value)| match item.get(name) {
        Some(own) => own == value,
        None => may_lack,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A Deployment as the API server shows it after we applied one: with defaults, and with a field and a
    /// container that others added.
    fn observed() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "d", "namespace": "n", "uid": "u", "labels": {"app": "x", "theirs": "y"},
                "managedFields": [
                    {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
                    {"manager": "us", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
                    {"manager": "us", "operation": "Apply", "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:app": {}}, "f:finalizers": {".": {}, "v:\"a/b\"": {}}},
                        "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {
                            "f:tolerations": {},
                            "f:containers": {"k:{\"name\":\"proxy\"}": {
                                ".": {}, "f:name": {}, "f:args": {}, "f:image": {},
                                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}
                            }}
                        }}}
                    }}
                ],
                "finalizers": ["a/b", "c/d"]
            },
            "spec": {"replicas": 2, "paused": false, "template": {"spec": {
                "tolerations": [{"key": "k"}],
                "containers": [
                    {"name": "sidecar", "image": "s"},
                    {"name": "proxy", "image": "p:1", "args": ["a", "b"], "imagePullPolicy": "Always",
                     "ports": [{"containerPort": 80, "protocol": "TCP"}]}
                ]
            }}},
            "status": {"replicas": 2}
        })
    }

    fn desired() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "n", "labels": {"app": "x"}, "finalizers": ["a/b"]},
            "spec": {"replicas": 2, "template": {"metadata": {"annotations": {}}, "spec": {
                "tolerations": [{"key": "k"}],
                "containers": [{"name": "proxy", "image": "p:1", "args": ["a", "b"], "ports": [{"containerPort": 80}]}]
            }}}
        })
    }

    #[test]
    fn what_the_api_server_and_others_added_does_not_matter() {
        let mut desired = desired();
        desired["spec"]["template"].as_object_mut().unwrap().remove("metadata");
        assert!(is_settled(&desired, &observed(), "us"));
        assert!(!is_settled(&desired, &observed(), "somebody"), "never applied by this manager");
    }

    #[test]
    fn quantities_are_compared_by_what_they_say() {
        let limits =
            |cpu: &str| json!({"spec": {"limits": {"cpu": cpu}, "sizeLimit": "250000000"}});
        let mut observed = json!({"spec": {"limits": {"cpu": "500m"}, "sizeLimit": "250M"}});
        let owned = json!({"f:spec": {"f:limits": {"f:cpu": {}}, "f:sizeLimit": {}}});
        observed["metadata"] = json!({"managedFields": [
            {"manager": "us", "operation": "Apply", "fieldsV1": owned},
        ]});
        assert!(is_settled(&limits("0.5"), &observed, "us"));
        assert!(!is_settled(&limits("0.51"), &observed, "us"));
        assert!(!is_settled(&limits("half"), &observed, "us"));
    }

    #[test]
    fn every_difference_in_a_desired_value_matters() {
        for (pointer, value) in [
            ("/spec/replicas", json!(3)),
            ("/metadata/labels/app", json!("z")),
            ("/metadata/finalizers/0", json!("e/f")),
            ("/spec/template/spec/containers/0/image", json!("p:2")),
            ("/spec/template/spec/containers/0/args", json!(["b", "a"])),
            ("/spec/template/spec/containers/0/args", json!(["a"])),
            ("/spec/template/spec/containers/0/ports/0/containerPort", json!(81)),
            ("/spec/template/spec/tolerations", json!([])),
            ("/spec/template/spec/tolerations", json!([{"key": "k"}, {"key": "l"}])),
        ] {
            let mut changed = desired();
            changed["spec"]["template"].as_object_mut().unwrap().remove("metadata");
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(!is_settled(&changed, &observed(), "us"), "{pointer}");
        }
    }

    #[test]
    fn what_was_owned_and_is_no_longer_wanted_matters() {
        for path in [
            &["metadata", "labels"][..],
            &["metadata", "finalizers"],
            &["spec", "replicas"],
            &["spec", "template", "spec", "tolerations"],
        ] {
            let mut less = desired();
            let (last, parents) = path.split_last().unwrap();
            let parent = parents.iter().fold(&mut less, |value, key| &mut value[*key]);
            parent.as_object_mut().unwrap().remove(*last);
            assert!(!is_settled(&less, &observed(), "us"), "{path:?}");
        }
        let mut more = observed();
        more["spec"]["template"]["spec"]["containers"][1]["image"] = json!("drifted");
        assert!(!is_settled(&desired(), &more, "us"));
    }
}
