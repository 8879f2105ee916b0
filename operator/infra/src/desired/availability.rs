//! What decides how many pods a tier has, and what guards them: against too many evictions at a time, and against
//! unwanted peers.

use gatefleet_crds::Scale;
use k8s_openapi::{
    api::{
        autoscaling::v2::{
            ContainerResourceMetricSource, CrossVersionObjectReference, HorizontalPodAutoscaler,
            HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
        },
        networking::v1::{
            NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
            NetworkPolicySpec,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{STATUS_PORT, TierScope, deployment::CONTAINER};
use crate::{names::selector_labels, ports::PortAllocation};

/// Lets the CPU of the proxies decide how many there are. Other containers of the pods do not count.
pub(super) fn desired_autoscaler(scope: &TierScope<'_>) -> Option<HorizontalPodAutoscaler> {
    let Scale::Automatic(wish) = scope.spec.scale() else { return None };
    let metric = MetricSpec {
        type_: "ContainerResource".to_owned(),
        container_resource: Some(ContainerResourceMetricSource {
            container: CONTAINER.to_owned(),
            name: "cpu".to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(i32::from(wish.target_cpu_utilization)),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    Some(HorizontalPodAutoscaler {
        metadata: scope.metadata(&scope.names.base),
        spec: HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: scope.names.base.clone(),
            },
            min_replicas: Some(i32::from(wish.min_replicas)),
            max_replicas: i32::from(wish.max_replicas),
            metrics: Some(vec![metric]),
            behavior: None,
        },
        status: None,
    })
}

/// Bounds how many of the tier's pods a drain takes away at a time.
pub(super) fn desired_budget(scope: &TierScope<'_>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: scope.metadata(&scope.names.base),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(scope.spec.pod_disruption_budget.max_unavailable.to_api()),
            selector: Some(selector(scope)),
            // A proxy that never becomes ready must not hold its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// Admits everybody to the listeners and the cluster's pods to the status port. Who may use a listener is decided where
/// the client's address is still known: by the proxies. A policy sees the node's address behind most Services.
pub(super) fn desired_policy(
    scope: &TierScope<'_>,
    allocation: &PortAllocation,
) -> Option<NetworkPolicy> {
    if !scope.spec.network_policy.enabled {
        return None;
    }
    let listeners: Vec<NetworkPolicyPort> =
        allocation.ports.values().map(|target| port(*target)).collect();
    // A rule without ports would admit everybody everywhere.
    let anybody = NetworkPolicyIngressRule { ports: Some(listeners), from: None };
    let anybody = Some(anybody).filter(|_| !allocation.ports.is_empty());
    let every_namespace = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    };
    let status = NetworkPolicyIngressRule {
        ports: Some(vec![port(STATUS_PORT)]),
        from: Some(vec![every_namespace]),
    };
    Some(NetworkPolicy {
        metadata: scope.metadata(&scope.names.base),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(scope)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(anybody.into_iter().chain([status]).collect()),
            egress: None,
        }),
    })
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}

fn selector(scope: &TierScope<'_>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector_labels(scope.fleet, scope.tier)),
        ..LabelSelector::default()
    }
}
