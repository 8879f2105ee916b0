//! What the operator observed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ListenerProtocol, Phase};

/// What the operator observed. Written by the operator alone, except for conditions of other types.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayConfigStatus {
    /// The conditions in one word: `Pending`, `Running`, `Listening` or `Failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    // Not the optional type: its schema would lose this text.
    #[schemars(with = "Phase")]
    pub phase: Option<Phase>,
    /// The state in one sentence, with what to do when something must be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The first address of the north-south tier, or else of the east-west tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The `metadata.generation` that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The state in detail. Types, reasons and remedies: `docs/reference/conditions.md`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The tier for traffic from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub north_south: Option<TierStatus>,
    /// The tier for traffic between services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub east_west: Option<TierStatus>,
    /// The certificates that the fleet serves, the one that ends first before the others, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub certificates: Vec<CertificateStatus>,
    /// What routes ask of the fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<RoutesStatus>,
}

/// One tier as observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TierStatus {
    /// Proxies that are wanted.
    pub replicas: i32,
    /// Proxies that are ready: configured, listening, certificates loaded.
    pub ready_replicas: i32,
    /// Ready proxies that hold the current configuration of the tier.
    pub acknowledged_replicas: i32,
    /// `readyReplicas/replicas`, for `kubectl get`.
    pub ready: String,
    /// Addresses under which the tier is reached: IP addresses or hostnames of its load balancer, for `NodePort` those of
    /// the nodes of its proxies (external ones, or else internal ones), else those of its Service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Vec<String>,
    /// Ports under which it is reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub listeners: Vec<ListenerStatus>,
}

/// One listener as observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// The port that clients connect to.
    #[schemars(with = "i32")]
    pub port: u16,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// The port on which the proxies listen.
    #[schemars(with = "i32")]
    pub target_port: u16,
    /// The port of every node that leads to it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub node_port: Option<u16>,
}

/// One certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Its Secret, as `namespace/name`.
    pub name: String,
    /// Until when it is valid.
    pub not_after: Time,
}

/// What routes ask of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RoutesStatus {
    /// Routes that the fleet serves, in whole or in part.
    pub attached: i32,
    /// Routes of which nothing can be served.
    pub rejected: i32,
    /// The first findings about routes, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub problems: Vec<RouteProblem>,
    /// How many further findings there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_problems: Option<i32>,
}

/// One finding about a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteProblem {
    /// The object, as `Kind namespace/name`.
    pub object: String,
    /// One CamelCase word.
    pub reason: String,
    /// What is wrong, where, and what to do.
    pub message: String,
}
