//! Connections towards backends, as one thread keeps them.
//!
//! An HTTP/1.1 connection carries one exchange at a time, so a thread opens as many as it has exchanges
//! in flight, but at most [`CONNECTING_MOST`] at once per endpoint: whoever waits takes the first that
//! becomes free, opened or returned.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashSet},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use gatefleet_http::{Checkout, ConnectError, Lease, Report, Upstream, Upstreams, h1::Client};
use tokio::{sync::Notify, time::Instant};

use crate::backend::{Backend, Balance, Busy, Endpoint, PoolId, Security, now_ms};

mod connection;

use connection::OpenCount;
pub(crate) use connection::UpstreamIo;

/// Connections that one thread opens at once to one endpoint.
const CONNECTING_MOST: usize = 16;
/// Idle connections that one thread keeps to one endpoint.
const IDLE_MOST: usize = 1024;
/// How often a waiter looks again while other threads hold all connections that the limit allows.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The pools of one thread.
#[derive(Debug)]
pub(crate) struct Pools {
    by_id: RefCell<BTreeMap<PoolId, Rc<Pool>>>,
    turns: RefCell<Vec<usize>>,
    idle_limit: Cell<Duration>,
    thread: usize,
}

/// Connections to one endpoint.
#[derive(Debug, Default)]
struct Pool {
    // The one that was used last is taken first: it is warm, and the others can grow old.
    idle: RefCell<Vec<Idle>>,
    connecting: Cell<usize>,
    waiting: Cell<usize>,
    freed: Notify,
}

#[derive(Debug)]
struct Idle {
    client: Client<UpstreamIo>,
    since_ms: u64,
}

impl Pool {
    fn take(&self) -> Option<Client<UpstreamIo>> {
        loop {
            let mut client = self.idle.borrow_mut().pop()?.client;
            if !client.io_mut().is_stale() {
                return Some(client);
            }
        }
    }
}

/// An endpoint to which a connection must be opened.
struct Chosen {
    endpoint: Arc<Endpoint>,
    busy: Option<Busy>,
}

/// Counts one of something in a cell for as long as it lives.
struct Held<'a>(&'a Cell<usize>);

impl<'a> Held<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get().saturating_add(1));
        Self(count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Counts a waiting request over all threads.
struct Pending<'a>(&'a Backend);

impl<'a> Pending<'a> {
    fn enter(backend: &'a Backend) -> Result<Self, ConnectError> {
        let before = backend.counters.pending.fetch_add(1, Ordering::Relaxed);
        let pending = Self(backend);
        let limit = backend.limits.pending;
        if limit > 0 && before >= limit {
            return Err(backend.overflowed());
        }
        Ok(pending)
    }
}

