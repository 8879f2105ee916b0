//! Strategic merge patch (`k8s.io/apimachinery/pkg/util/strategicpatch`): lists of objects merge by key.

use serde_json::{Map, Value};

use crate::schema::Schema;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Merges a patch into an object.
pub(crate) fn merge(object: &mut Value, patch: &Value, schema: &Schema) -> Result<(), String> {
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        return Err("a strategic merge patch must be an object".into());
    };
    merge_maps(object, patch, schema)
}

fn merge_maps(
    object: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    schema: &Schema,
) -> Result<(), String> {
    match directive(patch)? {
        Some("replace") => {
            *object = without_directives(patch);
            return Ok(());
        }
        Some("delete") => {
            object.clear();
            return Ok(());
        }
        _ => {}
    }
    if let Some(keep) = patch.get(RETAIN) {
        let keep = keep.as_array().ok_or("$retainKeys must be a list")?;
        object.retain(|name, _| keep.iter().any(|k| k == name));
    }
    for (name, wanted) in patch {
        if let Some(field) = name.strip_prefix(DELETE) {
            let gone = wanted.as_array().ok_or("$deleteFromPrimitiveList must be a list")?;
            if let Some(list) = object.get_mut(field).and_then(Value::as_array_mut) {
                list.retain(|item| !gone.contains(item));
            }
        } else if !name.starts_with('$') {
            let order = match patch.get(&format!("{ORDER}{name}")) {
                Some(order) => Some(elements(order)?),
                None => None,
            };
            merge_field(object, name, wanted, schema.field(name).map(AsRef::as_ref), order)?;
        }
    }
    for (name, order) in patch {
        // Lists that the patch itself names were put in order when they merged.
        let Some(field) = name.strip_prefix(ORDER).filter(|f| !patch.contains_key(*f)) else {
            continue;
        };
        let key = schema.field(field).and_then(|s| s.merge_key.as_deref()).unwrap_or_default();
        if let Some(list) = object.get_mut(field).and_then(Value::as_array_mut) {
            let before = list.clone();
            arrange(list, &before, elements(order)?, key);
        }
    }
    Ok(())
}

fn merge_field(
    object: &mut Map<String, Value>,
    name: &str,
    wanted: &Value,
    schema: Option<&Schema>,
    order: Option<&[Value]>,
) -> Result<(), String> {
    let any = Schema::any();
    let schema = schema.unwrap_or(&any);
    match wanted {
        Value::Null => {
            object.remove(name);
        }
        Value::Object(wanted) => {
            let slot = object.entry(name).or_insert(Value::Null);
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            if let Value::Object(inner) = slot {
                merge_maps(inner, wanted, schema)?;
            }
        }
        Value::Array(wanted) => match &schema.merge_key {
            Some(key) => {
                let slot = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if !slot.is_array() {
                    *slot = Value::Array(Vec::new());
                }
                if let Value::Array(list) = slot {
                    let before = list.clone();
                    merge_lists(list, wanted, key, schema.items.as_deref().unwrap_or(&any))?;
                    arrange(list, &before, order.unwrap_or(wanted), key);
                }
            }
            None => {
                object.insert(name.to_owned(), Value::Array(wanted.clone()));
            }
        },
        other => {
            object.insert(name.to_owned(), other.clone());
        }
    }
    Ok(())
}

