//! The columns of built-in kinds.

use serde_json::{Value, json};

use super::{Column, Columns, time};
use crate::object;

/// The columns of a kind.
pub(crate) fn columns(group: &str, kind: &str) -> Columns {
    let mut columns = particular(group, kind);
    let own_age = matches!(kind, "Event" | "CustomResourceDefinition");
    if !own_age {
        columns.insert(columns.iter().position(|c| c.priority > 0).unwrap_or(columns.len()), age());
    }
    Columns(columns)
}

fn age() -> Column {
    Column::path("Age", "date", ".metadata.creationTimestamp")
}

fn particular(group: &str, kind: &str) -> Vec<Column> {
    match (group, kind) {
        (_, "Event") => event(),
        ("", kind) => core(kind),
        (group, kind) => other(group, kind),
    }
}

fn event() -> Vec<Column> {
    let f = Column::function;
    vec![
        f("Last Seen", last_seen),
        f("Type", |o| shown(o, &["type"])),
        f("Reason", |o| shown(o, &["reason"])),
        f("Object", event_object),
        f("Message", |o| json!(first_of(o, &["message", "note"]).trim())),
    ]
}

fn core(kind: &str) -> Vec<Column> {
    let f = Column::function;
    match kind {
        "ConfigMap" => vec![f("Data", data_count).of_kind("integer")],
        "Secret" => {
            vec![f("Type", |o| shown(o, &["type"])), f("Data", data_count).of_kind("integer")]
        }
        "Namespace" => vec![f("Status", |o| shown(o, &["status", "phase"]))],
        "ServiceAccount" => vec![f("Secrets", |o| count(o, &["secrets"])).of_kind("integer")],
        "Endpoints" => vec![f("Endpoints", |_| json!("<none>"))],
        "Node" => vec![
            f("Status", |o| condition(o, "Ready")),
            f("Version", |o| shown(o, &["status", "nodeInfo", "kubeletVersion"])),
        ],
        "Pod" => pod(),
        "Service" => vec![
            f("Type", |o| shown(o, &["spec", "type"])),
            f("Cluster-IP", |o| or_none(object::text(o, &["spec", "clusterIP"]))),
            f("External-IP", external_address),
            f("Port(s)", service_ports),
            f("Selector", |o| labels(&o["spec"]["selector"])).wide(),
        ],
        _ => Vec::new(),
    }
}

fn other(group: &str, kind: &str) -> Vec<Column> {
    let f = Column::function;
    match (group, kind) {
        ("apps", "Deployment") => vec![
            f("Ready", |o| {
                json!(format!(
                    "{}/{}",
                    number(o, &["status", "readyReplicas"]),
                    number(o, &["spec", "replicas"])
                ))
            }),
            f("Up-to-date", |o| json!(number(o, &["status", "updatedReplicas"])))
                .of_kind("integer"),
            f("Available", |o| json!(number(o, &["status", "availableReplicas"])))
                .of_kind("integer"),
            f("Containers", |o| containers(o, "name")).wide(),
            f("Images", |o| containers(o, "image")).wide(),
            f("Selector", |o| labels(&o["spec"]["selector"]["matchLabels"])).wide(),
        ],
        ("apps", "ReplicaSet") => vec![
            f("Desired", |o| json!(number(o, &["spec", "replicas"]))).of_kind("integer"),
            f("Current", |o| json!(number(o, &["status", "replicas"]))).of_kind("integer"),
            f("Ready", |o| json!(number(o, &["status", "readyReplicas"]))).of_kind("integer"),
        ],
        ("networking.k8s.io", "Ingress") => vec![
            f("Class", |o| or_none(object::text(o, &["spec", "ingressClassName"]))),
            f("Hosts", ingress_hosts),
            f("Address", |o| json!(addresses(o))),
            f("Ports", |o| {
                json!(if object::list(o, &["spec", "tls"]).is_empty() { "80" } else { "80, 443" })
            }),
        ],
        ("networking.k8s.io", "IngressClass") => vec![
            f("Controller", |o| shown(o, &["spec", "controller"])),
            f("Parameters", parameters),
        ],
        ("networking.k8s.io", "NetworkPolicy") => {
            vec![f("Pod-Selector", |o| labels(&o["spec"]["podSelector"]["matchLabels"]))]
        }
        _ => policies(group, kind),
    }
}

