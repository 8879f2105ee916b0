//! Endpoints: EndpointSlices of one Service become the addresses of one of its ports.

use std::{collections::BTreeMap, net::IpAddr};

use gatefleet_ir::ServiceBackend;
use gatefleet_names::PortNumber;
use gatefleet_snapshot::{
    seal,
    v1::{self, Resource, resource::Body},
};
use k8s_openapi::api::{
    core::v1::Service,
    discovery::v1::{Endpoint, EndpointPort, EndpointSlice},
};

use crate::endpoints_name;

/// The endpoints of `backend`: those that are ready, and those that still serve while they terminate (KEP-1672).
/// A pod with addresses of both families is one endpoint, the Service's primary family first.
#[must_use]
pub fn lower_endpoints<'a, Slices>(
    backend: &ServiceBackend,
    service: Option<&Service>,
    slices: Slices,
) -> Resource
where
    Slices: IntoIterator<Item = &'a EndpointSlice>,
{
    let port = service.map(|service| PortOfService::find(service, backend.port));
    let mut found: BTreeMap<Identity, v1::Endpoint> = BTreeMap::new();
    let mut slices: Vec<&EndpointSlice> = slices.into_iter().collect();
    slices.sort_by_key(|slice| (&slice.address_type, &slice.metadata.name));
    for slice in slices {
        let Some(number) = port.as_ref().and_then(|port| port.number_in(slice)) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            add(&mut found, endpoint, number);
        }
    }
    let prefers_v6 = service.is_some_and(prefers_v6);
    let mut endpoints: Vec<v1::Endpoint> = found.into_values().collect();
    for endpoint in &mut endpoints {
        endpoint.addresses.sort_by_key(|text| text.contains(':') != prefers_v6);
    }
    endpoints.sort_by(|one, other| (&one.addresses, one.port).cmp(&(&other.addresses, other.port)));
    endpoints
        .dedup_by(|later, first| later.addresses == first.addresses && later.port == first.port);
    seal(endpoints_name(backend), Body::Endpoints(v1::Endpoints { endpoints }))
}

/// What makes entries of two slices one endpoint: the pod and the port, else the address.
type Identity = (String, u16);

fn add(found: &mut BTreeMap<Identity, v1::Endpoint>, said: &Endpoint, port: u16) {
    // The API says that all addresses of an entry are one; only the first is to be used.
    let Some(address) = said.addresses.first().and_then(|text| text.parse::<IpAddr>().ok()) else {
        return;
    };
    let conditions = said.conditions.as_ref();
    let ready = conditions.and_then(|all| all.ready).unwrap_or(true);
    let serving = conditions.and_then(|all| all.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|all| all.terminating).unwrap_or(false);
    if !(ready || serving && terminating) {
        return;
    }
    let pod = said.target_ref.as_ref().and_then(|pod| pod.uid.clone().or_else(|| pod.name.clone()));
    let identity = (pod.unwrap_or_else(|| address.to_string()), port);
    let endpoint = found.entry(identity).or_insert_with(|| v1::Endpoint {
        addresses: Vec::new(),
        port: port.into(),
        terminating,
        zone: said.zone.clone().unwrap_or_default(),
        labels: BTreeMap::new(),
    });
    let text = address.to_string();
    if !endpoint.addresses.contains(&text) {
        endpoint.addresses.push(text);
    }
    endpoint.terminating &= terminating;
}

fn prefers_v6(service: &Service) -> bool {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_deref());
    families.and_then(<[String]>::first).is_some_and(|family| family == "IPv6")
}

/// How the port of a Service is called in its slices.
enum PortOfService {
    /// By this name; empty for the only port of a Service.
    Named(String),
    /// The Service is headless and declares no port: the number is meant literally.
    Literal(PortNumber),
}

impl PortOfService {
    fn find(service: &Service, number: PortNumber) -> Self {
        let ports =
            service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let port = ports.iter().find(|port| port.port == i32::from(number.get()));
        port.map_or(Self::Literal(number), |port| {
            Self::Named(port.name.clone().unwrap_or_default())
        })
    }

    fn number_in(&self, slice: &EndpointSlice) -> Option<u16> {
        match self {
            Self::Literal(number) => Some(number.get()),
            Self::Named(name) => {
                let ports = slice.ports.as_deref().unwrap_or_default();
                let tcp = |port: &&EndpointPort| {
                    matches!(port.protocol.as_deref(), None | Some("TCP" | ""))
                };
                let named = |port: &&EndpointPort| port.name.as_deref().unwrap_or_default() == name;
                let port = ports.iter().filter(tcp).find(named)?;
                PortNumber::new(port.port?.into()).map(PortNumber::get)
            }
        }
    }
}
