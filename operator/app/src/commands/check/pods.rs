//! Whether the cluster takes the pods of every fleet: `PodSecurity`, quotas, priority classes, sysctls.

use gatefleet_crds::GatewayConfig;
use gatefleet_infra::{MANAGED_BY_LABEL, desired_deployments};
use k8s_openapi::{
    api::core::v1::{Node, Pod, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, api::PostParams};

use super::{Finding, Verdict, seen::Seen};
use crate::cluster::{Cluster, ClusterError, all};

const ADMISSION: &str = "pods";
const SYSCTLS: &str = "sysctls";
/// Kubelets take `net.ipv4.ip_local_reserved_ports`, which every pod of a tier sets, since this minor version.
const OLDEST_KUBELET: u32 = 27;
/// Only admission looks at it.
const IMAGE: &str = "gatefleet-proxy";

pub(super) async fn check(cluster: &Cluster, seen: &Result<Seen, ClusterError>) -> Vec<Finding> {
    let mut findings = match seen {
        Ok(seen) => admission(cluster, seen).await,
        Err(error) => vec![Finding::unasked(ADMISSION, error)],
    };
    findings.extend(sysctls(cluster).await);
    findings
}

/// Asks the API server, without creating anything, for a pod of every tier.
async fn admission(cluster: &Cluster, seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    let configs: Vec<&GatewayConfig> =
        seen.state.gateway_configs.iter().map(|one| &**one).collect();
    for config in &configs {
        let namespace = config.metadata.namespace.as_deref().unwrap_or_default();
        let name = config.metadata.name.as_deref().unwrap_or_default();
        for (tier, deployment) in desired_deployments(config, IMAGE) {
            let template = deployment.spec.map(|spec| spec.template).unwrap_or_default();
            let object = format!("GatewayConfig {namespace}/{name} {tier}");
            findings.push(ask(cluster, namespace, object, template).await);
        }
    }
    if configs.is_empty() {
        findings.push(Finding::new(ADMISSION, Verdict::Ok, "", "there is no GatewayConfig yet"));
    }
    findings
}

async fn ask(
    cluster: &Cluster,
    namespace: &str,
    object: String,
    template: PodTemplateSpec,
) -> Finding {
    let mut spec = template.spec.unwrap_or_default();
    // It may not exist yet, and takes no part in what is asked.
    spec.service_account_name = None;
    let metadata = ObjectMeta {
        generate_name: Some("gatefleet-check-".to_owned()),
        labels: template.metadata.and_then(|metadata| metadata.labels),
        ..ObjectMeta::default()
    };
    let pod = Pod { metadata, spec: Some(spec), ..Pod::default() };
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match cluster.ask("create Pod (dry run)", api.create(&params, &pod)).await {
        Ok(_) => Finding::new(ADMISSION, Verdict::Ok, object, "the API server takes its pods"),
        Err(ClusterError::Forbidden { message, .. })
            if message.contains("violates PodSecurity") =>
        {
            let message = format!(
                "{message}; ask for less in the GatewayConfig, or: kubectl label namespace {namespace} --overwrite pod-security.kubernetes.io/enforce=LEVEL"
            );
            Finding::new(ADMISSION, Verdict::Failed, object, message)
        }
        // Whoever asks may not create pods; the operator's Deployment controller may.
        Err(error @ ClusterError::Forbidden { .. }) if is_rbac(&error) => {
            Finding { object, ..Finding::unasked(ADMISSION, &error) }
        }
        Err(
            ClusterError::Forbidden { message, .. } | ClusterError::Refused { cause: message, .. },
        ) => {
            let message = format!("its pods are refused: {message}");
            Finding::new(ADMISSION, Verdict::Failed, object, message)
        }
        Err(error) => Finding { object, ..Finding::unasked(ADMISSION, &error) },
    }
}

fn is_rbac(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Forbidden { message, .. } if message.contains("cannot create resource"))
}

async fn sysctls(cluster: &Cluster) -> Vec<Finding> {
    let (nodes, pods) =
        match (all::<Node>(cluster, "Nodes").await, all::<Pod>(cluster, "Pods").await) {
            (Ok(nodes), Ok(pods)) => (nodes, pods),
            (Err(error), _) | (_, Err(error)) => return vec![Finding::unasked(SYSCTLS, &error)],
        };
    let mut findings: Vec<Finding> = nodes.iter().filter_map(old_kubelet).collect();
    findings.extend(pods.iter().filter_map(forbidden));
    if findings.is_empty() {
        let message = match nodes.len() {
            0 => "there are no nodes that could refuse them".to_owned(),
            count => format!("the kubelets of all {count} nodes take those that proxies need"),
        };
        findings.push(Finding::new(SYSCTLS, Verdict::Ok, "", message));
    }
    findings
}

