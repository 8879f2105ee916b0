//! Walking a value by its schema: which fields it sets, what differs between two, merging, removing.
//! The rules are those of structured-merge-diff.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::set::{Element, Set};
use crate::schema::{List, Schema};

static ANY: LazyLock<Schema> = LazyLock::new(Schema::any);

/// The schema of a field, and whether the kind names that field (others are entries of a map).
fn field<'a>(schema: &'a Schema, name: &str) -> (&'a Schema, bool) {
    let named = schema.properties.contains_key(name);
    (schema.field(name).map_or(&*ANY, |s| s), named)
}

fn items(schema: &Schema) -> &Schema {
    schema.items.as_deref().unwrap_or(&ANY)
}

/// Do parts of the value have owners of their own?
fn is_granular(value: &Value, schema: &Schema) -> bool {
    match value {
        Value::Object(_) => !schema.atomic,
        Value::Array(_) => schema.list != List::Atomic,
        _ => false,
    }
}

/// How a path names an element of a list.
pub(crate) fn element(item: &Value, schema: &Schema) -> Element {
    let List::Map(keys) = &schema.list else { return format!("v:{item}") };
    let mut keys = keys.clone();
    keys.sort();
    let parts: Vec<String> = keys
        .iter()
        .filter_map(|key| {
            let default = || items(schema).properties.get(key).and_then(|p| p.default.as_ref());
            let value = item.get(key).or_else(default)?;
            Some(format!("{}:{value}", Value::String(key.clone())))
        })
        .collect();
    format!("k:{{{}}}", parts.join(","))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The paths that a value sets below its own.
pub(crate) fn owned(value: &Value, schema: &Schema) -> Set {
    let mut set = Set::default();
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                let (inner_schema, named) = field(schema, name);
                let element = format!("f:{name}");
                let leaf = !is_granular(inner, inner_schema);
                if leaf || is_empty(inner) || !named {
                    set.insert(element.clone());
                }
                if !leaf {
                    set.insert_below(element, &owned(inner, inner_schema));
                }
            }
        }
        Value::Array(list) => {
            for item in list {
                let step = element(item, schema);
                set.insert(step.clone());
                if is_granular(item, items(schema)) {
                    set.insert_below(step, &owned(item, items(schema)));
                }
            }
        }
        _ => {}
    }
    set
}

/// What differs between two values.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: Set,
    pub(crate) removed: Set,
    pub(crate) modified: Set,
}

impl Comparison {
    fn below(&mut self, element: &Element, inner: &Self) {
        self.added.insert_below(element.clone(), &inner.added);
        self.removed.insert_below(element.clone(), &inner.removed);
        self.modified.insert_below(element.clone(), &inner.modified);
    }

    /// Changes each of the three sets.
    pub(crate) fn each(&mut self, mut change: impl FnMut(&mut Set)) {
        change(&mut self.added);
        change(&mut self.removed);
        change(&mut self.modified);
    }
}

/// Compares two values of one schema.
pub(crate) fn compare(old: &Value, new: &Value, schema: &Schema) -> Comparison {
    let mut comparison = Comparison::default();
    for (step, schema, old, new) in pairs(old, new, schema) {
        match (old, new) {
            (None, Some(new)) => {
                comparison.added.insert(step.clone());
                if is_granular(new, schema) {
                    comparison.added.insert_below(step, &everything(new, schema));
                }
            }
            (Some(old), None) => {
                comparison.removed.insert(step.clone());
                if is_granular(old, schema) {
                    comparison.removed.insert_below(step, &everything(old, schema));
                }
            }
            // Null is an empty collection: what changes are its parts.
            (Some(Value::Null), Some(new)) if is_granular(new, schema) => {
                comparison.added.insert_below(step, &everything(new, schema));
            }
            (Some(old), Some(Value::Null)) if is_granular(old, schema) => {
                comparison.removed.insert_below(step, &everything(old, schema));
            }
            (Some(old), Some(new)) if old != new => {
                let alike = is_granular(old, schema)
                    && is_granular(new, schema)
                    && old.is_object() == new.is_object();
                if alike {
                    comparison.below(&step, &compare(old, new, schema));
                } else {
                    comparison.modified.insert(step);
                }
            }
            _ => {}
        }
    }
    comparison
}

