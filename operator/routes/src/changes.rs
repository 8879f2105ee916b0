//! What differs between two states of the cluster.

use std::collections::BTreeSet;

use gatefleet_sources::ServiceName;
use gatefleet_state::{ClusterState, service_of};

use crate::SecretName;

/// Namespace and name of an Ingress.
pub(crate) type IngressName = (String, String);

/// What differs between two states of the cluster, by kind.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) ingresses: BTreeSet<IngressName>,
    /// IngressClasses, GatewayConfigs or Namespaces.
    pub(crate) selection: bool,
    /// Whether a `ReferenceGrant` differs.
    pub(crate) grants: bool,
    pub(crate) services: BTreeSet<ServiceName>,
    pub(crate) secrets: BTreeSet<SecretName>,
    /// Services of which an EndpointSlice differs.
    pub(crate) endpoints: BTreeSet<ServiceName>,
}

impl Changes {
    /// Whether a listener or its certificates may be different.
    pub(crate) fn concern_settings(&self) -> bool {
        self.selection || self.grants || !self.services.is_empty() || !self.secrets.is_empty()
    }

    pub(crate) fn between(before: &ClusterState, after: &ClusterState) -> Self {
        let service_name = |(namespace, name)| ServiceName { namespace, name };
        let services = after.services.changed_since(&before.services);
        let secrets = after.secrets.changed_since(&before.secrets);
        let mut endpoints = BTreeSet::new();
        for (namespace, name) in after.slices().changed_since(before.slices()) {
            for state in [before, after] {
                let slice = state.slices().get(&namespace, &name);
                if let Some(service) = slice.and_then(|slice| service_of(slice)) {
                    endpoints.insert(service_name((namespace.clone(), service.to_owned())));
                }
            }
        }
        Self {
            ingresses: after.ingresses.changed_since(&before.ingresses).into_iter().collect(),
            selection: !(after.ingress_classes.changed_since(&before.ingress_classes).is_empty()
                && after.gateway_configs.changed_since(&before.gateway_configs).is_empty()
                && after.namespaces.changed_since(&before.namespaces).is_empty()),
            grants: !after.reference_grants.changed_since(&before.reference_grants).is_empty(),
            services: services.into_iter().map(service_name).collect(),
            secrets: secrets
                .into_iter()
                .map(|(namespace, name)| SecretName { namespace, name })
                .collect(),
            endpoints,
        }
    }
}
