//! Our programs as a user starts them, as child processes: `gatefleet local` on a copy of an example, looked at through
//! its kubeconfig, its addresses and its output; and `gatefleet-proxy` alone, on what `gatefleet translate` wrote.
//! Everything that a test of the whole story needs, and no assertion about the story itself.

mod alone;
mod command;
mod local;
pub mod packages;
pub mod processes;

pub use alone::{Alone, HOST};
pub use command::{Ended, run};
pub use local::{Local, Output, eventually};
