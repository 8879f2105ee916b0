//! The table of built-in kinds.

use std::sync::Arc;

use super::{Strategy, definitions};
use crate::{
    resource::{ALL_VERBS, Resource, Scale},
    table::builtin_columns,
};

/// One line of the table.
struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    scope: Scope,
    short: &'static [&'static str],
    /// In kubectl's category `all`?
    all: bool,
    status: bool,
    strategy: Strategy,
    /// Go package of the definition, say `api.core.v1`.
    package: &'static str,
    selectable: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Cluster,
    Namespaced,
}
use Scope::{Cluster, Namespaced};

const fn row(
    (group, version): (&'static str, &'static str),
    kind: &'static str,
    plural: &'static str,
    scope: Scope,
    package: &'static str,
) -> Row {
    Row {
        group,
        version,
        kind,
        plural,
        scope,
        short: &[],
        all: false,
        status: false,
        strategy: Strategy::Plain,
        package,
        selectable: &[],
    }
}

impl Row {
    const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short = names;
        self
    }
    const fn all(mut self) -> Self {
        self.all = true;
        self
    }
    const fn status(mut self) -> Self {
        self.status = true;
        self
    }
    const fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }
    const fn selectable(mut self, fields: &'static [&'static str]) -> Self {
        self.selectable = fields;
        self
    }
}

const CORE: (&str, &str) = ("", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const NETWORKING: (&str, &str) = ("networking.k8s.io", "v1");
const RBAC: (&str, &str) = ("rbac.authorization.k8s.io", "v1");
const AUTHORIZATION: (&str, &str) = ("authorization.k8s.io", "v1");
const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const NEW_EVENT_FIELDS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "reason",
    "reportingController",
    "type",
];