fn policies(group: &str, kind: &str) -> Vec<Column> {
    let f = Column::function;
    match (group, kind) {
        ("discovery.k8s.io", "EndpointSlice") => vec![
            f("AddressType", |o| shown(o, &["addressType"])),
            f("Ports", |o| {
                joined(object::list(o, &["ports"]).iter().map(|p| p["port"].to_string()))
            }),
            f("Endpoints", |o| {
                let all = object::list(o, &["endpoints"]).iter();
                joined(
                    all.flat_map(|e| object::list(e, &["addresses"]))
                        .filter_map(Value::as_str)
                        .map(str::to_owned),
                )
            }),
        ],
        ("coordination.k8s.io", "Lease") => {
            vec![f("Holder", |o| shown(o, &["spec", "holderIdentity"]))]
        }
        ("autoscaling", "HorizontalPodAutoscaler") => vec![
            f("Reference", |o| {
                json!(format!(
                    "{}/{}",
                    object::text(o, &["spec", "scaleTargetRef", "kind"]),
                    object::text(o, &["spec", "scaleTargetRef", "name"])
                ))
            }),
            f("MinPods", |o| json!(number(o, &["spec", "minReplicas"]))).of_kind("integer"),
            f("MaxPods", |o| json!(number(o, &["spec", "maxReplicas"]))).of_kind("integer"),
            f("Replicas", |o| json!(number(o, &["status", "currentReplicas"]))).of_kind("integer"),
        ],
        ("policy", "PodDisruptionBudget") => vec![
            f("Min Available", |o| bound(&o["spec"]["minAvailable"])),
            f("Max Unavailable", |o| bound(&o["spec"]["maxUnavailable"])),
            f("Allowed Disruptions", |o| json!(number(o, &["status", "disruptionsAllowed"])))
                .of_kind("integer"),
        ],
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            vec![f("Created At", |o| shown(o, &["metadata", "creationTimestamp"]))]
        }
        _ => Vec::new(),
    }
}

fn pod() -> Vec<Column> {
    let f = Column::function;
    vec![
        f("Ready", |o| {
            let statuses = object::list(o, &["status", "containerStatuses"]);
            let ready = statuses.iter().filter(|s| s["ready"] == json!(true)).count();
            json!(format!("{ready}/{}", object::list(o, &["spec", "containers"]).len()))
        }),
        f("Status", pod_status),
        f("Restarts", |o| {
            let statuses = object::list(o, &["status", "containerStatuses"]);
            json!(
                statuses
                    .iter()
                    .map(|s| s["restartCount"].as_i64().unwrap_or_default())
                    .sum::<i64>()
                    .to_string()
            )
        }),
        f("IP", |o| or_none(object::text(o, &["status", "podIP"]))).wide(),
        f("Node", |o| or_none(object::text(o, &["spec", "nodeName"]))).wide(),
    ]
}

/// The phase, or what keeps a container from running.
fn pod_status(pod: &Value) -> Value {
    if object::is_terminating(pod) {
        return json!("Terminating");
    }
    for status in object::list(pod, &["status", "containerStatuses"]) {
        for state in ["waiting", "terminated"] {
            let reason = object::text(status, &["state", state, "reason"]);
            if !reason.is_empty() {
                return json!(reason);
            }
        }
    }
    match first_of(pod, &["status.reason", "status.phase"]) {
        "" => json!("Unknown"),
        text => json!(text),
    }
}

fn shown(object: &Value, path: &[&str]) -> Value {
    json!(object::text(object, path))
}

fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

fn joined(texts: impl Iterator<Item = String>) -> Value {
    or_none(&texts.collect::<Vec<_>>().join(","))
}

