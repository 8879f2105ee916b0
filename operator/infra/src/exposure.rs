//! Under which addresses a tier is reached.

use std::{collections::BTreeSet, net::IpAddr};

use gatefleet_crds::{ServiceType, TierSpec};
use k8s_openapi::api::core::v1::{Node, Service};

use crate::observed::PodObservation;

/// Whether clients from outside come in through the nodes of the tier's pods.
#[must_use]
pub fn is_reached_through_nodes(spec: &TierSpec) -> bool {
    spec.service.r#type == ServiceType::NodePort
}

/// What a node is reached under: its external addresses; without any, its internal ones.
#[must_use]
pub fn node_addresses(node: &Node) -> Vec<String> {
    let status = node.status.as_ref();
    let all = || status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let of_type = |wanted: &str| -> Vec<String> {
        let fitting = all().filter(|one| one.type_ == wanted && !one.address.is_empty());
        fitting.map(|one| one.address.clone()).collect()
    };
    let external = of_type("ExternalIP");
    if external.is_empty() { of_type("InternalIP") } else { external }
}

/// The addresses of a tier: of its load balancer, of the nodes of its live pods, or else of its Service.
pub(crate) fn addresses(service: &Service, live: &[&PodObservation]) -> Vec<String> {
    let spec = service.spec.as_ref();
    match spec.and_then(|spec| spec.type_.as_deref()) {
        Some("LoadBalancer") => balanced(service),
        Some("NodePort") => of_nodes(service, live),
        _ => in_cluster(service),
    }
}

fn of_nodes(service: &Service, live: &[&PodObservation]) -> Vec<String> {
    let spec = service.spec.as_ref();
    let families = spec.and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    let all: BTreeSet<&String> = live.iter().flat_map(|pod| &pod.node_addresses).collect();
    all.into_iter().filter(|one| is_served(one, &families)).cloned().collect()
}

fn balanced(service: &Service) -> Vec<String> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = status.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    entries.filter_map(|entry| entry.ip.clone().or_else(|| entry.hostname.clone())).collect()
}

fn in_cluster(service: &Service) -> Vec<String> {
    let addresses = service.spec.as_ref().and_then(|spec| spec.cluster_ips.as_ref());
    let addresses = addresses.into_iter().flatten();
    addresses.filter(|address| !address.is_empty() && *address != "None").cloned().collect()
}

/// Node ports are open in the Service's families alone. What is no IP address is a name, which may be of any.
fn is_served(address: &str, families: &[String]) -> bool {
    let family = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => "IPv4",
        Ok(IpAddr::V6(_)) => "IPv6",
        Err(_) => return true,
    };
    families.is_empty() || families.iter().any(|one| one == family)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_reached_from_outside_where_it_can_be() {
        let node = |addresses| {
            let node = json!({"metadata": {"name": "n"}, "status": {"addresses": addresses}});
            node_addresses(&serde_json::from_value(node).unwrap())
        };
        let inside = json!({"type": "InternalIP", "address": "10.0.0.1"});
        let name = json!({"type": "Hostname", "address": "n"});
        let outside = json!({"type": "ExternalIP", "address": "203.0.113.1"});
        let both = json!({"type": "ExternalIP", "address": "2001:db8::1"});
        assert_eq!(node(json!([name, inside])), ["10.0.0.1"]);
        assert_eq!(node(json!([inside, outside, both])), ["203.0.113.1", "2001:db8::1"]);
        assert!(node(json!([name])).is_empty());
    }
}
