//! What a user declares.

#![expect(clippy::duplicated_attributes, reason = "several printer columns have one type")]

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Affinity, Autoscaling, ClientIpDetection, DisruptionBudget, Drain, GatewayConfigStatus, Limits,
    Listener, NetworkPolicy, PodPatch, Resources, Scale, ServiceSpec, Size, SourceRanges,
    SpreadConstraint, Timeouts, TlsSpec, Toleration, rules::rules,
};

/// One fleet of gateways: up to two isolated tiers of proxies that the operator runs and configures.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "gatefleet.dev",
    version = "v1alpha1",
    kind = "GatewayConfig",
    namespaced,
    status = "GatewayConfigStatus",
    shortname = "gwc",
    category = "gatefleet",
    derive = "PartialEq",
    doc = "One fleet of gateways: up to two isolated tiers of proxies that the operator runs and configures."
)]
#[kube(printcolumn(
    name = "Phase",
    type_ = "string",
    json_path = ".status.phase",
    description = "Pending, Running, Listening or Failed"
))]
#[kube(printcolumn(
    name = "Ready",
    type_ = "string",
    json_path = ".status.conditions[?(@.type==\"Ready\")].status",
    description = "Whether the fleet does what its generation says"
))]
#[kube(printcolumn(
    name = "North-South",
    type_ = "string",
    json_path = ".status.northSouth.ready",
    description = "Ready proxies / wanted proxies of the tier for traffic from outside"
))]
#[kube(printcolumn(
    name = "East-West",
    type_ = "string",
    json_path = ".status.eastWest.ready",
    description = "Ready proxies / wanted proxies of the tier for traffic between services"
))]
#[kube(printcolumn(
    name = "Address",
    type_ = "string",
    json_path = ".status.address",
    description = "The first address of the fleet"
))]
#[kube(printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"))]
#[kube(printcolumn(
    name = "Message",
    type_ = "string",
    json_path = ".status.message",
    priority = 1,
    description = "The state in one sentence"
))]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[(
    "has(self.northSouth) || has(self.eastWest)",
    "declare at least one tier: northSouth (from outside into the cluster) or eastWest (between services); {} takes all defaults",
)])))]
pub struct GatewayConfigSpec {
    /// The tier for traffic from outside into the cluster. Absent: the fleet has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub north_south: Option<TierSpec>,
    /// The tier for traffic between services of the cluster. Absent: the fleet has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub east_west: Option<TierSpec>,
    /// Which Ingresses the fleet serves besides those whose `IngressClass` names it in its `parameters`.
    #[serde(default)]
    pub ingress: IngressSpec,
    /// What the proxies tell about the traffic.
    #[serde(default)]
    pub observability: Observability,
    /// What happens to the objects of the fleet when the `GatewayConfig` is deleted: `Delete`, or `Retain`: they stay, and
    /// proxies that run serve what they hold, but a new one gets no configuration and is never ready. A
    /// `GatewayConfig` of the same name takes them up again. Default: `Delete`. Example: `Retain`.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What happens to the objects of a fleet when its `GatewayConfig` is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They are deleted.
    #[default]
    Delete,
    /// They stay.
    Retain,
}

