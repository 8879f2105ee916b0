//! What is observed, as the status of a `GatewayConfig`.

use gatefleet_crds::{
    ConditionType, GatewayConfig, GatewayConfigStatus, ListenerStatus, Phase, Reason, RoutesStatus,
    TierSpec, TierStatus,
};
use gatefleet_names::Tier;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::Service,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};

use crate::{
    acknowledgement::Holding,
    desired::tier_spec,
    observed::{Observed, PodObservation, Problem, RoutesObservation, TierObservation},
    ports::recorded_ports,
};

/// How many findings about routes a status holds.
const MAX_PROBLEMS: usize = 20;
/// How long a ready proxy may be without a stream.
const STALE_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// What the schema cannot see.
#[must_use]
pub fn check_spec(config: &GatewayConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.spec.ingress.ingress_class.is_some() && config.spec.north_south.is_none() {
        problems.push(Problem {
            reason: Reason::NorthSouthTierMissing,
            message: "spec.ingress.ingressClass is served by the north-south tier, and there is none: add spec.northSouth: {}, or remove ingressClass"
                .to_owned(),
        });
    }
    problems
}

/// The status of `config`, given its previous one (in `config`) and what is observed. The same observation
/// gives an identical status, whatever the time is; conditions of other types are kept as they are.
#[must_use]
pub fn status(config: &GatewayConfig, observed: &Observed, now: Timestamp) -> GatewayConfigStatus {
    let previous = config.status.clone().unwrap_or_default();
    let fleet = Fleet::new(config, observed);
    let findings = fleet.findings(&previous, now);
    let mut conditions = Vec::new();
    for (condition_type, finding) in findings.in_order() {
        conditions.push(finding.into_condition(condition_type, &previous, &fleet, now));
    }
    let message = findings.ready.message;
    conditions.extend(previous.conditions.iter().filter(|old| !is_owned(old)).cloned());

    let tier_status = |tier| fleet.tier(tier).map(TierView::status);
    let (north_south, east_west) = (tier_status(Tier::NorthSouth), tier_status(Tier::EastWest));
    let address = [&north_south, &east_west]
        .into_iter()
        .flatten()
        .find_map(|status| status.addresses.first().cloned());
    GatewayConfigStatus {
        phase: Some(phase_of(&conditions)),
        message,
        address,
        observed_generation: Some(fleet.generation),
        conditions,
        north_south,
        east_west,
        routes: Some(routes_status(&observed.routes)),
    }
}

/// The conditions in one word. Total: any list of conditions has a phase.
#[must_use]
pub fn phase_of(conditions: &[Condition]) -> Phase {
    let is_true = |condition_type: ConditionType| {
        conditions
            .iter()
            .any(|found| found.type_ == condition_type.as_str() && found.status == "True")
    };
    if is_true(ConditionType::Stalled) {
        Phase::Failed
    } else if !is_true(ConditionType::Available) {
        Phase::Pending
    } else if is_true(ConditionType::Listening) {
        Phase::Listening
    } else {
        Phase::Running
    }
}

/// The part of a status that the operator owns: what it applies, and what it compares before it writes.
#[must_use]
pub fn owned_status(status: &GatewayConfigStatus) -> GatewayConfigStatus {
    let mut owned = status.clone();
    owned.conditions.retain(is_owned);
    owned
}

fn is_owned(condition: &Condition) -> bool {
    ConditionType::ALL.iter().any(|owned| owned.as_str() == condition.type_)
}

pub(crate) fn condition(
    status: &GatewayConfigStatus,
    condition_type: ConditionType,
) -> Option<&Condition> {
    status.conditions.iter().find(|found| found.type_ == condition_type.as_str())
}

pub(crate) fn owned_reason(
    status: &GatewayConfigStatus,
    condition_type: ConditionType,
) -> Option<&str> {
    condition(status, condition_type).map(|found| found.reason.as_str())
}

