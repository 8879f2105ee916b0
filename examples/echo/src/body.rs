//! A response body of a given size, optionally with a pause in the middle.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// The most that one frame carries.
const FRAME: usize = 64 * 1024;

/// Bytes that are sent in two halves, the second after a pause.
pub(crate) struct Paced {
    first: Bytes,
    second: Bytes,
    pause: Option<Pin<Box<Sleep>>>,
    announce: bool,
}

impl Paced {
    /// `announce` decides between a `Content-Length` and chunks.
    pub(crate) fn new(content: Bytes, pause: Duration, announce: bool) -> Self {
        let mut first = content;
        if pause.is_zero() {
            return Self { first, second: Bytes::new(), pause: None, announce };
        }
        let second = first.split_off(first.len() / 2);
        Self { first, second, pause: Some(Box::pin(tokio::time::sleep(pause))), announce }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.first.is_empty() {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            self.first = std::mem::take(&mut self.second);
        }
        if self.first.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.first.len().min(FRAME);
        Poll::Ready(Some(Ok(Frame::data(self.first.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.announce {
            SizeHint::with_exact((self.first.len() + self.second.len()) as u64)
        } else {
            SizeHint::default()
        }
    }
}
