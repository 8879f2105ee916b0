//! The sockets of the proxy: listeners, TLS, connections towards backends, and the threads that own them.
//!
//! **Purpose.** Compiles the resources of a snapshot, joins them into one plan, and makes every thread of the
//! data path serve it.
//!
//! **Inputs.** Resources by [`gatefleet_channel::Engine`], which [`DataPath`] implements; connections of clients.
//!
//! **Outputs.** Connections handed to `gatefleet_http`, [`observe::Statistics`], access log lines.
//!
//! **Invariants.**
//! - A swap returns only when every thread serves the new plan; one that fails changes nothing.
//! - No connection is closed by a configuration change on a listener that remains.
//! - The accept loop ends only when its listener does.
//! - What is asked for and cannot be served is refused by name, never ignored.
//! - Observing never waits: not for a log reader, not for another thread.
//!
//! **Must not** know HTTP's grammar, nor where configuration comes from.
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
mod bind;
pub mod compile;
mod data_path;
mod dns;
mod host;
mod join;
pub mod observe;
mod plan;
mod pool;
mod proxy_header;
mod thread;
mod tls;
mod view;

pub use data_path::{DataPath, Options};
pub use thread::StartError;
pub use view::{BackendView, CertificateView, EndpointView, ListenerView};
