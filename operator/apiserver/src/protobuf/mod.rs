//! Protobuf request bodies (`application/vnd.kubernetes.protobuf`), which kubectl and Helm send for built-in kinds.
//!
//! Messages are decoded to the same JSON that the client could have sent instead, by a table of field numbers. Go
//! writes fields that are no pointers even when they are empty; such zeros are absent in JSON.

mod wire;
pub(crate) mod zero;

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use self::wire::{Field, fields};

/// First bytes of a Kubernetes object in protobuf.
const MAGIC: &[u8] = b"k8s\0";

/// What one field of a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    /// JSON name; empty if the fields of the message are the parent's.
    name: &'static str,
    /// A pointer in Go: then zero is a value.
    pointer: bool,
    /// Go writes it even when it is empty.
    always: bool,
    shape: Shape,
    /// Scalar type or message name.
    kind: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    One,
    Many,
    Map,
}

type Message = BTreeMap<u64, Slot>;

static MESSAGES: LazyLock<BTreeMap<&'static str, Message>> =
    LazyLock::new(|| parse_table(include_str!("messages.txt")));

fn parse_table(text: &'static str) -> BTreeMap<&'static str, Message> {
    let mut messages: BTreeMap<&str, Message> = BTreeMap::new();
    let mut current = "";
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        match line.strip_prefix(' ') {
            None => {
                current = line;
                messages.entry(current).or_default();
            }
            Some(field) => {
                if let Some((number, slot)) = parse_slot(field) {
                    messages.entry(current).or_default().insert(number, slot);
                }
            }
        }
    }
    messages
}

fn parse_slot(line: &'static str) -> Option<(u64, Slot)> {
    let mut words = line.split(' ');
    let (number, name, kind) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let (pointer, always) = (kind.starts_with('?'), kind.starts_with('='));
    let kind = kind.trim_start_matches(['?', '=']);
    let (shape, kind) = match (kind.strip_prefix('*'), kind.strip_prefix('%')) {
        (Some(kind), _) => (Shape::Many, kind),
        (_, Some(kind)) => (Shape::Map, kind),
        _ => (Shape::One, kind),
    };
    Some((number, Slot { name: if name == "!" { "" } else { name }, pointer, always, shape, kind }))
}

