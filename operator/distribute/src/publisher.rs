//! What the operator tells the server.

use std::sync::Arc;

use gatefleet_names::TierKey;
use tokio::sync::watch;

use crate::{Holdings, TierConfiguration};

/// Why a CA cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not a PEM certificate.
    #[error("read CA of tier {tier}: {problem}; delete the Secret to have it made again")]
    NotACertificate {
        /// Whose.
        tier: Box<TierKey>,
        /// What is wrong.
        problem: String,
    },
}

/// What the operator tells the server. Clones share one state.
#[derive(Clone, Debug)]
pub struct Publisher {
    holdings: watch::Sender<Arc<Holdings>>,
}

impl Default for Publisher {
    fn default() -> Self {
        Self { holdings: watch::channel(Arc::default()).0 }
    }
}

impl Publisher {
    /// Proxies of `tier` get this from now on.
    pub fn publish(&self, tier: &TierKey, configuration: TierConfiguration) {
        let _ = (tier, configuration);
    }

    /// The tier does not exist any more: its proxies are told so (`FLEET_UNKNOWN`) and keep what they have.
    pub fn remove(&self, tier: &TierKey) {
        let _ = tier;
    }

    /// Certificates of `tier` are believed when one of these CAs (PEM, one or more) signed them, and by no other
    /// tier's. Replaces what was trusted before; streams that exist go on.
    ///
    /// # Errors
    ///
    /// When there is no certificate in `ca_pem`, or one cannot be read; what was trusted before stays.
    pub fn trust(&self, tier: &TierKey, ca_pem: &str) -> Result<(), TrustError> {
        let _ = (tier, ca_pem);
        Ok(())
    }

    /// All tiers that exist have been published once: from now on a tier that was not is unknown. Before, its
    /// proxies wait.
    pub fn set_synced(&self) {}

    /// What proxies hold, as it changes.
    #[must_use]
    pub fn holdings(&self) -> watch::Receiver<Arc<Holdings>> {
        self.holdings.subscribe()
    }
}
