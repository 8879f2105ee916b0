//! One tier as observed.

use gatefleet_crds::{ListenerStatus, TierSpec, TierStatus};
use gatefleet_names::Tier;

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

    pub(super) fn unavailable_because(&self) -> Option<String> {
        if self.live().next().is_some() {
            return None;
        }
        let Self { tier, spec, observed } = self;
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
        Some(format!("tier {tier}: 0 of {} proxies ready{because}", spec.replicas))
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
            replicas: i32::from(spec.replicas),
            ready_replicas: count(ready),
            acknowledged_replicas: count(self.holders()),
            ready: format!("{ready}/{}", spec.replicas),
            addresses: service
                .map(|service| addresses(service, &self.live().collect::<Vec<_>>()))
                .unwrap_or_default(),
            listeners: listeners.collect(),
        }
    }
}
