//! What the API server's refusal of an object means for the GatewayConfig that led to it.

use gatefleet_apply::{Refusal, WriteError};
use gatefleet_crds::{GatewayConfig, Reason};
use gatefleet_infra::{ChildNames, Problem, tier_spec};
use gatefleet_names::Tier;
use gatefleet_state::ClusterState;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::observe::fleet_of;

/// How the API server says that another Service has a node port.
const PORT_TAKEN: &str = "provided port is already allocated";

/// The problem that a failed write is.
pub(crate) fn problem(config: &GatewayConfig, state: &ClusterState, error: &WriteError) -> Problem {
    if error.said.contains(PORT_TAKEN) {
        return Problem { reason: Reason::PortTaken, message: port_taken(config, state, error) };
    }
    let reason = match error.refusal {
        Refusal::Invalid | Refusal::Forbidden => Reason::ApplyRefused,
        Refusal::Busy(_)
        | Refusal::Conflict
        | Refusal::Absent
        | Refusal::Terminating
        | Refusal::Unanswered
        | Refusal::Standby => Reason::ApplyFailed,
    };
    Problem { reason, message: error.to_string() }
}

/// Names the field and who has the port, as far as that is to be seen.
fn port_taken(config: &GatewayConfig, state: &ClusterState, error: &WriteError) -> String {
    let fleet = fleet_of(config);
    let service = &error.action.name;
    let tier =
        Tier::ALL.into_iter().find(|tier| ChildNames::new(&fleet.name, *tier).base == *service);
    let listeners =
        tier.and_then(|tier| tier_spec(config, tier)).into_iter().flat_map(|spec| &spec.listeners);
    let taken: Vec<String> = listeners
        .filter_map(|listener| {
            let port = listener.node_port?;
            let is_other = |other: &&Service| {
                other.namespace().as_deref() != Some(&fleet.namespace)
                    || other.name_any() != *service
            };
            let holder = state.services.iter().map(|other| &**other).filter(is_other);
            let holder = { holder }.find(|other| has_node_port(other, port))?;
            let name = &listener.name;
            Some(format!(
                "{port} of listener {name} is allocated to Service {}/{}",
                holder.namespace().unwrap_or_default(),
                holder.name_any()
            ))
        })
        .collect();
    let what = if taken.is_empty() { error.to_string() } else { taken.join("; ") };
    let tier = tier.map(|tier| format!("tier {tier}: ")).unwrap_or_default();
    format!(
        "{tier}listeners[].nodePort: {what}: choose another port, leave nodePort out, or take the port away from who has it"
    )
}

fn has_node_port(service: &Service, port: u16) -> bool {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let mut node_ports = ports.filter_map(|port| port.node_port);
    let check = spec.and_then(|spec| spec.health_check_node_port);
    node_ports.any(|used| used == i32::from(port)) || check == Some(i32::from(port))
}