/// One tier: a Deployment of proxies and the Service in front of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "!has(self.size) || !has(self.resources)",
        "size and resources both say what each proxy gets: keep one of them",
    ),
    (
        "!has(self.replicas) || !has(self.autoscaling)",
        "replicas and autoscaling both say how many proxies run: keep one of them",
    ),
    (
        "self.service.type != 'ClusterIP' || !self.listeners.exists(one, has(one.nodePort))",
        "listeners[].nodePort needs service.type: NodePort or LoadBalancer: choose one, or remove nodePort",
    ),
])))]
pub struct TierSpec {
    /// How many proxies run. Without any, remove the tier instead. It stands instead of `autoscaling`.
    /// Default: `2` without `autoscaling`. Example: `3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub replicas: Option<u16>,
    /// Lets an autoscaler decide how many proxies run. Switched on, it begins with as many as there are. Without it,
    /// `replicas` decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Autoscaling")]
    pub autoscaling: Option<Autoscaling>,
    /// CPU and memory of each proxy in one word: `2c4g` requests 2 CPUs and 4 GiB and limits memory to 4 GiB;
    /// likewise `4c8g`, `8c16g`, `16c32g`. CPU is not limited; a proxy runs as many threads as its size has CPUs.
    /// It stands instead of `resources`. Default: absent, `resources` decides. Example: `2c4g`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Size")]
    pub size: Option<Size>,
    /// CPU and memory of each proxy, one by one. Without it and without `size`, a proxy requests 100m CPU and
    /// 64Mi memory, and nothing is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Resources")]
    pub resources: Option<Resources>,
    /// The Service in front of the proxies.
    pub service: ServiceSpec,
    /// The ports that the tier serves. Default: HTTP on 80 and HTTPS on 443.
    /// Example: `[{name: http, port: 8080, protocol: HTTP}]`.
    #[schemars(length(min = 1, max = 16), extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"],
        "x-kubernetes-validations" = rules(&[
            (
                "self.all(one, self.exists_one(other, other.name == one.name))",
                "two listeners have the same name: give every listener a name of its own",
            ),
            (
                "self.all(one, self.exists_one(other, other.port == one.port))",
                "two listeners have the same port: give every listener a port of its own",
            ),
            (
                "self.all(one, !has(one.nodePort) || self.exists_one(other, has(other.nodePort) && other.nodePort == one.nodePort))",
                "two listeners have the same nodePort: give every listener one of its own, or none",
            ),
        ]),
    ))]
    pub listeners: Vec<Listener>,
    /// TLS of the HTTPS listeners.
    pub tls: TlsSpec,
    /// Which clients may use the tier at all, by their addresses.
    pub source_ranges: SourceRanges,
    /// How the address of the client behind other proxies is found out.
    #[serde(rename = "clientIPDetection")]
    pub client_ip_detection: ClientIpDetection,
    /// Bounds of what each proxy accepts.
    pub limits: Limits,
    /// How long each proxy waits.
    pub timeouts: Timeouts,
    /// How a proxy leaves.
    pub drain: Drain,
    /// How many proxies a node drain may take away at a time.
    pub pod_disruption_budget: DisruptionBudget,
    /// What may reach the pods.
    pub network_policy: NetworkPolicy,
    /// What is added to the pods.
    pub pod: PodSpec,
}

impl Default for TierSpec {
    fn default() -> Self {
        Self {
            replicas: None,
            autoscaling: None,
            size: None,
            resources: None,
            service: ServiceSpec::default(),
            listeners: Listener::defaults(),
            tls: TlsSpec::default(),
            source_ranges: SourceRanges::default(),
            client_ip_detection: ClientIpDetection::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            drain: Drain::default(),
            pod_disruption_budget: DisruptionBudget::default(),
            network_policy: NetworkPolicy::default(),
            pod: PodSpec::default(),
        }
    }
}

impl TierSpec {
    /// How many proxies run when nothing says it.
    pub(crate) const DEFAULT_REPLICAS: u16 = 2;

    /// Who decides how many proxies run.
    #[must_use]
    pub fn scale(&self) -> Scale<'_> {
        match &self.autoscaling {
            Some(autoscaling) => Scale::Automatic(autoscaling),
            None => Scale::Fixed(self.replicas.unwrap_or(Self::DEFAULT_REPLICAS)),
        }
    }

    /// What each proxy gets, however it is declared.
    #[must_use]
    pub fn effective_resources(&self) -> Resources {
        let sized = self.size.map(Size::resources);
        sized.or_else(|| self.resources.clone()).unwrap_or_default()
    }
}

