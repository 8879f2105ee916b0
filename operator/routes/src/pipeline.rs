//! The driver.

use gatefleet_state::ClusterState;
use jiff::Timestamp;

use crate::RoutesOutput;

/// Where the ports come from that listeners bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PortRecord {
    /// The numeric `targetPort`s of the tier's Service, found in the state. A listener without one is left out.
    #[default]
    Service,
    /// Listeners bind the ports that they advertise: for snapshots that are served without a cluster.
    Advertised,
}

/// Fixed settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where `scope: Cluster` parameters of IngressClasses look for the GatewayConfig.
    pub default_namespace: String,
    /// Where the ports come from that listeners bind.
    pub ports: PortRecord,
}

/// Remembers what it computed, and from what.
#[derive(Debug)]
pub struct Pipeline {
    options: Options,
}

impl Pipeline {
    /// An empty memory.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Computes what follows from `state` at time `now`.
    pub fn update(&mut self, _state: &ClusterState, _now: Timestamp) -> RoutesOutput {
        let Options { default_namespace: _, ports: _ } = &self.options;
        RoutesOutput::default()
    }
}
