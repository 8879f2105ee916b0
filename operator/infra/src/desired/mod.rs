//! The objects that a `GatewayConfig` leads to.

mod availability;
mod bootstrap;
mod deployment;
mod patch;
mod scheduling;
mod secrets;
mod service;

use std::{collections::BTreeSet, net::SocketAddr};

use gatefleet_crds::{DeletionPolicy, GROUP, GatewayConfig, GatewayConfigSpec, TierSpec, VERSION};
use gatefleet_names::Tier;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use crate::{
    check::check_tier,
    children::{Child, ChildObject},
    names::{ChildNames, RETAINED_LABEL, labels},
    ports::PortAllocation,
};

pub use bootstrap::BOOTSTRAP_KEY;
pub use deployment::STATUS_PORT;
pub(crate) use scheduling::affinity;
pub use secrets::{CA_CERTIFICATE_KEY, CERTIFICATE_KEY, PRIVATE_KEY_KEY};

/// What belongs to the operator, the same for every fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Image of the proxies.
    pub proxy_image: String,
    /// Where proxies reach the operator first; it tells them all replicas.
    pub servers: Vec<SocketAddr>,
}

/// What belongs to one tier, besides its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierInputs {
    /// From [`crate::allocate_ports`].
    pub ports: PortAllocation,
    /// From the tier's certificate authority.
    pub channel: ChannelMaterial,
}

/// A tier's identity towards the operator, and the authority that vouches for it. Everything is PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelMaterial {
    /// The certificate of the authority that signs the tier's certificate.
    pub ca_certificate: String,
    /// The authority's private key. It leaves the operator only into its own Secret, which no pod mounts.
    pub ca_key: String,
    /// The tier's certificate.
    pub certificate: String,
    /// The tier's private key.
    pub private_key: String,
    /// The certificate of the authority that signs the operator's own servers: what the proxies believe.
    pub server_ca: String,
}

impl std::fmt::Debug for ChannelMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelMaterial").finish_non_exhaustive()
    }
}

/// Everything that a `GatewayConfig` leads to. Take it apart without `..`: then nothing is forgotten.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The tier for traffic from outside, if declared.
    pub north_south: Option<TierObjects>,
    /// The tier for traffic between services, if declared.
    pub east_west: Option<TierObjects>,
}

/// The objects of one tier. Take it apart without `..`.
#[derive(Clone, Debug, PartialEq)]
pub struct TierObjects {
    /// The identity of the pods in the cluster. It has no token.
    pub service_account: ServiceAccount,
    /// Where the proxies find the operator.
    pub bootstrap: ConfigMap,
    /// The tier's certificate authority. Never mounted.
    pub authority: Secret,
    /// The tier's identity towards the operator. Mounted.
    pub channel: Secret,
    /// What may reach the pods, if that is restricted.
    pub network_policy: Option<NetworkPolicy>,
    /// How many pods may be evicted at a time.
    pub disruption_budget: PodDisruptionBudget,
    /// The address of the tier, and the record of its ports.
    pub service: Service,
    /// What decides how many proxies run, unless that is declared.
    pub autoscaler: Option<HorizontalPodAutoscaler>,
    /// The proxies. Without `replicas` if there is an autoscaler.
    pub deployment: Deployment,
}

impl Desired {
    /// Every object that must stay, as far as it was built. An object that [`crate::children_selector`] finds, that
    /// the `GatewayConfig` owns by UID and that is not among them is an orphan, unless its tier was not built.
    #[must_use]
    pub fn children(&self) -> BTreeSet<Child> {
        let Self { north_south, east_west } = self;
        let tiers = north_south.iter().chain(east_west);
        tiers.flat_map(TierObjects::objects).map(ChildObject::child).collect()
    }

    /// One tier, if it was built.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> Option<&TierObjects> {
        match tier {
            Tier::NorthSouth => self.north_south.as_ref(),
            Tier::EastWest => self.east_west.as_ref(),
        }
    }
}

impl TierObjects {
    /// All of them, in the order in which they are to be applied: what pods need comes before them.
    #[must_use]
    pub fn objects(&self) -> Vec<&dyn ChildObject> {
        let Self {
            service_account,
            bootstrap,
            authority,
            channel,
            network_policy,
            disruption_budget,
            service,
            autoscaler,
            deployment,
        } = self;
        let mut objects: Vec<&dyn ChildObject> =
            vec![service_account, bootstrap, authority, channel];
        objects.extend(network_policy.iter().map(|policy| policy as &dyn ChildObject));
        objects.extend([disruption_budget as &dyn ChildObject, service, deployment]);
        // After what it scales: before, it would complain of a missing target.
        objects.extend(autoscaler.iter().map(|autoscaler| autoscaler as &dyn ChildObject));
        objects
    }
}

/// The declared half of `config`.
#[must_use]
pub fn tier_spec(config: &GatewayConfig, tier: Tier) -> Option<&TierSpec> {
    match tier {
        Tier::NorthSouth => config.spec.north_south.as_ref(),
        Tier::EastWest => config.spec.east_west.as_ref(),
    }
}

