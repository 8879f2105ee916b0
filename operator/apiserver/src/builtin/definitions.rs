//! The structure of built-in kinds: schemas from `k8s-openapi`, list types from the table in `lists`.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use k8s_openapi::{
    api::{
        apps::v1 as apps,
        authentication::v1 as authentication,
        authorization::v1 as authorization,
        autoscaling::{v1 as autoscaling_v1, v2 as autoscaling},
        coordination::v1 as coordination,
        core::v1 as core,
        discovery::v1 as discovery,
        events::v1 as events,
        networking::v1 as networking,
        policy::v1 as policy,
        rbac::v1 as rbac,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions,
    apimachinery::pkg::apis::meta::v1 as meta,
};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::lists;
use crate::schema::{Schema, parse::Definitions};

/// Everything known about the structure of built-in kinds.
pub(crate) struct Structure {
    /// JSON schemas by definition name, with references to `#/components/schemas/`.
    pub(crate) raw: BTreeMap<String, Value>,
    parsed: BTreeMap<String, Arc<Schema>>,
}

static STRUCTURE: LazyLock<Structure> = LazyLock::new(Structure::build);

/// The structure of built-in kinds, built once in a process.
pub(crate) fn structure() -> &'static Structure {
    &STRUCTURE
}

/// The name of the definition of object metadata.
pub(crate) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Structure {
    /// The schema of a definition; one that accepts everything if there is none of the name.
    pub(crate) fn schema(&self, name: &str) -> Arc<Schema> {
        self.parsed.get(name).cloned().unwrap_or_else(|| Arc::new(Schema::any()))
    }

    fn build() -> Self {
        let mut raw = generate();
        // These carry JSON of any shape.
        for name in ["RawExtension", "FieldsV1"] {
            let package = if name == "FieldsV1" { "apis.meta.v1" } else { "runtime" };
            raw.insert(
                format!("io.k8s.apimachinery.pkg.{package}.{name}"),
                json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            );
        }
        for list in lists::LISTS {
            annotate(&mut raw, list);
        }
        for (definition, field) in lists::RETAIN_KEYS {
            if let Some(schema) = find(&mut raw, definition, field) {
                schema["x-kubernetes-patch-strategy"] = json!("retainKeys");
            }
        }
        for name in lists::ATOMIC {
            let (definition, field) = name.split_once('/').unwrap_or((name, ""));
            let Some(schema) = find(&mut raw, definition, field) else { continue };
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        for (definition, field, value) in lists::DEFAULTS {
            if let Some(schema) = find(&mut raw, definition, field) {
                schema["default"] = json!(value);
            }
        }
        let definitions = Definitions::new(raw.clone());
        let parsed = raw.keys().map(|name| (name.clone(), definitions.get(name))).collect();
        Self { raw, parsed }
    }
}

/// The schema at a field of a definition, or the definition itself. Names may leave out `io.k8s.`.
fn find<'a>(
    raw: &'a mut BTreeMap<String, Value>,
    definition: &str,
    field: &str,
) -> Option<&'a mut Value> {
    let schema = raw.get_mut(&format!("io.k8s.{definition}"))?;
    if field.is_empty() { Some(schema) } else { schema.get_mut("properties")?.get_mut(field) }
}

fn annotate(raw: &mut BTreeMap<String, Value>, list: &lists::Merging) {
    let Some(schema) = find(raw, list.definition, list.field) else { return };
    match list.keys {
        [] => schema["x-kubernetes-list-type"] = json!("set"),
        keys => {
            schema["x-kubernetes-list-type"] = json!("map");
            schema["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
    if list.patch {
        schema["x-kubernetes-patch-merge-key"] = json!(list.keys.first().unwrap_or(&""));
    }
}

fn generate() -> BTreeMap<String, Value> {
    let settings = SchemaSettings::openapi3().with(|s| s.meta_schema = None);
    let mut generator = settings.into_generator();
    macro_rules! include {
        ($($kind:ty),* $(,)?) => { $( generator.subschema_for::<$kind>(); )* };
    }
    include!(
        core::ConfigMap,
        core::Endpoints,
        core::Event,
        core::Namespace,
        core::Node,
        core::PersistentVolumeClaim,
        core::Pod,
        core::Secret,
        core::Service,
        core::ServiceAccount,
        apiextensions::CustomResourceDefinition,
        apps::Deployment,
        apps::ReplicaSet,
        authorization::SelfSubjectAccessReview,
        authorization::SelfSubjectRulesReview,
        authentication::SelfSubjectReview,
        autoscaling::HorizontalPodAutoscaler,
        autoscaling_v1::Scale,
        coordination::Lease,
        discovery::EndpointSlice,
        events::Event,
        networking::Ingress,
        networking::IngressClass,
        networking::NetworkPolicy,
        policy::PodDisruptionBudget,
        rbac::ClusterRole,
        rbac::ClusterRoleBinding,
        rbac::Role,
        rbac::RoleBinding,
        meta::ObjectMeta,
        meta::ListMeta,
        meta::DeleteOptions,
        meta::Status,
    );
    generator.take_definitions(true).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{List, Type};

    #[test]
    fn every_line_of_the_tables_names_a_field() {
        let structure = structure();
        let mut raw = structure.raw.clone();
        for list in lists::LISTS {
            assert!(
                find(&mut raw, list.definition, list.field).is_some(),
                "{}.{}",
                list.definition,
                list.field
            );
        }
        for name in lists::ATOMIC {
            let (definition, field) = name.split_once('/').unwrap_or((name, ""));
            assert!(find(&mut raw, definition, field).is_some(), "{name}");
        }
        for (definition, field, _) in lists::DEFAULTS {
            assert!(find(&mut raw, definition, field).is_some(), "{definition}.{field}");
        }
    }

    #[test]
    fn a_service_has_ports_told_apart_by_number_and_protocol() {
        let service = structure().schema("io.k8s.api.core.v1.Service");
        let ports = &service.properties["spec"].properties["ports"];
        assert_eq!(ports.list, List::Map(vec!["port".into(), "protocol".into()]));
        assert_eq!(ports.merge_key.as_deref(), Some("port"));
        let port = ports.items.as_ref().unwrap();
        assert_eq!(port.properties["protocol"].default, Some(json!("TCP")));
        assert_eq!(port.properties["port"].kind, Some(Type::Integer));
        assert!(port.properties["targetPort"].int_or_string);
    }
}
