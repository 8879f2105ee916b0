//! Tables (`meta.k8s.io/v1` `Table`), which `kubectl get` prints.

mod builtin;
mod time;

use serde_json::{Value, json};

use crate::{builtin::Strategy, jsonpath::Path, object, request::Params, resource::Resource};

pub(crate) use builtin::columns as builtin_columns;

/// The columns of one resource, after the name.
#[derive(Debug, Default)]
pub(crate) struct Columns(Vec<Column>);

/// One column.
#[derive(Debug)]
pub(crate) struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    /// 0 is always shown, more only with `-o wide`.
    priority: i64,
    cell: Cell,
}

/// Where the text of a cell comes from.
#[derive(Debug)]
enum Cell {
    Path(Option<Path>),
    Function(fn(&Value) -> Value),
}

impl Columns {
    /// The columns of a custom resource; without any of its own it has its age.
    pub(crate) fn custom(raw: &[Value]) -> Self {
        if raw.is_empty() {
            return Self(vec![Column::path("Age", "date", ".metadata.creationTimestamp")]);
        }
        let column = |raw: &Value| {
            let text = |field: &str| object::text(raw, &[field]).to_owned();
            Column {
                name: text("name"),
                kind: text("type"),
                format: text("format"),
                description: text("description"),
                priority: raw["priority"].as_i64().unwrap_or_default(),
                cell: Cell::Path(Path::parse(&text("jsonPath"))),
            }
        };
        Self(raw.iter().map(column).collect())
    }
}

impl Column {
    fn path(name: &str, kind: &str, path: &str) -> Self {
        let cell = Cell::Path(Path::parse(path));
        Self { cell, ..Self::function(name, |_| Value::Null) }.of_kind(kind)
    }

    fn function(name: &str, cell: fn(&Value) -> Value) -> Self {
        Self {
            name: name.to_owned(),
            kind: "string".into(),
            format: String::new(),
            description: String::new(),
            priority: 0,
            cell: Cell::Function(cell),
        }
    }

    fn of_kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    fn render(&self, object: &Value) -> Value {
        let path = match &self.cell {
            Cell::Function(function) => return function(object),
            Cell::Path(Some(path)) => path,
            Cell::Path(None) => return Value::Null,
        };
        let found = path.find(object);
        let Some(first) = found.first() else { return Value::Null };
        match (self.kind.as_str(), first) {
            ("date", Value::String(time)) => json!(time::age(time)),
            ("date", _) => json!("<unknown>"),
            ("string", Value::String(_)) if found.len() == 1 => Value::clone(first),
            ("string", _) if found.len() == 1 => json!(first.to_string()),
            ("string", _) => {
                let texts: Vec<String> = found
                    .iter()
                    .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                    .collect();
                json!(texts.join(","))
            }
            _ => Value::clone(first),
        }
    }
}

/// A table of objects.
pub(crate) fn render(resource: &Resource, objects: &[&Value], params: &Params) -> Value {
    // Events are told by what they say, not by their names.
    let last = resource.strategy == Strategy::Event;
    let name = json!({
        "name": "Name", "type": "string", "format": "name", "priority": u8::from(last),
        "description": "Name must be unique within a namespace.",
    });
    let mut definitions = Vec::new();
    for column in &resource.columns.0 {
        definitions.push(json!({
            "name": column.name, "type": column.kind, "format": column.format,
            "description": column.description, "priority": column.priority,
        }));
    }
    definitions.insert(if last { definitions.len() } else { 0 }, name);
    let include = params.get("includeObject");
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let served = resource.to_served(object);
            let mut cells: Vec<Value> = resource.columns.0.iter().map(|column| column.render(&served)).collect();
            cells.insert(if last { cells.len() } else { 0 }, json!(object::name(&served)));
            let mut row = json!({"cells": cells});
            match include {
                "None" => {}
                "Object" => row["object"] = served,
                _ => {
                    row["object"] = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": served["metadata"]});
                }
            }
            row
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version(objects)},
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// The version of a table of one object is the object's.
fn version(objects: &[&Value]) -> String {
    match objects {
        [only] => object::meta(only, "resourceVersion").to_owned(),
        _ => String::new(),
    }
}
