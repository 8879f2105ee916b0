//! Which ports the proxies of a tier bind.

use gatefleet_infra::ChildNames;
use gatefleet_lower::TierPorts;
use gatefleet_names::TierKey;
use gatefleet_state::Shelf;
use k8s_openapi::api::core::v1::Service;

/// On a Service: at which other numbers its ports are offered, as `80=8080,443=8443`. Local mode writes it for users who may not
/// listen below 1024; then the offered port is the one that clients know, and redirects name it.
const OFFERED_PORTS: &str = "gatefleet.dev/offered-ports";

/// Port of the tier's Service → port at which it is offered, where the two differ.
pub(crate) fn offered_ports(tier: &TierKey, services: &Shelf<Service>) -> TierPorts {
    let name = ChildNames::new(&tier.fleet.name, tier.tier).base;
    let service = services.get(&tier.fleet.namespace, &name);
    let annotations = service.and_then(|service| service.metadata.annotations.as_ref());
    annotations
        .and_then(|all| all.get(OFFERED_PORTS))
        .map(|text| parse_offered(text))
        .unwrap_or_default()
}

/// Pairs that cannot be read are left out: the port is then offered at its own number.
fn parse_offered(text: &str) -> TierPorts {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(port, offered)| Some((port.parse().ok()?, offered.parse().ok()?))).collect()
}

/// What the tier's Service records.
pub(crate) fn recorded_ports(tier: &TierKey, services: &Shelf<Service>) -> TierPorts {
    let name = ChildNames::new(&tier.fleet.name, tier.tier).base;
    let service = services.get(&tier.fleet.namespace, &name);
    service.map(|service| gatefleet_infra::recorded_ports(service)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offered_ports_are_pairs() {
        assert_eq!(parse_offered("80=8080,443=8443"), TierPorts::from([(80, 8080), (443, 8443)]));
        assert_eq!(parse_offered("80=x,,=1,70000=1,443=8443"), TierPorts::from([(443, 8443)]));
    }
}
