//! How a tier is reached: its Service, its listeners, and whom it believes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DefaultCertificate, rules::rules};

/// How the Service of a tier is exposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// An address inside the cluster.
    #[default]
    ClusterIP,
    /// An address from the cluster's load balancer controller, and one inside the cluster.
    LoadBalancer,
}

impl ServiceType {
    /// As in `spec.type` of a Service.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    /// IPv4
    IPv4,
    /// IPv6
    IPv6,
}

impl IpFamily {
    /// As in `spec.ipFamilies` of a Service.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
        }
    }
}

/// How many IP families a Service has.
#[expect(clippy::enum_variant_names, reason = "the names of the Kubernetes API")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamilyPolicy {
    /// One.
    SingleStack,
    /// Two where the cluster has two, else one.
    PreferDualStack,
    /// Two, or the Service is refused.
    RequireDualStack,
}

impl IpFamilyPolicy {
    /// As in `spec.ipFamilyPolicy` of a Service.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SingleStack => "SingleStack",
            Self::PreferDualStack => "PreferDualStack",
            Self::RequireDualStack => "RequireDualStack",
        }
    }
}

/// The Service in front of a tier's proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "!has(self.ipFamilyPolicy) || self.ipFamilyPolicy != 'SingleStack' || !has(self.ipFamilies) || size(self.ipFamilies) < 2",
        "ipFamilyPolicy SingleStack allows one entry in ipFamilies: remove one, or choose PreferDualStack",
    ),
    (
        "!has(self.ipFamilies) || size(self.ipFamilies) < 2 || has(self.ipFamilyPolicy)",
        "two entries in ipFamilies need ipFamilyPolicy: PreferDualStack or RequireDualStack",
    ),
])))]
pub struct ServiceSpec {
    /// How the tier is exposed: `ClusterIP` (inside the cluster only) or `LoadBalancer` (an address from the
    /// cluster's load balancer controller too). Default: `ClusterIP`. Example: `LoadBalancer`.
    pub r#type: ServiceType,
    /// Annotations of the Service, such as those that a load balancer controller reads. They are owned by the
    /// operator: one that is removed here is removed there; those of others stay.
    /// Default: none. Example: `{service.beta.kubernetes.io/aws-load-balancer-scheme: internal}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = rules(&[(
        "self.all(key, !key.startsWith('gatefleet.dev/'))",
        "annotations under gatefleet.dev/ are the operator's: choose another key",
    )])))]
    pub annotations: BTreeMap<String, String>,
    /// IP families of the Service, the primary one first. The primary one cannot be changed later.
    /// Default: absent, the cluster's choice. Example: `[IPv6]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = rules(&[(
        "size(self) < 2 || self[0] != self[1]",
        "ipFamilies names a family twice: write each of IPv4 and IPv6 at most once",
    )])))]
    pub ip_families: Vec<IpFamily>,
    /// How many IP families the Service has: `SingleStack`, `PreferDualStack` or `RequireDualStack`.
    /// Default: absent, the cluster's choice. Example: `PreferDualStack`.
    #[serde(skip_serializing_if = "Option::is_none")]
    // Not the optional type: its schema would lose this text.
    #[schemars(with = "IpFamilyPolicy")]
    pub ip_family_policy: Option<IpFamilyPolicy>,
}

/// What is spoken on a listener.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ListenerProtocol {
    /// HTTP/1.1 in plaintext.
    #[serde(rename = "HTTP")]
    Http,
    /// HTTP/1.1 over TLS.
    #[serde(rename = "HTTPS")]
    Https,
}

impl ListenerProtocol {
    /// As in the API: `HTTP`, `HTTPS`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }
}

/// One port that a tier serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Name of the listener, and of the port of the Service: lower case letters, digits and dashes, at most
    /// 15 characters with at least one letter, unique in the tier. Renaming one keeps its connections.
    /// Required. Example: `https`.
    #[schemars(length(min = 1, max = 15), extend("x-kubernetes-validations" = rules(&[
        (
            "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "a listener's name consists of lower case letters, digits and inner dashes, such as \"https\"",
        ),
        (
            "self.matches('[a-z]')",
            "a listener's name consists of lower case letters, digits and inner dashes, with at least one letter, such as \"https\"",
        ),
    ])))]
    pub name: String,
    /// The port that clients connect to: the port of the Service, from 1 to 65535, unique in the tier. The
    /// proxies themselves listen on a port from 10000 to 14999 that the operator picks. Required.
    /// Example: `443`.
    #[schemars(with = "i32", range(min = 1, max = 65535))]
    pub port: u16,
    /// What is spoken there: `HTTP` (plaintext) or `HTTPS` (TLS; certificates come from the `tls` entries of
    /// the routes). Required. Example: `HTTPS`.
    pub protocol: ListenerProtocol,
}

impl Listener {
    /// HTTP on port 80, HTTPS on port 443.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let listener = |name: &str, port, protocol| Self { name: name.to_owned(), port, protocol };
        vec![
            listener("http", 80, ListenerProtocol::Http),
            listener("https", 443, ListenerProtocol::Https),
        ]
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446
    #[serde(rename = "1.3")]
    Tls13,
}

/// TLS of a tier's HTTPS listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsSpec {
    /// The oldest version of TLS that clients may use: `"1.2"` or `"1.3"`, in quotes. Default: `"1.2"`.
    /// Example: `"1.3"`.
    pub min_version: TlsVersion,
    /// The certificate for names that no route has one for, and for clients that name none. Absent: their handshake
    /// ends with `unrecognized_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DefaultCertificate")]
    pub default_certificate: Option<DefaultCertificate>,
}

/// How a tier finds out the address of the client behind other proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[(
    "!has(self.hops) || self.hops == 0 || (has(self.trustedProxies) && size(self.trustedProxies) > 0)",
    "hops counts proxies that are believed: name their networks in trustedProxies, or leave hops out; [0.0.0.0/0, \"::/0\"] believes everybody who can reach the tier",
)])))]
pub struct ClientIpDetection {
    /// Networks of the proxies in front whose `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host` are
    /// believed; from everybody else these headers are replaced. Default: none.
    /// Example: `[10.0.0.0/8, "fd00::/8"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 43)), extend(
        "x-kubernetes-list-type" = "set",
        "x-kubernetes-validations" = rules(&[(
            "self.all(network, isCIDR(network))",
            "trustedProxies takes networks such as \"10.0.0.0/8\" or \"fd00::/8\"; a single address ends in /32 or /128",
        )]),
    ))]
    pub trusted_proxies: Vec<String>,
    /// How many proxies stand in front: the client is the entry of `X-Forwarded-For` that the farthest of them
    /// added, counted from the right. It needs `trustedProxies`, of which the nearest must be one. 0: as many as
    /// `trustedProxies` fit. Default: `0`. Example: `1`.
    #[schemars(with = "i32", range(min = 0, max = 32))]
    pub hops: u32,
}
