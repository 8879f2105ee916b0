//! Secrets and ConfigMaps.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    error::Cause,
    object::{self, as_map, default_to},
};

/// Largest sum of all values.
const MAX_BYTES: usize = 1024 * 1024;

/// Defaults of a Secret; `stringData` becomes `data`.
pub(super) fn default_secret(secret: &mut Value) {
    let map = as_map(secret);
    default_to(map, "type", "Opaque");
    let Some(Value::Object(plain)) = map.remove("stringData") else { return };
    let data = as_map(map.entry("data").or_insert_with(|| json!({})));
    for (key, value) in plain {
        data.insert(key, json!(STANDARD.encode(value.as_str().unwrap_or_default())));
    }
}

/// Rules of a Secret.
pub(super) fn validate_secret(old: Option<&Value>, secret: &Value) -> Vec<Cause> {
    let mut causes = validate_data(old, secret);
    if old.is_some_and(|old| old["type"] != secret["type"]) {
        causes.push(Cause::invalid("type", &secret["type"], "field is immutable"));
    }
    let required: &[&str] = match object::text(secret, &["type"]) {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in required {
        if secret["data"].get(*key).is_none() {
            causes.push(Cause::required(format!("data[{key}]"), ""));
        }
    }
    causes
}

/// Rules that Secrets and ConfigMaps share.
pub(super) fn validate_data(old: Option<&Value>, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in object[field].as_object().into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
            let good = !key.is_empty()
                && key.len() <= 253
                && !matches!(key.as_str(), "." | "..")
                && key.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
            if !good {
                let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                causes.push(Cause::invalid(format!("{field}[{key}]"), &json!(key), detail));
            }
        }
    }
    // Values of Secrets are counted decoded: base64 is a third longer.
    let size = if object["kind"] == json!("Secret") { size / 4 * 3 } else { size };
    if size > MAX_BYTES {
        let message = format!("Too long: may not be more than {MAX_BYTES} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", field: "data".into(), message });
    }
    if let Some(old) = old.filter(|old| old["immutable"] == json!(true)) {
        let detail = "field is immutable when `immutable` is set";
        for field in ["immutable", "data", "binaryData"] {
            if old.get(field) != object.get(field) {
                causes.push(Cause::forbidden(field, detail));
            }
        }
    }
    causes
}
