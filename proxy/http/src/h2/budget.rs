//! What a client may cost without being served: control frames and streams that it takes back.
//!
//! The frames that carry requests and bodies are bounded by flow control and the limit of streams. All others
//! cost us work for nothing, so they are counted where they arrive, before anything acts on them.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::io::Io;

/// Control frames that a client may send at once, and more for what it asks and gets.
const CONTROL: u32 = 1000;
/// Control frames that every second allows.
const CONTROL_PER_SECOND: u32 = 100;
/// Streams that a client may take back at once; each that it lets complete allows another.
const RESETS: u32 = 200;
/// Streams that every second allows to take back.
const RESETS_PER_SECOND: u32 = 20;
/// Bytes written that allow one control frame: receivers confirm what they got.
const WRITTEN: usize = 1024;

/// What the connection and its bytes tell each other.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    exhausted: AtomicBool,
    completed: AtomicU32,
}

impl Ledger {
    /// The client has cost too much.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// A stream was served to its end.
    pub(super) fn completed(&self) {
        self.completed.fetch_add(1, Ordering::Relaxed);
    }
}

/// The bytes of a connection, with what was read of it before, counted by frames.
#[derive(Debug)]
pub(super) struct Metered<I> {
    io: I,
    early: Vec<u8>,
    scan: Scan,
    meter: Meter,
    ledger: Arc<Ledger>,
}

impl<I> Metered<I> {
    pub(super) fn new(io: I, early: Vec<u8>, ledger: Arc<Ledger>) -> Self {
        Self { io, early, scan: Scan::default(), meter: Meter::new(Instant::now()), ledger }
    }

    fn charge(&mut self, read: &[u8]) {
        let Self { scan, meter, ledger, .. } = self;
        scan.feed(read, |frame| meter.charge(frame));
        if meter.is_low() {
            meter.earn_resets(ledger.completed.swap(0, Ordering::Relaxed));
            meter.refill(Instant::now());
        }
        if meter.is_empty() {
            ledger.exhausted.store(true, Ordering::Relaxed);
        }
    }
}

impl<I: Io> AsyncRead for Metered<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.ledger.is_exhausted() {
            // Whoever reads stops, looks at the ledger, and ends the connection with a reason.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if this.early.is_empty() {
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        } else {
            let count = this.early.len().min(buf.remaining());
            buf.put_slice(this.early.get(..count).unwrap_or_default());
            this.early.drain(..count);
            if this.early.is_empty() {
                this.early = Vec::new();
            }
        }
        this.charge(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<I: Io> AsyncWrite for Metered<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.io).poll_write(cx, buf))?;
        this.meter.earn_control(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, bufs))?;
        this.meter.earn_control(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// What frames of a kind cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cost {
    /// A request: allows two control frames.
    Request,
    /// Bytes of a body: allow one control frame.
    Body,
    /// A stream is taken back.
    Reset,
    /// Everything else, empty DATA included.
    Control,
}

fn cost(kind: u8, length: usize) -> Cost {
    match (kind, length) {
        (0, 1..) => Cost::Body,
        (1, _) => Cost::Request,
        (3, _) => Cost::Reset,
        _ => Cost::Control,
    }
}

#[derive(Debug)]
struct Meter {
    control: u32,
    resets: u32,
    written: usize,
    refilled: Instant,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self { control: CONTROL, resets: RESETS, written: 0, refilled: now }
    }

    fn charge(&mut self, cost: Cost) {
        match cost {
            Cost::Request => self.control = self.control.saturating_add(2).min(CONTROL),
            Cost::Body => self.control = self.control.saturating_add(1).min(CONTROL),
            Cost::Reset => self.resets = self.resets.saturating_sub(1),
            Cost::Control => self.control = self.control.saturating_sub(1),
        }
    }

    fn earn_resets(&mut self, completed: u32) {
        self.resets = self.resets.saturating_add(completed).min(RESETS);
    }

    fn earn_control(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
        let earned = self.written.checked_div(WRITTEN).unwrap_or(0);
        self.written = self.written.checked_rem(WRITTEN).unwrap_or(0);
        let earned = u32::try_from(earned).unwrap_or(CONTROL);
        self.control = self.control.saturating_add(earned).min(CONTROL);
    }

    /// Below half: the clock is looked at only then.
    fn is_low(&self) -> bool {
        self.control.saturating_mul(2) < CONTROL || self.resets.saturating_mul(2) < RESETS
    }

    fn is_empty(&self) -> bool {
        self.control == 0 || self.resets == 0
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        if passed < Duration::from_millis(100) {
            return;
        }
        self.refilled = now;
        let tenths = u32::try_from(passed.as_millis()).unwrap_or(u32::MAX).checked_div(100);
        let share = |per_second: u32| {
            tenths.unwrap_or(0).saturating_mul(per_second).checked_div(10).unwrap_or(0)
        };
        self.control = self.control.saturating_add(share(CONTROL_PER_SECOND)).min(CONTROL);
        self.resets = self.resets.saturating_add(share(RESETS_PER_SECOND)).min(RESETS);
    }
}

/// Finds the frames in what a client sends: behind the preface of 24 bytes, each begins with 9 bytes.
#[derive(Debug)]
struct Scan {
    skip: usize,
    head: [u8; 9],
    known: usize,
}

impl Default for Scan {
    fn default() -> Self {
        Self { skip: 24, head: [0; 9], known: 0 }
    }
}

impl Scan {
    fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Cost)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip = self.skip.saturating_sub(skipped);
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((first, rest)) = bytes.split_first() else { return };
            if let Some(slot) = self.head.get_mut(self.known) {
                *slot = *first;
            }
            self.known = self.known.saturating_add(1);
            bytes = rest;
            if self.known == self.head.len() {
                let [high, middle, low, kind, ..] = self.head;
                let length = u32::from_be_bytes([0, high, middle, low]);
                self.skip = usize::try_from(length).unwrap_or(usize::MAX);
                self.known = 0;
                found(cost(kind, self.skip));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Cost::{Body, Control, Request, Reset},
        *,
    };

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        bytes.resize(9 + usize::from(length), 0xff);
        bytes
    }

    #[test]
    fn finds_frames_however_they_are_cut() {
        let mut bytes = vec![b'P'; 24];
        for (kind, length) in [(4, 0), (1, 30), (0, 5), (0, 0), (3, 4), (6, 8)] {
            bytes.extend(frame(kind, length));
        }
        for size in [1, 2, 7, 1000] {
            let (mut scan, mut found) = (Scan::default(), Vec::new());
            bytes.chunks(size).for_each(|piece| scan.feed(piece, |cost| found.push(cost)));
            assert_eq!(found, [Control, Request, Body, Control, Reset, Control], "{size}");
        }
    }

    #[test]
    fn time_and_completed_requests_pay() {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        for _ in 0..RESETS {
            meter.charge(Reset);
        }
        assert!(meter.is_empty());
        meter.refill(now + Duration::from_millis(99));
        assert!(meter.is_empty());
        meter.refill(now + Duration::from_secs(1));
        assert_eq!(meter.resets, RESETS_PER_SECOND);
        meter.earn_resets(5);
        assert_eq!(meter.resets, RESETS_PER_SECOND + 5);
        for _ in 0..CONTROL {
            meter.charge(Control);
        }
        assert!(meter.is_empty());
        meter.earn_control(3 * WRITTEN + 1);
        assert_eq!(meter.control, 3);
    }
}
