//! Objects from manifests.

use std::sync::Arc;

use gatefleet_crds::GatewayConfig;
use gatefleet_names::{Kind, ObjectKey};
use k8s_openapi::api::{
    core::v1::{Namespace, Secret, Service},
    discovery::v1::EndpointSlice,
    networking::v1::{Ingress, IngressClass},
};
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{ClusterState, ReferenceGrant};

/// Why a manifest is no object.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no mapping, or has no `kind`.
    #[error("read manifest: it has no apiVersion and kind: add them, or remove the document")]
    NoKind,
    /// It has no name.
    #[error("read manifest of kind {0}: it has no metadata.name: add it")]
    NoName(String),
    /// It has another form than its kind demands.
    #[error("read {kind} {name}: {cause}: correct it (`kubectl explain` shows the form)")]
    Form {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What is wrong.
        cause: serde_json::Error,
    },
}

impl ClusterState {
    /// Adds or replaces the object that `manifest` declares; a `List` is all of its items. As `kubectl` does, an
    /// object without a namespace goes to `default`. Answers what was added; other kinds than those of the state
    /// are skipped.
    ///
    /// # Errors
    ///
    /// When it is no object, or its form is wrong; then nothing of it is added.
    pub fn insert_manifest(&mut self, manifest: Value) -> Result<Vec<ObjectKey>, ManifestError> {
        let kind =
            manifest.get("kind").and_then(Value::as_str).ok_or(ManifestError::NoKind)?.to_owned();
        if kind == "List" {
            let items =
                manifest.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut view = self.clone();
            let added: Result<Vec<_>, _> =
                items.into_iter().map(|item| view.insert_manifest(item)).collect();
            let added = added?.into_iter().flatten().collect();
            *self = view;
            return Ok(added);
        }
        let key = match kind.as_str() {
            "GatewayConfig" => self
                .gateway_configs
                .put(namespaced::<GatewayConfig>(manifest, Kind::GatewayConfig)?),
            "Ingress" => self.ingresses.put(namespaced::<Ingress>(manifest, Kind::Ingress)?),
            "IngressClass" => {
                self.ingress_classes.put(parse::<IngressClass>(manifest, Kind::IngressClass)?)
            }
            "Namespace" => self.namespaces.put(parse::<Namespace>(manifest, Kind::Namespace)?),
            "Secret" => self.secrets.put(namespaced::<Secret>(manifest, Kind::Secret)?),
            "ReferenceGrant" => self
                .reference_grants
                .put(namespaced::<ReferenceGrant>(manifest, Kind::ReferenceGrant)?),
            "Service" => self.services.put(namespaced::<Service>(manifest, Kind::Service)?),
            "EndpointSlice" => {
                let (key, slice) = namespaced::<EndpointSlice>(manifest, Kind::EndpointSlice)?;
                self.insert_slice(slice);
                key
            }
            _ => return Ok(Vec::new()),
        };
        Ok(vec![key])
    }
}

impl<T: kube::Resource> crate::Shelf<T> {
    fn put(&mut self, (key, object): (ObjectKey, Arc<T>)) -> ObjectKey {
        self.insert(object);
        key
    }
}

type Parsed<T> = Result<(ObjectKey, Arc<T>), ManifestError>;

fn namespaced<T: DeserializeOwned + kube::Resource>(mut manifest: Value, kind: Kind) -> Parsed<T> {
    if let Some(Value::Object(metadata)) = manifest.get_mut("metadata") {
        metadata.entry("namespace").or_insert_with(|| Value::from("default"));
    }
    parse(manifest, kind)
}

fn parse<T: DeserializeOwned + kube::Resource>(manifest: Value, kind: Kind) -> Parsed<T> {
    let name =
        manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(ManifestError::NoName(kind.to_string()));
    }
    let object: T = serde_json::from_value(manifest).map_err(|cause| ManifestError::Form {
        kind: kind.to_string(),
        name,
        cause,
    })?;
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    let key = ObjectKey::new(kind, namespace, object.name_any());
    Ok((key, Arc::new(object)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_taken_whole_or_not_at_all() {
        let mut state = ClusterState::default();
        let service = |name: &str| json!({"kind": "Service", "metadata": {"name": name}});
        let good = json!({"kind": "List", "items": [service("a"), service("b")]});
        assert_eq!(state.insert_manifest(good).unwrap().len(), 2);
        let bad = json!({"kind": "List", "items": [service("c"), {"kind": "Service"}]});
        assert!(state.insert_manifest(bad).is_err());
        assert_eq!(state.services.len(), 2);
        assert!(state.services.get("default", "a").is_some());
    }

    #[test]
    fn errors_name_the_object() {
        let mut state = ClusterState::default();
        let wrong = json!({"kind": "Ingress", "metadata": {"name": "web"}, "spec": {"rules": 3}});
        let said = state.insert_manifest(wrong).unwrap_err().to_string();
        assert!(said.starts_with("read Ingress web: "), "{said}");
        assert!(state.insert_manifest(json!({"kind": "Deployment"})).unwrap().is_empty());
    }
}
