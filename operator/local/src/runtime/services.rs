//! Services: a forwarder for each port, and the address of those of type `LoadBalancer`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::deployments::is_gone;
use super::endpoints::SERVICE_LABEL;
use super::forwarder::Forwarder;
use crate::events::Events;
use crate::network::Ports;

/// Where a user who wants a Service's raised ports finds them.
pub const OFFERED_PORTS: &str = "gatefleet.dev/offered-ports";

/// The forwarders of all Services.
#[derive(Debug)]
pub(crate) struct Forwarders {
    ports: Ports,
    node: Ipv4Addr,
    running: BTreeMap<SocketAddr, Forwarder>,
}

impl Forwarders {
    pub(crate) fn new(ports: Ports, node: Ipv4Addr) -> Self {
        Self { ports, node, running: BTreeMap::new() }
    }

    /// Starts, points and stops forwarders; true when one could not be started and another try is due.
    pub(crate) async fn advance(
        &mut self,
        services: &[Service],
        slices: &[EndpointSlice],
        events: &Events,
    ) -> bool {
        let mut wanted = BTreeMap::new();
        for service in services {
            for (address, port) in addresses(service, self.ports, self.node) {
                wanted.insert(address, (service, port));
            }
        }
        self.running.retain(|address, _| wanted.contains_key(address));
        let mut failed = false;
        for (address, (service, port)) in wanted {
            if let Entry::Vacant(vacant) = self.running.entry(address) {
                match Forwarder::start(address) {
                    Ok(forwarder) => {
                        vacant.insert(forwarder);
                    }
                    Err(error) => {
                        failed = true;
                        let note = format!(
                            "cannot listen on {address}: {error}; stop the program that does"
                        );
                        tracing::warn!(service = service.name_any(), "{note}");
                        events.warn(service, "PortUnavailable", &note).await;
                    }
                }
            }
            if let Some(forwarder) = self.running.get(&address) {
                forwarder.point_at(targets(service, port, slices));
            }
        }
        failed
    }
}

/// The addresses at which a Service is offered, with the port that each stands for: its own, and those of the node.
fn addresses(service: &Service, ports: Ports, node: Ipv4Addr) -> Vec<(SocketAddr, &ServicePort)> {
    let on_node = tcp_ports(service).filter_map(|port| {
        let number = u16::try_from(port.node_port?).ok()?;
        Some((SocketAddr::from((node, number)), port))
    });
    own_addresses(service, ports).into_iter().chain(on_node).collect()
}

/// The Service's own address at each of its ports.
fn own_addresses(service: &Service, ports: Ports) -> Vec<(SocketAddr, &ServicePort)> {
    let Some(ip) = cluster_ip(service) else { return Vec::new() };
    let offered = tcp_ports(service).filter_map(|port| {
        let number = u16::try_from(port.port).ok()?;
        Some((SocketAddr::from((ip, ports.offered(number))), port))
    });
    offered.collect()
}

fn tcp_ports(service: &Service) -> impl Iterator<Item = &ServicePort> {
    let all = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    all.filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
}

/// The Service's own address; none for headless ones, and for what is outside our ranges (the API's own Service).
fn cluster_ip(service: &Service) -> Option<Ipv4Addr> {
    let spec = service.spec.as_ref()?;
    let named = spec.type_.as_deref() == Some("ExternalName");
    let own =
        service.name_any() == "kubernetes" && service.namespace().as_deref() == Some("default");
    let ip: Ipv4Addr = spec.cluster_ip.as_deref()?.parse().ok()?;
    (!named && !own && ip.is_loopback()).then_some(ip)
}

/// Ready endpoints of a port; without any, those that end but still serve (KEP-1669).
fn targets(service: &Service, port: &ServicePort, slices: &[EndpointSlice]) -> Vec<SocketAddr> {
    let (mut ready, mut ending) = (Vec::new(), Vec::new());
    let name = port.name.as_deref().unwrap_or("");
    for slice in slices {
        let belongs = slice.namespace() == service.namespace()
            && slice.labels().get(SERVICE_LABEL) == Some(&service.name_any());
        let mut ports = slice.ports.iter().flatten();
        let number = ports
            .find(|port| port.name.as_deref().unwrap_or("") == name)
            .and_then(|port| u16::try_from(port.port?).ok());
        let Some(number) = number.filter(|_| belongs) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let Some(ip) = endpoint.addresses.first().and_then(|ip| ip.parse().ok()) else {
                continue;
            };
            let address = SocketAddr::new(ip, number);
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            if conditions.ready.unwrap_or(true) {
                ready.push(address);
            } else if conditions.serving.unwrap_or(false) && conditions.terminating.unwrap_or(false)
            {
                ending.push(address);
            }
        }
    }
    let mut targets = if ready.is_empty() { ending } else { ready };
    targets.sort_unstable();
    targets
}

