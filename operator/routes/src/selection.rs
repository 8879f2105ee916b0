//! Which fleet serves which Ingress.

use std::collections::{BTreeMap, BTreeSet};

use gatefleet_crds::{GatewayConfig, IngressSpec};
use gatefleet_ir::{Claimant, Diagnostic, Reason};
use gatefleet_names::{FleetKey, Kind, ObjectKey, Tier, TierKey};
use gatefleet_sources::{claimant_of, class_of};
use gatefleet_state::{ClusterState, Shelf, Watched};
use k8s_openapi::api::{
    core::v1::Namespace,
    networking::v1::{Ingress, IngressClass},
};

use crate::class::{ClassOutcome, default_class, resolve_class};

/// `spec.ingress.ingressClass` that stands for the class of this name, and for Ingresses without a class.
const NGINX: &str = "nginx";

/// What follows from the IngressClasses and the GatewayConfigs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selection {
    /// Classes whose parameters name a fleet; `None`: they miss it.
    by_parameters: BTreeMap<String, Option<TierKey>>,
    /// Classes whose parameters name a fleet that is served by somebody else.
    elsewhere: BTreeSet<String>,
    /// The names of all IngressClasses.
    known: BTreeSet<String>,
    default_class: Option<String>,
    /// Fleets with `spec.ingress.ingressClass`, the oldest first.
    by_name: Vec<Named>,
    /// What each fleet says about the Ingresses that select it.
    wishes: BTreeMap<FleetKey, Wishes>,
    /// The tiers that something selects.
    pub(crate) selected: BTreeMap<FleetKey, BTreeSet<Tier>>,
    /// Fleets whose classes an older one claims.
    pub(crate) conflicts: BTreeMap<FleetKey, FleetKey>,
    /// About IngressClasses and GatewayConfigs.
    pub(crate) findings: Vec<Diagnostic>,
}

/// What a fleet says about the Ingresses that select it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wishes {
    /// `None`: all.
    namespaces: Option<BTreeSet<String>>,
    publishes: bool,
}

impl Wishes {
    fn watches(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.contains(namespace))
    }

    /// Whether both would publish addresses for one Ingress.
    fn clash(&self, other: &Self) -> bool {
        let shared = match (&self.namespaces, &other.namespaces) {
            (Some(own), Some(theirs)) => !own.is_disjoint(theirs),
            (Some(names), None) | (None, Some(names)) => !names.is_empty(),
            (None, None) => true,
        };
        shared && self.publishes && other.publishes
    }
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
    pub(crate) fn compute(
        state: &ClusterState,
        default_namespace: &str,
        watched: &Watched,
    ) -> Self {
        let mut selection = Self {
            known: state
                .ingress_classes
                .iter()
                .filter_map(|class| class.metadata.name.clone())
                .collect(),
            default_class: default_class(&state.ingress_classes),
            ..Self::default()
        };
        selection.read_configs(&state.gateway_configs, &state.namespaces);
        for class in state.ingress_classes.iter() {
            let outcome = resolve_class(class, &state.gateway_configs, default_namespace, watched);
            selection.read_class(class, outcome);
        }
        selection.findings.sort();
        selection
    }

    fn read_configs(&mut self, configs: &Shelf<GatewayConfig>, namespaces: &Shelf<Namespace>) {
        let mut claiming: Vec<(Claimant, Named)> = Vec::new();
        for config in configs.iter() {
            let claimant = claimant_of(Kind::GatewayConfig, &config.metadata);
            let said = &config.spec.ingress;
            let namespaces = watched_namespaces(said, namespaces);
            let wishes = Wishes { namespaces, publishes: said.publish_status };
            self.wishes.insert(fleet_of(&claimant.object), wishes);
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
            let wishes = |named: &Named| self.wishes.get(&named.fleet).cloned().unwrap_or_default();
            let own = wishes(named);
            let clashes = |older: &Named| older.covers(named) && wishes(older).clash(&own);
            let older = claiming.iter().take(position).find(|(_, older)| clashes(older));
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

    fn read_class(&mut self, class: &IngressClass, outcome: ClassOutcome) {
        let name = class.metadata.name.clone().unwrap_or_default();
        match outcome {
            ClassOutcome::Foreign => {}
            ClassOutcome::Elsewhere => drop(self.elsewhere.insert(name)),
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
        if effective.is_some_and(|class| self.elsewhere.contains(class)) {
            return Attachment::default();
        }
        if let Some(resolved) = effective.and_then(|class| self.by_parameters.get(class)) {
            return match resolved {
                None => Attachment {
                    finding: Some(not_selected(ingress, effective, Reason::ClassBroken)),
                    ..Attachment::default()
                },
                Some(tier) => self.attach_to([tier.clone()], ingress, effective),
            };
        }
        let taking = self.by_name.iter().filter(|named| named.takes(explicit, effective));
        let tiers: Vec<TierKey> = taking.map(|named| named.fleet.tier(Tier::NorthSouth)).collect();
        self.attach_to(tiers, ingress, effective)
    }

    /// Attaches to those of `tiers`, the oldest first, that watch the Ingress's namespace.
    fn attach_to(
        &self,
        tiers: impl IntoIterator<Item = TierKey>,
        ingress: &Ingress,
        effective: Option<&str>,
    ) -> Attachment {
        let namespace = ingress.metadata.namespace.as_deref().unwrap_or_default();
        let wishes = |tier: &TierKey| self.wishes.get(&tier.fleet);
        let (watching, others): (Vec<TierKey>, Vec<TierKey>) = tiers
            .into_iter()
            .partition(|tier| wishes(tier).is_none_or(|wishes| wishes.watches(namespace)));
        let publisher =
            watching.iter().find(|tier| wishes(tier).is_some_and(|wishes| wishes.publishes));
        let publisher = publisher.cloned();
        let tiers: BTreeSet<TierKey> = watching.into_iter().collect();
        let finding = tiers.is_empty().then(|| {
            if let Some(tier) = others.first() {
                return not_watched(ingress, &tier.fleet, namespace);
            }
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

/// The namespaces that a fleet watches; `None`: all.
fn watched_namespaces(
    said: &IngressSpec,
    namespaces: &Shelf<Namespace>,
) -> Option<BTreeSet<String>> {
    let named = &said.watch_namespaces;
    if said.namespace_selector.match_labels.is_empty() {
        return (!named.is_empty()).then(|| named.iter().cloned().collect());
    }
    let empty = BTreeMap::new();
    let selected = namespaces.iter().filter(|namespace| {
        let labels = namespace.metadata.labels.as_ref().unwrap_or(&empty);
        said.namespace_selector.selects(labels)
    });
    let selected = selected.filter_map(|namespace| namespace.metadata.name.clone());
    Some(selected.filter(|name| named.is_empty() || named.contains(name)).collect())
}

fn not_watched(ingress: &Ingress, fleet: &FleetKey, namespace: &str) -> Diagnostic {
    let object = claimant_of(Kind::Ingress, &ingress.metadata).object;
    let message = format!(
        "GatewayConfig {fleet} serves this class, but not in namespace {namespace}: let ingress.watchNamespaces and \
         ingress.namespaceSelector include it, or choose another class"
    );
    Diagnostic::new(&object, "metadata.namespace", Reason::NotSelected, message)
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
