//! Snapshot files: JSON or YAML to validated messages.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    ResourceError, SCHEMA_VERSION, required_capabilities, sorted_snapshot,
    v1::{Resource, Snapshot, Watermark},
    validate, version_of,
};

/// What is wrong with the text of a snapshot, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct SnapshotError {
    /// Counted from 1; absent when the problem belongs to no line.
    pub line: Option<usize>,
    /// What it is.
    pub problem: SnapshotProblem,
}

/// What is wrong with the text of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotProblem {
    /// No text at all: what a writer leaves that has not written yet.
    #[error("the file is empty; a snapshot has at least schemaVersion and resources")]
    Empty,
    /// Not UTF-8.
    #[error("the file is not UTF-8 text; write it as JSON or YAML")]
    NotText,
    /// Not JSON or not YAML, or cut off.
    #[error("{0}")]
    Syntax(String),
    /// A field that the schema does not have, or of another type.
    #[error("{place}: {message}")]
    Shape {
        /// The resource or the part of the file.
        place: String,
        /// What the schema wants.
        message: String,
    },
    /// Written for another schema.
    #[error("schemaVersion is {0}; this build reads {SCHEMA_VERSION}")]
    Schema(u32),
    /// The list is missing, as in a file that was cut off.
    #[error("the list \"resources\" is missing; write \"resources: []\" if none is meant")]
    NoResources,
    /// One of the resources cannot be taken.
    #[error("{0}")]
    Resource(ResourceError),
    /// Two resources have one name.
    #[error("resource {0} stands twice; names are unique")]
    Duplicate(String),
}

impl SnapshotProblem {
    fn at(self, line: Option<usize>) -> SnapshotError {
        SnapshotError { line: line.filter(|line| *line > 0), problem: self }
    }
}

/// Parses a snapshot file: JSON when its first character is `{`, else YAML.
///
/// Versions are computed anew and capabilities are completed from content, so a file edited by hand needs
/// neither. Unknown fields, kinds and duplicate names are refused; resources come out in ascending order.
///
/// # Errors
///
/// With the line where possible. Nothing of a file with an error is taken: a torn file never removes anything.
pub fn read_snapshot(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        SnapshotProblem::NotText.at(Some(before.split(|byte| *byte == b'\n').count()))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = match text.trim_start().chars().next() {
        None => return Err(SnapshotProblem::Empty.at(None)),
        Some('{') => parse_json(text)?,
        Some(_) => parse_yaml(text)?,
    };
    let lines = Lines { text };
    let parts = split_tree(tree, &lines)?;
    let resources = parse_resources(parts.resources, &lines)?;
    Ok(sorted_snapshot(resources, parts.watermark))
}

fn parse_json(text: &str) -> Result<Value, SnapshotError> {
    let tree = unique::parse(text);
    tree.map_err(|error| SnapshotProblem::Syntax(error.to_string()).at(Some(error.line())))
}

fn parse_yaml(text: &str) -> Result<Value, SnapshotError> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_str_with_options::<Value>(text, options).map_err(|error| {
        let line = error.location().and_then(|place| usize::try_from(place.line()).ok());
        SnapshotProblem::Syntax(error.without_snippet().to_string()).at(line)
    })
}

struct Parts {
    watermark: Vec<Watermark>,
    resources: Vec<Value>,
}

fn split_tree(tree: Value, lines: &Lines<'_>) -> Result<Parts, SnapshotError> {
    let shape = |place: &str, message: String| {
        let problem = SnapshotProblem::Shape { place: place.to_owned(), message };
        problem.at(lines.of_key(place))
    };
    let Value::Object(mut fields) = tree else {
        return Err(shape(
            "snapshot",
            "it must be a mapping with schemaVersion and resources".into(),
        ));
    };
    let resources = match fields.remove("resources") {
        Some(Value::Array(resources)) => resources,
        Some(_) => return Err(shape("resources", "it must be a list".into())),
        None => return Err(SnapshotProblem::NoResources.at(None)),
    };
    let head: Snapshot = serde_json::from_value(Value::Object(fields))
        .map_err(|error| shape("snapshot", error.to_string()))?;
    if head.schema_version != SCHEMA_VERSION {
        return Err(SnapshotProblem::Schema(head.schema_version).at(lines.of_key("schemaVersion")));
    }
    Ok(Parts { watermark: head.watermark, resources })
}