/// The kinds, in the order of discovery.
static ROWS: &[Row] = &[
    row(CORE, "ConfigMap", "configmaps", Namespaced, "api.core.v1")
        .short(&["cm"])
        .strategy(Strategy::ConfigMap),
    row(CORE, "Endpoints", "endpoints", Namespaced, "api.core.v1").short(&["ep"]),
    row(CORE, "Event", "events", Namespaced, "api.core.v1")
        .short(&["ev"])
        .strategy(Strategy::Event)
        .selectable(EVENT_FIELDS),
    row(CORE, "Namespace", "namespaces", Cluster, "api.core.v1")
        .short(&["ns"])
        .status()
        .strategy(Strategy::Namespace)
        .selectable(&["status.phase"]),
    row(CORE, "Node", "nodes", Cluster, "api.core.v1")
        .short(&["no"])
        .status()
        .selectable(&["spec.unschedulable"]),
    row(CORE, "PersistentVolumeClaim", "persistentvolumeclaims", Namespaced, "api.core.v1")
        .short(&["pvc"])
        .status(),
    row(CORE, "Pod", "pods", Namespaced, "api.core.v1")
        .short(&["po"])
        .all()
        .status()
        .strategy(Strategy::Pod)
        .selectable(&[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ]),
    row(CORE, "Secret", "secrets", Namespaced, "api.core.v1")
        .strategy(Strategy::Secret)
        .selectable(&["type"]),
    row(CORE, "Service", "services", Namespaced, "api.core.v1")
        .short(&["svc"])
        .all()
        .status()
        .strategy(Strategy::Service)
        .selectable(&["spec.clusterIP", "spec.type"]),
    row(CORE, "ServiceAccount", "serviceaccounts", Namespaced, "api.core.v1").short(&["sa"]),
    row(
        ("apiextensions.k8s.io", "v1"),
        "CustomResourceDefinition",
        "customresourcedefinitions",
        Cluster,
        "apiextensions-apiserver.pkg.apis.apiextensions.v1",
    )
    .short(&["crd", "crds"])
    .status()
    .strategy(Strategy::CustomResourceDefinition),
    row(APPS, "Deployment", "deployments", Namespaced, "api.apps.v1")
        .short(&["deploy"])
        .all()
        .status()
        .strategy(Strategy::Deployment),
    row(APPS, "ReplicaSet", "replicasets", Namespaced, "api.apps.v1")
        .short(&["rs"])
        .all()
        .status()
        .strategy(Strategy::ReplicaSet)
        .selectable(&["status.replicas"]),
    row(
        AUTHORIZATION,
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        Cluster,
        "api.authorization.v1",
    )
    .strategy(Strategy::Review),
    row(
        AUTHORIZATION,
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        Cluster,
        "api.authorization.v1",
    )
    .strategy(Strategy::Review),
    row(
        ("authentication.k8s.io", "v1"),
        "SelfSubjectReview",
        "selfsubjectreviews",
        Cluster,
        "api.authentication.v1",
    )
    .strategy(Strategy::Review),
    row(
        ("autoscaling", "v2"),
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        Namespaced,
        "api.autoscaling.v2",
    )
    .short(&["hpa"])
    .all()
    .status(),
    row(("coordination.k8s.io", "v1"), "Lease", "leases", Namespaced, "api.coordination.v1"),
    row(
        ("discovery.k8s.io", "v1"),
        "EndpointSlice",
        "endpointslices",
        Namespaced,
        "api.discovery.v1",
    )
    .strategy(Strategy::EndpointSlice),
    row(("events.k8s.io", "v1"), "Event", "events", Namespaced, "api.events.v1")
        .short(&["ev"])
        .strategy(Strategy::Event)
        .selectable(NEW_EVENT_FIELDS),
    row(NETWORKING, "Ingress", "ingresses", Namespaced, "api.networking.v1")
        .short(&["ing"])
        .status()
        .strategy(Strategy::Ingress),
    row(NETWORKING, "IngressClass", "ingressclasses", Cluster, "api.networking.v1")
        .strategy(Strategy::IngressClass),
    row(NETWORKING, "NetworkPolicy", "networkpolicies", Namespaced, "api.networking.v1")
        .short(&["netpol"]),
    row(
        ("policy", "v1"),
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        Namespaced,
        "api.policy.v1",
    )
    .short(&["pdb"])
    .status(),
    row(RBAC, "ClusterRole", "clusterroles", Cluster, "api.rbac.v1"),
    row(RBAC, "ClusterRoleBinding", "clusterrolebindings", Cluster, "api.rbac.v1"),
    row(RBAC, "Role", "roles", Namespaced, "api.rbac.v1"),
    row(RBAC, "RoleBinding", "rolebindings", Namespaced, "api.rbac.v1"),
];

/// All built-in resources.
pub(crate) fn resources() -> Vec<Arc<Resource>> {
    ROWS.iter().map(|row| Arc::new(resource(row))).collect()
}

fn resource(row: &Row) -> Resource {
    let words = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    let scaled = matches!(row.strategy, Strategy::Deployment | Strategy::ReplicaSet);
    let definition = format!("io.k8s.{}.{}", row.package, row.kind);
    Resource {
        group: row.group.into(),
        version: row.version.into(),
        kind: row.kind.into(),
        list_kind: format!("{}List", row.kind),
        plural: row.plural.into(),
        singular: row.kind.to_lowercase(),
        namespaced: row.scope == Namespaced,
        short_names: words(row.short),
        categories: if row.all { words(&["all"]) } else { Vec::new() },
        status: row.status,
        scale: scaled.then(Scale::replicas),
        verbs: if row.strategy == Strategy::Review { &["create"] } else { ALL_VERBS },
        schema: definitions::structure().schema(&definition),
        strategy: row.strategy,
        columns: builtin_columns(row.group, row.kind),
        selectable: words(row.selectable),
        stored_group: if row.strategy == Strategy::Event {
            String::new()
        } else {
            row.group.into()
        },
        stored_version: row.version.into(),
        definition: Some(definition),
        custom: None,
    }
}

impl Scale {
    /// `spec.replicas`, `status.replicas`, `status.selector`.
    fn replicas() -> Self {
        let path = |parts: [&str; 2]| parts.map(str::to_owned).to_vec();
        Self {
            spec_replicas: path(["spec", "replicas"]),
            status_replicas: path(["status", "replicas"]),
            selector: None,
        }
    }
}