fn number(object: &Value, path: &[&str]) -> i64 {
    object::at(object, path).and_then(Value::as_i64).unwrap_or_default()
}

fn count(object: &Value, path: &[&str]) -> Value {
    json!(object::list(object, path).len())
}

fn data_count(object: &Value) -> Value {
    let entries = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
    json!(entries("data") + entries("binaryData"))
}

/// The first of several dotted paths that holds text.
fn first_of<'a>(object: &'a Value, paths: &[&str]) -> &'a str {
    let texts = paths.iter().map(|p| object::text(object, &p.split('.').collect::<Vec<_>>()));
    texts.into_iter().find(|t| !t.is_empty()).unwrap_or_default()
}

fn labels(map: &Value) -> Value {
    joined(
        map.as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())),
    )
}

fn containers(object: &Value, field: &str) -> Value {
    let list = object::list(object, &["spec", "template", "spec", "containers"]);
    joined(list.iter().map(|c| object::text(c, &[field]).to_owned()))
}

fn condition(object: &Value, kind: &str) -> Value {
    let found =
        object::list(object, &["status", "conditions"]).iter().find(|c| c["type"] == json!(kind));
    match found.map(|c| object::text(c, &["status"])) {
        Some("True") => json!(kind),
        Some("False") => json!(format!("Not{kind}")),
        _ => json!("Unknown"),
    }
}

fn last_seen(event: &Value) -> Value {
    let paths = [
        "series.lastObservedTime",
        "lastTimestamp",
        "deprecatedLastTimestamp",
        "eventTime",
        "firstTimestamp",
        "deprecatedFirstTimestamp",
        "metadata.creationTimestamp",
    ];
    json!(time::age(first_of(event, &paths)))
}

fn event_object(event: &Value) -> Value {
    let kind = first_of(event, &["involvedObject.kind", "regarding.kind"]);
    let name = first_of(event, &["involvedObject.name", "regarding.name"]);
    json!(format!("{}/{name}", kind.to_lowercase()))
}

fn addresses(object: &Value) -> String {
    let ingress = object::list(object, &["status", "loadBalancer", "ingress"]);
    let texts: Vec<&str> = ingress.iter().map(|i| first_of(i, &["ip", "hostname"])).collect();
    texts.join(",")
}

fn external_address(service: &Value) -> Value {
    let fixed = object::list(service, &["spec", "externalIPs"]);
    let mut all: Vec<String> = fixed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    match object::text(service, &["spec", "type"]) {
        "LoadBalancer" => {
            let given = addresses(service);
            if given.is_empty() && all.is_empty() {
                return json!("<pending>");
            }
            all.splice(0..0, (!given.is_empty()).then_some(given));
        }
        "ExternalName" => all.push(object::text(service, &["spec", "externalName"]).to_owned()),
        _ => {}
    }
    joined(all.into_iter())
}

fn service_ports(service: &Value) -> Value {
    joined(object::list(service, &["spec", "ports"]).iter().map(|port| {
        let protocol = object::text(port, &["protocol"]);
        match port["nodePort"].as_u64() {
            Some(node) => format!("{}:{node}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    }))
}

fn ingress_hosts(ingress: &Value) -> Value {
    let rules = object::list(ingress, &["spec", "rules"]);
    let hosts: Vec<&str> =
        rules.iter().map(|r| object::text(r, &["host"])).filter(|h| !h.is_empty()).collect();
    if hosts.is_empty() { json!("*") } else { json!(hosts.join(",")) }
}

fn parameters(class: &Value) -> Value {
    let text = |field: &str| object::text(class, &["spec", "parameters", field]);
    if text("name").is_empty() {
        return json!("<none>");
    }
    let group = text("apiGroup");
    let kind = if group.is_empty() {
        text("kind").to_owned()
    } else {
        format!("{}.{group}", text("kind"))
    };
    json!(format!("{kind}/{}", text("name")))
}

fn bound(value: &Value) -> Value {
    match value {
        Value::Null => json!("N/A"),
        Value::String(text) => json!(text),
        other => json!(other.to_string()),
    }
}
