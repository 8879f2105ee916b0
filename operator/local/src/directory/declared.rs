//! What a directory declares as a whole: the objects of all files, each file at its last good state. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::documents::{self, Document, Parts};
use super::files::{self, Text};

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// Where in the order of application its kind stands.
    rank: u8,
    pub(crate) api_version: String,
    pub(crate) kind: String,
    /// As written: nothing stands for `default`, or for kinds without namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// One object as declared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declared {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) value: Arc<Value>,
}

impl Declared {
    /// Whether the same is declared, be it in another place.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value) || self.value == other.value
    }
}

/// The files as they were last understood.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug)]
struct File {
    text: Text,
    /// The last good state: an error changes nothing.
    documents: Vec<Document>,
    parts: Parts,
}

impl Directory {
    /// Takes over what the files say now; complaints are about files that changed since the last time.
    pub(crate) fn update(&mut self, texts: BTreeMap<PathBuf, Text>) -> Vec<String> {
        let mut complaints = Vec::new();
        self.files.retain(|path, _| texts.contains_key(path));
        for (path, text) in texts {
            if self.files.get(&path).is_some_and(|known| known.text == text) {
                continue;
            }
            let before = self.files.remove(&path);
            let none = Parts::new();
            let known = before.as_ref().map_or(&none, |before| &before.parts);
            let parsed = match &text {
                Ok(text) => documents::parse(text, files::is_json(&path), known)
                    .map_err(|error| error.to_string()),
                Err(reason) => Err(reason.clone()),
            };
            let (documents, parts) = parsed.unwrap_or_else(|error| {
                let stays = match before {
                    Some(_) => "what it declared before stays",
                    None => "nothing of it is applied",
                };
                complaints.push(format!("{}: {error}; {stays}", path.display()));
                before.map(|before| (before.documents, before.parts)).unwrap_or_default()
            });
            self.files.insert(path, File { text, documents, parts });
        }
        complaints
    }

    /// Every object once, in the order of application; what two places declare is taken from the first, with a complaint.
    pub(crate) fn declared(&self) -> (BTreeMap<Identity, Declared>, Vec<String>) {
        let mut objects: BTreeMap<Identity, Declared> = BTreeMap::new();
        let mut complaints = Vec::new();
        for (path, document) in self.documents() {
            let identity = identify(&document.value);
            if let Some(first) = objects.get(&identity) {
                complaints.push(format!(
                    "{}: line {}: {identity} is declared already in {}: line {}; the second is not applied",
                    path.display(),
                    document.line,
                    first.file.display(),
                    first.line
                ));
                continue;
            }
            let declared = Declared {
                file: path.to_owned(),
                line: document.line,
                value: Arc::clone(&document.value),
            };
            objects.insert(identity, declared);
        }
        (objects, complaints)
    }

    fn documents(&self) -> impl Iterator<Item = (&Path, &Document)> {
        self.files.iter().flat_map(|(path, file)| {
            file.documents.iter().map(move |document| (path.as_path(), document))
        })
    }
}

fn identify(value: &Value) -> Identity {
    let text =
        |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let kind = text("/kind");
    let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
    Identity {
        rank: rank(&kind),
        api_version: text("/apiVersion"),
        kind,
        namespace,
        name: text("/metadata/name"),
    }
}

/// What others need comes first.
fn rank(kind: &str) -> u8 {
    match kind {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        "GatewayConfig" | "IngressClass" => 2,
        "ConfigMap" | "Secret" | "ServiceAccount" | "Service" | "EndpointSlice" => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str) -> String {
        format!("---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
    }

    fn texts(files: &[(&str, String)]) -> BTreeMap<PathBuf, Text> {
        files.iter().map(|(path, text)| (PathBuf::from(path), Ok(text.clone()))).collect()
    }

    fn names(directory: &Directory) -> Vec<String> {
        directory.declared().0.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn what_others_need_comes_first() {
        let mut directory = Directory::default();
        let all =
            [object("Deployment", "d"), object("Service", "s"), object("Namespace", "n")].concat();
        assert!(directory.update(texts(&[("a.yaml", all)])).is_empty());
        assert_eq!(names(&directory), ["Namespace n", "Service s", "Deployment d"]);
    }

    #[test]
    fn an_error_changes_nothing_and_is_told_once() {
        let mut directory = Directory::default();
        directory.update(texts(&[("a.yaml", object("A", "a")), ("b.yaml", object("B", "b"))]));
        let broken = texts(&[("a.yaml", "kind: [".to_owned()), ("b.yaml", object("B", "c"))]);
        let complaints = directory.update(broken.clone());
        assert!(complaints[0].starts_with("a.yaml: line "), "{complaints:?}");
        assert!(complaints[0].ends_with("what it declared before stays"), "{complaints:?}");
        assert_eq!(names(&directory), ["A a", "B c"]);
        assert!(directory.update(broken).is_empty());
        directory.update(texts(&[("b.yaml", object("B", "c"))]));
        assert_eq!(names(&directory), ["B c"], "a removed file declares nothing, broken or not");
    }

    #[test]
    fn the_first_of_two_wins_and_the_second_is_told() {
        let mut directory = Directory::default();
        directory.update(texts(&[("a.yaml", object("A", "a")), ("b.yaml", object("A", "a"))]));
        let (objects, complaints) = directory.declared();
        assert_eq!(objects.values().next().unwrap().file, Path::new("a.yaml"));
        assert_eq!(complaints.len(), 1);
        assert!(
            complaints[0].contains("b.yaml: line 1: A a is declared already in a.yaml"),
            "{complaints:?}"
        );
    }
}
