//! Which ports the proxies of a tier bind.

use gatefleet_infra::ChildNames;
use gatefleet_lower::TierPorts;
use gatefleet_names::TierKey;
use gatefleet_state::Shelf;
use k8s_openapi::api::core::v1::Service;

/// What the tier's Service records.
pub(crate) fn recorded_ports(tier: &TierKey, services: &Shelf<Service>) -> TierPorts {
    let name = ChildNames::new(&tier.fleet.name, tier.tier).base;
    let service = services.get(&tier.fleet.namespace, &name);
    service.map(|service| gatefleet_infra::recorded_ports(service)).unwrap_or_default()
}
