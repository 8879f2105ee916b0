//! The reading half of a connection: a buffer and the framing of the current message.

use std::task::{Context, Poll, ready};

use super::{
    body::{Decoder, Step},
    trailers::parse_trailers,
};
use crate::{
    buffer::Buffer,
    head::Fields,
    io::Io,
    peer::{Chunk, StreamError},
};

/// What a peer may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of a head or a trailer section.
    pub(crate) head_bytes: usize,
    /// Fields of a head or a trailer section.
    pub(crate) fields: usize,
}

#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) buffer: Buffer,
    pub(crate) bounds: Bounds,
    /// The peer sends nothing more.
    pub(crate) ended: bool,
    decoder: Decoder,
    initial: Decoder,
    trailers: Option<Box<Fields>>,
    failed: Option<StreamError>,
}

enum Found {
    Data(usize),
    Trailers,
    End,
}

impl Inbound {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            buffer: Buffer::default(),
            bounds,
            ended: false,
            decoder: Decoder::Done,
            initial: Decoder::Done,
            trailers: None,
            failed: None,
        }
    }

    /// A body begins at the front of the buffer.
    pub(crate) fn begin(&mut self, decoder: Decoder) {
        (self.decoder, self.initial) = (decoder, decoder);
        self.trailers = None;
    }

    /// Goes back to where [`Inbound::begin`] and [`Buffer::set_mark`] were called.
    pub(crate) fn rewind(&mut self) -> bool {
        let empty = self.initial.is_done();
        let possible = self.failed.is_none() && (empty || self.buffer.rewind());
        if possible {
            self.begin(self.initial);
        }
        possible
    }

    pub(crate) fn may_rewind(&self) -> bool {
        self.failed.is_none() && (self.initial.is_done() || self.buffer.has_mark())
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.decoder.is_done()
    }

    /// Reads once into the buffer; 0 is the end of the stream.
    pub(crate) fn poll_fill(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, StreamError>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let count = ready!(self.buffer.poll_fill(io, cx))?;
        self.ended = count == 0;
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_chunk(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Chunk<'_>, StreamError>> {
        if let Some(error) = self.failed {
            return Poll::Ready(Err(error));
        }
        let found = match ready!(self.poll_found(io, cx)) {
            Ok(found) => found,
            Err(error) => {
                self.failed = Some(error);
                return Poll::Ready(Err(error));
            }
        };
        Poll::Ready(Ok(match (found, &self.trailers) {
            (Found::Data(length), _) => {
                Chunk::Data(self.buffer.data().get(..length).unwrap_or_default())
            }
            (Found::Trailers, Some(trailers)) => Chunk::Trailers(trailers),
            (Found::Trailers | Found::End, _) => Chunk::End,
        }))
    }

    fn poll_found(
        &mut self,
        io: &mut impl Io,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Found, StreamError>> {
        loop {
            if self.decoder.is_done() {
                let found = if self.trailers.is_some() { Found::Trailers } else { Found::End };
                return Poll::Ready(Ok(found));
            }
            if let Some(found) = self.step()? {
                return Poll::Ready(Ok(found));
            }
            if self.buffer.is_full() {
                return Poll::Ready(Err(StreamError::HeadTooLarge));
            }
            if ready!(self.poll_fill(io, cx))? == 0 {
                match self.decoder {
                    Decoder::UntilClose => self.decoder = Decoder::Done,
                    _ => return Poll::Ready(Err(StreamError::Closed)),
                }
            }
        }
    }

    /// What the buffer holds; `None`: not enough.
    fn step(&mut self) -> Result<Option<Found>, StreamError> {
        let input = self.buffer.data();
        let step = self.decoder.step(input, self.bounds.head_bytes);
        match step.map_err(StreamError::Malformed)? {
            Step::More { skip } => self.buffer.consume(skip),
            Step::End { skip, trailers } => {
                if trailers > 0 {
                    let section = input.get(skip.saturating_sub(trailers)..skip);
                    let mut fields = Box::<Fields>::default();
                    parse_trailers(section.unwrap_or_default(), self.bounds.fields, &mut fields)
                        .map_err(StreamError::Malformed)?;
                    self.trailers = Some(fields);
                }
                self.decoder = Decoder::Done;
                self.buffer.consume(skip);
            }
            Step::Data { skip, length } => {
                self.buffer.consume(skip);
                return Ok(Some(Found::Data(length)));
            }
        }
        Ok(self.decoder.is_done().then_some(match self.trailers {
            Some(_) => Found::Trailers,
            None => Found::End,
        }))
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.decoder.consume(count);
        self.buffer.consume(count);
    }

    /// What is left of a body of known length, none of which is buffered.
    pub(crate) fn raw_bytes(&self) -> Option<u64> {
        match self.decoder {
            Decoder::Length(left) if self.failed.is_none() && self.buffer.is_empty() => Some(left),
            _ => None,
        }
    }

    /// Bytes of the body were taken off the socket: its beginning cannot be given again.
    pub(crate) fn note_taken(&mut self, count: usize) {
        self.decoder.consume(count);
        self.buffer.clear_mark();
    }
}
