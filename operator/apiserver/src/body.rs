//! Bodies and heads of answers.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Frame;
use serde_json::Value;

use crate::error::Failure;

/// The body of an answer: one piece, or a stream of them (watches and logs).
pub struct Body(Inner);

enum Inner {
    Full(Full<Bytes>),
    Stream(BoxStream<'static, Bytes>),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.0 {
            Inner::Full(_) => "Body::Full",
            Inner::Stream(_) => "Body::Stream",
        })
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Inner::Full(full) => Pin::new(full).poll_frame(context),
            Inner::Stream(stream) => stream
                .as_mut()
                .poll_next(context)
                .map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Full(full) => full.is_end_stream(),
            Inner::Stream(_) => false,
        }
    }
}

/// An answer of the server.
pub(crate) type Reply = Response<Body>;

/// JSON with a status.
pub(crate) fn json(status: StatusCode, value: &Value) -> Reply {
    typed(status, "application/json", value)
}

/// JSON under a media type of its own.
pub(crate) fn typed(status: StatusCode, media: &'static str, value: &Value) -> Reply {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    whole(status, media, Bytes::from(bytes))
}

/// Plain text.
pub(crate) fn text(text: &'static str) -> Reply {
    whole(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

/// A body that comes piece by piece.
pub(crate) fn stream(media: &'static str, stream: BoxStream<'static, Bytes>) -> Reply {
    let mut reply = Response::new(Body(Inner::Stream(stream)));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    reply
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    reply
}

/// A refusal.
pub(crate) fn failure(failure: &Failure) -> Reply {
    json(failure.code(), &failure.status())
}

/// Adds `Warning` headers, which kubectl prints.
pub(crate) fn warn(reply: &mut Reply, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            reply.headers_mut().append(header::WARNING, value);
        }
    }
}

fn whole(status: StatusCode, media: &'static str, bytes: Bytes) -> Reply {
    let mut reply = Response::new(Body(Inner::Full(Full::new(bytes))));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    reply
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    reply
}
