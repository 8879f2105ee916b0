//! On which nodes the pods of a tier run.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::rules::rules;

/// How a toleration is compared with a taint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// Key and value are the taint's.
    #[default]
    Equal,
    /// The key is the taint's, or is left out.
    Exists,
}

impl TolerationOperator {
    /// As in a pod.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "Equal",
            Self::Exists => "Exists",
        }
    }
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// New pods are not placed.
    NoSchedule,
    /// New pods are placed elsewhere if possible.
    PreferNoSchedule,
    /// Pods are driven away.
    NoExecute,
}

impl TaintEffect {
    /// As in a pod.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A taint of nodes that the pods put up with.
#[expect(clippy::struct_field_names, reason = "the names of the Kubernetes API")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "!has(self.value) || self.operator == 'Equal'",
        "a toleration with operator Exists takes no value: remove value, or choose operator Equal",
    ),
    (
        "has(self.key) || self.operator == 'Exists'",
        "a toleration without a key tolerates every taint: name a key, or choose operator Exists",
    ),
    (
        "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        "tolerationSeconds counts only for effect NoExecute: set this effect, or remove tolerationSeconds",
    ),
])))]
pub struct Toleration {
    /// Key of the taint. Default: absent, every taint (with operator `Exists`). Example: `dedicated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 253))]
    pub key: Option<String>,
    /// `Equal` (key and value are the taint's) or `Exists` (the key is). Default: `Equal`. Example: `Exists`.
    pub operator: TolerationOperator,
    /// Value of the taint. Default: absent, the empty one. Example: `gateways`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 63))]
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`. Default: absent, all three. Example: `NoExecute`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TaintEffect")]
    pub effect: Option<TaintEffect>,
    /// For how many seconds a taint that drives pods away is put up with. Default: absent, forever.
    /// Example: `30`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 0, max = 31_536_000))]
    pub toleration_seconds: Option<u32>,
}

/// What happens to a pod that cannot be spread as declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenUnsatisfiable {
    /// It runs where it fits best.
    #[default]
    ScheduleAnyway,
    /// It waits.
    DoNotSchedule,
}

impl WhenUnsatisfiable {
    /// As in a pod.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScheduleAnyway => "ScheduleAnyway",
            Self::DoNotSchedule => "DoNotSchedule",
        }
    }
}

/// Over what the pods of the tier are spread evenly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpreadConstraint {
    /// Label of nodes: those with one value of it are one place. Required. Example: `example.com/rack`.
    #[schemars(length(min = 1, max = 253))]
    pub topology_key: String,
    /// By how many pods two places may differ. Default: `1`. Example: `2`.
    #[serde(default = "one")]
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub max_skew: u16,
    /// `ScheduleAnyway` (a pod that cannot keep to it runs nevertheless) or `DoNotSchedule` (it waits).
    /// Default: `ScheduleAnyway`. Example: `DoNotSchedule`.
    #[serde(default)]
    pub when_unsatisfiable: WhenUnsatisfiable,
}

const fn one() -> u16 {
    1
}

/// A part of a Kubernetes object, as written: what the operator cannot read it says in the condition `Accepted`.
macro_rules! embedded {
    ($name:ident, $what:literal) => {
        #[doc = $what]
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Map<String, Value>);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
            }
        }
    };
}

embedded!(Affinity, "`affinity` of a pod.");
embedded!(PodPatch, "What is merged into a pod template.");
