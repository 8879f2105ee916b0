//! HTTP/1.1: one strict grammar for both sides.

use std::task::{Context, Poll};

use crate::{
    head::{Fields, RequestHead, ResponseHead},
    peer::{Chunk, Io, Sink, Source, StreamError, Upstream},
};

/// A connection towards a backend. Between exchanges it owns no buffer, so it is what a pool keeps.
#[derive(Debug)]
pub struct Client<I> {
    io: I,
}

impl<I: Io> Client<I> {
    /// A connection that nothing was sent on yet.
    pub fn new(io: I) -> Self {
        Self { io }
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
}

impl<I: Io> Source for Client<I> {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Result<Chunk<'_>, StreamError>> {
        Poll::Pending
    }
    fn consume(&mut self, _: usize) {}
}

impl<I: Io> Sink for Client<I> {
    fn poll_data(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<Result<usize, StreamError>> {
        Poll::Pending
    }
    fn finish(&mut self, _: Option<&Fields>) {}
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Pending
    }
}

impl<I: Io> Upstream for Client<I> {
    fn send_head(&mut self, _: &RequestHead) {}
    fn poll_head(
        &mut self,
        _: &mut Context<'_>,
        _: &mut ResponseHead,
    ) -> Poll<Result<(), StreamError>> {
        Poll::Pending
    }
    fn has_received(&self) -> bool {
        false
    }
    fn start_tunnel(&mut self) {}
    fn is_reusable(&self) -> bool {
        false
    }
}
