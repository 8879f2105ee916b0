//! Locations that are written as a whole.

use super::CompileError;

/// A piece of a Location.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LocationPart {
    Text(Box<[u8]>),
    /// `{scheme}`
    Scheme,
    /// `{host}`: without port.
    Host,
    /// `{authority}`: Host as received.
    Authority,
    /// `{target}`: path and query.
    Target,
    /// `{path}`
    Path,
    /// `{query}`: without question mark.
    Query,
    /// `{?}`: a question mark, if there is a query.
    QuestionMark,
}

/// Compiles text in which `{name}` stands for a part of the request.
pub(super) fn compile_location(text: &str) -> Result<Box<[LocationPart]>, CompileError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        push_text(&mut parts, literal)?;
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        parts.push(part(name)?);
        rest = after;
    }
    push_text(&mut parts, rest)?;
    if parts.is_empty() {
        return Err(CompileError::new("location", "it is empty", "write a URL"));
    }
    Ok(parts.into())
}

fn push_text(parts: &mut Vec<LocationPart>, text: &str) -> Result<(), CompileError> {
    let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'}';
    if !text.bytes().all(visible) {
        let problem = format!("{text:?} is no part of a URL");
        return Err(CompileError::new("location", problem, "percent-encode what is not ASCII"));
    }
    if !text.is_empty() {
        parts.push(LocationPart::Text(text.as_bytes().into()));
    }
    Ok(())
}

fn part(name: &str) -> Result<LocationPart, CompileError> {
    Ok(match name {
        "scheme" => LocationPart::Scheme,
        "host" => LocationPart::Host,
        "authority" => LocationPart::Authority,
        "target" => LocationPart::Target,
        "path" => LocationPart::Path,
        "query" => LocationPart::Query,
        "?" => LocationPart::QuestionMark,
        other => {
            let problem = format!("{{{other}}} is no part of a request");
            let remedy = "use scheme, host, authority, target, path, query or ?";
            return Err(CompileError::new("location", problem, remedy));
        }
    })
}
