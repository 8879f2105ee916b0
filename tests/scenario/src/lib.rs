//! Stories about the operator, as data.
//!
//! In: a client of any API server (the embedded one, or a real one) and a story (`stories/*.yaml`: what somebody
//! does, and what must be so afterwards). The operator runs unchanged; around it stands what a cluster has besides
//! an API server: a small kubelet that makes pods of Deployments, and proxies that speak the real configuration
//! channel but serve nothing, and refuse what a story tells them to.
#![expect(
    clippy::unwrap_used,
    reason = "a broken harness must fail the test that uses it, with the place where it broke"
)]

mod events;
mod expect;
mod history;
mod kubelet;
mod objects;
mod permitted;
mod pods;
mod proxy;
mod story;
mod world;

pub use story::{Story, tell};
pub use world::Faults;
