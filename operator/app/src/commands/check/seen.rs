//! What routes and fleets are made of, as the cluster has it now.

use std::{fmt, sync::Arc};

use gatefleet_routes::{Options, Pipeline, PortRecord, RoutesOutput};
use gatefleet_state::{ClusterState, Shelf};
use jiff::Timestamp;
use kube::Resource;
use serde::de::DeserializeOwned;

use crate::cluster::{Cluster, ClusterError, all};

/// The objects, and what the operator would make of them. Secrets and endpoints are not read.
pub(super) struct Seen {
    pub(super) state: ClusterState,
    pub(super) output: RoutesOutput,
}

impl Seen {
    pub(super) async fn look(
        cluster: &Cluster,
        default_namespace: &str,
    ) -> Result<Self, ClusterError> {
        let mut state = ClusterState::default();
        state.gateway_configs = shelf(cluster, "GatewayConfigs").await?;
        state.ingresses = shelf(cluster, "Ingresses").await?;
        state.ingress_classes = shelf(cluster, "IngressClasses").await?;
        state.namespaces = shelf(cluster, "Namespaces").await?;
        state.services = shelf(cluster, "Services").await?;
        let options = Options {
            default_namespace: default_namespace.to_owned(),
            ports: PortRecord::Advertised,
        };
        let output = Pipeline::new(options).update(&state, Timestamp::now());
        Ok(Self { state, output })
    }
}

async fn shelf<K>(cluster: &Cluster, kinds: &str) -> Result<Shelf<K>, ClusterError>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    Ok(all::<K>(cluster, kinds).await?.into_iter().map(Arc::new).collect())
}
