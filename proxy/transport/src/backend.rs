//! Backends as all threads share them: endpoints, TLS, limits, counters.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};

use gatefleet_http::{Avoid, Failure, Report};

use crate::{tls::ClientTls, view::EndpointView};

/// Names the pooled connections towards one endpoint of one backend, in every thread. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PoolId(u64);

impl PoolId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Milliseconds since the process began to ask.
pub(crate) fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// One endpoint of a backend.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// In order of preference, never empty: one per address family.
    pub(crate) addresses: Box<[SocketAddr]>,
    pub(crate) pool: PoolId,
    pub(crate) health: Arc<Health>,
    /// Requests that it is busy with, over all threads; counted only where they decide.
    in_flight: AtomicUsize,
}

impl Endpoint {
    /// The address it is known by.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }
}

/// How the endpoint of a request is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Balance {
    /// In turn.
    #[default]
    RoundRobin,
    /// Of two, the one that is busy with fewer requests.
    LeastRequest,
}

/// Counts a request that an endpoint is busy with for as long as it lives.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Endpoint>);

impl Busy {
    pub(crate) fn new(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(endpoint))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What connecting and its answers taught us about an endpoint, on every thread.
#[derive(Debug, Default)]
pub(crate) struct Health {
    connects: Patience,
    answers: Patience,
}

/// How often something failed in a row, and until when that is held against the endpoint.
#[derive(Debug, Default)]
struct Patience {
    avoid_until: AtomicU64,
    failures: AtomicU32,
}

/// So many answers in a row must fail; one connect is enough.
const ANSWERS_IN_A_ROW: u32 = 5;

/// How long an endpoint is avoided at first; doubles with every further failure up to [`AVOID_MOST`].
const AVOID_FIRST: Duration = Duration::from_millis(500);
const AVOID_MOST: Duration = Duration::from_secs(8);

impl Patience {
    /// It failed: after `enough` times in a row other endpoints are preferred for a while.
    fn failed(&self, enough: u32) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let Some(repeated) = before.saturating_add(1).checked_sub(enough) else { return };
        let pause = AVOID_FIRST.saturating_mul(1_u32.wrapping_shl(repeated.min(4))).min(AVOID_MOST);
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.avoid_until.store(now_ms().saturating_add(pause), Ordering::Relaxed);
    }

    fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.avoid_until.store(0, Ordering::Relaxed);
        }
    }

    fn is_over(&self) -> bool {
        let until = self.avoid_until.load(Ordering::Relaxed);
        until > 0 && until > now_ms()
    }
}

impl Health {
    /// The endpoint answered, or did not: a gateway's error counts as no answer.
    pub(crate) fn answered(&self, report: &Report) {
        match (report.failure, report.status) {
            (
                Some(
                    Failure::UpstreamReset | Failure::UpstreamMalformed | Failure::UpstreamTimeout,
                ),
                _,
            )
            | (None, Some(502..=504)) => self.answers.failed(ANSWERS_IN_A_ROW),
            (None, Some(_)) => self.answers.succeeded(),
            // The client's fault, or a connection that had grown stale: that says nothing.
            _ => {}
        }
    }
}

impl Endpoint {
    /// A connect failed.
    pub(crate) fn failed(&self) {
        self.health.connects.failed(1);
    }

    /// A connect succeeded. That says nothing about answers: the kernel connects for a process that hangs.
    pub(crate) fn succeeded(&self) {
        self.health.connects.succeeded();
    }

    fn is_avoided(&self) -> bool {
        self.health.connects.is_over() || self.health.answers.is_over()
    }
}

/// An endpoint as a resource or the resolver tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// In order of preference, never empty.
    pub(crate) addresses: Box<[SocketAddr]>,
    pub(crate) terminating: bool,
}

/// The endpoints of a backend.
#[derive(Debug, Default)]
pub(crate) struct EndpointSet {
    serving: Box<[Arc<Endpoint>]>,
    /// Asked only when nothing else is there (KEP-1672).
    terminating: Box<[Arc<Endpoint>]>,
}

impl EndpointSet {
    /// A set in which endpoints that stay keep their pools and what is known about them.
    pub(crate) fn build(targets: &[Target], previous: &Self) -> Self {
        let known: HashMap<&[SocketAddr], &Arc<Endpoint>> =
            previous.iter().map(|endpoint| (&*endpoint.addresses, endpoint)).collect();
        let endpoint = |target: &Target| match known.get(&*target.addresses) {
            Some(endpoint) => Arc::clone(endpoint),
            None => Arc::new(Endpoint {
                addresses: target.addresses.clone(),
                pool: PoolId::new(),
                health: Arc::default(),
                in_flight: AtomicUsize::new(0),
            }),
        };
        let (terminating, serving): (Vec<&Target>, Vec<&Target>) =
            targets.iter().partition(|target| target.terminating);
        Self {
            serving: serving.into_iter().map(endpoint).collect(),
            terminating: terminating.into_iter().map(endpoint).collect(),
        }
    }

