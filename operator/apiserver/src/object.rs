//! Reading and writing the metadata of an untyped object.

use serde_json::{Map, Value, json};

use crate::store::Key;

/// The text at `metadata.FIELD`, empty if absent.
pub(crate) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`.
pub(crate) fn name(object: &Value) -> &str {
    meta(object, "name")
}

/// `metadata.namespace`, empty if absent.
pub(crate) fn namespace(object: &Value) -> &str {
    meta(object, "namespace")
}

/// Where the object lies.
pub(crate) fn key(object: &Value) -> Key {
    Key::new(namespace(object), name(object))
}

/// A string at a path of field names, empty if absent.
pub(crate) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The value at a path of field names.
pub(crate) fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, field| value.get(field))
}

/// The elements at a path of field names, none if absent.
pub(crate) fn list<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `metadata` for writing; made if it is absent or no object.
pub(crate) fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    field_mut(object, "metadata")
}

/// A field that is an object, for writing; made if it is absent or something else.
pub(crate) fn field_mut<'a>(object: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    let map = as_map(object);
    as_map(map.entry(field).or_insert_with(|| json!({})))
}

/// The map inside; another value becomes an empty map.
pub(crate) fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable_map(),
    }
}

#[expect(clippy::panic, reason = "the line above made it an object")]
fn unreachable_map() -> ! {
    panic!("a value that was just made an object is one")
}

/// Sets a field unless it is there.
pub(crate) fn default_to(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    let slot = map.entry(field).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value.into();
    }
}

/// Copies a field from one object to another, or removes it there if the first has none.
pub(crate) fn copy_field(from: &Value, to: &mut Map<String, Value>, field: &str) {
    match from.get(field) {
        Some(value) => to.insert(field.into(), value.clone()),
        None => to.remove(field),
    };
}

/// Names of the finalizers that still hold the object.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    list(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str).collect()
}

/// Is it being deleted?
pub(crate) fn is_terminating(object: &Value) -> bool {
    !meta(object, "deletionTimestamp").is_empty()
}

/// Now, as `metav1.Time` writes it: whole seconds.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A random identifier in the form of a version 4 UUID.
pub(crate) fn new_uid() -> String {
    let (high, low) = (random(), random());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// Five characters for `generateName`, from the alphabet that Kubernetes uses.
pub(crate) fn random_suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = random();
    let mut suffix = String::new();
    for _ in 0..5 {
        let index = usize::try_from(rest % 27).unwrap_or_default();
        suffix.push(ALPHABET.get(index).map_or('x', |c| char::from(*c)));
        rest /= 27;
    }
    suffix
}

/// Unpredictable enough for names; nothing secret depends on it.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    hasher.write_i128(jiff::Timestamp::now().as_nanosecond());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_look_like_version_4_and_differ() {
        let (a, b) = (new_uid(), new_uid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(a.chars().nth(14), Some('4'));
        assert!(a.chars().nth(19).is_some_and(|c| "89ab".contains(c)), "{a}");
        assert_eq!(random_suffix().len(), 5);
    }
}
