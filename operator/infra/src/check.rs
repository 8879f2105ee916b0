//! What the schema cannot see.

use gatefleet_crds::{GatewayConfig, Reason, TierSpec};
use gatefleet_names::Tier;

use crate::{
    desired::{affinity, patch_fault, tier_spec},
    observed::Problem,
};

/// What keeps a `GatewayConfig` that the API server took from being done.
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
    let tiers = Tier::ALL.into_iter().filter_map(|tier| Some((tier, tier_spec(config, tier)?)));
    problems.extend(tiers.flat_map(|(tier, spec)| check_tier(tier, spec)));
    problems
}

/// What of one tier cannot be done: its objects then stay as they are.
pub(crate) fn check_tier(tier: Tier, spec: &TierSpec) -> Vec<Problem> {
    let field = match tier {
        Tier::NorthSouth => "spec.northSouth",
        Tier::EastWest => "spec.eastWest",
    };
    let affinity = affinity(spec).err().map(|fault| format!("pod.affinity{fault}"));
    let patch = patch_fault(tier, spec).map(|fault| format!("pod.patch{fault}"));
    affinity
        .into_iter()
        .chain(patch)
        .map(|fault| Problem { reason: Reason::SpecInvalid, message: format!("{field}.{fault}") })
        .collect()
}
