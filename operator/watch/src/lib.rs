//! The cluster as the API server tells it: one watch per kind, one consistent view for everybody.
//!
//! In: a client and the names of the Secrets that somebody needs. Out: [`View`]s, each complete, immutable
//! and cheap to clone; a new one comes when changes have been quiet for a moment.
//! Invariants: no view before every kind was listed once; a failing watch keeps what it knew until a complete
//! new list replaces it; an object that cannot be read hides no other; Secrets are watched by name only.
//! It must not write, and must not interpret what it sees.

mod backoff;
mod children;
mod follow;
mod guard;
mod hub;
mod view;

pub use backoff::Backoff;
pub use children::Children;
pub use hub::{Debounce, Hub, Watches, run, watches};
pub use view::{MANAGED_BY, View, Watermark, compare_versions};
