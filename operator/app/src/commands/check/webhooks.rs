//! Webhooks that judge Ingresses: one that nobody answers any more refuses all of them.

use k8s_openapi::api::{
    admissionregistration::v1::{
        RuleWithOperations, ValidatingWebhook, ValidatingWebhookConfiguration,
    },
    discovery::v1::EndpointSlice,
};

use super::{Finding, Verdict};
use crate::cluster::{Cluster, ClusterError, all};

const CHECK: &str = "webhooks";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) async fn check(cluster: &Cluster) -> Vec<Finding> {
    match look(cluster).await {
        Ok((configurations, slices)) => judge(&configurations, &slices),
        Err(error) => vec![Finding::unasked(CHECK, &error)],
    }
}

async fn look(
    cluster: &Cluster,
) -> Result<(Vec<ValidatingWebhookConfiguration>, Vec<EndpointSlice>), ClusterError> {
    let configurations = all(cluster, "ValidatingWebhookConfigurations").await?;
    Ok((configurations, all(cluster, "EndpointSlices").await?))
}

fn judge(
    configurations: &[ValidatingWebhookConfiguration],
    slices: &[EndpointSlice],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for configuration in configurations {
        let name = configuration.metadata.name.clone().unwrap_or_default();
        let webhooks = configuration.webhooks.iter().flatten();
        for webhook in webhooks.filter(|webhook| judges_ingresses(webhook)) {
            findings.extend(verdict(&name, webhook, slices));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::new(
            CHECK,
            Verdict::Ok,
            "",
            "no webhook of another controller is in the way of Ingresses",
        ));
    }
    findings
}

fn judges_ingresses(webhook: &ValidatingWebhook) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &str| {
        list.iter().flatten().any(|one| one == wanted || one == "*")
    };
    let fits = |rule: &RuleWithOperations| {
        has(&rule.api_groups, "networking.k8s.io")
            && (has(&rule.resources, "ingresses") || has(&rule.resources, "*/*"))
    };
    webhook.rules.iter().flatten().any(fits)
}

fn verdict(name: &str, webhook: &ValidatingWebhook, slices: &[EndpointSlice]) -> Option<Finding> {
    let object = format!("ValidatingWebhookConfiguration {name}");
    let remove = format!("kubectl delete validatingwebhookconfiguration {name}");
    let service = webhook.client_config.service.as_ref();
    let answered =
        service.is_none_or(|service| is_ready(&service.namespace, &service.name, slices));
    if !answered && webhook.failure_policy.as_deref() != Some("Ignore") {
        let place = service.map(|service| format!("{}/{}", service.namespace, service.name));
        let message = format!(
            "nobody answers it (Service {} has no ready endpoint), so every change of an Ingress is refused: {remove}",
            place.unwrap_or_default()
        );
        return Some(Finding::new(CHECK, Verdict::Failed, object, message));
    }
    let nginx = service.is_some_and(|service| service.name.contains("ingress-nginx"))
        || webhook.name.contains("nginx");
    nginx.then(|| {
        let message = format!(
            "ingress-nginx still judges every Ingress, those of Gatefleet too (it refuses a host and path that another one has); when it goes: {remove}"
        );
        Finding::new(CHECK, Verdict::Warning, object, message)
    })
}

fn is_ready(namespace: &str, service: &str, slices: &[EndpointSlice]) -> bool {
    let of_service = slices.iter().filter(|slice| {
        let labels = slice.metadata.labels.as_ref();
        slice.metadata.namespace.as_deref() == Some(namespace)
            && labels
                .and_then(|labels| labels.get(SERVICE_NAME))
                .is_some_and(|name| name == service)
    });
    of_service.flat_map(|slice| slice.endpoints.iter().flatten()).any(|endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_webhook_is_in_the_way_when_nobody_answers_it() {
        let configuration = |policy: &str, resource: &str| -> ValidatingWebhookConfiguration {
            serde_json::from_value(json!({
                "metadata": {"name": "ingress-nginx-admission"},
                "webhooks": [{
                    "name": "validate.nginx.ingress.kubernetes.io", "sideEffects": "None",
                    "admissionReviewVersions": ["v1"], "failurePolicy": policy,
                    "clientConfig": {"service": {"namespace": "ingress-nginx", "name": "ingress-nginx-controller-admission"}},
                    "rules": [{"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"],
                        "operations": ["CREATE"], "resources": [resource]}],
                }],
            }))
            .unwrap()
        };
        let slice = |ready: bool| -> EndpointSlice {
            serde_json::from_value(json!({
                "metadata": {"name": "x", "namespace": "ingress-nginx",
                    "labels": {"kubernetes.io/service-name": "ingress-nginx-controller-admission"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
            }))
            .unwrap()
        };
        let judged = |policy: &str, resource: &str, slices: &[EndpointSlice]| {
            judge(&[configuration(policy, resource)], slices)[0].clone()
        };
        let dead = judged("Fail", "ingresses", &[slice(false)]);
        assert_eq!(dead.verdict, Verdict::Failed);
        assert!(
            dead.message
                .ends_with("kubectl delete validatingwebhookconfiguration ingress-nginx-admission")
        );
        assert_eq!(judged("Fail", "ingresses", &[]).verdict, Verdict::Failed);
        assert_eq!(judged("Fail", "ingresses", &[slice(true)]).verdict, Verdict::Warning);
        assert_eq!(judged("Ignore", "ingresses", &[]).verdict, Verdict::Warning);
        assert_eq!(judged("Fail", "services", &[]).verdict, Verdict::Ok);
    }
}
