//! The configuration server: tells proxies their configuration, and the operator what proxies hold.
//!
//! Inputs: configurations per tier ([`Publisher::publish`]), the CAs that vouch for tiers ([`Publisher::trust`]),
//! streams of proxies ([`serve`]). Outputs: deltas to proxies, [`Holdings`] to the operator.
//!
//! Invariants: a proxy gets the tier that its certificate names and no other, and the certificate must come from
//! that tier's own CA; a tier that is gone is refused, never sent removals; a slow proxy costs bounded memory and
//! gets only the newest state.
//!
//! It must not know what resources mean, nor talk to the API server.

mod authority;
mod configuration;
mod delta;
mod holdings;
mod publisher;
mod registry;
mod server;
mod session;
mod trust;

pub use authority::{AuthorityError, ChannelAuthority, IssuedLeaf, needs_renewal};
pub use configuration::TierConfiguration;
pub use holdings::{Holding, Holdings, ProxyHoldings};
pub use publisher::{Oversized, Publisher};
pub use server::{Replica, serve};
pub use trust::TrustError;

/// The name in every server certificate, whatever address proxies reach a replica by.
pub const SERVER_NAME: &str = "gatefleet.channel";
