//! The wire schema: what the operator tells a proxy, and the file format of a snapshot.
//!
//! Purpose: one definition of a tier's configuration for the operator, the channel, the proxy's disk and files.
//! Inputs: protobuf messages, or their JSON and YAML form ([`read_snapshot`]). Outputs: validated messages with
//! content versions ([`seal`], [`version_of`]), their references ([`references`]) and what a proxy must know to
//! serve them ([`required_capabilities`]).
//!
//! Invariants: the same resources in any order give the same bytes; equal content gives an equal version.
//!
//! Shared by both sides, so it knows neither Kubernetes nor sockets and compiles nothing. The gRPC service
//! stands behind the feature `rpc`; without it the crate pulls in no runtime.

pub mod capability;
mod kind;
mod needs;
mod read;
mod references;
mod validate;
mod version;
mod write;

pub use kind::ResourceKind;
pub use needs::required_capabilities;
pub use read::{SnapshotError, SnapshotProblem, read_snapshot};
pub use references::references;
pub use validate::{MAX_NAME_BYTES, ResourceError, validate};
pub use version::{compare_resource_versions, seal, version_of};
pub use write::{Format, sorted_snapshot, write_snapshot};

/// Version 1 of the schema.
pub mod v1 {
    #![allow(
        clippy::all,
        clippy::pedantic,
        clippy::restriction,
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        reason = "generated"
    )]
    include!(concat!(env!("OUT_DIR"), "/gatefleet.snapshot.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/gatefleet.snapshot.v1.serde.rs"));
}

/// The version of the schema that this build writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Largest message on the channel, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Largest encoded resource, in bytes; a larger one is refused by name.
pub const MAX_RESOURCE_BYTES: usize = 16 << 20;
