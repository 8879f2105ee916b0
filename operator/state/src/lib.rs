//! The watched part of the cluster, as immutable maps.
//!
//! Input: objects, put in and taken out one at a time (by the watches, or by whoever reads a directory).
//! Output: [`ClusterState`], cheap to clone: a clone is a consistent view that never changes, while the
//! original goes on. Invariant: an object is found under the namespace and name of its metadata, and a name
//! that is not there is answered with `None`, which readers remember just like an object. It must not
//! interpret what it holds.

mod grant;
mod manifest;
mod shelf;
mod state;
mod watched;

pub use grant::{GrantFrom, GrantTo, ReferenceGrant, ReferenceGrantSpec};
pub use manifest::ManifestError;
pub use shelf::{Shelf, is_same};
pub use state::{ClusterState, service_of};
pub use watched::Watched;