/// What one condition is to say.
#[derive(Clone, Debug)]
struct Finding {
    status: bool,
    reason: Reason,
    message: String,
    /// The generation it is about; `None`: the current one.
    generation: Option<i64>,
}

impl Finding {
    fn new(status: bool, reason: Reason, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), generation: None }
    }

    fn into_condition(
        self,
        condition_type: ConditionType,
        previous: &GatewayConfigStatus,
        fleet: &Fleet<'_>,
        now: Timestamp,
    ) -> Condition {
        let status = if self.status { "True" } else { "False" };
        let kept = condition(previous, condition_type)
            .filter(|old| old.status == status)
            .map(|old| old.last_transition_time.clone());
        // Whole seconds, as the API server keeps them.
        let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Condition {
            type_: condition_type.as_str().to_owned(),
            status: status.to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: self.message,
            observed_generation: Some(self.generation.unwrap_or(fleet.generation)),
            last_transition_time: kept.unwrap_or(Time(whole)),
        }
    }
}

/// What all conditions are to say.
struct Findings {
    ready: Finding,
    accepted: Finding,
    available: Finding,
    certificates: Finding,
    listening: Finding,
    stale: Option<Finding>,
}

impl Findings {
    /// Abnormal conditions are absent rather than False.
    fn in_order(&self) -> Vec<(ConditionType, Finding)> {
        let Self { ready, accepted, available, certificates, listening, stale } = self;
        let mut all = vec![
            (ConditionType::Ready, ready.clone()),
            (ConditionType::Accepted, accepted.clone()),
            (ConditionType::Available, available.clone()),
            (ConditionType::CertificatesReady, certificates.clone()),
            (ConditionType::Listening, listening.clone()),
        ];
        all.extend(stale.clone().map(|stale| (ConditionType::ConfigurationStale, stale)));
        if !ready.status {
            let why = if ready.reason.is_stalled() {
                ConditionType::Stalled
            } else {
                ConditionType::Reconciling
            };
            all.push((why, Finding { status: true, ..ready.clone() }));
        }
        all
    }
}

/// A `GatewayConfig` together with what is observed of its declared tiers.
struct Fleet<'a> {
    generation: i64,
    tiers: Vec<TierView<'a>>,
    observed: &'a Observed,
    problems: Vec<Problem>,
}

struct TierView<'a> {
    tier: Tier,
    spec: &'a TierSpec,
    observed: &'a TierObservation,
}

impl<'a> Fleet<'a> {
    fn new(config: &'a GatewayConfig, observed: &'a Observed) -> Self {
        let tiers = Tier::ALL
            .into_iter()
            .filter_map(|tier| {
                let spec = tier_spec(config, tier)?;
                Some(TierView { tier, spec, observed: observed.tier(tier) })
            })
            .collect();
        let mut problems = check_spec(config);
        problems.extend(observed.problems.iter().cloned());
        // What somebody must do first; then in the order of the vocabulary; then by text.
        problems.sort_by_key(|problem| (!problem.reason.is_stalled(), problem.clone()));
        problems.dedup();
        let generation = config.metadata.generation.unwrap_or_default();
        Self { generation, tiers, observed, problems }
    }

