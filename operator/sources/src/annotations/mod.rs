//! The annotations of ingress-nginx.

mod canary;
mod parse;
mod registry;

pub(crate) use canary::Canary;
pub(crate) use parse::{Annotations, BackendProtocol};
pub use registry::{ServedAnnotation, served_annotations};
