//! The kinds that Kubernetes itself has, as far as this server serves them.

pub(crate) mod definitions;
pub(crate) mod kinds;
mod lists;

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
    crd::definition,
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
pub(crate) fn default(resource: &Resource, object: &mut Value) {
    if resource.strategy == Strategy::CustomResourceDefinition {
        definition::default(object);
    }
}

/// Admission and allocation for a built-in kind.
pub(crate) fn prepare(
    _state: &State,
    resource: &Resource,
    old: Option<&Value>,
    object: &mut Value,
) -> Answer<()> {
    if resource.strategy == Strategy::CustomResourceDefinition {
        definition::observe(old, object);
    }
    Ok(())
}

/// The rules of a built-in kind.
pub(crate) fn validate(
    _state: &State,
    resource: &Resource,
    old: Option<&Value>,
    object: &Value,
) -> Vec<Cause> {
    match resource.strategy {
        Strategy::CustomResourceDefinition => definition::validate(object, old),
        _ => Vec::new(),
    }
}
