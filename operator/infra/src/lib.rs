//! A `GatewayConfig` as objects of the cluster, and back: what is observed as its status.
//!
//! Inputs: the admitted `GatewayConfig`; for objects also what belongs to the operator ([`Operator`]) and to
//! each tier ([`TierInputs`]: allocated ports, channel identity); for status what watches and proxies say
//! ([`Observed`]) and the time. Outputs: [`Desired`], [`GatewayConfigStatus`] and [`Transition`]s.
//!
//! Invariants:
//! - The same input gives the same bytes; an observation that changes nothing gives an identical status.
//! - The objects of a tier depend on that tier's half of the spec alone. Secrets and listeners are not part
//!   of the pod template: they roll nothing.
//! - The phase is computed from the conditions, and nothing branches on it.
//!
//! This crate must not talk to anything, read a clock, or know about routes beyond their summary.

mod acknowledgement;
mod check;
mod children;
mod desired;
mod embedded;
mod exposure;
mod names;
mod observed;
mod ports;
mod status;
mod transitions;

pub use acknowledgement::{HeldResource, Holding, SentLedger, SentResource};
pub use check::check_spec;
pub use children::{Child, ChildKind, ChildObject};
pub use desired::{
    BOOTSTRAP_KEY, CA_CERTIFICATE_KEY, CERTIFICATE_KEY, ChannelMaterial, Desired, Operator,
    PRIVATE_KEY_KEY, STATUS_PORT, TierInputs, TierObjects, desired, desired_deployments,
    setting_names, tier_spec,
};
pub use exposure::{is_reached_through_nodes, node_addresses};
pub use gatefleet_crds::GatewayConfigStatus;
pub use names::{
    ChildNames, FLEET_LABEL, MANAGED_BY_LABEL, RETAINED_LABEL, TIER_LABEL, children_selector,
    labels,
};
pub use observed::{
    CertificateObservation, Observed, PodObservation, Problem, RoutesObservation, TierObservation,
};
pub use ports::{
    PortAllocation, RELEASED_PORTS_ANNOTATION, TIER_PORTS, TierPorts, allocate_ports,
    recorded_ports,
};
pub use status::{owned_status, phase_of, recheck_after, status};
pub use transitions::{Transition, transitions};
