//! What a tier listens on, and whom it believes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DefaultCertificate, rules::rules};

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
    /// The port of every node that leads to the listener, unique in the cluster and within the range that the cluster
    /// has for it (30000-32767 unless configured). It needs `service.type` `NodePort` or `LoadBalancer`.
    /// Default: absent, one that the cluster picks and keeps. Example: `30443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 65535))]
    pub node_port: Option<u16>,
}

impl Listener {
    /// HTTP on port 80, HTTPS on port 443.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let listener = |name: &str, port, protocol| Self {
            name: name.to_owned(),
            port,
            protocol,
            node_port: None,
        };
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

/// Which clients may use a tier at all, by their addresses as `clientIPDetection` finds them out. Everybody else gets 403,
/// whatever they ask for; annotations such as `whitelist-source-range` restrict single routes further. Health checks of a
/// load balancer come from addresses of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceRanges {
    /// Networks and addresses of clients that are served. Default: none named, all of them.
    /// Example: `[10.0.0.0/8, "fd00::/8"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 43)), extend(
        "x-kubernetes-list-type" = "set",
        "x-kubernetes-validations" = rules(&[(
            "self.all(one, isIP(one) || isCIDR(one))",
            "sourceRanges.allow takes networks and addresses such as \"10.0.0.0/8\" or \"192.0.2.7\"",
        )]),
    ))]
    pub allow: Vec<String>,
    /// Networks and addresses of clients that are not served, even if `allow` names them. Default: none.
    /// Example: `[192.0.2.7]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 43)), extend(
        "x-kubernetes-list-type" = "set",
        "x-kubernetes-validations" = rules(&[(
            "self.all(one, isIP(one) || isCIDR(one))",
            "sourceRanges.deny takes networks and addresses such as \"10.0.0.0/8\" or \"192.0.2.7\"",
        )]),
    ))]
    pub deny: Vec<String>,
}

impl SourceRanges {
    /// Whether everybody may use the tier.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }
}
