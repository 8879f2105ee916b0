//! What a tier allows and how long it waits. Every value applies to each proxy on its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, OptionalDuration};

/// Bounds of what one proxy accepts.
#[expect(clippy::struct_field_names, reason = "the names of the API: `limits.maxConnections`")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Client connections that one proxy keeps open; further ones wait in the kernel's queue.
    /// Default: `16384`. Example: `50000`.
    #[schemars(with = "i32", range(min = 1, max = 1_000_000))]
    pub max_connections: u32,
    /// Bytes of a request's head, request line included; a larger one is answered with 431.
    /// Default: `65536`. Example: `16384`.
    #[schemars(with = "i32", range(min = 1024, max = 262_144))]
    pub max_header_bytes: u32,
    /// Header lines of a request; more are answered with 431. Default: `100`. Example: `50`.
    #[schemars(with = "i32", range(min = 8, max = 256))]
    pub max_header_count: u32,
    /// Bytes of a request's body; a larger one is answered with 413. Bodies are streamed, never stored, so this
    /// protects backends, not the proxy. 0: no limit. Default: `0`. Example: `1048576`.
    #[schemars(with = "i64", range(min = 0, max = 1_099_511_627_776_i64))]
    pub max_request_body_bytes: u64,
    /// Requests on one client connection, after which it is closed in good order. 0: no limit. Default: `0`.
    /// Example: `10000`.
    #[schemars(with = "i32", range(min = 0, max = 1_000_000_000))]
    pub max_requests_per_connection: u32,
    /// Requests that wait for a connection to one backend; further ones are answered with 503. 0: no limit.
    /// Default: `1024`. Example: `100`.
    #[schemars(with = "i32", range(min = 0, max = 1_000_000))]
    pub max_pending_per_backend: u32,
    /// Connections of one proxy to one backend; further requests wait. 0: no limit of its own.
    /// Default: `0`. Example: `200`.
    #[schemars(with = "i32", range(min = 0, max = 1_000_000))]
    pub max_connections_per_backend: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_header_bytes: 65_536,
            max_header_count: 100,
            max_request_body_bytes: 0,
            max_requests_per_connection: 0,
            max_pending_per_backend: 1024,
            max_connections_per_backend: 0,
        }
    }
}

/// How long one proxy waits, for whom. Durations are written like `30s`, `1m30s` or `250ms`, at most `24h`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// From the first byte of a request (or from accepting its connection) to the end of its head.
    /// Default: `10s`. Example: `5s`.
    pub request_head: Duration,
    /// Without a byte in either direction while a request or an upgraded connection (WebSocket) is in flight.
    /// Default: `1m`. Example: `1h`.
    pub idle: Duration,
    /// Between two requests of one client connection. Default: `1m15s`. Example: `30s`.
    pub keep_alive: Duration,
    /// From the end of a request's head to the last byte of its response. `0s`: no limit. Default: `0s`.
    /// Example: `30s`.
    pub request: OptionalDuration,
    /// Until a connection to an endpoint stands, waiting for a free one and TLS included. Default: `5s`.
    /// Example: `1s`.
    pub upstream_connect: Duration,
    /// Of a pooled connection towards an endpoint that nobody uses; keep it below the keep-alive timeout of
    /// the backends. Default: `1m`. Example: `20s`.
    pub upstream_idle: Duration,
    /// Until a client has finished its TLS handshake. Default: `10s`. Example: `5s`.
    pub tls_handshake: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            request: OptionalDuration::ZERO,
            upstream_connect: Duration::from_secs(5),
            upstream_idle: Duration::from_secs(60),
            tls_handshake: Duration::from_secs(10),
        }
    }
}

/// How a proxy leaves: no longer ready, still accepting for `delay`, then finishing what is in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Drain {
    /// For how long a proxy that ends goes on accepting connections, until everybody has noticed that it is no
    /// longer ready. `0s`: not at all. Default: `10s`. Example: `30s`.
    pub delay: OptionalDuration,
    /// How long a proxy that ends waits, after `delay`, for what is in flight; what is left is then cut.
    /// The pod's grace period is the sum of both and 5 seconds. `0s`: not at all. Default: `30s`.
    /// Example: `5m`.
    pub timeout: OptionalDuration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: OptionalDuration::from_secs(10), timeout: OptionalDuration::from_secs(30) }
    }
}
