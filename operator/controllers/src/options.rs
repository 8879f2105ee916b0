//! What whoever starts the operator decides.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use gatefleet_state::Watched;

use crate::Election;

/// Settings of the whole operator.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the configuration server listens. Default `[::]:9702`; port 0 takes a free one.
    pub channel_address: SocketAddr,
    /// Under which addresses proxies reach the configuration server. Default empty: its bound address.
    pub channel_addresses: Vec<SocketAddr>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served. Default none: they are not.
    pub status_address: Option<SocketAddr>,
    /// The image of proxies. Default `gatefleet-proxy:dev`.
    pub proxy_image: String,
    /// Where `IngressClass` parameters of scope `Cluster` find their `GatewayConfig`. Default `default`.
    pub default_namespace: String,
    /// Whose fleets, Ingresses and Services are served. Default all namespaces.
    pub watched: Watched,
    /// The identity of this replica, as proxies and event readers see it. Default `gatefleet`.
    pub replica: String,
    /// How the replica that writes is chosen among several. Default none: there is no other.
    pub election: Option<Election>,
    /// The Service, in [`Self::default_namespace`], whose endpoints with a port `channel` are the replicas; proxies stream
    /// to each of them. Default none: to [`Self::channel_addresses`].
    pub channel_service: Option<String>,
    /// How patient the loops are.
    pub pace: Pace,
}

/// How patient the loops are: shorter reacts sooner, longer writes less.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A change is acted on after this long without another one. Default 20 ms.
    pub quiet: Duration,
    /// A change is acted on after this long at the latest. Default 200 ms.
    pub longest: Duration,
    /// Least time between two writes of the same aggregate (counts, replicas). Default 1 s.
    pub aggregate: Duration,
    /// Everything is looked at again after this long without a reason. Default 5 min.
    pub resync: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(20),
            longest: Duration::from_millis(200),
            aggregate: Duration::from_secs(1),
            resync: Duration::from_mins(5),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            channel_address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 9702)),
            channel_addresses: Vec::new(),
            status_address: None,
            proxy_image: "gatefleet-proxy:dev".to_owned(),
            default_namespace: "default".to_owned(),
            watched: Watched::All,
            replica: "gatefleet".to_owned(),
            election: None,
            channel_service: None,
            pace: Pace::default(),
        }
    }
}
