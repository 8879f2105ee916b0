//! The Service of a tier: its address, and the record of its ports.

use gatefleet_crds::TrafficPolicy;
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::TierScope;
use crate::{
    names::selector_labels,
    ports::{PortAllocation, RELEASED_PORTS_ANNOTATION},
};

/// The Service in front of the tier's proxies.
pub(super) fn desired_service(scope: &TierScope<'_>, allocation: &PortAllocation) -> Service {
    let wish = &scope.spec.service;
    let ports = scope.spec.listeners.iter().filter_map(|listener| {
        let target = *allocation.ports.get(&listener.port)?;
        Some(ServicePort {
            name: Some(listener.name.clone()),
            port: i32::from(listener.port),
            protocol: Some("TCP".to_owned()),
            target_port: Some(IntOrString::Int(i32::from(target))),
            node_port: listener.node_port.map(i32::from),
            ..ServicePort::default()
        })
    });
    let families: Vec<String> =
        wish.ip_families.iter().map(|family| family.as_str().to_owned()).collect();
    let mut annotations = wish.annotations.clone();
    if let Some(released) = allocation.annotation() {
        annotations.insert(RELEASED_PORTS_ANNOTATION.to_owned(), released);
    }
    let mut metadata = scope.metadata(&scope.names.base);
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(wish.r#type.as_str().to_owned()),
            selector: Some(selector_labels(scope.fleet, scope.tier)),
            ports: Some(ports.collect()),
            load_balancer_class: wish.load_balancer_class.clone(),
            load_balancer_source_ranges: (!wish.load_balancer_source_ranges.is_empty())
                .then(|| wish.load_balancer_source_ranges.clone()),
            // True is what the API server takes for granted, for load balancers alone.
            allocate_load_balancer_node_ports: (!wish.allocate_load_balancer_node_ports)
                .then_some(false),
            external_traffic_policy: policy(wish.external_traffic_policy),
            internal_traffic_policy: policy(wish.internal_traffic_policy),
            ip_families: (!families.is_empty()).then_some(families),
            ip_family_policy: wish.ip_family_policy.map(|policy| policy.as_str().to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn policy(wish: Option<TrafficPolicy>) -> Option<String> {
    wish.map(|policy| policy.as_str().to_owned())
}
