//! The certificates of tiers for names that no route has one for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_crds::{GROUP, GatewayConfig, SecretReference};
use gatefleet_ir::{CertificateRef, Diagnostic, KeyKind, Reason};
use gatefleet_names::{FleetKey, Kind, Tier, TierKey};
use gatefleet_snapshot::v1::Resource;
use gatefleet_sources::claimant_of;
use gatefleet_state::{ClusterState, ReferenceGrant, Shelf};

use crate::{
    SecretName,
    certificates::{Certificates, secret_name},
    class::tier_of,
    selection::fleet_of,
};

/// A certificate that can be served, and its resource.
pub(crate) type Usable = (CertificateRef, Arc<Resource>);

/// What GatewayConfigs name as default certificates.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    /// Allowed references in the order of declaration.
    allowed: BTreeMap<TierKey, Vec<Named>>,
    /// About references that no grant allows.
    forbidden: Vec<(FleetKey, Diagnostic)>,
}

#[derive(Debug)]
struct Named {
    certificate: CertificateRef,
    /// Says something about the reference.
    about: Diagnostic,
}

impl Defaults {
    pub(crate) fn compute(state: &ClusterState) -> Self {
        let mut defaults = Self::default();
        for config in state.gateway_configs.iter() {
            for tier in Tier::ALL {
                defaults.read(config, tier, &state.reference_grants);
            }
        }
        defaults
    }

    fn read(&mut self, config: &GatewayConfig, tier: Tier, grants: &Shelf<ReferenceGrant>) {
        let Some(said) =
            tier_of(config, tier).and_then(|spec| spec.tls.default_certificate.as_ref())
        else {
            return;
        };
        let object = claimant_of(Kind::GatewayConfig, &config.metadata).object;
        let fleet = fleet_of(&object);
        let named = self.allowed.entry(fleet.tier(tier)).or_default();
        for (index, reference) in said.secrets.iter().enumerate() {
            let field = format!("spec.{}.tls.defaultCertificate.secrets[{index}]", field_of(tier));
            let SecretReference { name, namespace } = reference;
            let namespace = namespace.clone().unwrap_or_else(|| object.namespace.clone());
            let about = Diagnostic::new(&object, field, Reason::ReferenceNotPermitted, "");
            if is_allowed(&object.namespace, &namespace, name, grants) {
                let certificate = CertificateRef { namespace, name: name.clone() };
                named.push(Named { certificate, about });
            } else {
                // The same whether the Secret exists or not: that is nobody's business without a grant.
                let message = format!(
                    "Secret {namespace}/{name} is of another namespace, and no ReferenceGrant there allows it: create \
                     one from GatewayConfigs of {} to Secrets, or name a Secret of {}",
                    object.namespace, object.namespace
                );
                self.forbidden.push((fleet.clone(), Diagnostic { message, ..about }));
            }
        }
    }

    /// Every Secret that is named and may be.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = SecretName> {
        self.allowed.values().flatten().map(|named| secret_name(&named.certificate))
    }

    /// What the tier serves: at most one certificate for each kind of key.
    pub(crate) fn usable(&self, tier: &TierKey, certificates: &Certificates) -> Vec<Usable> {
        let mut kinds = BTreeSet::new();
        let named = self.allowed.get(tier).into_iter().flatten();
        let usable = named.filter_map(|Named { certificate, .. }| {
            let resource = certificates.resource(certificate)?;
            let is_first = kinds.insert(certificates.key_kind(certificate)?);
            is_first.then(|| (certificate.clone(), Arc::clone(resource)))
        });
        usable.collect()
    }

    /// What is wrong with the default certificates of a fleet, in the order of tiers and fields.
    pub(crate) fn findings(
        &self,
        fleet: &FleetKey,
        certificates: &Certificates,
    ) -> Vec<Diagnostic> {
        let forbidden = self.forbidden.iter().filter(|(of, _)| of == fleet);
        let mut found: Vec<Diagnostic> = forbidden.map(|(_, finding)| finding.clone()).collect();
        for tier in Tier::ALL {
            let mut kinds = BTreeMap::new();
            for named in self.allowed.get(&fleet.tier(tier)).into_iter().flatten() {
                found.extend(named.finding(&mut kinds, certificates));
            }
        }
        found.sort_by(|one, other| one.field.cmp(&other.field));
        found
    }
}

impl Named {
    fn finding<'a>(
        &'a self,
        kinds: &mut BTreeMap<KeyKind, &'a CertificateRef>,
        certificates: &Certificates,
    ) -> Option<Diagnostic> {
        let CertificateRef { namespace, name } = &self.certificate;
        let tell = |reason, message| Diagnostic { reason, message, ..self.about.clone() };
        if let Some((reason, message)) = certificates.fault(&self.certificate) {
            return Some(tell(reason, message));
        }
        let kind = certificates.key_kind(&self.certificate)?;
        if let Some(first) = kinds.get(&kind) {
            let message = format!(
                "the key in Secret {namespace}/{name} is of the same kind ({kind}) as that in Secret {}/{}, which is \
                 served: name one Secret, or one with a key of the other kind",
                first.namespace, first.name
            );
            return Some(tell(Reason::TlsConflict, message));
        }
        kinds.insert(kind, &self.certificate);
        None
    }
}

const fn field_of(tier: Tier) -> &'static str {
    match tier {
        Tier::NorthSouth => "northSouth",
        Tier::EastWest => "eastWest",
    }
}

fn is_allowed(from: &str, namespace: &str, name: &str, grants: &Shelf<ReferenceGrant>) -> bool {
    let mut grants = grants.in_namespace(namespace);
    from == namespace
        || grants.any(|grant| grant.spec.allows_secret((GROUP, "GatewayConfig"), from, name))
}
