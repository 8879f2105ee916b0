//! `pod.patch`: what a user merges into the pod template, and what must come out of it unchanged.
//!
//! Lists are merged as a strategic merge patch does; null removes. What the operator and the proxies rely on is
//! compared before and after, so no way of writing a patch gets around it.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value};

use crate::embedded;

/// Lists whose items are known by a key; all others are replaced as a whole.
const KEYS: [(&str, &str); 10] = [
    ("containers", "name"),
    ("env", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("ports", "containerPort"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

/// What a patch leaves alone, and what to do instead. `[name]` is the item of that key.
const PROTECTED: [(&str, &str); 13] = [
    ("spec.containers[proxy].image", "the operator chooses the image"),
    ("spec.containers[proxy].command", "the operator starts the proxy"),
    ("spec.containers[proxy].args", "size and resources say how many threads it has"),
    ("spec.containers[proxy].ports", "listeners say what it listens on"),
    ("spec.containers[proxy].resources", "set size or resources of the tier"),
    ("spec.containers[proxy].startupProbe", "the operator knows how a proxy starts"),
    ("spec.containers[proxy].livenessProbe", "the operator knows whether a proxy lives"),
    ("spec.containers[proxy].readinessProbe", "ready means configured and listening"),
    ("spec.serviceAccountName", "the tier has a ServiceAccount of its own"),
    ("spec.automountServiceAccountToken", "proxies have no business with the API server"),
    ("spec.terminationGracePeriodSeconds", "it follows from drain.delay and drain.timeout"),
    ("spec.hostNetwork", "the proxies' ports are those of pods with a network of their own"),
    ("spec.restartPolicy", "proxies always run again"),
];

/// Parts of the template whose every item stays as it is; what is added beside them is the user's.
const KEPT: [(&str, &str); 4] = [
    ("metadata.labels", "the operator finds its pods by it"),
    ("spec.volumes", "the proxy lives from it"),
    ("spec.containers[proxy].volumeMounts", "the proxy lives from it"),
    ("spec.containers[proxy].env", "the proxy learns who it is from it"),
];

/// Why a patch is not applied, behind `pod.patch`.
pub(crate) type Fault = String;

/// The template with the patch merged in.
pub(crate) fn patched(
    template: &PodTemplateSpec,
    patch: &Map<String, Value>,
) -> Result<PodTemplateSpec, Fault> {
    let patch = Value::Object(patch.clone());
    embedded::read::<PodTemplateSpec>(&patch).map_err(|fault| fault.to_string())?;
    let metadata = patch.get("metadata").and_then(Value::as_object);
    let foreign = metadata.into_iter().flat_map(Map::keys);
    if let Some(field) =
        { foreign }.find(|field| !["labels", "annotations"].contains(&field.as_str()))
    {
        return Err(format!(
            ".metadata.{field}: pods have labels and annotations alone; remove it"
        ));
    }
    let before = serde_json::to_value(template).map_err(|error| format!(": {error}"))?;
    let mut after = before.clone();
    merge("", &mut after, &patch);
    check(&before, &after)?;
    serde_json::from_value(after).map_err(|error| format!(": {error}"))
}

fn merge(name: &str, into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(key, into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(into), Value::Array(patch)) => {
            let Some((_, key)) = KEYS.iter().find(|(list, _)| *list == name) else {
                into.clone_from(patch);
                return;
            };
            for item in patch {
                let known = into.iter_mut().find(|known| known.get(key) == item.get(key));
                match known {
                    Some(known) => merge("", known, item),
                    None => into.push(item.clone()),
                }
            }
        }
        (into, patch) => {
            *into = Value::Null;
            // Nulls inside of what is new remove nothing and say nothing.
            if let Value::Object(members) = patch {
                *into = Value::Object(Map::new());
                merge(name, into, &Value::Object(members.clone()));
            } else {
                into.clone_from(patch);
            }
        }
    }
}

fn check(before: &Value, after: &Value) -> Result<(), Fault> {
    let refused = |path: &str, because: &str| {
        Err(format!(".{path}: it is the operator's, because {because}; leave it out of the patch"))
    };
    let same = |path: &str| find(before, path) == find(after, path);
    if find(after, "spec.containers[proxy]").is_none() {
        return refused("spec.containers", "the proxy runs in one of them");
    }
    if let Some((path, because)) = PROTECTED.iter().find(|(path, _)| !same(path)) {
        return refused(path, because);
    }
    for (path, because) in KEPT {
        let lost = items(find(before, path)).into_iter().find(|(name, item)| {
            !items(find(after, path)).iter().any(|(other, same)| other == name && same == item)
        });
        if let Some((name, _)) = lost {
            return refused(&format!("{path}[{name}]"), because);
        }
    }
    Ok(())
}

/// The value at a path such as `spec.containers[proxy].image`.
fn find<'a>(whole: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(whole, |value, step| match step.split_once('[') {
        Some((list, name)) => {
            let name = name.trim_end_matches(']');
            value.get(list)?.as_array()?.iter().find(|item| item["name"] == name)
        }
        None => value.get(step),
    })
}

