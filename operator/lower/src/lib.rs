//! From the route model to the resources that proxies understand.
//!
//! Input: merged hosts, server names, backends, listeners, and a tier's settings. Output: sealed snapshot
//! resources (with version and needed capabilities), and what each of them names. Invariants: equal input gives
//! equal bytes; nothing is decided here that merging could decide; what the wire cannot say is not said weaker.
//! It must not look an object up: it is given everything.

mod endpoints;
mod host;
mod listener;
mod names;
mod settings;
mod target;

pub use endpoints::lower_endpoints;
pub use host::{LoweredHost, lower_alias, lower_host};
pub use listener::{lower_certificate, lower_listener, lower_server_name, lower_trust_bundle};
pub use names::{
    backend_name, certificate_name, endpoints_name, listener_name, policy_name, server_name_name,
    trust_bundle_name, virtual_host_name,
};
pub use settings::{TierPorts, TierSettings, lower_settings};
pub use target::{lower_backend, lower_policy};
