//! Value validation of a structural schema, with the messages of `kube-openapi`'s validator.

use serde_json::Value;

use super::{Checks, List, Schema, Type};
use crate::error::Cause;

/// Checks a value and everything below it. What did not change since `old` is not held against an update.
pub(crate) fn validate(
    value: &Value,
    old: Option<&Value>,
    schema: &Schema,
    path: &str,
    causes: &mut Vec<Cause>,
) {
    if old == Some(value) {
        return;
    }
    if value.is_null() && (schema.nullable || schema.kind.is_none()) {
        return;
    }
    if !type_fits(value, schema) {
        let expected = schema.kind.map_or("integer or string", type_name);
        let detail =
            format!("{} in body must be of type {expected}: {:?}", shown(path), actual(value));
        causes.push(Cause::wrong_type(path, &Value::String(actual(value).to_owned()), &detail));
        return;
    }
    check(value, &schema.checks, path, causes);
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                if let Some(field) = schema.field(name) {
                    let before = old.and_then(|old| old.get(name));
                    validate(inner, before, field, &join(path, name), causes);
                }
            }
        }
        Value::Array(list) => {
            check_list(list, schema, path, causes);
            if let Some(items) = &schema.items {
                for (index, inner) in list.iter().enumerate() {
                    let before = former(inner, old, schema);
                    validate(inner, before, items, &format!("{path}[{index}]"), causes);
                }
            }
        }
        _ => {}
    }
}

/// The former self of an element; only lists of type `map` know it.
fn former<'a>(element: &Value, old: Option<&'a Value>, list: &Schema) -> Option<&'a Value> {
    let List::Map(keys) = &list.list else { return None };
    old?.as_array()?.iter().find(|o| keys.iter().all(|k| o.get(k) == element.get(k)))
}

/// The first value that is of no type that a built-in kind can hold there, as Go's decoder words it.
pub(crate) fn type_fault(value: &Value, schema: &Schema, path: &str) -> Option<String> {
    if value.is_null() || schema.preserve {
        return None;
    }
    if !type_fits(value, schema) {
        let expected = schema.kind.map_or("integer or string", type_name);
        let found = match value {
            Value::Bool(_) => "bool",
            other => actual(other),
        };
        return Some(format!(
            "json: cannot unmarshal {found} into Go struct field {path} of type {expected}"
        ));
    }
    if schema.checks.format.as_deref() == Some("byte")
        && !value.as_str().is_some_and(super::format::is_base64)
    {
        return Some(format!("illegal base64 data in field {path}"));
    }
    match value {
        Value::Object(map) => map
            .iter()
            .find_map(|(name, inner)| type_fault(inner, schema.field(name)?, &join(path, name))),
        Value::Array(list) => {
            let items = schema.items.as_deref()?;
            list.iter()
                .enumerate()
                .find_map(|(i, inner)| type_fault(inner, items, &format!("{path}[{i}]")))
        }
        _ => None,
    }
}

/// Is the value of a type that the schema accepts?
fn type_fits(value: &Value, schema: &Schema) -> bool {
    if schema.int_or_string {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    match schema.kind {
        None => true,
        Some(Type::Object) => value.is_object(),
        Some(Type::Array) => value.is_array(),
        Some(Type::String) => value.is_string(),
        Some(Type::Integer) => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        Some(Type::Number) => value.is_number(),
        Some(Type::Boolean) => value.is_boolean(),
    }
}

pub(crate) fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Object => "object",
        Type::Array => "array",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
    }
}

fn actual(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check(value: &Value, checks: &Checks, path: &str, causes: &mut Vec<Cause>) {
    if let Some(values) = &checks.values
        && !values.contains(value)
    {
        let allowed: Vec<String> = values
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect();
        causes.push(Cause::not_supported(path, value, &allowed));
    }
    match value {
        Value::String(text) => check_text(value, text, checks, path, causes),
        Value::Number(number) => {
            check_number(value, number.as_f64().unwrap_or_default(), checks, path, causes);
        }
        Value::Object(map) => {
            for name in checks.required.iter().filter(|name| !map.contains_key(*name)) {
                causes.push(Cause::required(join(path, name), ""));
            }
            bounds(map.len(), checks.properties, "properties", path, value, causes);
        }
        Value::Array(list) => bounds(list.len(), checks.items, "items", path, value, causes),
        _ => {}
    }
    check_combinations(value, checks, path, causes);
}

fn check_text(value: &Value, text: &str, checks: &Checks, path: &str, causes: &mut Vec<Cause>) {
    let length = text.chars().count() as u64;
    if let Some(least) = checks.length.0.filter(|least| length < *least) {
        let detail = format!("{} in body should be at least {least} chars long", shown(path));
        causes.push(Cause::invalid(path, value, &detail));
    }
    if let Some(most) = checks.length.1.filter(|most| length > *most) {
        let message = format!("Too long: may not be more than {most} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", field: path.to_owned(), message });
    }
    if let Some(pattern) = &checks.pattern
        && !pattern.compiled.as_ref().is_some_and(|r| r.is_match(text))
    {
        let detail = format!("{} in body should match '{}'", shown(path), pattern.text);
        causes.push(Cause::invalid(path, value, &detail));
    }
    if let Some(format) = checks.format.as_deref()
        && !super::format::fits(format, text)
    {
        let detail = format!("{} in body must be of type {format}: {value}", shown(path));
        causes.push(Cause::invalid(path, value, &detail));
    }
}

