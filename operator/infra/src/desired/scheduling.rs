//! On which nodes the proxies of a tier run.

use gatefleet_crds::TierSpec;
use k8s_openapi::{
    api::core::v1::{Affinity, PodSpec, Toleration, TopologySpreadConstraint},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde_json::Value;

use crate::embedded::{self, Fault};

/// Over what proxies are spread where nothing is declared, if possible.
const PLACES: [&str; 2] = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"];

/// The affinity of a tier's pods, if there is a readable one.
pub(crate) fn affinity(spec: &TierSpec) -> Result<Option<Affinity>, Fault> {
    let written = spec.pod.affinity.as_ref();
    written.map(|written| embedded::read(&Value::Object(written.0.clone()))).transpose()
}

/// `pod` where the tier declares it to be.
pub(super) fn scheduled(pod: PodSpec, spec: &TierSpec, selector: &LabelSelector) -> PodSpec {
    let wish = &spec.pod;
    let tolerations: Vec<Toleration> = wish.tolerations.iter().map(toleration).collect();
    PodSpec {
        // An unreadable one does not come here: its tier is not built.
        affinity: affinity(spec).ok().flatten(),
        node_selector: (!wish.node_selector.is_empty()).then(|| wish.node_selector.clone()),
        priority_class_name: wish.priority_class_name.clone(),
        tolerations: (!tolerations.is_empty()).then_some(tolerations),
        topology_spread_constraints: Some(spread(spec, selector)),
        ..pod
    }
}

fn toleration(wish: &gatefleet_crds::Toleration) -> Toleration {
    Toleration {
        effect: wish.effect.map(|effect| effect.as_str().to_owned()),
        key: wish.key.clone(),
        operator: Some(wish.operator.as_str().to_owned()),
        toleration_seconds: wish.toleration_seconds.map(i64::from),
        value: wish.value.clone(),
    }
}

fn spread(spec: &TierSpec, selector: &LabelSelector) -> Vec<TopologySpreadConstraint> {
    let constraint = |key: &str, skew: u16, otherwise: &str| TopologySpreadConstraint {
        label_selector: Some(selector.clone()),
        max_skew: i32::from(skew),
        topology_key: key.to_owned(),
        when_unsatisfiable: otherwise.to_owned(),
        ..TopologySpreadConstraint::default()
    };
    let wishes = &spec.pod.topology_spread_constraints;
    if wishes.is_empty() {
        return PLACES.map(|key| constraint(key, 1, "ScheduleAnyway")).into();
    }
    let declared = wishes.iter();
    declared
        .map(|wish| constraint(&wish.topology_key, wish.max_skew, wish.when_unsatisfiable.as_str()))
        .collect()
}
