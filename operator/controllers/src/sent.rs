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

    /// Whether `proxy` holds `object` at `generation`, judged by those of the resources called `names` that were
    /// sent.
    pub(crate) fn holding(
        &self,
        tier: &TierKey,
        (object, generation): (&ObjectKey, i64),
        proxy: &ProxyHoldings,
        names: &BTreeSet<String>,
    ) -> Holding {
        let held = held_by(proxy, names.iter());
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
        let held = held_by(proxy, names.iter());
        let tiers = self.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        tiers
            .get(tier)
            .map_or(Holding::Behind, |ledger| ledger.holding_of(names, object, generation, &held))
    }
}

/// Looked up by name: a proxy holds thousands of others.
fn held_by(
    proxy: &ProxyHoldings,
    names: impl Iterator<Item: AsRef<str>>,
) -> BTreeMap<String, HeldResource> {
    let held = names.filter_map(|name| {
        let name = name.as_ref();
        Some((name.to_owned(), held_resource(proxy.resources.get(name)?)))
    });
    held.collect()
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
