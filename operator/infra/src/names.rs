//! Names and labels of everything that a `GatewayConfig` owns.

use std::collections::BTreeMap;

use gatefleet_names::Tier;
use sha2::{Digest, Sha256};

/// Carries the name of the `GatewayConfig` (shortened as in [`ChildNames`]).
pub const FLEET_LABEL: &str = "gatefleet.dev/fleet";
/// Carries the tier: `north-south` or `east-west`.
pub const TIER_LABEL: &str = "gatefleet.dev/tier";
/// Carries the UID of the `GatewayConfig`, on objects that outlive it: these name no owner.
pub const RETAINED_LABEL: &str = "gatefleet.dev/retained-by";
/// Says that the operator writes the object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The longest name of a Service, and the longest value of a label.
const MAX: usize = 63;

/// The names of one tier's objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildNames {
    /// Of everything of which a tier has one.
    pub base: String,
    /// Of the `ConfigMap` with the bootstrap.
    pub bootstrap: String,
    /// Of the Secret with the tier's identity towards the operator.
    pub channel: String,
    /// Of the Secret with the tier's certificate authority.
    pub authority: String,
}

impl ChildNames {
    /// The names for `tier` of the `GatewayConfig` called `fleet`.
    ///
    /// `FLEET-TIER`, unless that is no name of a Service (too long, a dot, a digit in front): then it is made
    /// one and ends in a hash of the original, so that two fleets never meet.
    #[must_use]
    pub fn new(fleet: &str, tier: Tier) -> Self {
        let base = shortened(fleet, &format!("-{tier}"));
        Self {
            bootstrap: format!("{base}-bootstrap"),
            channel: format!("{base}-channel"),
            authority: format!("{base}-channel-ca"),
            base,
        }
    }
}

/// `name` + `suffix` as a DNS label that starts with a letter.
fn shortened(name: &str, suffix: &str) -> String {
    let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase());
    if starts_well && !name.contains('.') && name.len() + suffix.len() <= MAX {
        return format!("{name}{suffix}");
    }
    let prefix = if starts_well { "" } else { "g-" };
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(name));
    let hash = format!("{:08x}", u32::from_be_bytes([a, b, c, d]));
    let room = MAX - prefix.len() - suffix.len() - hash.len() - 1;
    let kept: String = name.replace('.', "-").chars().take(room).collect();
    format!("{prefix}{}-{hash}{suffix}", kept.trim_end_matches('-'))
}

/// The labels that select the pods of a tier. They never change: a Deployment's selector is immutable.
pub(crate) fn selector_labels(fleet: &str, tier: Tier) -> BTreeMap<String, String> {
    BTreeMap::from([
        (FLEET_LABEL.to_owned(), fleet_label(fleet)),
        (TIER_LABEL.to_owned(), tier.to_string()),
    ])
}

/// The labels of every object and pod of a tier.
#[must_use]
pub fn labels(fleet: &str, tier: Tier) -> BTreeMap<String, String> {
    let mut labels = selector_labels(fleet, tier);
    for (key, value) in [
        ("app.kubernetes.io/name", "gatefleet-proxy"),
        (MANAGED_BY_LABEL, "gatefleet"),
        ("app.kubernetes.io/instance", &fleet_label(fleet)),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

fn fleet_label(fleet: &str) -> String {
    if fleet.len() <= MAX { fleet.to_owned() } else { shortened(fleet, "") }
}

/// The label selector of everything that a `GatewayConfig` owns in its namespace: what is found by it, is owned
/// by its UID and is not desired is to be deleted.
#[must_use]
pub fn children_selector(fleet: &str) -> String {
    format!("{MANAGED_BY_LABEL}=gatefleet,{FLEET_LABEL}={}", fleet_label(fleet))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ordinary_names_are_kept_and_others_become_dns_labels_with_a_hash() {
        let long = "x".repeat(63);
        let very_long = "y.".repeat(126) + "y";
        for (fleet, start) in [
            ("prod", "prod-north-south"),
            ("9lives", "g-9lives-"),
            ("a.b", "a-b-"),
            (long.as_str(), "xxxxxxxxxxxxxxxxxxxxxxxx"),
            (very_long.as_str(), "y-y-y-y-"),
        ] {
            let names = ChildNames::new(fleet, Tier::NorthSouth);
            let label = |name: &str| {
                name.len() <= 63
                    && name.starts_with(|first: char| first.is_ascii_lowercase())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            assert!(label(&names.base), "{}", names.base);
            assert!(names.base.ends_with("-north-south"));
            assert_eq!(names.authority, format!("{}-channel-ca", names.base));
            assert!(names.base.starts_with(start), "{}", names.base);
            assert!(labels(fleet, Tier::EastWest).values().all(|value| value.len() <= 63));
        }
    }

    #[test]
    fn names_that_shorten_to_the_same_prefix_stay_apart() {
        let fleets = ["a.b", "a-b", "a.b.", "b.a"].map(str::to_owned);
        let long = ["x", "y"].map(|end| "long.".repeat(20) + end);
        let names: BTreeSet<String> = fleets
            .iter()
            .chain(&long)
            .flat_map(|fleet| Tier::ALL.map(|tier| ChildNames::new(fleet, tier).base))
            .collect();
        assert_eq!(names.len(), 12);
    }
}
