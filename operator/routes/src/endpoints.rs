//! Memory of endpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_ir::ServiceBackend;
use gatefleet_lower::{endpoints_name, lower_endpoints};
use gatefleet_names::PortNumber;
use gatefleet_sources::ServiceName;
use gatefleet_state::ClusterState;

use crate::TierResource;

/// The endpoints of every Service port that a tier sends requests to.
#[derive(Debug, Default)]
pub(crate) struct EndpointsMemory {
    services: BTreeMap<ServiceName, BTreeMap<PortNumber, (ServiceBackend, Arc<TierResource>)>>,
}

impl EndpointsMemory {
    /// Computes the remembered endpoints of `changed` Services again; answers the names of the resources that are
    /// different now, and how many Services were read.
    pub(crate) fn refresh(
        &mut self,
        changed: &BTreeSet<ServiceName>,
        state: &ClusterState,
    ) -> (BTreeSet<String>, u64) {
        let (mut different, mut count) = (BTreeSet::new(), 0);
        for name in changed {
            let Some(ports) = self.services.get_mut(name) else { continue };
            count += 1;
            for (backend, resource) in ports.values_mut() {
                let new = lower(backend, state);
                if new.resource.version != resource.resource.version {
                    different.insert(new.resource.name.clone());
                    *resource = Arc::new(new);
                }
            }
        }
        (different, count)
    }

    /// The endpoints of `backend`.
    pub(crate) fn get(
        &mut self,
        backend: &ServiceBackend,
        state: &ClusterState,
    ) -> Arc<TierResource> {
        let name =
            ServiceName { namespace: backend.namespace.clone(), name: backend.service.clone() };
        let ports = self.services.entry(name).or_default();
        let (_, resource) = ports
            .entry(backend.port)
            .or_insert_with(|| (backend.clone(), Arc::new(lower(backend, state))));
        Arc::clone(resource)
    }

    /// Forgets what is in none of `used`.
    pub(crate) fn retain(&mut self, used: impl Fn(&str) -> bool) {
        self.services.retain(|_, ports| {
            ports.retain(|_, (backend, _)| used(&endpoints_name(backend)));
            !ports.is_empty()
        });
    }
}

fn lower(backend: &ServiceBackend, state: &ClusterState) -> TierResource {
    let service = state.services.get(&backend.namespace, &backend.service);
    let slices = state.slices_of(&backend.namespace, &backend.service).map(|slice| &**slice);
    let resource = lower_endpoints(backend, service.map(|service| &**service), slices);
    TierResource { resource: Arc::new(resource), origins: BTreeSet::new() }
}
