//! Label and field selectors (`k8s.io/apimachinery` `labels` and `fields`).

use serde_json::Value;

use crate::{
    builtin::{Strategy, event},
    error::{Answer, Failure},
    object,
    resource::Resource,
};

/// Which objects a list, a watch or a deletion is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(Vec<String>, bool, String)>,
}

/// One comma-separated part of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Selector {
    /// Parses both selectors; field selectors may name only what the resource lists.
    pub(crate) fn parse(of: &Resource, labels: &str, fields: &str) -> Answer<Self> {
        Ok(Self { labels: parse_labels(labels)?, fields: parse_fields(of, fields)? })
    }

    /// Does it choose everything?
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Does it choose this object?
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = object::at(object, &["metadata", "labels"]);
        let label = |key: &str| labels.and_then(|l| l.get(key)).and_then(Value::as_str);
        let by_label = self.labels.iter().all(|requirement| match requirement {
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
            Requirement::In(key, values) => {
                label(key).is_some_and(|v| values.iter().any(|x| x == v))
            }
            Requirement::NotIn(key, values) => {
                label(key).is_none_or(|v| !values.iter().any(|x| x == v))
            }
        });
        by_label
            && self
                .fields
                .iter()
                .all(|(path, equal, value)| (field_text(object, path) == *value) == *equal)
    }
}

fn field_text(object: &Value, path: &[String]) -> String {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match object::at(object, &path) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

fn parse_fields(of: &Resource, text: &str) -> Answer<Vec<(Vec<String>, bool, String)>> {
    let mut fields = Vec::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (name, equal, value) = if let Some((name, value)) = part.split_once("!=") {
            (name, false, value)
        } else if let Some((name, value)) = part.split_once("==") {
            (name, true, value)
        } else if let Some((name, value)) = part.split_once('=') {
            (name, true, value)
        } else {
            return Err(Failure::bad_request(format!(
                "invalid selector: '{text}'; can't understand '{part}'"
            )));
        };
        let known = matches!(name, "metadata.name" | "metadata.namespace")
            || of.selectable.iter().any(|s| s == name);
        if !known {
            return Err(Failure::bad_request(format!("field label not supported: {name}")));
        }
        let name = if of.strategy == Strategy::Event {
            event::stored_field(name)
        } else {
            name.to_owned()
        };
        fields.push((name.split('.').map(str::to_owned).collect(), equal, value.to_owned()));
    }
    Ok(fields)
}

fn parse_labels(text: &str) -> Answer<Vec<Requirement>> {
    split_outside_parentheses(text)
        .into_iter()
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .map(|part| {
            parse_requirement(part).ok_or_else(|| {
                Failure::bad_request(format!(
                    "unable to parse requirement: couldn't parse the selector string \"{text}\": found '{part}'"
                ))
            })
        })
        .collect()
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    let value = |v: &str| vec![v.trim().trim_start_matches('=').trim().to_owned()];
    if let Some(key) = part.strip_prefix('!') {
        return Some(Requirement::Absent(label_key(key)?));
    }
    if let Some((key, rest)) = part.split_once("!=") {
        return Some(Requirement::NotIn(label_key(key)?, value(rest)));
    }
    if let Some((key, rest)) = part.split_once('=') {
        return Some(Requirement::In(label_key(key)?, value(rest)));
    }
    if let Some((head, list)) = part.split_once('(') {
        let list = list.trim_end().strip_suffix(')')?;
        let values = list.split(',').map(|v| v.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        let key = label_key(words.next()?)?;
        return match words.next()? {
            "in" => Some(Requirement::In(key, values)),
            "notin" => Some(Requirement::NotIn(key, values)),
            _ => None,
        };
    }
    Some(Requirement::Exists(label_key(part)?))
}

fn label_key(text: &str) -> Option<String> {
    let key = text.trim();
    let good =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    good.then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_choose() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "a"}}});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=b", true),
            ("app in (x, web),tier", true),
            ("app notin (web)", false),
            ("!app", false),
            ("!other", true),
            ("other!=x", true),
            ("other", false),
        ] {
            let selector = Selector { labels: parse_labels(selector).unwrap(), fields: Vec::new() };
            assert_eq!(selector.matches(&object), expected, "{selector:?}");
        }
        for broken in ["a b", "a in x", "=", "a in (x"] {
            assert!(parse_labels(broken).is_err(), "{broken}");
        }
    }
}
