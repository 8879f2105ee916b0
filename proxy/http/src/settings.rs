//! The tier's settings, compiled.

use std::time::Duration;

use ipnet::IpNet;

/// What `tier` says about HTTP, with defaults written out.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Bounds on what peers may send.
    pub limits: Limits,
    /// Bounds on waiting.
    pub timeouts: Timeouts,
    /// Peers whose X-Forwarded-* are believed.
    pub trusted_proxies: Box<[IpNet]>,
    /// How many trusted hops stand in front; 0: as many as match, from the right.
    pub hops: u32,
}

/// Bounds on what peers may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head. Default 32 KiB, at most 256 KiB.
    pub header_bytes: usize,
    /// Fields of a head. Default 100, at most 256.
    pub header_count: usize,
    /// Bytes of a request body. Default: no limit.
    pub request_body_bytes: Option<u64>,
    /// Requests on one connection. Default: no limit.
    pub requests_per_connection: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 32 * 1024,
            header_count: 100,
            request_body_bytes: None,
            requests_per_connection: None,
        }
    }
}

/// Bounds on waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept, or from the first byte of a later request, to a complete head. Default 10 s.
    pub request_head: Duration,
    /// Without any byte in either direction. Default 60 s.
    pub idle: Duration,
    /// Between two requests of a connection. Default 75 s.
    pub keep_alive: Duration,
    /// From the complete request head to the last byte of the response. Default: none.
    pub request: Option<Duration>,
    /// Opening a connection to an endpoint. Default 5 s.
    pub upstream_connect: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            keep_alive: Duration::from_secs(75),
            request: None,
            upstream_connect: Duration::from_secs(5),
        }
    }
}
