//! The two pipelines as control loops.
//!
//! In: a client and [`Options`]. Out: fleets that run, proxies that hold their configuration, status that
//! says so. Everything that is computed comes from pure crates; here is only when and in which order.
//! Invariants: a bad object stops no other; nothing is written that is already so; no decision rests on
//! having seen an event; nothing is deleted on the evidence of absence;
//! of several replicas one writes, and all serve configuration.

mod claim;
mod election;
mod events;
mod fleets;
mod handover;
mod health;
mod identity;
mod ingresses;
mod nodes;
mod objects;
mod observe;
mod options;
mod permissions;
mod queue;
mod reconcile;
mod refused;
mod replicas;
mod run;
mod sent;
mod translate;

pub use election::Election;
pub use events::{KnownEvent, known_events};
pub use gatefleet_state::Watched;
pub use options::{Options, Pace};
pub use permissions::{Permission, permissions};
pub use run::{Error, run};