/// Members of a map, or items of a list by their key.
fn items(part: Option<&Value>) -> Vec<(String, &Value)> {
    match part {
        Some(Value::Object(members)) => {
            members.iter().map(|(key, value)| (key.clone(), value)).collect()
        }
        Some(Value::Array(list)) => list
            .iter()
            .map(|item| {
                let key = item.get("mountPath").or_else(|| item.get("name"));
                (key.and_then(Value::as_str).unwrap_or_default().to_owned(), item)
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> PodTemplateSpec {
        serde_json::from_value(json!({
            "metadata": {"labels": {"gatefleet.dev/tier": "north-south"}},
            "spec": {
                "serviceAccountName": "prod", "enableServiceLinks": false,
                "containers": [{
                    "name": "proxy", "image": "p", "args": ["--threads=2"],
                    "env": [{"name": "POD_NAME", "value": "x"}],
                    "ports": [{"name": "status", "containerPort": 9701}],
                    "volumeMounts": [{"name": "state", "mountPath": "/state"}],
                }],
                "volumes": [{"name": "state", "emptyDir": {"medium": "Memory"}}],
                "tolerations": [{"key": "a", "operator": "Exists"}],
            },
        }))
        .unwrap()
    }

    fn patch(patch: &Value) -> Result<Value, Fault> {
        let patched = patched(&template(), patch.as_object().unwrap())?;
        Ok(serde_json::to_value(patched).unwrap())
    }

    #[test]
    fn lists_are_merged_by_their_keys_and_null_removes() {
        let after = patch(&json!({
            "metadata": {"annotations": {"x": "y"}, "labels": {"team": "edge"}},
            "spec": {
                "runtimeClassName": "gvisor", "enableServiceLinks": null,
                "containers": [
                    {"name": "proxy", "env": [{"name": "TZ", "value": "UTC"}], "imagePullPolicy": "Always"},
                    {"name": "log", "image": "l"},
                ],
                "volumes": [{"name": "more", "emptyDir": {}}],
                "tolerations": [{"key": "b", "operator": "Exists"}],
            },
        }))
        .unwrap();
        let spec = &after["spec"];
        assert_eq!(after["metadata"]["labels"]["team"], "edge");
        assert_eq!(after["metadata"]["annotations"]["x"], "y");
        assert_eq!(
            (&spec["runtimeClassName"], &spec["enableServiceLinks"]),
            (&json!("gvisor"), &Value::Null)
        );
        assert_eq!(spec["containers"][0]["env"].as_array().unwrap().len(), 2);
        assert_eq!(spec["containers"][0]["image"], "p");
        assert_eq!(spec["containers"][0]["imagePullPolicy"], "Always");
        assert_eq!(spec["containers"][1]["name"], "log");
        assert_eq!(spec["volumes"].as_array().unwrap().len(), 2);
        assert_eq!(spec["tolerations"], json!([{"key": "b", "operator": "Exists"}]));
    }

    #[test]
    fn what_a_patch_says_already_changes_nothing() {
        let before = serde_json::to_value(template()).unwrap();
        assert_eq!(patch(&before).unwrap(), before);
        assert_eq!(patch(&json!({})).unwrap(), before);
    }

    #[test]
    fn what_proxies_and_operator_rely_on_is_refused_by_name() {
        let proxy = |field: &str, value: Value| json!({"spec": {"containers": [{"name": "proxy", field: value}]}});
        let container = ".spec.containers[proxy]";
        for (change, says) in [
            (proxy("image", json!("other")), format!("{container}.image: it is the operator's")),
            (proxy("command", json!(["sh"])), format!("{container}.command: ")),
            (proxy("args", Value::Null), format!("{container}.args: ")),
            (proxy("ports", json!([{"containerPort": 80}])), format!("{container}.ports: ")),
            (
                proxy("resources", json!({"limits": {"cpu": "1"}})),
                format!("{container}.resources: "),
            ),
            (
                proxy("env", json!([{"name": "POD_NAME", "value": "y"}])),
                format!("{container}.env[POD_NAME]: "),
            ),
            (
                proxy("volumeMounts", json!([{"name": "x", "mountPath": "/state"}])),
                format!("{container}.volumeMounts[/state]: "),
            ),
            (
                json!({"spec": {"volumes": [{"name": "state", "hostPath": {"path": "/"}}]}}),
                ".spec.volumes[state]: ".to_owned(),
            ),
            (json!({"spec": {"volumes": null}}), ".spec.volumes[state]: ".to_owned()),
            (json!({"spec": {"containers": null}}), ".spec.containers: ".to_owned()),
            (json!({"spec": null}), ".spec.containers: ".to_owned()),
            (json!({"spec": {"hostNetwork": true}}), ".spec.hostNetwork: ".to_owned()),
            (
                json!({"metadata": {"labels": {"gatefleet.dev/tier": "x"}}}),
                ".metadata.labels[gatefleet.dev/tier]: ".to_owned(),
            ),
            (json!({"metadata": {"name": "x"}}), ".metadata.name: ".to_owned()),
            (
                json!({"spec": {"runtimeClasName": "x"}}),
                ".spec.runtimeClasName: Kubernetes has no such field".to_owned(),
            ),
            (json!({"spec": {"priority": "high"}}), ".spec.priority: invalid type".to_owned()),
            (
                json!({"spec": {"$patch": "replace"}}),
                ".spec.$patch: Kubernetes has no such field".to_owned(),
            ),
        ] {
            let said = patch(&change).unwrap_err();
            assert!(said.starts_with(&says), "{change}: {said}");
        }
    }
}
