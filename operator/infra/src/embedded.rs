//! Parts of Kubernetes objects that a `GatewayConfig` takes as they are.
//!
//! The schema of the `GatewayConfig` does not know them, and the types of the API drop what they do not know:
//! a misspelt field would silently do nothing. So what is read is written again and compared.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Why something is no such part, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Such as `.nodeAffinity.weight`; empty for the whole.
    path: String,
    says: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.says)
    }
}

/// `value` as a `T`, with everything that it says.
pub(crate) fn read<T: Serialize + DeserializeOwned>(value: &Value) -> Result<T, Fault> {
    let parsed: T = serde_json::from_value(value.clone()).map_err(|error| Fault {
        path: faulty::<T>(value),
        says: format!("{error}; correct or remove it"),
    })?;
    let kept = serde_json::to_value(&parsed).unwrap_or_default();
    match lost(value, &kept) {
        Some(path) => {
            Err(Fault { path, says: "Kubernetes has no such field; remove it".to_owned() })
        }
        None => Ok(parsed),
    }
}

/// The innermost part without which the rest can be read.
fn faulty<T: DeserializeOwned>(whole: &Value) -> String {
    let mut pointer = String::new();
    let mut shown = String::new();
    while let Some((step, name)) =
        children(whole.pointer(&pointer)).into_iter().find(|(step, _)| {
            let mut rest = whole.clone();
            match (rest.pointer_mut(&pointer), step.parse::<usize>()) {
                (Some(Value::Array(items)), Ok(index)) => drop(items.remove(index)),
                (Some(Value::Object(members)), _) => drop(members.remove(&unescaped(step))),
                _ => {}
            }
            T::deserialize(rest).is_ok()
        })
    {
        pointer = format!("{pointer}/{step}");
        shown.push_str(&name);
    }
    shown
}

/// A key of an object from the step of a JSON pointer.
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// Steps to the children of a value: as in a JSON pointer, and as shown to people.
fn children(value: Option<&Value>) -> Vec<(String, String)> {
    match value {
        Some(Value::Object(members)) => members
            .keys()
            .map(|key| (key.replace('~', "~0").replace('/', "~1"), format!(".{key}")))
            .collect(),
        Some(Value::Array(items)) => {
            (0..items.len()).map(|index| (index.to_string(), format!("[{index}]"))).collect()
        }
        _ => Vec::new(),
    }
}

/// The first place of `written` that `kept` does not have.
fn lost(written: &Value, kept: &Value) -> Option<String> {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => written.iter().find_map(|(key, value)| {
            let inner = match kept.get(key) {
                Some(kept) => lost(value, kept),
                None if value.is_null() => None,
                None => Some(String::new()),
            };
            inner.map(|rest| format!(".{key}{rest}"))
        }),
        (Value::Array(written), Value::Array(kept)) => {
            written.iter().zip(kept).enumerate().find_map(|(index, (written, kept))| {
                lost(written, kept).map(|rest| format!("[{index}]{rest}"))
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Affinity;
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_are_named_by_their_field() {
        let term = |term: Value| json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        let at = ".podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]";
        assert!(read::<Affinity>(&term(json!({"topologyKey": "zone"}))).is_ok());
        for (value, expected) in [
            (term(json!({"topologyKey": 3})), format!("{at}.topologyKey: invalid type: integer")),
            (
                term(json!({"topologyKey": "zone", "labels": {}})),
                format!("{at}.labels: Kubernetes has no such field"),
            ),
            (json!({"nodeAffinity": []}), ".nodeAffinity: invalid type: sequence".to_owned()),
            (json!({"nodeAffinty": {}}), ".nodeAffinty: Kubernetes has no".to_owned()),
        ] {
            let said = read::<Affinity>(&value).unwrap_err().to_string();
            assert!(said.starts_with(&expected), "{said} instead of {expected}");
        }
    }
}
