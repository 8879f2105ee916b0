//! Sums over all threads, as plain data.

use std::{collections::BTreeMap, sync::PoisonError};

use gatefleet_http::Failure;

use super::shard::{Count, DURATION_BUCKETS, Handshake, RouteCounts, Shard, count_failures};

/// What happened since the start.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    /// Connections accepted from clients.
    pub accepted: u64,
    /// Of these, closed again.
    pub closed: u64,
    /// Failed accepts.
    pub accept_failed: u64,
    /// Pauses of accepting because the limit of connections was reached.
    pub limited: u64,
    /// TLS handshakes with clients, in the order of [`Handshake::ALL`].
    pub handshakes: [u64; Handshake::ALL.len()],
    /// Requests that something went wrong with.
    pub failures: Vec<(Failure, u64)>,
    /// By rule and backend.
    pub routes: BTreeMap<(String, String), RouteStatistics>,
    /// Access log lines that were dropped because the writer was behind.
    pub log_lines_dropped: u64,
}

/// Requests of one pair of rule and backend.
#[derive(Debug, Clone, Default)]
pub struct RouteStatistics {
    /// Index 0: no status was sent; else the first digit of the status.
    pub by_class: [u64; 6],
    /// How long requests took.
    pub durations: Histogram,
    /// Bytes of request bodies.
    pub body_in: u64,
    /// Bytes of response bodies.
    pub body_out: u64,
    /// Tries after the first.
    pub retries: u64,
}

/// Durations in buckets.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// Not cumulative; one more than [`DURATION_BUCKETS`] for what is above all of them.
    pub buckets: [u64; DURATION_BUCKETS.len() + 1],
    /// Sum in microseconds.
    pub sum_us: u64,
}

impl Statistics {
    /// Open client connections.
    pub fn open_connections(&self) -> u64 {
        self.accepted.saturating_sub(self.closed)
    }

    pub(super) fn add(&mut self, shard: &Shard) {
        add(&mut self.accepted, &shard.accepted);
        add(&mut self.closed, &shard.closed);
        add(&mut self.accept_failed, &shard.accept_failed);
        add(&mut self.limited, &shard.limited);
        add_all(&mut self.handshakes, &shard.handshakes);
        let failures = shard.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (failure, count) in failures {
            count_failures(&mut self.failures, failure, count);
        }
        let routes = shard.routes.lock().unwrap_or_else(PoisonError::into_inner);
        for route in routes.iter() {
            let key = (route.rule.to_string(), route.backend.to_string());
            self.routes.entry(key).or_default().add(route);
        }
    }
}

impl RouteStatistics {
    fn add(&mut self, counts: &RouteCounts) {
        add_all(&mut self.by_class, &counts.by_class);
        add_all(&mut self.durations.buckets, &counts.by_duration);
        add(&mut self.durations.sum_us, &counts.duration_us);
        add(&mut self.body_in, &counts.body_in);
        add(&mut self.body_out, &counts.body_out);
        add(&mut self.retries, &counts.retries);
    }
}

fn add(sum: &mut u64, count: &Count) {
    *sum = sum.wrapping_add(count.get());
}

fn add_all<const N: usize>(sums: &mut [u64; N], counts: &[Count; N]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        add(sum, count);
    }
}
