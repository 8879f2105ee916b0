//! What watches, proxies and the routes pipeline say about one fleet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use gatefleet_crds::{GatewayConfig, Reason, RouteProblem};
use gatefleet_distribute::{Holding as Held, Holdings, ProxyHoldings};
use gatefleet_infra::{
    CertificateObservation, ChildNames, Holding, Observed, PodObservation, Problem,
    RoutesObservation, TierObservation, is_reached_through_nodes, labels, setting_names, tier_spec,
};
use gatefleet_names::{FleetKey, Kind, ObjectKey, Tier, TierKey};
use gatefleet_routes::{Diagnostic, Severity};
use gatefleet_watch::View;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::{nodes::Nodes, sent::Sent, translate::Report};

/// Everything that a fleet is judged by.
#[derive(Clone)]
pub(crate) struct Sight {
    pub(crate) view: Arc<View>,
    pub(crate) report: Option<Arc<Report>>,
    pub(crate) holdings: Arc<Holdings>,
    pub(crate) sent: Sent,
    pub(crate) streamless: Streamless,
}

/// Since when ready pods have had no stream. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streamless {
    since: Arc<Mutex<BTreeMap<String, Timestamp>>>,
}

impl Streamless {
    /// Since when `uid` has been ready without a stream.
    fn note(&self, uid: &str, lacks_stream: bool, now: Timestamp) -> Option<Timestamp> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if lacks_stream {
            Some(*since.entry(uid.to_owned()).or_insert(now))
        } else {
            since.remove(uid);
            None
        }
    }

    /// Forgets pods that are gone.
    pub(crate) fn retain(&self, view: &View) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if !since.is_empty() {
            let pods: BTreeSet<&str> =
                view.children.pods.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
            since.retain(|uid, _| pods.contains(uid.as_str()));
        }
    }
}

impl Sight {
    /// What is to be seen of `config`, apart from its status.
    pub(crate) fn observe(
        &self,
        config: &GatewayConfig,
        problems: Vec<Problem>,
        nodes: &Nodes,
        now: Timestamp,
    ) -> Observed {
        let fleet = fleet_of(config);
        let mut observed =
            Observed { routes: self.routes(&fleet), problems, ..Observed::default() };
        self.add_certificates(&fleet, &mut observed);
        for tier in Tier::ALL {
            if tier_spec(config, tier).is_some() {
                *observed.tier_mut(tier) = self.tier(config, &fleet.tier(tier), nodes, now);
            }
        }
        observed
    }

    /// Those that users bring, and what is wrong with those that the GatewayConfig names itself.
    fn add_certificates(&self, fleet: &FleetKey, observed: &mut Observed) {
        let report = self.report.as_ref();
        let Some(routes) = report.and_then(|report| report.output.fleets.get(fleet)) else {
            return;
        };
        let served = routes.certificates.iter().map(|one| CertificateObservation {
            not_after: one.not_after,
            name: format!("{}/{}", one.secret.namespace, one.secret.name),
        });
        observed.certificates.extend(served);
        for finding in &routes.default_certificates {
            if finding.severity() == Severity::Refused {
                observed.problems.push(Problem {
                    reason: Reason::DefaultCertificateUnusable,
                    message: text_of(finding),
                });
            } else {
                observed.routes.problems.push(problem(finding));
            }
        }
    }

    fn tier(
        &self,
        config: &GatewayConfig,
        tier: &TierKey,
        nodes: &Nodes,
        now: Timestamp,
    ) -> TierObservation {
        let (namespace, names) =
            (&tier.fleet.namespace, ChildNames::new(&tier.fleet.name, tier.tier));
        let state = &self.view.state;
        let deployment = self.view.children.deployments.get(namespace, &names.base);
        let generation = config.metadata.generation.unwrap_or_default();
        let object = object_of(&tier.fleet);
        let spec = tier_spec(config, tier.tier);
        let settings = spec.map(setting_names).unwrap_or_default();
        let through_nodes = spec.is_some_and(is_reached_through_nodes);
        let pods = self.pods(tier).into_iter().map(|pod| {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            let proxy = self.proxy(tier, uid);
            let holding = proxy.map_or(Holding::Behind, |proxy| {
                self.sent.holding_of(&settings, tier, (&object, generation), proxy)
            });
            let seen = PodObservation::observe(pod, holding, None);
            let streamless_since =
                self.streamless.note(uid, seen.is_live() && proxy.is_none(), now);
            let node_addresses = if through_nodes { nodes.addresses(pod) } else { Vec::new() };
            PodObservation { streamless_since, node_addresses, ..seen }
        });
        TierObservation {
            service: state.services.get(namespace, &names.base).map(|s| (**s).clone()),
            deployment: deployment.map(|d| (**d).clone()),
            autoscaler: self
                .view
                .children
                .autoscalers
                .get(namespace, &names.base)
                .map(|a| (**a).clone()),
            pods: pods.collect(),
            certificate_issued: state.secrets.get(namespace, &names.channel).is_some(),
        }
    }

    /// The pods that the tier's Deployment owns, through its `ReplicaSets` or (in local mode) directly.
    pub(crate) fn pods(&self, tier: &TierKey) -> Vec<&Pod> {
        let base = ChildNames::new(&tier.fleet.name, tier.tier).base;
        let wanted = labels(&tier.fleet.name, tier.tier);
        let all = self.view.children.pods.in_namespace(&tier.fleet.namespace);
        let owned = all.filter(|pod| {
            let has = pod.metadata.labels.as_ref();
            let fits = wanted.iter().all(|(k, v)| has.and_then(|labels| labels.get(k)) == Some(v));
            fits && is_owned_by(pod, &base)
        });
        owned.map(|pod| &**pod).collect()
    }

