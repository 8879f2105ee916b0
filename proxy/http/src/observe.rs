//! What is reported about every request.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{connection::Scheme, head::Version};

/// Told about every request when it ends. Called on the request's thread: it must not block.
pub trait Observer {
    /// One request ended.
    fn request_ended(&self, summary: &RequestSummary<'_>);
}

impl Observer for () {
    fn request_ended(&self, _: &RequestSummary<'_>) {}
}

/// One request, borrowed from the engine's buffers.
#[derive(Debug, Clone)]
pub struct RequestSummary<'a> {
    /// Name of the rule that matched, such as "Ingress/shop/web/0"; empty: none.
    pub rule: &'a str,
    /// Name of the chosen backend resource; empty: none.
    pub backend: &'a str,
    /// The last endpoint that was tried.
    pub endpoint: Option<SocketAddr>,
    /// Status sent to the client; 0: none could be sent.
    pub status: u16,
    /// What went wrong, if anything.
    pub failure: Option<Failure>,
    /// One CamelCase word that specifies an answer of our own; empty: the answer is the backend's.
    pub reason: &'a str,
    /// Bytes of the request body.
    pub body_in: u64,
    /// Bytes of the response body.
    pub body_out: u64,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// From the complete request head to the response head of the backend.
    pub upstream_duration: Option<Duration>,
    /// Connections tried for it.
    pub attempts: u32,
    /// Value of X-Request-ID.
    pub request_id: &'a str,
    /// Method; empty when the head could not be read.
    pub method: &'a [u8],
    /// Path and query as they were received.
    pub target: &'a [u8],
    /// Host in lower case, without port.
    pub host: &'a [u8],
    /// Protocol version of the client.
    pub version: Version,
    /// Scheme of the client's connection.
    pub scheme: Scheme,
    /// The client's address, after trusted proxies.
    pub client: IpAddr,
    /// User-Agent; empty: none.
    pub user_agent: &'a [u8],
    /// Referer; empty: none.
    pub referer: &'a [u8],
}

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The request violates the grammar (400, 417, 501, 505).
    BadRequest,
    /// The request head did not arrive in time (408).
    HeadTimeout,
    /// Head or target too large (414, 431).
    HeadTooLarge,
    /// Body too large (413).
    BodyTooLarge,
    /// No rule fits (404).
    NoRoute,
    /// A policy refused the request.
    Denied,
    /// A policy could not be decided: missing, refused, or fail-closed.
    PolicyUnavailable,
    /// The chosen backend reference is broken (500, 503).
    BackendUnavailable,
    /// The backend has no endpoints (503).
    NoEndpoints,
    /// Limits towards the backend are reached (503).
    Overflow,
    /// No connection to an endpoint (502).
    ConnectFailed,
    /// Connecting took too long (504).
    ConnectTimeout,
    /// TLS with the endpoint failed (502).
    UpstreamTls,
    /// The endpoint closed or reset before its response was complete (502 if before the head).
    UpstreamReset,
    /// The endpoint answered what the grammar forbids (502).
    UpstreamMalformed,
    /// Nothing moved for the idle timeout, or the request took too long (504 if before the head).
    UpstreamTimeout,
    /// The client went away.
    ClientGone,
    /// The client sent a malformed body.
    ClientMalformed,
    /// The client neither sent nor read for the idle timeout.
    ClientTimeout,
}
