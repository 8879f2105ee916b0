//! How a tier is exposed: its Service.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::rules;

/// How the Service of a tier is exposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// An address inside the cluster.
    #[default]
    ClusterIP,
    /// A port on every node, and an address inside the cluster.
    NodePort,
    /// An address from the cluster's load balancer controller, and one inside the cluster.
    LoadBalancer,
}

impl ServiceType {
    /// As in `spec.type` of a Service.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
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

/// To which proxies a Service leads those who come in at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPolicy {
    /// To all of them.
    Cluster,
    /// To those on that node.
    Local,
}

impl TrafficPolicy {
    /// As in a Service.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

/// The Service in front of a tier's proxies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "self.type == 'LoadBalancer' || !has(self.loadBalancerClass)",
        "loadBalancerClass needs type: LoadBalancer: choose it, or remove loadBalancerClass",
    ),
    (
        "self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || (has(self.loadBalancerClass) ? self.loadBalancerClass : '') == (has(oldSelf.loadBalancerClass) ? oldSelf.loadBalancerClass : '')",
        "loadBalancerClass of a load balancer cannot change: set type: ClusterIP without a class first, then type: LoadBalancer with the other class; the load balancer is made anew",
    ),
    (
        "self.type == 'LoadBalancer' || !has(self.loadBalancerSourceRanges) || size(self.loadBalancerSourceRanges) == 0",
        "loadBalancerSourceRanges needs type: LoadBalancer: choose it, or remove loadBalancerSourceRanges",
    ),
    (
        "self.type == 'LoadBalancer' || self.allocateLoadBalancerNodePorts",
        "allocateLoadBalancerNodePorts: false needs type: LoadBalancer: choose it, or remove allocateLoadBalancerNodePorts",
    ),
    (
        "self.type != 'ClusterIP' || !has(self.externalTrafficPolicy)",
        "externalTrafficPolicy needs type: NodePort or LoadBalancer: choose one, or remove externalTrafficPolicy",
    ),
    (
        "!has(self.ipFamilies) || size(self.ipFamilies) == 0 || !has(oldSelf.ipFamilies) || size(oldSelf.ipFamilies) == 0 || self.ipFamilies[0] == oldSelf.ipFamilies[0]",
        "the first of ipFamilies cannot change, a Service keeps its primary family: put the former first, or remove the tier and declare it again",
    ),
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
    /// How the tier is exposed: `ClusterIP` (inside the cluster only), `NodePort` (a port of every node too; see
    /// `listeners[].nodePort`) or `LoadBalancer` (an address from the cluster's load balancer controller too).
    /// Default: `ClusterIP`. Example: `LoadBalancer`.
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
    /// Which load balancer controller is asked for an address. It cannot change while the type is `LoadBalancer`.
    /// Default: absent, the cluster's own. Example: `example.com/internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 317), extend("x-kubernetes-validations" = rules(&[(
        "self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",
        "loadBalancerClass is a name such as \"internal\" or \"example.com/internal\"",
    )])))]
    pub load_balancer_class: Option<String>,
    /// Networks from which the load balancer takes connections, where its controller supports that. Without one to
    /// trust, let the proxies decide: `sourceRanges`. Default: none named, all. Example: `[203.0.113.0/24]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 43)), extend(
        "x-kubernetes-list-type" = "atomic",
        "x-kubernetes-validations" = rules(&[(
            "self.all(network, isCIDR(network) && cidr(network) == cidr(network).masked())",
            "loadBalancerSourceRanges takes networks such as \"203.0.113.0/24\"; a single address ends in /32 or /128, and no bit is set beyond the prefix",
        )]),
    ))]
    pub load_balancer_source_ranges: Vec<String>,
    /// Whether a load balancer leads to ports of the nodes. `false` is for controllers that reach pods directly; ports
    /// that listeners name themselves stay. Default: `true`. Example: `false`.
    pub allocate_load_balancer_node_ports: bool,
    /// To which proxies those from outside are led: `Cluster` (all) or `Local` (those on the node that was reached; the
    /// client's address is kept, and nodes without a proxy take nothing). Default: absent, the cluster's choice
    /// (`Cluster`). Example: `Local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrafficPolicy")]
    pub external_traffic_policy: Option<TrafficPolicy>,
    /// To which proxies pods of the cluster are led: `Cluster` (all) or `Local` (those on the pod's own node; without
    /// one there, none). Default: absent, the cluster's choice (`Cluster`). Example: `Local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrafficPolicy")]
    pub internal_traffic_policy: Option<TrafficPolicy>,
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

impl Default for ServiceSpec {
    fn default() -> Self {
        Self {
            r#type: ServiceType::default(),
            annotations: BTreeMap::new(),
            load_balancer_class: None,
            load_balancer_source_ranges: Vec::new(),
            allocate_load_balancer_node_ports: true,
            external_traffic_policy: None,
            internal_traffic_policy: None,
            ip_families: Vec::new(),
            ip_family_policy: None,
        }
    }
}
