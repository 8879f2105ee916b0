//! The contract of an API server, as the controllers and kubectl rely on it.
//!
//! `tests/contract` states it once, as cases against a `kube::Client`, and runs it against the embedded server and,
//! with the feature `kube`, against a real kube-apiserver: what only one of them does fails. `tests/kubectl.rs` lets
//! kubectl itself use the embedded server.
