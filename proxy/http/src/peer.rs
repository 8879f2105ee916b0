//! The two sides of an exchange, free of any wire format.
//!
//! HTTP/1.1 implements them over a socket of its own, HTTP/2 over one stream of a shared connection. All
//! functions poll, so that one task owns both sides and moves both bodies without channels.

use std::task::{Context, Poll};

use tokio::net::TcpStream;

use crate::head::{Fields, RequestHead, ResponseHead};

/// Why a stream of bytes ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer closed in the middle of a message.
    #[error("closed in the middle of a message")]
    Closed,
    /// Reading or writing failed.
    #[error("reading or writing failed: {0}")]
    Io(std::io::ErrorKind),
    /// What arrived violates the grammar; the word says which rule.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The body is larger than the limit.
    #[error("body larger than the limit")]
    TooLarge,
    /// Head larger than the limit, or with too many fields.
    #[error("head larger than the limit")]
    HeadTooLarge,
}

impl From<std::io::Error> for StreamError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// A piece of a body.
#[derive(Debug)]
pub enum Chunk<'a> {
    /// Bytes that wait to be consumed.
    Data(&'a [u8]),
    /// The body has ended, with these trailers.
    Trailers(&'a Fields),
    /// The body has ended.
    End,
}

/// Where a body comes from.
pub trait Source {
    /// The next piece. Data that was not consumed is given again, without reading.
    ///
    /// # Errors
    /// When the peer went away or sent what the grammar forbids; every later call fails too.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk<'_>, StreamError>>;

    /// Takes `count` bytes off the last [`Chunk::Data`].
    fn consume(&mut self, count: usize);

    /// The socket that carries what is left of the body as it is, and how many bytes that is; `None` while any of it is
    /// buffered, or framed otherwise.
    fn raw(&self) -> Option<(&TcpStream, u64)> {
        None
    }

    /// Notes that `count` bytes of the body were taken off [`Source::raw`].
    fn note_taken(&mut self, _count: usize) {}
}

/// Where a body goes.
pub trait Sink {
    /// Accepts some bytes: writes them, or keeps them until [`Sink::poll_flush`].
    ///
    /// # Errors
    /// When the peer went away.
    fn poll_data(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, StreamError>>;

    /// The socket that carries what is left of the body as it is, and how many bytes that is; `None` while anything is
    /// queued before it, or with another framing.
    fn raw(&self) -> Option<(&TcpStream, u64)> {
        None
    }

    /// Notes that `count` bytes of the body were given to [`Sink::raw`].
    fn note_given(&mut self, _count: usize) {}

    /// Ends the body. Takes effect with [`Sink::poll_flush`]. In a tunnel it closes this direction.
    fn finish(&mut self, trailers: Option<&Fields>);

    /// Writes everything that is still kept.
    ///
    /// # Errors
    /// When the peer went away.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>>;
}

/// The client's side of one request: source of the request body, sink of the response.
pub trait Downstream: Source + Sink {
    /// Queues a 1xx response.
    fn send_informational(&mut self, head: &ResponseHead);

    /// Queues the response head; `close` asks to end the connection after it, where the protocol can say so.
    fn send_head(&mut self, head: &ResponseHead, close: bool);

    /// From now on both directions carry opaque bytes (after 101, or an extended CONNECT).
    fn start_tunnel(&mut self);

    /// Whether [`Downstream::rewind`] would be possible now.
    fn may_rewind(&self) -> bool {
        true
    }

    /// Gives the request body again from its first byte. `false`: its beginning is gone.
    fn rewind(&mut self) -> bool;

    /// Ready when the client is known to be gone for good.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<StreamError>;
}

/// The backend's side of one request: sink of the request body, source of the response body.
pub trait Upstream: Source + Sink {
    /// Queues the request head.
    fn send_head(&mut self, head: &RequestHead);

    /// Reads the next response head, 1xx included, into `head`.
    ///
    /// # Errors
    /// When the backend went away or answered what the grammar forbids.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), StreamError>>;

    /// Whether any byte of an answer to the current request has arrived.
    fn has_received(&self) -> bool;

    /// From now on both directions carry opaque bytes.
    fn start_tunnel(&mut self);

    /// Whether the request and its response are complete and the next request may use the connection.
    fn is_reusable(&self) -> bool;
}
