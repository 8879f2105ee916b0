//! What was sent to which tier, shared by those who judge acknowledgements.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use gatefleet_distribute::{Holding as Held, ProxyHoldings};
use gatefleet_infra::{HeldResource, Holding, SentLedger, SentResource};
use gatefleet_names::{ObjectKey, TierKey};
use gatefleet_routes::TierRoutes;

/// The ledgers of all tiers. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    tiers: Arc<Mutex<BTreeMap<TierKey, SentLedger>>>,
}

impl Sent {
    /// Notes what a tier is sent from now on.
    pub(crate) fn record(&self, tier: &TierKey, routes: &TierRoutes) {
        let origins: Vec<BTreeSet<(ObjectKey, i64)>> = routes
            .resources
            .values()
            .map(|resource| {
                let origins = resource.origins.iter();
                origins.map(|origin| (origin.object.clone(), origin.generation)).collect()
            })
            .collect();
        let resources = routes.resources.iter().zip(&origins);
        let complete = resources.map(|((name, resource), origins)| SentResource {
            name,
            version: &resource.resource.version,
            origins,
        });
        let complete: Vec<SentResource<'_>> = complete.collect();
        let mut tiers = self.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        tiers.entry(tier.clone()).or_default().record(&complete);
    }

    /// The tier does not exist any more.
    pub(crate) fn forget(&self, tier: &TierKey) {
        self.tiers.lock().unwrap_or_else(PoisonError::into_inner).remove(tier);
    }

    /// Whether `proxy` holds `object` at `generation`, judged by the resources that `concerns` picks by name.
    pub(crate) fn holding(
        &self,
        tier: &TierKey,
        (object, generation): (&ObjectKey, i64),
        proxy: &ProxyHoldings,
        concerns: impl Fn(&str) -> bool,
    ) -> Holding {
        let held = held_by(proxy, concerns);
        let tiers = self.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        tiers.get(tier).map_or(Holding::Behind, |ledger| ledger.holding(object, generation, &held))
    }

    /// As [`Sent::holding`], in exactly the resources called `names`, sent or not.
    pub(crate) fn holding_of(
        &self,
        names: &[String],
        tier: &TierKey,
        (object, generation): (&ObjectKey, i64),
        proxy: &ProxyHoldings,
    ) -> Holding {
        let held = held_by(proxy, |name| names.iter().any(|wanted| wanted == name));
        let tiers = self.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        tiers
            .get(tier)
            .map_or(Holding::Behind, |ledger| ledger.holding_of(names, object, generation, &held))
    }
}

fn held_by(
    proxy: &ProxyHoldings,
    concerns: impl Fn(&str) -> bool,
) -> BTreeMap<String, HeldResource> {
    let resources = proxy.resources.iter().filter(|(name, _)| concerns(name));
    resources.map(|(name, held)| (name.to_string(), held_resource(held))).collect()
}

fn held_resource(held: &Held) -> HeldResource {
    match held {
        Held::Installed { version } => HeldResource { version: version.to_string(), refused: None },
        Held::Refused { version, message, .. } => HeldResource {
            version: version.as_deref().unwrap_or_default().to_owned(),
            refused: Some(message.to_string()),
        },
        Held::DependencyRefused { version, message } => {
            HeldResource { version: version.to_string(), refused: Some(message.to_string()) }
        }
    }
}
