//! Heads → bytes. Whatever was received, this is the only form in which heads leave.

use std::io::Write;

use crate::head::{Body, Fields, RequestHead, ResponseHead};

/// Writes a request head for a backend.
pub(crate) fn write_request(head: &RequestHead, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method());
    out.push(b' ');
    out.extend_from_slice(head.target());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(out, b"host", head.authority());
    write_fields(&head.fields, out);
    write_framing(head.body, out);
    if head.expects_continue {
        out.extend_from_slice(b"expect: 100-continue\r\n");
    }
    match (head.upgrade(), head.accepts_trailers) {
        (Some(protocol), _) => {
            write_field(out, b"upgrade", protocol);
            out.extend_from_slice(b"connection: upgrade\r\n");
        }
        (None, true) => out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n"),
        (None, false) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// What the client's connection adds to a response head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Nothing: the connection stays open.
    Keep,
    /// `connection: keep-alive`, for HTTP/1.0.
    SayKeepAlive,
    /// `connection: close`.
    Close,
}

/// Writes a response head for a client; `body` is the framing that this client gets.
pub(crate) fn write_response(
    head: &ResponseHead,
    body: Body,
    persistence: Persistence,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    // Writing to a vector cannot fail.
    let _ = write!(out, "{:03} ", head.status);
    let reason = if head.reason().is_empty() {
        http::StatusCode::from_u16(head.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default()
            .as_bytes()
    } else {
        head.reason()
    };
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    write_fields(&head.fields, out);
    write_framing(body, out);
    match (head.upgrade(), persistence) {
        (Some(protocol), _) => {
            write_field(out, b"upgrade", protocol);
            out.extend_from_slice(b"connection: upgrade\r\n");
        }
        (None, Persistence::Keep) => {}
        (None, Persistence::SayKeepAlive) => {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        (None, Persistence::Close) => out.extend_from_slice(b"connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the size line of a chunk.
pub(crate) fn write_chunk_size(size: usize, out: &mut Vec<u8>) {
    let _ = write!(out, "{size:x}\r\n");
}

/// Writes the last chunk and the trailers.
pub(crate) fn write_last_chunk(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        write_fields(trailers, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_framing(body: Body, out: &mut Vec<u8>) {
    match body {
        Body::Empty => {}
        Body::Length(length) => {
            let _ = write!(out, "content-length: {length}\r\n");
        }
        Body::Stream => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

fn write_fields(fields: &Fields, out: &mut Vec<u8>) {
    for field in fields.iter() {
        write_field(out, field.name, field.value);
    }
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
