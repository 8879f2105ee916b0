//! Pods and pod templates: defaults, rules (`k8s.io/kubernetes/pkg/apis/core/v1/defaults.go` and `validation`).

use serde_json::{Map, Value, json};

use crate::{
    error::Cause,
    names,
    object::{self, as_map, default_to, field_mut},
};

/// File mode of volumes made of objects: 0644.
const FILE_MODE: i64 = 0o644;

/// Defaults of a pod.
pub(super) fn default(pod: &mut Value) {
    let spec = field_mut(pod, "spec");
    default_to(spec, "enableServiceLinks", true);
    for containers in ["containers", "initContainers"] {
        for container in items(spec, containers) {
            request_limits(as_map(container));
        }
    }
    default_spec(spec);
    let qos = quality(pod);
    let status = field_mut(pod, "status");
    default_to(status, "phase", "Pending");
    default_to(status, "qosClass", qos);
}

/// A limit without a request is also the request.
fn request_limits(container: &mut Map<String, Value>) {
    let Some(limits) = container
        .get("resources")
        .and_then(|r| r.get("limits"))
        .and_then(Value::as_object)
        .cloned()
    else {
        return;
    };
    let resources = as_map(container.entry("resources").or_insert_with(|| json!({})));
    let requests = as_map(resources.entry("requests").or_insert_with(|| json!({})));
    for (name, amount) in limits {
        requests.entry(name).or_insert(amount);
    }
}

fn quality(pod: &Value) -> &'static str {
    let containers = object::list(pod, &["spec", "containers"]);
    let has =
        |c: &Value, kind: &str| c["resources"][kind].as_object().is_some_and(|m| !m.is_empty());
    let guaranteed = |c: &Value| {
        let same = |name: &str| {
            let limit = &c["resources"]["limits"][name];
            !limit.is_null() && *limit == c["resources"]["requests"][name]
        };
        same("cpu") && same("memory")
    };
    if !containers.iter().any(|c| has(c, "requests") || has(c, "limits")) {
        "BestEffort"
    } else if containers.iter().all(guaranteed) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Defaults of a pod template.
pub(super) fn default_template(object: &mut Value) {
    let spec = field_mut(object, "spec");
    let template = spec.entry("template").or_insert_with(|| json!({}));
    default_spec(field_mut(template, "spec"));
}

fn default_spec(spec: &mut Map<String, Value>) {
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "securityContext", json!({}));
    default_to(spec, "schedulerName", "default-scheduler");
    // The old name of the field goes on to be written.
    for (from, to) in
        [("serviceAccountName", "serviceAccount"), ("serviceAccount", "serviceAccountName")]
    {
        if let Some(name) = spec.get(from).cloned() {
            default_to(spec, to, name);
        }
    }
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for containers in ["containers", "initContainers"] {
        for container in items(spec, containers) {
            default_container(as_map(container), host_network);
        }
    }
    for volume in items(spec, "volumes") {
        default_volume(as_map(volume));
    }
}

fn default_container(container: &mut Map<String, Value>, host_network: bool) {
    default_to(container, "terminationMessagePath", "/dev/termination-log");
    default_to(container, "terminationMessagePolicy", "File");
    default_to(container, "resources", json!({}));
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let moving = !name.contains('@') && (!name.contains(':') || name.ends_with(":latest"));
    default_to(container, "imagePullPolicy", if moving { "Always" } else { "IfNotPresent" });
    for port in items(container, "ports") {
        let port = as_map(port);
        default_to(port, "protocol", "TCP");
        if let Some(number) = port.get("containerPort").filter(|_| host_network).cloned() {
            default_to(port, "hostPort", number);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe) {
            default_probe(as_map(probe));
        }
    }
    for hook in ["postStart", "preStop"] {
        let hook = container.get_mut("lifecycle").and_then(|l| l.get_mut(hook));
        if let Some(get) = hook.and_then(|h| h.get_mut("httpGet")) {
            default_get(as_map(get));
        }
    }
    for variable in items(container, "env") {
        if let Some(field) = variable.get_mut("valueFrom").and_then(|v| v.get_mut("fieldRef")) {
            default_to(as_map(field), "apiVersion", "v1");
        }
    }
}

