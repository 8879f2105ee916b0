//! CEL rules (`x-kubernetes-validations`), evaluated by `kube-cel`.
//!
//! `kube-cel` pairs elements of lists with their former selves by index; Kubernetes does so by key, and only in
//! lists of type `map`. So the elements of such lists are taken out of the compiled schema and checked one by one.

use std::collections::BTreeSet;

use kube::core::cel::{
    CompilationError, CompiledSchema, ErrorKind, RootContext, ValidationError, Validator,
    compile_schema,
};
use serde_json::{Value, json};

use crate::{
    error::Cause, managed::typed, object, resource::group_version, schema::parse::parse_standalone,
};

/// The rules of a schema, compiled.
#[derive(Debug)]
pub(super) struct Rules {
    compiled: CompiledSchema,
    root: Option<RootContext>,
    lists: Vec<Elements>,
    any: bool,
    /// Rules that point at a field: their value is the object that they are about.
    pointing: BTreeSet<String>,
}

/// The rules of the elements of one list.
#[derive(Debug)]
struct Elements {
    /// Field names that lead to the list.
    path: Vec<String>,
    list: crate::schema::Schema,
    rules: Rules,
}

const RULES: &str = "x-kubernetes-validations";

impl Rules {
    /// Compiles the rules of a custom resource.
    pub(super) fn compile(raw: &Value, group: &str, version: &str, kind: &str) -> Self {
        let root = RootContext {
            api_version: group_version(group, version),
            api_group: group.to_owned(),
            kind: kind.to_owned(),
        };
        let mut rules = Self::of(raw);
        rules.root = Some(root);
        rules
    }

    fn of(raw: &Value) -> Self {
        let mut raw = raw.clone();
        let mut lists = Vec::new();
        take_lists(&mut raw, &mut Vec::new(), &mut lists);
        let any = has_rules(&raw) || !lists.is_empty();
        let mut pointing = BTreeSet::new();
        find_pointing(&raw, &mut pointing);
        Self { compiled: compile_schema(&raw), root: None, lists, any, pointing }
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// Checks an object; `old` is its state before an update.
    pub(super) fn check(&self, object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
        self.check_at("", object, old, causes);
    }

    fn check_at(&self, path: &str, value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
        if !self.any {
            return;
        }
        let validator = Validator::new();
        let checked = validator.validate_compiled_with_context(
            &self.compiled,
            value,
            old,
            self.root.as_ref(),
        );
        for error in checked.err().into_iter().flatten() {
            let about_object = self.pointing.contains(&error.rule);
            causes.push(cause(path, value, &error, about_object));
        }
        for elements in &self.lists {
            elements.check(path, value, old, causes);
        }
    }
}

impl Elements {
    fn check(&self, path: &str, value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
        let fields: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let before = old.map_or(&[][..], |old| object::list(old, &fields));
        let at = join(path, &fields.join("."));
        for (index, item) in object::list(value, &fields).iter().enumerate() {
            let key = typed::element(item, &self.list);
            let old = before.iter().find(|o| typed::element(o, &self.list) == key);
            self.rules.check_at(&format!("{at}[{index}]"), item, old, causes);
        }
    }
}

/// Takes the rules of elements of `map` lists out of a schema. Lists inside lists are found when their parent's
/// elements are compiled; lists inside maps keep the pairing by index.
fn take_lists(raw: &mut Value, path: &mut Vec<String>, lists: &mut Vec<Elements>) {
    let is_map = raw["x-kubernetes-list-type"] == json!("map");
    if is_map && raw.get("items").is_some_and(has_rules) {
        let list = parse_standalone(raw);
        if let Some(items) = raw.get_mut("items") {
            lists.push(Elements { path: path.clone(), list, rules: Rules::of(items) });
            strip_rules(items);
        }
        return;
    }
    let Some(properties) = raw.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, inner) in properties {
        path.push(name.clone());
        take_lists(inner, path, lists);
        path.pop();
    }
}

fn has_rules(raw: &Value) -> bool {
    match raw {
        Value::Object(map) => map.contains_key(RULES) || map.values().any(has_rules),
        Value::Array(list) => list.iter().any(has_rules),
        _ => false,
    }
}

