//! How configuration reaches a proxy's engine, and what the proxy says about it.
//!
//! Inputs: the operator's delta stream ([`run_client`]), a snapshot file ([`follow_file`]), the last good copy on
//! disk. All go through one [`Ledger`]. Outputs: effective sets for an [`Engine`], outcomes per resource for the
//! operator, [`ChannelState`] for readiness and admin.
//!
//! Invariants: a resource that cannot be served keeps its last good version together with what that names, and
//! blocks no other; nothing that is malformed, torn, unknown or stale removes anything; the proxy serves its last
//! good snapshot with the operator and the API server both down.
//!
//! It must not know what a resource means: that is the engine's.

mod bootstrap;
mod client;
mod disk;
mod engine;
mod follow;
mod install;
mod ledger;
mod outcome;
mod state;
mod transaction;

pub use bootstrap::{Bootstrap, BootstrapError, PodIdentity};
pub use client::{Timing, run_client, run_client_with};
pub use disk::{DiskCopy, DiskError};
pub use engine::{EffectiveSet, Engine, Entry, Refusals};
pub use follow::follow_file;
pub use ledger::Ledger;
pub use outcome::Outcome;
pub use state::{ChannelState, Source};
pub use transaction::Transaction;
