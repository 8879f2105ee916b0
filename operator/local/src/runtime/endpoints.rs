//! `EndpointSlices` of Services with a selector. The builders are pure; [`advance`] writes what differs.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};

use super::deployments::{is_gone, ready_since, selects};
use super::probe::resolve_port;

/// The label that leads from a slice to its Service.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// The label that says who keeps a slice.
const KEEPER_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// Brings the slices of one Service to what its pods are; `slices` are those that exist in its namespace.
///
/// # Errors
/// What the API said; the next look tries again.
pub(crate) async fn advance(
    client: &Client,
    service: &Service,
    pods: &[Pod],
    slices: &[EndpointSlice],
) -> Result<(), kube::Error> {
    let namespace = service.namespace().unwrap_or_default();
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), &namespace);
    let desired = desired_slices(service, pods);
    let ours: Vec<_> = slices.iter().filter(|slice| is_ours(slice, service)).collect();
    for slice in &desired {
        let there = ours.iter().find(|there| there.name_any() == slice.name_any());
        let same = there
            .is_some_and(|there| there.ports == slice.ports && there.endpoints == slice.endpoints);
        if !same {
            let parameters = PatchParams::apply(super::MANAGER).force();
            api.patch(&slice.name_any(), &parameters, &Patch::Apply(slice)).await?;
        }
    }
    for slice in ours {
        if !desired.iter().any(|desired| desired.name_any() == slice.name_any()) {
            match api.delete(&slice.name_any(), &DeleteParams::default()).await {
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn is_ours(slice: &EndpointSlice, service: &Service) -> bool {
    slice.namespace() == service.namespace()
        && slice.labels().get(SERVICE_LABEL) == Some(&service.name_any())
        && slice.labels().get(KEEPER_LABEL).is_some_and(|keeper| keeper == super::MANAGER)
}

/// One slice for each set of ports that the Service's pods resolve it to: named ports may differ between versions.
fn desired_slices(service: &Service, pods: &[Pod]) -> Vec<EndpointSlice> {
    let default = BTreeMap::new();
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref()).unwrap_or(&default);
    if selector.is_empty() || service.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let publish_all = spec.and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false);
    let mut groups: BTreeMap<Vec<(String, u16)>, Vec<Endpoint>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.namespace() == service.namespace()) {
        if let Some(endpoint) = selects(selector, pod).then(|| endpoint(pod, publish_all)).flatten()
        {
            groups.entry(resolved_ports(service, pod)).or_default().push(endpoint);
        }
    }
    if groups.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    groups.into_iter().map(|(ports, endpoints)| slice(service, &ports, endpoints)).collect()
}

fn slice(
    service: &Service,
    ports: &[(String, u16)],
    mut endpoints: Vec<Endpoint>,
) -> EndpointSlice {
    endpoints.sort_by(|a, b| a.addresses.cmp(&b.addresses));
    let mut hasher = DefaultHasher::new();
    ports.hash(&mut hasher);
    let mut slice = EndpointSlice {
        address_type: "IPv4".to_owned(),
        endpoints: Some(endpoints),
        ports: Some(ports.iter().map(endpoint_port).collect()),
        ..EndpointSlice::default()
    };
    let name = service.name_any();
    slice.metadata.name = Some(format!("{name}-{:08x}", hasher.finish() & 0xffff_ffff));
    slice.metadata.namespace = service.namespace();
    slice.metadata.owner_references = service.controller_owner_ref(&()).map(|owner| vec![owner]);
    slice.metadata.labels = Some(BTreeMap::from([
        (SERVICE_LABEL.to_owned(), name),
        (KEEPER_LABEL.to_owned(), super::MANAGER.to_owned()),
    ]));
    slice
}

fn endpoint_port((name, port): &(String, u16)) -> EndpointPort {
    EndpointPort {
        name: Some(name.clone()),
        port: Some(i32::from(*port)),
        protocol: Some("TCP".to_owned()),
        app_protocol: None,
    }
}

