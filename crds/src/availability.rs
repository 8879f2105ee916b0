//! What keeps a tier served while the cluster moves pods, and who may reach them.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::rules::rules;

/// A part of a tier's proxies: a whole number, or a percentage, which is rounded up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(IntOrString);

impl Share {
    /// As Kubernetes takes it, which refuses a number that is written as text.
    #[must_use]
    pub fn to_api(&self) -> IntOrString {
        match &self.0 {
            IntOrString::Int(number) => IntOrString::Int(*number),
            IntOrString::String(text) => {
                text.parse().map_or_else(|_| IntOrString::String(text.clone()), IntOrString::Int)
            }
        }
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 4,
            "x-kubernetes-validations": rules(&[(
                "string(self).matches('^([1-9][0-9]{0,3}|([1-9][0-9]?|100)%)$')",
                "write how many proxies may be missing: a number from 1 to 9999 or a percentage from \"1%\" to \"100%\"; 0 would keep nodes from ever being drained",
            )]),
        })
    }
}

/// How many proxies a node drain may take away at a time (a `PodDisruptionBudget`). It is counted by what may be missing,
/// never by what must stay: so it blocks no drain, however few proxies run. Proxies that are not ready never count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DisruptionBudget {
    /// So many proxies may be missing at a time: a number, or a percentage of the wanted ones, rounded up.
    /// `100%`: no bound. Default: `1`. Example: `25%`.
    pub max_unavailable: Share,
}

impl Default for DisruptionBudget {
    fn default() -> Self {
        Self { max_unavailable: Share(IntOrString::Int(1)) }
    }
}

/// What may reach the pods of the tier (a `NetworkPolicy`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicy {
    /// Whether there is one. It lets everybody reach the ports of the listeners, pods of the cluster reach the status port
    /// (9701: probes, metrics), and nobody reach anything else; it leaves what the proxies call alone, because backends
    /// may be anywhere. It acts only where the cluster's network plugin enforces policies, and never on
    /// pods in the network of their node. Default: `false`. Example: `true`.
    pub enabled: bool,
}
