//! The two pipelines as control loops.
//!
//! In: a client and [`Options`]. Out: fleets that run, proxies that hold their configuration, status that
//! says so. Everything that is computed comes from pure crates; here is only when and in which order.
//! Invariants: a bad object stops no other; nothing is written that is already so; no decision rests on
//! having seen an event.

mod options;

pub use options::{Options, Pace};

/// Why the operator cannot run at all. What concerns one object is in that object's status instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Runs the whole operator. Dropping the future stops it cleanly: every write is complete in itself.
///
/// # Errors
///
/// When it cannot start: an address is taken, or the custom resource definitions are missing.
pub async fn run(client: kube::Client, options: Options) -> Result<(), Error> {
    drop((client, options));
    std::future::pending().await
}
