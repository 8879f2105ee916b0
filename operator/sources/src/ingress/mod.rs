//! `networking.k8s.io/v1` Ingress.

mod backend;
mod errors;
mod host_wide;
mod path;
mod tls;
mod translate;

pub use translate::{ServiceName, Translation, claimant_of, class_of, translate_ingress};
