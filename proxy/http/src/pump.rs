//! Moves one body from its source to its sink.

use std::task::{Context, Poll, ready};

use crate::peer::{Chunk, Sink, Source, StreamError};

/// Which side ended a body early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PumpError {
    Source(StreamError),
    Sink(StreamError),
}

/// One direction of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Pump {
    limit: Option<u64>,
    /// Bytes that were moved.
    pub(crate) bytes: u64,
    state: State,
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
        Self { limit, ..Self::default() }
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

    fn check_limit(&self, length: usize) -> Result<(), PumpError> {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        match self.limit {
            Some(limit) if self.bytes.saturating_add(length) > limit => {
                Err(PumpError::Source(StreamError::TooLarge))
            }
            _ => Ok(()),
        }
    }
}
