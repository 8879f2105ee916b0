//! From the states of containers to the status of their pod.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use super::container::{ContainerPhase, ContainerState, Termination};

/// What stays true of a pod while it runs, and when its conditions last changed.
#[derive(Debug)]
pub(crate) struct Facts {
    host: Ipv4Addr,
    address: Ipv4Addr,
    since: Timestamp,
    transitions: BTreeMap<&'static str, (bool, Timestamp)>,
}

impl Facts {
    pub(crate) fn new(host: Ipv4Addr, address: Ipv4Addr, since: Timestamp) -> Self {
        Self { host, address, since, transitions: BTreeMap::new() }
    }

    fn condition(&mut self, kind: &'static str, holds: bool, reason: &str) -> Value {
        let entry = self.transitions.entry(kind).or_insert((holds, Timestamp::now()));
        if entry.0 != holds {
            *entry = (holds, Timestamp::now());
        }
        let mut condition = json!({
            "type": kind,
            "status": if holds { "True" } else { "False" },
            "lastProbeTime": null,
            "lastTransitionTime": second(entry.1),
        });
        if !holds {
            condition["reason"] = json!(reason);
        }
        condition
    }
}

/// The pod's `status`, as JSON for a merge patch.
pub(crate) fn desired_status(pod: &Pod, facts: &mut Facts, states: &[ContainerState]) -> Value {
    let ready = !states.is_empty() && states.iter().all(|state| state.ready);
    let over = phase(states);
    let not_ready = if matches!(over, "Succeeded") { "PodCompleted" } else { "ContainersNotReady" };
    let conditions = [
        facts.condition("PodReadyToStartContainers", true, ""),
        facts.condition("Initialized", true, ""),
        facts.condition("Ready", ready, not_ready),
        facts.condition("ContainersReady", ready, not_ready),
        facts.condition("PodScheduled", true, ""),
    ];
    let containers: Vec<_> = pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .zip(states)
        .map(|(container, state)| container_status(container, state))
        .collect();
    json!({
        "phase": over,
        "conditions": conditions,
        "hostIP": facts.host.to_string(),
        "hostIPs": [{"ip": facts.host.to_string()}],
        "podIP": facts.address.to_string(),
        "podIPs": [{"ip": facts.address.to_string()}],
        "startTime": second(facts.since),
        "qosClass": "BestEffort",
        "containerStatuses": containers,
    })
}

fn phase(states: &[ContainerState]) -> &'static str {
    let ended = states.iter().filter_map(|state| match &state.phase {
        ContainerPhase::Terminated(end) => Some(end.code),
        _ => None,
    });
    let codes: Vec<i32> = ended.collect();
    let never_ran = |state: &ContainerState| {
        state.last.is_none() && matches!(state.phase, ContainerPhase::Waiting { .. })
    };
    if codes.len() == states.len() && !states.is_empty() {
        if codes.iter().all(|code| *code == 0) { "Succeeded" } else { "Failed" }
    } else if states.iter().any(never_ran) {
        "Pending"
    } else {
        "Running"
    }
}

fn container_status(container: &Container, state: &ContainerState) -> Value {
    let current = match &state.phase {
        ContainerPhase::Waiting { reason, message } if message.is_empty() => {
            json!({"waiting": {"reason": reason}})
        }
        ContainerPhase::Waiting { reason, message } => {
            json!({"waiting": {"reason": reason, "message": message}})
        }
        ContainerPhase::Running { since } => json!({"running": {"startedAt": second(*since)}}),
        ContainerPhase::Terminated(end) => json!({"terminated": terminated(end)}),
    };
    let last = state.last.as_ref().map_or(json!({}), |end| json!({"terminated": terminated(end)}));
    json!({
        "name": container.name,
        "image": container.image,
        "imageID": container.image,
        "ready": state.ready,
        "started": state.started,
        "restartCount": state.restarts,
        "state": current,
        "lastState": last,
    })
}

fn terminated(end: &Termination) -> Value {
    let reason = if end.code == 0 { "Completed" } else { "Error" };
    let mut value = json!({
        "exitCode": end.code,
        "reason": reason,
        "startedAt": second(end.since),
        "finishedAt": second(end.at),
    });
    if let Some(signal) = end.signal {
        value["signal"] = json!(signal);
    }
    if !end.message.is_empty() {
        value["message"] = json!(end.message);
    }
    value
}

/// RFC 3339 in whole seconds, as `metav1.Time` is written.
pub(crate) fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(phase: ContainerPhase, ready: bool, ran_before: bool) -> ContainerState {
        let last = ran_before.then(|| end(137));
        ContainerState { phase, last, ready, ..ContainerState::new() }
    }

    fn end(code: i32) -> Termination {
        let (since, at) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        Termination { code, signal: None, since, at, message: String::new() }
    }

    #[test]
    fn the_phase_follows_the_containers() {
        let waiting =
            || ContainerPhase::Waiting { reason: "CrashLoopBackOff", message: String::new() };
        let running = || ContainerPhase::Running { since: Timestamp::UNIX_EPOCH };
        for (states, expected) in [
            (vec![state(waiting(), false, false)], "Pending"),
            (vec![state(running(), true, false)], "Running"),
            (vec![state(waiting(), false, true)], "Running"),
            (vec![state(ContainerPhase::Terminated(end(0)), false, false)], "Succeeded"),
            (vec![state(ContainerPhase::Terminated(end(1)), false, false)], "Failed"),
            (vec![state(running(), true, false), state(waiting(), false, false)], "Pending"),
        ] {
            assert_eq!(phase(&states), expected);
        }
    }

    #[test]
    fn a_condition_remembers_when_it_changed() {
        let mut facts = Facts::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, Timestamp::UNIX_EPOCH);
        facts.transitions.insert("Ready", (false, Timestamp::UNIX_EPOCH));
        let same = facts.condition("Ready", false, "ContainersNotReady");
        assert_eq!(same["lastTransitionTime"], "1970-01-01T00:00:00Z");
        let changed = facts.condition("Ready", true, "");
        assert_ne!(changed["lastTransitionTime"], "1970-01-01T00:00:00Z");
    }
}
