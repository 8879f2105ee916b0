//! Filters at work on heads.

use crate::{
    buffer::{lend_text, return_text},
    compile::{
        Filter, HeaderEdit, LocationPart, PathEdit, Piece, Redirect, RedirectPath, UrlRewrite,
    },
    connection::ConnectionInfo,
    h1::{Rejection, write_canonical},
    head::{Fields, RequestHead, split_query},
    origin::Origin,
};

/// What filters said about a request.
pub(crate) enum Filtered<'a> {
    Pass,
    Redirect(&'a Redirect),
    /// A question of a browser about what it may do.
    Preflight,
}

/// Runs the request side of filters, in order, until one ends the request.
pub(crate) fn filter_request<'a>(
    filters: &'a [Filter],
    prefix: Option<usize>,
    origin: Origin,
    head: &mut RequestHead,
) -> Result<Filtered<'a>, Rejection> {
    for filter in filters {
        match filter {
            Filter::RequestHeaders(edit) => edit_fields(edit, &mut head.fields),
            Filter::Rewrite(rewrite) => rewrite_url(rewrite, prefix, head)?,
            Filter::Redirect(redirect) if redirect.acts(origin) => {
                return Ok(Filtered::Redirect(redirect));
            }
            Filter::Cors(cors) if cors.answers(head) => return Ok(Filtered::Preflight),
            Filter::Redirect(_) | Filter::ResponseHeaders(_) | Filter::Cors(_) => {}
        }
    }
    Ok(Filtered::Pass)
}

/// Runs the response side of filters.
pub(crate) fn filter_response(filters: &[Filter], request: &Fields, fields: &mut Fields) {
    for filter in filters {
        match filter {
            Filter::ResponseHeaders(edit) => edit_fields(edit, fields),
            Filter::Cors(cors) => cors.write(request, fields),
            Filter::RequestHeaders(_) | Filter::Rewrite(_) | Filter::Redirect(_) => {}
        }
    }
}

fn edit_fields(edit: &HeaderEdit, fields: &mut Fields) {
    for name in &edit.remove {
        fields.remove(name);
    }
    for (name, value) in &edit.set {
        fields.set(name, value);
    }
    for (name, value) in &edit.add {
        fields.push(name, value);
    }
}

fn rewrite_url(
    rewrite: &UrlRewrite,
    prefix: Option<usize>,
    head: &mut RequestHead,
) -> Result<(), Rejection> {
    if let Some(host) = &rewrite.host {
        head.set_authority(host);
    }
    if matches!(rewrite.path, PathEdit::Keep) || head.target() == b"*" {
        return Ok(());
    }
    let mut target = lend_text();
    write_target(&rewrite.path, prefix, head, &mut target);
    let mut canonical = lend_text();
    // The new path is judged like a received one: groups may have formed dot segments.
    let result = write_canonical(&target, &mut canonical);
    if result.is_ok() {
        head.set_target(&canonical);
    }
    return_text(target);
    return_text(canonical);
    result
}

fn write_target(edit: &PathEdit, prefix: Option<usize>, head: &RequestHead, out: &mut Vec<u8>) {
    let (path, query) = split_query(head.target());
    match edit {
        PathEdit::Keep => out.extend_from_slice(path),
        PathEdit::Full(full) => out.extend_from_slice(full),
        PathEdit::Prefix(replacement) => replace_prefix(path, prefix, replacement, out),
        PathEdit::Regex(pattern, pieces) => match pattern.groups(path) {
            None => out.extend_from_slice(path),
            Some(groups) => {
                for piece in pieces {
                    out.extend_from_slice(match piece {
                        Piece::Text(text) => text,
                        Piece::Group(group) => {
                            groups.range(*group).and_then(|r| path.get(r)).unwrap_or_default()
                        }
                    });
                }
                if out.first() != Some(&b'/') {
                    out.insert(0, b'/');
                }
            }
        },
    }
    push_query(query, out);
}

fn replace_prefix(path: &[u8], prefix: Option<usize>, replacement: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(replacement);
    out.extend_from_slice(path.get(prefix.unwrap_or(0)..).unwrap_or_default());
    if out.len() == start {
        out.push(b'/');
    }
}

fn push_query(query: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(query) = query {
        out.push(if out.contains(&b'?') { b'&' } else { b'?' });
        out.extend_from_slice(query);
    }
}

fn write_parts(parts: &[LocationPart], origin: Origin, head: &RequestHead, out: &mut Vec<u8>) {
    let target = if head.target() == b"*" { b"/" } else { head.target() };
    let (path, query) = split_query(target);
    for part in parts {
        out.extend_from_slice(match part {
            LocationPart::Text(text) => text,
            LocationPart::Scheme => origin.scheme.as_str().as_bytes(),
            LocationPart::Host => head.host(),
            LocationPart::Authority => head.authority(),
            LocationPart::Target => target,
            LocationPart::Path => path,
            LocationPart::Query => query.unwrap_or_default(),
            LocationPart::QuestionMark => query.map_or(&b""[..], |_| b"?"),
        });
    }
}

impl Redirect {
    fn acts(&self, origin: Origin) -> bool {
        !self.only_plaintext || origin.scheme == crate::connection::Scheme::Http
    }

    /// Writes the value of Location.
    pub(crate) fn write_location(
        &self,
        prefix: Option<usize>,
        origin: Origin,
        info: &ConnectionInfo,
        head: &RequestHead,
        out: &mut Vec<u8>,
    ) {
        if let RedirectPath::Location(parts) = &self.path {
            return write_parts(parts, origin, head, out);
        }
        let scheme = self.scheme.unwrap_or(origin.scheme);
        let host = self.host.as_deref().unwrap_or(head.host());
        if !host.is_empty() {
            out.extend_from_slice(scheme.as_str().as_bytes());
            out.extend_from_slice(b"://");
            out.extend_from_slice(host);
            self.write_port(scheme, info, out);
        }
        let mut path = lend_text();
        let (old, query) = split_query(head.target());
        match &self.path {
            RedirectPath::Keep | RedirectPath::Location(_) => path.extend_from_slice(old),
            RedirectPath::Full(full) => path.extend_from_slice(full),
            RedirectPath::Prefix(replacement) => {
                replace_prefix(old, prefix, replacement, &mut path);
            }
        }
        if !(matches!(self.path, RedirectPath::Full(_)) && path.contains(&b'?')) {
            push_query(query, &mut path);
        }
        if self.trim_slash && path.last() == Some(&b'/') {
            path.pop();
        }
        out.extend_from_slice(&path);
        return_text(path);
    }

    fn write_port(
        &self,
        scheme: crate::connection::Scheme,
        info: &ConnectionInfo,
        out: &mut Vec<u8>,
    ) {
        use std::io::Write;

        use crate::connection::Scheme;
        let advertised = match scheme {
            Scheme::Http => info.advertised.http,
            Scheme::Https => info.advertised.https,
        };
        let port = self.port.or(advertised).unwrap_or(scheme.default_port());
        if port != scheme.default_port() {
            // Writing to a vector cannot fail.
            let _ = write!(out, ":{port}");
        }
    }
}
