//! The kinds that Kubernetes itself has, as far as this server serves them.

pub(crate) mod kinds;

/// What is particular to a built-in kind. Everything without particulars is `Plain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    Plain,
    ConfigMap,
    CustomResourceDefinition,
    Deployment,
    EndpointSlice,
    Event,
    Ingress,
    IngressClass,
    Namespace,
    Pod,
    ReplicaSet,
    Secret,
    Service,
    /// A question that is answered and not stored.
    Review,
    /// A kind that a CustomResourceDefinition declares.
    Custom,
}

use serde_json::Value;

use crate::{
    error::{Answer, Cause},
    resource::Resource,
    server::State,
};

/// Does `metadata.generation` count for this kind?
pub(crate) fn counts_generations(resource: &Resource) -> bool {
    resource.custom.is_some()
        || matches!(
            resource.kind.as_str(),
            "CustomResourceDefinition"
                | "Deployment"
                | "EndpointSlice"
                | "Ingress"
                | "IngressClass"
                | "NetworkPolicy"
                | "Pod"
                | "PodDisruptionBudget"
                | "ReplicaSet"
        )
}

/// Fills in the defaults of a built-in kind.
pub(crate) fn default(_resource: &Resource, _object: &mut Value) {}

/// Admission and allocation for a built-in kind.
pub(crate) fn prepare(
    _state: &State,
    _resource: &Resource,
    _old: Option<&Value>,
    _object: &mut Value,
) -> Answer<()> {
    Ok(())
}

/// The rules of a built-in kind.
pub(crate) fn validate(
    _state: &State,
    _resource: &Resource,
    _old: Option<&Value>,
    _object: &Value,
) -> Vec<Cause> {
    Vec::new()
}