fn check_number(value: &Value, number: f64, checks: &Checks, path: &str, causes: &mut Vec<Cause>) {
    if let Some((least, exclusive)) = checks.minimum
        && (number < least || (exclusive && number <= least))
    {
        let word = if exclusive { "greater than" } else { "greater than or equal to" };
        let detail = format!("{} in body should be {word} {least}", shown(path));
        causes.push(Cause::invalid(path, value, &detail));
    }
    if let Some((most, exclusive)) = checks.maximum
        && (number > most || (exclusive && number >= most))
    {
        let word = if exclusive { "less than" } else { "less than or equal to" };
        let detail = format!("{} in body should be {word} {most}", shown(path));
        causes.push(Cause::invalid(path, value, &detail));
    }
    if let Some(step) = checks.multiple_of
        && (number / step).fract() != 0.0
    {
        let detail = format!("{} in body should be a multiple of {step}", shown(path));
        causes.push(Cause::invalid(path, value, &detail));
    }
}

fn bounds(
    count: usize,
    (least, most): (Option<u64>, Option<u64>),
    what: &str,
    path: &str,
    value: &Value,
    causes: &mut Vec<Cause>,
) {
    let count = count as u64;
    if let Some(least) = least.filter(|least| count < *least) {
        let detail = format!("{} in body should have at least {least} {what}", shown(path));
        causes.push(Cause::invalid(path, value, &detail));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        let noun = if most == 1 { "item" } else { "items" };
        let message = format!("Too many: {count}: must have at most {most} {noun}");
        causes.push(Cause { reason: "FieldValueTooMany", field: path.to_owned(), message });
    }
}

fn check_combinations(value: &Value, checks: &Checks, path: &str, causes: &mut Vec<Cause>) {
    let passes = |schema: &Schema| {
        let mut inner = Vec::new();
        validate(value, None, schema, path, &mut inner);
        inner.is_empty()
    };
    for schema in &checks.all_of {
        validate(value, None, schema, path, causes);
    }
    // The validator of kube-openapi does not say where these are; the message does.
    let mut refuse = |detail: String| {
        causes.push(Cause::invalid("<nil>", &Value::from(""), &format!("{path:?} {detail}")));
    };
    if !checks.any_of.is_empty() && !checks.any_of.iter().any(passes) {
        refuse("must validate at least one schema (anyOf)".to_owned());
    }
    let count = checks.one_of.iter().filter(|s| passes(s)).count();
    if !checks.one_of.is_empty() && count != 1 {
        let found = if count == 0 {
            "none valid".to_owned()
        } else {
            format!("{count} valid alternatives")
        };
        refuse(format!("must validate one and only one schema (oneOf). Found {found}"));
    }
    if checks.not.as_deref().is_some_and(passes) {
        refuse("must not validate the schema (not)".to_owned());
    }
}

/// Elements of sets and maps are unique.
fn check_list(list: &[Value], schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    let unique = schema.checks.unique || schema.list == List::Set;
    for (index, element) in list.iter().enumerate() {
        let earlier = list.iter().take(index);
        let at = format!("{path}[{index}]");
        if let List::Map(keys) = &schema.list {
            let key = |v: &Value| -> Vec<Value> {
                keys.iter().map(|k| v.get(k).cloned().unwrap_or_default()).collect()
            };
            if earlier.clone().any(|e| key(e) == key(element)) {
                let shown: serde_json::Map<String, Value> = keys
                    .iter()
                    .filter_map(|k| Some((k.clone(), element.get(k)?.clone())))
                    .collect();
                causes.push(Cause::duplicate(at, &Value::Object(shown)));
            }
        } else if unique && earlier.clone().any(|e| e == element) {
            causes.push(Cause::duplicate(at, element));
        }
    }
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
