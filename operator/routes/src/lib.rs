//! The routes pipeline: objects in, the resources of every tier out, incrementally.
//!
//! Input: a [`gatefleet_state::ClusterState`] and the time. Output: [`RoutesOutput`]. Invariants: the result is
//! the same as from scratch; an update recomputes only what read something that changed; nothing here does I/O
//! or looks at a clock.

mod certificates;
mod changes;
mod class;
mod defaults;
mod endpoints;
mod host;
mod output;
mod pipeline;
mod ports;
mod selection;
mod settings;
mod side_hosts;
mod summary;
mod tier;

pub use gatefleet_ir::{Diagnostic, Reason, Severity};
pub use output::{
    FleetRoutes, IngressOutcome, Origin, RoutesOutput, SecretName, ServedCertificate, TierResource,
    TierRoutes,
};
pub use pipeline::{Options, Pipeline, PortRecord};
