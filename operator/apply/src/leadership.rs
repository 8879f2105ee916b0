//! Whether this replica may write.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// The time in which one replica is the only one that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// When it began.
    pub since: Instant,
    /// Nothing is sent after this moment, unless the term is prolonged.
    pub until: Instant,
}

/// Asked before each write: a replica that does not lead sends nothing. Clones share it.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Option<Term>>);

impl Leadership {
    /// Of a replica that has no other beside it.
    #[must_use]
    pub fn always() -> Self {
        let since = Instant::now();
        let until = since + Duration::from_hours(24 * 365 * 100);
        Self(watch::channel(Some(Term { since, until })).1)
    }

    /// As told by whoever holds the elections. A term that is merely prolonged is no change.
    #[must_use]
    pub fn told_by(terms: watch::Receiver<Option<Term>>) -> Self {
        Self(terms)
    }

    /// The present term, if this replica leads.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        let term = *self.0.borrow();
        term.filter(|term| Instant::now() < term.until)
    }

    /// Waits until a term begins or ends; `false`: neither will ever happen.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}
