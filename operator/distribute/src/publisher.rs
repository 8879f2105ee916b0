//! What the operator tells the server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use gatefleet_names::TierKey;
use gatefleet_snapshot::{
    MAX_RESOURCE_BYTES,
    v1::{Resource, Watermark},
};
use prost::Message;
use tokio::sync::watch;

use crate::{
    Holdings, TierConfiguration,
    registry::Registry,
    trust::{Trust, TrustError},
};

/// What a tier is to serve; `None`: it was never published, or removed.
pub(crate) type Published = Option<Arc<TierConfiguration>>;

/// What the operator tells the server, and the way to what proxies hold. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Publisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tiers: Mutex<BTreeMap<TierKey, watch::Sender<Published>>>,
    trust: Arc<Trust>,
    synced: watch::Sender<bool>,
    registry: Registry,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            tiers: Mutex::default(),
            trust: Arc::default(),
            synced: watch::channel(false).0,
            registry: Registry::default(),
        }
    }
}

/// A resource that is larger than proxies accept. They keep its previous version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "publish {name}: it has {bytes} bytes; at most {MAX_RESOURCE_BYTES} are possible, use fewer rules per host"
)]
pub struct Oversized {
    /// The resource.
    pub name: Arc<str>,
    /// Its encoded size.
    pub bytes: usize,
}

impl Publisher {
    /// Proxies of `tier` get this from now on. Publishing what was published before costs nothing but a
    /// comparison.
    ///
    /// Returns the resources that are too large to be sent.
    pub fn publish(&self, tier: &TierKey, mut configuration: TierConfiguration) -> Vec<Oversized> {
        let sender = self.sender(tier);
        let before = sender.borrow().clone();
        let oversized = retain_sendable(&mut configuration, before.as_deref());
        if !before.is_some_and(|before| before.is_same(&configuration)) {
            sender.send_replace(Some(Arc::new(configuration)));
        }
        oversized
    }

    /// What is published is as recent as this: the cluster moved on (or a bookmark said so) without a change for
    /// any tier. Proxies that hold something newer from another replica wait for it.
    pub fn advance(&self, watermark: &[Watermark]) {
        let tiers = self.shared.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in tiers.values() {
            sender.send_if_modified(|published| {
                let newer = published.as_ref().filter(|published| published.watermark != watermark);
                let newer = newer.map(|published| TierConfiguration {
                    resources: Arc::clone(&published.resources),
                    watermark: watermark.to_vec(),
                });
                let changed = newer.is_some();
                if let Some(newer) = newer {
                    *published = Some(Arc::new(newer));
                }
                changed
            });
        }
    }

    /// The tier does not exist any more: its proxies are told so (`FLEET_UNKNOWN`) and keep what they have.
    pub fn remove(&self, tier: &TierKey) {
        self.sender(tier).send_if_modified(|published| published.take().is_some());
    }

    /// Certificates of `tier` are believed when one of these CAs (PEM, one or more) signed them, and by no other
    /// tier's. Replaces what was trusted before; streams that exist go on.
    ///
    /// # Errors
    ///
    /// When there is no certificate in `ca_pem`, or one cannot be read; what was trusted before stays.
    pub fn trust(&self, tier: &TierKey, ca_pem: &str) -> Result<(), TrustError> {
        self.shared.trust.set(tier, ca_pem)
    }

    /// All tiers that exist have been published once: from now on a tier that was not is unknown. Before, its
    /// proxies wait.
    pub fn set_synced(&self) {
        self.shared.synced.send_replace(true);
    }

    /// What proxies hold, as it changes.
    #[must_use]
    pub fn holdings(&self) -> watch::Receiver<Arc<Holdings>> {
        self.shared.registry.subscribe()
    }

    pub(crate) fn verifier(&self) -> Arc<Trust> {
        Arc::clone(&self.shared.trust)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    pub(crate) fn configuration(&self, tier: &TierKey) -> watch::Receiver<Published> {
        self.sender(tier).subscribe()
    }

    pub(crate) fn synced(&self) -> watch::Receiver<bool> {
        self.shared.synced.subscribe()
    }

    fn sender(&self, tier: &TierKey) -> watch::Sender<Published> {
        let mut tiers = self.shared.tiers.lock().unwrap_or_else(PoisonError::into_inner);
        tiers.entry(tier.clone()).or_insert_with(|| watch::channel(None).0).clone()
    }
}

/// Puts back the previous version of what is too large, or takes it out.
fn retain_sendable(
    configuration: &mut TierConfiguration,
    before: Option<&TierConfiguration>,
) -> Vec<Oversized> {
    let previous = |name: &Arc<str>| before.and_then(|before| before.resources.get(name));
    let mut oversized = Vec::new();
    for (name, resource) in configuration.resources.iter() {
        if previous(name).is_some_and(|previous| Arc::ptr_eq(previous, resource)) {
            continue;
        }
        let bytes = resource.encoded_len();
        if bytes > MAX_RESOURCE_BYTES {
            oversized.push(Oversized { name: Arc::clone(name), bytes });
        }
    }
    if oversized.is_empty() {
        return oversized;
    }
    let resources = Arc::make_mut(&mut configuration.resources);
    for Oversized { name, .. } in &oversized {
        let replaced: Option<Arc<Resource>> = previous(name).map(Arc::clone);
        match replaced {
            Some(resource) => resources.insert(Arc::clone(name), resource),
            None => resources.remove(name),
        };
    }
    oversized
}
