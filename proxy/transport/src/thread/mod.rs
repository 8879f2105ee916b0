//! The threads of the data path. Each owns its listening sockets, its pools and its shard of metrics, and
//! shares nothing with the others that changes per request.

use std::{
    collections::HashSet,
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use gatefleet_http::Phase;
use tokio::sync::{mpsc, oneshot};

use crate::{backend::PoolId, observe::Observation, plan::Plan};

mod accept;
mod serve;
mod worker;

/// Why the threads could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operating system refused a thread.
    #[error(
        "cannot start thread {0} of the data path: {1}; raise the limit of processes or lower --threads"
    )]
    Thread(usize, io::Error),
    /// The operating system refused what a runtime needs (epoll, eventfd).
    #[error("cannot start the event loop of thread {0}: {1}; raise the limit of open files")]
    Runtime(usize, io::Error),
}

/// An order to one thread. Answered when it is carried out.
enum Order {
    Install(Arc<Plan>, Arc<HashSet<PoolId>>, oneshot::Sender<()>),
    Advance(Phase, oneshot::Sender<()>),
    Flush(oneshot::Sender<()>),
}

/// What the threads share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Open client connections, over all threads.
    pub(crate) connections: AtomicUsize,
}

/// All threads.
#[derive(Debug)]
pub(crate) struct Threads {
    orders: Vec<mpsc::UnboundedSender<Order>>,
    shared: Arc<Shared>,
}

impl Threads {
    /// Starts the threads. They end with the process.
    pub(crate) fn start(
        count: NonZeroUsize,
        observation: &Arc<Observation>,
    ) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::default());
        let start = |index| {
            let (orders, inbox) = mpsc::unbounded_channel();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| StartError::Runtime(index, error))?;
            let (shared, observation) = (Arc::clone(&shared), Arc::clone(observation));
            std::thread::Builder::new()
                .name(format!("data-{index}"))
                .spawn(move || worker::run(&runtime, index, inbox, shared, &observation))
                .map_err(|error| StartError::Thread(index, error))?;
            Ok(orders)
        };
        let orders = (0..count.get()).map(start).collect::<Result<_, _>>()?;
        Ok(Self { orders, shared })
    }

    /// Makes every thread serve a plan and forget pools that are not among `live`; returns when all did.
    pub(crate) async fn install(&self, plan: &Arc<Plan>, live: HashSet<PoolId>) {
        let live = Arc::new(live);
        self.order(|done| Order::Install(Arc::clone(plan), Arc::clone(&live), done)).await;
    }

    /// Moves every connection and listener on to a phase of the drain.
    pub(crate) async fn advance(&self, phase: Phase) {
        self.order(|done| Order::Advance(phase, done)).await;
    }

    /// Whether none of them ended.
    pub(crate) fn are_alive(&self) -> bool {
        self.orders.iter().all(|thread| !thread.is_closed())
    }

    /// Hands over log lines that threads still keep.
    pub(crate) async fn flush(&self) {
        self.order(Order::Flush).await;
    }

    /// Open client connections.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    async fn order(&self, order: impl Fn(oneshot::Sender<()>) -> Order) {
        let mut answers = Vec::with_capacity(self.orders.len());
        for thread in &self.orders {
            let (done, answer) = oneshot::channel();
            // Threads end only with the process, so an order cannot be lost.
            let _ = thread.send(order(done));
            answers.push(answer);
        }
        for answer in answers {
            let _ = answer.await;
        }
    }
}