/// The names of the snapshot resources that a tier's own settings become: a generation is acknowledged when
/// all of them are held ([`crate::SentLedger::holding_of`]).
#[must_use]
pub fn setting_names(spec: &TierSpec) -> Vec<String> {
    let listeners = spec.listeners.iter().map(|listener| format!("listener/{}", listener.name));
    let access = (!spec.source_ranges.is_empty()).then(|| "policy/tier".to_owned());
    std::iter::once("tier".to_owned()).chain(access).chain(listeners).collect()
}

/// Builds everything. `inputs` is asked for declared tiers only; a tier without inputs is left out, so that one
/// unusable authority does not stop the other tier. Being left out is no reason to be pruned.
#[must_use]
pub fn desired(
    config: &GatewayConfig,
    operator: &Operator,
    mut inputs: impl FnMut(Tier) -> Option<TierInputs>,
) -> Desired {
    let mut objects = |tier| {
        let spec = tier_spec(config, tier).filter(|spec| check_tier(tier, spec).is_empty())?;
        let TierInputs { ports, channel } = inputs(tier)?;
        let scope = TierScope::new(config, tier, spec);
        Some(TierObjects {
            service_account: service_account(&scope),
            bootstrap: bootstrap::desired_bootstrap(&scope, &operator.servers),
            authority: secrets::desired_authority(&scope, &channel),
            channel: secrets::desired_channel(&scope, &channel),
            network_policy: availability::desired_policy(&scope, &ports),
            disruption_budget: availability::desired_budget(&scope),
            service: service::desired_service(&scope, &ports),
            autoscaler: availability::desired_autoscaler(&scope),
            deployment: deployment::desired_deployment(&scope, &operator.proxy_image),
        })
    };
    Desired { north_south: objects(Tier::NorthSouth), east_west: objects(Tier::EastWest) }
}

/// The Deployments alone, before anything else exists: so that the cluster can be asked whether it takes their pods.
#[must_use]
pub fn desired_deployments(config: &GatewayConfig, image: &str) -> Vec<(Tier, Deployment)> {
    let declared = Tier::ALL.into_iter().filter_map(|tier| Some((tier, tier_spec(config, tier)?)));
    let possible = declared.filter(|(tier, spec)| check_tier(*tier, spec).is_empty());
    possible
        .map(|(tier, spec)| {
            let scope = TierScope::new(config, tier, spec);
            (tier, deployment::desired_deployment(&scope, image))
        })
        .collect()
}

/// What keeps the tier's `pod.patch` from being applied.
pub(crate) fn patch_fault(tier: Tier, spec: &TierSpec) -> Option<String> {
    let patch = spec.pod.patch.as_ref()?;
    // Names and image are any: no patch reaches them.
    let config = GatewayConfig::new("fleet", GatewayConfigSpec::default());
    let template = deployment::unpatched_template(&TierScope::new(&config, tier, spec), "image");
    patch::patched(&template, &patch.0).err()
}

/// What every builder needs.
pub(crate) struct TierScope<'a> {
    pub(crate) tier: Tier,
    pub(crate) spec: &'a TierSpec,
    pub(crate) fleet: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) names: ChildNames,
    owner: OwnerReference,
    deletion: DeletionPolicy,
}

impl<'a> TierScope<'a> {
    fn new(config: &'a GatewayConfig, tier: Tier, spec: &'a TierSpec) -> Self {
        let metadata = &config.metadata;
        let fleet = metadata.name.as_deref().unwrap_or_default();
        Self {
            tier,
            spec,
            fleet,
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            names: ChildNames::new(fleet, tier),
            owner: OwnerReference {
                api_version: format!("{GROUP}/{VERSION}"),
                kind: "GatewayConfig".to_owned(),
                name: fleet.to_owned(),
                uid: metadata.uid.clone().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            },
            deletion: config.spec.deletion_policy,
        }
    }

    /// Metadata of an object that the `GatewayConfig` owns. What is to outlive it names no owner from the first: a
    /// reference that is taken off at the end comes too late for a foreground deletion, and for an operator that
    /// does not run.
    pub(crate) fn metadata(&self, name: &str) -> ObjectMeta {
        let mut metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            ..ObjectMeta::default()
        };
        let mut labels = labels(self.fleet, self.tier);
        match self.deletion {
            DeletionPolicy::Delete => metadata.owner_references = Some(vec![self.owner.clone()]),
            DeletionPolicy::Retain => {
                labels.insert(RETAINED_LABEL.to_owned(), self.owner.uid.clone());
            }
        }
        metadata.labels = Some(labels);
        metadata
    }
}

fn service_account(scope: &TierScope<'_>) -> ServiceAccount {
    ServiceAccount {
        automount_service_account_token: Some(false),
        metadata: scope.metadata(&scope.names.base),
        ..ServiceAccount::default()
    }
}
