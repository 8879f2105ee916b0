//! What one IngressClass names.

use gatefleet_crds::GatewayConfig;
use gatefleet_ir::{Diagnostic, Reason};
use gatefleet_names::{FleetKey, Kind, ObjectKey, Tier, TierKey};
use gatefleet_state::{Shelf, Watched};
use k8s_openapi::api::networking::v1::{IngressClass, IngressClassParametersReference};

/// `spec.controller` of our classes: this, a slash and the tier.
const CONTROLLER: &str = "gatefleet.dev/";
/// `spec.controller` of the classes of ingress-nginx: one whose parameters name a fleet is adopted.
const ADOPTED: &str = "k8s.io/ingress-nginx";
const GROUP: &str = "gatefleet.dev";
/// Marks the class of Ingresses that name none (`networking.k8s.io/v1`).
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// What one IngressClass names.
pub(crate) enum ClassOutcome {
    /// It belongs to another controller.
    Foreign,
    /// It names a fleet of a namespace that is not watched.
    Elsewhere,
    /// It is ours and has no parameters: a finding, unless a GatewayConfig claims it by name.
    Plain(Option<Diagnostic>),
    /// It is ours, and what its parameters name is not there.
    Misses(Diagnostic),
    /// It names this tier.
    Names(TierKey),
}

/// The default class; of several the youngest, then the first by name (as the API server chooses).
pub(crate) fn default_class(classes: &Shelf<IngressClass>) -> Option<String> {
    let is_default = |class: &&IngressClass| {
        let annotations = class.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(IS_DEFAULT)).is_some_and(|value| value == "true")
    };
    let mut found: Vec<&IngressClass> =
        classes.iter().map(|class| &**class).filter(is_default).collect();
    found.sort_by_key(|class| {
        let created = class.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (std::cmp::Reverse(created), class.metadata.name.clone())
    });
    found.first().and_then(|class| class.metadata.name.clone())
}

/// What `class` names among `configs`.
pub(crate) fn resolve_class(
    class: &IngressClass,
    configs: &Shelf<GatewayConfig>,
    default_namespace: &str,
    watched: &Watched,
) -> ClassOutcome {
    let object =
        ObjectKey::new(Kind::IngressClass, "", class.metadata.name.as_deref().unwrap_or_default());
    let tell =
        |field: &str, reason, message: String| Diagnostic::new(&object, field, reason, message);
    let spec = class.spec.as_ref();
    let controller = spec.and_then(|spec| spec.controller.as_deref()).unwrap_or_default();
    let parameters = spec.and_then(|spec| spec.parameters.as_ref());
    let names_us = parameters.is_some_and(|said| said.api_group.as_deref() == Some(GROUP));
    let tier = match controller.strip_prefix(CONTROLLER) {
        Some(tier) => tier.parse::<Tier>(),
        None if controller == ADOPTED && names_us => Ok(Tier::NorthSouth),
        None => return ClassOutcome::Foreign,
    };
    let Ok(tier) = tier else {
        let message = format!(
            "{controller:?} is no controller: use \"gatefleet.dev/north-south\" or \"gatefleet.dev/east-west\""
        );
        return ClassOutcome::Misses(tell("spec.controller", Reason::ControllerUnknown, message));
    };
    let Some(parameters) = parameters else {
        let message = "no GatewayConfig serves this class: name one in spec.parameters".to_owned();
        return ClassOutcome::Plain(Some(tell(
            "spec.parameters",
            Reason::ParametersMissing,
            message,
        )));
    };
    let fleet = match parse_parameters(parameters, default_namespace) {
        Ok(fleet) => fleet,
        Err(message) => {
            return ClassOutcome::Misses(tell(
                "spec.parameters",
                Reason::ParametersInvalid,
                message,
            ));
        }
    };
    match configs.get(&fleet.namespace, &fleet.name) {
        None if !watched.contains(&fleet.namespace) => ClassOutcome::Elsewhere,
        None => {
            let message =
                format!("GatewayConfig {fleet} does not exist: create it or correct the reference");
            ClassOutcome::Misses(tell("spec.parameters", Reason::ParametersNotFound, message))
        }
        Some(config) if tier_of(config, tier).is_none() => {
            let message = format!(
                "GatewayConfig {fleet} has no {tier} tier: declare it, or use the other controller"
            );
            ClassOutcome::Misses(tell("spec.controller", Reason::TierNotFound, message))
        }
        Some(_) => ClassOutcome::Names(fleet.tier(tier)),
    }
}

/// The declaration of one tier.
pub(crate) fn tier_of(config: &GatewayConfig, tier: Tier) -> Option<&gatefleet_crds::TierSpec> {
    match tier {
        Tier::NorthSouth => config.spec.north_south.as_ref(),
        Tier::EastWest => config.spec.east_west.as_ref(),
    }
}

fn parse_parameters(
    said: &IngressClassParametersReference,
    default_namespace: &str,
) -> Result<FleetKey, String> {
    if said.api_group.as_deref() != Some(GROUP) || said.kind != "GatewayConfig" {
        let group = said.api_group.as_deref().unwrap_or_default();
        return Err(format!(
            "{} of group {group:?} is no fleet: name a GatewayConfig of group {GROUP:?}",
            said.kind
        ));
    }
    let namespace = said.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    match (said.scope.as_deref().unwrap_or("Cluster"), namespace) {
        ("Namespace", Some(namespace)) => Ok(FleetKey::new(namespace, &said.name)),
        ("Namespace", None) => {
            Err("scope Namespace needs a namespace: name that of the GatewayConfig".to_owned())
        }
        ("Cluster", None) => Ok(FleetKey::new(default_namespace, &said.name)),
        ("Cluster", Some(_)) => {
            Err("scope Cluster allows no namespace: set scope to Namespace".to_owned())
        }
        (other, _) => Err(format!("scope {other:?} is none: use Namespace")),
    }
}
