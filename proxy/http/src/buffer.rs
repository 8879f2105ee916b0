//! Buffers that are lent while bytes are present, from a pool of the thread.
//!
//! The last one given back is the next one lent, so that it is still in the cache; an idle connection
//! owns none.

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of a pooled buffer.
pub(crate) const BUFFER_BYTES: usize = 32 * 1024;
/// How many buffers of each kind a thread keeps.
const KEPT: usize = 256;

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static TEXTS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn lend_storage() -> Box<[u8]> {
    let pooled = BUFFERS.with_borrow_mut(Vec::pop);
    pooled.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
}

fn return_storage(storage: Box<[u8]>) {
    if storage.len() == BUFFER_BYTES {
        BUFFERS.with_borrow_mut(|kept| {
            if kept.len() < KEPT {
                kept.push(storage);
            }
        });
    }
}

/// An empty text, with room from earlier uses.
pub(crate) fn lend_text() -> Vec<u8> {
    TEXTS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(4096))
}

/// Takes a text back, unless it grew out of proportion.
pub(crate) fn return_text(mut text: Vec<u8>) {
    if text.capacity() == 0 || text.capacity() > 2 * BUFFER_BYTES {
        return;
    }
    text.clear();
    TEXTS.with_borrow_mut(|kept| {
        if kept.len() < KEPT {
            kept.push(text);
        }
    });
}

/// Received bytes that were not consumed yet.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    storage: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    /// Everything from here on is kept for [`Buffer::rewind`].
    mark: Option<usize>,
}

impl Buffer {
    pub(crate) fn data(&self) -> &[u8] {
        self.storage.as_deref().and_then(|s| s.get(self.start..self.end)).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        self.release();
    }

    /// Consumes, and keeps everything that follows as long as it fits.
    pub(crate) fn consume_and_mark(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        self.mark = Some(self.start);
    }

    /// Consumes everything.
    pub(crate) fn discard(&mut self) {
        self.mark = None;
        self.consume(usize::MAX);
    }

    pub(crate) fn clear_mark(&mut self) {
        self.mark = None;
        self.release();
    }

    pub(crate) fn has_mark(&self) -> bool {
        self.mark.is_some()
    }

    /// Back to the mark; `false`: what stood there is gone.
    pub(crate) fn rewind(&mut self) -> bool {
        self.mark.is_some_and(|mark| {
            self.start = mark;
            true
        })
    }

    /// Whether nothing more fits, even after moving what is there.
    pub(crate) fn is_full(&self) -> bool {
        let capacity = self.storage.as_ref().map_or(BUFFER_BYTES, |storage| storage.len());
        self.start == 0 && self.end == capacity
    }

    /// Makes room for heads that are larger than a pooled buffer.
    pub(crate) fn grow(&mut self, bytes: usize) {
        let mut larger = vec![0; bytes.max(BUFFER_BYTES)].into_boxed_slice();
        let data = self.data();
        let length = data.len();
        if let Some(front) = larger.get_mut(..length) {
            front.copy_from_slice(data);
            (self.start, self.end, self.mark) = (0, length, None);
            if let Some(old) = self.storage.replace(larger) {
                return_storage(old);
            }
        }
    }

    fn release(&mut self) {
        if self.start == self.end && self.mark.is_none() {
            (self.start, self.end) = (0, 0);
            if let Some(storage) = self.storage.take() {
                return_storage(storage);
            }
        }
    }

    /// Moves what is there to the front; what the mark kept is lost.
    fn compact(&mut self) {
        self.mark = None;
        if let Some(storage) = &mut self.storage {
            storage.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
    }

    /// Reads once; 0 is the end of the stream. A full buffer is never ready.
    pub(crate) fn poll_fill<I: AsyncRead + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        if self.storage.as_ref().is_some_and(|storage| self.end == storage.len()) {
            self.compact();
        }
        let mut storage = self.storage.take().unwrap_or_else(lend_storage);
        let mut count = 0;
        let result = match storage.get_mut(self.end..) {
            None | Some([]) => Poll::Pending,
            Some(room) => {
                let mut read = ReadBuf::new(room);
                let result = Pin::new(io).poll_read(cx, &mut read);
                count = read.filled().len();
                result
            }
        };
        self.end = self.end.saturating_add(count);
        self.storage = Some(storage);
        self.release();
        ready!(result)?;
        Poll::Ready(Ok(count))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(storage) = self.storage.take() {
            return_storage(storage);
        }
    }
}
