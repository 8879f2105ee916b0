//! What is observed, as the status of a `GatewayConfig`.

mod certificates;
mod finding;
mod fleet;
mod tier;

use gatefleet_crds::{ConditionType, GatewayConfig, GatewayConfigStatus, Phase, RoutesStatus};
use gatefleet_names::Tier;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use self::{fleet::Fleet, tier::TierView};
use crate::observed::{Observed, RoutesObservation};

/// How many findings about routes a status holds.
const MAX_PROBLEMS: usize = 20;
/// How long a ready proxy may be without a stream.
const STALE_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// How long an autoscaler may take to find metrics of new pods.
const SCALING_STARTS_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// The status of `config`, given its previous one (in `config`) and what is observed. The same observation
/// gives an identical status, whatever the time is; conditions of other types are kept as they are.
#[must_use]
pub fn status(config: &GatewayConfig, observed: &Observed, now: Timestamp) -> GatewayConfigStatus {
    let previous = config.status.clone().unwrap_or_default();
    let fleet = Fleet::new(config, observed);
    let findings = fleet.findings(&previous, now);
    let mut conditions = Vec::new();
    for (condition_type, finding) in findings.in_order() {
        conditions.push(finding.into_condition(condition_type, &previous, fleet.generation, now));
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
        certificates: certificates::listed(&observed.certificates),
        routes: Some(routes_status(&observed.routes)),
    }
}

/// After how long [`status`] would say something else although nothing new is observed; `None`: never.
#[must_use]
pub fn recheck_after(
    config: &GatewayConfig,
    observed: &Observed,
    now: Timestamp,
) -> Option<SignedDuration> {
    let fleet = Fleet::new(config, observed);
    let waits = fleet.tiers().iter().flat_map(TierView::live).filter_map(|pod| {
        let streamless = now.duration_since(pod.streamless_since?);
        (streamless < STALE_AFTER).then(|| STALE_AFTER - streamless)
    });
    let scaling = fleet.tiers().iter().filter_map(|view| {
        let waited = now.duration_since(view.cannot_scale()?.since);
        (waited < SCALING_STARTS_WITHIN).then(|| SCALING_STARTS_WITHIN - waited)
    });
    let certificates = certificates::next_change(&observed.certificates, now);
    waits.chain(scaling).chain(certificates).min()
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

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn routes_status(routes: &RoutesObservation) -> RoutesStatus {
    let mut problems = routes.problems.clone();
    problems.sort();
    problems.dedup();
    let more = problems.len().saturating_sub(MAX_PROBLEMS).saturating_add(routes.unlisted);
    problems.truncate(MAX_PROBLEMS);
    RoutesStatus {
        attached: count(routes.attached),
        rejected: count(routes.rejected),
        problems,
        more_problems: (more > 0).then(|| count(more)),
    }
}
