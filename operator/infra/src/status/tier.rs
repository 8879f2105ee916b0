//! One tier as observed.

use gatefleet_crds::{Autoscaling, ListenerStatus, Scale, TierSpec, TierStatus};
use gatefleet_names::Tier;
use jiff::Timestamp;

use super::count;
use crate::{
    acknowledgement::Holding,
    exposure::addresses,
    observed::{PodObservation, TierObservation},
    ports::{node_ports, recorded_ports},
};

/// A declared tier together with what is observed of it.
pub(super) struct TierView<'a> {
    pub(super) tier: Tier,
    pub(super) spec: &'a TierSpec,
    pub(super) observed: &'a TierObservation,
}

impl<'a> TierView<'a> {
    pub(super) fn live(&self) -> impl Iterator<Item = &'a PodObservation> + Clone {
        self.observed.pods.iter().filter(|pod| pod.is_live())
    }

    pub(super) fn holders(&self) -> usize {
        self.live().filter(|pod| pod.holding == Holding::Current).count()
    }

    /// How many proxies there are to be.
    pub(super) fn wanted(&self) -> i32 {
        let automatic = |autoscaling: &Autoscaling| {
            let spec = self.observed.deployment.as_ref().and_then(|object| object.spec.as_ref());
            let scaled = spec.and_then(|spec| spec.replicas);
            scaled.unwrap_or_else(|| i32::from(autoscaling.min_replicas))
        };
        match self.spec.scale() {
            Scale::Fixed(replicas) => i32::from(replicas),
            Scale::Automatic(autoscaling) => automatic(autoscaling),
        }
    }

    /// What keeps the autoscaler from scaling.
    pub(super) fn cannot_scale(&self) -> Option<CannotScale<'a>> {
        let status = self.observed.autoscaler.as_ref()?.status.as_ref()?;
        let wrong = status.conditions.iter().flatten().find(|condition| {
            ["AbleToScale", "ScalingActive"].contains(&condition.type_.as_str())
                && condition.status == "False"
        })?;
        let since = wrong.last_transition_time.as_ref()?.0;
        Some(CannotScale { since, because: wrong.message.as_deref().unwrap_or_default() })
    }

    pub(super) fn unavailable_because(&self) -> Option<String> {
        if self.live().next().is_some() {
            return None;
        }
        let Self { tier, spec: _, observed } = self;
        let conditions = observed.deployment.iter().flat_map(|deployment| {
            deployment.status.iter().flat_map(|status| status.conditions.iter().flatten())
        });
        let refused = conditions
            .filter(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
            .find_map(|condition| condition.message.clone());
        let trouble = observed.pods.iter().filter_map(|pod| pod.trouble.as_ref()).min();
        let because = match refused.as_ref().or(trouble) {
            Some(because) => format!(": {because}"),
            None => String::new(),
        };
        Some(format!("tier {tier}: 0 of {} proxies ready{because}", self.wanted()))
    }

    pub(super) fn status(&self) -> TierStatus {
        let Self { spec, observed, .. } = self;
        let service = observed.service.as_ref();
        let ports = service.map(recorded_ports).unwrap_or_default();
        let node_ports = service.map(node_ports).unwrap_or_default();
        let listeners = spec.listeners.iter().filter_map(|listener| {
            Some(ListenerStatus {
                name: listener.name.clone(),
                port: listener.port,
                protocol: listener.protocol,
                target_port: *ports.get(&listener.port)?,
                node_port: node_ports.get(&listener.port).copied(),
            })
        });
        let ready = self.live().count();
        TierStatus {
            replicas: self.wanted(),
            ready_replicas: count(ready),
            acknowledged_replicas: count(self.holders()),
            ready: format!("{ready}/{}", self.wanted()),
            addresses: service
                .map(|service| addresses(service, &self.live().collect::<Vec<_>>()))
                .unwrap_or_default(),
            listeners: listeners.collect(),
        }
    }
}

/// An autoscaler's complaint. Each one has one at first, until metrics of new pods are there.
pub(super) struct CannotScale<'a> {
    pub(super) since: Timestamp,
    pub(super) because: &'a str,
}
