//! What tests of several crates share: our programs, built when they are needed, and a raw HTTP client that
//! forgives nothing. No assertions about Gatefleet itself stand here.

pub mod kube;
pub mod programs;
pub mod raw;
pub mod tls;
pub mod websocket;
