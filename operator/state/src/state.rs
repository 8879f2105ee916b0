//! The shelves together.

use std::{collections::BTreeMap, sync::Arc};

use gatefleet_crds::GatewayConfig;
use k8s_openapi::api::{
    core::v1::{Namespace, Secret, Service},
    discovery::v1::EndpointSlice,
    networking::v1::{Ingress, IngressClass},
};

use crate::{ReferenceGrant, Shelf};

/// Label of an EndpointSlice that names its Service (`discovery.k8s.io/v1`).
const SERVICE_NAME: &str = "kubernetes.io/service-name";

type SlicesOfService = BTreeMap<(String, String), Shelf<EndpointSlice>>;

/// Everything that routes are made of, as the watches last saw it.
#[derive(Clone, Debug, Default)]
pub struct ClusterState {
    /// `gatefleet.dev/v1alpha1`
    pub gateway_configs: Shelf<GatewayConfig>,
    /// `networking.k8s.io/v1`
    pub ingresses: Shelf<Ingress>,
    /// `networking.k8s.io/v1`, cluster-scoped
    pub ingress_classes: Shelf<IngressClass>,
    /// `v1`, cluster-scoped
    pub namespaces: Shelf<Namespace>,
    /// `gateway.networking.k8s.io/v1beta1`; empty where Gateway API is not installed
    pub reference_grants: Shelf<ReferenceGrant>,
    /// `v1`: only those that routes name (see `RoutesOutput::secrets`)
    pub secrets: Shelf<Secret>,
    /// `v1`
    pub services: Shelf<Service>,
    slices: Shelf<EndpointSlice>,
    slices_of_service: Arc<SlicesOfService>,
}

impl ClusterState {
    /// Adds or replaces an EndpointSlice (`discovery.k8s.io/v1`).
    pub fn insert_slice(&mut self, slice: Arc<EndpointSlice>) {
        let namespace = slice.metadata.namespace.clone().unwrap_or_default();
        let name = slice.metadata.name.clone().unwrap_or_default();
        self.remove_slice(&namespace, &name);
        if let Some(service) = service_of(&slice) {
            let index = Arc::make_mut(&mut self.slices_of_service);
            index.entry((namespace, service.to_owned())).or_default().insert(Arc::clone(&slice));
        }
        self.slices.insert(slice);
    }

    /// Takes out an EndpointSlice.
    pub fn remove_slice(&mut self, namespace: &str, name: &str) {
        let Some(old) = self.slices.remove(namespace, name) else { return };
        let Some(service) = service_of(&old) else { return };
        let index = Arc::make_mut(&mut self.slices_of_service);
        let key = (namespace.to_owned(), service.to_owned());
        if let Some(shelf) = index.get_mut(&key) {
            shelf.remove(namespace, name);
            if shelf.is_empty() {
                index.remove(&key);
            }
        }
    }

    /// All EndpointSlices.
    #[must_use]
    pub fn slices(&self) -> &Shelf<EndpointSlice> {
        &self.slices
    }

    /// The EndpointSlices of one Service, in ascending order of name.
    pub fn slices_of<'a>(
        &'a self,
        namespace: &str,
        service: &str,
    ) -> impl Iterator<Item = &'a Arc<EndpointSlice>> + use<'a> {
        let key = (namespace.to_owned(), service.to_owned());
        self.slices_of_service.get(&key).into_iter().flat_map(Shelf::iter)
    }
}

/// The Service that an EndpointSlice belongs to.
#[must_use]
pub fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME).map(String::as_str)
}
