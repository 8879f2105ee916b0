//! From the text of a file to the objects that it declares. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// One object, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    /// The first line of its document, from 1.
    pub(crate) line: usize,
    pub(crate) value: Arc<Value>,
}

/// The parts of a file by their text: what stands there unchanged is not read again.
pub(crate) type Parts = BTreeMap<String, Arc<Value>>;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(crate) struct ParseError {
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// Reads YAML (one or more documents) or JSON. Empty documents and comments declare nothing; the items of a `List` are taken one by one.
/// `known` are the parts of the same file before; the parts of now are returned beside the documents.
///
/// # Errors
/// The first thing that is wrong: then nothing of the file counts.
pub(crate) fn parse(
    text: &str,
    json: bool,
    known: &Parts,
) -> Result<(Vec<Document>, Parts), ParseError> {
    let mut documents = Vec::new();
    let mut parts = Parts::new();
    let split = if json { vec![(1, text.to_owned())] } else { split(text) };
    for (line, part) in split {
        let value = match known.get(&part) {
            Some(value) => Arc::clone(value),
            None if json => Arc::new(parse_json(&part)?),
            None => Arc::new(parse_yaml(&part, line)?),
        };
        if !value.is_null() {
            flatten(&value, line, &mut documents)?;
        }
        parts.insert(part, value);
    }
    Ok((documents, parts))
}

/// Cuts at `---`, which in YAML is a marker wherever it begins a line, and remembers where each part began.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let marker = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if let Some(rest) = marker {
            // What follows the marker on its line belongs to the document; a comment does no harm.
            parts.push((index + 1, format!("{rest}\n")));
        } else if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

fn parse_yaml(part: &str, first: usize) -> Result<Value, ParseError> {
    let blank = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#')
    };
    if part.lines().all(blank) {
        return Ok(Value::Null);
    }
    // YAML 1.1's booleans would turn the name `n` into `false`.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(part, options).map_err(|error| {
        let error = error.without_snippet();
        let within = error.location().map_or(1, |location| location.line());
        let line = first + usize::try_from(within).unwrap_or(1).saturating_sub(1);
        ParseError { line, message: one_line(&error.to_string()) }
    })
}

fn parse_json(text: &str) -> Result<Value, ParseError> {
    serde_json::from_str(text)
        .map_err(|error| ParseError { line: error.line(), message: error.to_string() })
}

/// A message on one line, without the position that stands before it anyway.
fn one_line(message: &str) -> String {
    let message = message.lines().next().unwrap_or("not YAML");
    let position = message.find(" at line ").or_else(|| message.find(" (line "));
    position.and_then(|end| message.get(..end)).unwrap_or(message).to_owned()
}

fn flatten(
    value: &Arc<Value>,
    line: usize,
    documents: &mut Vec<Document>,
) -> Result<(), ParseError> {
    let lists = value["apiVersion"] == "v1" && value["kind"] == "List";
    if let (true, Some(items)) = (lists, value["items"].as_array()) {
        return items.iter().try_for_each(|item| flatten(&Arc::new(item.clone()), line, documents));
    }
    for field in ["/apiVersion", "/kind", "/metadata/name"] {
        let text = value.pointer(field).and_then(Value::as_str).unwrap_or("");
        if text.is_empty() {
            let field = field.trim_start_matches('/').replace('/', ".");
            return Err(ParseError {
                line,
                message: format!("the object that begins here has no {field}"),
            });
        }
    }
    documents.push(Document { line, value: Arc::clone(value) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, json: bool) -> Result<Vec<Document>, ParseError> {
        parse(text, json, &Parts::new()).map(|(documents, _)| documents)
    }

    const TWO: &str = "# first\napiVersion: v1\nkind: A\nmetadata: {name: a}\n--- # second\n\napiVersion: v1\nkind: B\nmetadata: {name: b}\n---\n# nothing\n";

    #[test]
    fn finds_documents_and_their_lines() {
        let found = read(TWO, false).unwrap();
        let found: Vec<_> =
            found.iter().map(|it| (it.line, it.value["kind"].as_str().unwrap())).collect();
        assert_eq!(found, [(1, "A"), (5, "B")]);
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}},
            {"apiVersion": "v1", "kind": "B", "metadata": {"name": "b"}}]}"#;
        assert_eq!(read(text, true).unwrap().len(), 2);
        assert_eq!(read(text, false).unwrap().len(), 2);
    }

    #[test]
    fn errors_name_the_line_in_the_file() {
        for (text, json, line) in [
            ("kind: Ingress\nmetadata:\n  name: [unclosed\n", false, 3..=4),
            ("a: 1\n---\nb: 1\nc: }\n", false, 1..=1),
            (&*format!("{TWO}---\napiVersion: v1\nkind: {{{{\n"), false, 14..=14),
            ("{\n\"a\": ,\n}", true, 2..=2),
            ("apiVersion: v1\nkind: A\n", false, 1..=1),
            ("just text", false, 1..=1),
            ("apiVersion: v1\nkind: A\n\tmetadata: {}\n", false, 2..=3),
        ] {
            let error = read(text, json).unwrap_err();
            assert!(line.contains(&error.line), "{text:?}: {error}");
            assert!(!error.message.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_stands_unchanged_is_not_read_again() {
        let (before, parts) = parse(TWO, false, &Parts::new()).unwrap();
        let (after, _) = parse(&TWO.replace("kind: B", "kind: C"), false, &parts).unwrap();
        let same: Vec<_> =
            before.iter().zip(&after).map(|(a, b)| Arc::ptr_eq(&a.value, &b.value)).collect();
        assert_eq!(same, [true, false]);
    }
}
