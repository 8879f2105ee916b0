//! HTTP/1.1: one strict grammar for both sides.

mod body;
mod client;
mod emit;
mod inbound;
mod options;
mod outbound;
mod parse_request;
mod parse_response;
mod scan;
mod server;
mod target;
mod trailers;

#[cfg(any(test, fuzzing))]
pub(crate) use self::{
    body::{Decoder, Step},
    emit::{Persistence, write_request, write_response},
    parse_request::parse_request,
    parse_response::parse_response,
    scan::HeadScan,
    trailers::parse_trailers,
};
pub use client::Client;
pub(crate) use inbound::Bounds;
pub(crate) use server::{HeadError, Server};
pub(crate) use target::{Target, split_target, write_canonical};
pub(crate) use trailers::is_dropped;

/// Most fields that any limit may allow.
pub(crate) const MAX_FIELDS: usize = 256;

/// Why a request is answered by us before it is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// 400, 405, 408, 413, 414, 417, 431, 501 or 505.
    pub(crate) status: u16,
    /// One CamelCase word for page and log.
    pub(crate) reason: &'static str,
}

impl Rejection {
    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self { status: 400, reason }
    }
}
