//! What proxies hold.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use gatefleet_names::TierKey;

/// What one proxy made of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// This version is installed on every thread.
    Installed {
        /// Content version.
        version: Arc<str>,
    },
    /// It was refused.
    Refused {
        /// What is served instead; `None`: nothing.
        version: Option<Arc<str>>,
        /// What was refused.
        refused_version: Arc<str>,
        /// What is wrong, where, what to do (at most 1 KiB).
        message: Arc<str>,
    },
    /// Installed, but it names a resource that was refused.
    DependencyRefused {
        /// Content version.
        version: Arc<str>,
        /// Which one (at most 1 KiB).
        message: Arc<str>,
    },
}

/// One proxy with a live stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHoldings {
    /// `metadata.name` of its pod.
    pub pod_name: Arc<str>,
    /// When its stream began.
    pub connected_since: SystemTime,
    /// What it runs, such as `0.1.0`.
    pub proxy_version: Arc<str>,
    /// What it knows beyond the base of the schema.
    pub capabilities: Arc<[String]>,
    /// A first full snapshot is installed and its listeners are bound.
    pub ready: bool,
    /// It uses a configuration older than one it had before (`WatermarkRegressed`).
    pub regressed: bool,
    /// By name of resource. Shared between states as long as nothing in it changes.
    pub resources: Arc<BTreeMap<Arc<str>, Holding>>,
}

/// Every proxy with a live stream to this replica, by tier, then by pod UID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Tiers without a stream are absent.
    pub tiers: BTreeMap<TierKey, BTreeMap<Arc<str>, Arc<ProxyHoldings>>>,
}

impl Holdings {
    /// The proxies of one tier, by pod UID.
    pub fn of_tier(
        &self,
        tier: &TierKey,
    ) -> impl Iterator<Item = (&Arc<str>, &Arc<ProxyHoldings>)> {
        self.tiers.get(tier).into_iter().flatten()
    }
}
