//! How connections learn that the process wants to end.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::{Notify, futures::Notified};

/// What connections do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serve.
    Serving,
    /// Serve, and end each connection after its next answer (`Connection: close`).
    Closing,
    /// Close idle connections now; what is in flight ends its request.
    Stopping,
}

/// A phase that only moves forward. One per thread, so that connections do not share a cache line.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    phase: AtomicU8,
    changed: Notify,
}

impl Drain {
    /// In [`Phase::Serving`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves on to `phase`; earlier phases are ignored.
    pub fn advance(&self, phase: Phase) {
        let number = match phase {
            Phase::Serving => 0,
            Phase::Closing => 1,
            Phase::Stopping => 2,
        };
        self.0.phase.fetch_max(number, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Closing,
            _ => Phase::Stopping,
        }
    }

    /// Ready at the next change of phase after this call.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.0.changed.notified()
    }
}
