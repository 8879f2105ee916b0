//! From JSON schema, as in a CustomResourceDefinition or from `schemars`, to [`Schema`].

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{Additional, Checks, List, Pattern, Schema, Type};

/// Named schemas that `$ref` points to; each is parsed once and shared.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    raw: BTreeMap<String, Value>,
    parsed: RefCell<BTreeMap<String, Arc<Schema>>>,
    open: RefCell<BTreeSet<String>>,
}

impl Definitions {
    /// The schemas of `definitions` or `$defs`.
    pub(crate) fn new(raw: BTreeMap<String, Value>) -> Self {
        Self { raw, ..Self::default() }
    }

    /// One named schema. A schema that contains itself accepts everything below the repetition.
    pub(crate) fn get(&self, name: &str) -> Arc<Schema> {
        if let Some(done) = self.parsed.borrow().get(name) {
            return Arc::clone(done);
        }
        let Some(raw) = self.raw.get(name) else { return Arc::new(Schema::any()) };
        if !self.open.borrow_mut().insert(name.to_owned()) {
            return Arc::new(Schema::any());
        }
        let schema = Arc::new(parse_schema(raw, self));
        self.open.borrow_mut().remove(name);
        self.parsed.borrow_mut().insert(name.to_owned(), Arc::clone(&schema));
        schema
    }
}

/// Parses a schema without references.
pub(crate) fn parse_standalone(raw: &Value) -> Schema {
    parse_schema(raw, &Definitions::default())
}

/// Parses a schema; what it does not know it ignores.
pub(crate) fn parse_schema(raw: &Value, definitions: &Definitions) -> Schema {
    if let Some(name) = referenced(raw) {
        let mut schema = Schema::clone(&definitions.get(name));
        read_extensions(raw, &mut schema);
        return schema;
    }
    let flag = |name: &str| raw.get(name).and_then(Value::as_bool).unwrap_or_default();
    let mut schema = Schema {
        kind: raw.get("type").and_then(parse_type),
        preserve: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        int_or_string: flag("x-kubernetes-int-or-string")
            || raw.get("format").and_then(Value::as_str) == Some("int-or-string"),
        nullable: flag("nullable"),
        checks: parse_checks(raw, definitions),
        ..Schema::default()
    };
    if schema.int_or_string {
        schema.kind = None;
    }
    if let Some(properties) = raw.get("properties").and_then(Value::as_object) {
        schema.properties =
            properties.iter().map(|(name, raw)| (name.clone(), shared(raw, definitions))).collect();
    }
    schema.additional = match raw.get("additionalProperties") {
        None | Some(Value::Bool(false)) => Additional::None,
        Some(Value::Bool(true)) => Additional::Any,
        Some(raw) => Additional::Of(shared(raw, definitions)),
    };
    schema.items = raw.get("items").map(|raw| shared(raw, definitions));
    read_extensions(raw, &mut schema);
    schema
}

fn shared(raw: &Value, definitions: &Definitions) -> Arc<Schema> {
    match referenced(raw) {
        // Only a bare reference can be shared; one with siblings has extensions of its own.
        Some(name)
            if raw.as_object().is_some_and(|o| {
                o.keys().all(|k| matches!(k.as_str(), "$ref" | "allOf" | "description"))
            }) =>
        {
            definitions.get(name)
        }
        _ => Arc::new(parse_schema(raw, definitions)),
    }
}

/// The definition that a schema points to: `$ref`, alone or as the only part of `allOf`.
fn referenced(raw: &Value) -> Option<&str> {
    let direct = |raw: &Value| raw.get("$ref").and_then(Value::as_str).is_some();
    let target = if direct(raw) {
        raw
    } else {
        match raw.get("allOf")?.as_array()?.as_slice() {
            [only] if direct(only) && raw.get("properties").is_none() => only,
            _ => return None,
        }
    };
    target.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next())
}

fn parse_type(raw: &Value) -> Option<Type> {
    match raw.as_str()? {
        "object" => Some(Type::Object),
        "array" => Some(Type::Array),
        "string" => Some(Type::String),
        "integer" => Some(Type::Integer),
        "number" => Some(Type::Number),
        "boolean" => Some(Type::Boolean),
        _ => None,
    }
}

fn read_extensions(raw: &Value, schema: &mut Schema) {
    let text = |name: &str| raw.get(name).and_then(Value::as_str);
    let strings = |name: &str| -> Vec<String> {
        let list = raw.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    match text("x-kubernetes-list-type") {
        Some("set") => schema.list = List::Set,
        Some("map") => schema.list = List::Map(strings("x-kubernetes-list-map-keys")),
        _ => {}
    }
    if text("x-kubernetes-map-type") == Some("atomic") {
        schema.atomic = true;
    }
    if let Some(key) = text("x-kubernetes-patch-merge-key") {
        schema.merge_key = Some(key.to_owned());
    }
    if text("x-kubernetes-patch-strategy").is_some_and(|s| s.contains("retainKeys")) {
        schema.retain_keys = true;
    }
    if let Some(default) = raw.get("default") {
        schema.default = Some(default.clone());
    }
}

fn parse_checks(raw: &Value, definitions: &Definitions) -> Checks {
    let number = |name: &str| raw.get(name).and_then(Value::as_f64);
    let count = |name: &str| raw.get(name).and_then(Value::as_u64);
    let flag = |name: &str| raw.get(name).and_then(Value::as_bool).unwrap_or_default();
    let many = |name: &str| -> Vec<Schema> {
        let list = raw.get(name).and_then(Value::as_array);
        list.into_iter().flatten().map(|raw| parse_schema(raw, definitions)).collect()
    };
    Checks {
        required: raw
            .get("required")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
        values: raw.get("enum").and_then(Value::as_array).cloned(),
        pattern: raw
            .get("pattern")
            .and_then(Value::as_str)
            .map(|text| Pattern { text: text.to_owned(), compiled: regex::Regex::new(text).ok() }),
        format: raw.get("format").and_then(Value::as_str).map(str::to_owned),
        minimum: number("minimum").map(|n| (n, flag("exclusiveMinimum"))),
        maximum: number("maximum").map(|n| (n, flag("exclusiveMaximum"))),
        multiple_of: number("multipleOf"),
        length: (count("minLength"), count("maxLength")),
        items: (count("minItems"), count("maxItems")),
        properties: (count("minProperties"), count("maxProperties")),
        unique: flag("uniqueItems"),
        all_of: many("allOf"),
        any_of: many("anyOf"),
        one_of: many("oneOf"),
        not: raw.get("not").map(|raw| Box::new(parse_schema(raw, definitions))),
    }
}
