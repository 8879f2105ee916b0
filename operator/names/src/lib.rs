//! Validated names: parsed at the edge, trusted inside.
//!
//! Every type here can only hold what its documentation says; parsing is the one way in. Pure: no clock,
//! no runtime, no Kubernetes types.

mod fleet;
mod object;

pub use fleet::{FleetKey, Tier, TierKey, TierKeyError};
pub use object::{Kind, ObjectKey};
