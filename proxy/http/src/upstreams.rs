//! What the engine asks of the connection pools.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{observe::Failure, peer::Upstream};

/// Connections towards backends, as one thread sees them. Implemented by transport's pools.
pub trait Upstreams {
    /// What a table holds for one backend: resolved once per table, not per request.
    type Backend;
    /// One exchange with an endpoint: [`crate::h1::Client`] over a socket, or a stream of a shared connection.
    type Connection: Upstream;

    /// Whether `backend` has an endpoint that could take a request now (decides canaries).
    fn has_endpoints(&self, backend: &Self::Backend) -> bool;

    /// Picks an endpoint and gives a connection to it: pooled, or opened within `ask.connect_timeout`.
    fn checkout(
        &self,
        backend: &Self::Backend,
        ask: &Checkout,
    ) -> impl Future<Output = Result<Lease<Self::Connection>, ConnectError>>;

    /// Takes a connection back after an exchange, whatever became of it. It may be pooled if
    /// [`Upstream::is_reusable`]. A lease that is dropped instead was cancelled with its request.
    fn checkin(&self, backend: &Self::Backend, lease: Lease<Self::Connection>, report: &Report);
}

/// What is asked of a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkout {
    /// 0 for the first try of a request.
    pub attempt: u32,
    /// Endpoints that failed: others are preferred.
    pub avoid: Avoid,
    /// No pooled connection: one was stale.
    pub fresh: bool,
    /// How long opening may take.
    pub connect_timeout: Duration,
}

/// The endpoints that failed for one request, as many as are remembered. It is small because every connection has room
/// for one: of IPv6 addresses two may look the same, then one too many is avoided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Avoid([u64; 4]);

impl Avoid {
    /// Remembers the endpoint; the oldest may be forgotten for it.
    pub fn add(&mut self, endpoint: SocketAddr) {
        if !self.contains(endpoint) {
            self.0.rotate_right(1);
        }
        if let Some(last) = self.0.first_mut() {
            *last = mark(endpoint);
        }
    }

    /// Whether the endpoint is remembered.
    pub fn contains(&self, endpoint: SocketAddr) -> bool {
        self.0.contains(&mark(endpoint))
    }

    /// Whether the endpoint failed last.
    pub fn is_last(&self, endpoint: SocketAddr) -> bool {
        self.0.first() == Some(&mark(endpoint))
    }
}

/// Never 0, which stands for no endpoint.
fn mark(endpoint: SocketAddr) -> u64 {
    let address = match endpoint.ip() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let segments = address.segments().into_iter();
            segments.fold(0_u64, |mark, segment| mark.rotate_left(11) ^ u64::from(segment))
        }
    };
    ((address << 16) ^ u64::from(endpoint.port())).max(1)
}

/// A connection lent to one exchange.
#[derive(Debug)]
pub struct Lease<C> {
    /// The connection.
    pub connection: C,
    /// The endpoint it leads to.
    pub endpoint: SocketAddr,
    /// It carried an earlier exchange, so it may turn out to be stale.
    pub reused: bool,
}

/// How an exchange with an endpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Status that the endpoint answered.
    pub status: Option<u16>,
    /// What went wrong on the endpoint's side.
    pub failure: Option<Failure>,
    /// From checkout to the response head (or the failure).
    pub latency: Duration,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The backend has no endpoint: 503, no retry.
    #[error("no endpoints")]
    NoEndpoints,
    /// Limits of the backend are reached: 503, no retry.
    #[error("too many connections or waiting requests")]
    Overflow,
    /// The endpoint refused or was unreachable.
    #[error("connect to {endpoint} failed")]
    Failed {
        /// Which one.
        endpoint: SocketAddr,
    },
    /// The endpoint did not answer in time.
    #[error("connect to {endpoint} timed out")]
    TimedOut {
        /// Which one.
        endpoint: SocketAddr,
    },
    /// The TLS handshake with the endpoint failed.
    #[error("TLS with {endpoint} failed")]
    Tls {
        /// Which one.
        endpoint: SocketAddr,
    },
}

impl ConnectError {
    /// The endpoint at fault.
    pub fn endpoint(self) -> Option<SocketAddr> {
        match self {
            Self::NoEndpoints | Self::Overflow => None,
            Self::Failed { endpoint } | Self::TimedOut { endpoint } | Self::Tls { endpoint } => {
                Some(endpoint)
            }
        }
    }
}
