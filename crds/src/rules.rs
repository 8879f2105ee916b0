//! CEL rules of the schema. A message says what to do, not only what is wrong.
//!
//! Rules are written as extensions of the schema, next to the types that they guard, because the derive macro
//! for them cannot be combined with container-wide defaults.

use serde_json::{Value, json};

/// The value of `x-kubernetes-validations` for pairs of expression and message.
pub(crate) fn rules(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect()
}
