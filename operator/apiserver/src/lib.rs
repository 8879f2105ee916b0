//! An API server that lives inside a process: enough of Kubernetes' API for controllers and for kubectl.
//!
//! Inputs: HTTP requests, through [`tower::Service`], an in-process [`kube::Client`] or TLS on a loopback socket.
//! Outputs: answers, watch events, and the objects themselves, in memory only.
//!
//! Invariants:
//! - one revision counts every write of the whole store; a write that changes nothing makes no revision and no event;
//! - `generation` moves only when something outside `metadata` and `status` does;
//! - everything that follows from a write (garbage collection, the end of a namespace) is done under the same lock,
//!   right after it, so no reader sees the store between the two; watchers see every single event.
//!
//! It must not run controllers: Deployments make no pods here, Services of type `LoadBalancer` get no address.
//!
//! Listed deviations from kube-apiserver 1.36 (everything else that differs is a bug; `tests/apiserver` compares them):
//! - endpoints in 127.0.0.0/8 are allowed in EndpointSlices;
//! - OpenAPI does not advertise strategic merge patch, although the server accepts it; answers are never protobuf;
//! - every authenticated client may do everything, and there is no API priority, quota, webhook or policy;
//! - pods need no service account and get no token volume; Services have one IPv4 address;
//! - garbage is collected, and namespaces and definitions end, in the write that makes it possible, not later;
//! - CEL rules have no cost limits and are not type-checked when a CustomResourceDefinition is made;
//! - conversion between versions of a custom resource is `None`; old selves of list elements inside maps pair by index;
//! - the rules of built-in kinds are those that users and our controllers meet, not all of Kubernetes' validation.

mod body;
mod builtin;
mod crd;
mod discovery;
mod error;
mod json;
mod jsonpath;
mod managed;
mod names;
mod object;
mod openapi;
mod protobuf;
mod registry;
mod request;
mod resource;
mod schema;
mod selector;
mod serve;
mod server;
mod store;
mod strategic;
mod table;
mod verbs;

pub use body::Body;
pub use serve::{Credentials, ServeError};
pub use server::{ApiServer, LogRequest, Options, PodLogs};
