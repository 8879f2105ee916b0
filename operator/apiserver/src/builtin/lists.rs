//! List-map keys and atomic maps of built-in kinds (`x-kubernetes-list-map-keys` and the like in Kubernetes 1.36's
//! OpenAPI), which `k8s-openapi`'s schemas leave out. Lists that are not here are atomic.

/// A list whose elements have owners of their own.
pub(crate) struct Merging {
    /// Definition without `io.k8s.`.
    pub(crate) definition: &'static str,
    pub(crate) field: &'static str,
    /// What tells elements apart; nothing for sets.
    pub(crate) keys: &'static [&'static str],
    /// Does strategic merge patch merge it too, by the first key?
    pub(crate) patch: bool,
}

const fn merging(
    definition: &'static str,
    field: &'static str,
    keys: &'static [&'static str],
) -> Merging {
    Merging { definition, field, keys, patch: true }
}

/// For server-side apply only.
const fn applying(
    definition: &'static str,
    field: &'static str,
    keys: &'static [&'static str],
) -> Merging {
    Merging { definition, field, keys, patch: false }
}

/// Lists that merge.
pub(crate) static LISTS: &[Merging] = &[
    merging("api.apps.v1.DeploymentStatus", "conditions", &["type"]),
    merging("api.apps.v1.ReplicaSetStatus", "conditions", &["type"]),
    merging("api.autoscaling.v2.HorizontalPodAutoscalerStatus", "conditions", &["type"]),
    merging("api.core.v1.Container", "env", &["name"]),
    merging("api.core.v1.Container", "ports", &["containerPort", "protocol"]),
    merging("api.core.v1.Container", "volumeDevices", &["devicePath"]),
    merging("api.core.v1.Container", "volumeMounts", &["mountPath"]),
    applying("api.core.v1.ContainerRestartRuleOnExitCodes", "values", &[]),
    merging("api.core.v1.ContainerStatus", "allocatedResourcesStatus", &["name"]),
    merging("api.core.v1.ContainerStatus", "volumeMounts", &["mountPath"]),
    merging("api.core.v1.EphemeralContainer", "env", &["name"]),
    merging("api.core.v1.EphemeralContainer", "ports", &["containerPort", "protocol"]),
    merging("api.core.v1.EphemeralContainer", "volumeDevices", &["devicePath"]),
    merging("api.core.v1.EphemeralContainer", "volumeMounts", &["mountPath"]),
    merging("api.core.v1.NamespaceStatus", "conditions", &["type"]),
    applying("api.core.v1.NodeAllocatableResourceClaimStatus", "containers", &[]),
    merging("api.core.v1.NodeSpec", "podCIDRs", &[]),
    merging("api.core.v1.NodeStatus", "addresses", &["type"]),
    merging("api.core.v1.NodeStatus", "conditions", &["type"]),
    merging("api.core.v1.PersistentVolumeClaimStatus", "conditions", &["type"]),
    merging("api.core.v1.PodSpec", "containers", &["name"]),
    merging("api.core.v1.PodSpec", "ephemeralContainers", &["name"]),
    merging("api.core.v1.PodSpec", "hostAliases", &["ip"]),
    merging("api.core.v1.PodSpec", "imagePullSecrets", &["name"]),
    merging("api.core.v1.PodSpec", "initContainers", &["name"]),
    merging("api.core.v1.PodSpec", "resourceClaims", &["name"]),
    merging("api.core.v1.PodSpec", "schedulingGates", &["name"]),
    merging(
        "api.core.v1.PodSpec",
        "topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    merging("api.core.v1.PodSpec", "volumes", &["name"]),
    merging("api.core.v1.PodStatus", "conditions", &["type"]),
    merging("api.core.v1.PodStatus", "podIPs", &["ip"]),
    merging("api.core.v1.PodStatus", "resourceClaimStatuses", &["name"]),
    applying("api.core.v1.ResourceRequirements", "claims", &["name"]),
    applying("api.core.v1.ResourceStatus", "resources", &["resourceID"]),
    merging("api.core.v1.ServiceAccount", "secrets", &["name"]),
    merging("api.core.v1.ServiceSpec", "ports", &["port", "protocol"]),
    merging("api.core.v1.ServiceStatus", "conditions", &["type"]),
    applying("api.discovery.v1.Endpoint", "addresses", &[]),
    merging("api.policy.v1.PodDisruptionBudgetStatus", "conditions", &["type"]),
    applying(
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus",
        "conditions",
        &["type"],
    ),
    merging(
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
        "x-kubernetes-validations",
        &["rule"],
    ),
    merging("apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers", &[]),
    merging("apimachinery.pkg.apis.meta.v1.ObjectMeta", "ownerReferences", &["uid"]),
];

/// Objects that are owned as one value: a definition, or a field of one behind a slash.
pub(crate) static ATOMIC: &[&str] = &[
    "api.core.v1.ConfigMapKeySelector",
    "api.core.v1.EndpointAddress",
    "api.core.v1.EndpointPort",
    "api.core.v1.FileKeySelector",
    "api.core.v1.LocalObjectReference",
    "api.core.v1.NodeSelector",
    "api.core.v1.NodeSelectorTerm",
    "api.core.v1.ObjectFieldSelector",
    "api.core.v1.ObjectReference",
    "api.core.v1.PodSpec/nodeSelector",
    "api.core.v1.ResourceFieldSelector",
    "api.core.v1.SecretKeySelector",
    "api.core.v1.ServiceSpec/selector",
    "api.core.v1.TypedLocalObjectReference",
    "api.discovery.v1.EndpointPort",
    "api.networking.v1.ServiceBackendPort",
    "api.rbac.v1.RoleRef",
    "api.rbac.v1.Subject",
    "apimachinery.pkg.apis.meta.v1.LabelSelector",
    "apimachinery.pkg.apis.meta.v1.OwnerReference",
];

/// Fields that strategic merge patch treats with `retainKeys`.
pub(crate) static RETAIN_KEYS: &[(&str, &str)] = &[
    ("api.apps.v1.DeploymentSpec", "strategy"),
    ("api.core.v1.PodSpec", "resourceClaims"),
    ("api.core.v1.PodSpec", "volumes"),
    ("api.core.v1.PodStatus", "resourceClaimStatuses"),
];

/// Defaults that are part of a list-map key.
pub(crate) static DEFAULTS: &[(&str, &str, &str)] = &[
    ("api.core.v1.ContainerPort", "protocol", "TCP"),
    ("api.core.v1.ServicePort", "protocol", "TCP"),
];
