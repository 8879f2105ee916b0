//! CPU and memory of a proxy.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    api::core::v1::ResourceRequirements,
    apimachinery::pkg::{api::resource::Quantity as ApiQuantity, util::intstr::IntOrString},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::rules::rules;

/// A Kubernetes quantity: text (`100m`, `64Mi`) or a whole number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(IntOrString);

impl Quantity {
    /// The quantity that `text` says. Not checked here: the schema and the API server do.
    pub fn new(text: impl Into<String>) -> Self {
        Self(IntOrString::String(text.into()))
    }

    fn to_api(&self) -> ApiQuantity {
        match &self.0 {
            IntOrString::Int(number) => ApiQuantity(number.to_string()),
            IntOrString::String(text) => ApiQuantity(text.clone()),
        }
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
            "x-kubernetes-validations": rules(&[(
                "isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))",
                "write a quantity greater than 0, such as \"100m\" or 2 for CPU, \"64Mi\" or \"1Gi\" for memory",
            )]),
        })
    }
}

/// What one proxy is guaranteed, and what it may not exceed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "!has(self.limits) || !has(self.limits.cpu) || !isQuantity(string(self.limits.cpu)) || !isQuantity(string(self.requests.cpu)) || quantity(string(self.requests.cpu)).compareTo(quantity(string(self.limits.cpu))) <= 0",
        "requests.cpu (100m unless set) exceeds limits.cpu: lower the request or raise the limit",
    ),
    (
        "!has(self.limits) || !has(self.limits.memory) || !isQuantity(string(self.limits.memory)) || !isQuantity(string(self.requests.memory)) || quantity(string(self.requests.memory)).compareTo(quantity(string(self.limits.memory))) <= 0",
        "requests.memory (64Mi unless set) exceeds limits.memory: lower the request or raise the limit",
    ),
])))]
pub struct Resources {
    /// What the scheduler reserves for each proxy.
    pub requests: ResourceRequests,
    /// What each proxy may use at most. Without a CPU limit a proxy may use idle CPU of its node.
    #[serde(skip_serializing_if = "ResourceLimits::is_empty")]
    pub limits: ResourceLimits,
}

/// What the scheduler reserves for each proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceRequests {
    /// CPU that each proxy is guaranteed. It also decides, rounded up to whole CPUs, how many threads a proxy
    /// without a CPU limit runs. Default: `100m`. Example: `2`.
    pub cpu: Quantity,
    /// Memory that each proxy is guaranteed. Default: `64Mi`. Example: `1Gi`.
    pub memory: Quantity,
}

impl Default for ResourceRequests {
    fn default() -> Self {
        Self { cpu: Quantity::new("100m"), memory: Quantity::new("64Mi") }
    }
}

/// What each proxy may use at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceLimits {
    /// CPU that each proxy may use; it runs as many threads, rounded up. Default: absent, no limit.
    /// Example: `"4"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory above which a proxy is killed; a quarter of it bounds the copy of the last good configuration.
    /// Default: absent, no limit (the copy is then bounded to 64 MiB). Example: `2Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

impl ResourceLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Resources {
    /// As a container's `resources`.
    #[must_use]
    pub fn to_api(&self) -> ResourceRequirements {
        let Self { requests, limits } = self;
        let limits: BTreeMap<_, _> = [("cpu", &limits.cpu), ("memory", &limits.memory)]
            .into_iter()
            .filter_map(|(name, quantity)| Some((name.to_owned(), quantity.as_ref()?.to_api())))
            .collect();
        let requests = [("cpu", &requests.cpu), ("memory", &requests.memory)]
            .map(|(name, quantity)| (name.to_owned(), quantity.to_api()));
        ResourceRequirements {
            claims: None,
            limits: (!limits.is_empty()).then_some(limits),
            requests: Some(BTreeMap::from(requests)),
        }
    }
}
