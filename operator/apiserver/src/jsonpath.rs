//! The part of kubectl's `JSONPath` that printer columns use: fields, indices, `[*]` and `[?(@.a=="b")]`.

use serde_json::Value;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Elements whose inner value equals, or with `false` does not equal, a constant.
    Where(Path, bool, Value),
    /// Elements in which an inner value exists.
    Has(Path),
}

impl Path {
    /// Parses a path; `None` if it is of a form that is not supported.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('{').trim_end_matches('}');
        let mut rest = text.trim_start_matches('$');
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, tail) = match rest.strip_prefix('[') {
                Some(tail) => bracket(tail)?,
                None => field(rest.strip_prefix('.').unwrap_or(rest))?,
            };
            steps.push(step);
            rest = tail;
        }
        Some(Self(steps))
    }

    /// The values that the path finds.
    pub(crate) fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![root];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.find(value)).collect();
        }
        found
    }
}

impl Step {
    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let elements = || -> Vec<&'a Value> {
            match value {
                Value::Array(list) => list.iter().collect(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            }
        };
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let list = value.as_array().map_or(&[][..], Vec::as_slice);
                let index = if *index < 0 {
                    index + i64::try_from(list.len()).unwrap_or(0)
                } else {
                    *index
                };
                usize::try_from(index).ok().and_then(|i| list.get(i)).into_iter().collect()
            }
            Self::All => elements(),
            Self::Where(path, equal, constant) => elements()
                .into_iter()
                .filter(|e| path.find(e).first().is_some_and(|v| (*v == constant) == *equal))
                .collect(),
            Self::Has(path) => {
                elements().into_iter().filter(|e| !path.find(e).is_empty()).collect()
            }
        }
    }
}

/// `name`, in which a backslash protects a dot.
fn field(text: &str) -> Option<(Step, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            '.' | '[' => {
                return (!name.is_empty())
                    .then(|| (Step::Field(name), text.get(index..).unwrap_or("")));
            }
            other => name.push(other),
        }
    }
    if name == "*" {
        return Some((Step::All, ""));
    }
    (!name.is_empty()).then_some((Step::Field(name), ""))
}

/// What follows `[`.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(filter) = text.strip_prefix("?(") {
        let (inner, rest) = filter.split_once(")]")?;
        return Some((condition(inner)?, rest));
    }
    let (inner, rest) = text.split_once(']')?;
    let inner = inner.trim();
    let step = match inner {
        "*" => Step::All,
        quoted if quoted.starts_with(['\'', '"']) => {
            Step::Field(quoted.trim_matches(['\'', '"']).to_owned())
        }
        number => Step::Index(number.parse().ok()?),
    };
    Some((step, rest))
}

/// `@.a.b=="c"`.
fn condition(text: &str) -> Option<Step> {
    let side = |text: &str| Path::parse(text.trim().trim_start_matches('@'));
    for (operator, equal) in [("==", true), ("!=", false)] {
        if let Some((path, constant)) = text.split_once(operator) {
            let constant = constant.trim();
            let constant = match constant.strip_prefix(['\'', '"']) {
                Some(quoted) => Value::String(quoted.trim_end_matches(['\'', '"']).to_owned()),
                None => serde_json::from_str(constant).ok()?,
            };
            return Some(Step::Where(side(path)?, equal, constant));
        }
    }
    Some(Step::Has(side(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_find() {
        let object = json!({
            "spec": {"replicas": 2, "ports": [{"port": 1}, {"port": 2}]},
            "metadata": {"annotations": {"a.b/c": "x"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        for (path, expected) in [
            (".spec.replicas", json!([2])),
            ("{.spec.ports[*].port}", json!([1, 2])),
            (".spec.ports[0].port", json!([1])),
            (".spec.ports[-1].port", json!([2])),
            (".metadata.annotations.a\\.b/c", json!(["x"])),
            (".metadata.annotations['a.b/c']", json!(["x"])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type!='Ready')].status", json!(["False"])),
            (".absent.field", json!([])),
        ] {
            let found = Path::parse(path).unwrap();
            assert_eq!(json!(found.find(&object)), expected, "{path}");
        }
        assert!(Path::parse(".a[").is_none());
    }
}
