//! A refused example for every bound, enumeration and required field of the schema, derived from the schema:
//! `refused/constraints.yaml`, which tests of both API servers read. Written by
//! `make crds`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use expect_test::expect_file;
use gatefleet_crds::manifest;
use serde::Serialize;
use serde_json::{Map, Value, json};

#[derive(Serialize)]
struct Refused {
    field: String,
    says: String,
    spec: Value,
}

/// Keywords of the schema that refuse nothing, or whose examples stand in `rules.yaml`.
const SILENT: [&str; 13] = [
    "additionalProperties",
    "default",
    "description",
    "format",
    "items",
    "nullable",
    "properties",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// What breaks `keyword` of `schema`, and what the API server then says.
fn broken(keyword: &str, schema: &Value) -> (Value, String) {
    let bound = &schema[keyword];
    let number = || bound.as_f64().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "bounds are whole numbers")]
    let whole = || number() as i64;
    let size = || usize::try_from(whole()).unwrap();
    match keyword {
        "minimum" => {
            (json!(whole() - 1), format!("should be greater than or equal to {}", whole()))
        }
        "maximum" => (json!(whole() + 1), format!("should be less than or equal to {}", whole())),
        "enum" => (json!("Other"), "Unsupported value: \"Other\"".to_owned()),
        "maxLength" => (json!("a".repeat(size() + 1)), "Too long".to_owned()),
        "minLength" => (json!(""), format!("should be at least {} chars long", whole())),
        "minItems" => (json!([]), format!("should have at least {} items", whole())),
        "maxItems" => (many(&schema["items"], size() + 1), "Too many".to_owned()),
        "maxProperties" => {
            let entry = |number| (format!("key-{number}"), json!("x"));
            (Value::Object((0..=size()).map(entry).collect()), "Too many".to_owned())
        }
        keyword => panic!("say how {keyword} is broken"),
    }
}

fn many(items: &Value, count: usize) -> Value {
    let item = |number: usize| match items["type"].as_str() {
        Some("object") if items["properties"]["topologyKey"].is_object() => {
            json!({"topologyKey": format!("key-{number}")})
        }
        Some("object") if items["properties"]["effect"].is_object() => {
            json!({"operator": "Exists"})
        }
        Some("object") if items["properties"]["protocol"].is_null() => {
            json!({"name": format!("secret-{number}")})
        }
        Some("object") => listener(number),
        _ if items["enum"].is_array() => items["enum"][number % 2].clone(),
        _ => json!(format!("10.0.{number}.0/24")),
    };
    (0..count).map(item).collect()
}

fn listener(number: usize) -> Value {
    json!({"name": format!("port-{number}"), "port": 1000 + number, "protocol": "HTTP"})
}

/// `value` at `path`, inside what is needed around it.
fn at(path: &[&str], value: Value) -> Value {
    let Some((first, rest)) = path.split_first() else { return value };
    let inner = match (*first, rest) {
        ("listeners[]", [field]) => {
            let mut element = listener(0);
            match value {
                Value::Null => drop(element.as_object_mut().unwrap().remove(*field)),
                value => element[*field] = value,
            }
            json!([element])
        }
        ("topologySpreadConstraints[]", ["topologyKey"]) if value.is_null() => json!([{}]),
        ("topologySpreadConstraints[]", [field]) => {
            let mut element = json!({"topologyKey": "zone"});
            element[*field] = value;
            json!([element])
        }
        ("tolerations[]", [field]) => {
            let mut element = json!({"key": "any", "effect": "NoExecute"});
            element[*field] = value;
            json!([element])
        }
        (name, rest) if name.ends_with("[]") => json!([at(rest, value)]),
        ("labels" | "matchLabels" | "nodeSelector", ["*"]) => json!({"team": value}),
        ("autoscaling", ["maxReplicas"]) if value.is_null() => json!({}),
        ("autoscaling", ["minReplicas"]) => json!({"minReplicas": value, "maxReplicas": 1000}),
        ("autoscaling", ["maxReplicas"]) => json!({"minReplicas": 1, "maxReplicas": value}),
        ("autoscaling", [field]) => json!({*field: value, "maxReplicas": 9}),
        ("clientIPDetection", ["hops"]) => json!({"hops": value, "trustedProxies": ["10.0.0.0/8"]}),
        (_, rest) => at(rest, value),
    };
    let mut outer = Map::new();
    outer.insert(first.trim_end_matches("[]").to_owned(), inner);
    Value::Object(outer)
}

fn collect(path: &[&str], schema: &Value, refused: &mut Vec<Refused>) {
    let field = |path: &[&str]| {
        let path = path.join(".").replace("[]", "[0]").replace(".*", ".team");
        format!("spec.{path}")
    };
    let mut add = |path: &[&str], value: Value, says: String| {
        let mut spec = at(path, value);
        spec.as_object_mut().unwrap().entry("northSouth").or_insert_with(|| json!({}));
        refused.push(Refused { field: field(path), says, spec });
    };
    for keyword in schema.as_object().unwrap().keys() {
        if keyword == "required" {
            for name in schema["required"].as_array().unwrap() {
                let path: Vec<&str> = path.iter().copied().chain(name.as_str()).collect();
                add(&path, Value::Null, "Required value".to_owned());
            }
        } else if !SILENT.contains(&keyword.as_str()) {
            let (value, says) = broken(keyword, schema);
            add(path, value, says);
        }
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        // Both tiers have one schema.
        if name != "eastWest" {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            collect(&path, field, refused);
        }
    }
    if schema["items"].is_object() {
        let (last, before) = path.split_last().unwrap();
        let last = format!("{last}[]");
        let path: Vec<&str> = before.iter().copied().chain([last.as_str()]).collect();
        collect(&path, &schema["items"], refused);
    }
    if schema["additionalProperties"].is_object() {
        let path: Vec<&str> = path.iter().copied().chain(["*"]).collect();
        collect(&path, &schema["additionalProperties"], refused);
    }
}

#[test]
fn every_constraint_has_a_refused_example() {
    let manifest = serde_json::to_value(manifest()).unwrap();
    let spec = &manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    assert_eq!(at(&["northSouth", "replicas"], json!(0)), json!({"northSouth": {"replicas": 0}}),);
    let mut refused = Vec::new();
    collect(&[], spec, &mut refused);
    let unique: BTreeSet<_> = refused.iter().map(|refused| refused.spec.to_string()).collect();
    assert_eq!(unique.len(), refused.len(), "each example breaks one constraint");

    let head = "# A spec for every bound, enumeration and required field that breaks it. Generated from the schema by\n\
                # `make crds`; read by tests of both API servers.\n";
    let examples: String = refused
        .iter()
        .map(|example| format!("- {}\n", serde_json::to_string(example).unwrap()))
        .collect::<Vec<_>>()
        .concat();
    expect_file!["../refused/constraints.yaml"].assert_eq(&format!("{head}{examples}"));
}
