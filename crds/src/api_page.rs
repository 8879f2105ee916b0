//! The reference of the API (`docs/reference/api.md`), from the schema.

use serde_json::Value;

use crate::manifest;

const HEAD: &str = "<!-- Generated from crds/src; written by `make crds`. -->
# GatewayConfig

`gatefleet.dev/v1alpha1`, namespaced, short name `gwc`, category `gatefleet` (`kubectl get gatefleet`).

One GatewayConfig is one fleet: up to two isolated tiers of proxies, each with a Deployment, a Service, a ServiceAccount,
a PodDisruptionBudget, a NetworkPolicy if it is enabled, and an identity of its own, named `NAME-north-south` and `NAME-east-west`, in the namespace of the GatewayConfig.

The smallest one takes all defaults:

```yaml
apiVersion: gatefleet.dev/v1alpha1
kind: GatewayConfig
metadata: { name: prod, namespace: edge }
spec:
  northSouth: {}
```

Durations are written like `30s`, `1m30s` or `250ms` (units h, m, s, ms; at most `24h`; `0s` only where it says so). Quantities
are those of Kubernetes, greater than 0: `100m` or `2` for CPU, `64Mi` or `1Gi` for memory. All limits and timeouts apply to each proxy on its own.
What the status means: [conditions.md](conditions.md). What the tests prove about each field: [fields.md](fields.md).
";

/// The text of `docs/reference/api.md`.
#[must_use]
pub fn api_page() -> String {
    let schema = schema();
    let mut lines = vec![HEAD.to_owned()];
    for root in ["spec", "status"] {
        list_group(&mut lines, root, &schema["properties"][root]);
    }
    lines.join("\n")
}

/// The schema of the committed version.
fn schema() -> Value {
    let Ok(manifest) = serde_json::to_value(manifest()) else { return Value::Null };
    manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// A section for the object at `path`, then one for each object inside.
fn list_group(lines: &mut Vec<String>, path: &str, schema: &Value) {
    let text = |schema: &Value| one_line(schema["description"].as_str().unwrap_or_default());
    lines.push(format!("## {path}\n\n{}\n", text(schema)));
    for message in rules(schema) {
        lines.push(format!("*Refused: {message}.*\n"));
    }
    lines.push("| Field | Type | What |\n|---|---|---|".to_owned());
    let mut groups = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let (shown, group) = match (name.as_str(), group_of(name, field)) {
            // Both tiers have one schema, shown once.
            ("eastWest", _) => (format!("as [northSouth](#{})", anchor(path, "northSouth")), None),
            (name, Some(group)) => {
                (format!("[{}](#{})", type_of(field), anchor(path, name)), Some(group))
            }
            (_, None) => (type_of(field), None),
        };
        // Rules of a group stand in its section, those of durations and quantities at the top.
        let is_plain = field["properties"].is_null() && !is_duration(field) && !is_quantity(field);
        let refused =
            rules(field).filter(|_| is_plain).map(|message| format!("*Refused: {message}.*"));
        let cell: Vec<String> = std::iter::once(text(field)).chain(refused).collect();
        lines.push(format!("| `{name}` | {shown} | {} |", cell.join("<br>")));
        groups.extend(group);
    }
    lines.push(String::new());
    for (suffix, group) in groups {
        list_group(lines, &format!("{path}.{suffix}"), group);
    }
}

/// The object that `field` is, or is a list of.
fn group_of<'a>(name: &str, field: &'a Value) -> Option<(String, &'a Value)> {
    // The conditions of Kubernetes need no explanation here.
    if name == "conditions" {
        return None;
    }
    if field["properties"].is_object() {
        return Some((name.to_owned(), field));
    }
    field["items"]["properties"].is_object().then(|| (format!("{name}[]"), &field["items"]))
}

fn anchor(path: &str, name: &str) -> String {
    format!("{path}{name}").replace('.', "").replace("[]", "").to_lowercase()
}

fn rules(schema: &Value) -> impl Iterator<Item = &str> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.filter_map(|rule| rule["message"].as_str())
}

fn is_duration(field: &Value) -> bool {
    rules(field).any(|message| message.starts_with("write a duration"))
}

fn is_quantity(field: &Value) -> bool {
    is_number_or_text(field) && !is_share(field)
}

fn is_share(field: &Value) -> bool {
    is_number_or_text(field) && field["maxLength"] == "100%".len()
}

fn is_number_or_text(field: &Value) -> bool {
    field["x-kubernetes-int-or-string"] == true
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn type_of(field: &Value) -> String {
    let between = |low: &str, high: &str| {
        let bound = |keyword: &str| field[keyword].as_f64().map(|bound| format!("{bound}"));
        match (bound(low), bound(high)) {
            (Some(low), Some(high)) => format!(", {low} to {high}"),
            (None, Some(high)) => format!(", at most {high}"),
            _ => String::new(),
        }
    };
    match field["type"].as_str() {
        _ if field["enum"].is_array() => {
            let values = field["enum"].as_array().into_iter().flatten();
            let values: Vec<String> =
                values.filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
            values.join(" or ")
        }
        Some("array") => {
            format!("list of {}{}", type_of(&field["items"]), between("minItems", "maxItems"))
        }
        Some("object") if field["additionalProperties"].is_object() => {
            format!(
                "map of {}{}",
                type_of(&field["additionalProperties"]),
                between("", "maxProperties")
            )
        }
        Some("string") if is_duration(field) => "duration".to_owned(),
        Some("string") if field["format"] == "date-time" => "time".to_owned(),
        Some("integer") => format!("integer{}", between("minimum", "maximum")),
        Some(name) => name.to_owned(),
        None if is_share(field) => "number or percentage".to_owned(),
        None if is_quantity(field) => "quantity".to_owned(),
        None => "anything".to_owned(),
    }
}
