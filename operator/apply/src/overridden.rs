//! What other field managers say against what is desired.

use serde_json::{Map, Value};

use crate::settled::{agrees, has_key};

/// A field that another manager holds, with another value than the desired one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Override {
    /// As in `managedFields`.
    pub manager: String,
    /// Such as `spec.template.spec.containers[name=proxy].image`.
    pub field: String,
}

/// Takes out of `desired` what others hold against it, and says what that was: a field that another manager than `ours`
/// said with an apply of its own and that the first of `ours` has lost. What somebody merely edited is no such field.
/// `metadata` is never given up: objects are known by it.
pub fn yield_overridden(desired: &mut Value, observed: &Value, ours: &[&str]) -> Vec<Override> {
    let entries = observed.pointer("/metadata/managedFields").and_then(Value::as_array);
    let text = |entry: &Value, key| entry[key].as_str().unwrap_or_default().to_owned();
    let applied = entries.into_iter().flatten().filter(|entry| {
        text(entry, "operation") == "Apply" && text(entry, "subresource").is_empty()
    });
    let (own, others): (Vec<&Value>, Vec<&Value>) =
        applied.partition(|entry| ours.contains(&text(entry, "manager").as_str()));
    let own =
        own.into_iter().find(|entry| entry["manager"] == ours.first().copied().unwrap_or_default());
    let own = own.and_then(|entry| entry["fieldsV1"].as_object());
    let mut found = Vec::new();
    for entry in others {
        let Some(fields) = entry["fieldsV1"].as_object() else { continue };
        let mut search = Search { manager: text(entry, "manager"), found: &mut found };
        for (key, below) in fields.iter().filter(|(key, _)| *key != "f:metadata") {
            search.member(desired, observed, (key, below), own, "");
        }
    }
    found.sort();
    found.dedup();
    found
}

struct Search<'a> {
    manager: String,
    found: &'a mut Vec<Override>,
}

impl Search<'_> {
    /// `theirs` is one entry of a `fieldsV1`, `own` what we own around it.
    fn member(
        &mut self,
        desired: &mut Value,
        observed: &Value,
        (key, below): (&str, &Value),
        own: Option<&Map<String, Value>>,
        path: &str,
    ) {
        let own = own.and_then(|own| own.get(key));
        let below = below.as_object().filter(|below| below.keys().any(|key| key != "."));
        if let Some(name) = key.strip_prefix("f:") {
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let (Some(members), Some(seen)) = (desired.as_object_mut(), observed.get(name)) else {
                return;
            };
            let Some(wish) = members.get_mut(name) else { return };
            match below {
                Some(below) => self.inside(wish, seen, below, own, &path),
                None if own.is_none() && !agrees(wish, seen, None) => {
                    members.remove(name);
                    self.found.push(Override { manager: self.manager.clone(), field: path });
                }
                None => {}
            }
        } else if let Some(text) = key.strip_prefix("k:")
            && let Some(below) = below
            && let Ok(key) = serde_json::from_str::<Value>(text)
        {
            let wish = desired.as_array_mut().into_iter().flatten();
            let wish = wish.into_iter().find(|item| has_key(item, &key, true));
            let seen = observed.as_array().into_iter().flatten();
            let seen = seen.into_iter().find(|item| has_key(item, &key, false));
            if let (Some(wish), Some(seen)) = (wish, seen) {
                self.inside(wish, seen, below, own, &format!("{path}[{}]", shown(&key)));
            }
        }
    }

    fn inside(
        &mut self,
        desired: &mut Value,
        observed: &Value,
        theirs: &Map<String, Value>,
        own: Option<&Value>,
        path: &str,
    ) {
        let own = own.and_then(Value::as_object);
        for (key, below) in theirs {
            self.member(desired, observed, (key, below), own, path);
        }
    }
}

/// `{"name":"proxy"}` is `name=proxy`.
fn shown(key: &Value) -> String {
    let parts = key.as_object().into_iter().flatten().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As the API server shows it after we applied one, and `alice` forced an image, a limit and a label on it; `bob`
    /// said the same as we did, and `carol` edited.
    fn observed() -> Value {
        let apply = |manager: &str, fields: Value| json!({"manager": manager, "operation": "Apply", "fieldsV1": fields});
        let containers = |fields: Value| json!({"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"proxy\"}": fields}}}});
        json!({
            "metadata": {"labels": {"app": "theirs"}, "managedFields": [
                apply("us", json!({"f:spec": {"f:paused": {}, "f:template": {"f:spec": {"f:containers": {
                    "k:{\"name\":\"proxy\"}": {".": {}, "f:name": {}, "f:args": {}}}}}}})),
                apply("us-too", json!({"f:spec": {"f:replicas": {}}})),
                apply("alice", json!({
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": containers(json!({".": {}, "f:name": {}, "f:image": {}, "f:resources": {"f:limits": {"f:cpu": {}}}})),
                })),
                apply("bob", json!({"f:spec": {"f:paused": {}}})),
                {"manager": "carol", "operation": "Update", "fieldsV1": {"f:spec": {"f:minReadySeconds": {}}}},
            ]},
            "spec": {"replicas": 9, "paused": true, "minReadySeconds": 7, "template": {"spec": {"containers": [
                {"name": "proxy", "image": "alice:1", "args": ["a"], "resources": {"limits": {"cpu": "1"}}},
            ]}}},
        })
    }

    fn desired() -> Value {
        json!({
            "metadata": {"labels": {"app": "ours"}},
            "spec": {"replicas": 2, "paused": true, "minReadySeconds": 0, "template": {"spec": {"containers": [
                {"name": "proxy", "image": "ours:1", "args": ["b"], "resources": {"limits": {"cpu": "2", "memory": "1Gi"}}},
            ]}}},
        })
    }

    #[test]
    fn what_somebody_applied_against_us_is_given_up_and_named_and_nothing_else() {
        let mut yielded = desired();
        let found = yield_overridden(&mut yielded, &observed(), &["us", "us-too"]);
        let field = |path: &str| Override {
            manager: "alice".to_owned(),
            field: format!("spec.template.spec.containers[name=proxy].{path}"),
        };
        assert_eq!(found, [field("image"), field("resources.limits.cpu")]);
        let mut expected = desired();
        let proxy = &mut expected["spec"]["template"]["spec"]["containers"][0];
        proxy.as_object_mut().unwrap().remove("image");
        proxy["resources"]["limits"].as_object_mut().unwrap().remove("cpu");
        assert_eq!(yielded, expected);
    }

    #[test]
    fn whoever_says_what_we_say_or_shares_a_field_with_us_overrides_nothing() {
        let mut same = desired();
        same["spec"]["template"]["spec"]["containers"][0]["image"] = json!("alice:1");
        same["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] =
            json!("1");
        same["spec"]["paused"] = json!(false);
        let before = same.clone();
        assert_eq!(yield_overridden(&mut same, &observed(), &["us", "us-too"]), []);
        assert_eq!(same, before);
    }
}
