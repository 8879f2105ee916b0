//! The backend's side of a connection.

use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::{
    body::Decoder,
    emit,
    inbound::{Bounds, Inbound},
    outbound::{Encoder, Outbound},
    parse_response::{Asked, parse_response},
    scan::HeadScan,
};
use crate::{
    head::{Fields, RequestHead, ResponseHead},
    io::Io,
    peer::{Chunk, Sink, Source, StreamError, Upstream},
};

/// What a backend may send; responses have no body limit.
const BOUNDS: Bounds = Bounds { head_bytes: 64 * 1024, fields: super::MAX_FIELDS };

/// A connection towards a backend. Between exchanges it owns no buffer, so it is what a pool keeps.
#[derive(Debug)]
pub struct Client<I> {
    io: I,
    inbound: Inbound,
    outbound: Outbound,
    scan: HeadScan,
    asked: Asked,
    received: bool,
    keep_alive: bool,
}

impl<I: Io> Client<I> {
    /// A connection that nothing was sent on yet.
    pub fn new(io: I) -> Self {
        Self {
            io,
            inbound: Inbound::new(BOUNDS),
            outbound: Outbound::default(),
            scan: HeadScan::default(),
            asked: Asked::default(),
            received: false,
            keep_alive: true,
        }
    }

    /// What carries the connection.
    pub fn io(&self) -> &I {
        &self.io
    }

    /// What carries the connection.
    pub fn io_mut(&mut self) -> &mut I {
        &mut self.io
    }

    /// Takes the connection apart.
    pub fn into_io(self) -> I {
        self.io
    }

    fn accept_head(&mut self, end: usize, head: &mut ResponseHead) -> Result<(), StreamError> {
        let text = self.inbound.buffer.data().get(..end).unwrap_or_default();
        let decoder = parse_response(text, self.inbound.bounds.fields, self.asked, head)?;
        self.scan = HeadScan::default();
        if !head.is_informational() {
            self.keep_alive = head.keep_alive && !matches!(decoder, Decoder::UntilClose);
            self.inbound.begin(decoder);
        }
        self.inbound.buffer.consume(end);
        Ok(())
    }
}

impl<I: Io> Source for Client<I> {
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

impl<I: Io> Sink for Client<I> {
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

impl<I: Io> Upstream for Client<I> {
    fn send_head(&mut self, head: &RequestHead) {
        self.asked = Asked { head: head.method() == b"HEAD", upgrade: head.upgrade().is_some() };
        self.received = false;
        self.keep_alive = false;
        self.scan = HeadScan::default();
        self.outbound.begin(Encoder::of(head.body));
        emit::write_request(head, self.outbound.text());
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), StreamError>> {
        loop {
            let data = self.inbound.buffer.data();
            let bounds = self.scan.find_end(data, 0);
            if let Some(bounds) = bounds.map_err(|r| StreamError::Malformed(r.reason))? {
                return Poll::Ready(self.accept_head(bounds.end, head));
            }
            if data.len() >= self.inbound.bounds.head_bytes {
                return Poll::Ready(Err(StreamError::HeadTooLarge));
            }
            if self.inbound.buffer.is_full() {
                self.inbound.buffer.grow(self.inbound.bounds.head_bytes);
            }
            if ready!(self.inbound.poll_fill(&mut self.io, cx))? == 0 {
                return Poll::Ready(Err(StreamError::Closed));
            }
            self.received = true;
        }
    }

    fn has_received(&self) -> bool {
        self.received
    }

    fn start_tunnel(&mut self) {
        self.keep_alive = false;
        self.inbound.begin(Decoder::UntilClose);
        self.outbound.encoder = Encoder::Tunnel;
    }

    fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.inbound.is_complete()
            && self.inbound.buffer.is_empty()
            && !self.inbound.ended
            && self.outbound.is_idle()
    }
}
