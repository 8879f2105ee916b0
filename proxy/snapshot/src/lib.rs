//! The wire schema: what the operator tells a proxy, and the file format of a snapshot.
//!
//! Shared by both sides, so it knows neither Kubernetes nor sockets. The gRPC service stands behind the
//! feature `rpc`; without it the crate pulls in no runtime.

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
