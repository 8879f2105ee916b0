//! A fleet as observed, and what its conditions say.

use gatefleet_crds::{ConditionType, GatewayConfig, GatewayConfigStatus, Reason};
use gatefleet_names::Tier;
use jiff::Timestamp;

use super::{
    SCALING_STARTS_WITHIN, STALE_AFTER, condition,
    finding::{Finding, Findings},
    tier::TierView,
};
use crate::{
    acknowledgement::Holding,
    check::check_spec,
    desired::tier_spec,
    observed::{Observed, PodObservation, Problem},
};

/// A `GatewayConfig` together with what is observed of its declared tiers.
pub(super) struct Fleet<'a> {
    pub(super) generation: i64,
    tiers: Vec<TierView<'a>>,
    observed: &'a Observed,
    problems: Vec<Problem>,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(config: &'a GatewayConfig, observed: &'a Observed) -> Self {
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

    pub(super) fn tiers(&self) -> &[TierView<'a>] {
        &self.tiers
    }

    pub(super) fn tier(&self, tier: Tier) -> Option<&TierView<'a>> {
        self.tiers.iter().find(|view| view.tier == tier)
    }

    pub(super) fn findings(&self, previous: &GatewayConfigStatus, now: Timestamp) -> Findings {
        let accepted = self.accepted();
        let certificates = self.certificates();
        let available = self.available();
        let listening = self.listening(&available, previous);
        let ready = self.ready(&[&accepted, &certificates, &available], &listening);
        let abnormal = self.abnormal(now);
        Findings { ready, accepted, available, certificates, listening, abnormal }
    }

    /// What is wrong without changing anything else.
    fn abnormal(&self, now: Timestamp) -> Vec<(ConditionType, Finding)> {
        [
            (ConditionType::ConfigurationStale, self.stale(now)),
            (ConditionType::AutoscalerInactive, self.autoscaler_inactive(now)),
            (ConditionType::Overridden, self.overridden()),
            (
                ConditionType::CertificateExpiring,
                super::certificates::expiring(&self.observed.certificates, now),
            ),
        ]
        .into_iter()
        .filter_map(|(condition_type, finding)| Some((condition_type, finding?)))
        .collect()
    }

    fn overridden(&self) -> Option<Finding> {
        let problem = self.problem_on(ConditionType::Overridden)?;
        Some(Finding { status: true, ..problem })
    }

    fn autoscaler_inactive(&self, now: Timestamp) -> Option<Finding> {
        let reasons = self.tiers.iter().filter_map(|view| {
            let cannot = view.cannot_scale()?;
            let lasts = now.duration_since(cannot.since) >= SCALING_STARTS_WITHIN;
            let (tier, stays) = (view.tier, view.wanted());
            lasts.then(|| format!("tier {tier} stays at {stays} proxies: {}", cannot.because))
        });
        let message = reasons.collect::<Vec<_>>().join("; ");
        (!message.is_empty()).then(|| Finding::new(true, Reason::AutoscalerInactive, message))
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
                "every tier has its identity towards the operator, and its default certificates",
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
        let of_tier = |view: &TierView<'_>| {
            usize::try_from(view.wanted()).unwrap_or_default().max(view.live().count())
        };
        self.tiers.iter().map(of_tier).sum()
    }
}