/// Every path below a value, inner ones included.
fn everything(value: &Value, schema: &Schema) -> Set {
    let mut set = Set::default();
    for (step, schema, _, new) in pairs(&Value::Null, value, schema) {
        let Some(new) = new else { continue };
        set.insert(step.clone());
        if is_granular(new, schema) {
            set.insert_below(step, &everything(new, schema));
        }
    }
    set
}

type Pair<'a> = (Element, &'a Schema, Option<&'a Value>, Option<&'a Value>);

/// The parts of two values, matched by field or key.
fn pairs<'a>(old: &'a Value, new: &'a Value, schema: &'a Schema) -> Vec<Pair<'a>> {
    if old.is_array() || new.is_array() {
        let list = |value: &'a Value| value.as_array().map_or(&[][..], Vec::as_slice);
        let (old, new) = (list(old), list(new));
        let find = |list: &'a [Value], step: &str| list.iter().find(|i| element(i, schema) == step);
        let mut pairs: Vec<Pair<'a>> = Vec::new();
        for item in new {
            let step = element(item, schema);
            if pairs.iter().all(|(s, ..)| *s != step) {
                let before = find(old, &step);
                pairs.push((step, items(schema), before, Some(item)));
            }
        }
        for item in old {
            let step = element(item, schema);
            if pairs.iter().all(|(s, ..)| *s != step) {
                pairs.push((step, items(schema), Some(item), None));
            }
        }
        return pairs;
    }
    let mut pairs = Vec::new();
    for (name, inner) in new.as_object().into_iter().flatten() {
        pairs.push((format!("f:{name}"), field(schema, name).0, old.get(name), Some(inner)));
    }
    for (name, inner) in old.as_object().into_iter().flatten() {
        if new.get(name).is_none() {
            pairs.push((format!("f:{name}"), field(schema, name).0, Some(inner), None));
        }
    }
    pairs
}

/// Puts a configuration over a live value.
pub(crate) fn merge(live: &Value, config: &Value, schema: &Schema) -> Value {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if !schema.atomic => {
            let mut merged = live.clone();
            for (name, wanted) in config {
                let inner = field(schema, name).0;
                let value = match live.get(name) {
                    Some(live) => merge(live, wanted, inner),
                    None => wanted.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(config)) if schema.list != List::Atomic => {
            Value::Array(merge_lists(live, config, schema))
        }
        _ => config.clone(),
    }
}

/// Items of both lists: those of the configuration in its order, the others where they were in between. The order
/// is that of structured-merge-diff to the letter, since a list in another order is another list.
fn merge_lists(live: &[Value], config: &[Value], schema: &Schema) -> Vec<Value> {
    let keys = |list: &[Value]| list.iter().map(|i| element(i, schema)).collect::<Vec<Element>>();
    let (existing, wanted) = (keys(live), keys(config));
    let item = |step: &Element, wanted: &Value| {
        let before = existing.iter().position(|e| e == step).and_then(|i| live.get(i));
        before.map_or_else(|| wanted.clone(), |live| merge(live, wanted, items(schema)))
    };
    let mut shared = wanted.iter().filter(|w| existing.contains(w)).peekable();
    let mut merged = Vec::new();
    let mut rest = live.iter().zip(&existing).peekable();
    let mut asked = config.iter().zip(&wanted).enumerate().peekable();
    while rest.peek().is_some() || asked.peek().is_some() {
        if let (Some((_, here)), Some((_, (value, there)))) = (rest.peek(), asked.peek()) {
            if here == there {
                merged.push(item(there, value));
                rest.next();
                asked.next();
                shared.next();
                continue;
            }
            // In both, but not the next in the configuration's order: its turn comes.
            if wanted.contains(here) && shared.peek().is_some_and(|next| next != here) {
                rest.next();
                continue;
            }
        }
        if let Some((value, _)) = rest.next_if(|(_, here)| !wanted.contains(here)) {
            merged.push(value.clone());
            continue;
        }
        let done = asked.peek().map_or(wanted.len(), |(index, _)| *index);
        rest.next_if(|(_, here)| wanted.iter().take(done).any(|w| w == *here));
        if let Some((_, (value, there))) = asked.next() {
            merged.push(item(there, value));
            shared.next_if_eq(&there);
        }
    }
    merged
}

/// Takes paths away from a value. What becomes empty by it becomes `null`.
pub(crate) fn remove(value: &Value, gone: &Set, schema: &Schema) -> Value {
    if !is_granular(value, schema) {
        return value.clone();
    }
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut rest = Map::new();
            for (name, inner) in map {
                match gone.0.get(&format!("f:{name}")) {
                    Some(node) if node.member => {}
                    Some(node) => {
                        rest.insert(
                            name.clone(),
                            remove(inner, &node.below, field(schema, name).0),
                        );
                    }
                    None => {
                        rest.insert(name.clone(), inner.clone());
                    }
                }
            }
            if rest.is_empty() { Value::Null } else { Value::Object(rest) }
        }
        Value::Array(list) if !list.is_empty() => {
            let mut rest = Vec::new();
            for item in list {
                match gone.0.get(&element(item, schema)) {
                    Some(node) if node.member => {}
                    Some(node) => rest.push(remove(item, &node.below, items(schema))),
                    None => rest.push(item.clone()),
                }
            }
            if rest.is_empty() { Value::Null } else { Value::Array(rest) }
        }
        other => other.clone(),
    }
}

