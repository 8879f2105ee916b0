//! What happened: counters that each thread writes alone, and the access log.

use std::{
    cell::{Cell, RefCell},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gatefleet_http::{Observer, RequestSummary};

use crate::compile::AccessLogFormat;

pub mod access_log;
mod shard;
mod statistics;

use access_log::{Lines, LogQueue};
pub use shard::{DURATION_BUCKETS, Handshake};
use shard::{RouteIndex, Shard};
pub use statistics::{Histogram, RouteStatistics, Statistics};

/// All shards, and where log lines go.
#[derive(Debug)]
pub struct Observation {
    shards: Mutex<Vec<Arc<Shard>>>,
    queue: Arc<LogQueue>,
}

impl Observation {
    /// Writes access log lines to `sink` on a thread of its own.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(sink: Box<dyn io::Write + Send>) -> io::Result<Self> {
        Ok(Self { shards: Mutex::default(), queue: Arc::new(LogQueue::start(sink)?) })
    }

    /// What one more thread observes with.
    pub(crate) fn thread(&self) -> ThreadObserver {
        let shard = Arc::new(Shard::default());
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&shard));
        ThreadObserver {
            shard,
            routes: RefCell::default(),
            format: Cell::default(),
            lines: RefCell::new(Lines::new(Arc::clone(&self.queue))),
        }
    }

    /// Waits until log lines that threads handed over are written, at most for `limit`.
    pub(crate) fn settle(&self, limit: Duration) {
        self.queue.settle(limit);
    }

    /// The sum over all threads.
    pub fn statistics(&self) -> Statistics {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = Statistics::default();
        for shard in shards.iter() {
            sum.add(shard);
        }
        sum.log_lines_dropped = self.queue.dropped();
        sum
    }
}

/// What one thread observes with.
#[derive(Debug)]
pub(crate) struct ThreadObserver {
    shard: Arc<Shard>,
    routes: RefCell<RouteIndex>,
    format: Cell<Option<AccessLogFormat>>,
    lines: RefCell<Lines>,
}

impl ThreadObserver {
    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// `None`: no access log.
    pub(crate) fn set_access_log(&self, format: Option<AccessLogFormat>) {
        self.format.set(format);
    }

    /// Hands over log lines that are kept.
    pub(crate) fn flush(&self) {
        self.lines.borrow_mut().flush();
    }
}

impl Observer for ThreadObserver {
    fn request_ended(&self, summary: &RequestSummary<'_>) {
        self.shard.request_ended(&mut self.routes.borrow_mut(), summary);
        if let Some(format) = self.format.get() {
            self.lines.borrow_mut().push(format, summary);
        }
    }
}
