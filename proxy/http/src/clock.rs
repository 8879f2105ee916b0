//! All deadlines of a connection on one timer.
//!
//! Moving a deadline back only writes a number; the timer is set anew when it fires early, or when a deadline
//! comes nearer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Which deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Nothing moved for too long.
    Idle,
    /// The whole request took too long.
    Request,
    /// One try took too long.
    Try,
}

#[derive(Debug)]
pub(crate) struct Clock {
    sleep: Pin<Box<Sleep>>,
    armed: Instant,
    /// When something moved last.
    since: Instant,
    idle: Instant,
    patience: Duration,
    request: Option<Instant>,
    attempt: Option<Instant>,
}

impl Clock {
    pub(crate) fn new(patience: Duration) -> Self {
        let since = Instant::now();
        let idle = far(since, patience);
        Self {
            sleep: Box::pin(sleep_until(idle)),
            armed: idle,
            since,
            idle,
            patience,
            request: None,
            attempt: None,
        }
    }

    /// Only the idle deadline is left: this long from now.
    pub(crate) fn restart(&mut self, now: Instant, patience: Duration) {
        (self.request, self.attempt) = (None, None);
        self.patience = patience;
        self.since = now;
        self.idle = far(now, patience);
    }

    /// Something moved.
    pub(crate) fn touch(&mut self) {
        self.since = Instant::now();
        self.idle = far(self.since, self.patience);
    }

    /// From the last movement on, this long may nothing move.
    pub(crate) fn allow(&mut self, patience: Duration) {
        if patience != self.patience {
            self.patience = patience;
            self.idle = far(self.since, patience);
        }
    }

    pub(crate) fn limit_request(&mut self, now: Instant, limit: Option<Duration>) {
        self.request = limit.map(|limit| far(now, limit));
    }

    pub(crate) fn limit_try(&mut self, now: Instant, limit: Option<Duration>) {
        self.attempt = limit.map(|limit| far(now, limit));
    }

    /// Ready when a deadline has passed.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let (next, which) = self.next();
            if next < self.armed {
                self.arm(next);
            }
            ready!(self.sleep.as_mut().poll(cx));
            if self.armed >= next {
                return Poll::Ready(which);
            }
            self.arm(next);
        }
    }

    fn next(&self) -> (Instant, Expired) {
        let request = self.request.map(|at| (at, Expired::Request));
        let attempt = self.attempt.map(|at| (at, Expired::Try));
        let idle = (self.idle, Expired::Idle);
        [request, attempt]
            .into_iter()
            .flatten()
            .fold(idle, |nearest, other| if other.0 < nearest.0 { other } else { nearest })
    }

    fn arm(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
        self.armed = at;
    }
}

/// A year stands for what no clock can tell.
fn far(now: Instant, patience: Duration) -> Instant {
    let year = Duration::from_hours(365 * 24);
    now.checked_add(patience.min(year)).unwrap_or(now)
}
