//! Answers of our own: pages, configured bodies, redirects.

use std::{
    future::poll_fn,
    io::Write,
    task::{Context, Poll, ready},
};

use crate::{
    buffer::{lend_text, return_text},
    clock::Clock,
    compile::Cors,
    connection::ConnectionInfo,
    decide::{Answer, Content},
    head::{Body, RequestHead, ResponseHead},
    origin::Origin,
    peer::{Chunk, Downstream, Sink, StreamError},
};

/// How much of a request body is read away so that the connection can go on.
const DISCARDED: usize = 64 * 1024;

/// Sends an answer. `Ok` has the bytes of the body.
pub(crate) async fn reply<D: Downstream>(
    down: &mut D,
    answer: &Answer<'_>,
    facts: Facts<'_>,
    response: &mut ResponseHead,
    clock: &mut Clock,
) -> Result<u64, StreamError> {
    let complete = poll_fn(|cx| Poll::Ready(discard(down, cx))).await;
    let mut body = lend_text();
    write_answer(answer, facts, response, &mut body);
    down.send_head(response, facts.close || !complete);
    let mut rest = if response.bodiless { &[][..] } else { &body };
    let count = u64::try_from(rest.len()).unwrap_or(u64::MAX);
    let result = poll_fn(|cx| poll_send(down, &mut rest, clock, cx)).await;
    return_text(body);
    result.map(|()| count)
}

/// What an answer depends on.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a RequestHead,
    pub(crate) info: &'a ConnectionInfo,
    pub(crate) origin: Origin,
    pub(crate) close: bool,
    /// Who may read the answer.
    pub(crate) cors: Option<&'a Cors>,
}

/// Reads away what is there of the request body; whether that was all.
fn discard(down: &mut impl Downstream, cx: &mut Context<'_>) -> bool {
    let mut left = DISCARDED;
    loop {
        match down.poll_chunk(cx) {
            Poll::Ready(Ok(Chunk::End | Chunk::Trailers(_))) => return true,
            Poll::Ready(Ok(Chunk::Data(data))) if data.len() <= left => {
                let count = data.len();
                left = left.saturating_sub(count);
                down.consume(count);
            }
            _ => return false,
        }
    }
}

fn poll_send(
    down: &mut impl Sink,
    rest: &mut &[u8],
    clock: &mut Clock,
    cx: &mut Context<'_>,
) -> Poll<Result<(), StreamError>> {
    if clock.poll_expired(cx).is_ready() {
        return Poll::Ready(Err(StreamError::Io(std::io::ErrorKind::TimedOut)));
    }
    while !rest.is_empty() {
        let count = ready!(down.poll_data(cx, rest))?;
        *rest = rest.get(count..).unwrap_or_default();
        clock.touch();
    }
    down.finish(None);
    down.poll_flush(cx)
}

fn write_answer(
    answer: &Answer<'_>,
    facts: Facts<'_>,
    response: &mut ResponseHead,
    body: &mut Vec<u8>,
) {
    response.clear();
    response.status = answer.status;
    let id = facts.request.fields.get(b"x-request-id").unwrap_or_default();
    match answer.content {
        Content::Page => {
            response.fields.push(b"content-type", b"text/plain; charset=utf-8");
            write_page(answer, id, body);
        }
        Content::Empty => {}
        Content::Direct(direct) => {
            response.fields.push(b"content-type", direct.content_type.as_bytes());
            body.extend_from_slice(&direct.body);
        }
        Content::Redirect(redirect, prefix) => {
            let mut location = lend_text();
            redirect.write_location(prefix, facts.origin, facts.info, facts.request, &mut location);
            response.fields.push(b"location", &location);
            return_text(location);
        }
    }
    if !id.is_empty() {
        response.fields.push(b"x-request-id", id);
    }
    if let Some(cors) = facts.cors {
        cors.write(&facts.request.fields, &mut response.fields);
    }
    let no_body = matches!(answer.status, 204 | 304);
    response.bodiless = no_body || facts.request.method() == b"HEAD";
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    response.body = if no_body { Body::Empty } else { Body::Length(length) };
}

fn write_page(answer: &Answer<'_>, id: &[u8], body: &mut Vec<u8>) {
    let phrase = http::StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    // Writing to a vector cannot fail.
    let _ = writeln!(body, "{} {phrase}", answer.status);
    if !answer.reason.is_empty() {
        let _ = writeln!(body, "reason: {}", answer.reason);
    }
    if !id.is_empty() {
        body.extend_from_slice(b"request id: ");
        body.extend_from_slice(id);
        body.push(b'\n');
    }
}