    fn tier(&self, tier: Tier) -> Option<&TierView<'a>> {
        self.tiers.iter().find(|view| view.tier == tier)
    }

    fn findings(&self, previous: &GatewayConfigStatus, now: Timestamp) -> Findings {
        let accepted = self.accepted();
        let certificates = self.certificates();
        let available = self.available();
        let listening = self.listening(&available, previous);
        let ready = self.ready(&[&accepted, &certificates, &available], &listening);
        Findings { ready, accepted, available, certificates, listening, stale: self.stale(now) }
    }

    fn accepted(&self) -> Finding {
        self.problem_on(ConditionType::Accepted)
            .unwrap_or_else(|| Finding::new(true, Reason::Accepted, "the declaration can be done"))
    }

    fn certificates(&self) -> Finding {
        if let Some(problem) = self.problem_on(ConditionType::CertificatesReady) {
            return problem;
        }
        match self.tiers.iter().find(|view| !view.observed.certificate_issued) {
            Some(view) => Finding::new(
                false,
                Reason::CertificatesPending,
                format!("the certificate of tier {} is being issued", view.tier),
            ),
            None => Finding::new(
                true,
                Reason::CertificatesIssued,
                "every tier has its identity towards the operator",
            ),
        }
    }

    fn problem_on(&self, condition_type: ConditionType) -> Option<Finding> {
        let mut fitting = self
            .problems
            .iter()
            .filter(|problem| problem.reason.conditions().contains(&condition_type));
        let first = fitting.next()?;
        let more = match fitting.count() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Some(Finding::new(false, first.reason, format!("{}{more}", first.message)))
    }

    fn available(&self) -> Finding {
        let lacking: Vec<String> =
            self.tiers.iter().filter_map(TierView::unavailable_because).collect();
        if lacking.is_empty() {
            Finding::new(true, Reason::TiersAvailable, "every tier has a ready proxy")
        } else {
            Finding::new(false, Reason::TierUnavailable, lacking.join("; "))
        }
    }

    fn listening(&self, available: &Finding, previous: &GatewayConfigStatus) -> Finding {
        if !available.status {
            return available.clone();
        }
        if !self.observed.routes.selected {
            return Finding::new(false, Reason::NothingSelects, self.nothing_selects());
        }
        let acknowledged = |generation| Finding {
            generation: Some(generation),
            ..Finding::new(
                true,
                Reason::Acknowledged,
                format!("every tier acknowledged generation {generation}"),
            )
        };
        let before = condition(previous, ConditionType::Listening)
            .filter(|old| old.status == "True")
            .and_then(|old| old.observed_generation);
        if before == Some(self.generation) || self.holders() == self.live() {
            return acknowledged(self.generation);
        }
        if let Some(refused) = self.refusal() {
            return Finding::new(false, Reason::ConfigurationRefused, refused);
        }
        before.map_or_else(|| self.awaiting(), acknowledged)
    }

    /// The first condition that is not True decides; else what Listening says about this generation.
    fn ready(&self, first: &[&Finding], listening: &Finding) -> Finding {
        let stalled = first.iter().find(|finding| !finding.status && finding.reason.is_stalled());
        if let Some(finding) = stalled.or_else(|| first.iter().find(|finding| !finding.status)) {
            return (*finding).clone();
        }
        match listening.reason {
            Reason::NothingSelects => Finding { status: true, ..listening.clone() },
            Reason::Acknowledged if listening.generation == Some(self.generation) => Finding::new(
                true,
                Reason::Acknowledged,
                format!(
                    "{}, {} of {} proxies hold the current configuration",
                    self.tier_count(),
                    self.holders(),
                    self.proxies(),
                ),
            ),
            Reason::Acknowledged => self.awaiting(),
            _ => listening.clone(),
        }
    }

    fn awaiting(&self) -> Finding {
        let (held, live) = (self.holders(), self.live());
        let generation = self.generation;
        Finding::new(
            false,
            Reason::AwaitingAcknowledgement,
            format!("{held} of {live} ready proxies hold generation {generation}"),
        )
    }

    fn nothing_selects(&self) -> String {
        format!(
            "{}, {} of {} proxies ready; nothing selects the fleet: create an IngressClass whose parameters name it, or set spec.ingress.ingressClass",
            self.tier_count(),
            self.live(),
            self.proxies(),
        )
    }

    fn refusal(&self) -> Option<String> {
        self.tiers.iter().find_map(|view| {
            let refusals = view.live().filter_map(|pod| match &pod.holding {
                Holding::Refused(message) => Some(message),
                Holding::Current | Holding::Behind => None,
            });
            Some(format!("a proxy of tier {} refuses {}", view.tier, refusals.min()?))
        })
    }

    fn stale(&self, now: Timestamp) -> Option<Finding> {
        let is_stale = |pod: &&PodObservation| {
            pod.streamless_since.is_some_and(|since| now.duration_since(since) >= STALE_AFTER)
        };
        let counts: Vec<String> = self
            .tiers
            .iter()
            .map(|view| (view, view.live().filter(is_stale).count()))
            .filter(|(_, stale)| *stale > 0)
            .map(|(view, stale)| {
                format!("{stale} of {} in tier {}", view.live().count(), view.tier)
            })
            .collect();
        (!counts.is_empty()).then(|| {
            let message =
                format!("ready proxies without a stream to the operator: {}", counts.join(", "));
            Finding::new(true, Reason::ProxyWithoutStream, message)
        })
    }

    fn tier_count(&self) -> &'static str {
        if self.tiers.len() == 1 { "1 tier" } else { "2 tiers" }
    }

    fn live(&self) -> usize {
        self.tiers.iter().map(|view| view.live().count()).sum()
    }

    fn holders(&self) -> usize {
        self.tiers.iter().map(TierView::holders).sum()
    }

    /// Wanted, or more while a rolling update surges.
    fn proxies(&self) -> usize {
        self.tiers.iter().map(|view| usize::from(view.spec.replicas).max(view.live().count())).sum()
    }
}

