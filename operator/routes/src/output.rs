//! What the pipeline tells the controllers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_ir::Diagnostic;
use gatefleet_names::{FleetKey, ObjectKey, Tier, TierKey};
use gatefleet_snapshot::v1::Resource;
use jiff::Timestamp;

/// Everything that follows from one state of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutesOutput {
    /// The configuration of every tier of every GatewayConfig, whether something selects it or not.
    pub tiers: BTreeMap<TierKey, Arc<TierRoutes>>,
    /// What concerns a GatewayConfig as a whole.
    pub fleets: BTreeMap<FleetKey, Arc<FleetRoutes>>,
    /// Every Ingress, selected or not.
    pub ingresses: BTreeMap<ObjectKey, Arc<IngressOutcome>>,
    /// Findings about IngressClasses and GatewayConfigs, ascending.
    pub findings: Vec<Diagnostic>,
    /// The Secrets that must be watched, each by name.
    pub secrets: BTreeSet<SecretName>,
    /// How many objects (Ingresses, Secrets, Services) this update translated.
    pub translated: u64,
    /// When the result changes without any change of the cluster: a certificate's time begins or ends.
    pub recheck_at: Option<Timestamp>,
}

/// A Secret that routes name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

/// The resources of one tier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TierRoutes {
    /// By name; exactly what is reachable from the tier's listeners and routes.
    pub resources: BTreeMap<String, Arc<TierResource>>,
}

/// One resource and who caused it.
#[derive(Clone, Debug, PartialEq)]
pub struct TierResource {
    /// With its version.
    pub resource: Arc<Resource>,
    /// The objects, each in a generation, that this resource says something about.
    pub origins: BTreeSet<Origin>,
}

/// One object at one generation of its spec.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The object.
    pub object: ObjectKey,
    /// `metadata.generation`; 0 for kinds without one.
    pub generation: i64,
}

/// What concerns a GatewayConfig as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetRoutes {
    /// The tiers that something selects: an IngressClass names the fleet, or it has `ingress.ingressClass`.
    pub selected: BTreeSet<Tier>,
    /// Ingresses of which at least one rule or certificate is served.
    pub attached: u32,
    /// Ingresses of which at least one part is refused. An Ingress may count in both.
    pub rejected: u32,
    /// The first [`FleetRoutes::MAX_PROBLEMS`] refusals and warnings, refusals first.
    pub problems: Vec<Diagnostic>,
    /// How many problems are not listed.
    pub more_problems: u32,
    /// What is wrong with the default certificates of its tiers; what is refused is not served.
    pub default_certificates: Vec<Diagnostic>,
    /// The certificates that its tiers serve, the one that ends first before the others.
    pub certificates: Vec<ServedCertificate>,
    /// The older fleet that claims the same classes and therefore publishes their addresses.
    pub class_conflict: Option<FleetKey>,
}

/// A certificate that proxies hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServedCertificate {
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Where it lies.
    pub secret: SecretName,
}

impl FleetRoutes {
    /// Longest list of problems in a status.
    pub const MAX_PROBLEMS: usize = 20;
}

/// What became of one Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressOutcome {
    /// `metadata.generation`
    pub generation: i64,
    /// The tiers it is attached to, each with the names of the resources that were derived from it.
    pub tiers: BTreeMap<TierKey, BTreeSet<String>>,
    /// The tier whose addresses are published in its status. `None`: nobody's (not selected, or switched off).
    pub publisher: Option<TierKey>,
    /// Findings about it, ascending by field.
    pub diagnostics: Vec<Diagnostic>,
}
