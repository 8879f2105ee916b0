//! Local mode: everything that a cluster would do for a fleet, on one machine and in one process.
//!
//! In: a directory of manifests, and the operator as a function of a client. Out: an API server on loopback (with a kubeconfig), the pods of every
//! Deployment as child processes on loopback addresses of their own, a forwarder for each Service port, and a table of fleets that follows changes.
//!
//! - [`run`] is the whole of `gatefleet local`; [`Local`] is the same without presentation, for tests.
//! - `directory` applies and follows the manifests, `runtime` plays Deployment controller, endpoint controller and kubelet, `screen` presents.
//!
//! Invariants: everything talks through the API (`kube::Client`), so the operator sees what it would see in a cluster; a child process never outlives this one, not even
//! after `kill -9`; when it stops, no process and no file is left; a manifest that is wrong changes nothing but its own objects.
//!
//! It must not be used for production: the store is in memory, and nothing isolates one pod from another.

mod directory;
mod error;
mod events;
mod home;
mod network;
mod runtime;
mod screen;
mod session;

pub use directory::{Manifest, read_manifests};
pub use error::Error;
pub use network::{Network, Ports, RaisedBecause};
pub use runtime::OFFERED_PORTS;
pub use screen::Presentation;
pub use session::{Local, OperatorSettings, Options, run};
