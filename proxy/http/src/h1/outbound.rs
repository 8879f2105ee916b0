//! The writing half of a connection: queued text and the framing of the current message.

use std::{
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::emit;
use crate::{
    buffer::{lend_text, return_text},
    head::{Body, Fields},
    io::Io,
    peer::StreamError,
};

/// Data up to this size is copied behind what is queued: one write instead of two buffers.
const COPIED: usize = 4096;
/// Never more than this is queued by copying.
const QUEUED: usize = 16 * 1024;

/// How the body that is being sent is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoder {
    /// No body follows, or it has ended.
    Done,
    /// Content-Length, and what is left of it.
    Length(u64),
    /// Chunked, and what is left of the current chunk.
    Chunked(usize),
    /// As it is; the end is the end of the connection.
    UntilClose,
    /// As it is; the end closes this direction.
    Tunnel,
}

impl Encoder {
    pub(crate) fn of(body: Body) -> Self {
        match body {
            Body::Empty | Body::Length(0) => Self::Done,
            Body::Length(length) => Self::Length(length),
            Body::Stream => Self::Chunked(0),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Outbound {
    text: Vec<u8>,
    sent: usize,
    pub(crate) encoder: Encoder,
    unflushed: bool,
    closing: bool,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { text: Vec::new(), sent: 0, encoder: Encoder::Done, unflushed: false, closing: false }
    }
}

impl Outbound {
    /// The queue, for a head.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        if self.text.capacity() == 0 {
            self.text = lend_text();
        }
        &mut self.text
    }

    pub(crate) fn begin(&mut self, encoder: Encoder) {
        self.encoder = encoder;
    }

    /// The message is complete and written.
    pub(crate) fn is_idle(&self) -> bool {
        self.encoder == Encoder::Done && self.text.is_empty() && !self.unflushed && !self.closing
    }

    pub(crate) fn poll_data(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        let length = match &mut self.encoder {
            // A body that nobody may get, such as one behind HEAD.
            Encoder::Done => return Poll::Ready(Ok(data.len())),
            Encoder::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(data.len()),
            Encoder::Chunked(left) => {
                if *left == 0 {
                    *left = data.len();
                    emit::write_chunk_size(data.len(), self.text());
                }
                match self.encoder {
                    Encoder::Chunked(left) => left.min(data.len()),
                    _ => 0,
                }
            }
            Encoder::UntilClose | Encoder::Tunnel => data.len(),
        };
        let data = data.get(..length).unwrap_or_default();
        let queued = self.text.len().saturating_sub(self.sent);
        let count = if length <= COPIED && queued.saturating_add(length) <= QUEUED {
            self.text().extend_from_slice(data);
            length
        } else {
            ready!(self.poll_write(io, cx, data))?
        };
        self.note_sent(count);
        Poll::Ready(Ok(count))
    }

    /// What is left of a body of known length, when nothing is queued before it.
    pub(crate) fn raw_bytes(&self) -> Option<u64> {
        match self.encoder {
            Encoder::Length(left) if self.text.len() == self.sent => Some(left),
            _ => None,
        }
    }

    /// Bytes of the body were given to the socket.
    pub(crate) fn note_given(&mut self, count: usize) {
        self.unflushed = true;
        self.note_sent(count);
    }

    fn note_sent(&mut self, count: usize) {
        let more = u64::try_from(count).unwrap_or(u64::MAX);
        match &mut self.encoder {
            Encoder::Length(left) => {
                *left = left.saturating_sub(more);
                if *left == 0 {
                    self.encoder = Encoder::Done;
                }
            }
            Encoder::Chunked(left) => {
                *left = left.saturating_sub(count);
                if *left == 0 {
                    self.text().extend_from_slice(b"\r\n");
                }
            }
            Encoder::Done | Encoder::UntilClose | Encoder::Tunnel => {}
        }
    }

    /// Writes what is queued and then at least one byte of `data`.
    fn poll_write(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        loop {
            let queued = self.text.get(self.sent..).unwrap_or_default();
            let slices = [IoSlice::new(queued), IoSlice::new(data)];
            let count = if queued.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, data))?
            } else {
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices))?
            };
            if count == 0 {
                return Poll::Ready(Err(StreamError::Closed));
            }
            self.unflushed = true;
            let beyond = count.saturating_sub(queued.len());
            if count < queued.len() {
                self.sent = self.sent.saturating_add(count);
                continue;
            }
            self.text.clear();
            self.sent = 0;
            if beyond > 0 {
                return Poll::Ready(Ok(beyond));
            }
        }
    }

    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        match self.encoder {
            Encoder::Chunked(_) => emit::write_last_chunk(trailers, self.text()),
            Encoder::Tunnel => self.closing = true,
            Encoder::Done | Encoder::Length(_) | Encoder::UntilClose => {}
        }
        self.encoder = Encoder::Done;
    }

    pub(crate) fn poll_flush(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        while self.sent < self.text.len() {
            let queued = self.text.get(self.sent..).unwrap_or_default();
            let count = ready!(Pin::new(&mut *io).poll_write(cx, queued))?;
            if count == 0 {
                return Poll::Ready(Err(StreamError::Closed));
            }
            self.unflushed = true;
            self.sent = self.sent.saturating_add(count);
        }
        self.sent = 0;
        return_text(std::mem::take(&mut self.text));
        if self.unflushed {
            ready!(Pin::new(&mut *io).poll_flush(cx))?;
            self.unflushed = false;
        }
        if self.closing {
            ready!(Pin::new(io).poll_shutdown(cx))?;
            self.closing = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        return_text(std::mem::take(&mut self.text));
    }
}