    /// What it was built from.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let target = |terminating| {
            move |e: &Arc<Endpoint>| Target { addresses: e.addresses.clone(), terminating }
        };
        let serving = self.serving.iter().map(target(false));
        serving.chain(self.terminating.iter().map(target(true))).collect()
    }

    /// For people.
    pub(crate) fn views(&self) -> Vec<EndpointView> {
        let view = |terminating| {
            move |e: &Arc<Endpoint>| EndpointView {
                addresses: e.addresses.to_vec(),
                terminating,
                avoided: e.is_avoided(),
            }
        };
        let serving = self.serving.iter().map(view(false));
        serving.chain(self.terminating.iter().map(view(true))).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.serving.is_empty() && self.terminating.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.serving.iter().chain(&self.terminating)
    }

    /// The endpoint whose turn it is, from `turn` on: neither one to avoid nor one that failed
    /// lately, if another is there. With [`Balance::LeastRequest`] another one that could be it has the turn
    /// instead, if it is less busy.
    pub(crate) fn pick(
        &self,
        turn: usize,
        balance: Balance,
        avoid: &Avoid,
    ) -> Option<&Arc<Endpoint>> {
        let ring = if self.serving.is_empty() { &self.terminating } else { &self.serving };
        let rotated = |turn: usize| {
            let (before, from) = ring.split_at_checked(turn.checked_rem(ring.len())?)?;
            Some(from.iter().chain(before))
        };
        let order = || rotated(turn).into_iter().flatten();
        let fresh = |endpoint: &&Arc<Endpoint>| {
            !endpoint.address().is_some_and(|address| avoid.contains(address))
        };
        let other = |endpoint: &&Arc<Endpoint>| {
            !endpoint.address().is_some_and(|address| avoid.is_last(address))
        };
        let good = |endpoint: &&Arc<Endpoint>| fresh(endpoint) && !endpoint.is_avoided();
        let first = order().find(good);
        if balance == Balance::LeastRequest
            && let Some(first) = first
        {
            let busy = |endpoint: &Arc<Endpoint>| endpoint.in_flight.load(Ordering::Relaxed);
            // Anywhere: neighbours of a busy endpoint would otherwise take all that it does not.
            let mut others = rotated(scattered(turn)).into_iter().flatten();
            let second = others.find(|other| good(other) && !Arc::ptr_eq(other, first));
            return second.filter(|second| busy(second) < busy(first)).or(Some(first));
        }
        first
            .or_else(|| order().find(fresh))
            .or_else(|| order().find(other))
            .or_else(|| order().next())
    }
}

/// Numbers in a row, far from each other.
fn scattered(turn: usize) -> usize {
    let spread = u64::try_from(turn).unwrap_or_default().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(spread >> 33).unwrap_or_default()
}

/// How a backend is spoken to.
#[derive(Debug, Clone)]
pub(crate) enum Security {
    Plaintext,
    Tls(Arc<ClientTls>),
    /// A trust bundle or certificate that it names is missing: nothing may be sent.
    Unavailable,
}

/// Bounds towards one backend, over all threads. 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BackendLimits {
    pub(crate) connections: usize,
    pub(crate) pending: usize,
}

/// What happened towards a backend, over all threads.
#[derive(Debug, Default)]
pub(crate) struct BackendCounters {
    pub(crate) open: AtomicUsize,
    pub(crate) pending: AtomicUsize,
    pub(crate) connects: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) tls_failed: AtomicU64,
    pub(crate) overflowed: AtomicU64,
}

/// One backend. The same `Arc` as long as its resource and its TLS stay; endpoints change inside.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: Arc<str>,
    /// Index of per-thread state. Backends may share one: it steers only whose turn it is.
    pub(crate) slot: usize,
    pub(crate) security: Security,
    pub(crate) balance: Balance,
    pub(crate) limits: BackendLimits,
    pub(crate) counters: Arc<BackendCounters>,
    endpoints: ArcSwap<EndpointSet>,
}

impl Backend {
    pub(crate) fn new(
        name: Arc<str>,
        slot: usize,
        security: Security,
        balance: Balance,
        limits: BackendLimits,
        counters: Arc<BackendCounters>,
        endpoints: EndpointSet,
    ) -> Self {
        let endpoints = ArcSwap::from_pointee(endpoints);
        Self { name, slot, security, balance, limits, counters, endpoints }
    }

    /// The endpoints now.
    pub(crate) fn endpoints(&self) -> Guard<Arc<EndpointSet>> {
        self.endpoints.load()
    }

    /// What the endpoints were built from.
    pub(crate) fn targets(&self) -> Vec<Target> {
        self.endpoints().targets()
    }

    /// Replaces the endpoints; those that stay keep their pools.
    pub(crate) fn set_targets(&self, targets: &[Target]) {
        let next = EndpointSet::build(targets, &self.endpoints());
        self.endpoints.store(Arc::new(next));
    }