/// Decodes the body of a request.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, String> {
    let envelope = bytes
        .strip_prefix(MAGIC)
        .ok_or("the body does not begin as a Kubernetes protobuf message")?;
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in fields(envelope) {
        match field? {
            (1, Field::Bytes(meta)) => {
                for field in fields(meta) {
                    match field? {
                        (1, Field::Bytes(text)) => version = utf8(text)?,
                        (2, Field::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = message_name(&version, &kind);
    let message = MESSAGES.get(name.as_str()).ok_or_else(|| {
        format!("{kind} in version {version:?} is not read as protobuf; send JSON")
    })?;
    let mut object = decode_message(message, raw)?;
    object.insert("apiVersion".into(), json!(version));
    object.insert("kind".into(), json!(kind));
    Ok(Value::Object(object))
}

/// `apps/v1` and `Deployment` make `apps.v1.Deployment`.
fn message_name(version: &str, kind: &str) -> String {
    if kind == "DeleteOptions" {
        return "meta.v1.DeleteOptions".into();
    }
    let (group, version) = version.split_once('/').unwrap_or(("core", version));
    let group = group.split('.').next().unwrap_or_default();
    format!("{group}.{version}.{kind}")
}

fn decode_message(message: &Message, bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    for field in fields(bytes) {
        let (number, field) = field?;
        let Some(slot) = message.get(&number) else { continue };
        match slot.shape {
            Shape::One => put_one(&mut object, slot, field)?,
            Shape::Many => {
                let list = object.entry(slot.name).or_insert_with(|| json!([]));
                if let Value::Array(list) = list {
                    list.push(decode_value(slot.kind, field)?.0);
                }
            }
            Shape::Map => {
                let Field::Bytes(entry) = field else { continue };
                let (key, value) = decode_entry(slot.kind, entry)?;
                let map = object.entry(slot.name).or_insert_with(|| json!({}));
                if let Value::Object(map) = map {
                    map.insert(key, value);
                }
            }
        }
    }
    Ok(object)
}

fn put_one(object: &mut Map<String, Value>, slot: &Slot, field: Field<'_>) -> Result<(), String> {
    let (value, zero) = decode_value(slot.kind, field)?;
    if slot.name.is_empty() {
        if let Value::Object(inner) = value {
            object.extend(inner);
        }
    } else if slot.pointer || !zero {
        object.insert(slot.name.to_owned(), value);
    }
    Ok(())
}

fn decode_entry(kind: &str, bytes: &[u8]) -> Result<(String, Value), String> {
    let (mut key, mut value) = (String::new(), None);
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(text)) => key = utf8(text)?,
            (2, field) => value = Some(decode_value(kind, field)?.0),
            _ => {}
        }
    }
    let value = match value {
        Some(value) => value,
        None => decode_value(kind, Field::Bytes(&[]))?.0,
    };
    Ok((key, value))
}

/// A value, and whether it is the zero of its type.
fn decode_value(kind: &str, field: Field<'_>) -> Result<(Value, bool), String> {
    match (kind, field) {
        ("string", Field::Bytes(bytes)) => Ok((json!(utf8(bytes)?), bytes.is_empty())),
        ("bytes", Field::Bytes(bytes)) => Ok((json!(STANDARD.encode(bytes)), bytes.is_empty())),
        ("int", Field::Number(number)) => Ok((json!(number.cast_signed()), number == 0)),
        ("bool", Field::Number(number)) => Ok((json!(number != 0), number == 0)),
        ("double", Field::Fixed(number)) => Ok((json!(f64::from_bits(number)), number == 0)),
        ("time", Field::Bytes(bytes)) => time(bytes),
        ("duration", Field::Bytes(bytes)) => {
            let nanoseconds = number(bytes, 1)?.unwrap_or_default();
            Ok((json!(format!("{nanoseconds}ns")), nanoseconds == 0))
        }
        ("quantity", Field::Bytes(bytes)) => {
            let amount = text(bytes, 1)?.unwrap_or_default();
            let zero = amount.is_empty();
            Ok((json!(amount), zero))
        }
        ("intstr", Field::Bytes(bytes)) => {
            if let Some(1) = number(bytes, 1)? {
                Ok((json!(text(bytes, 3)?.unwrap_or_default()), false))
            } else {
                let value = number(bytes, 2)?.unwrap_or_default();
                Ok((json!(value.cast_signed()), value == 0))
            }
        }
        ("raw", Field::Bytes(bytes)) => {
            let text = text(bytes, 1)?.unwrap_or_default();
            let value = serde_json::from_str(&text).unwrap_or(Value::Null);
            let zero = value.is_null();
            Ok((value, zero))
        }
        (name, Field::Bytes(bytes)) => {
            let message = MESSAGES.get(name).ok_or_else(|| format!("message {name} is unknown"))?;
            let object = decode_message(message, bytes)?;
            let zero = object.is_empty();
            Ok((Value::Object(object), zero))
        }
        (kind, _) => Err(format!("a field of type {kind} has another wire type")),
    }
}

fn time(bytes: &[u8]) -> Result<(Value, bool), String> {
    let Some(seconds) = number(bytes, 1)? else { return Ok((Value::Null, true)) };
    let nanoseconds = number(bytes, 2)?.and_then(|n| i32::try_from(n).ok()).unwrap_or_default();
    let time = jiff::Timestamp::new(seconds.cast_signed(), nanoseconds)
        .map_err(|e| format!("a time is out of range: {e}"))?;
    let pattern = if nanoseconds == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.6fZ" };
    Ok((json!(time.strftime(pattern).to_string()), false))
}

fn number(bytes: &[u8], wanted: u64) -> Result<Option<u64>, String> {
    for field in fields(bytes) {
        if let (number, Field::Number(value)) = field?
            && number == wanted
        {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn text(bytes: &[u8], wanted: u64) -> Result<Option<String>, String> {
    for field in fields(bytes) {
        if let (number, Field::Bytes(value)) = field?
            && number == wanted
        {
            return utf8(value).map(Some);
        }
    }
    Ok(None)
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_not_text| "a string is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes a length-delimited field.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    #[test]
    fn a_secret_is_what_its_json_would_be() {
        let meta = [field(1, b"s"), field(2, b""), field(8, b"")].concat();
        let entry = [field(1, b"k"), field(2, b"v")].concat();
        let secret =
            [field(1, &meta), field(2, &entry), field(3, b"Opaque"), vec![5 << 3, 0]].concat();
        let types = [field(1, b"v1"), field(2, b"Secret")].concat();
        let body =
            [MAGIC.to_vec(), field(1, &types), field(2, &secret), field(3, b""), field(4, b"")]
                .concat();
        assert_eq!(
            decode(&body).unwrap(),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "dg=="}, "type": "Opaque", "immutable": false})
        );
        for end in 0..body.len() {
            let _ = decode(&body[..end]);
        }
    }

    #[test]
    fn every_message_that_the_table_names_is_in_it() {
        let scalars = [
            "string", "bytes", "int", "bool", "double", "time", "duration", "quantity", "intstr",
            "raw",
        ];
        for (name, message) in MESSAGES.iter() {
            for slot in message.values() {
                let nested = slot.kind.trim_start_matches('*');
                assert!(
                    scalars.contains(&nested) || MESSAGES.contains_key(nested),
                    "{name}: {}",
                    slot.kind
                );
            }
        }
        assert!(MESSAGES.len() > 200);
    }
}
