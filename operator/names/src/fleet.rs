//! Fleets and tiers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One half of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Traffic from outside into the cluster.
    NorthSouth,
    /// Traffic between services.
    EastWest,
}

impl Tier {
    /// Both, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::NorthSouth, Self::EastWest];

    /// As in object names, labels and on the command line: `north-south`, `east-west`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NorthSouth => "north-south",
            Self::EastWest => "east-west",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = TierKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.as_str() == text)
            .ok_or_else(|| TierKeyError::UnknownTier(text.to_owned()))
    }
}

/// The name of one `GatewayConfig`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FleetKey {
    /// Where the `GatewayConfig` and all of its children live.
    pub namespace: String,
    /// `metadata.name` of the `GatewayConfig`.
    pub name: String,
}

impl FleetKey {
    /// The key of `namespace/name`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// One of its tiers.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> TierKey {
        TierKey { fleet: self.clone(), tier }
    }
}

impl fmt::Display for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One tier of one fleet: the unit that is configured, isolated and identified.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TierKey {
    /// The fleet.
    pub fleet: FleetKey,
    /// Which half of it.
    pub tier: Tier,
}

/// What is wrong with the text of a tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TierKeyError {
    /// Neither of the two.
    #[error("parse tier {0:?}: it must be \"north-south\" or \"east-west\"")]
    UnknownTier(String),
    /// Not `spiffe://gatefleet/ns/NAMESPACE/fleet/NAME/tier/TIER`.
    #[error(
        "parse tier identity {0:?}: it must be spiffe://gatefleet/ns/NAMESPACE/fleet/NAME/tier/TIER"
    )]
    NotAnIdentity(String),
}

impl TierKey {
    const TRUST_DOMAIN: &'static str = "spiffe://gatefleet/ns/";

    /// The URI in the tier's channel certificate.
    #[must_use]
    pub fn identity(&self) -> String {
        let FleetKey { namespace, name } = &self.fleet;
        format!("{}{namespace}/fleet/{name}/tier/{}", Self::TRUST_DOMAIN, self.tier)
    }

    /// The inverse of [`TierKey::identity`].
    ///
    /// # Errors
    ///
    /// When `uri` has another form.
    pub fn from_identity(uri: &str) -> Result<Self, TierKeyError> {
        let wrong = || TierKeyError::NotAnIdentity(uri.to_owned());
        let rest = uri.strip_prefix(Self::TRUST_DOMAIN).ok_or_else(wrong)?;
        let parts: Vec<&str> = rest.split('/').collect();
        match parts[..] {
            [namespace, "fleet", name, "tier", tier]
                if !namespace.is_empty() && !name.is_empty() =>
            {
                Ok(FleetKey::new(namespace, name).tier(tier.parse()?))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for TierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.fleet, self.tier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_reads_back_and_refuses_everything_else() {
        let key = FleetKey::new("edge", "prod").tier(Tier::EastWest);
        assert_eq!(key.identity(), "spiffe://gatefleet/ns/edge/fleet/prod/tier/east-west");
        assert_eq!(TierKey::from_identity(&key.identity()), Ok(key));
        for wrong in [
            "",
            "spiffe://other/ns/edge/fleet/prod/tier/east-west",
            "spiffe://gatefleet/ns/edge/fleet/prod/tier/east-west/",
            "spiffe://gatefleet/ns/edge/fleet/prod/tier/sideways",
            "spiffe://gatefleet/ns//fleet/prod/tier/east-west",
        ] {
            assert!(TierKey::from_identity(wrong).is_err(), "{wrong}");
        }
    }
}
