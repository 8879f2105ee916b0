//! Moves one body from its source to its sink.

use std::task::{Context, Poll, ready};

use crate::{
    peer::{Chunk, Sink, Source, StreamError},
    splice::{Pipe, WORTHWHILE},
};

/// Which side ended a body early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PumpError {
    Source(StreamError),
    Sink(StreamError),
}

/// One direction of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Pump {
    /// Most bytes; the largest number stands for no limit, as an option would make every connection larger.
    limit: u64,
    /// Bytes that were moved.
    pub(crate) bytes: u64,
    state: State,
    pipe: Option<Box<Pipe>>,
    /// There was no pipe to be had: this body is copied.
    copies: bool,
    /// The last call waited for the source.
    pub(crate) starved: bool,
    /// Something moved since this was last cleared.
    pub(crate) moved: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Moving,
    /// The source has ended; what is queued is written.
    Flushing,
    Done,
}

impl Pump {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit: limit.unwrap_or(u64::MAX), ..Self::default() }
    }

    /// The body has ended and is written.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Nothing is moved any more.
    pub(crate) fn stop(&mut self) {
        self.state = State::Done;
    }

    /// Moves what is there. Ready when the body has ended and is written.
    pub(crate) fn poll(
        &mut self,
        source: &mut impl Source,
        sink: &mut impl Sink,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PumpError>> {
        while self.state == State::Moving {
            if self.may_splice(source, sink) {
                ready!(self.poll_splice(source, sink, cx))?;
            }
            let chunk = match source.poll_chunk(cx) {
                Poll::Ready(chunk) => chunk.map_err(PumpError::Source)?,
                Poll::Pending => {
                    self.starved = true;
                    ready!(sink.poll_flush(cx)).map_err(PumpError::Sink)?;
                    return Poll::Pending;
                }
            };
            self.starved = false;
            match chunk {
                Chunk::Data(data) => {
                    self.check_limit(data.len())?;
                    let count = ready!(sink.poll_data(cx, data)).map_err(PumpError::Sink)?;
                    let more = u64::try_from(count).unwrap_or(u64::MAX);
                    self.bytes = self.bytes.saturating_add(more);
                    self.moved = true;
                    source.consume(count);
                }
                Chunk::Trailers(trailers) => {
                    sink.finish(Some(trailers));
                    self.state = State::Flushing;
                }
                Chunk::End => {
                    sink.finish(None);
                    self.state = State::Flushing;
                }
            }
        }
        ready!(sink.poll_flush(cx)).map_err(PumpError::Sink)?;
        (self.state, self.moved) = (State::Done, true);
        Poll::Ready(Ok(()))
    }

    fn may_splice(&mut self, source: &impl Source, sink: &impl Sink) -> bool {
        if self.pipe.is_some() {
            return true;
        }
        let (Some((_, left)), Some((_, room))) = (source.raw(), sink.raw()) else { return false };
        if self.copies || left < WORTHWHILE || left != room {
            return false;
        }
        self.pipe = Pipe::lend();
        self.copies = self.pipe.is_none();
        !self.copies
    }

    /// Moves the rest of the body from socket to socket. Ready when all of it is gone.
    fn poll_splice(
        &mut self,
        source: &mut impl Source,
        sink: &mut impl Sink,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PumpError>> {
        let Some(mut pipe) = self.pipe.take() else { return Poll::Ready(Ok(())) };
        let result = self.poll_through(&mut pipe, source, sink, cx);
        if result.is_pending() {
            self.pipe = Some(pipe);
        } else {
            pipe.give_back();
        }
        result
    }

    fn poll_through(
        &mut self,
        pipe: &mut Pipe,
        source: &mut impl Source,
        sink: &mut impl Sink,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PumpError>> {
        let failed = |error: std::io::Error| StreamError::from(error);
        loop {
            while !pipe.is_empty() {
                let Some((into, _)) = sink.raw() else {
                    return Poll::Ready(Err(PumpError::Sink(StreamError::Closed)));
                };
                let count =
                    ready!(pipe.poll_drain(into, cx)).map_err(failed).map_err(PumpError::Sink)?;
                sink.note_given(count);
                self.bytes = self.bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                self.moved = true;
            }
            let Some((from, left)) = source.raw() else { return Poll::Ready(Ok(())) };
            self.starved = true;
            let count = ready!(pipe.poll_fill(from, left, cx))
                .map_err(failed)
                .map_err(PumpError::Source)?;
            self.starved = false;
            if count == 0 {
                return Poll::Ready(Err(PumpError::Source(StreamError::Closed)));
            }
            self.check_limit(count)?;
            source.note_taken(count);
            self.moved = true;
        }
    }

    fn check_limit(&self, length: usize) -> Result<(), PumpError> {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if self.bytes.saturating_add(length) > self.limit {
            return Err(PumpError::Source(StreamError::TooLarge));
        }
        Ok(())
    }
}