/// The set with every field that the kind names as a member, if something below it is.
pub(crate) fn with_named(set: &Set, schema: &Schema) -> Set {
    let mut named = set.clone();
    for (step, node) in &mut named.0 {
        let inner = match step.strip_prefix("f:") {
            Some(name) => {
                let (inner, is_named) = field(schema, name);
                node.member |= is_named;
                inner
            }
            None => items(schema),
        };
        node.below = with_named(&node.below, inner);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::parse::parse_standalone;
    use serde_json::json;

    fn schema() -> Schema {
        parse_standalone(&json!({"type": "object", "properties": {
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {
                    "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": {"type": "string"}}}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "atomic": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "inner": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
        }}))
    }

    #[test]
    fn owned_paths() {
        let value = json!({"ports": [{"port": 80, "name": "x"}], "set": ["a"], "atomic": ["b"], "labels": {"k": "v"}, "inner": {"a": 1}});
        assert_eq!(
            owned(&value, &schema()).to_json(),
            json!({
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}}},
                "f:set": {"v:\"a\"": {}}, "f:atomic": {}, "f:labels": {"f:k": {}}, "f:inner": {"f:a": {}},
            })
        );
    }

    #[test]
    fn lists_merge_by_key_and_keep_their_order() {
        let live = json!({"set": ["a", "b", "c"]});
        for (config, expected) in [
            (json!(["c", "a"]), json!(["c", "b", "a"])),
            (json!(["x"]), json!(["a", "b", "c", "x"])),
            (json!(["b"]), json!(["a", "b", "c"])),
        ] {
            let mut merged = merge(&live, &json!({"set": config}), &schema())["set"].clone();
            let mut expected = expected;
            // Every item is there once; the order of the configuration is kept.
            let order: Vec<&Value> = merged
                .as_array()
                .unwrap()
                .iter()
                .filter(|v| config.as_array().unwrap().contains(v))
                .collect();
            assert_eq!(order, config.as_array().unwrap().iter().collect::<Vec<_>>());
            for list in [&mut merged, &mut expected] {
                list.as_array_mut().unwrap().sort_by_key(ToString::to_string);
            }
            assert_eq!(merged, expected);
        }
    }

    #[test]
    fn comparison_tells_what_moved() {
        let old = json!({"inner": {"a": 1, "b": 2}, "set": ["a"], "labels": {"k": "v"}});
        let new =
            json!({"inner": {"a": 3}, "set": ["a", "b"], "atomic": ["x"], "labels": {"k": "v"}});
        let comparison = compare(&old, &new, &schema());
        assert_eq!(comparison.added.shown(), [".atomic", ".set[=\"b\"]"]);
        assert_eq!(comparison.removed.shown(), [".inner.b"]);
        assert_eq!(comparison.modified.shown(), [".inner.a"]);
    }
}