/// What is added to the pods of a tier. A change rolls the tier's pods, and only these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Labels of the pods, besides the operator's own. Default: none. Example: `{team: edge}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 253}, "x-kubernetes-validations" = rules(&[
        (
            "self.all(key, !key.startsWith('gatefleet.dev/') && !key.startsWith('app.kubernetes.io/'))",
            "labels under gatefleet.dev/ and app.kubernetes.io/ are the operator's: choose another key",
        ),
        (
            "self.all(key, size(self[key]) <= 63 && self[key].matches('^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$'))",
            "a label's value has at most 63 letters, digits, dashes, underscores and dots, and starts and ends with a letter or digit",
        ),
    ])))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods. Default: none. Example: `{prometheus.io/scrape: "true"}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = rules(&[(
        "self.all(key, !key.startsWith('gatefleet.dev/'))",
        "annotations under gatefleet.dev/ are the operator's: choose another key",
    )])))]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have. Default: none. Example: `{node-role: edge}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pods put up with. Default: none. Example: `[{key: dedicated, operator: Exists}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,
    /// `affinity` of the pods, as in a Pod. What cannot be read is named in the condition `Accepted`, and the
    /// tier stays as it is. Default: none. Example: `{podAffinity: {}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Affinity")]
    pub affinity: Option<Affinity>,
    /// Over what the pods of the tier are spread. Default: over nodes and zones where possible.
    /// Example: `[{topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = rules(&[(
        "self.all(one, self.exists_one(other, other.topologyKey == one.topologyKey))",
        "two constraints have the same topologyKey: keep one of them",
    )])))]
    pub topology_spread_constraints: Vec<SpreadConstraint>,
    /// `PriorityClass` of the pods. Default: absent, the cluster's choice. Example: `system-cluster-critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 253), extend("x-kubernetes-validations" = rules(&[(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "priorityClassName is the name of a PriorityClass, such as \"system-cluster-critical\"",
    )])))]
    pub priority_class_name: Option<String>,
    /// Whatever else the pods need: merged into the pod template as a strategic merge patch is, `null` removes. What the
    /// operator and the proxies rely on (labels, image, arguments, ports, volumes of the container `proxy` among others)
    /// cannot be patched. What is misspelt, or cannot be patched, is named in the condition `Accepted`, and the tier stays as
    /// it is. Default: absent. Example: `{spec: {runtimeClassName: gvisor}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PodPatch")]
    pub patch: Option<PodPatch>,
}

/// Which Ingresses the fleet serves, besides those whose `IngressClass` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressSpec {
    /// Ingresses of this class are served by the north-south tier, unless the `IngressClass` names another fleet.
    /// `""`: all Ingresses; `nginx`: those of class nginx and those without a class; any other name: that
    /// class. Default: absent, only Ingresses whose `IngressClass` names this fleet in its `parameters`.
    /// Example: `nginx`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules(&[(
        "self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "ingressClass is the name of an IngressClass such as \"nginx\", or \"\" for all Ingresses",
    )])))]
    pub ingress_class: Option<String>,
    /// Only Ingresses of these namespaces are served. Default: none named, those of all namespaces.
    /// Example: `[shop]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 63)), extend(
        "x-kubernetes-list-type" = "set",
        "x-kubernetes-validations" = rules(&[(
            "self.all(name, name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",
            "watchNamespaces takes names of namespaces such as \"shop\"",
        )]),
    ))]
    pub watch_namespaces: Vec<String>,
    /// Only Ingresses of namespaces with these labels are served; together with `watchNamespaces` both must hold.
    #[serde(skip_serializing_if = "NamespaceSelector::is_empty")]
    pub namespace_selector: NamespaceSelector,
    /// Whether addresses are written into the status of the Ingresses. `false` lets the fleet serve beside another
    /// controller that writes its own. Default: `true`. Example: `false`.
    pub publish_status: bool,
    /// IP addresses and hostnames that are published instead of those of the tier: of a load balancer that Kubernetes
    /// does not know. Default: none. Example: `[203.0.113.10]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)), extend(
        "x-kubernetes-list-type" = "set",
        "x-kubernetes-validations" = rules(&[(
            "self.all(one, isIP(one) || one.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))",
            "publishAddresses takes IP addresses and hostnames such as \"lb.example.com\"",
        )]),
    ))]
    pub publish_addresses: Vec<String>,
}

/// Namespaces by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceSelector {
    /// Labels that a namespace must have. Default: none, every namespace. Example: `{team: shop}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub match_labels: BTreeMap<String, String>,
}

impl NamespaceSelector {
    fn is_empty(&self) -> bool {
        self.match_labels.is_empty()
    }

    /// Whether a namespace with these labels is selected.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl Default for IngressSpec {
    fn default() -> Self {
        Self {
            ingress_class: None,
            watch_namespaces: Vec::new(),
            namespace_selector: NamespaceSelector::default(),
            publish_status: true,
            publish_addresses: Vec::new(),
        }
    }
}

/// What the proxies tell about the traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Observability {
    /// One line per request on the standard output of each proxy.
    pub access_log: AccessLog,
}

/// One line per request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLog {
    /// Whether requests are logged. Default: `true`. Example: `false`.
    pub enabled: bool,
    /// `JSON` (one object per line) or `Text`. Default: `JSON`. Example: `Text`.
    pub format: AccessLogFormat,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { enabled: true, format: AccessLogFormat::Json }
    }
}

/// Form of the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessLogFormat {
    /// One JSON object per line.
    #[default]
    #[serde(rename = "JSON")]
    Json,
    /// Words for people.
    Text,
}
