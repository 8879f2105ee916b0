//! The annotations of ingress-nginx.

mod canary;
mod cors;
mod errors;
mod parse;
mod redirect;
mod registry;
mod upstream;

pub(crate) use canary::Canary;
pub(crate) use errors::Errors;
pub(crate) use parse::{Annotations, BackendProtocol, Speech};
pub(crate) use redirect::HostWide;
pub use registry::{ServedAnnotation, served_annotations};
