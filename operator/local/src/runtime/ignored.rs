//! What a pod asks for and local mode leaves out, in one sentence.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Volume};
use serde_json::Value;

/// The fields of a pod's `spec` that are honoured, or that mean nothing on one machine.
const POD_FIELDS: [&str; 13] = [
    "containers",
    "volumes",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "nodeName",
    "serviceAccount",
    "serviceAccountName",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "dnsPolicy",
    "schedulerName",
    "preemptionPolicy",
    "priority",
];
/// The same of a container.
const CONTAINER_FIELDS: [&str; 13] = [
    "name",
    "image",
    "imagePullPolicy",
    "command",
    "args",
    "env",
    "ports",
    "volumeMounts",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
];

/// The sentence for an event; nothing when everything is honoured.
pub(crate) fn note(pod: &Pod) -> Option<String> {
    let left_out = left_out(pod);
    (!left_out.is_empty()).then(|| {
        let fields: Vec<_> = left_out.into_iter().collect();
        format!("local mode runs plain processes and leaves out: {}", fields.join(", "))
    })
}

fn left_out(pod: &Pod) -> BTreeSet<String> {
    let spec = serde_json::to_value(&pod.spec).unwrap_or_default();
    let mut fields = other_fields(&spec, &POD_FIELDS, "");
    for container in spec["containers"].as_array().into_iter().flatten() {
        fields.extend(other_fields(container, &CONTAINER_FIELDS, "containers."));
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            if container[probe]["exec"].is_object() || container[probe]["grpc"].is_object() {
                fields.insert(format!("containers.{probe} by exec or grpc"));
            }
        }
    }
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    fields.extend(
        volumes
            .filter(|volume| !is_honoured(volume))
            .map(|volume| format!("volume {}", volume.name)),
    );
    fields
}

fn other_fields(value: &Value, known: &[&str], prefix: &str) -> BTreeSet<String> {
    let fields = value.as_object().into_iter().flatten();
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    fields
        .filter(|(name, value)| !known.contains(&name.as_str()) && says_something(value))
        .map(|(name, _)| format!("{prefix}{name}"))
        .collect()
}

fn is_honoured(volume: &Volume) -> bool {
    volume.config_map.is_some() || volume.secret.is_some() || volume.empty_dir.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    #[test]
    fn names_what_is_left_out() {
        let pod = pod(&json!({
            "securityContext": {"runAsUser": 1}, "nodeSelector": {}, "tolerations": [{"key": "x"}],
            "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}, "readinessProbe": {"exec": {}}}],
            "volumes": [{"name": "host", "hostPath": {"path": "/"}}, {"name": "tmp", "emptyDir": {}}],
        }));
        assert_eq!(
            note(&pod).unwrap(),
            "local mode runs plain processes and leaves out: containers.readinessProbe by exec or grpc, \
             containers.resources, securityContext, tolerations, volume host"
        );
    }

    #[test]
    fn says_nothing_when_everything_is_honoured() {
        let pod = pod(
            &json!({"containers": [{"name": "c", "image": "i", "args": ["x"], "resources": {}}]}),
        );
        assert_eq!(note(&pod), None);
    }
}