    /// The pods of those of its tiers that are reached through their nodes.
    pub(crate) fn pods_on_nodes(&self, config: &GatewayConfig) -> Vec<&Pod> {
        let fleet = fleet_of(config);
        let tiers = Tier::ALL
            .into_iter()
            .filter(|tier| tier_spec(config, *tier).is_some_and(is_reached_through_nodes));
        tiers.flat_map(|tier| self.pods(&fleet.tier(tier))).collect()
    }

    fn proxy(&self, tier: &TierKey, uid: &str) -> Option<&ProxyHoldings> {
        self.holdings.tiers.get(tier)?.get(uid).map(|proxy| &**proxy)
    }

    /// The streams of the tier's live pods; `None` for a live pod without one.
    pub(crate) fn live_proxies(&self, tier: &TierKey) -> Vec<Option<&ProxyHoldings>> {
        let pods = self.pods(tier).into_iter();
        let live = pods.filter(|pod| PodObservation::observe(pod, Holding::Behind, None).is_live());
        live.map(|pod| self.proxy(tier, pod.metadata.uid.as_deref().unwrap_or_default())).collect()
    }

    fn routes(&self, fleet: &FleetKey) -> RoutesObservation {
        let Some(report) = &self.report else { return RoutesObservation::default() };
        let Some(routes) = report.output.fleets.get(fleet) else {
            return RoutesObservation::default();
        };
        let found = routes.problems.iter().map(problem);
        let refused =
            Tier::ALL.into_iter().flat_map(|tier| self.refusals(report, &fleet.tier(tier)));
        let refused = refused.map(|Refused { object, message }| RouteProblem {
            object: object.to_string(),
            reason: Refused::REASON.to_owned(),
            message,
        });
        let about_itself = object_of(fleet);
        let own = report.output.findings.iter().filter(|finding| finding.object == about_itself);
        RoutesObservation {
            selected: !routes.selected.is_empty(),
            attached: usize::try_from(routes.attached).unwrap_or(usize::MAX),
            rejected: usize::try_from(routes.rejected).unwrap_or(usize::MAX),
            problems: found.chain(own.map(problem)).chain(refused).collect(),
            unlisted: usize::try_from(routes.more_problems).unwrap_or(usize::MAX),
        }
    }

    /// What live proxies refuse of what routes led to, in terms of the objects that led to it.
    pub(crate) fn refusals(&self, report: &Report, tier: &TierKey) -> BTreeSet<Refused> {
        let Some(routes) = report.output.tiers.get(tier) else { return BTreeSet::new() };
        let proxies = self.live_proxies(tier).into_iter().flatten();
        let refusals = proxies.flat_map(|proxy| proxy.resources.iter()).filter_map(|(name, held)| {
            let Held::Refused { message, refused_version, .. } = held else { return None };
            let current = routes.resources.get(&**name).filter(|_| !is_setting(name))?;
            // A refusal of what is no longer wanted is history.
            let is_wanted = current.resource.version == **refused_version;
            is_wanted.then(|| {
                current.origins.iter().map(move |origin| Refused {
                    object: origin.object.clone(),
                    message: format!(
                        "{name}: {message}; proxies go on with its last good version, if there was one"
                    ),
                })
            })
        });
        refusals.flatten().collect()
    }
}

/// Something that follows from an object and that a proxy refuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Refused {
    pub(crate) object: ObjectKey,
    pub(crate) message: String,
}

impl Refused {
    /// Of Events and problems.
    pub(crate) const REASON: &str = "RefusedByProxy";
}

fn problem(finding: &Diagnostic) -> RouteProblem {
    RouteProblem {
        object: finding.object.to_string(),
        reason: finding.reason.to_string(),
        message: text_of(finding),
    }
}

/// What a finding says, with its field.
pub(crate) fn text_of(finding: &Diagnostic) -> String {
    match finding.field.as_str() {
        "" => finding.message.clone(),
        field => format!("{field}: {}", finding.message),
    }
}

/// Resources that are made from the GatewayConfig itself.
pub(crate) fn is_setting(name: &str) -> bool {
    ["tier", "policy/tier"].contains(&name)
        || name.starts_with("tier/")
        || name.starts_with("listener/")
}

fn is_owned_by(pod: &Pod, deployment: &str) -> bool {
    let owners = pod.metadata.owner_references.iter().flatten();
    let mut owners = owners.filter(|owner| owner.controller == Some(true));
    owners.any(|owner| match owner.kind.as_str() {
        "Deployment" => owner.name == deployment,
        "ReplicaSet" => owner.name.rsplit_once('-').is_some_and(|(prefix, _)| prefix == deployment),
        _ => false,
    })
}

/// The key of a GatewayConfig.
pub(crate) fn fleet_of(config: &GatewayConfig) -> FleetKey {
    let metadata = &config.metadata;
    FleetKey::new(
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

pub(crate) fn object_of(fleet: &FleetKey) -> ObjectKey {
    ObjectKey::new(Kind::GatewayConfig, &fleet.namespace, &fleet.name)
}