fn parse_resources(trees: Vec<Value>, lines: &Lines<'_>) -> Result<Vec<Resource>, SnapshotError> {
    let mut seen = BTreeMap::new();
    let mut resources = Vec::with_capacity(trees.len());
    for (index, tree) in trees.into_iter().enumerate() {
        let name = tree.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let earlier = seen.entry(name.clone()).or_insert(0_usize);
        let line = lines.of_name(&name, *earlier);
        *earlier = earlier.saturating_add(1);
        let parsed: Resource = serde_json::from_value(tree).map_err(|error| {
            let place = format!("resources[{index}] {name}").trim_end().to_owned();
            SnapshotProblem::Shape { place, message: error.to_string() }.at(line)
        })?;
        validate(&parsed).map_err(|error| SnapshotProblem::Resource(error).at(line))?;
        if *earlier > 1 {
            return Err(SnapshotProblem::Duplicate(name).at(line));
        }
        resources.push(completed(parsed));
    }
    Ok(resources)
}

fn completed(mut resource: Resource) -> Resource {
    let mut needs: Vec<String> =
        required_capabilities(&resource).into_iter().map(str::to_owned).collect();
    needs.append(&mut resource.capabilities);
    needs.sort();
    needs.dedup();
    resource.capabilities = needs;
    resource.version = version_of(&resource);
    resource
}

/// Finds again in the text what the tree no longer locates.
struct Lines<'a> {
    text: &'a str,
}

impl Lines<'_> {
    /// The line that gives a resource its name, after `earlier` others with the same name.
    fn of_name(&self, name: &str, earlier: usize) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        self.find(earlier, |line| {
            let Some((key, value)) = line.split_once(':') else { return false };
            let key = key.trim_start_matches(['-', ' ', '\t', '{']).trim_end().trim_matches('"');
            let value = value.split(" #").next().unwrap_or_default();
            let value = value.trim().trim_end_matches([',', '}']).trim().trim_matches(['"', '\'']);
            key == "name" && value == name
        })
    }

    fn of_key(&self, key: &str) -> Option<usize> {
        self.find(0, |line| {
            line.split(':').next().is_some_and(|found| found.trim().trim_matches('"') == key)
        })
    }

    fn find(&self, skip: usize, fits: impl Fn(&str) -> bool) -> Option<usize> {
        let hits = self.text.lines().enumerate().filter(|(_, line)| fits(line));
        hits.map(|(index, _)| index.saturating_add(1)).nth(skip)
    }
}

/// JSON that refuses a key given twice: serde's own maps keep the last one silently.
mod unique {
    use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
    use serde_json::{Map, Number, Value};

    struct Unique(Value);

    pub(super) fn parse(text: &str) -> serde_json::Result<Value> {
        serde_json::from_str::<Unique>(text).map(|unique| unique.0)
    }

    impl<'de> Deserialize<'de> for Unique {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Tree).map(Unique)
        }
    }

    struct Tree;

    impl<'de> Visitor<'de> for Tree {
        type Value = Value;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a JSON value")
        }

        fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
            Ok(Value::Bool(value))
        }

        fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
            Ok(Value::from(value))
        }

        fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
            Ok(Value::from(value))
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
            let number = Number::from_f64(value);
            number.map(Value::Number).ok_or_else(|| E::custom("number out of range"))
        }

        fn visit_str<E>(self, value: &str) -> Result<Value, E> {
            Ok(Value::String(value.to_owned()))
        }

        fn visit_unit<E>(self) -> Result<Value, E> {
            Ok(Value::Null)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
            let mut list = Vec::new();
            while let Some(Unique(item)) = items.next_element()? {
                list.push(item);
            }
            Ok(Value::Array(list))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
            let mut map = Map::new();
            while let Some(key) = entries.next_key::<String>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("key {key:?} stands twice")));
                }
                let Unique(value) = entries.next_value()?;
                map.insert(key, value);
            }
            Ok(Value::Object(map))
        }
    }
}
