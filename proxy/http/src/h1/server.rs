//! The client's side of a connection.

use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::{
    Rejection,
    body::Decoder,
    emit::{self, Persistence},
    inbound::{Bounds, Inbound},
    outbound::{Encoder, Outbound},
    parse_request::parse_request,
    scan::HeadScan,
};
use crate::{
    head::{Body, Fields, RequestHead, ResponseHead, Version},
    io::Io,
    peer::{Chunk, Downstream, Sink, Source, StreamError},
};

/// Bytes of empty lines in front of a request line: one CRLF, as RFC 9112 asks, and one more.
const BLANK_LINES: usize = 4;

/// What an HTTP/2 client sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Why there is no request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// The client closed between two requests.
    Ended,
    /// The client closed or failed within a head.
    Failed(StreamError),
    /// What it sent is answered and the connection closed.
    Rejected(Rejection),
    /// It speaks another protocol: an answer would be noise to it.
    Foreign,
}

/// Whether a head that is no request names a protocol, and it is not HTTP, as a garbled preface of HTTP/2 does.
fn names_other_protocol(text: &[u8]) -> bool {
    let line = text.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let (Some(protocol), None) = (words.next(), words.next()) else { return false };
    protocol.first().is_some_and(u8::is_ascii_alphabetic)
        && !protocol.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"http"))
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Server<I> {
    pub(crate) io: I,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    scan: HeadScan,
    version: Version,
    keep_alive: bool,
    answered: bool,
}

impl<I: Io> Server<I> {
    pub(crate) fn new(io: I, bounds: Bounds) -> Self {
        Self {
            io,
            inbound: Inbound::new(bounds),
            outbound: Outbound::default(),
            scan: HeadScan::default(),
            version: Version::Http11,
            keep_alive: true,
            answered: false,
        }
    }

    /// Whether bytes of a next request are here already.
    pub(crate) fn has_input(&self) -> bool {
        !self.inbound.buffer.is_empty()
    }

    /// Ready when the first bytes of a request are here; `false`: the client is gone.
    pub(crate) fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.has_input() {
            return Poll::Ready(true);
        }
        self.inbound.poll_fill(&mut self.io, cx).map(|result| result.is_ok_and(|count| count > 0))
    }

    /// Ready when it is clear whether the client opens with HTTP/2's preface.
    pub(crate) fn poll_preface(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            let data = self.inbound.buffer.data();
            if !data.iter().zip(PREFACE).all(|(byte, expected)| byte == expected) {
                return Poll::Ready(false);
            }
            if data.len() >= PREFACE.len() {
                return Poll::Ready(true);
            }
            if !matches!(ready!(self.inbound.poll_fill(&mut self.io, cx)), Ok(1..)) {
                return Poll::Ready(false);
            }
        }
    }

    /// What carries the connection, and what was read of it.
    pub(crate) fn into_parts(self) -> (I, Vec<u8>) {
        let early = self.inbound.buffer.data().to_vec();
        (self.io, early)
    }

    /// Reads and judges the next request head.
    pub(crate) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut RequestHead,
    ) -> Poll<Result<(), HeadError>> {
        loop {
            let data = self.inbound.buffer.data();
            let bounds = self.scan.find_end(data, BLANK_LINES).map_err(HeadError::Rejected)?;
            if let Some(bounds) = bounds {
                let text = data.get(bounds.leading..bounds.end).unwrap_or_default();
                let max_bytes = self.inbound.bounds.head_bytes;
                if text.len() > max_bytes {
                    return Poll::Ready(Err(HeadError::Rejected(self.too_large())));
                }
                if let Err(rejection) = parse_request(text, self.inbound.bounds.fields, head) {
                    return Poll::Ready(Err(if names_other_protocol(text) {
                        HeadError::Foreign
                    } else {
                        HeadError::Rejected(rejection)
                    }));
                }
                self.begin(head, bounds.end);
                return Poll::Ready(Ok(()));
            }
            if data.len() > self.inbound.bounds.head_bytes {
                return Poll::Ready(Err(HeadError::Rejected(self.too_large())));
            }
            if self.inbound.buffer.is_full() {
                let bytes = self.inbound.bounds.head_bytes.saturating_add(1);
                self.inbound.buffer.grow(bytes);
            }
            let was_empty = self.inbound.buffer.is_empty();
            match ready!(self.inbound.poll_fill(&mut self.io, cx)) {
                Ok(0) if was_empty => return Poll::Ready(Err(HeadError::Ended)),
                Ok(0) => return Poll::Ready(Err(HeadError::Failed(StreamError::Closed))),
                Err(error) => return Poll::Ready(Err(HeadError::Failed(error))),
                Ok(_) => {}
            }
        }
    }

    fn too_large(&self) -> Rejection {
        if self.scan.first_line_fits(self.inbound.bounds.head_bytes) {
            Rejection { status: 431, reason: "HeadTooLarge" }
        } else {
            Rejection { status: 414, reason: "TargetTooLong" }
        }
    }

    fn begin(&mut self, head: &RequestHead, head_bytes: usize) {
        self.scan = HeadScan::default();
        self.version = head.version;
        self.keep_alive = head.keep_alive;
        self.answered = false;
        let decoder = match head.body {
            Body::Empty => Decoder::Done,
            Body::Length(length) => Decoder::length(length),
            Body::Stream => Decoder::chunked(),
        };
        if decoder.is_done() {
            self.inbound.buffer.consume(head_bytes);
        } else {
            self.inbound.buffer.consume_and_mark(head_bytes);
        }
        self.inbound.begin(decoder);
    }

    /// Forgets the request; `true`: request and response are complete and another may follow.
    pub(crate) fn end_request(&mut self) -> bool {
        self.inbound.buffer.clear_mark();
        self.answered && self.keep_alive && self.inbound.is_complete() && self.outbound.is_idle()
    }

    /// Prepares for an answer to a request that could not be read.
    pub(crate) fn forget_request(&mut self) {
        self.version = Version::Http11;
        self.inbound.begin(Decoder::Done);
    }
}

