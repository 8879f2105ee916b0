//! `gatefleet local` as a user starts it: a child process on a copy of an example, looked at through its
//! kubeconfig, its addresses and its output. Everything that a test of the whole story needs, and no assertion
//! about the story itself.

mod local;
pub mod processes;

pub use local::{Local, Output, eventually};
