//! Certificates that users bring.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::rules;

/// The certificate for names that no route has one for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultCertificate {
    /// Secrets of type `kubernetes.io/tls`: one, or two with keys of different kinds (ECDSA or Ed25519, and RSA), of
    /// which each client gets the one that it can check. Required. Example: `[{name: wildcard}]`.
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub secrets: Vec<SecretReference>,
}

/// A Secret by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Its name. Required. Example: `wildcard`.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules(&[(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "name is the name of a Secret, such as \"wildcard\"",
    )])))]
    pub name: String,
    /// Its namespace. Another one than that of the GatewayConfig must allow it with a `ReferenceGrant` of Gateway API,
    /// from GatewayConfigs to Secrets. Default: absent, that of the GatewayConfig. Example: `certificates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 63), extend("x-kubernetes-validations" = rules(&[(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "namespace is the name of a namespace, such as \"certificates\"",
    )])))]
    pub namespace: Option<String>,
}
