//! Sockets: listeners, TLS, connections towards backends, and the threads that own them.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::panic,
        clippy::unreachable,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod backend;
pub mod bind;
pub mod compile;
pub mod host;
pub mod pool;
pub mod tls;

pub use backend::Backend;
