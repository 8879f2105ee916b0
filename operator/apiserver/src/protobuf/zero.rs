//! What Go leaves out of the JSON of built-in kinds when it is empty, and what it writes all the same.

use serde_json::{Map, Value, json};

use super::{MESSAGES, Message, Shape, Slot, message_name};
use crate::object;

/// The object that Go makes before it reads a body: structs that are no pointers are there, and empty.
/// `None` for kinds that the table does not know.
pub(crate) fn zero(version: &str, kind: &str) -> Option<Value> {
    let name = message_name(version, kind);
    let mut object = zero_message(MESSAGES.get(name.as_str())?);
    object.insert("apiVersion".into(), json!(version));
    object.insert("kind".into(), json!(kind));
    Some(Value::Object(object))
}

fn zero_message(message: &Message) -> Map<String, Value> {
    let mut object = Map::new();
    for slot in message.values() {
        match (slot.shape, MESSAGES.get(slot.kind)) {
            (Shape::One, Some(inner)) if slot.name.is_empty() => object.extend(zero_message(inner)),
            (Shape::One, Some(inner)) if slot.always => {
                object.insert(slot.name.to_owned(), Value::Object(zero_message(inner)));
            }
            (Shape::Many, _) if slot.always => {
                object.insert(slot.name.to_owned(), Value::Null);
            }
            _ => {}
        }
    }
    object
}

/// Drops what is empty and writes what is never left out. Kinds that the table does not know stay as they are.
pub(crate) fn tidy(object: &mut Value) {
    let (version, kind) = (object::text(object, &["apiVersion"]), object::text(object, &["kind"]));
    let name = message_name(version, kind);
    if let (Some(message), Value::Object(map)) = (MESSAGES.get(name.as_str()), object) {
        tidy_message(message, map);
    }
}

fn tidy_message(message: &Message, object: &mut Map<String, Value>) {
    for slot in message.values() {
        let inner = MESSAGES.get(slot.kind);
        if slot.name.is_empty() {
            if let Some(inner) = inner {
                tidy_message(inner, object);
            }
            continue;
        }
        if let (Some(inner), true, Shape::One) = (inner, slot.always, slot.shape) {
            let value = object.entry(slot.name).or_insert_with(|| json!({}));
            tidy_message(inner, object::as_map(value));
            continue;
        }
        let Some(value) = object.get_mut(slot.name) else { continue };
        if let Some(inner) = inner {
            tidy_inner(inner, value);
        }
        if !slot.always && is_left_out(slot, value) {
            object.remove(slot.name);
        }
    }
}

fn tidy_inner(message: &Message, value: &mut Value) {
    match value {
        Value::Object(map) => tidy_message(message, map),
        Value::Array(list) => {
            for item in list.iter_mut().filter_map(Value::as_object_mut) {
                tidy_message(message, item);
            }
        }
        _ => {}
    }
}

/// Is the value one that `omitempty` leaves out?
fn is_left_out(slot: &Slot, value: &Value) -> bool {
    match (slot.shape, value) {
        (Shape::Many, Value::Array(list)) => list.is_empty(),
        (Shape::Map, Value::Object(map)) => map.is_empty(),
        (Shape::One, _) if slot.pointer => false,
        (Shape::One, Value::String(text)) => {
            text.is_empty() && matches!(slot.kind, "string" | "bytes")
        }
        (Shape::One, Value::Number(number)) => slot.kind == "int" && number.as_i64() == Some(0),
        (Shape::One, Value::Bool(flag)) => !flag,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empties_go_and_structs_stay() {
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {}}, "data": {}, "immutable": false});
        tidy(&mut map);
        assert_eq!(
            map,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "immutable": false})
        );
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "", "image": "", "args": []}], "hostNetwork": false}});
        tidy(&mut pod);
        assert_eq!(pod["spec"], json!({"containers": [{"name": "", "resources": {}}]}));
        assert_eq!(pod["status"], json!({}));
        assert_eq!(
            zero("apps/v1", "Deployment").unwrap()["spec"]["template"]["spec"],
            json!({"containers": null})
        );
    }
}
