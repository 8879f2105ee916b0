//! One thread: carries out orders, sweeps, and keeps what its connections share.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use gatefleet_http::{Drain, Engine, Phase, TableBuilder};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, LocalSet},
};

use super::{Order, Shared, accept};
use crate::{
    backend::Backend,
    observe::{Observation, ThreadObserver},
    plan::{Door, Front, Plan},
    pool::Pools,
};

/// How often idle connections are looked at and log lines are handed over.
const SWEEP: Duration = Duration::from_millis(250);

/// A connection that was accepted last gets this long to send its request.
const FIRST_REQUEST: Duration = Duration::from_millis(250);

/// What all connections of one thread share.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) engine: Engine<Arc<Backend>>,
    pub(super) pools: Pools,
    pub(super) observer: ThreadObserver,
    pub(super) shared: Arc<Shared>,
    pub(super) max_connections: Cell<Option<u64>>,
    pub(super) proxy_protocol: Cell<bool>,
    pub(super) tls_handshake: Cell<Duration>,
    running: RefCell<BTreeMap<SocketAddr, Running>>,
    phase: Cell<Phase>,
}

/// A door that this thread serves.
struct Running {
    door: Door,
    opening: Rc<Opening>,
    /// Dropped or used: accept what waits, then close.
    close: oneshot::Sender<()>,
    accepting: JoinHandle<()>,
}

/// What connections of one door share.
pub(super) struct Opening {
    pub(super) front: RefCell<Arc<Front>>,
    pub(super) drain: Drain,
}

/// Serves until the process ends.
pub(super) fn run(
    runtime: &tokio::runtime::Runtime,
    index: usize,
    mut inbox: mpsc::UnboundedReceiver<Order>,
    shared: Arc<Shared>,
    observation: &Observation,
) {
    let worker = Rc::new(Worker {
        index,
        engine: Engine::new(TableBuilder::new(Default::default()).build()),
        pools: Pools::new(index),
        observer: observation.thread(),
        shared,
        max_connections: Cell::default(),
        proxy_protocol: Cell::default(),
        tls_handshake: Cell::default(),
        running: RefCell::default(),
        phase: Cell::new(Phase::Serving),
    });
    LocalSet::new().block_on(runtime, async move {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    None => return,
                    Some(order) => worker.carry_out(order).await,
                },
                _ = sweep.tick() => {
                    worker.pools.sweep();
                    worker.observer.flush();
                }
            }
        }
    });
}

impl Worker {
    async fn carry_out(self: &Rc<Self>, order: Order) {
        match order {
            Order::Install(plan, live, done) => {
                self.pools.retain(&live);
                self.install(&plan).await;
                let _ = done.send(());
            }
            Order::Advance(phase, done) => {
                self.advance(phase).await;
                let _ = done.send(());
            }
            Order::Flush(done) => {
                self.observer.flush();
                let _ = done.send(());
            }
        }
    }

    async fn install(self: &Rc<Self>, plan: &Plan) {
        self.engine.install(plan.table.clone());
        self.pools.set_idle_limit(plan.upstream_idle);
        self.observer.set_access_log(plan.access_log);
        self.max_connections.set(plan.max_connections);
        self.proxy_protocol.set(plan.proxy_protocol);
        self.tls_handshake.set(plan.tls_handshake);
        let gone: Vec<_> = {
            let mut running = self.running.borrow_mut();
            let stays =
                |r: &Running| plan.doors.iter().any(|d| Arc::ptr_eq(&d.bound, &r.door.bound));
            running.extract_if(.., |_, running| !stays(running)).map(|(_, gone)| gone).collect()
        };
        for running in gone {
            running.close().await;
        }
        // A process that ends opens nothing.
        if self.phase.get() < Phase::Stopping {
            for door in &plan.doors {
                self.open(door);
            }
        }
    }

    fn open(self: &Rc<Self>, door: &Door) {
        let mut running = self.running.borrow_mut();
        if let Some(running) = running.get_mut(&door.bound.address()) {
            running.opening.front.replace(Arc::clone(&door.front));
            running.door = door.clone();
            return;
        }
        let Some(socket) = door.bound.take(self.index) else { return };
        let listener = match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, address = %door.bound.address(), "cannot poll a listening socket");
                return;
            }
        };
        let opening =
            Rc::new(Opening { front: RefCell::new(Arc::clone(&door.front)), drain: Drain::new() });
        opening.drain.advance(self.phase.get());
        let (close, closed) = oneshot::channel();
        let accepting = tokio::task::spawn_local(accept::run(
            Rc::clone(self),
            listener,
            Rc::clone(&opening),
            closed,
        ));
        running.insert(
            door.bound.address(),
            Running { door: door.clone(), opening, close, accepting },
        );
    }

    async fn advance(&self, phase: Phase) {
        if phase <= self.phase.get() {
            return;
        }
        self.phase.set(phase);
        if phase < Phase::Stopping {
            for running in self.running.borrow().values() {
                running.opening.drain.advance(phase);
            }
        } else {
            let all: Vec<_> = self.running.take().into_values().collect();
            for running in all {
                running.close().await;
            }
        }
    }
}

impl Running {
    /// Accepts until nothing waits, closes the socket, and lets connections end their requests.
    async fn close(self) {
        let _ = self.close.send(());
        let _ = self.accepting.await;
        let drain = self.opening.drain.clone();
        drain.advance(Phase::Closing);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(FIRST_REQUEST).await;
            drain.advance(Phase::Stopping);
        });
    }
}