impl<'a> TierView<'a> {
    fn live(&self) -> impl Iterator<Item = &'a PodObservation> + Clone {
        self.observed.pods.iter().filter(|pod| pod.is_live())
    }

    fn holders(&self) -> usize {
        self.live().filter(|pod| pod.holding == Holding::Current).count()
    }

    fn unavailable_because(&self) -> Option<String> {
        if self.live().next().is_some() {
            return None;
        }
        let Self { tier, spec, observed } = self;
        let conditions = observed.deployment.iter().flat_map(|deployment| {
            deployment.status.iter().flat_map(|status| status.conditions.iter().flatten())
        });
        let refused = conditions
            .filter(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
            .find_map(|condition| condition.message.clone());
        let trouble = observed.pods.iter().filter_map(|pod| pod.trouble.as_ref()).min();
        let because = match refused.as_ref().or(trouble) {
            Some(because) => format!(": {because}"),
            None => String::new(),
        };
        Some(format!("tier {tier}: 0 of {} proxies ready{because}", spec.replicas))
    }

    fn status(&self) -> TierStatus {
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let Self { spec, observed, .. } = self;
        let service = observed.service.as_ref();
        let ports = service.map(recorded_ports).unwrap_or_default();
        let listeners = spec.listeners.iter().filter_map(|listener| {
            Some(ListenerStatus {
                name: listener.name.clone(),
                port: listener.port,
                protocol: listener.protocol,
                target_port: *ports.get(&listener.port)?,
            })
        });
        let ready = self.live().count();
        TierStatus {
            replicas: i32::from(spec.replicas),
            ready_replicas: count(ready),
            acknowledged_replicas: count(self.holders()),
            ready: format!("{ready}/{}", spec.replicas),
            addresses: service.map(addresses).unwrap_or_default(),
            listeners: listeners.collect(),
        }
    }
}

/// Under which a Service is reached: what its load balancer says, else its addresses in the cluster.
fn addresses(service: &Service) -> Vec<String> {
    let spec = service.spec.as_ref();
    let is_balanced = spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    if is_balanced {
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        return status
            .and_then(|balancer| balancer.ingress.as_ref())
            .into_iter()
            .flatten()
            .filter_map(|ingress| ingress.ip.clone().or_else(|| ingress.hostname.clone()))
            .collect();
    }
    let addresses = spec.and_then(|spec| spec.cluster_ips.as_ref()).into_iter().flatten();
    addresses.filter(|address| !address.is_empty() && *address != "None").cloned().collect()
}

fn routes_status(routes: &RoutesObservation) -> RoutesStatus {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let mut problems = routes.problems.clone();
    problems.sort();
    problems.dedup();
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    RoutesStatus {
        attached: count(routes.attached),
        rejected: count(routes.rejected),
        problems,
        more_problems: (more > 0).then(|| count(more)),
    }
}
