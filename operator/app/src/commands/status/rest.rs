//! Members of a status that have no form of their own here, such as those of a newer operator: told all the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::output::aligned_rows;

/// A text for every member of `status` that is not in `shown`; `owner` says whose it is.
pub(super) fn sections(owner: &str, status: &Value, shown: &[&str]) -> Vec<String> {
    let members = status.as_object().into_iter().flatten();
    let unshown = members.filter(|(name, _)| !shown.contains(&name.as_str()));
    unshown.map(|(name, value)| section(format!("{owner} {name}").trim(), value)).collect()
}

fn section(title: &str, value: &Value) -> String {
    let rows = value.as_array().filter(|rows| rows.iter().any(Value::is_object));
    match rows {
        Some(rows) => format!("{title}:\n{}", table(rows)),
        None => format!("{title}: {}\n", cell(value)),
    }
}

/// One column for every member that a row has; `name` is the first.
fn table(rows: &[Value]) -> String {
    let members = rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys());
    let mut columns: Vec<&String> = members.collect::<BTreeSet<_>>().into_iter().collect();
    columns.sort_by_key(|column| column.as_str() != "name");
    let head: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|&name| cell(&row[name])).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(cells).collect();
    let lines: Vec<&[String]> = lines.iter().map(Vec::as_slice).collect();
    aligned_rows(&lines)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}={}", cell(value)));
            members.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