fn merge_lists(
    list: &mut Vec<Value>,
    wanted: &[Value],
    key: &str,
    items: &Schema,
) -> Result<(), String> {
    if key.is_empty() {
        for item in wanted {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
        return Ok(());
    }
    let replaces = |item: &Value| item.get(DIRECTIVE).and_then(Value::as_str) == Some("replace");
    if wanted.iter().any(replaces) {
        *list = wanted.iter().filter(|i| !replaces(i)).cloned().collect();
        return Ok(());
    }
    for item in wanted {
        let Value::Object(patch) = item else {
            return Err(format!("an element of a list that merges by {key} must be an object"));
        };
        let Some(identity) = patch.get(key) else {
            return Err(format!("map: {item} does not contain declared merge key: {key}"));
        };
        let found = list.iter().position(|o| o.get(key) == Some(identity));
        match (directive(patch)?, found) {
            (Some("delete"), Some(index)) => {
                list.remove(index);
            }
            (Some("delete"), None) => {}
            (_, Some(index)) => {
                if let Some(Value::Object(existing)) = list.get_mut(index) {
                    merge_maps(existing, patch, items)?;
                }
            }
            (_, None) => {
                let mut new = Map::new();
                merge_maps(&mut new, patch, items)?;
                list.push(Value::Object(new));
            }
        }
    }
    Ok(())
}

/// Orders a merged list: elements that `order` names in that order, the others as they were on the server, and
/// between the two the server's order decides; what is new comes first.
fn arrange(list: &mut Vec<Value>, server: &[Value], order: &[Value], key: &str) {
    let place = |all: &[Value], item: &Value| {
        all.iter()
            .position(|o| if key.is_empty() { o == item } else { o.get(key) == item.get(key) })
    };
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        list.drain(..).partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    let mut others = others.into_iter().peekable();
    for item in named {
        let mine = place(server, &item);
        while let Some(other) =
            others.next_if(|other| mine.is_some() && place(server, other) < mine)
        {
            list.push(other);
        }
        list.push(item);
    }
    list.extend(others);
}

fn elements(order: &Value) -> Result<&[Value], String> {
    order.as_array().map(Vec::as_slice).ok_or_else(|| "$setElementOrder must be a list".to_owned())
}

fn directive(patch: &Map<String, Value>) -> Result<Option<&str>, String> {
    match patch.get(DIRECTIVE).map(Value::as_str) {
        None => Ok(None),
        Some(Some(known @ ("replace" | "delete" | "merge"))) => Ok(Some(known)),
        Some(other) => Err(format!("unknown patch type: {}", other.unwrap_or("not a string"))),
    }
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch.iter().filter(|(k, _)| !k.starts_with('$')).map(|(k, v)| (k.clone(), v.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::definitions::structure;
    use serde_json::json;

    #[test]
    fn containers_merge_by_name() {
        let schema = structure().schema("io.k8s.api.apps.v1.Deployment");
        let pod = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
        let live = json!({"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}], "tolerations": [{"key": "k"}]});
        for (patch, expected) in [
            (
                json!({"containers": [{"name": "a", "image": "9"}]}),
                json!([{"name": "a", "image": "9", "args": ["x"]}, {"name": "b", "image": "2"}]),
            ),
            (
                json!({"containers": [{"name": "a", "$patch": "delete"}]}),
                json!([{"name": "b", "image": "2"}]),
            ),
            (
                json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}], "containers": [{"name": "c", "image": "3"}]}),
                json!([{"name": "c", "image": "3"}, {"name": "b", "image": "2"}, {"name": "a", "image": "1", "args": ["x"]}]),
            ),
            (json!({"containers": [{"name": "z"}, {"$patch": "replace"}]}), json!([{"name": "z"}])),
            (
                json!({"containers": [{"name": "a", "args": null}]}),
                json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]),
            ),
        ] {
            let mut object = pod(live.clone());
            merge(&mut object, &pod(patch.clone()), &schema).unwrap();
            assert_eq!(object["spec"]["template"]["spec"]["containers"], expected, "{patch}");
        }
        let mut object = pod(live);
        merge(&mut object, &pod(json!({"tolerations": [{"key": "l"}]})), &schema).unwrap();
        assert_eq!(
            object["spec"]["template"]["spec"]["tolerations"],
            json!([{"key": "l"}]),
            "atomic"
        );
        assert!(
            merge(&mut object, &pod(json!({"containers": [{"image": "x"}]})), &schema).is_err()
        );
    }

    #[test]
    fn finalizers_are_a_set() {
        let schema = structure().schema("io.k8s.api.core.v1.ConfigMap");
        let mut object = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch = json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}});
        merge(&mut object, &patch, &schema).unwrap();
        assert_eq!(object["metadata"]["finalizers"], json!(["c", "b"]));
    }
}
