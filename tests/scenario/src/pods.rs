//! What happens to pods besides running.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{EvictParams, ListParams},
};
use serde_json::json;
use tokio::time::timeout;

use crate::objects;

async fn pods_of(client: &Client, deployment: &str) -> (Api<Pod>, Vec<Pod>) {
    let (namespace, name) = deployment.split_once('/').unwrap();
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut pods = api.list(&ListParams::default()).await.unwrap().items;
    pods.retain(|pod| pod.owner_references().iter().any(|owner| owner.name == name));
    (api, pods)
}

/// Writes what a metrics server would serve of the pods of a Deployment.
pub(crate) async fn measure(client: &Client, deployment: &str, cpu: &str) -> Result<(), String> {
    for pod in pods_of(client, deployment).await.1 {
        let metrics = json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
            "metadata": { "namespace": pod.namespace(), "name": pod.name_any(), "labels": pod.labels() },
            "timestamp": k8s_openapi::jiff::Timestamp::now(), "window": "10s",
            "containers": [{ "name": "proxy", "usage": { "cpu": cpu, "memory": "64Mi" } }],
        });
        objects::apply(client, &metrics).await?;
    }
    Ok(())
}

/// Asks for the eviction of every pod of a Deployment: exactly so many must be allowed.
pub(crate) async fn evict(client: &Client, deployment: &str, wanted: usize) -> Result<(), String> {
    let (api, pods) = pods_of(client, deployment).await;
    let mut allowed = 0;
    for pod in &pods {
        let name = pod.name_any();
        // The client itself repeats what is refused for now.
        match timeout(Duration::from_secs(2), api.evict(&name, &EvictParams::default())).await {
            Ok(Ok(_)) => allowed += 1,
            Ok(Err(error)) => return Err(format!("evict {name}: {error}")),
            Err(_) => {}
        }
    }
    let count = pods.len();
    let verdict = format!("{allowed} of {count} pods of {deployment} may go, not {wanted}");
    (allowed == wanted).then_some(()).ok_or(verdict)
}
