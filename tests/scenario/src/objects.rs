//! Objects as stories write them: any kind, by `Kind namespace/name`.

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::Value;

/// Kind, group, version, plural, whether it is namespaced.
const KINDS: &[(&str, &str, &str, &str, bool)] = &[
    ("GatewayConfig", "gatefleet.dev", "v1alpha1", "gatewayconfigs", true),
    ("Ingress", "networking.k8s.io", "v1", "ingresses", true),
    ("IngressClass", "networking.k8s.io", "v1", "ingressclasses", false),
    ("ReferenceGrant", "gateway.networking.k8s.io", "v1beta1", "referencegrants", true),
    ("CustomResourceDefinition", "apiextensions.k8s.io", "v1", "customresourcedefinitions", false),
    ("Deployment", "apps", "v1", "deployments", true),
    ("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices", true),
    ("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", true),
    ("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers", true),
    ("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies", true),
    ("Service", "", "v1", "services", true),
    ("ServiceAccount", "", "v1", "serviceaccounts", true),
    ("ConfigMap", "", "v1", "configmaps", true),
    ("Secret", "", "v1", "secrets", true),
    ("Pod", "", "v1", "pods", true),
    ("Event", "", "v1", "events", true),
    ("Lease", "coordination.k8s.io", "v1", "leases", true),
    ("Namespace", "", "v1", "namespaces", false),
    ("CustomResourceDefinition", "apiextensions.k8s.io", "v1", "customresourcedefinitions", false),
    ("PodMetrics", "metrics.k8s.io", "v1beta1", "pods", true),
    ("Node", "", "v1", "nodes", false),
];

/// One object of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    #[expect(clippy::struct_field_names, reason = "metadata.name")]
    pub(crate) name: String,
}

impl Name {
    /// Reads `Kind namespace/name` or `Kind name`.
    pub(crate) fn parse(text: &str) -> Self {
        let (kind, rest) =
            text.split_once(' ').unwrap_or_else(|| panic!("{text:?} names no object"));
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn of(object: &Value) -> Self {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = text("/kind").to_owned();
        let namespace = match text("/metadata/namespace") {
            "" if is_namespaced(&kind) => "default",
            namespace => namespace,
        };
        Self { kind, namespace: namespace.to_owned(), name: text("/metadata/name").to_owned() }
    }

    pub(crate) fn api(&self, client: &Client) -> Api<DynamicObject> {
        api(client, &self.kind, &self.namespace)
    }

    /// The object as it is now.
    pub(crate) async fn get(&self, client: &Client) -> Option<Value> {
        let found = self.api(client).get_opt(&self.name).await;
        let found = found.unwrap_or_else(|error| panic!("read {self:?}: {error}"))?;
        Some(serde_json::to_value(found).unwrap())
    }
}

fn is_namespaced(kind: &str) -> bool {
    KINDS.iter().any(|entry| entry.0 == kind && entry.4)
}

/// All objects of a kind in a namespace (empty: in all, or of a cluster-scoped kind).
pub(crate) fn api(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let (kind, group, version, plural, namespaced) = *KINDS
        .iter()
        .find(|entry| entry.0 == kind)
        .unwrap_or_else(|| panic!("unknown kind {kind:?}"));
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    if namespaced && !namespace.is_empty() {
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

/// What `kubectl apply --server-side` does; the namespace is made when it is missing. The API server's refusal
/// is the answer.
pub(crate) async fn apply(client: &Client, object: &Value) -> Result<(), String> {
    let name = Name::of(object);
    let params = PatchParams::apply("user").force();
    if !name.namespace.is_empty() {
        let namespace = Name::parse(&format!("Namespace {}", name.namespace));
        if namespace.get(client).await.is_none() {
            let manifest = serde_json::json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name.namespace },
            });
            namespace
                .api(client)
                .patch(&namespace.name, &params, &Patch::Apply(manifest))
                .await
                .unwrap();
        }
    }
    let applied = name.api(client).patch(&name.name, &params, &Patch::Apply(object)).await;
    applied.map(drop).map_err(|error| error.to_string())
}
