//! What the conditions are to say.

use gatefleet_crds::{ConditionType, GatewayConfigStatus, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::condition;

/// What one condition is to say.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) status: bool,
    pub(super) reason: Reason,
    pub(super) message: String,
    /// The generation it is about; `None`: the current one.
    pub(super) generation: Option<i64>,
}

impl Finding {
    pub(super) fn new(status: bool, reason: Reason, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), generation: None }
    }

    pub(super) fn into_condition(
        self,
        condition_type: ConditionType,
        previous: &GatewayConfigStatus,
        generation: i64,
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
            observed_generation: Some(self.generation.unwrap_or(generation)),
            last_transition_time: kept.unwrap_or(Time(whole)),
        }
    }
}

/// What all conditions are to say.
pub(super) struct Findings {
    pub(super) ready: Finding,
    pub(super) accepted: Finding,
    pub(super) available: Finding,
    pub(super) certificates: Finding,
    pub(super) listening: Finding,
    pub(super) abnormal: Vec<(ConditionType, Finding)>,
}

impl Findings {
    /// Abnormal conditions are absent rather than False.
    pub(super) fn in_order(&self) -> Vec<(ConditionType, Finding)> {
        let Self { ready, accepted, available, certificates, listening, abnormal } = self;
        let mut all = vec![
            (ConditionType::Ready, ready.clone()),
            (ConditionType::Accepted, accepted.clone()),
            (ConditionType::Available, available.clone()),
            (ConditionType::CertificatesReady, certificates.clone()),
            (ConditionType::Listening, listening.clone()),
        ];
        all.extend(abnormal.iter().cloned());
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