/// Gives a Service of type `LoadBalancer` its address: the one at which its forwarders listen. Raised ports are told in an annotation.
///
/// # Errors
/// What the API said; the next look tries again.
pub(crate) async fn advance(
    client: &Client,
    service: &Service,
    ports: Ports,
) -> Result<(), kube::Error> {
    let api: Api<Service> =
        Api::namespaced(client.clone(), &service.namespace().unwrap_or_default());
    let balanced =
        service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
    let wanted =
        cluster_ip(service).filter(|_| balanced).map(|ip| json!([{"ip": ip, "ipMode": "VIP"}]));
    let there = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let there = there.and_then(|balancer| balancer.ingress.as_ref()).map(|ingress| json!(ingress));
    let parameters =
        PatchParams { field_manager: Some(super::MANAGER.to_owned()), ..PatchParams::default() };
    let gone_is_fine = |result: Result<Service, kube::Error>| match result {
        Err(error) if !is_gone(&error) => Err(error),
        _ => Ok(()),
    };
    if wanted != there {
        let patch = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": wanted}}}));
        gone_is_fine(api.patch_status(&service.name_any(), &parameters, &patch).await)?;
    }
    let raised = raised_ports(service, ports);
    if service.annotations().get(OFFERED_PORTS) != raised.as_ref() {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {OFFERED_PORTS: raised}}}));
        gone_is_fine(api.patch(&service.name_any(), &parameters, &patch).await)?;
    }
    Ok(())
}

/// `80=8080,443=8443`, when any port is offered at another number.
fn raised_ports(service: &Service, ports: Ports) -> Option<String> {
    let raised: Vec<_> = own_addresses(service, ports)
        .into_iter()
        .filter(|(address, port)| i32::from(address.port()) != port.port)
        .map(|(address, port)| format!("{}={}", port.port, address.port()))
        .collect();
    (!raised.is_empty()).then(|| raised.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::RaisedBecause;

    fn service() -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "echo", "namespace": "shop"},
            "spec": {
                "type": "LoadBalancer", "clusterIP": "127.96.0.7",
                "ports": [
                    {"name": "http", "port": 80}, {"name": "app", "port": 3000, "nodePort": 30000}, {"name": "dns", "port": 53, "protocol": "UDP"},
                ],
            },
        }))
        .unwrap()
    }

    fn slice(endpoints: &serde_json::Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "shop", "labels": {SERVICE_LABEL: "echo"}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 9000}], "endpoints": endpoints,
        }))
        .unwrap()
    }

    #[test]
    fn low_ports_are_offered_higher_to_ordinary_users() {
        let service = service();
        let offered = |ports| {
            addresses(&service, ports, Ipv4Addr::new(127, 96, 0, 1))
                .into_iter()
                .map(|(address, _)| address.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(offered(Ports::Same), ["127.96.0.7:80", "127.96.0.7:3000", "127.96.0.1:30000"]);
        let raised = Ports::Raised(RaisedBecause::NotAllowed);
        assert_eq!(offered(raised), ["127.96.0.7:8080", "127.96.0.7:3000", "127.96.0.1:30000"]);
        assert_eq!(raised_ports(&service, raised).as_deref(), Some("80=8080"));
        assert_eq!(raised_ports(&service, Ports::Same), None);
    }

    #[test]
    fn ready_ones_else_ending_ones_else_nobody() {
        let service = service();
        let port = &service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0];
        let ready = json!({"addresses": ["127.0.0.1"]});
        let ending = json!({"addresses": ["127.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}});
        let failing =
            json!({"addresses": ["127.0.0.3"], "conditions": {"ready": false, "serving": false}});
        for (endpoints, expected) in [
            (json!([ready, ending, failing]), vec!["127.0.0.1:9000"]),
            (json!([ending, failing]), vec!["127.0.0.2:9000"]),
            (json!([failing]), vec![]),
        ] {
            let targets = targets(&service, port, &[slice(&endpoints)]);
            let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
            assert_eq!(targets, expected);
        }
    }
}
