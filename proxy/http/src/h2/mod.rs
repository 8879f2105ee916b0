//! HTTP/2 in front: framing by the `h2` crate, everything that is judged or limited by us.
//!
//! All streams of a connection live in its task: they share the caches and one write, and end with it.

mod budget;
mod connection;
mod fields;
mod request;
mod stream;

pub(crate) use connection::{Surroundings, serve};