/// Collects the rules that have a `fieldPath`.
fn find_pointing(raw: &Value, found: &mut BTreeSet<String>) {
    match raw {
        Value::Object(map) => {
            for rule in object::list(raw, &[RULES]).iter().filter(|r| r.get("fieldPath").is_some())
            {
                found.insert(object::text(rule, &["rule"]).to_owned());
            }
            map.values().for_each(|inner| find_pointing(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| find_pointing(inner, found)),
        _ => {}
    }
}

fn strip_rules(raw: &mut Value) {
    match raw {
        Value::Object(map) => {
            map.remove(RULES);
            map.values_mut().for_each(strip_rules);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_rules),
        _ => {}
    }
}

fn cause(path: &str, root: &Value, error: &ValidationError, about_object: bool) -> Cause {
    let field = join(path, &error.field_path);
    let field = if field.is_empty() { "<nil>".to_owned() } else { field };
    let message = match error.kind {
        ErrorKind::EvaluationError => {
            format!(
                "{} evaluating rule: {}",
                error.message.trim_start_matches("rule evaluation error: "),
                error.rule
            )
        }
        _ => error.message.trim().to_owned(),
    };
    match error.reason.as_deref() {
        Some("FieldValueForbidden") => Cause::forbidden(field, &message),
        Some("FieldValueRequired") => Cause::required(field, &message),
        _ => match value_at(root, &error.field_path).filter(|_| !about_object) {
            // Objects and lists are not repeated in messages.
            None | Some(Value::Object(_) | Value::Array(_)) => Cause {
                reason: "FieldValueInvalid",
                field,
                message: format!("Invalid value: {message}"),
            },
            Some(value) => Cause::invalid(field, value, &message),
        },
    }
}

fn value_at<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    if pointer.is_empty() { Some(root) } else { root.pointer(&format!("/{pointer}")) }
}

fn join(path: &str, rest: &str) -> String {
    match (path.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (_, true) => path.to_owned(),
        _ => format!("{path}.{rest}"),
    }
}

/// What does not compile in the rules of a schema: (path of the rule, message).
pub(super) fn compilation_errors(raw: &Value) -> Vec<(String, String)> {
    let mut errors = Vec::new();
    walk_errors(&compile_schema(raw), "", &mut errors);
    errors
}

fn walk_errors(compiled: &CompiledSchema, path: &str, errors: &mut Vec<(String, String)>) {
    for (index, rule) in compiled.validations.iter().enumerate() {
        let Err(error) = rule else { continue };
        let (field, text) = match error {
            CompilationError::MessageExpressionParse { source, .. } => {
                ("messageExpression", source.to_string())
            }
            CompilationError::Parse { source, .. } => ("rule", source.to_string()),
            other => ("rule", other.to_string()),
        };
        errors.push((
            join(path, &format!("{RULES}[{index}].{field}")),
            format!("compilation failed: {text}"),
        ));
    }
    let properties: std::collections::BTreeMap<_, _> = compiled.properties.iter().collect();
    for (name, inner) in properties {
        walk_errors(inner, &join(path, &format!("properties[{name}]")), errors);
    }
    if let Some(items) = &compiled.items {
        walk_errors(items, &join(path, "items"), errors);
    }
    if let Some(values) = &compiled.additional_properties {
        walk_errors(values, &join(path, "additionalProperties"), errors);
    }
    errors.sort();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes(raw: &Value, object: &Value, old: Option<&Value>) -> Vec<String> {
        let mut causes = Vec::new();
        Rules::compile(raw, "g", "v1", "K").check(object, old, &mut causes);
        causes.into_iter().map(|c| format!("{}: {}", c.field, c.message)).collect()
    }

    #[test]
    fn transition_rules_pair_elements_by_key() {
        let raw = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"l": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer",
                "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "port is immutable"}]}}},
        }}}}});
        let old = json!({"spec": {"l": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}});
        let moved = json!({"spec": {"l": [{"name": "b", "port": 2}, {"name": "c", "port": 3}, {"name": "a", "port": 1}]}});
        assert_eq!(causes(&raw, &moved, Some(&old)), [""; 0]);
        let changed = json!({"spec": {"l": [{"name": "b", "port": 9}]}});
        assert_eq!(
            causes(&raw, &changed, Some(&old)),
            ["spec.l[0].port: Invalid value: 9: port is immutable"]
        );
        assert_eq!(causes(&raw, &changed, None), [""; 0]);
    }

    #[test]
    fn a_broken_rule_is_told_with_its_path() {
        let raw = json!({"type": "object", "properties": {"a": {"type": "string",
            "x-kubernetes-validations": [{"rule": "self =="}]}}});
        let errors = compilation_errors(&raw);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].0, "properties[a].x-kubernetes-validations[0].rule");
    }
}
