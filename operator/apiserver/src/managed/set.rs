//! Sets of field paths, in the encoding of `FieldsV1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// One step of a path as `FieldsV1` writes it: `f:name`, `k:{"name":"a"}` or `v:"a"`.
pub(crate) type Element = String;

/// A set of paths as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Set(pub(crate) BTreeMap<Element, Node>);

/// What a set holds at one path and below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// Is the path itself in the set?
    pub(crate) member: bool,
    /// Longer paths.
    pub(crate) below: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl Set {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a path of one element.
    pub(crate) fn insert(&mut self, element: Element) {
        self.0.entry(element).or_default().member = true;
    }

    /// Adds the paths of a set below an element.
    pub(crate) fn insert_below(&mut self, element: Element, below: &Self) {
        if !below.is_empty() {
            let node = self.0.entry(element).or_default();
            node.below = node.below.union(below);
        }
    }

    /// Adds a path of field names.
    #[cfg(test)]
    pub(crate) fn insert_fields(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => self.insert(format!("f:{last}")),
            [first, rest @ ..] => {
                self.0.entry(format!("f:{first}")).or_default().below.insert_fields(rest);
            }
        }
    }

    /// Removes a path of field names.
    pub(crate) fn remove_fields(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [first, rest @ ..] => {
                let element = format!("f:{first}");
                let Some(node) = self.0.get_mut(&element) else { return };
                if rest.is_empty() {
                    node.member = false;
                } else {
                    node.below.remove_fields(rest);
                }
                if node.is_empty() {
                    self.0.remove(&element);
                }
            }
        }
    }

    /// Removes a field and everything below it.
    pub(crate) fn remove_tree(&mut self, field: &str) {
        self.0.remove(&format!("f:{field}"));
    }

    /// Keeps only a field and what is below it.
    pub(crate) fn keep_tree(&mut self, field: &str) {
        let element = format!("f:{field}");
        self.0.retain(|e, _| *e == element);
    }

    /// Paths of either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        for (element, theirs) in &other.0 {
            let node = union.0.entry(element.clone()).or_default();
            node.member |= theirs.member;
            node.below = node.below.union(&theirs.below);
        }
        union
    }

    /// Paths of both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && theirs, false)
    }

    /// Paths of this that are not in the other.
    pub(crate) fn difference(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && !theirs, true)
    }

    fn combine(&self, other: &Self, member: fn(bool, bool) -> bool, keep: bool) -> Self {
        let mut combined = Self::default();
        for (element, mine) in &self.0 {
            let node = match other.0.get(element) {
                Some(theirs) => Node {
                    member: member(mine.member, theirs.member),
                    below: mine.below.combine(&theirs.below, member, keep),
                },
                None if keep => mine.clone(),
                None => continue,
            };
            if !node.is_empty() {
                combined.0.insert(element.clone(), node);
            }
        }
        combined
    }

    /// `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        for (element, node) in &self.0 {
            let mut below = node.below.to_json();
            if node.member && !node.below.is_empty() {
                below["."] = json!({});
            }
            map.insert(element.clone(), below);
        }
        Value::Object(map)
    }

    /// From `fieldsV1`.
    pub(crate) fn from_json(value: &Value) -> Self {
        let mut set = Self::default();
        for (element, below) in value.as_object().into_iter().flatten().filter(|(e, _)| *e != ".") {
            let node = Node {
                member: below.get(".").is_some() || below.as_object().is_none_or(Map::is_empty),
                below: Self::from_json(below),
            };
            set.0.insert(element.clone(), node);
        }
        set
    }

    /// The paths as messages show them, say `.spec.ports[port=80,protocol="TCP"].name`: at each level the members
    /// first, then what is below.
    pub(crate) fn shown(&self) -> Vec<String> {
        let members =
            self.0.iter().filter(|(_, node)| node.member).map(|(element, _)| show(element));
        let below = self.0.iter().flat_map(|(element, node)| {
            let step = show(element);
            node.below.shown().into_iter().map(move |rest| format!("{step}{rest}"))
        });
        members.chain(below).collect()
    }
}

fn show(element: &str) -> String {
    if let Some(field) = element.strip_prefix("f:") {
        return format!(".{field}");
    }
    if let Some(value) = element.strip_prefix("v:") {
        return format!("[={value}]");
    }
    let keys =
        element.strip_prefix("k:").and_then(|k| serde_json::from_str::<Map<String, Value>>(k).ok());
    let keys: Vec<String> =
        keys.unwrap_or_default().iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("[{}]", keys.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> Set {
        let mut set = Set::default();
        for path in paths {
            set.insert_fields(&path.split('.').collect::<Vec<_>>());
        }
        set
    }

    #[test]
    fn algebra() {
        let (a, b) = (set(&["x", "x.y", "z.w"]), set(&["x", "z.v"]));
        assert_eq!(a.union(&b), set(&["x", "x.y", "z.w", "z.v"]));
        assert_eq!(a.intersection(&b), set(&["x"]));
        assert_eq!(a.difference(&b), set(&["x.y", "z.w"]));
        assert!(a.difference(&a).is_empty());
    }

    #[test]
    fn the_encoding_is_read_back() {
        let all = set(&["x", "x.y", "z.w"]);
        assert_eq!(all.to_json(), json!({"f:x": {".": {}, "f:y": {}}, "f:z": {"f:w": {}}}));
        assert_eq!(Set::from_json(&all.to_json()), all);
        assert_eq!(all.shown(), [".x", ".x.y", ".z.w"]);
    }
}
