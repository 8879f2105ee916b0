//! Which fleet serves which Ingress.

use std::collections::{BTreeMap, BTreeSet};

use gatefleet_crds::GatewayConfig;
use gatefleet_ir::{Claimant, Diagnostic, Reason};
use gatefleet_names::{FleetKey, Kind, ObjectKey, Tier, TierKey};
use gatefleet_sources::{claimant_of, class_of};
use gatefleet_state::{ClusterState, Shelf};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use crate::class::{ClassOutcome, default_class, resolve_class};

/// `spec.ingress.ingressClass` that stands for the class of this name, and for Ingresses without a class.
const NGINX: &str = "nginx";

/// What follows from the IngressClasses and the GatewayConfigs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selection {
    /// Classes whose parameters name a fleet; `None`: they miss it.
    by_parameters: BTreeMap<String, Option<TierKey>>,
    /// The names of all IngressClasses.
    known: BTreeSet<String>,
    default_class: Option<String>,
    /// Fleets with `spec.ingress.ingressClass`, the oldest first.
    by_name: Vec<Named>,
    /// The tiers that something selects.
    pub(crate) selected: BTreeMap<FleetKey, BTreeSet<Tier>>,
    /// Fleets whose classes an older one claims.
    pub(crate) conflicts: BTreeMap<FleetKey, FleetKey>,
    /// About IngressClasses and GatewayConfigs.
    pub(crate) findings: Vec<Diagnostic>,
}

/// A fleet that claims a class by name.
#[derive(Clone, Debug, PartialEq)]
struct Named {
    fleet: FleetKey,
    class: String,
}

impl Named {
    fn takes(&self, explicit: Option<&str>, effective: Option<&str>) -> bool {
        match self.class.as_str() {
            "" => true,
            NGINX => explicit.is_none() || effective == Some(NGINX),
            class => effective == Some(class),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self.class.is_empty() || self.class == other.class
    }
}

/// Where an Ingress belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) tiers: BTreeSet<TierKey>,
    pub(crate) publisher: Option<TierKey>,
    pub(crate) finding: Option<Diagnostic>,
}

impl Selection {
    pub(crate) fn compute(state: &ClusterState, default_namespace: &str) -> Self {
        let mut selection = Self {
            known: state
                .ingress_classes
                .iter()
                .filter_map(|class| class.metadata.name.clone())
                .collect(),
            default_class: default_class(&state.ingress_classes),
            ..Self::default()
        };
        selection.read_configs(&state.gateway_configs);
        for class in state.ingress_classes.iter() {
            selection.read_class(class, state, default_namespace);
        }
        selection.findings.sort();
        selection
    }

    fn read_configs(&mut self, configs: &Shelf<GatewayConfig>) {
        let mut claiming: Vec<(Claimant, Named)> = Vec::new();
        for config in configs.iter() {
            let claimant = claimant_of(Kind::GatewayConfig, &config.metadata);
            let Some(class) = config.spec.ingress.ingress_class.clone() else { continue };
            if config.spec.north_south.is_none() {
                let message = "ingress.ingressClass needs the north-south tier: declare northSouth, or remove it";
                let field = "spec.ingress.ingressClass";
                self.findings.push(Diagnostic::new(
                    &claimant.object,
                    field,
                    Reason::TierNotFound,
                    message,
                ));
                continue;
            }
            let fleet = fleet_of(&claimant.object);
            self.selected.entry(fleet.clone()).or_default().insert(Tier::NorthSouth);
            claiming.push((claimant, Named { fleet, class }));
        }
        claiming.sort_by(|one, other| one.0.cmp(&other.0));
        for (position, (claimant, named)) in claiming.iter().enumerate() {
            let older = claiming.iter().take(position).find(|(_, older)| older.covers(named));
            if let Some((_, older)) = older {
                self.conflicts.insert(named.fleet.clone(), older.fleet.clone());
                let message = format!(
                    "the older GatewayConfig {} claims these classes too and publishes their addresses: \
                     choose another ingress.ingressClass in one of the two",
                    older.fleet
                );
                let field = "spec.ingress.ingressClass";
                self.findings.push(Diagnostic::new(
                    &claimant.object,
                    field,
                    Reason::ClassConflict,
                    message,
                ));
            }
        }
        self.by_name = claiming.into_iter().map(|(_, named)| named).collect();
    }

    fn read_class(&mut self, class: &IngressClass, state: &ClusterState, default_namespace: &str) {
        let name = class.metadata.name.clone().unwrap_or_default();
        match resolve_class(class, &state.gateway_configs, default_namespace) {
            ClassOutcome::Foreign => {}
            ClassOutcome::Plain(finding) => {
                let claimed =
                    self.by_name.iter().any(|named| named.takes(Some(&name), Some(&name)));
                self.findings.extend(finding.filter(|_| !claimed));
            }
            ClassOutcome::Misses(finding) => {
                self.by_parameters.insert(name, None);
                self.findings.push(finding);
            }
            ClassOutcome::Names(tier) => {
                self.selected.entry(tier.fleet.clone()).or_default().insert(tier.tier);
                self.by_parameters.insert(name, Some(tier));
            }
        }
    }

    /// Where `ingress` belongs. Parameters outrank names.
    pub(crate) fn attach(&self, ingress: &Ingress) -> Attachment {
        let explicit = class_of(ingress);
        let effective = explicit.or(self.default_class.as_deref());
        if let Some(resolved) = effective.and_then(|class| self.by_parameters.get(class)) {
            let finding =
                resolved.is_none().then(|| not_selected(ingress, effective, Reason::ClassBroken));
            return Attachment {
                tiers: resolved.iter().cloned().collect(),
                publisher: resolved.clone(),
                finding,
            };
        }
        let taking = || self.by_name.iter().filter(|named| named.takes(explicit, effective));
        let tiers: BTreeSet<TierKey> =
            taking().map(|named| named.fleet.tier(Tier::NorthSouth)).collect();
        let publisher = taking().next().map(|named| named.fleet.tier(Tier::NorthSouth));
        let finding = tiers.is_empty().then(|| {
            let exists = effective.is_none_or(|class| self.known.contains(class));
            let reason = if exists { Reason::NotSelected } else { Reason::ClassNotFound };
            not_selected(ingress, effective, reason)
        });
        Attachment { tiers, publisher, finding }
    }
}

pub(crate) fn fleet_of(object: &ObjectKey) -> FleetKey {
    FleetKey::new(&object.namespace, &object.name)
}

fn not_selected(ingress: &Ingress, class: Option<&str>, reason: Reason) -> Diagnostic {
    let object = claimant_of(Kind::Ingress, &ingress.metadata).object;
    let message = match (class, reason) {
        (None, _) => "it names no class, and no GatewayConfig takes such Ingresses: set spec.ingressClassName".to_owned(),
        (Some(class), Reason::ClassNotFound) => format!(
            "there is no IngressClass {class:?}: create it with parameters that name a GatewayConfig, or correct the name"
        ),
        (Some(class), Reason::ClassBroken) => {
            format!("IngressClass {class:?} names no tier that exists: correct its controller or parameters")
        }
        (Some(class), _) => format!("no GatewayConfig serves IngressClass {class:?}"),
    };
    Diagnostic::new(&object, "spec.ingressClassName", reason, message)
}