impl<I: Io> Source for Server<I> {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk<'_>, StreamError>> {
        self.inbound.poll_chunk(&mut self.io, cx)
    }

    fn consume(&mut self, count: usize) {
        self.inbound.consume(count);
    }

    fn raw(&self) -> Option<(&TcpStream, u64)> {
        self.io.socket().zip(self.inbound.raw_bytes())
    }

    fn note_taken(&mut self, count: usize) {
        self.inbound.note_taken(count);
    }
}

impl<I: Io> Sink for Server<I> {
    fn poll_data(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, StreamError>> {
        self.outbound.poll_data(&mut self.io, cx, data)
    }

    fn raw(&self) -> Option<(&TcpStream, u64)> {
        self.io.socket().zip(self.outbound.raw_bytes())
    }

    fn note_given(&mut self, count: usize) {
        self.outbound.note_given(count);
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.outbound.finish(trailers);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.outbound.poll_flush(&mut self.io, cx)
    }
}

impl<I: Io> Downstream for Server<I> {
    fn send_informational(&mut self, head: &ResponseHead) {
        if self.version != Version::Http10 {
            let text = self.outbound.text();
            emit::write_response(head, Body::Empty, Persistence::Keep, text);
        }
    }

    fn send_head(&mut self, head: &ResponseHead, close: bool) {
        self.answered = true;
        let may_omit = head.bodiless || head.status == 101;
        let (body, encoder) = match head.body {
            Body::Empty if !may_omit => (Body::Length(0), Encoder::Done),
            Body::Stream if self.version == Version::Http10 => (Body::Empty, Encoder::UntilClose),
            body => (body, Encoder::of(body)),
        };
        if close || encoder == Encoder::UntilClose {
            self.keep_alive = false;
        }
        let persistence = match (self.keep_alive, self.version) {
            (false, _) => Persistence::Close,
            (true, Version::Http10) => Persistence::SayKeepAlive,
            (true, _) => Persistence::Keep,
        };
        self.outbound.begin(if head.bodiless { Encoder::Done } else { encoder });
        emit::write_response(head, body, persistence, self.outbound.text());
    }

    fn start_tunnel(&mut self) {
        self.keep_alive = false;
        self.inbound.buffer.clear_mark();
        self.inbound.begin(Decoder::UntilClose);
        self.outbound.encoder = Encoder::Tunnel;
    }

    fn may_rewind(&self) -> bool {
        self.inbound.may_rewind()
    }

    fn rewind(&mut self) -> bool {
        self.inbound.rewind()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        while self.inbound.is_complete() && !self.inbound.ended && !self.inbound.buffer.is_full() {
            if let Err(error) = ready!(self.inbound.poll_fill(&mut self.io, cx)) {
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    }
}
