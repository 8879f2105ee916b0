//! `gatefleet.dev/v1alpha1`: the types of [`GatewayConfig`], their defaults, the rules of their schema, and
//! the closed vocabulary of its status (phases, conditions, reasons).
//!
//! Input: what a user wrote and the API server admitted. Output: typed values in which every default is
//! written out, durations are milliseconds, and what the schema promises holds. The committed manifest
//! (`crds/gatewayconfigs.yaml`, [`manifest`]) is generated from these types.
//!
//! Invariants: a field exists here only together with the feature that it controls; every field says what it
//! does, its default and an example; nothing branches on [`Phase`].
//!
//! This crate must not know a client, a runtime or a clock.

mod api_page;
mod availability;
mod certificates;
mod duration;
mod manifest;
mod network;
mod pages;
mod quantity;
mod rules;
mod scheduling;
mod service;
mod size;
mod spec;
mod status;
mod tuning;
mod vocabulary;

pub use api_page::api_page;
pub use availability::{Autoscaling, DisruptionBudget, NetworkPolicy, Scale, Share};
pub use certificates::{DefaultCertificate, SecretReference};
pub use duration::{Duration, DurationError, OptionalDuration};
pub use manifest::manifest;
pub use network::{
    ClientIpDetection, Listener, ListenerProtocol, SourceRanges, TlsSpec, TlsVersion,
};
pub use pages::conditions_page;
pub use quantity::{Quantity, ResourceLimits, ResourceRequests, Resources};
pub use scheduling::{
    Affinity, PodPatch, SpreadConstraint, TaintEffect, Toleration, TolerationOperator,
    WhenUnsatisfiable,
};
pub use service::{IpFamily, IpFamilyPolicy, ServiceSpec, ServiceType, TrafficPolicy};
pub use size::Size;
pub use spec::{
    AccessLog, AccessLogFormat, DeletionPolicy, GatewayConfig, GatewayConfigSpec, IngressSpec,
    NamespaceSelector, Observability, PodSpec, TierSpec,
};
pub use status::{
    CertificateStatus, GatewayConfigStatus, ListenerStatus, RouteProblem, RoutesStatus, TierStatus,
};
pub use tuning::{Drain, Limits, Timeouts};
pub use vocabulary::{ConditionType, EventType, Phase, Reason};

/// The API group of every kind here.
pub const GROUP: &str = "gatefleet.dev";
/// Its version.
pub const VERSION: &str = "v1alpha1";
