//! One stream: the client's side of one exchange.

use std::task::{Context, Poll, ready};

use ::h2::{Reason, RecvStream, SendStream, server::SendResponse};
use bytes::{Buf, Bytes};

use super::fields;
use crate::{
    buffer::{lend_text, return_text},
    head::{Body, Fields, ResponseHead, Version},
    peer::{Chunk, Downstream, Sink, Source, StreamError},
};

/// How much of a request body is kept in case it must be sent again.
const KEPT: usize = 16 * 1024;
/// Most bytes that one call takes: other streams want to write too.
const PIECE: usize = 16 * 1024;

/// A request body, its response, and what is known of both.
#[derive(Debug)]
pub(super) struct ServerStream {
    receive: RecvStream,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    /// Received, not consumed.
    chunk: Bytes,
    end: Option<End>,
    trailers: Fields,
    max_fields: usize,
    kept: Kept,
    /// Bytes that the response still owes; `None`: unknown, or trailers may follow.
    left: Option<u64>,
    /// Nothing of the response follows.
    ended: bool,
}

/// How the request body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Plain,
    WithTrailers,
}

/// The consumed beginning of a request body.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// From here on it is given again.
    replay: usize,
    lost: bool,
}

impl Kept {
    fn again(&self) -> &[u8] {
        self.bytes.get(self.replay..).unwrap_or_default()
    }

    fn keep(&mut self, data: &[u8]) {
        if self.lost || self.bytes.len().saturating_add(data.len()) > KEPT {
            return self.forget();
        }
        if self.bytes.capacity() == 0 {
            self.bytes = lend_text();
        }
        self.bytes.extend_from_slice(data);
        self.replay = self.bytes.len();
    }

    fn forget(&mut self) {
        self.lost = true;
        if self.again().is_empty() {
            return_text(std::mem::take(&mut self.bytes));
            self.replay = 0;
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        return_text(std::mem::take(&mut self.bytes));
    }
}

impl ServerStream {
    pub(super) fn new(
        receive: RecvStream,
        respond: SendResponse<Bytes>,
        max_fields: usize,
    ) -> Self {
        Self {
            receive,
            respond,
            send: None,
            chunk: Bytes::new(),
            end: None,
            trailers: Fields::default(),
            max_fields,
            kept: Kept::default(),
            left: None,
            ended: false,
        }
    }

    /// Whether no body follows the request head.
    pub(super) fn ends_with_head(&self) -> bool {
        self.receive.is_end_stream()
    }

    /// Tells the client that the response is not complete.
    pub(super) fn reset(&mut self) {
        match &mut self.send {
            Some(send) => send.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.end = match ready!(self.receive.poll_trailers(cx)) {
            Ok(None) => Some(End::Plain),
            Ok(Some(map)) => {
                fields::trailers(&map, self.max_fields, &mut self.trailers)
                    .map_err(StreamError::Malformed)?;
                Some(End::WithTrailers)
            }
            Err(error) => return Poll::Ready(Err(stream_error(&error))),
        };
        Poll::Ready(Ok(()))
    }
}

/// A reset by the client is its going away; a reset by ourselves is its breaking the rules.
fn stream_error(error: &::h2::Error) -> StreamError {
    match error.get_io() {
        Some(io) => StreamError::Io(io.kind()),
        None if error.is_library() => StreamError::Malformed("BadFrames"),
        None => StreamError::Closed,
    }
}

impl Source for ServerStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk<'_>, StreamError>> {
        while self.kept.again().is_empty() && self.chunk.is_empty() && self.end.is_none() {
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Poll::Ready(Err(stream_error(&error))),
                None => ready!(self.poll_end(cx))?,
            }
        }
        let again = self.kept.again();
        Poll::Ready(Ok(match self.end {
            _ if !again.is_empty() => Chunk::Data(again),
            Some(End::Plain) => Chunk::End,
            Some(End::WithTrailers) => Chunk::Trailers(&self.trailers),
            None => Chunk::Data(&self.chunk),
        }))
    }

    fn consume(&mut self, count: usize) {
        if !self.kept.again().is_empty() {
            self.kept.replay = self.kept.replay.saturating_add(count).min(self.kept.bytes.len());
            return;
        }
        let count = count.min(self.chunk.len());
        self.kept.keep(self.chunk.get(..count).unwrap_or_default());
        self.chunk.advance(count);
        // The client may send as much again. Fails only when the stream is gone.
        let _ = self.receive.flow_control().release_capacity(count);
    }
}

impl Sink for ServerStream {
    fn poll_data(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, StreamError>> {
        let Some(send) = self.send.as_mut().filter(|_| !self.ended && !data.is_empty()) else {
            return Poll::Ready(Ok(data.len()));
        };
        send.reserve_capacity(data.len().min(PIECE));
        while send.capacity() == 0 {
            match ready!(send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(stream_error(&error))),
                None => return Poll::Ready(Err(StreamError::Closed)),
            }
        }
        let count = data.len().min(send.capacity()).min(PIECE);
        let piece = data.get(..count).unwrap_or_default();
        let more = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(more));
        self.ended = self.left == Some(0);
        match send.send_data(Bytes::copy_from_slice(piece), self.ended) {
            Ok(()) => Poll::Ready(Ok(count)),
            Err(error) => Poll::Ready(Err(stream_error(&error))),
        }
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        let Some(send) = self.send.as_mut().filter(|_| !self.ended) else { return };
        self.ended = true;
        // Fails only when the stream is gone, and then there is nobody to be told.
        let _ = match trailers {
            Some(trailers) if !trailers.is_empty() => send.send_trailers(fields::map(trailers)),
            _ => send.send_data(Bytes::new(), true),
        };
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        // The connection writes, after all streams had their turn.
        Poll::Ready(Ok(()))
    }
}

impl Downstream for ServerStream {
    fn send_informational(&mut self, head: &ResponseHead) {
        if let Some(response) = fields::response(head) {
            let _ = self.respond.send_informational(response);
        }
    }

    fn send_head(&mut self, head: &ResponseHead, _close: bool) {
        self.kept.forget();
        let Some(response) = fields::response(head) else { return self.reset() };
        self.ended = head.bodiless || matches!(head.body, Body::Empty | Body::Length(0));
        self.left = match head.body {
            // HTTP/1.1 has no trailers behind a known length.
            Body::Length(length) if head.version != Version::Http2 => Some(length),
            _ => None,
        };
        // Fails only when the stream is gone; then writing the body fails too.
        self.send = self.respond.send_response(response, self.ended).ok();
    }

    fn start_tunnel(&mut self) {
        // No upgrade is ever offered for a stream, so that no backend can accept one.
        self.reset();
    }

    fn may_rewind(&self) -> bool {
        !self.kept.lost
    }

    fn rewind(&mut self) -> bool {
        if self.kept.lost {
            return false;
        }
        self.kept.replay = 0;
        true
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        let reset = match &mut self.send {
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|result| match result {
            Ok(_) => StreamError::Closed,
            Err(error) => stream_error(&error),
        })
    }
}
