//! The kinds that Kubernetes itself has, as far as this server serves them.

mod data;
pub(crate) mod definitions;
pub(crate) mod event;
pub(crate) mod kinds;
mod lists;
mod networking;
mod pod;
mod service;
mod service_ports;
mod workload;

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

use serde_json::{Value, json};

use crate::{
    crd::definition,
    error::{Answer, Cause},
    object,
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

/// Is an object of this kind created by `PUT`?
pub(crate) fn creates_on_update(resource: &Resource) -> bool {
    resource.group == "rbac.authorization.k8s.io"
        || matches!(resource.kind.as_str(), "Endpoints" | "Event" | "Lease" | "Service")
}

/// Is a deletion of this kind answered with the object, and not with a `Status`?
pub(crate) fn returns_deleted(resource: &Resource) -> bool {
    let kind = resource.kind.as_str();
    resource.group.is_empty()
        && matches!(kind, "PersistentVolumeClaim" | "Pod" | "Service" | "ServiceAccount")
}

/// Fills in the defaults of a built-in kind.
pub(crate) fn default(resource: &Resource, object: &mut Value) {
    match resource.strategy {
        Strategy::CustomResourceDefinition => definition::default(object),
        Strategy::Deployment => workload::default_deployment(object),
        Strategy::EndpointSlice => networking::default_slice(object),
        Strategy::Event => event::default(object),
        Strategy::IngressClass => networking::default_class(object),
        Strategy::Ingress => {
            let status = object::field_mut(object, "status");
            object::default_to(status, "loadBalancer", json!({}));
        }
        Strategy::Namespace => default_namespace(object),
        Strategy::Pod => pod::default(object),
        Strategy::ReplicaSet => workload::default_replica_set(object),
        Strategy::Secret => data::default_secret(object),
        Strategy::Service => service::default(object),
        Strategy::Plain => match resource.kind.as_str() {
            "HorizontalPodAutoscaler" => workload::default_autoscaler(object),
            "NetworkPolicy" => networking::default_policy(object),
            _ => {}
        },
        Strategy::ConfigMap | Strategy::Review | Strategy::Custom => {}
    }
}

fn default_namespace(namespace: &mut Value) {
    let name = object::name(namespace).to_owned();
    let labels =
        object::as_map(object::meta_mut(namespace).entry("labels").or_insert_with(|| json!({})));
    labels.insert("kubernetes.io/metadata.name".into(), json!(name));
    object::default_to(object::field_mut(namespace, "status"), "phase", "Active");
}

/// Admission and allocation for a built-in kind.
pub(crate) fn prepare(
    state: &State,
    resource: &Resource,
    old: Option<&Value>,
    object: &mut Value,
) -> Answer<()> {
    match resource.strategy {
        Strategy::CustomResourceDefinition => definition::observe(old, object),
        Strategy::Namespace if old.is_none() => {
            object::default_to(
                object::field_mut(object, "spec"),
                "finalizers",
                json!(["kubernetes"]),
            );
        }
        Strategy::Ingress if old.is_none() => networking::choose_class(state, object),
        Strategy::Service => service::prepare(state, resource, old, object)?,
        _ => {}
    }
    Ok(())
}

/// The rules of a built-in kind.
pub(crate) fn validate(resource: &Resource, old: Option<&Value>, object: &Value) -> Vec<Cause> {
    match resource.strategy {
        Strategy::CustomResourceDefinition => definition::validate(object, old),
        Strategy::ConfigMap => data::validate_data(old, object),
        Strategy::Deployment | Strategy::ReplicaSet => workload::validate(old, object),
        Strategy::EndpointSlice => networking::validate_slice(old, object),
        Strategy::Ingress => networking::validate_ingress(object),
        Strategy::IngressClass => networking::validate_class(old, object),
        Strategy::Pod => {
            let mut causes = Vec::new();
            pod::validate_spec(&object["spec"], "spec", &mut causes);
            if let Some(old) = old {
                pod::validate_update(old, object, &mut causes);
            }
            causes
        }
        Strategy::Secret => data::validate_secret(old, object),
        Strategy::Service => service::validate(old, object),
        Strategy::Plain
        | Strategy::Event
        | Strategy::Namespace
        | Strategy::Review
        | Strategy::Custom => Vec::new(),
    }
}
