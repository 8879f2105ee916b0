//! The configuration channel over loopback: real certificates, real streams, servers and proxies in one process.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "test code"
)]

mod adversity;
mod harness;
mod measure;
mod replicas;
mod soak;
mod stream;
mod wire;
