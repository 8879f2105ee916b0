//! Arguments and environment of a container, as Kubernetes composes them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};

/// What the process is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// Replaces the image's program when given.
    pub(crate) command: Vec<String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

impl Invocation {
    /// Composes what `container` of `pod` wants; `address` is the pod's.
    pub(crate) fn compose(pod: &Pod, container: &Container, address: &str) -> Self {
        let mut environment = BTreeMap::new();
        for variable in container.env.iter().flatten() {
            if let Some(value) = value_of(pod, variable, address, &environment) {
                environment.insert(variable.name.clone(), value);
            }
        }
        let expanded = |words: &Option<Vec<String>>| {
            words.iter().flatten().map(|word| expand(word, &environment)).collect()
        };
        let (command, arguments) = (expanded(&container.command), expanded(&container.args));
        Self { command, arguments, environment }
    }
}

fn value_of(
    pod: &Pod,
    variable: &EnvVar,
    address: &str,
    earlier: &BTreeMap<String, String>,
) -> Option<String> {
    match &variable.value_from {
        None => Some(expand(variable.value.as_deref().unwrap_or(""), earlier)),
        Some(source) => field(pod, &source.field_ref.as_ref()?.field_path, address),
    }
}

/// A field by its path, as the Downward API names it.
fn field(pod: &Pod, path: &str, address: &str) -> Option<String> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => Some(super::NODE.to_owned()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs" => {
            Some(address.to_owned())
        }
        _ => keyed(path, "metadata.labels", metadata.labels.as_ref())
            .or_else(|| keyed(path, "metadata.annotations", metadata.annotations.as_ref())),
    }
}

/// `PREFIX['KEY']`; an absent key is the empty string.
fn keyed(path: &str, prefix: &str, map: Option<&BTreeMap<String, String>>) -> Option<String> {
    let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
    Some(map.and_then(|map| map.get(key)).cloned().unwrap_or_default())
}

/// Replaces `$(NAME)` by a known variable; `$$` is a dollar sign, and an unknown name stays as it is.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let reference = after.strip_prefix('(').and_then(|tail| tail.split_once(')'));
        rest = match (after.strip_prefix('$'), reference) {
            (Some(tail), _) => {
                out.push('$');
                tail
            }
            (None, Some((name, tail))) if variables.contains_key(name) => {
                out.push_str(variables.get(name).map_or("", String::as_str));
                tail
            }
            _ => {
                out.push('$');
                after
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn composes_what_kubernetes_would() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "echo-1", "namespace": "shop", "uid": "u1", "labels": {"app": "echo"}},
            "spec": {"containers": [{
                "name": "echo",
                "args": ["--text=$(GREETING) from $(POD) $(UNKNOWN) $$(POD) 5$"],
                "env": [
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    {"name": "GREETING", "value": "hello $(APP) $(LATER)"},
                    {"name": "LATER", "value": "x"},
                ],
            }]},
        }))
        .unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let invocation = Invocation::compose(&pod, container, "127.244.0.1");
        assert_eq!(
            invocation.arguments,
            ["--text=hello echo $(LATER) from echo-1 $(UNKNOWN) $(POD) 5$"]
        );
        let environment: Vec<_> =
            invocation.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            environment,
            ["APP=echo", "GREETING=hello echo $(LATER)", "IP=127.244.0.1", "LATER=x", "POD=echo-1"]
        );
    }
}