    /// Whether a request could be sent.
    pub(crate) fn is_usable(&self) -> bool {
        !matches!(self.security, Security::Unavailable) && !self.endpoints().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(port: u16, terminating: bool) -> Target {
        Target { addresses: [([127, 0, 0, 1], port).into()].into(), terminating }
    }

    fn ports<const N: usize>(
        set: &EndpointSet,
        turns: std::ops::Range<usize>,
        failed: [u16; N],
    ) -> Vec<u16> {
        let mut avoid = Avoid::default();
        for port in failed {
            avoid.add(([127, 0, 0, 1], port).into());
        }
        turns
            .map(|turn| {
                set.pick(turn, Balance::RoundRobin, &avoid).unwrap().address().unwrap().port()
            })
            .collect()
    }

    #[test]
    fn turns_go_round_the_serving_endpoints() {
        let targets = [target(1, false), target(2, true), target(3, false)];
        let set = EndpointSet::build(&targets, &EndpointSet::default());
        assert_eq!(ports(&set, 0..5, []), [1, 3, 1, 3, 1]);
        assert_eq!(ports(&set, 0..3, [3]), [1, 1, 1]);
        // When all have failed, any but the last one.
        assert_eq!(ports(&set, 0..3, [3, 1]), [3, 3, 3]);
    }

    #[test]
    fn terminating_endpoints_serve_only_when_alone() {
        let set = EndpointSet::build(&[target(2, true)], &EndpointSet::default());
        assert_eq!(ports(&set, 0..2, []), [2, 2]);
        assert!(EndpointSet::default().pick(0, Balance::RoundRobin, &Avoid::default()).is_none());
    }

    #[test]
    fn a_failed_endpoint_is_avoided_until_it_is_the_only_one() {
        let both = [target(1, false), target(2, false)];
        let set = EndpointSet::build(&both, &EndpointSet::default());
        set.pick(0, Balance::RoundRobin, &Avoid::default()).unwrap().failed();
        assert_eq!(ports(&set, 0..4, []), [2, 2, 2, 2]);
        let one = EndpointSet::build(&both[..1], &set);
        assert_eq!(ports(&one, 0..2, []), [1, 1]);
        one.pick(0, Balance::RoundRobin, &Avoid::default()).unwrap().succeeded();
        assert_eq!(ports(&set, 0..2, []), [1, 2]);
    }

    #[test]
    fn an_endpoint_that_keeps_failing_is_avoided_until_it_answers() {
        let both = [target(1, false), target(2, false)];
        let set = EndpointSet::build(&both, &EndpointSet::default());
        let report =
            |status| Report { status: Some(status), failure: None, latency: Duration::ZERO };
        let bad = set.pick(0, Balance::RoundRobin, &Avoid::default()).unwrap();
        for _ in 0..4 {
            bad.health.answered(&report(503));
        }
        bad.health.answered(&report(500));
        assert_eq!(ports(&set, 0..4, []), [1, 2, 1, 2], "an application's own error is an answer");
        let lost = Report { status: None, failure: Some(Failure::UpstreamReset), ..report(0) };
        for _ in 0..5 {
            bad.health.answered(&lost);
        }
        bad.succeeded();
        let gone = Report { failure: Some(Failure::ClientGone), ..report(200) };
        bad.health.answered(&gone);
        assert_eq!(ports(&set, 0..4, []), [2, 2, 2, 2], "that it connects does not excuse it");
        bad.health.answered(&report(200));
        assert_eq!(ports(&set, 0..4, []), [1, 2, 1, 2]);
    }

    #[test]
    fn the_less_busy_one_of_two_is_chosen() {
        let three = [target(1, false), target(2, false), target(3, false)];
        let set = EndpointSet::build(&three, &EndpointSet::default());
        let pick = |turn| set.pick(turn, Balance::LeastRequest, &Avoid::default()).unwrap();
        let chosen = |turns: std::ops::Range<usize>| -> Vec<u16> {
            turns.map(|turn| pick(turn).address().unwrap().port()).collect()
        };
        assert_eq!(chosen(0..4), [1, 2, 3, 1], "when nobody is busy, they take turns");
        let busy = Busy::new(pick(0));
        let while_busy = chosen(0..300);
        assert!(!while_busy.contains(&1), "two others are free");
        let second = while_busy.iter().filter(|port| **port == 2).count();
        assert!((100..200).contains(&second), "what one does not take is shared: {second}");
        drop(busy);
        assert_eq!(chosen(0..4), [1, 2, 3, 1]);
    }

    #[test]
    fn endpoints_that_stay_keep_their_pool() {
        let before =
            EndpointSet::build(&[target(1, false), target(2, false)], &EndpointSet::default());
        let after = EndpointSet::build(&[target(2, true), target(3, false)], &before);
        let pool = |set: &EndpointSet, port: u16| {
            set.iter().find(|e| e.address().unwrap().port() == port).map(|e| e.pool)
        };
        assert_eq!(pool(&before, 2), pool(&after, 2));
        assert_ne!(pool(&before, 1), pool(&after, 3));
    }
}
