//! One Event per transition.

use gatefleet_crds::{ConditionType, EventType, GatewayConfigStatus, Phase};

use crate::status::{condition, owned_reason};

/// One Event on the `GatewayConfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// News or a warning.
    pub event_type: EventType,
    /// Of the condition that changed.
    pub reason: String,
    /// What to show.
    pub message: String,
}

/// The Events for going from `before` to `after`: one when phase or reason of Ready changed, one for each condition
/// that changes nothing else and came, or has another reason. Counts that move within a message are no transition.
#[must_use]
pub fn transitions(
    before: Option<&GatewayConfigStatus>,
    after: &GatewayConfigStatus,
) -> Vec<Transition> {
    let essence = |status: &GatewayConfigStatus| {
        (status.phase, owned_reason(status, ConditionType::Ready).map(str::to_owned))
    };
    let mut events = Vec::new();
    if before.map(essence) != Some(essence(after))
        && let (Some(phase), Some(reason)) =
            (after.phase, owned_reason(after, ConditionType::Ready))
    {
        let was = before.and_then(|status| status.phase);
        // A fleet that starts is Pending in good order; one that was up and is Pending again is not.
        let lost =
            phase == Phase::Pending && matches!(was, Some(Phase::Running | Phase::Listening));
        let event_type =
            if phase == Phase::Failed || lost { EventType::Warning } else { EventType::Normal };
        let message = match was {
            Some(was) if was != phase => format!("{was} -> {phase}: {}", after.message),
            _ => format!("{phase}: {}", after.message),
        };
        events.push(Transition { event_type, reason: reason.to_owned(), message });
    }
    let asides = ConditionType::ALL.into_iter().filter(|condition_type| condition_type.is_aside());
    for aside in asides {
        let was = before.and_then(|before| owned_reason(before, aside));
        if let Some(is) = condition(after, aside).filter(|is| was != Some(is.reason.as_str())) {
            let (reason, message) = (is.reason.clone(), is.message.clone());
            events.push(Transition { event_type: EventType::Warning, reason, message });
        }
    }
    events
}