fn default_probe(probe: &mut Map<String, Value>) {
    for (field, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        default_to(probe, field, value);
    }
    if let Some(get) = probe.get_mut("httpGet") {
        default_get(as_map(get));
    }
    if let Some(grpc) = probe.get_mut("grpc") {
        default_to(as_map(grpc), "service", "");
    }
}

fn default_get(get: &mut Map<String, Value>) {
    default_to(get, "path", "/");
    default_to(get, "scheme", "HTTP");
}

fn default_volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|k| k == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source) {
            default_to(as_map(source), "defaultMode", FILE_MODE);
        }
    }
    if let Some(path) = volume.get_mut("hostPath") {
        default_to(as_map(path), "type", "");
    }
    if let Some(projected) = volume.get_mut("projected") {
        for source in items(as_map(projected), "sources") {
            if let Some(token) = source.get_mut("serviceAccountToken") {
                default_to(as_map(token), "expirationSeconds", 3600);
            }
            if let Some(fields) = source.get_mut("downwardAPI") {
                default_references(as_map(fields));
            }
        }
    }
    if let Some(fields) = volume.get_mut("downwardAPI") {
        default_references(as_map(fields));
    }
}

fn default_references(source: &mut Map<String, Value>) {
    for item in items(source, "items") {
        if let Some(field) = item.get_mut("fieldRef") {
            default_to(as_map(field), "apiVersion", "v1");
        }
    }
}

/// The elements of a list field, for writing.
pub(super) fn items<'a>(map: &'a mut Map<String, Value>, field: &str) -> &'a mut [Value] {
    map.get_mut(field).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// What a pod spec must have.
pub(super) fn validate_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    if object::list(spec, &["containers"]).is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let volumes: Vec<&str> =
        object::list(spec, &["volumes"]).iter().map(|v| object::text(v, &["name"])).collect();
    let mut seen = Vec::new();
    for list in ["containers", "initContainers"] {
        for (index, container) in object::list(spec, &[list]).iter().enumerate() {
            let at = format!("{path}.{list}[{index}]");
            let name = object::text(container, &["name"]);
            if name.is_empty() {
                causes.push(Cause::required(format!("{at}.name"), ""));
            } else if let Some(fault) = names::label_fault(name) {
                causes.push(Cause::invalid(format!("{at}.name"), &json!(name), fault));
            }
            if seen.contains(&name) {
                causes.push(Cause::duplicate(format!("{at}.name"), &json!(name)));
            }
            seen.push(name);
            if object::text(container, &["image"]).is_empty() {
                causes.push(Cause::required(format!("{at}.image"), ""));
            }
            for (i, mount) in object::list(container, &["volumeMounts"]).iter().enumerate() {
                let volume = object::text(mount, &["name"]);
                if !volumes.contains(&volume) {
                    let message = format!("Not found: {volume:?}");
                    let field = format!("{at}.volumeMounts[{i}].name");
                    causes.push(Cause { reason: "FieldValueNotFound", field, message });
                }
            }
        }
    }
    let policy = object::text(spec, &["restartPolicy"]);
    if !matches!(policy, "Always" | "OnFailure" | "Never") {
        let allowed = ["Always", "Never", "OnFailure"].map(str::to_owned);
        causes.push(Cause::not_supported(
            format!("{path}.restartPolicy"),
            &json!(policy),
            &allowed,
        ));
    }
}

/// Most of a pod's spec never changes.
pub(super) fn validate_update(old: &Value, pod: &Value, causes: &mut Vec<Cause>) {
    let fixed = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        let map = as_map(&mut spec);
        for field in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "nodeName",
            "schedulingGates",
        ] {
            map.remove(field);
        }
        for list in ["containers", "initContainers"] {
            for container in items(map, list) {
                as_map(container).remove("image");
                as_map(container).remove("imagePullPolicy");
            }
        }
        spec
    };
    if fixed(old) != fixed(pod) {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        causes.push(Cause::forbidden("spec", detail));
    }
}
