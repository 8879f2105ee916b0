//! What a container wrote, the last of it, and whoever follows.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::watch;

/// How much of a container's output is kept: older lines are dropped.
const KEPT: usize = 1024 * 1024;

/// The output of one run of a container. Cloning it gives another handle to the same.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    /// Counts changes, for followers.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
    /// The number of the first line that is still kept.
    first: u64,
    ended: bool,
}

#[derive(Clone, Debug)]
struct Line {
    at: Timestamp,
    text: Bytes,
}

/// Which part of a log, as in the query of `pods/log`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Go on until the container ends.
    pub(crate) follow: bool,
    /// Only so many lines from the end.
    pub(crate) tail: Option<u64>,
    /// Only lines from here on.
    pub(crate) since: Option<Timestamp>,
    /// Put the time before each line.
    pub(crate) timestamps: bool,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::new(Shared { ring: Mutex::default(), changed: watch::Sender::new(0) }) }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A panic while it was held cannot have left it half-changed in a way that matters to a log.
        self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one line, without its end.
    pub(crate) fn push(&self, text: Bytes) {
        let mut ring = self.ring();
        ring.bytes += text.len();
        ring.lines.push_back(Line { at: Timestamp::now(), text });
        while ring.bytes > KEPT {
            let Some(dropped) = ring.lines.pop_front() else { break };
            ring.bytes -= dropped.text.len();
            ring.first += 1;
        }
        drop(ring);
        self.shared.changed.send_modify(|changes| *changes += 1);
    }

    /// Nothing comes any more: followers end.
    pub(crate) fn end(&self) {
        self.ring().ended = true;
        self.shared.changed.send_modify(|changes| *changes += 1);
    }

    /// Copies an output of the process, line by line, until it is closed.
    pub(crate) async fn copy<R: AsyncRead + Unpin>(self, output: R) {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line that never ends must not fill the memory: it is cut like any other at the ring's size.
            match reader.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    if line.last() == Some(&b'\n') {
                        line.pop();
                    }
                    line.truncate(KEPT);
                    self.push(Bytes::copy_from_slice(&line));
                }
            }
        }
    }

    /// The last lines, joined: what explains a crash.
    pub(crate) fn last(&self, lines: usize) -> String {
        let ring = self.ring();
        let skipped = ring.lines.len().saturating_sub(lines);
        let texts: Vec<_> = ring
            .lines
            .iter()
            .skip(skipped)
            .map(|line| String::from_utf8_lossy(&line.text))
            .collect();
        texts.join("\n")
    }

    /// The selected lines as chunks of text.
    pub(crate) fn read(&self, selection: Selection) -> impl Stream<Item = Bytes> + Send + use<> {
        let log = self.clone();
        let changes = self.shared.changed.subscribe();
        let start = log.start(&selection);
        futures::stream::unfold((log, changes, start), move |(log, mut changes, mut next)| {
            let selection = selection.clone();
            async move {
                loop {
                    changes.mark_unchanged();
                    let (chunk, ended) = log.chunk(&mut next, &selection);
                    if !chunk.is_empty() {
                        return Some((chunk, (log, changes, next)));
                    }
                    if ended || !selection.follow || changes.changed().await.is_err() {
                        return None;
                    }
                }
            }
        })
    }

    fn start(&self, selection: &Selection) -> u64 {
        let ring = self.ring();
        let tail = selection.tail.map_or(0, |tail| (ring.lines.len() as u64).saturating_sub(tail));
        ring.first + tail
    }

    /// Everything from line `next` on, and whether nothing follows.
    fn chunk(&self, next: &mut u64, selection: &Selection) -> (Bytes, bool) {
        let ring = self.ring();
        let skipped = usize::try_from(next.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        let mut chunk = Vec::new();
        for line in ring.lines.iter().skip(skipped) {
            if selection.since.is_some_and(|since| line.at < since) {
                continue;
            }
            if selection.timestamps {
                chunk.extend_from_slice(format!("{} ", line.at).as_bytes());
            }
            chunk.extend_from_slice(&line.text);
            chunk.push(b'\n');
        }
        *next = ring.first + ring.lines.len() as u64;
        (Bytes::from(chunk), ring.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;

    async fn text(stream: impl Stream<Item = Bytes>) -> String {
        let chunks: Vec<Bytes> = stream.collect().await;
        String::from_utf8(chunks.concat()).unwrap()
    }

    #[tokio::test]
    async fn selects_the_tail() {
        let log = Log::new();
        log.clone().copy(&b"one\ntwo\nthree"[..]).await;
        assert_eq!(text(log.read(Selection::default())).await, "one\ntwo\nthree\n");
        assert_eq!(
            text(log.read(Selection { tail: Some(2), ..Selection::default() })).await,
            "two\nthree\n"
        );
        assert_eq!(log.last(1), "three");
    }

    #[tokio::test]
    async fn followers_get_what_comes_and_end_with_it() {
        let log = Log::new();
        log.push(Bytes::from_static(b"before"));
        let follower =
            tokio::spawn(text(log.read(Selection { follow: true, ..Selection::default() })));
        tokio::task::yield_now().await;
        log.push(Bytes::from_static(b"after"));
        log.end();
        assert_eq!(follower.await.unwrap(), "before\nafter\n");
    }

    #[tokio::test]
    async fn old_lines_give_way() {
        let log = Log::new();
        for _ in 0..5 {
            log.push(Bytes::from(vec![b'x'; KEPT / 2]));
        }
        assert_eq!(text(log.read(Selection::default())).await.len(), KEPT + 2);
    }
}