fn old_kubelet(node: &Node) -> Option<Finding> {
    let info = node.status.as_ref()?.node_info.as_ref()?;
    let version = &info.kubelet_version;
    let minor: u32 = version.strip_prefix("v1.")?.split('.').next()?.parse().ok()?;
    (minor < OLDEST_KUBELET).then(|| {
        let object = format!("Node {}", node.metadata.name.as_deref().unwrap_or_default());
        let message = format!(
            "its kubelet {version} refuses net.ipv4.ip_local_reserved_ports: upgrade it to 1.{OLDEST_KUBELET}, or keep proxies away from it (spec.*.pod.nodeSelector)"
        );
        Finding::new(SYSCTLS, Verdict::Failed, object, message)
    })
}

/// A pod of a tier that a kubelet refused.
fn forbidden(pod: &Pod) -> Option<Finding> {
    let ours = pod.metadata.labels.as_ref()?.contains_key(MANAGED_BY_LABEL);
    let status = pod.status.as_ref()?;
    (ours && status.reason.as_deref() == Some("SysctlForbidden")).then(|| {
        let metadata = &pod.metadata;
        let name = |text: &Option<String>| text.clone().unwrap_or_default();
        let object = format!("Pod {}/{}", name(&metadata.namespace), name(&metadata.name));
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        let why = status.message.as_deref().unwrap_or("a sysctl is forbidden");
        let message = format!(
            "node {node} refused it: {why}; allow it by --allowed-unsafe-sysctls of the kubelet"
        );
        Finding::new(SYSCTLS, Verdict::Failed, object, message)
    })
}

#[cfg(test)]
mod tests {
    use kube::{Client, client::Body};
    use serde_json::json;

    use super::*;

    /// What a dry run says to whom the API server answers so.
    async fn asked(code: u16, message: &str) -> Finding {
        let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "message": message, "reason": "Any"});
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let body = Body::from(answer.to_string().into_bytes());
            let response = http::Response::builder().status(code).body(body);
            async move { Ok::<_, std::io::Error>(response.unwrap()) }
        });
        let cluster = Cluster::of(Client::new(service, "default"));
        ask(&cluster, "edge", String::new(), PodTemplateSpec::default()).await
    }

    #[tokio::test]
    async fn a_refusal_of_admission_is_none_of_rbac() {
        let level = "pods \"x\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
        let finding = asked(403, level).await;
        assert_eq!(finding.verdict, Verdict::Failed);
        assert!(finding.message.contains("hostNetwork=true"), "{finding:?}");
        assert!(finding.message.contains("kubectl label namespace edge"), "{finding:?}");
        let quota = asked(403, "pods \"x\" is forbidden: exceeded quota: small").await;
        assert_eq!(quota.verdict, Verdict::Failed);
        let user =
            "pods is forbidden: User \"jo\" cannot create resource \"pods\" in API group \"\"";
        assert_eq!(asked(403, user).await.verdict, Verdict::Unknown);
        assert_eq!(asked(422, "spec.containers: Required value").await.verdict, Verdict::Failed);
    }

    #[test]
    fn a_pod_that_a_kubelet_refused_names_node_and_remedy() {
        let pod = |reason: &str, labels: serde_json::Value| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "prod-1", "namespace": "edge", "labels": labels},
                "spec": {"nodeName": "n1", "containers": []},
                "status": {"reason": reason, "message": "forbidden sysctl: net.core.somaxconn"},
            }))
            .unwrap()
        };
        let ours = json!({MANAGED_BY_LABEL: "gatefleet"});
        let finding = forbidden(&pod("SysctlForbidden", ours.clone())).unwrap();
        assert!(finding.message.starts_with("node n1 refused it: forbidden sysctl"), "{finding:?}");
        assert!(forbidden(&pod("Evicted", ours)).is_none());
        assert!(forbidden(&pod("SysctlForbidden", json!({}))).is_none());
    }
}
