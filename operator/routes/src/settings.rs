//! The settings of every tier.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_crds::{GatewayConfig, TierSpec};
use gatefleet_lower::{TierPorts, lower_settings};
use gatefleet_names::{Kind, Tier, TierKey};
use gatefleet_snapshot::{
    seal,
    v1::{Resource, resource::Body},
};
use gatefleet_sources::claimant_of;
use gatefleet_state::ClusterState;

use crate::{
    Origin, PortRecord, TierResource,
    class::tier_of,
    defaults::Usable,
    ports::{offered_ports, recorded_ports},
    selection::fleet_of,
};

/// `tier`, `policy/tier` and `listener/…` of one tier, by name.
pub(crate) type Settings = BTreeMap<String, Arc<TierResource>>;

/// Every declared tier.
pub(crate) fn declared_tiers(state: &ClusterState) -> BTreeSet<TierKey> {
    let tiers = state.gateway_configs.iter().flat_map(|config| {
        let fleet = fleet_of(&claimant_of(Kind::GatewayConfig, &config.metadata).object);
        let declared = Tier::ALL.into_iter().filter(|tier| tier_of(config, *tier).is_some());
        declared.map(|tier| fleet.tier(tier)).collect::<Vec<_>>()
    });
    tiers.collect()
}

/// The settings of every declared tier; `defaults` are its default certificates.
pub(crate) fn all_settings(
    state: &ClusterState,
    record: PortRecord,
    defaults: impl Fn(&TierKey) -> Vec<Usable>,
) -> BTreeMap<TierKey, Settings> {
    let mut all = BTreeMap::new();
    for config in state.gateway_configs.iter() {
        for tier in Tier::ALL {
            if let Some(spec) = tier_of(config, tier) {
                let (key, settings) = settings(config, (tier, spec), state, record, &defaults);
                all.insert(key, settings);
            }
        }
    }
    all
}

fn settings(
    config: &GatewayConfig,
    (tier, spec): (Tier, &TierSpec),
    state: &ClusterState,
    record: PortRecord,
    defaults: &impl Fn(&TierKey) -> Vec<Usable>,
) -> (TierKey, Settings) {
    let owner = claimant_of(Kind::GatewayConfig, &config.metadata);
    let key = fleet_of(&owner.object).tier(tier);
    let ports = match record {
        PortRecord::Service => recorded_ports(&key, &state.services),
        PortRecord::Advertised => spec
            .listeners
            .iter()
            .map(|listener| (listener.port, listener.port))
            .collect::<TierPorts>(),
    };
    let (references, certificates): (Vec<_>, Vec<_>) = defaults(&key).into_iter().unzip();
    let lowered = lower_settings(&owner, spec, &config.spec.observability, &ports, &references);
    let origins =
        BTreeSet::from([Origin { object: owner.object.clone(), generation: owner.generation }]);
    let offered = offered_ports(&key, &state.services);
    let listeners = lowered.listeners.into_iter().map(|listener| offer(listener, &offered));
    let resources =
        std::iter::once(lowered.tier).chain(lowered.access).chain(listeners).map(Arc::new);
    let settings = resources.chain(certificates).map(|resource| {
        let name = resource.name.clone();
        (name, Arc::new(TierResource { resource, origins: origins.clone() }))
    });
    (key, settings.collect())
}

/// The listener as clients know it: by the port at which it is offered.
fn offer(resource: Resource, offered: &TierPorts) -> Resource {
    let Some(Body::Listener(listener)) = &resource.body else { return resource };
    let port = u16::try_from(listener.advertised_port).ok().and_then(|port| offered.get(&port));
    let Some(port) = port else { return resource };
    let mut listener = listener.clone();
    listener.advertised_port = (*port).into();
    seal(resource.name, Body::Listener(listener))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatefleet_snapshot::v1::Listener;

    #[test]
    fn a_listener_is_known_by_the_port_at_which_it_is_offered() {
        let listener = |port| {
            let listener = Listener { advertised_port: port, ..Listener::default() };
            seal("listener/http", Body::Listener(listener))
        };
        let offered = TierPorts::from([(80, 8080)]);
        assert_eq!(offer(listener(80), &offered), listener(8080));
        assert_eq!(offer(listener(3000), &offered), listener(3000));
        assert_ne!(listener(80).version, listener(8080).version);
    }
}
