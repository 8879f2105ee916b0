//! How many proxies there are, what keeps them while the cluster moves pods, and who may reach them.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{TierSpec, rules::rules};

/// As many proxies as their CPU needs, by a `HorizontalPodAutoscaler`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[(
    "self.minReplicas <= self.maxReplicas",
    "minReplicas exceeds maxReplicas: lower the one or raise the other",
)])))]
pub struct Autoscaling {
    /// At least so many proxies run; a new tier begins with them. Default: `2`. Example: `3`.
    #[serde(default = "Autoscaling::default_min_replicas")]
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub min_replicas: u16,
    /// At most so many proxies run. Required. Example: `10`.
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub max_replicas: u16,
    /// The mean CPU of the proxies that the autoscaler aims at, in percent of the CPU that each requests (`size`,
    /// `resources.requests.cpu`). Above 100 it counts on idle CPU of the nodes. Default: `80`. Example: `60`.
    #[serde(rename = "targetCPUUtilization", default = "Autoscaling::default_utilization")]
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub target_cpu_utilization: u16,
}

impl Autoscaling {
    const fn default_min_replicas() -> u16 {
        TierSpec::DEFAULT_REPLICAS
    }

    const fn default_utilization() -> u16 {
        80
    }
}

/// Who decides how many proxies run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale<'a> {
    /// The declaration.
    Fixed(u16),
    /// An autoscaler. The operator then never says it.
    Automatic(&'a Autoscaling),
}

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
