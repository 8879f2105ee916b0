//! What the operator must be allowed to do. Whoever writes its `ClusterRole`, or asks whether it fits, reads it here;
//! the scenario stories hold every request of the operator against it.

use gatefleet_infra::ChildKind;

const READ: &[&str] = &["get", "list", "watch"];
/// Server-side apply asks for both.
const APPLY: &[&str] = &["create", "patch"];

/// Verbs on one resource, in every namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// API group; empty: core.
    pub group: String,
    /// In the plural, with a subresource behind a slash: `gatewayconfigs/status`.
    pub resource: String,
    /// As RBAC calls them.
    pub verbs: Vec<&'static str>,
}

/// Besides the objects of fleets: group, resource, verbs.
const FIXED: &[(&str, &str, &[&[&str]])] = &[
    ("", "events", &[&["get"], APPLY]),
    ("", "namespaces", &[READ]),
    // Where proxies on node ports are reached.
    ("", "nodes", &[&["get"]]),
    ("", "pods", &[READ]),
    // The claim of this installation, those of others, and which replica leads.
    ("coordination.k8s.io", "leases", &[&["get", "list", "update", "delete"], APPLY]),
    ("discovery.k8s.io", "endpointslices", &[READ]),
    ("gatefleet.dev", "gatewayconfigs", &[READ]),
    ("gateway.networking.k8s.io", "referencegrants", &[READ]),
    // Owner references that block the owner's deletion (admission plugin OwnerReferencesPermissionEnforcement).
    ("gatefleet.dev", "gatewayconfigs/finalizers", &[&["update"]]),
    ("gatefleet.dev", "gatewayconfigs/status", &[&["patch"]]),
    ("networking.k8s.io", "ingressclasses", &[READ]),
    ("networking.k8s.io", "ingresses", &[READ]),
    ("networking.k8s.io", "ingresses/status", &[&["patch"]]),
];

/// Everything that the operator does at run time.
#[must_use]
pub fn permissions() -> Vec<Permission> {
    let row = |group: &str, resource: &str, verbs: &[&[&'static str]]| Permission {
        group: group.to_owned(),
        resource: resource.to_owned(),
        verbs: verbs.concat(),
    };
    let fixed = FIXED.iter().map(|(group, resource, verbs)| row(group, resource, verbs));
    let children = ChildKind::ALL.iter().map(|kind| {
        let resource = kind.resource();
        row(&resource.group, &resource.plural, &[READ, APPLY, &["delete"]])
    });
    let mut all: Vec<Permission> = fixed.chain(children).collect();
    all.sort();
    all
}
