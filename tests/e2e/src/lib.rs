//! Our programs as a user starts them, as child processes: `gatefleet local` on a copy of an example, looked at through
//! its kubeconfig, its addresses and its output; `gatefleet-proxy` alone, on what `gatefleet translate` wrote; and their
//! images on a cluster of real nodes.
//! Everything that a test of the whole story needs, and no assertion about the story itself.

mod alone;
mod cluster;
mod command;
mod local;
pub mod packages;
pub mod processes;

pub use alone::{Alone, HOST};
pub use cluster::{Cluster, on_real_nodes};
pub use command::{Ended, run};
pub use local::{Local, Output, eventually};
