//! Numbers with bounds.

use std::{fmt, num::NonZeroU16};

use serde::{Deserialize, Serialize};

/// A port: 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortNumber(NonZeroU16);

impl PortNumber {
    /// `None` when `number` is not a port.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        u16::try_from(number).ok().and_then(NonZeroU16::new).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for PortNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A backend's share of the requests: its weight divided by the sum of the weights. 0: none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Weight(u32);

impl Weight {
    /// The whole share when it is alone.
    pub const ONE: Self = Self(1);
    /// The largest weight (Gateway API `BackendRef.weight`); sums of many stay far from overflow.
    pub const MAX: Self = Self(1_000_000);

    /// `weight`, at most [`Weight::MAX`].
    #[must_use]
    pub fn saturating(weight: u32) -> Self {
        Self(weight.min(Self::MAX.0))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What carries a port: `protocol` of a Service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// TCP, the default of Kubernetes.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// As Kubernetes writes it; absent is TCP, anything else (SCTP) is `None`.
    #[must_use]
    pub fn parse_protocol(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("TCP" | "") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_weights_stay_in_bounds() {
        assert_eq!([0, -1, 65536, i64::MAX].map(PortNumber::new), [None; 4]);
        assert_eq!(PortNumber::new(65535).map(PortNumber::get), Some(65535));
        assert_eq!(Weight::saturating(u32::MAX), Weight::MAX);
    }
}
