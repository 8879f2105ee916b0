//! Counters of one thread. Only that thread writes them, others read them now and then.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gatefleet_http::{Failure, RequestSummary};

/// Upper bounds of the buckets of request durations, in microseconds.
pub const DURATION_BUCKETS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Pairs of rule and backend that a thread counts apart; more are counted together, without names.
const ROUTES_MOST: usize = 20_000;

/// How a TLS handshake with a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handshake {
    /// HTTP can begin.
    Done,
    /// Broken, or the client was not accepted, or did not accept us.
    Failed,
    /// Nobody declared the server name.
    UnknownName,
    /// It took too long.
    TimedOut,
}

impl Handshake {
    /// Every outcome, in the order of the counters.
    pub const ALL: [Self; 4] = [Self::Done, Self::Failed, Self::UnknownName, Self::TimedOut];
}

/// A counter that one thread writes.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    fn add(&self, n: u64) {
        // One writer: no locked instruction is needed.
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(sum, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one thread.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(super) accepted: Count,
    pub(super) closed: Count,
    pub(super) accept_failed: Count,
    pub(super) limited: Count,
    pub(super) handshakes: [Count; Handshake::ALL.len()],
    pub(super) failures: Mutex<Vec<(Failure, u64)>>,
    pub(super) routes: Mutex<Vec<Arc<RouteCounts>>>,
}

/// Counters of one pair of rule and backend.
#[derive(Debug)]
pub(super) struct RouteCounts {
    pub(super) rule: Box<str>,
    pub(super) backend: Box<str>,
    /// Index 0: no status was sent; else the first digit of the status.
    pub(super) by_class: [Count; 6],
    /// One more than bounds: the last one is above all of them.
    pub(super) by_duration: [Count; DURATION_BUCKETS.len() + 1],
    pub(super) duration_us: Count,
    pub(super) body_in: Count,
    pub(super) body_out: Count,
    pub(super) retries: Count,
}

/// Finds counters by the hash of both names; the owner of one thread's shard keeps it.
#[derive(Debug, Default)]
pub(super) struct RouteIndex(HashMap<u64, Vec<Arc<RouteCounts>>>);

impl RouteIndex {
    fn find(&self, key: u64, rule: &str, backend: &str) -> Option<&Arc<RouteCounts>> {
        self.0.get(&key)?.iter().find(|route| *route.rule == *rule && *route.backend == *backend)
    }
}

impl Shard {
    pub(crate) fn accepted(&self) {
        self.accepted.add(1);
    }

    pub(crate) fn closed(&self) {
        self.closed.add(1);
    }

    pub(crate) fn accept_failed(&self) {
        self.accept_failed.add(1);
    }

    pub(crate) fn limited(&self) {
        self.limited.add(1);
    }

    pub(crate) fn handshake(&self, outcome: Handshake) {
        let counted = Handshake::ALL.iter().position(|one| *one == outcome);
        if let Some(count) = counted.and_then(|index| self.handshakes.get(index)) {
            count.add(1);
        }
    }

    pub(super) fn request_ended(&self, index: &mut RouteIndex, summary: &RequestSummary<'_>) {
        if let Some(failure) = summary.failure {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            count_failures(&mut failures, failure, 1);
        }
        let key = key(summary.rule, summary.backend);
        match index.find(key, summary.rule, summary.backend) {
            Some(route) => route.count(summary),
            None => self.first(index, key, summary).count(summary),
        }
    }

    /// Counters of a pair that this thread did not see before.
    fn first(
        &self,
        index: &mut RouteIndex,
        key: u64,
        summary: &RequestSummary<'_>,
    ) -> Arc<RouteCounts> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let (rule, backend) =
            if routes.len() < ROUTES_MOST { (summary.rule, summary.backend) } else { ("", "") };
        let key = if rule == summary.rule { key } else { self::key(rule, backend) };
        if let Some(known) = index.find(key, rule, backend) {
            return Arc::clone(known);
        }
        let route = Arc::new(RouteCounts::new(rule, backend));
        routes.push(Arc::clone(&route));
        index.0.entry(key).or_default().push(Arc::clone(&route));
        route
    }
}

fn key(rule: &str, backend: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (rule, backend).hash(&mut hasher);
    hasher.finish()
}

impl RouteCounts {
    fn new(rule: &str, backend: &str) -> Self {
        Self {
            rule: rule.into(),
            backend: backend.into(),
            by_class: Default::default(),
            by_duration: Default::default(),
            duration_us: Count::default(),
            body_in: Count::default(),
            body_out: Count::default(),
            retries: Count::default(),
        }
    }

    fn count(&self, summary: &RequestSummary<'_>) {
        let class = usize::from(summary.status.checked_div(100).unwrap_or(0));
        if let Some(count) = self.by_class.get(class).or(self.by_class.first()) {
            count.add(1);
        }
        let micros = whole_micros(summary.duration);
        let bucket = DURATION_BUCKETS.iter().position(|bound| micros <= *bound);
        let bucket = bucket.unwrap_or(DURATION_BUCKETS.len());
        if let Some(count) = self.by_duration.get(bucket) {
            count.add(1);
        }
        self.duration_us.add(micros);
        self.body_in.add(summary.body_in);
        self.body_out.add(summary.body_out);
        if summary.attempts > 1 {
            self.retries.add(u64::from(summary.attempts.saturating_sub(1)));
        }
    }
}

/// Adds to one of a few counters.
pub(super) fn count_failures(counts: &mut Vec<(Failure, u64)>, failure: Failure, by: u64) {
    match counts.iter_mut().find(|(known, _)| *known == failure) {
        Some((_, count)) => *count = count.wrapping_add(by),
        None => counts.push((failure, by)),
    }
}

pub(super) fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
