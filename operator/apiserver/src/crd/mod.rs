//! Custom resources: from a CustomResourceDefinition to the resources that it declares.

pub(crate) mod definition;
mod rules;

use std::sync::Arc;

use serde_json::{Value, json};

use self::rules::Rules;
use crate::{
    builtin::{Strategy, definitions},
    error::Cause,
    object,
    registry::Registry,
    resource::{ALL_VERBS, Resource, Scale},
    schema::{Schema, parse::parse_standalone},
    table::Columns,
};

/// Holds a CustomResourceDefinition until its objects are gone.
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Reasons after which rules are not checked.
const BLOCKING: [&str; 5] = [
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
];

const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; \
                         correct the existing errors to complete validation";

/// What only custom resources have.
#[derive(Debug)]
pub(crate) struct Custom {
    /// `openAPIV3Schema`, for OpenAPI.
    pub(crate) raw: Value,
    rules: Rules,
}

impl Custom {
    /// Checks the CEL rules, unless what the schema found already says that they would not know what to make of the
    /// object (`hasBlockingErr` of apiextensions-apiserver).
    pub(crate) fn check_rules(&self, object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
        let blocks = |cause: &Cause| BLOCKING.contains(&cause.reason);
        if !causes.iter().any(blocks) {
            self.rules.check(object, old, causes);
        } else if self.rules.any() {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: "<nil>".to_owned(),
                message: format!("Invalid value: null: {UNCHECKED}"),
            });
        }
    }
}

/// Serves what a CustomResourceDefinition declares.
pub(crate) fn declare(registry: &mut Registry, definition: &Value) {
    let versions = object::list(definition, &["spec", "versions"]);
    let served = versions.iter().filter(|v| v["served"] == json!(true));
    let resources = served.map(|version| Arc::new(resource(definition, version))).collect();
    registry.declare(object::name(definition), resources);
}

fn resource(definition: &Value, version: &Value) -> Resource {
    let text = |path: &[&str]| object::text(definition, path).to_owned();
    let words = |path: &[&str]| -> Vec<String> {
        object::list(definition, path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let group = text(&["spec", "group"]);
    let name = object::text(version, &["name"]).to_owned();
    let kind = text(&["spec", "names", "kind"]);
    let raw = object::at(version, &["schema", "openAPIV3Schema"]).cloned().unwrap_or_default();
    let stored = object::list(definition, &["spec", "versions"])
        .iter()
        .find(|v| v["storage"] == json!(true));
    let stored_version = stored.map_or(name.as_str(), |v| object::text(v, &["name"])).to_owned();
    let rules = Rules::compile(&raw, &group, &name, &kind);
    Resource {
        list_kind: text(&["spec", "names", "listKind"]),
        plural: text(&["spec", "names", "plural"]),
        singular: text(&["spec", "names", "singular"]),
        namespaced: text(&["spec", "scope"]) == "Namespaced",
        short_names: words(&["spec", "names", "shortNames"]),
        categories: words(&["spec", "names", "categories"]),
        status: object::at(version, &["subresources", "status"]).is_some(),
        scale: object::at(version, &["subresources", "scale"]).map(scale),
        verbs: ALL_VERBS,
        schema: Arc::new(complete(&raw)),
        strategy: Strategy::Custom,
        columns: Columns::custom(object::list(version, &["additionalPrinterColumns"])),
        selectable: object::list(version, &["selectableFields"])
            .iter()
            .map(|f| object::text(f, &["jsonPath"]).trim_start_matches('.').to_owned())
            .collect(),
        stored_group: group.clone(),
        stored_version,
        definition: None,
        custom: Some(Arc::new(Custom { raw, rules })),
        group,
        version: name,
        kind,
    }
}

fn scale(raw: &Value) -> Scale {
    let path = |field: &str| -> Vec<String> {
        object::text(raw, &[field])
            .split('.')
            .filter(|p| !p.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let selector = path("labelSelectorPath");
    Scale {
        spec_replicas: path("specReplicasPath"),
        status_replicas: path("statusReplicasPath"),
        selector: (!selector.is_empty()).then_some(selector),
    }
}

/// The schema with what every object has: its type and its metadata.
fn complete(raw: &Value) -> Schema {
    let mut schema = parse_standalone(raw);
    schema
        .properties
        .insert("metadata".into(), definitions::structure().schema(definitions::OBJECT_META));
    for field in ["apiVersion", "kind"] {
        schema
            .properties
            .insert(field.into(), Arc::new(parse_standalone(&json!({"type": "string"}))));
    }
    schema
}
