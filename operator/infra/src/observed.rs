//! What watches and proxies say about a fleet.

use gatefleet_crds::{Reason, RouteProblem};
use gatefleet_names::Tier;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Pod, Service},
};

use crate::acknowledgement::Holding;

/// Everything that the status of a fleet is made from, besides its spec and its previous status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The tier for traffic from outside; ignored unless declared.
    pub north_south: TierObservation,
    /// The tier for traffic between services; ignored unless declared.
    pub east_west: TierObservation,
    /// What the routes pipeline says.
    pub routes: RoutesObservation,
    /// The certificates that the fleet serves. Order does not matter.
    pub certificates: Vec<CertificateObservation>,
    /// What went wrong while building and applying. Order does not matter.
    pub problems: Vec<Problem>,
}

/// Something that keeps the fleet from being what is declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// One of those that stand on `Accepted` or `CertificatesReady`.
    pub reason: Reason,
    /// What is wrong, where, and what to do.
    pub message: String,
}

/// One certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateObservation {
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Its Secret, as `namespace/name`.
    pub name: String,
}

/// One tier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TierObservation {
    /// Its Service.
    pub service: Option<Service>,
    /// Its Deployment.
    pub deployment: Option<Deployment>,
    /// Its autoscaler.
    pub autoscaler: Option<HorizontalPodAutoscaler>,
    /// The pods that its Deployment owns.
    pub pods: Vec<PodObservation>,
    /// Whether its Secret with the identity exists.
    pub certificate_issued: bool,
}

/// One pod of a tier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodObservation {
    /// Its condition Ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Why it does not run, in the cluster's words.
    pub trouble: Option<String>,
    /// Whether it holds the current generation of the `GatewayConfig`: [`crate::SentLedger::holding_of`] for
    /// [`crate::setting_names`], not for what is made from routes.
    pub holding: Holding,
    /// Since when it has had no stream to the operator; `None` while it has one.
    pub streamless_since: Option<Timestamp>,
    /// Under which its node is reached: only for a tier that is reached so ([`crate::is_reached_through_nodes`]).
    pub node_addresses: Vec<String>,
}

/// What the routes pipeline says about a fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutesObservation {
    /// Whether a class, or the fleet's own `ingress.ingressClass`, selects it.
    pub selected: bool,
    /// Routes that are served, in whole or in part.
    pub attached: usize,
    /// Routes of which nothing is served.
    pub rejected: usize,
    /// Findings, at least as many as a status shows. Order does not matter.
    pub problems: Vec<RouteProblem>,
    /// How many findings there are besides those in `problems`.
    pub unlisted: usize,
}

impl Observed {
    /// One tier.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> &TierObservation {
        match tier {
            Tier::NorthSouth => &self.north_south,
            Tier::EastWest => &self.east_west,
        }
    }

    /// One tier, to fill it in.
    pub fn tier_mut(&mut self, tier: Tier) -> &mut TierObservation {
        match tier {
            Tier::NorthSouth => &mut self.north_south,
            Tier::EastWest => &mut self.east_west,
        }
    }
}

impl PodObservation {
    /// What `pod` itself says; whether it holds anything is not known to it.
    #[must_use]
    pub fn observe(pod: &Pod, holding: Holding, streamless_since: Option<Timestamp>) -> Self {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = conditions
            .clone()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let trouble = if ready || terminating { None } else { trouble(pod) };
        Self { ready, terminating, trouble, holding, streamless_since, node_addresses: Vec::new() }
    }

    /// Whether it takes traffic now.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.ready && !self.terminating
    }
}

/// Ordinary steps of a start, not worth a word.
const ORDINARY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let waiting = containers
        .clone()
        .filter_map(|container| container.state.as_ref()?.waiting.as_ref())
        .find_map(|waiting| {
            let reason = waiting.reason.as_deref().filter(|reason| !ORDINARY.contains(reason))?;
            Some(sentence(reason, waiting.message.as_deref()))
        });
    let terminated = || {
        containers.clone().find_map(|container| {
            let state = container.state.as_ref()?.terminated.as_ref()?;
            let exit = format!("exit status {}", state.exit_code);
            Some(sentence(&exit, state.message.as_deref().or(state.reason.as_deref())))
        })
    };
    let unscheduled = || {
        let condition =
            status.conditions.iter().flatten().find(|condition| {
                condition.type_ == "PodScheduled" && condition.status == "False"
            })?;
        let reason = condition.reason.as_deref().unwrap_or("Unscheduled");
        Some(sentence(reason, condition.message.as_deref()))
    };
    let failed = || {
        (status.phase.as_deref() == Some("Failed"))
            .then(|| sentence(status.reason.as_deref()?, status.message.as_deref()).into())
            .flatten()
    };
    waiting.or_else(terminated).or_else(unscheduled).or_else(failed)
}

fn sentence(reason: &str, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason.to_owned(),
    }
}
