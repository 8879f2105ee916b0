//! Permissions for references into another namespace.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// `ReferenceGrant` of Gateway API, as far as it is read here: objects of `from` may name objects of `to` in the
/// grant's namespace.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1beta1",
    kind = "ReferenceGrant",
    namespaced,
    schema = "disabled",
    doc = "References from other namespaces that a namespace allows."
)]
#[serde(rename_all = "camelCase", default)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Objects of one kind in one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantFrom {
    /// API group; empty: the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// Objects of one kind, or one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantTo {
    /// API group; empty: the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Absent: all of the kind.
    pub name: Option<String>,
}

impl ReferenceGrantSpec {
    /// Whether objects of this group and kind in `namespace` may name the Secret `name`.
    #[must_use]
    pub fn allows_secret(&self, (group, kind): (&str, &str), namespace: &str, name: &str) -> bool {
        let from =
            |one: &GrantFrom| one.group == group && one.kind == kind && one.namespace == namespace;
        let to = |one: &GrantTo| {
            one.group.is_empty()
                && one.kind == "Secret"
                && one.name.as_deref().is_none_or(|named| named == name)
        };
        self.from.iter().any(from) && self.to.iter().any(to)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_is_for_one_kind_in_one_namespace_and_for_all_secrets_or_one() {
        let us = json!({"group": "gatefleet.dev", "kind": "GatewayConfig", "namespace": "edge"});
        let grant = |from: serde_json::Value, to: serde_json::Value| {
            let spec = json!({"from": [from], "to": [to]});
            let spec: ReferenceGrantSpec = serde_json::from_value(spec).unwrap();
            spec.allows_secret(("gatefleet.dev", "GatewayConfig"), "edge", "wildcard")
        };
        let secrets = json!({"group": "", "kind": "Secret"});
        assert!(grant(us.clone(), secrets.clone()));
        assert!(grant(us.clone(), json!({"kind": "Secret", "name": "wildcard"})));
        assert!(!grant(us.clone(), json!({"kind": "Secret", "name": "other"})));
        assert!(!grant(us.clone(), json!({"group": "x", "kind": "Secret"})));
        assert!(!grant(us.clone(), json!({"kind": "ConfigMap"})));
        for (key, value) in [("group", ""), ("kind", "Gateway"), ("namespace", "shop")] {
            let mut other = us.clone();
            other[key] = json!(value);
            assert!(!grant(other, secrets.clone()), "{key}");
        }
    }
}