/// What a pod contributes: nothing before it has an address or after it has ended.
fn endpoint(pod: &Pod, publish_all: bool) -> Option<Endpoint> {
    let status = pod.status.as_ref()?;
    let address = status.pod_ip.clone()?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let serving = ready_since(pod).is_some();
    let conditions = EndpointConditions {
        ready: Some((serving && !terminating) || publish_all),
        serving: Some(serving),
        terminating: Some(terminating),
    };
    Some(Endpoint {
        addresses: vec![address],
        conditions: Some(conditions),
        node_name: Some(super::NODE.to_owned()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
}

/// Each of the Service's TCP ports with the number that it has in this pod; names that the pod does not know are left out.
fn resolved_ports(service: &Service, pod: &Pod) -> Vec<(String, u16)> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let resolve = |port: &ServicePort| {
        let name = port.name.clone().unwrap_or_default();
        let number = match &port.target_port {
            None => u16::try_from(port.port).ok(),
            Some(target) => pod
                .spec
                .iter()
                .flat_map(|spec| &spec.containers)
                .find_map(|container| resolve_port(target, container)),
        };
        number.map(|number| (name, number))
    };
    ports
        .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
        .filter_map(resolve)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, address: &str, ready: bool, port: u16) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": "echo"}},
            "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]},
            "status": {
                "phase": "Running", "podIP": address,
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            },
        }))
        .unwrap()
    }

    fn service(target: &serde_json::Value) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "echo", "namespace": "shop", "uid": "s1"},
            "spec": {"selector": {"app": "echo"}, "ports": [{"name": "web", "port": 80, "targetPort": target}]},
        }))
        .unwrap()
    }

    /// A slice in short: `port: address+` (ready), `address-` (not), `address~` (serving, terminating).
    fn short(slices: &[EndpointSlice]) -> Vec<String> {
        let mark = |endpoint: &Endpoint| {
            let conditions = endpoint.conditions.clone().unwrap();
            let mark = match (conditions.ready, conditions.serving, conditions.terminating) {
                (Some(true), Some(true), _) => '+',
                (_, Some(true), Some(true)) => '~',
                _ => '-',
            };
            format!("{}{mark}", endpoint.addresses[0])
        };
        let line = |slice: &EndpointSlice| {
            let endpoints: Vec<_> = slice.endpoints.iter().flatten().map(mark).collect();
            let ports = slice.ports.iter().flatten().map(|port| port.port.unwrap().to_string());
            format!("{}: {}", ports.collect::<Vec<_>>().join(","), endpoints.join(" "))
        };
        slices.iter().map(line).collect()
    }

    #[test]
    fn conditions_follow_the_pods() {
        let mut ending = pod("c", "127.244.0.3", true, 3000);
        ending.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let pods =
            [pod("b", "127.244.0.2", false, 3000), pod("a", "127.244.0.1", true, 3000), ending];
        assert_eq!(
            short(&desired_slices(&service(&json!("http")), &pods)),
            ["3000: 127.244.0.1+ 127.244.0.2- 127.244.0.3~"]
        );
    }

    #[test]
    fn named_ports_that_differ_make_two_slices() {
        let pods = [pod("a", "127.244.0.1", true, 3000), pod("b", "127.244.0.2", true, 3001)];
        let slices = desired_slices(&service(&json!("http")), &pods);
        assert_eq!(short(&slices), ["3000: 127.244.0.1+", "3001: 127.244.0.2+"]);
        assert_ne!(slices[0].name_any(), slices[1].name_any());
        assert_eq!(short(&desired_slices(&service(&json!(8080)), &pods)).len(), 1);
    }

    #[test]
    fn without_pods_there_is_an_empty_slice_and_without_a_selector_none() {
        assert_eq!(short(&desired_slices(&service(&json!("http")), &[])), [": "]);
        let mut by_hand = service(&json!(1));
        by_hand.spec.as_mut().unwrap().selector = None;
        assert!(desired_slices(&by_hand, &[]).is_empty());
    }
}
