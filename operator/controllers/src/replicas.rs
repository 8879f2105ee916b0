//! Which replicas of the operator there are: those that stand behind the Service of the channel.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use gatefleet_watch::View;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::sync::watch;

/// Name of the Service's port.
const PORT: &str = "channel";

/// Tells `told` the addresses of all ready replicas, whenever they change. While the Service has none, nothing is told:
/// what was announced before is better than nothing.
pub(crate) async fn follow(
    namespace: String,
    service: String,
    mut views: watch::Receiver<Option<Arc<View>>>,
    told: watch::Sender<Vec<String>>,
) {
    while views.changed().await.is_ok() {
        let Some(view) = views.borrow_and_update().clone() else { continue };
        let found: BTreeSet<SocketAddr> =
            view.state.slices_of(&namespace, &service).flat_map(|slice| ready(slice)).collect();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        told.send_if_modified(|before| {
            let new = !found.is_empty() && *before != found;
            if new {
                tracing::info!(replicas = ?found, "replicas of the operator");
                *before = found;
            }
            new
        });
    }
}

fn ready(slice: &EndpointSlice) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().flatten();
    let mut ports = ports.filter(|port| port.name.as_deref() == Some(PORT));
    let Some(port) = ports.find_map(|port| u16::try_from(port.port?).ok()) else {
        return Vec::new();
    };
    let endpoints = slice.endpoints.iter().flatten();
    let ready = endpoints.filter(|endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    });
    ready
        .flat_map(|endpoint| &endpoint.addresses)
        .filter_map(|address| Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, port)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_endpoints_of_the_named_port_are_replicas() {
        let slice = |port: &str| {
            let slice = serde_json::json!({
                "metadata": { "name": "gatefleet-x" }, "addressType": "IPv4",
                "ports": [{ "name": "status", "port": 1 }, { "name": port, "port": 9702 }],
                "endpoints": [
                    { "addresses": ["10.0.0.1"], "conditions": { "ready": true } },
                    { "addresses": ["10.0.0.2"], "conditions": { "ready": false } },
                    { "addresses": ["10.0.0.3"] },
                ],
            });
            serde_json::from_value::<EndpointSlice>(slice).unwrap()
        };
        let found: Vec<String> = ready(&slice("channel")).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.1:9702", "10.0.0.3:9702"]);
        assert_eq!(ready(&slice("other")), []);
    }
}
