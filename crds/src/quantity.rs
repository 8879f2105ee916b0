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

    /// Its value in thousandths, rounded up: `100m` is 100, `2` is 2000, `1Ki` is 1024000. `None` when it is no
    /// quantity, negative, or too large for the type.
    #[must_use]
    pub fn thousandths(&self) -> Option<u64> {
        match &self.0 {
            IntOrString::Int(number) => u64::try_from(*number).ok()?.checked_mul(1000),
            IntOrString::String(text) => parse_thousandths(text),
        }
    }

    fn to_api(&self) -> ApiQuantity {
        match &self.0 {
            IntOrString::Int(number) => ApiQuantity(number.to_string()),
            IntOrString::String(text) => ApiQuantity(text.clone()),
        }
    }
}

/// Suffix, and its factor in thousandths as a fraction.
const SUFFIXES: [(&str, u128, u128); 16] = [
    ("Ki", 1000 << 10, 1),
    ("Mi", 1000 << 20, 1),
    ("Gi", 1000 << 30, 1),
    ("Ti", 1000 << 40, 1),
    ("Pi", 1000 << 50, 1),
    ("Ei", 1000 << 60, 1),
    ("n", 1, 1_000_000),
    ("u", 1, 1000),
    ("m", 1, 1),
    ("k", 1_000_000, 1),
    ("M", 1_000_000_000, 1),
    ("G", 1_000_000_000_000, 1),
    ("T", 1_000_000_000_000_000, 1),
    ("P", 1_000_000_000_000_000_000, 1),
    ("E", 1_000_000_000_000_000_000_000, 1),
    ("", 1000, 1),
];

/// The grammar of Kubernetes' `resource.Quantity`, without signs; `12e6` is an exponent, `12E` a suffix.
fn parse_thousandths(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, suffix) = text.split_at_checked(digits)?;
    let (numerator, denominator) = match suffix.strip_prefix(['e', 'E']) {
        Some(exponent) if !exponent.is_empty() && exponent != "i" => {
            let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= 21)?;
            let power = 10_u128.pow(exponent.unsigned_abs());
            if exponent < 0 { (1000, power) } else { (1000 * power, 1) }
        }
        _ => SUFFIXES
            .iter()
            .find_map(|(name, up, down)| (*name == suffix).then_some((*up, *down)))?,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() + fraction.len() > 15 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let value = digits.checked_mul(numerator)?.div_ceil(scale * denominator);
    u64::try_from(value).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_become_thousandths() {
        for (text, expected) in [
            ("100m", Some(100)),
            ("2", Some(2000)),
            ("0.5", Some(500)),
            (".5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("64Mi", Some(67_108_864_000)),
            ("1k", Some(1_000_000)),
            ("12e6", Some(12_000_000_000)),
            ("5E-1", Some(500)),
            ("1n", Some(1)),
            ("1E", None),
            ("", None),
            (".", None),
            ("Mi", None),
            ("-1", None),
            ("1 Gi", None),
            ("1.2.3", None),
            ("1e99", None),
            ("1Kib", None),
        ] {
            assert_eq!(Quantity::new(text).thousandths(), expected, "{text}");
        }
        let number: Quantity = serde_json::from_value(serde_json::json!(2)).unwrap();
        assert_eq!(number.thousandths(), Some(2000));
    }
}
