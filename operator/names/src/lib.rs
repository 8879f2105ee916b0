//! Validated names: parsed at the edge, trusted inside.
//!
//! Every type here can only hold what its documentation says; parsing is the one way in. Pure: no clock,
//! no runtime, no Kubernetes types.

mod fleet;
mod host;
mod numbers;
mod object;

pub use fleet::{FleetKey, Tier, TierKey, TierKeyError};
pub use host::{HostPattern, Hostname, HostnameError};
pub use numbers::{PortNumber, Transport, Weight};
pub use object::{Kind, ObjectKey};