impl Backend {
    /// A request that limits turn away.
    fn overflowed(&self) -> ConnectError {
        self.counters.overflowed.fetch_add(1, Ordering::Relaxed);
        ConnectError::Overflow
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.counters.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pools {
    /// Empty pools of a thread.
    pub(crate) fn new(thread: usize) -> Self {
        Self {
            by_id: RefCell::default(),
            turns: RefCell::default(),
            idle_limit: Cell::new(Duration::from_mins(1)),
            thread,
        }
    }

    /// Unused connections are closed after this long.
    pub(crate) fn set_idle_limit(&self, limit: Duration) {
        self.idle_limit.set(limit);
    }

    /// Forgets the pools of endpoints that are gone. Exchanges in flight end undisturbed.
    pub(crate) fn retain(&self, live: &HashSet<PoolId>) {
        self.by_id.borrow_mut().retain(|id, _| live.contains(id));
    }

    /// Closes connections that nobody used for the idle limit, those that the endpoint closed, and those
    /// whose place another thread waits for.
    pub(crate) fn sweep(&self) {
        let limit = u64::try_from(self.idle_limit.get().as_millis()).unwrap_or(u64::MAX);
        let now = now_ms();
        for pool in self.by_id.borrow().values() {
            let gives_way = pool.waiting.get() == 0;
            pool.idle.borrow_mut().retain_mut(|idle| {
                now.saturating_sub(idle.since_ms) < limit
                    && !(gives_way && idle.client.io().is_waited_for())
                    && !idle.client.io_mut().is_stale()
            });
        }
    }

    /// Whose turn it is at a backend. Threads begin apart, so that they do not march in step.
    fn turn(&self, backend: &Backend) -> usize {
        let mut turns = self.turns.borrow_mut();
        if turns.len() <= backend.slot {
            turns.resize(backend.slot.saturating_add(1), self.thread);
        }
        match turns.get_mut(backend.slot) {
            Some(turn) => {
                *turn = turn.wrapping_add(1);
                *turn
            }
            None => 0,
        }
    }

    fn pool(&self, id: PoolId) -> Rc<Pool> {
        Rc::clone(self.by_id.borrow_mut().entry(id).or_default())
    }

    /// A connection from the pool of the endpoint whose turn it is, or that endpoint.
    fn pick(
        &self,
        backend: &Backend,
        ask: &Checkout,
    ) -> Result<Result<Lease<Client<UpstreamIo>>, Chosen>, ConnectError> {
        if matches!(backend.security, Security::Unavailable) {
            return Err(ConnectError::NoEndpoints);
        }
        let endpoints = backend.endpoints();
        let chosen = endpoints.pick(self.turn(backend), backend.balance, &ask.avoid);
        let endpoint = chosen.ok_or(ConnectError::NoEndpoints)?;
        let address = endpoint.address().ok_or(ConnectError::NoEndpoints)?;
        let busy = (backend.balance == Balance::LeastRequest).then(|| Busy::new(endpoint));
        if !ask.fresh
            && let Some(pool) = self.by_id.borrow().get(&endpoint.pool)
            && let Some(mut connection) = pool.take()
        {
            connection.io_mut().busy = busy;
            return Ok(Ok(Lease { connection, endpoint: address, reused: true }));
        }
        Ok(Err(Chosen { endpoint: Arc::clone(endpoint), busy }))
    }

    async fn open(
        &self,
        backend: &Backend,
        chosen: Chosen,
        ask: &Checkout,
    ) -> Result<Lease<Client<UpstreamIo>>, ConnectError> {
        let Chosen { endpoint, busy } = chosen;
        let address = endpoint.address().ok_or(ConnectError::NoEndpoints)?;
        let pool = self.pool(endpoint.pool);
        let deadline = Instant::now().checked_add(ask.connect_timeout).unwrap_or_else(Instant::now);
        let pending = Pending::enter(backend)?;
        let (open, _connecting) = loop {
            if !ask.fresh
                && let Some(mut connection) = pool.take()
            {
                connection.io_mut().busy = busy;
                return Ok(Lease { connection, endpoint: address, reused: true });
            }
            if pool.connecting.get() < CONNECTING_MOST
                && let Some(open) = OpenCount::reserve(backend)
            {
                break (open, Held::new(&pool.connecting));
            }
            if !wait(&pool, deadline).await {
                let is_limited = backend.limits.connections > 0;
                return Err(if is_limited {
                    backend.overflowed()
                } else {
                    ConnectError::TimedOut { endpoint: address }
                });
            }
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let opened = UpstreamIo::connect(backend, &endpoint, open, left).await;
        pool.freed.notify_one();
        drop(pending);
        match &opened {
            Ok(_) => endpoint.succeeded(),
            Err(_) => endpoint.failed(),
        }
        let mut connection = Client::new(opened?);
        connection.io_mut().busy = busy;
        Ok(Lease { connection, endpoint: address, reused: false })
    }
}

/// Waits until a connection or the right to open one may be free.
/// `false`: it took too long.
async fn wait(pool: &Pool, deadline: Instant) -> bool {
    let _waiting = Held::new(&pool.waiting);
    let now = Instant::now();
    if now >= deadline {
        return false;
    }
    let again = now.checked_add(LOOK_AGAIN).map_or(deadline, |at| at.min(deadline));
    // Another thread may free what this one waits for, so the wait is bounded.
    let _ = tokio::time::timeout_at(again, pool.freed.notified()).await;
    true
}

impl Upstreams for Pools {
    type Backend = Arc<Backend>;
    type Connection = Client<UpstreamIo>;

    fn has_endpoints(&self, backend: &Arc<Backend>) -> bool {
        backend.is_usable()
    }

    async fn checkout(
        &self,
        backend: &Arc<Backend>,
        ask: &Checkout,
    ) -> Result<Lease<Client<UpstreamIo>>, ConnectError> {
        match self.pick(backend, ask)? {
            Ok(lease) => Ok(lease),
            // Boxed: the fast path above is what every exchange carries around.
            Err(chosen) => Box::pin(self.open(backend, chosen, ask)).await,
        }
    }

    fn checkin(
        &self,
        _backend: &Arc<Backend>,
        mut lease: Lease<Client<UpstreamIo>>,
        report: &Report,
    ) {
        lease.connection.io().health.answered(report);
        lease.connection.io_mut().busy = None;
        if !lease.connection.is_reusable() {
            return;
        }
        let pools = self.by_id.borrow();
        let id = lease.connection.io().pool;
        // An endpoint that is gone has no pool.
        let Some(pool) = pools.get(&id) else { return };
        // A thread that nobody waits on gives way to those that wait for the limit.
        let elsewhere = pool.waiting.get() == 0 && lease.connection.io().is_waited_for();
        if !elsewhere && pool.idle.borrow().len() < IDLE_MOST {
            let idle = Idle { client: lease.connection, since_ms: now_ms() };
            pool.idle.borrow_mut().push(idle);
        }
        if pool.waiting.get() > 0 {
            pool.freed.notify_one();
        }
    }
}
